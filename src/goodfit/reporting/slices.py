"""Slices through a case with the outlines of reference and prediction, as PNG.

Both outlines have the class's colour: the reference is a solid line, the prediction a dashed one in a lighter tint.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.reporting.colours import class_colours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from goodfit.data.geometry import Geometry, Image
    from goodfit.data.labels import Labels

    Label = NDArray[np.integer]

_PLANES = ("sagittal", "coronal", "axial")  # by the patient axis (x, y, z) that the view looks along
_ANISOTROPIC = 2.0  # voxels this much longer than wide: look along their long axis only
_SLAB = 1 / 3  # extent of a slab's short axis as a share of the longest
_LONGER_SIDE = {2: 720, 3: 460}  # of the PNG, in pixels, by the dimensions of the image
_MARGIN = 0.45  # around the outlined structures, as a share of their extent
_LEAST_MARGIN = 12  # in voxels
_WINDOW = (0.5, 99.5)  # percentiles of the intensities shown as black and white


@dataclass(frozen=True)
class Slice:
    """One picture.

    Attributes:
        caption: the plane and the number of the slice, counted from 1; empty for a 2D image.
        png: the file's content.
        width: in pixels.
        height: in pixels.
    """

    caption: str
    png: bytes
    width: int
    height: int


@dataclass(frozen=True)
class View:
    """Where to cut: an array axis (0 is z) and an index along it."""

    axis: int
    index: int


def case_slices(image: Image, reference: Label, prediction: Label, labels: Labels) -> list[Slice]:
    """Draw the most telling slices of a case.

    Args:
        image: the case as its files hold it.
        reference: label values, (Z, Y, X).
        prediction: label values, the same shape.
        labels: the classes; the ignore label is not drawn.

    Returns:
        A 2D image gives one picture; a volume three: the axial, coronal and sagittal slice with the largest area of
        labels, or three slices along one axis, where voxels are much longer along it or the volume is a thin slab.
    """
    spacing = image.geometry.spacing
    seen = _labelled(reference, labels) | _labelled(prediction, labels)
    grey = _displayable(image)
    flips = _upright_flips(image.geometry)
    pictures = []
    for view in choose_views(seen, spacing):
        window = _window_around(_cut(seen, view, flips))
        ground, expected, predicted = (_cut(array, view, flips)[window] for array in (grey, reference, prediction))
        rows, columns = (spacing[axis] for axis in range(3) if axis != view.axis)
        picture = _draw(
            ground, expected, predicted, labels, aspect=rows / columns, longer_side=_LONGER_SIDE[image.geometry.dims]
        )
        pictures.append(Slice(_caption(view, image), *picture))
    return pictures


def choose_views(seen: NDArray[np.bool_], spacing: Sequence[float]) -> list[View]:
    """Choose where to cut through a volume.

    Args:
        seen: voxels with any label, (Z, Y, X).
        spacing: voxel size, (z, y, x).
    """
    if seen.shape[0] == 1:
        return [View(0, 0)]
    extents = np.multiply(seen.shape, spacing)
    only = int(np.argmax(spacing)) if max(spacing) >= _ANISOTROPIC * min(spacing) else int(np.argmin(extents))
    if spacing[only] >= _ANISOTROPIC * min(spacing) or extents[only] < _SLAB * max(extents):
        found = np.flatnonzero(_areas(seen, only))
        if not found.size:
            return [View(only, seen.shape[only] // 2)]
        indices = dict.fromkeys(int(found[round(share * (found.size - 1))]) for share in (0.25, 0.5, 0.75))
        return [View(only, index) for index in indices]
    views = []
    for axis in range(3):
        areas = _areas(seen, axis)
        views.append(View(axis, int(np.argmax(areas)) if areas.any() else seen.shape[axis] // 2))
    return views


def _labelled(label: Label, labels: Labels) -> NDArray[np.bool_]:
    return np.isin(label, labels.foreground_values)


def _areas(seen: NDArray[np.bool_], axis: int) -> NDArray[np.intp]:
    others = tuple(other for other in range(3) if other != axis)
    areas: NDArray[np.intp] = np.count_nonzero(seen, axis=others)
    return areas


def _displayable(image: Image) -> NDArray[np.float32]:
    """The first channel, (Z, Y, X), or the colours of a photograph, (Z, Y, X, 3)."""
    if image.geometry.dims == 2 and image.array.shape[0] == 3:
        colours: NDArray[np.float32] = np.moveaxis(image.array, 0, -1)
        return colours
    first: NDArray[np.float32] = image.array[0]
    return first


def _patient_axis(geometry: Geometry, axis: int) -> tuple[int, float]:
    """Patient axis (0: x, 1: y, 2: z) nearest to an array axis, and its sign (ITK: towards left, back, head)."""
    column = np.asarray(geometry.direction).reshape(geometry.dims, geometry.dims)[:, 2 - axis]
    nearest = int(np.argmax(np.abs(column)))
    return nearest, float(np.sign(column[nearest]))


def _upright_flips(geometry: Geometry) -> tuple[int, ...]:
    """Array axes to turn round so that the head is up, the back down or right, and the patient's left on the right."""
    if geometry.dims == 2:
        return ()
    flips = []
    for axis in range(3):
        nearest, sign = _patient_axis(geometry, axis)
        if (sign > 0) == (nearest == 2):
            flips.append(axis)
    return tuple(flips)


