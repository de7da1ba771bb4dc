"""How large a frame is in the network: as large as its small objects need, no larger than memory and device like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from goodfit.planning import wording
from goodfit.planning.instances.boxes import relative_sizes
from goodfit.planning.instances.decision import Decision
from goodfit.planning.instances.plan import SMALLEST_IMAGE

if TYPE_CHECKING:
    import numpy.typing as npt

    from goodfit.planning.instances.fingerprint import InstanceFingerprint

    Floats = npt.NDArray[np.float64]

DeviceKind = Literal["cpu", "cuda"]

NEEDED_PIXELS = 16
"""A small object of fewer pixels covers less than 4 x 4 positions of the finest level, whose stride is 4."""
COMFORTABLE_PIXELS = 64
"""A small object of this size covers the 14 x 14 grid of the mask head with some four pixels a cell: more adds work
rather than detail."""
SMALL_QUANTILE = 0.25
"""The small objects are the lower half of all sizes; this quantile is their median."""
LEAST_SIDE: dict[DeviceKind, int] = {"cpu": 320, "cuda": 800}
"""Shorter side that frames are not shrunk below for the sake of speed: torchvision's size for mobile backbones, and
the size that Detectron2 and torchvision train at on GPUs."""
MOST_ENLARGED = 2.0
"""Interpolated pixels hold nothing new: beyond twice, work grows and detail does not."""
MULTIPLE = 32
"""Frames are padded to a multiple of this in the network."""
ASPECT_QUANTILE = 0.95


@dataclass(frozen=True)
class InputSize:
    """Shorter and longer side in pixels, with the reason of each."""

    min_size: Decision[int]
    max_size: Decision[int]


def choose_min_size(own: float, small: float, device: DeviceKind) -> Decision[int]:
    """Give the shorter side of a frame in the network.

    Args:
        own: median of the frames' shorter sides in the files, in pixels.
        small: size of a small object as a share of the frame's shorter side, above 0.
        device: what it will be trained on.
    """
    object_size = (
        f"a small object ({wording.percent(SMALL_QUANTILE)} are smaller) measures {small * own:.3g} of {own:.4g} pixels"
    )
    needed, comfortable = NEEDED_PIXELS / small, COMFORTABLE_PIXELS / small
    if needed > own:
        most = own * MOST_ENLARGED
        size = max(SMALLEST_IMAGE, round(own), _rounded(min(needed, most)))
        limit = f", at most {MOST_ENLARGED:g} times the file's size" if needed > most else ""
        return Decision(size, f"{object_size}; enlarged so that it has {NEEDED_PIXELS} in the network{limit}")
    least = LEAST_SIDE[device]
    wanted = max(comfortable, least)
    if wanted >= own:
        return Decision(
            max(SMALLEST_IMAGE, round(own)),
            f"the frames' own size: {object_size}, enough to be seen, too little to shrink",
        )
    size = max(SMALLEST_IMAGE, _rounded(wanted))
    if comfortable >= least:
        return Decision(size, f"{object_size}; shrunk so that it has {COMFORTABLE_PIXELS} in the network")
    why = f"{object_size}, so that frames can be shrunk to the least side for this device ({device})"
    return Decision(size, why)


def choose_max_size(min_size: int, aspects: npt.ArrayLike) -> Decision[int]:
    """Give the longer side at most: what frames of nearly all shapes need.

    Args:
        min_size: shorter side in the network.
        aspects: longer / shorter side of each frame.
    """
    aspect = float(np.quantile(np.asarray(aspects, np.float64), ASPECT_QUANTILE))
    size = max(min_size, round(min_size * aspect))
    return Decision(
        size, f"{wording.percent(ASPECT_QUANTILE)} of the frames are no more than {aspect:.3g} times as long as wide"
    )


def choose_input_size(
    fingerprint: InstanceFingerprint,
    device: DeviceKind,
    *,
    min_size: int | None = None,
    max_size: int | None = None,
    most_pixels: float | None = None,
) -> InputSize:
    """Choose both sides from the frames and boxes of the fingerprint.

    Args:
        fingerprint: of the dataset.
        device: what it will be trained on.
        min_size: given by the user; None derives it.
        max_size: given by the user; None derives it.
        most_pixels: pixels of a frame in the network that the memory allows; None: any number.
    """
    sides = np.sort(np.asarray([fingerprint.frames.heights, fingerprint.frames.widths], np.float64), axis=0)
    small = float(np.quantile(relative_sizes(fingerprint.box_array()), SMALL_QUANTILE))
    aspects = sides[1] / sides[0]
    if min_size is None:
        shorter = choose_min_size(float(np.median(sides[0])), small, device)
        if max_size is not None and shorter.value > max_size:
            shorter = Decision(max_size, "no larger than the longer side, which was given")
    else:
        shorter = Decision(min_size, "given")
    longer = choose_max_size(shorter.value, aspects) if max_size is None else Decision(max_size, "given")
    pixels = shorter.value * longer.value
    if most_pixels is None or pixels <= most_pixels or min_size is not None or max_size is not None:
        return InputSize(shorter, longer)
    fitting = max(SMALLEST_IMAGE, _rounded(shorter.value * (most_pixels / pixels) ** 0.5))
    shorter = Decision(fitting, f"the memory allows no more; {shorter.value} would be wanted: {shorter.reason}")
    return InputSize(shorter, choose_max_size(fitting, aspects))


def _rounded(size: float) -> int:
    """Round down to a multiple of 32, to which frames are padded."""
    return int(size // MULTIPLE * MULTIPLE)
