"""COCO's evaluation of detections on all frames and on any part of them, through faster-coco-eval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.tasks.instances.scores import CategoryScores, CocoNumbers, PrecisionRecall

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from goodfit.tasks.instances.metrics import Kind

OVERLAPS = {0.5: 0, 0.75: 5}
"""Overlap -> its place among 0.50, 0.55 ... 0.95."""
_MOST = (1, 10, 100)
_ALL, _SMALL, _MEDIUM, _LARGE = range(4)  # COCO's areas
_ONE, _TEN, _HUNDRED = range(3)
_UNDEFINED = -1.0  # COCO's mark of a category without objects
_DIGITS = 6


@dataclass(frozen=True)
class CocoTables:
    """What COCO's evaluation gives; -1 where a category has no object.

    Attributes:
        precision: (overlaps, recalls, categories, areas, detections).
        recall: (overlaps, categories, areas, detections).
        scores: as ``precision``: the score at each recall.
    """

    precision: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]

    @property
    def ap(self) -> float:
        """Average precision."""
        return _mean(self.precision[:, :, :, _ALL, _HUNDRED])

    @property
    def ap50(self) -> float:
        """Average precision at the overlap 0.5."""
        return _mean(self.precision[OVERLAPS[0.5], :, :, _ALL, _HUNDRED])

    def numbers(self) -> CocoNumbers:
        """COCO's twelve numbers."""
        precision, recall = self.precision[..., _HUNDRED], self.recall
        return CocoNumbers(
            ap=self.ap,
            ap50=self.ap50,
            ap75=_mean(precision[OVERLAPS[0.75], :, :, _ALL]),
            ap_small=_mean(precision[..., _SMALL]),
            ap_medium=_mean(precision[..., _MEDIUM]),
            ap_large=_mean(precision[..., _LARGE]),
            ar_1=_mean(recall[:, :, _ALL, _ONE]),
            ar_10=_mean(recall[:, :, _ALL, _TEN]),
            ar_100=_mean(recall[:, :, _ALL, _HUNDRED]),
            ar_small=_mean(recall[:, :, _SMALL, _HUNDRED]),
            ar_medium=_mean(recall[:, :, _MEDIUM, _HUNDRED]),
            ar_large=_mean(recall[:, :, _LARGE, _HUNDRED]),
        )

    def category(self, place: int, instances: int) -> CategoryScores:
        """Scores of one category, counted from 0."""
        precision = self.precision[:, :, place, _ALL, _HUNDRED]
        at50, at75 = precision[OVERLAPS[0.5]], precision[OVERLAPS[0.75]]
        return CategoryScores(instances=instances, ap=_mean(precision), ap50=_mean(at50), ap75=_mean(at75))

    def curves(self, categories: Sequence[str]) -> list[PrecisionRecall]:
        """The precision-recall curves of the categories that have objects, at the overlaps 0.5 and 0.75."""
        curves = []
        for place, name in enumerate(categories):
            for iou, at in OVERLAPS.items():
                precision = self.precision[at, :, place, _ALL, _HUNDRED]
                scores = self.scores[at, :, place, _ALL, _HUNDRED]
                if (precision > _UNDEFINED).all():
                    curve = PrecisionRecall(category=name, iou=iou, precision=_short(precision), scores=_short(scores))
                    curves.append(curve)
        return curves


class CocoJudge:
    """Scores detections against a reference.

    Args:
        reference: content of a COCO file; image ids are 1, 2, ... in the order of the frames. Kept, and added to.
        results: content of a COCO result file with the same ids, with boxes or masks as ``kind`` says. Likewise.
        kind: overlap of boxes or of masks.
    """

    def __init__(self, reference: dict[str, Any], results: list[dict[str, Any]], kind: Kind) -> None:
        # Imported here, since matplotlib and OpenCV come with it.
        from faster_coco_eval import COCO

        self._reference = COCO(reference)
        self._found = self._reference.loadRes(results)
        self._kind = kind

    def score(self, images: Sequence[int] | None = None) -> CocoTables:
        """Score some images as if there were no others; all where none are told."""
        from faster_coco_eval import COCOeval_faster

        evaluation = COCOeval_faster(self._reference, self._found, iouType=self._kind)
        evaluation.params.maxDets = list(_MOST)
        if images is not None:
            evaluation.params.imgIds = list(images)
        evaluation.evaluate()
        evaluation.accumulate()
        tables = (np.asarray(evaluation.eval[name], dtype=np.float64) for name in ("precision", "recall", "scores"))
        return CocoTables(*tables)


def _mean(values: npt.NDArray[np.float64]) -> float:
    known = values[values > _UNDEFINED]
    return float(known.mean()) if known.size else math.nan


def _short(values: npt.NDArray[np.float64]) -> list[float]:
    return [round(float(value), _DIGITS) for value in values]
