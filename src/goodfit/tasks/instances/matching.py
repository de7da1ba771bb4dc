"""Which detection is which object: what was found, missed, invented or taken for something else in a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from faster_coco_eval.core import mask as coco_mask

from goodfit.data.instances.masks import to_rle

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from goodfit.data.instances.model import Frame, Instance
    from goodfit.tasks.instances.detection import Detection

    Overlaps = npt.NDArray[np.float64]

MATCH_IOU = 0.5
MATCH_SCORE = 0.5
"""Detections below this score are left out, as when people look at the result."""


@dataclass(frozen=True)
class Pair:
    """A detection and the object it overlaps; both by their place in the frame."""

    detection: int
    instance: int
    iou: float


@dataclass(frozen=True)
class FrameMatch:
    """The detections of a frame beside its objects.

    Attributes:
        found: pairs of one category.
        confused: pairs of two categories; their objects count as missed and their detections as false.
        missed: objects that nothing overlaps enough, by place.
        false: detections that overlap no object enough, by place; those within a crowd are left out.
    """

    found: list[Pair]
    confused: list[Pair]
    missed: list[int]
    false: list[int]


def match_frame(
    frame: Frame, detection: Detection, *, masks: bool, iou: float = MATCH_IOU, score: float = MATCH_SCORE
) -> FrameMatch:
    """Match the detections of a frame with its objects, each with one at most.

    First, as in COCO's evaluation, each detection in the order of scores takes the object of its category that it
    overlaps most; then what is left is matched whatever the category, the largest overlap first.

    Args:
        frame: with its objects.
        detection: what was found in it, in its pixels.
        masks: compare masks rather than boxes.
        iou: least overlap of a pair.
        score: least score of a detection.
    """
    sure = [int(place) for place in np.argsort(-detection.scores, kind="stable") if detection.scores[place] >= score]
    objects = [place for place, one in enumerate(frame.instances) if not one.crowd]
    crowds = [place for place, one in enumerate(frame.instances) if one.crowd]
    overlaps = _overlaps(frame, detection, sure, [*objects, *crowds], masks=masks)
    with_objects, with_crowds = overlaps[:, : len(objects)], overlaps[:, len(objects) :]
    alike = _alike(detection, sure, [frame.instances[place] for place in objects])
    found = _by_score(np.where(alike, with_objects, 0.0), iou)
    free = with_objects.copy()
    for row, column in found:
        free[row] = 0.0
        free[:, column] = 0.0
    confused = _by_overlap(np.where(alike, 0.0, free), iou)
    paired = [*found, *confused]
    in_crowd = np.where(_alike(detection, sure, [frame.instances[place] for place in crowds]), with_crowds, 0.0)
    rows, columns = {row for row, _ in paired}, {column for _, column in paired}

    def pairs(places: Sequence[tuple[int, int]]) -> list[Pair]:
        return [Pair(sure[row], objects[column], float(with_objects[row, column])) for row, column in places]

    return FrameMatch(
        found=pairs(found),
        confused=pairs(confused),
        missed=[place for column, place in enumerate(objects) if column not in columns],
        false=[place for row, place in enumerate(sure) if row not in rows and not (in_crowd[row] >= iou).any()],
    )


def _overlaps(
    frame: Frame, detection: Detection, detections: Sequence[int], instances: Sequence[int], *, masks: bool
) -> Overlaps:
    """Overlap of detections (rows) with objects; with a crowd, the share of the detection that lies in it (COCO)."""
    if not detections or not instances:
        return np.zeros((len(detections), len(instances)))
    those = [frame.instances[place] for place in instances]
    found: list[Any]
    true: list[Any]
    if masks:
        assert detection.masks is not None, "detections have masks where masks are compared"
        found = [detection.masks[place] for place in detections]
        true = [to_rle(one, frame.height, frame.width) for one in those]
    else:
        found = [_coco_box(detection.boxes[place]) for place in detections]
        true = [_coco_box(one.box) for one in those]
    overlaps: Overlaps = np.asarray(coco_mask.iou(found, true, [int(one.crowd) for one in those]), dtype=np.float64)
    return overlaps


def _coco_box(box: Sequence[float] | npt.NDArray[np.float32]) -> list[float]:
    x0, y0, x1, y1 = (float(side) for side in box)
    return [x0, y0, x1 - x0, y1 - y0]


def _alike(detection: Detection, places: Sequence[int], instances: Sequence[Instance]) -> npt.NDArray[np.bool_]:
    found = detection.categories[list(places)]
    true = np.array([one.category for one in instances], dtype=np.int64)
    alike: npt.NDArray[np.bool_] = found[:, None] == true[None, :]
    return alike


def _by_score(overlaps: Overlaps, least: float) -> list[tuple[int, int]]:
    """Let each row in turn take the column of its largest overlap among those still free."""
    free, pairs = overlaps.copy(), []
    for row in range(free.shape[0]):
        if free.shape[1] and free[row].max() >= least:
            column = int(free[row].argmax())
            pairs.append((row, column))
            free[:, column] = 0.0
    return pairs


def _by_overlap(overlaps: Overlaps, least: float) -> list[tuple[int, int]]:
    """Pair rows and columns, the largest overlap first."""
    free, pairs = overlaps.copy(), []
    while free.size and free.max() >= least:
        row, column = (int(place) for place in np.unravel_index(int(free.argmax()), free.shape))
        pairs.append((row, column))
        free[row] = 0.0
        free[:, column] = 0.0
    return pairs
