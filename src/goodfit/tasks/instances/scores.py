"""scores.json of instances: COCO's numbers, overall, by category and by group, and what went wrong in which frame."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from goodfit.data.wording import counted
from goodfit.errors import RunError
from goodfit.files import read_json, write_text
from goodfit.tasks.scoring import Number

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

INSTANCE_SCORES_VERSION: Final = 1
BACKGROUND = "background"
ScoredKind = Literal["mask", "box"]
NUMBERS = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP small",
    "ap_medium": "AP medium",
    "ap_large": "AP large",
    "ar_1": "AR at 1",
    "ar_10": "AR at 10",
    "ar_100": "AR at 100",
    "ar_small": "AR small",
    "ar_medium": "AR medium",
    "ar_large": "AR large",
}
"""Field -> how tables call it, in COCO's order."""
RULES = (
    "AP is COCO's: the area under the precision-recall curve, averaged over the overlaps 0.50, 0.55 ... 0.95 and over "
    "categories; AP50 and AP75 take one overlap. Small objects have less than 32 x 32 pixels, large ones more than "
    "96 x 96. AR at n is the share of objects found, averaged likewise, when the n surest detections of each frame and "
    "category count; otherwise the 100 surest do. A category without an object has no score and no weight. Crowd "
    "regions are neither found nor missed, and detections in them are no mistakes."
)
_DECIMALS = 3


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CocoNumbers(_Frozen):
    """The twelve numbers of COCO's evaluation; NaN where there is no such object."""

    ap: Number
    """Average precision: mean over overlaps 0.50 to 0.95 and over categories."""
    ap50: Number
    ap75: Number
    ap_small: Number
    """Of objects below 32 x 32 pixels."""
    ap_medium: Number
    ap_large: Number
    """Of objects above 96 x 96 pixels."""
    ar_1: Number
    """Average recall with the surest detection of each frame and category."""
    ar_10: Number
    ar_100: Number
    ar_small: Number
    ar_medium: Number
    ar_large: Number


class CategoryScores(_Frozen):
    """One category."""

    instances: int
    """Objects of the reference, crowds left out."""
    ap: Number
    ap50: Number
    ap75: Number


class KindScores(CocoNumbers):
    """COCO's numbers by the overlap of masks, or of boxes."""

    categories: dict[str, CategoryScores]


class PartScores(_Frozen):
    """A stretch of a video, or a video of a group."""

    title: str
    frames: int
    instances: int
    ap: Number
    ap50: Number


class GroupScores(_Frozen):
    """The frames of one group (video, patient), scored as if there were no others."""

    frames: int
    instances: int
    ap: Number
    ap50: Number
    parts: list[PartScores] = []
    """The group's videos where it has several, else contiguous fifths of a long video."""


class PrecisionRecall(_Frozen):
    """The precision-recall curve of a category, on COCO's grid of 101 recalls from 0 to 1."""

    category: str
    iou: float
    precision: list[float]
    """At each recall; 0 beyond the largest recall reached."""
    scores: list[float]
    """Score down to which detections count to reach each recall; 0 where it is not reached."""


class Confusion(_Frozen):
    """What the objects of each category were taken for."""

    names: list[str]
    """The categories, then background."""
    counts: list[list[int]]
    """[true][predicted]; the last row holds detections of nothing, the last column objects that were missed."""
    iou: float
    score: float


class FrameScores(_Frozen):
    """One frame, at the overlap and the score of the confusion matrix."""

    name: str
    group: str
    number: int
    """Place in time within the group."""
    instances: int
    found: int
    missed: int
    false: int
    """Detections of nothing, of the wrong category, or of an object that was found already."""
    confused: int
    """Objects that were missed since they were taken for another category; they also count as missed and false."""
    mean_iou: Number
    """Over the objects found; NaN where there are none."""
    quality: Number
    """Sum of the overlaps of the objects found / (found + half the missed + half the false), which is the panoptic
    quality of Kirillov et al. (2019); NaN where there was nothing to find and nothing was found."""
    distance: Number = math.nan
    """From the training frames, by the backbone's features; NaN where it was not measured."""

    @property
    def what(self) -> str:
        """What went right and wrong, in a few words."""
        said = [f"{self.found} of {counted(self.instances, 'object')} found"] if self.instances else ["no object here"]
        if self.false:
            said.append(f"{self.false} false")
        if self.confused:
            said.append(f"{self.confused} of another category")
        if self.found:
            said.append(f"mean overlap {self.mean_iou:.2f}")
        return ", ".join(said)


class WorstFrame(_Frozen):
    """A frame to look at."""

    name: str
    quality: Number
    what: str


