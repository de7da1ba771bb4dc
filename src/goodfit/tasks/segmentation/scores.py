"""scores.json: the scores of a set of cases, their averages, and the tables made of them."""

from __future__ import annotations

import csv
import io
import math
import statistics
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from goodfit.errors import RunError
from goodfit.files import read_json, write_text
from goodfit.tasks.scoring import Number, Statistic, number, spread, statistic_of
from goodfit.tasks.segmentation.metrics import ClassMetrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

SCORES_VERSION: Final = 1
AVERAGED = ("dice", "iou", "hd95", "surface_dice", "volume_difference")
VOLUMES = ("reference_volume", "prediction_volume", "volume_difference")
OPTIMISTIC = "optimistic: this set chose the checkpoint"
RULES = (
    "A class that is in neither reference nor prediction of a case scores null and the case does not count for it. "
    "A class that is in only one of them scores Dice, IoU and surface Dice 0, and the diagonal of the image as HD95. "
    "Voxels with the ignore label in the reference are left out. The mean of a class is over the cases that count; "
    "the mean over classes gives each class the same weight."
)

DistanceUnit = Literal["mm", "voxels"]
VolumeUnit = Literal["ml", "mm²", "voxels"]
Means = dict[str, Number]
"""Metric -> mean."""


class ClassSummary(BaseModel):
    """One class over all cases."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cases: int
    """Cases that count: the class is in the reference or in the prediction."""
    missed: int
    """Cases with the class in the reference only."""
    spurious: int
    """Cases with the class in the prediction only."""
    dice: Statistic
    iou: Statistic
    hd95: Statistic
    surface_dice: Statistic
    volume_difference: Statistic


class Scores(BaseModel):
    """All of scores.json; make it with ``gather``."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = SCORES_VERSION
    set: str
    """Which cases these are: test, validation, or evaluation where nothing is known of them."""
    optimistic: bool
    """The score was measured on the set that chose the checkpoint."""
    tolerance: float
    """Of the surface Dice, in ``distance_unit``."""
    distance_unit: DistanceUnit
    volume_unit: VolumeUnit
    spacing_known: bool
    """False for formats without a voxel size (PNG, ...): distances and volumes are in voxels."""
    rules: str = RULES
    mean: Means
    """Over classes, of each class's mean over cases."""
    classes: dict[str, ClassSummary]
    cases: dict[str, dict[str, ClassMetrics]]
    """Case -> class -> scores."""
    notes: list[str] = []

    @property
    def mean_dice(self) -> float:
        """Mean over classes of each class's mean Dice over cases."""
        return self.mean["dice"]

    @property
    def title(self) -> str:
        """Heading of a table of these scores; says when they are optimistic."""
        count = len(self.cases)
        mark = f", {OPTIMISTIC}" if self.optimistic else ""
        return f"{self.set}, {count} {'case' if count == 1 else 'cases'}{mark}"

    def case_dice(self, case: str) -> float:
        """Mean Dice over the classes that count in a case; NaN where none does."""
        return mean(scores.dice for scores in self.cases[case].values())

    def ranked(self) -> list[str]:
        """Cases from the worst to the best mean Dice; those without a Dice are left out."""
        scored = [case for case in self.cases if not math.isnan(self.case_dice(case))]
        return sorted(scored, key=lambda case: (self.case_dice(case), case))

    def rows(self) -> list[list[str]]:
        """Table of the classes and their mean as text cells; the first row is the header."""
        distance, volume = self.distance_unit, self.volume_unit
        header = [
            *("class", "cases", "Dice", "Dice median", "IoU"),
            *(f"HD95 ({distance})", f"surface Dice ({self.tolerance:g} {distance})", f"volume difference ({volume})"),
        ]
        rows = [header]
        for name, summary in self.classes.items():
            spreads = [
                spread(summary.iou, 3),
                spread(summary.hd95, 2),
                spread(summary.surface_dice, 3),
                _volume(summary.volume_difference),
            ]
            dice = [spread(summary.dice, 3), number(summary.dice.median, 3)]
            rows.append([name, str(summary.cases), *dice, *spreads])
        means = [number(self.mean[name], digits) for name, digits in (("iou", 3), ("hd95", 2), ("surface_dice", 3))]
        rows.append(["mean", str(len(self.cases)), number(self.mean["dice"], 3), "", *means, ""])
        return rows

    def to_csv(self) -> str:
        """One line per case and class; an undefined score is an empty cell, units are in the header."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        units: dict[str, str] = {"hd95": self.distance_unit}
        units |= dict.fromkeys(VOLUMES, "mm2" if self.volume_unit == "mm²" else self.volume_unit)
        columns = [f"{name}_{units[name]}" if name in units else name for name in ClassMetrics.model_fields]
        writer.writerow(["set", "optimistic", "case", "class", *columns])
        for case, classes in self.cases.items():
            for name, scores in classes.items():
                values = ["" if math.isnan(value) else repr(value) for value in scores.model_dump().values()]
                writer.writerow([self.set, str(self.optimistic).lower(), case, name, *values])
        return text.getvalue()


def gather(
    cases: Mapping[str, Mapping[str, ClassMetrics]],
    classes: Sequence[str],
    *,
    set_name: str,
    optimistic: bool,
    tolerance: float,
    distance_unit: DistanceUnit,
    volume_unit: VolumeUnit,
    spacing_known: bool,
    notes: Sequence[str] = (),
) -> Scores:
    """Average the scores of cases per class, then over classes."""
    summaries = {name: _summary([scores[name] for scores in cases.values()]) for name in classes}
    return Scores(
        set=set_name,
        optimistic=optimistic,
        tolerance=tolerance,
        distance_unit=distance_unit,
        volume_unit=volume_unit,
        spacing_known=spacing_known,
        mean={key: mean(getattr(summary, key).mean for summary in summaries.values()) for key in AVERAGED[:-1]},
        classes=summaries,
        cases={case: dict(scores) for case, scores in sorted(cases.items())},
        notes=list(notes),
    )


def save_scores(scores: Scores, path: Path) -> None:
    """Write scores.json atomically."""
    write_text(path, scores.model_dump_json(indent=2) + "\n")


def save_scores_csv(scores: Scores, path: Path) -> None:
    """Write the table of all cases and classes atomically."""
    write_text(path, scores.to_csv())


def load_scores(path: Path) -> Scores:
    """Read scores.json.

    Raises:
        RunError: the file is missing, is no JSON or holds no scores; names the field.
    """
    try:
        return Scores.model_validate(read_json(path, RunError))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{path}: these are no scores of this version ({where}: {first['msg']}).") from error


def mean(values: Iterable[float]) -> float:
    """Mean of the values that are not NaN; NaN where there are none."""
    known = [value for value in values if not math.isnan(value)]
    return statistics.fmean(known) if known else math.nan


def _volume(difference: Statistic) -> str:
    """Format a volume by its own size: a hippocampus and a liver stand in the same unit."""
    if math.isnan(difference.mean):
        return "–"
    largest = max(abs(difference.mean), difference.std)
    digits = max(0, 2 - math.floor(math.log10(largest))) if largest > 0 else 0
    return f"{difference.mean:+.{min(digits, 6)}f} ± {difference.std:.{min(digits, 6)}f}"


def _summary(scores: Sequence[ClassMetrics]) -> ClassSummary:
    counted = [one for one in scores if one.counts]
    return ClassSummary(
        cases=len(counted),
        missed=sum(one.prediction_volume == 0 for one in counted),
        spurious=sum(one.reference_volume == 0 for one in counted),
        **{key: statistic_of(getattr(one, key) for one in counted) for key in AVERAGED},
    )
