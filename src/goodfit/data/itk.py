"""Reading a file with SimpleITK, its messages turned into plain ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import SimpleITK

from goodfit.data.geometry import FLAT_SPACING, Geometry
from goodfit.errors import ImageFileError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    Array = npt.NDArray[Any]


def read_with_itk(file: Path) -> tuple[Array, Geometry]:
    """Read one file as (C, Z, Y, X) in the file's own number type.

    Raises:
        ImageFileError: ITK cannot read the file, or it has more than three axes.
    """
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        image = SimpleITK.ReadImage(str(file))
    except RuntimeError as error:
        raise ImageFileError(f"{file}: {_plain_reason(str(error))}") from error
    dims = image.GetDimension()
    array = SimpleITK.GetArrayFromImage(image)
    array = np.moveaxis(array, -1, 0) if image.GetNumberOfComponentsPerPixel() > 1 else array[None]
    spacing, origin = image.GetSpacing()[::-1], image.GetOrigin()
    direction = np.asarray(image.GetDirection()).reshape(dims, dims)
    if dims > 3:
        if any(size != 1 for size in array.shape[1 : dims - 2]):
            raise ImageFileError(
                f"{file}: {dims}D images are not supported. Save one 3D file per channel (CASE_0000, CASE_0001, ...) "
                "or per time point."
            )
        array = array.reshape(array.shape[0], *array.shape[-3:])
        spacing, origin, direction = spacing[-3:], origin[:3], direction[:3, :3]
    if dims == 2:
        array = array[:, None]
        spacing = (FLAT_SPACING, *spacing)
    return array, Geometry(
        spacing=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        origin=tuple(float(value) for value in origin),
        direction=tuple(float(value) for value in direction.flatten()),
        dims=cast("Literal[2, 3]", min(dims, 3)),
    )


def _plain_reason(message: str) -> str:
    if "Unable to determine ImageIO" in message:
        return "this is no image file, or its format is not what its ending says. Copy it anew from its source."
    if "orthonormal" in message:
        return (
            "its axes are not at right angles (sheared affine). Resample it to an orthogonal grid, "
            "or save it with a plain affine."
        )
    return "the file is truncated or damaged. Copy it anew from its source, or export it again."
