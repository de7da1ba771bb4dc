"""COCO's average precision of boxes and masks, through faster-coco-eval, which computes as pycocotools does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from goodfit.data.instances.masks import to_rle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.data.instances.model import Frame
    from goodfit.tasks.instances.detection import Detection

Kind = Literal["bbox", "segm"]
MOST_DETECTIONS = 100
"""Of each image and category that count, the surest first (COCO)."""
_UNDEFINED = -1.0  # COCO's mark of a category without objects


@dataclass(frozen=True)
class AveragePrecision:
    """COCO's average precision of one kind of overlap; NaN where there is no object to find.

    Attributes:
        ap: mean over the thresholds 0.50, 0.55 ... 0.95 of the overlap and over categories.
        ap50: at 0.5.
        ap75: at 0.75.
        categories: ``ap`` of each category, by name.
        small: ``ap`` of objects below 32 x 32 pixels.
        medium: from there to 96 x 96.
        large: above.
        recall: average recall over the same thresholds.
    """

    ap: float
    ap50: float
    ap75: float
    categories: Mapping[str, float]
    small: float
    medium: float
    large: float
    recall: float


def coco_dataset(frames: Sequence[Frame], categories: Sequence[str]) -> dict[str, Any]:
    """Write frames as the content of a COCO file; image ids are 1, 2, ... in the given order."""
    annotations: list[dict[str, Any]] = []
    for number, frame in enumerate(frames, start=1):
        for instance in frame.instances:
            x0, y0, x1, y1 = instance.box
            entry = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": instance.category,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": instance.area,
                "iscrowd": int(instance.crowd),
            }
            if instance.segmentation is not None:
                entry["segmentation"] = to_rle(instance, frame.height, frame.width)
            annotations.append(entry)
    return {
        "info": {},
        "images": [
            {"id": number, "file_name": frame.name, "height": frame.height, "width": frame.width}
            for number, frame in enumerate(frames, start=1)
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(categories, start=1)],
    }


def coco_results(detections: Sequence[Detection], *, masks: bool) -> list[dict[str, Any]]:
    """Write detections of frames, in the same order, as the content of a COCO result file."""
    results = []
    for number, found in enumerate(detections, start=1):
        boxes = found.boxes.astype(np.float64).tolist()
        for place, (x0, y0, x1, y1) in enumerate(boxes):
            entry: dict[str, Any] = {
                "image_id": number,
                "category_id": int(found.categories[place]),
                "score": float(found.scores[place]),
            }
            if masks:
                assert found.masks is not None
                entry["segmentation"] = found.masks[place]
            else:
                entry["bbox"] = [x0, y0, x1 - x0, y1 - y0]
            results.append(entry)
    return results


def average_precision(
    frames: Sequence[Frame],
    detections: Sequence[Detection],
    categories: Sequence[str],
    kind: Kind,
    *,
    most: int = MOST_DETECTIONS,
) -> AveragePrecision:
    """Compute COCO's average precision.

    Crowds neither count as found nor as missed, and what lies in them is no mistake, as COCO has it.

    Args:
        frames: with their annotations.
        detections: what was found in each frame, in its pixels, in the same order.
        categories: names of the categories 1, 2, ...
        kind: overlap of boxes or of masks.
        most: detections of each frame and category that count.
    """
    # Imported here, since matplotlib and OpenCV come with it.
    from faster_coco_eval import COCO, COCOeval_faster

    reference = COCO(coco_dataset(frames, categories))
    found = reference.loadRes(coco_results(detections, masks=kind == "segm"))
    evaluation = COCOeval_faster(reference, found, iouType=kind)
    evaluation.params.maxDets = [1, 10, most]
    evaluation.evaluate()
    evaluation.accumulate()
    # (thresholds, recalls, categories, areas, detections)
    precision = np.asarray(evaluation.eval["precision"])[..., -1]
    recall = np.asarray(evaluation.eval["recall"])[:, :, 0, -1]
    return AveragePrecision(
        ap=_mean(precision[..., 0]),
        ap50=_mean(precision[0, ..., 0]),
        ap75=_mean(precision[5, ..., 0]),
        categories={name: _mean(precision[:, :, number, 0]) for number, name in enumerate(categories)},
        small=_mean(precision[..., 1]),
        medium=_mean(precision[..., 2]),
        large=_mean(precision[..., 3]),
        recall=_mean(recall),
    )


def _mean(values: np.ndarray[Any, Any]) -> float:
    known = values[values > _UNDEFINED]
    return float(known.mean()) if len(known) else math.nan