def _cut(array: NDArray[Any], view: View, flips: tuple[int, ...]) -> NDArray[Any]:
    cut: NDArray[Any] = np.take(array, view.index, axis=view.axis)
    return np.flip(cut, tuple(axis - (axis > view.axis) for axis in flips if axis != view.axis))


def _window_around(seen: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The labelled part with a margin; everything where there is no label."""
    if not seen.any():
        return slice(None), slice(None)
    ends = []
    for axis in range(2):
        found = np.flatnonzero(seen.any(axis=1 - axis))
        margin = max(_LEAST_MARGIN, round(_MARGIN * (found[-1] - found[0] + 1)))
        ends.append(slice(max(0, int(found[0]) - margin), int(found[-1]) + 1 + margin))
    return ends[0], ends[1]


def _caption(view: View, image: Image) -> str:
    if image.geometry.dims == 2 or image.array.shape[1] == 1:
        return ""
    plane = _PLANES[_patient_axis(image.geometry, view.axis)[0]]
    return f"{plane}, slice {view.index + 1} of {image.array.shape[1 + view.axis]}"


def _draw(
    grey: NDArray[np.float32],
    reference: Label,
    prediction: Label,
    labels: Labels,
    *,
    aspect: float,
    longer_side: int,
) -> tuple[bytes, int, int]:
    """Draw one slice, (H, W) or (H, W, 3); ``aspect`` is the height of a pixel relative to its width."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = reference.shape[0] * aspect, float(reference.shape[1])
    scale = longer_side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(_windowed(grey), cmap="gray", vmin=0, vmax=1, interpolation="bilinear", aspect="auto")
    for label, dashed in ((reference, False), (prediction, True)):
        for name, colour in class_colours(labels.names).items():
            mask = np.isin(label, labels.classes[name])
            _outline(axes, mask, _tint(colour, 0.55) if dashed else colour, dashed=dashed)
    axes.set_xlim(-0.5, reference.shape[1] - 0.5)
    axes.set_ylim(reference.shape[0] - 0.5, -0.5)
    file = io.BytesIO()
    canvas.print_png(file)
    return file.getvalue(), *size


def _outline(axes: Any, mask: NDArray[np.bool_], colour: str, *, dashed: bool) -> None:
    if not mask.any():
        return
    padded = np.pad(mask, 1).astype(np.float32)  # closes outlines that touch the border
    rows, columns = (np.arange(-1, size + 1) for size in mask.shape)
    axes.contour(
        columns,
        rows,
        padded,
        levels=[0.5],
        colors=[colour],
        linewidths=1.1 if dashed else 1.6,
        linestyles=[(0, (3, 2))] if dashed else ["solid"],
    )


def _windowed(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale to 0 to 1: colours by their range, grey values by percentiles."""
    finite = grey[np.isfinite(grey)]
    if not finite.size:
        return np.zeros_like(grey)
    if grey.ndim == 3:
        low, high = 0.0, float(max(finite.max(), 1.0))
        high = 255.0 if 1 < high <= 255 else high
    else:
        low, high = (float(value) for value in np.percentile(finite, _WINDOW))
    scaled: NDArray[np.float32] = np.clip((np.nan_to_num(grey, nan=low) - low) / max(high - low, 1e-12), 0, 1)
    return scaled


def _tint(colour: str, share: float) -> str:
    """Mix a colour with white."""
    parts = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return "#" + "".join(f"{round(part + (255 - part) * share):02x}" for part in parts)
