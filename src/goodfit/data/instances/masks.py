"""Masks as arrays and as COCO's run-length codes, by way of faster-coco-eval's C++ code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from faster_coco_eval.core import mask as coco_mask

if TYPE_CHECKING:
    import numpy.typing as npt

    from goodfit.data.instances.model import Instance


def to_rle(instance: Instance, height: int, width: int) -> dict[str, Any]:
    """Give the mask as one compressed RLE {"size": [height, width], "counts": str}, polygons joined.

    An instance without a mask gives its box, filled.
    """
    segmentation = instance.segmentation
    if isinstance(segmentation, dict):
        return segmentation
    if segmentation is None:
        x0, y0, x1, y1 = instance.box
        segmentation = [[x0, y0, x1, y0, x1, y1, x0, y1]]
    codes = coco_mask.frPyObjects(segmentation, height, width)
    return _as_text(coco_mask.merge(codes))


def decode_mask(instance: Instance, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Draw the mask.

    Args:
        instance: its segmentation as ``open_instances`` gives it, that is with an RLE that fills its size.
        height: of the frame.
        width: of the frame.

    Returns:
        (H, W); the filled box where the instance has no mask.
    """
    return np.asarray(coco_mask.decode(_as_bytes(to_rle(instance, height, width))), dtype=np.bool_)


def encode_mask(mask: npt.NDArray[Any]) -> dict[str, Any]:
    """Write a mask (H, W), ones wherever it is not zero, as RLE {"size": [H, W], "counts": str}."""
    return _as_text(coco_mask.encode(np.asfortranarray(mask != 0, dtype=np.uint8)))


def _as_text(code: dict[str, Any]) -> dict[str, Any]:
    counts = code["counts"]
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    return {"size": [int(side) for side in code["size"]], "counts": text}


def _as_bytes(code: dict[str, Any]) -> dict[str, Any]:
    return {"size": code["size"], "counts": code["counts"].encode("ascii")}
