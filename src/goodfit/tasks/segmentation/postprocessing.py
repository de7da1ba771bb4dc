"""Keeping only the largest connected component, where that helps: deciding it, writing it down and doing it.

nnU-Net's rule (determine_postprocessing): first all foreground together, kept if the mean Dice over classes rises and
no class falls; then, where there are several classes, each by itself on top of that, kept if its own Dice rises.
Components touch at faces, edges or corners; of equally large ones all stay.
"""

from __future__ import annotations

import math
import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import cc3d
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from goodfit.data.readers import read_label
from goodfit.errors import DatasetError, SettingsError
from goodfit.files import read_json, write_text
from goodfit.tasks.scoring import Number
from goodfit.tasks.segmentation.scores import mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from goodfit.data.labels import Labels
    from goodfit.tasks.segmentation.evaluation import Pair

    Integers = npt.NDArray[Any]

ALL_CLASSES = "all classes together"
_NNUNET_FUNCTION = "remove_all_but_largest_component_from_segmentation"
_CONNECTIVITY = 26


class Trial(BaseModel):
    """One thing to keep the largest component of, and what that did to the scores."""

    model_config = ConfigDict(extra="forbid")

    name: str
    """A class, or "all classes together"."""
    values: list[int]
    """Label values whose union is looked at."""
    helps: bool
    dice_before: Number = math.nan
    dice_after: Number = math.nan
    """Of the class, or the mean over classes; NaN where it is not known."""
    reason: str = ""


