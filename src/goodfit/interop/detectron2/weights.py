"""Weights of Detectron2's R50-FPN models as torchvision's ResNet-50 detector takes them.

What differs between the two, and where it is dealt with:

* names of all layers: here;
* colours come as blue, green, red, 0 to 255, minus their mean: here, in the first convolution;
* the background is the last class, and boxes have none: here it becomes the first;
* anchors of one position are ordered size by size, not ratio by ratio: here;
* the stride lies in the first 1x1 convolution of a stage, anchors are not rounded, RoIAlign is aligned:
  ``tasks.instances.network``, for weights whose name ends in .pkl.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from goodfit.errors import PlanError
from goodfit.interop.detectron2.pickles import read_arrays

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt
    from torch import Tensor

    Arrays = Mapping[str, npt.NDArray[Any]]

_NAMES: tuple[tuple[str, str], ...] = (
    (r"backbone\.bottom_up\.stem\.conv1\.(weight)", r"backbone.body.conv1.\1"),
    (r"backbone\.bottom_up\.stem\.conv1\.norm\.(\w+)", r"backbone.body.bn1.\1"),
    (r"backbone\.bottom_up\.res(\d)\.(\d+)\.conv(\d)\.weight", r"backbone.body.layer{0}.\2.conv\3.weight"),
    (r"backbone\.bottom_up\.res(\d)\.(\d+)\.conv(\d)\.norm\.(\w+)", r"backbone.body.layer{0}.\2.bn\3.\4"),
    (r"backbone\.bottom_up\.res(\d)\.(\d+)\.shortcut\.weight", r"backbone.body.layer{0}.\2.downsample.0.weight"),
    (r"backbone\.bottom_up\.res(\d)\.(\d+)\.shortcut\.norm\.(\w+)", r"backbone.body.layer{0}.\2.downsample.1.\3"),
    (r"backbone\.fpn_lateral(\d)\.(\w+)", r"backbone.fpn.inner_blocks.{1}.0.\2"),
    (r"backbone\.fpn_output(\d)\.(\w+)", r"backbone.fpn.layer_blocks.{1}.0.\2"),
    (r"proposal_generator\.rpn_head\.conv\.(\w+)", r"rpn.head.conv.0.0.\1"),
    (r"proposal_generator\.rpn_head\.objectness_logits\.(\w+)", r"rpn.head.cls_logits.\1"),
    (r"proposal_generator\.rpn_head\.anchor_deltas\.(\w+)", r"rpn.head.bbox_pred.\1"),
    (r"roi_heads\.box_head\.fc1\.(\w+)", r"roi_heads.box_head.fc6.\1"),
    (r"roi_heads\.box_head\.fc2\.(\w+)", r"roi_heads.box_head.fc7.\1"),
    (r"roi_heads\.box_predictor\.(cls_score|bbox_pred)\.(\w+)", r"roi_heads.box_predictor.\1.\2"),
    (r"roi_heads\.mask_head\.mask_fcn(\d)\.(\w+)", r"roi_heads.mask_head.{2}.0.\2"),
    (r"roi_heads\.mask_head\.deconv\.(\w+)", r"roi_heads.mask_predictor.conv5_mask.\1"),
    (r"roi_heads\.mask_head\.predictor\.(\w+)", r"roi_heads.mask_predictor.mask_fcn_logits.\1"),
)
"""Detectron2's name -> torchvision's; {0}, {1}, {2} are the first number less 1, less 2, less 1."""
_OF_NO_USE = re.compile(r"(pixel_mean|pixel_std|proposal_generator\.anchor_generator\..*|.*\.num_batches_tracked)")
_STEM = "backbone.body.conv1.weight"


def read_detectron2(file: Path, std: Sequence[float], ratios: int) -> dict[str, Tensor]:
    """Read a .pkl file of Detectron2's; see ``convert_detectron2``.

    Raises:
        PlanError: the file is missing or no such file, or is of another architecture.
    """
    return convert_detectron2(read_arrays(file), std, ratios, str(file))


def convert_detectron2(arrays: Arrays, std: Sequence[float], ratios: int, source: str) -> dict[str, Tensor]:
    """Turn the weights of a Detectron2 R50-FPN Mask R-CNN or Faster R-CNN into torchvision's.

    Args:
        arrays: weights by Detectron2's names.
        std: of red, green and blue in [0, 1], by which our images are divided; their mean is taken to be
            Detectron2's, which is ImageNet's.
        ratios: number of aspect ratios of the anchors.
        source: what messages call the weights.

    Returns:
        float32 tensors by the names of our ``resnet50`` detector.

    Raises:
        PlanError: a weight that an R50-FPN model does not have, or one of the wrong shape.
    """
    converted = {}
    unknown = []
    for name, array in arrays.items():
        if _OF_NO_USE.fullmatch(name):
            continue
        ours = _rename(name)
        if ours is None:
            unknown.append(name)
            continue
        converted[ours] = _in_our_order(ours, torch.from_numpy(np.array(array, dtype=np.float32)), ratios, source)
    if unknown:
        some = ", ".join(sorted(unknown)[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
        raise PlanError(
            f"{source}: an R50-FPN model of Detectron2's has no {some}. Only its Mask R-CNN and Faster R-CNN with "
            "ResNet-50 and FPN can be converted."
        )
    if _STEM not in converted or converted[_STEM].shape[1] != 3:
        raise PlanError(f"{source}: the first convolution of a ResNet-50 is missing or does not take three colours.")
    scale = 255 * torch.tensor(list(std), dtype=torch.float32)
    converted[_STEM] = converted[_STEM].flip(1) * scale[None, :, None, None]
    return converted


def _rename(name: str) -> str | None:
    for pattern, ours in _NAMES:
        match = re.fullmatch(pattern, name)
        if match is not None:
            first = int(match[1]) if match[1].isdigit() else 0
            return match.expand(ours).format(first - 1, first - 2, first - 1)
    return None


def _in_our_order(name: str, tensor: Tensor, ratios: int, source: str) -> Tensor:
    if name.startswith("roi_heads.box_predictor.cls_score"):
        return torch.cat((tensor[-1:], tensor[:-1]))
    if name.startswith(("roi_heads.box_predictor.bbox_pred", "roi_heads.mask_predictor.mask_fcn_logits")):
        rows = 4 if "bbox_pred" in name else 1
        # The background has neither box nor mask, and what torchvision keeps for it is never looked at.
        return torch.cat((torch.zeros_like(tensor[:rows]), tensor))
    if name.startswith(("rpn.head.cls_logits", "rpn.head.bbox_pred")):
        rows = 4 if "bbox_pred" in name else 1
        sizes, rest = divmod(len(tensor), rows * ratios)
        if rest:
            raise PlanError(
                f"{source}: its anchors do not come in {ratios} ratios; see model.anchor_ratios of the plan."
            )
        return tensor.reshape(sizes, ratios, rows, *tensor.shape[1:]).transpose(0, 1).reshape(tensor.shape)
    return tensor
