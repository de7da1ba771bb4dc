"""Writes phantoms as a dataset in nnU-Net's raw layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from goodfit.errors import DatasetError
from goodfit.files import read_json, replacing, write_json
from goodfit.phantoms.anatomy import CLASSES, draw_anatomy, render

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    from goodfit.phantoms.anatomy import Coordinates

GENERATOR_VERSION = 1
"""Goes up whenever the same seed gives other voxels."""

SHAPE = (24, 52, 52)
SPACING = (4.0, 2.0, 2.0)
"""Voxels and mm, (z, y, x): slices twice as thick as the pixels are wide."""

_FINE = 2
"""Points per slice thickness that are drawn and then averaged, as a scanner does."""


@dataclass(frozen=True)
class Phantom:
    """One generated case: image (Z, Y, X) int16 in Hounsfield units, label (Z, Y, X) uint8, ``CLASSES`` as values."""

    image: npt.NDArray[np.int16]
    label: npt.NDArray[np.uint8]


def make_phantom(seed: int, case: int) -> Phantom:
    """Generate one case, a pure function of seed and case number.

    The label is cut from the drawn shapes before the image is degraded: blur, a smooth gain, an offset of the
    whole scan and noise, none of which depends on the classes.
    """
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng([seed, case])
    where = _pose(random, _deformation(random))
    image, shares = render(draw_anatomy(random), where)
    depth, *plane = SHAPE
    image = image.reshape(depth, _FINE, *plane).mean(1)
    shares = shares.reshape(len(CLASSES), depth, _FINE, *plane).mean(2)
    background = 1 - shares.sum(0, keepdims=True)
    label = np.concatenate([background, shares]).argmax(0).astype(np.uint8)

    image = gaussian_filter(image, (0.3, 0.6, 0.6))
    gain = 1 + 0.015 * _smooth(random, SHAPE)
    noise = gaussian_filter(random.standard_normal(SHAPE, dtype=np.float32), (0, 0.6, 0.6))
    noise *= np.float32(random.uniform(12, 18)) / noise.std()
    image = (image + 1000) * gain - 1000 + noise + np.float32(random.normal(0, 8))
    return Phantom(np.clip(np.rint(image), -1024, 3071).astype(np.int16), label)


def write_phantoms(
    folder: Path, cases: int = 24, seed: int = 0, on_progress: Callable[[int, int], None] | None = None
) -> Path:
    """Write a dataset of phantoms; one that is already there, from the same seed, is left as it is.

    Args:
        folder: receives imagesTr, labelsTr and dataset.json.
        cases: how many.
        seed: another seed gives other bodies.
        on_progress: told (cases done, cases) after each.

    Returns:
        ``folder``.

    Raises:
        DatasetError: the folder holds another dataset.
    """
    generator = {"name": "goodfit phantoms", "version": GENERATOR_VERSION, "seed": seed, "cases": cases}
    description = folder / "dataset.json"
    if description.exists():
        if read_json(description, DatasetError).get("generator") == generator:
            return folder
        raise DatasetError(f"{folder}: holds another dataset. Choose another folder or remove this one.")
    for case in range(cases):
        phantom = make_phantom(seed, case)
        _write(folder / "imagesTr" / f"phantom_{case:03d}_0000.nii.gz", phantom.image)
        _write(folder / "labelsTr" / f"phantom_{case:03d}.nii.gz", phantom.label)
        if on_progress is not None:
            on_progress(case + 1, cases)
    # Last, since a folder with a description counts as finished.
    write_json(
        description,
        {
            "name": folder.name,
            "description": "Generated phantoms: two organs and a lesion in a body, no real anatomy.",
            "channel_names": {"0": "CT"},
            "labels": {"background": 0, **CLASSES},
            "numTraining": cases,
            "file_ending": ".nii.gz",
            "generator": generator,
        },
    )
    return folder


def _write(file: Path, array: npt.NDArray[np.int16] | npt.NDArray[np.uint8]) -> None:
    import SimpleITK

    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin([-(size - 1) * step / 2 for size, step in zip(SHAPE, SPACING, strict=True)][::-1])
    with replacing(file) as temporary:
        SimpleITK.WriteImage(image, str(temporary), useCompression=True)


def _grid() -> list[npt.NDArray[np.float32]]:
    """Coordinates in mm of the fine points, from the middle of the volume, one array per axis."""
    sizes = (SHAPE[0] * _FINE, SHAPE[1], SHAPE[2])
    steps = (SPACING[0] / _FINE, SPACING[1], SPACING[2])
    axes = [
        ((np.arange(size) - (size - 1) / 2) * step).astype(np.float32) for size, step in zip(sizes, steps, strict=True)
    ]
    return list(np.meshgrid(*axes, indexing="ij"))


def _smooth(random: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Smooth noise of about unit size: a few random numbers, interpolated to ``shape``."""
    from scipy.ndimage import zoom

    knots = random.standard_normal((5, 6, 6), dtype=np.float32)
    factors = [size / knot for size, knot in zip(shape, knots.shape, strict=True)]
    return np.asarray(zoom(knots, factors, order=3, mode="nearest", grid_mode=True), dtype=np.float32)


def _deformation(random: np.random.Generator) -> list[npt.NDArray[np.float32]]:
    """Grid moved by smooth displacements of some 2 mm."""
    moved = _grid()
    return [axis + 2.0 * _smooth(random, axis.shape) for axis in moved]


def _pose(random: np.random.Generator, where: list[npt.NDArray[np.float32]]) -> Coordinates:
    """Turn the body about every axis, scale and shift it."""
    angles = random.normal(0, np.radians((7, 4, 4)))
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        first, second = (other for other in range(3) if other != axis)
        one = np.eye(3)
        one[[first, second], [first, second]] = np.cos(angle)
        one[first, second], one[second, first] = -np.sin(angle), np.sin(angle)
        turn = turn @ one
    turn = turn / random.uniform(0.88, 1.05)
    shift = random.normal(0, (4, 2, 2))
    moved = np.stack(where) - shift.astype(np.float32).reshape(3, 1, 1, 1)
    z, y, x = np.tensordot(turn.astype(np.float32), moved, axes=1)
    return z, y, x