class Postprocessing(BaseModel):
    """What was tried and found to help, in the order in which it is applied."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    trials: list[Trial] = Field(default_factory=list)

    @property
    def steps(self) -> list[Trial]:
        """Those that help."""
        return [trial for trial in self.trials if trial.helps]

    def apply(self, labels: Integers) -> Integers:
        """Give (Z, Y, X) label values with the smaller components set to background; the input stays as it is."""
        for step in self.steps:
            labels = keep_largest(labels, step.values)
        return labels


def keep_largest(labels: Integers, values: Sequence[int]) -> Integers:
    """Set to 0 what carries one of the values and is not in the largest component of their union.

    Args:
        labels: (Z, Y, X) label values.
        values: of the union.
    """
    mask = np.isin(labels, values)
    components = cc3d.connected_components(mask, connectivity=_CONNECTIVITY)
    sizes = np.bincount(components.ravel())
    if len(sizes) <= 2:
        return labels
    sizes[0] = 0
    smaller = sizes < sizes.max()
    smaller[0] = False
    result = labels.copy()
    result[smaller[components]] = 0
    return result


def determine(
    pairs: Mapping[str, Pair],
    labels: Labels,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Postprocessing:
    """Find out by the scores whether keeping only the largest component helps.

    Args:
        pairs: predicted and true label file of each case; predictions that no training has seen.
        labels: the classes.
        on_progress: called with (cases read, cases to read).
        workers: threads; None takes one per core.
    """
    everything = list(labels.foreground_values)
    # What is done to one class of plain labels touches no other class; regions overlap, so their order matters.
    rounds = [[name] for name in labels.classes] if labels.has_regions else [list(labels.classes)]
    rounds = rounds if len(labels.classes) > 1 else []
    total, done = len(pairs) * (1 + len(rounds)), 0

    def over_cases(measure: Callable[[Integers, Integers], dict[str, tuple[float, float]]]) -> dict[str, _BeforeAfter]:
        nonlocal done
        rows: list[dict[str, tuple[float, float]]] = []
        with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
            for row in pool.map(lambda pair: measure(*_read(pair)), pairs.values()):
                rows.append(row)
                done += 1
                if on_progress is not None:
                    on_progress(done, total)
        return {name: _BeforeAfter([row[name] for row in rows]) for name in rows[0]} if rows else {}

    def together(prediction: Integers, reference: Integers) -> dict[str, tuple[float, float]]:
        before, after = prediction, keep_largest(prediction, everything)
        return {
            name: (
                class_dice(before, reference, values, labels.ignore),
                class_dice(after, reference, values, labels.ignore),
            )
            for name, values in labels.classes.items()
        }

    found = Postprocessing(trials=[_judge_together(over_cases(together), everything)])
    for names in rounds:
        kept = found

        def apart(
            prediction: Integers, reference: Integers, kept: Postprocessing = kept, names: list[str] = names
        ) -> dict[str, tuple[float, float]]:
            before = kept.apply(prediction)
            outcome = {}
            for name in names:
                values = labels.classes[name]
                after = keep_largest(before, values)
                dice = class_dice(before, reference, values, labels.ignore)
                outcome[name] = (dice, class_dice(after, reference, values, labels.ignore))
            return outcome

        trials = [
            _trial(name, list(labels.classes[name]), one.before, one.after, helps=one.after > one.before)
            for name, one in over_cases(apart).items()
        ]
        found = Postprocessing(trials=[*found.trials, *trials])
    return found


def mean_dice(pairs: Mapping[str, Pair], labels: Labels, *, workers: int | None = None) -> dict[str, float]:
    """Mean Dice of each class over the cases that count for it, without the surface metrics that take their time."""

    def one(pair: Pair) -> dict[str, float]:
        prediction, reference = _read(pair)
        return {
            name: class_dice(prediction, reference, values, labels.ignore) for name, values in labels.classes.items()
        }

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        rows = list(pool.map(one, pairs.values()))
    return {name: mean(row[name] for row in rows) for name in labels.classes}


def class_dice(prediction: Integers, reference: Integers, values: Sequence[int], ignore: int | None) -> float:
    """Dice of a class in one case, NaN where neither has it; voxels with the ignore label are left out."""
    predicted, expected = np.isin(prediction, values), np.isin(reference, values)
    if ignore is not None:
        predicted &= reference != ignore
    either = int(np.count_nonzero(predicted)) + int(np.count_nonzero(expected))
    return 2 * int(np.count_nonzero(predicted & expected)) / either if either else math.nan


def save_postprocessing(postprocessing: Postprocessing, file: Path) -> None:
    """Write postprocessing.json atomically."""
    write_text(file, postprocessing.model_dump_json(indent=2) + "\n")


def load_postprocessing(file: Path) -> Postprocessing:
    """Read goodfit's postprocessing.json or selection.json, or nnU-Net's postprocessing.json.

    Raises:
        SettingsError: the file is none of these; nnU-Net's postprocessing.pkl is refused, since a pickle can execute code.
    """
    if file.suffix == ".pkl":
        raise SettingsError(
            f"{file}: a pickle can execute code when it is read, so it is not. nnU-Net writes the same decision as "
            f"postprocessing.json beside it: give {file.with_suffix('.json')}."
        )
    content = read_json(file, SettingsError)
    if isinstance(content, dict) and "postprocessing_fns" in content:
        return _from_nnunet(content, file)
    if isinstance(content, dict) and isinstance(content.get("postprocessing"), dict):
        content = content["postprocessing"]
    try:
        return Postprocessing.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"{file}: holds no postprocessing ({where}: {first['msg']}). Give what `goodfit select` or `goodfit "
            "postprocess --references` wrote, or nnU-Net's postprocessing.json."
        ) from error


class _BeforeAfter:
    """Mean Dice of a class over the cases that count, without and with the step."""

    def __init__(self, cases: Sequence[tuple[float, float]]) -> None:
        self.before = mean(before for before, _ in cases)
        self.after = mean(after for _, after in cases)


def _judge_together(classes: Mapping[str, _BeforeAfter], values: list[int]) -> Trial:
    before = mean(one.before for one in classes.values())
    after = mean(one.after for one in classes.values())
    worse = [name for name, one in classes.items() if one.after < one.before]
    if after > before and worse:
        reason = f"the mean Dice rises from {before:.5f} to {after:.5f}, but {', '.join(worse)} would get worse"
        return Trial(name=ALL_CLASSES, values=values, helps=False, dice_before=before, dice_after=after, reason=reason)
    return _trial(ALL_CLASSES, values, before, after, helps=after > before)


def _trial(name: str, values: list[int], before: float, after: float, *, helps: bool) -> Trial:
    what = "mean Dice" if name == ALL_CLASSES else "Dice"
    said = f"the {what} rises from {before:.5f} to {after:.5f}" if helps else f"the {what} does not rise"
    return Trial(name=name, values=values, helps=helps, dice_before=before, dice_after=after, reason=said)


def _read(pair: Pair) -> tuple[Integers, Integers]:
    prediction, _ = read_label(pair.prediction)
    reference, _ = read_label(pair.reference)
    if prediction.shape != reference.shape:
        raise DatasetError(
            f"{pair.prediction}: shape {prediction.shape} differs from {reference.shape} of {pair.reference}."
        )
    return prediction, reference


def _from_nnunet(content: Mapping[str, Any], file: Path) -> Postprocessing:
    """Translate nnU-Net's postprocessing.json: one function, and the labels it is called with each time."""
    functions, arguments = content["postprocessing_fns"], content.get("postprocessing_kwargs")
    unknown = sorted({str(name) for name in functions} - {_NNUNET_FUNCTION})
    if unknown:
        raise SettingsError(
            f"{file}: {', '.join(unknown)} is no postprocessing of nnU-Net's own, so it is unknown here."
        )
    if not isinstance(arguments, list) or len(arguments) != len(functions):
        raise SettingsError(f"{file}: postprocessing_kwargs must have an entry for each of postprocessing_fns.")
    trials = []
    for entry in arguments:
        chosen = entry.get("labels_or_regions") if isinstance(entry, dict) else None
        values = sorted({int(number) for number in re.findall(r"\d+", str(chosen))})
        if not values or not isinstance(chosen, (int, list)):
            raise SettingsError(f"{file}: postprocessing_kwargs: {entry} names no labels.")
        trials.append(Trial(name=f"labels {', '.join(map(str, values))}", values=values, helps=True, reason="nnU-Net"))
    return Postprocessing(trials=trials)
