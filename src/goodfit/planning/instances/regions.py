"""How many regions and detections a frame needs, and how much objects may overlap: from the objects per frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from goodfit.planning import wording
from goodfit.planning.instances.decision import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence

POSITIVES_PER_OBJECT = 8
"""Regions of each object that the heads see in a step: more of them are nearly equal."""
POSITIVE_FRACTION = 0.25
"""Detectron2 and torchvision: a quarter of the regions are objects at most."""
LEAST_REGIONS, MOST_REGIONS = 64, 512
"""512 is Detectron2's and torchvision's number, for 7 objects a frame in 80 categories."""
CROWDED_QUANTILE = 0.95
MARGIN = 1.5
LEAST_DETECTIONS = 20
LEAST_PROPOSALS, MOST_PROPOSALS = 150, 1000
"""torchvision keeps 150 proposals in its small mobile detector and 1000 otherwise."""
PROPOSALS_PER_DETECTION = 5
TRAINING_PROPOSALS = 2
"""Proposals in training as a multiple of those in prediction (Detectron2, torchvision: 2000 and 1000)."""
NMS_DEFAULT, NMS_HIGHEST, NMS_MARGIN = 0.5, 0.7, 0.05
COCO_DETECTIONS = 100


@dataclass(frozen=True)
class RegionCounts:
    """Decisions for the fields of the same names in the plan."""

    regions_per_image: Decision[int]
    detections_per_image: Decision[int]
    rpn_proposals_train: Decision[int]
    rpn_proposals_test: Decision[int]
    nms_threshold: Decision[float]


def choose_regions(instances: Sequence[int], overlap: float) -> RegionCounts:
    """Choose all counts.

    Args:
        instances: objects of each frame.
        overlap: IoU that 99 % of the objects do not exceed with others of their category.
    """
    detections = choose_detections(max(instances))
    test = min(MOST_PROPOSALS, max(LEAST_PROPOSALS, PROPOSALS_PER_DETECTION * detections.value))
    why = f"{PROPOSALS_PER_DETECTION} for each detection, between {LEAST_PROPOSALS} and {MOST_PROPOSALS}"
    return RegionCounts(
        regions_per_image=choose_regions_per_image(instances),
        detections_per_image=detections,
        rpn_proposals_train=Decision(TRAINING_PROPOSALS * test, "twice those of prediction, as in Detectron2"),
        rpn_proposals_test=Decision(test, why),
        nms_threshold=choose_nms_threshold(overlap),
    )


def choose_regions_per_image(instances: Sequence[int]) -> Decision[int]:
    """Give the size of the RoI batch of a frame."""
    crowded = float(np.quantile(instances, CROWDED_QUANTILE))
    wanted = crowded * POSITIVES_PER_OBJECT / POSITIVE_FRACTION
    regions = min(MOST_REGIONS, max(LEAST_REGIONS, math.ceil(wanted / 32) * 32))
    most = wording.percent(CROWDED_QUANTILE)
    return Decision(
        regions,
        f"{POSITIVES_PER_OBJECT} for each object; {most} of the frames have no more than {crowded:.3g}, "
        f"these being {wording.percent(POSITIVE_FRACTION)}; between {LEAST_REGIONS} and Detectron2's {MOST_REGIONS}",
    )


def choose_detections(most: int) -> Decision[int]:
    """Give the largest number of objects reported in a frame."""
    detections = max(LEAST_DETECTIONS, math.ceil(most * MARGIN / 10) * 10)
    reason = f"the fullest frame has {wording.counted(most, 'object')}; half as many again, at least {LEAST_DETECTIONS}"
    if detections > COCO_DETECTIONS:
        reason += f". COCO's average precision looks at the best {COCO_DETECTIONS} of them"
    return Decision(detections, reason)


def choose_nms_threshold(overlap: float) -> Decision[float]:
    """Give the overlap from which on the worse of two detections is dropped."""
    threshold = round(min(NMS_HIGHEST, max(NMS_DEFAULT, overlap + NMS_MARGIN)), 2)
    stated = f"99 % of the objects overlap another of their category by an IoU of {overlap:.2f} at most"
    if threshold == NMS_DEFAULT:
        return Decision(threshold, f"{stated}, so the usual {NMS_DEFAULT} loses none")
    return Decision(threshold, f"{stated}: the usual {NMS_DEFAULT} would lose neighbours (at most {NMS_HIGHEST})")
