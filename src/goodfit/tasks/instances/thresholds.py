"""Two thresholds of prediction that are chosen on validation frames once the training is over.

The overlap above which the worse of two detections is dropped depends on how the objects lie, which the plan knows,
and on how well the detector tells neighbours apart, which only its detections tell. The score from which a detection
is shown depends on how sure this detector is. Neither is ever chosen on test frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from goodfit.data.wording import counted
from goodfit.errors import RunError
from goodfit.files import read_json, write_text
from goodfit.tasks.instances.matching import MATCH_SCORE, match_frame
from goodfit.tasks.instances.metrics import average_precision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from goodfit.data.instances.model import Frame
    from goodfit.tasks.instances.detection import Detection

THRESHOLDS = "thresholds.json"
"""Within the run's folder."""
OVERLAPS = (0.3, 0.4, 0.5, 0.6, 0.7)
SCORES = (*(round(0.05 * step, 2) for step in range(4, 20)), 0.97)
"""A detector that was trained for minutes is sure of nearly everything: the upper end is finer."""
LEAST_GAIN_AP = 0.002
"""Average precision by which another overlap must be better than the planned one."""
AS_GOOD = 0.95
"""Share of the best F1 that is as good: a few videos do not tell more, and of such scores the one nearest to the usual one
is taken."""
THRESHOLDS_VERSION: Final = 1


class Thresholds(BaseModel):
    """thresholds.json of a run on instances.

    Attributes:
        nms_threshold: in place of the plan's ``model.nms_threshold``.
        score: from which detections are shown, counted in the confusion matrix and begin a track.
        frames: validation frames that decided.
        ap: overlap -> average precision on them.
        f1: score -> F1 at an overlap of 0.5 on them.
        reasons: for the two thresholds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = THRESHOLDS_VERSION
    nms_threshold: Annotated[float, Field(ge=0, le=1)]
    score: Annotated[float, Field(ge=0, le=1)] = MATCH_SCORE
    frames: int = 0
    ap: dict[str, float] = {}
    f1: dict[str, float] = {}
    reasons: dict[str, str] = {}


def overlaps_to_try(planned: float, *, fixed: bool) -> list[float]:
    """Give the overlaps that are tried: the planned one alone where the user has asked for it."""
    return [planned] if fixed else sorted({*OVERLAPS, planned})


def choose_thresholds(
    frames: Sequence[Frame],
    found: Mapping[float, Sequence[Detection]],
    categories: Sequence[str],
    *,
    masks: bool,
    planned: float,
) -> Thresholds:
    """Choose both thresholds.

    Args:
        frames: of the validation set.
        found: overlap tried -> detections of each of the frames, in the same order; the planned one among them.
        categories: names of the categories 1, 2, ...
        masks: whether masks or boxes decide.
        planned: the overlap that the plan has; it stays unless another is clearly better.
    """
    if not any(not one.crowd for frame in frames for one in frame.instances):
        return planned_thresholds(planned, "no validation frame has an object, so there is nothing to choose by")
    kind: Literal["segm", "bbox"] = "segm" if masks else "bbox"
    ap = {overlap: average_precision(frames, own, categories, kind).ap for overlap, own in found.items()}
    overlap, why_overlap = _overlap(ap, planned, len(frames))
    f1 = {score: _f1(frames, found[overlap], score, masks=masks) for score in SCORES}
    score, why_score = _score(f1, len(frames))
    return Thresholds(
        nms_threshold=overlap,
        score=score,
        frames=len(frames),
        ap={f"{key:g}": round(value, 6) for key, value in ap.items()},
        f1={f"{key:g}": round(value, 6) for key, value in f1.items()},
        reasons={"nms_threshold": why_overlap, "score": why_score},
    )


def planned_thresholds(planned: float, why: str) -> Thresholds:
    """Give the thresholds that hold where none were chosen, and say why."""
    return Thresholds(
        nms_threshold=planned, reasons={"nms_threshold": f"the plan's: {why}", "score": f"the usual one: {why}"}
    )


def _overlap(ap: Mapping[float, float], planned: float, frames: int) -> tuple[float, str]:
    measured = ", ".join(f"{overlap:g}: {value:.3f}" for overlap, value in sorted(ap.items()))
    said = f"average precision on {counted(frames, 'validation frame')} ({measured})"
    if len(ap) == 1:
        return planned, f"asked for; {said}"
    # Of equals the one nearest to the plan's.
    best = max(ap, key=lambda overlap: (ap[overlap], -abs(overlap - planned)))
    if ap[best] < ap[planned] + LEAST_GAIN_AP:
        return planned, f"the plan's, which none beats by {LEAST_GAIN_AP:g}: {said}"
    return best, f"in place of the plan's {planned:g}: {said}"


def _score(f1: Mapping[float, float], frames: int) -> tuple[float, str]:
    on = f"F1 at an overlap of 0.5 on {counted(frames, 'validation frame')}"
    best, usual = max(f1.values()), f1[MATCH_SCORE]
    enough = AS_GOOD * best
    chosen = min((score for score in f1 if f1[score] >= enough), key=lambda score: abs(score - MATCH_SCORE))
    if chosen == MATCH_SCORE:
        return chosen, f"the usual one: {on} is {usual:.3f}, and {best:.3f} at best"
    return chosen, f"{on} is {f1[chosen]:.3f}, {best:.3f} at best, and {usual:.3f} from the usual {MATCH_SCORE:g}"


def _f1(frames: Sequence[Frame], detections: Sequence[Detection], score: float, *, masks: bool) -> float:
    """F1 of found, missed and false over all frames; 0 where nothing is found."""
    found = wrong = 0
    for frame, detection in zip(frames, detections, strict=True):
        match = match_frame(frame, detection, masks=masks, score=score)
        found += len(match.found)
        wrong += len(match.missed) + len(match.false) + 2 * len(match.confused)
    return found / (found + wrong / 2) if found else 0.0


def save_thresholds(thresholds: Thresholds, path: Path) -> None:
    """Write thresholds.json atomically."""
    write_text(path, thresholds.model_dump_json(indent=2) + "\n")


def load_thresholds(path: Path) -> Thresholds:
    """Read thresholds.json.

    Raises:
        RunError: the file is missing, is no JSON or holds no thresholds; names the field.
    """
    try:
        return Thresholds.model_validate(read_json(path, RunError))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{path}: these are no thresholds of this version ({where}: {first['msg']}).") from error
