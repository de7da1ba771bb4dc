"""Generated volumes of any size: blurred ellipsoids with noise, as a CT of 16 bits, and their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from goodfit.files import write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    Shape = tuple[int, int, int]
    Spacing = tuple[float, float, float]

CLASSES = {"organ": 1, "vessel": 2, "lesion": 3}
_INTENSITIES = (60.0, 180.0, 20.0)
_RADII = (0.28, 0.12, 0.08)
"""As shares of the volume's sides."""


def draw_label(shape: Shape, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw an ellipsoid of each class somewhere in the middle, (Z, Y, X)."""
    label = np.zeros(shape, dtype=np.uint8)
    axes = [np.linspace(-0.5, 0.5, size, dtype=np.float32) for size in shape]
    for value, radius in zip(CLASSES.values(), _RADII, strict=True):
        middle = random.uniform(-0.2, 0.2, 3)
        sides = radius * random.uniform(0.7, 1.3, 3)
        z, y, x = (((axis - m) / s) ** 2 for axis, m, s in zip(axes, middle, sides, strict=True))
        label[z[:, None, None] + y[:, None] + x < 1] = value
    return label


def write_volume(image: Path, label: Path | None, shape: Shape, spacing: Spacing, seed: int) -> None:
    """Write one volume and its label; a pure function of shape, spacing and seed.

    Args:
        image: the file.
        label: its label's file, or None.
        shape: voxels, (z, y, x).
        spacing: mm, (z, y, x).
        seed: another gives another body.
    """
    random = np.random.default_rng(seed)
    truth = draw_label(shape, random)
    levels = np.array([-80.0, *_INTENSITIES], dtype=np.float32)
    voxels = np.empty(shape, dtype=np.int16)
    for plane, drawn in zip(voxels, truth, strict=True):  # plane by plane: a whole volume of floats is a gigabyte
        plane[:] = np.rint(levels[drawn] + 20 * random.standard_normal(drawn.shape, dtype=np.float32))
    _write(image, voxels, spacing)
    if label is not None:
        _write(label, truth, spacing)


def _write(file: Path, array: npt.NDArray[np.int16] | npt.NDArray[np.uint8], spacing: Spacing) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = sitk.GetImageFromArray(array)
    picture.SetSpacing(spacing[::-1])
    sitk.WriteImage(picture, str(file), useCompression=True)


def write_dataset(folder: Path, shape: Shape, spacings: Sequence[Spacing]) -> Path:
    """Write a labelled dataset in nnU-Net's raw layout, a case for each spacing; one that is there stays.

    Spacings that differ are what makes a planner resample.
    """
    description = folder / "dataset.json"
    if description.is_file():
        return folder
    print(f"generating {folder.name}: {len(spacings)} volumes of {'x'.join(map(str, shape))} (not timed)", flush=True)
    for number, spacing in enumerate(spacings):
        name = f"volume_{number:02d}"
        files = folder / "imagesTr" / f"{name}_0000.nii.gz", folder / "labelsTr" / f"{name}.nii.gz"
        write_volume(*files, shape, spacing, seed=number)
    value = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **CLASSES},
        "numTraining": len(spacings),
        "file_ending": ".nii.gz",
    }
    write_json(description, value)
    return folder