class InstanceScores(BaseModel):
    """All of scores.json; ``evaluate_instances`` makes it."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = INSTANCE_SCORES_VERSION
    kind: Literal["instances"] = "instances"
    """Tells these scores from those of a segmentation."""
    set_name: str
    """Which frames these are: test, validation, or evaluation where nothing is known of them."""
    optimistic: bool
    """The set also chose the checkpoint, or shows the videos that were trained on."""
    notes: list[str] = []
    rules: str = RULES
    frames: int
    instances: int
    """Objects of the reference, crowds left out."""
    kinds: dict[ScoredKind, KindScores]
    groups: dict[str, GroupScores] = {}
    """Empty where every frame is a group of its own; scored by masks where there are any, else by boxes."""
    curves: list[PrecisionRecall] = []
    confusion: Confusion
    worst: list[WorstFrame] = []
    """The worst first; neighbours of a frame named already are left out."""
    unusual_from: Number = math.nan
    """Distance from the training frames from which a frame is unusual; NaN where it was not measured."""
    per_frame: list[FrameScores]

    @property
    def main(self) -> ScoredKind:
        """The overlap that decides: of masks where there are any, else of boxes."""
        return "mask" if "mask" in self.kinds else "box"

    @property
    def numbers(self) -> KindScores:
        """COCO's numbers of the main kind."""
        return self.kinds[self.main]

    @property
    def found(self) -> int:
        """Objects found over all frames."""
        return sum(frame.found for frame in self.per_frame)

    @property
    def false(self) -> int:
        """False detections over all frames."""
        return sum(frame.false for frame in self.per_frame)

    @property
    def title(self) -> str:
        """Heading of a table of these scores; says when they are optimistic, for a reason that the notes give."""
        mark = ", optimistic" if self.optimistic else ""
        return f"{self.set_name}, {counted(self.frames, 'frame')}{mark}"

    def ranked(self) -> list[FrameScores]:
        """Frames from the worst to the best; those that show nothing and where nothing was found are left out."""
        scored = [frame for frame in self.per_frame if not math.isnan(frame.quality)]
        return sorted(scored, key=lambda frame: (frame.quality, -frame.missed - frame.false, frame.name))

    def rows(self) -> list[list[str]]:
        """Table of the categories and their mean as text cells; the first row is the header."""
        fields = {"ap": "AP", "ap50": "AP50", "ap75": "AP75"}
        rows = [["category", "objects", *(f"{kind} {name}" for kind in self.kinds for name in fields.values())]]
        for category, scores in self.numbers.categories.items():
            cells = [
                format_score(getattr(kind.categories[category], field))
                for kind in self.kinds.values()
                for field in fields
            ]
            rows.append([category, str(scores.instances), *cells])
        means = [format_score(getattr(kind, field)) for kind in self.kinds.values() for field in fields]
        return [*rows, ["all", str(self.instances), *means]]

    def coco_rows(self) -> list[list[str]]:
        """Table of COCO's twelve numbers."""
        header = ["", *self.kinds]
        return [
            header,
            *(
                [name, *(format_score(getattr(kind, field)) for kind in self.kinds.values())]
                for field, name in NUMBERS.items()
            ),
        ]

    def group_rows(self) -> list[list[str]]:
        """Table of the groups."""
        return [
            ["group", "frames", "objects", f"{self.main} AP", f"{self.main} AP50"],
            *([name, *_counts(scores)] for name, scores in self.groups.items()),
        ]

    def part_rows(self) -> list[list[str]]:
        """Table of the parts of groups, the group's name in the second column."""
        return [
            ["part", "group", "frames", "objects", f"{self.main} AP", f"{self.main} AP50"],
            *([part.title, name, *_counts(part)] for name, group in self.groups.items() for part in group.parts),
        ]

    def to_csv(self) -> str:
        """One line per frame; an undefined score is an empty cell."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns = [*FrameScores.model_fields]
        writer.writerow(["set", "optimistic", *columns])
        for frame in self.per_frame:
            values = frame.model_dump().values()
            cells = ["" if isinstance(value, float) and math.isnan(value) else value for value in values]
            writer.writerow([self.set_name, str(self.optimistic).lower(), *cells])
        return text.getvalue()


def apart(ranked: Sequence[FrameScores], frames: Sequence[FrameScores], count: int) -> list[FrameScores]:
    """Take the first few frames, but no close neighbours of those taken: they show the same.

    Args:
        ranked: the frames in order of preference.
        frames: all frames, among them those in ``ranked``.
        count: of frames to take.

    Returns:
        ``count`` frames, fewer where there are not as many that lie apart: a twentieth of their group at least.
    """
    places: dict[str, tuple[str, int]] = {}
    members: dict[str, list[FrameScores]] = {}
    for frame in frames:
        members.setdefault(frame.group, []).append(frame)
    for group, inside in members.items():
        for place, frame in enumerate(sorted(inside, key=lambda frame: (frame.number, frame.name))):
            places[frame.name] = group, place
    taken: list[FrameScores] = []
    for frame in ranked:
        if len(taken) == count:
            break
        group, place = places[frame.name]
        near = len(members[group]) / 20
        others = [places[other.name] for other in taken]
        if all(other != group or abs(place - at) > near for other, at in others):
            taken.append(frame)
    return taken


def save_instance_scores(scores: InstanceScores, path: Path) -> None:
    """Write scores.json, and beside it the table of the frames as .csv, both atomically."""
    write_text(path, scores.model_dump_json(indent=2) + "\n")
    write_text(path.with_suffix(".csv"), scores.to_csv())


def load_instance_scores(path: Path) -> InstanceScores:
    """Read scores.json.

    Raises:
        RunError: the file is missing, is no JSON or holds no scores of instances; names the field.
    """
    try:
        return InstanceScores.model_validate(read_json(path, RunError))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{path}: these are no scores of this version ({where}: {first['msg']}).") from error


def format_score(value: float) -> str:
    """Format a score for a table; NaN is a dash."""
    return "–" if math.isnan(value) else f"{value:.{_DECIMALS}f}"


def _counts(scores: GroupScores | PartScores) -> list[str]:
    return [str(scores.frames), str(scores.instances), format_score(scores.ap), format_score(scores.ap50)]
