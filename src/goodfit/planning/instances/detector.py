"""Backbone, weights and normalisation of the detector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.planning.instances.decision import Decision

if TYPE_CHECKING:
    from goodfit.planning.instances.input_size import DeviceKind
    from goodfit.planning.instances.plan import BackboneName, NormalisationKind

NO_WEIGHTS = "none"
DETECTRON2_SUFFIX = ".pkl"
"""Ending of the files of Detectron2's model zoo."""
LARGE_BATCH = 16
"""Frames of a batch whose statistics serve batch norm (Wu and He 2018 see it fall behind group norm below)."""
FROZEN_STAGES = 2
"""Detectron2 (FREEZE_AT 2) and torchvision keep the first two of five stages as loaded."""


def choose_backbone(device: DeviceKind, weights: str) -> Decision[BackboneName]:
    """Give the backbone that suits the weights, or else the device."""
    if weights.endswith(DETECTRON2_SUFFIX):
        return Decision("resnet50", "Detectron2's weights are of a ResNet-50")
    if device == "cpu":
        return Decision("mobilenet_v2", "a tenth of ResNet-50's operations: the one that a CPU trains in a short time")
    return Decision("resnet50_v2", "torchvision's improved ResNet-50, the usual size for one GPU")


def choose_weights() -> Decision[str]:
    """Give the weights to start from."""
    return Decision("imagenet", "a backbone that knows edges and textures needs a tenth of the steps (He et al. 2019)")


def choose_normalisation(weights: str, batch_size: int) -> Decision[NormalisationKind]:
    """Give the normalisation in the backbone."""
    if weights != NO_WEIGHTS:
        return Decision(
            "frozen_batch",
            f"the statistics come with the weights; {batch_size} frames a step are too few for better ones",
        )
    if batch_size < LARGE_BATCH:
        return Decision("group", f"trained from scratch, {batch_size} frames a step: no basis for batch statistics")
    return Decision("batch", f"trained from scratch, {batch_size} frames a step are enough for batch statistics")


def choose_frozen_stages(backbone: BackboneName, weights: str) -> Decision[int]:
    """Give the number of stages that stay as loaded."""
    if weights == NO_WEIGHTS:
        return Decision(0, "trained from scratch: nothing is loaded that could stay")
    if backbone.startswith("mobilenet"):
        return Decision(0, "the first stages of a small backbone are too few to be worth keeping")
    return Decision(FROZEN_STAGES, "stem and first stage know edges already (Detectron2: FREEZE_AT 2)")


def keeps_proposal_head(weights: str) -> bool:
    """Tell whether the weights hold a region proposal head, whose three anchors a position must then stay."""
    return weights == "coco" or weights.endswith(DETECTRON2_SUFFIX)
