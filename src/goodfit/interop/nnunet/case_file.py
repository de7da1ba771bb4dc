"""Reading CASE.pkl, nnU-Net's properties of a preprocessed case: a pickle, of which nothing is executed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.data.geometry import Geometry
from goodfit.errors import DatasetError
from goodfit.interop.pickles import NOT_SUCH_A_FILE, load_plain
from goodfit.preprocessing.crop import OUTSIDE
from goodfit.preprocessing.locations import ANNOTATED
from goodfit.preprocessing.properties import CaseProperties, Shape, permuted, spacing_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from goodfit.data.labels import Labels
    from goodfit.planning.plan import Configuration
    from goodfit.preprocessing.locations import Locations

_SHAPES = ("shape_before_cropping", "shape_after_cropping_and_before_resampling")


@dataclass(frozen=True)
class CaseFile:
    """What nnU-Net noted of a case.

    Attributes:
        file: where it is, for messages.
        content: the pickle: dicts, lists, numbers, text and arrays.
    """

    file: Path
    content: Mapping[str, Any]

    def geometry(self, fallback: Callable[[], Geometry]) -> Geometry:
        """Give the geometry of the image file.

        Args:
            fallback: gives that of the case's label file; asked where nnU-Net's reader of these images notes none (PNG, TIFF,
                and .nii, whose axes it keeps in another convention).
        """
        noted = self.content.get("sitk_stuff")
        if not isinstance(noted, dict):
            return fallback()
        try:
            origin = tuple(float(value) for value in noted["origin"])
            direction = tuple(float(value) for value in noted["direction"])
            spacing = spacing_of(self.content["spacing"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._wrong("sitk_stuff", "is not the geometry of an image") from error
        dims = len(origin)
        if dims not in (2, 3) or len(direction) != dims * dims:
            return fallback()  # all channels were in one file of four axes
        return Geometry(spacing, origin, direction, 2 if dims == 2 else 3)

    def properties(
        self,
        shape: Shape,
        fallback: Callable[[], Geometry],
        configuration: Configuration,
        transpose: tuple[int, int, int],
    ) -> CaseProperties:
        """Give what was done to the case.

        Args:
            shape: of the stored arrays, without channels.
            fallback: see ``geometry``.
            configuration: of the plans that the case was preprocessed with.
            transpose: of the plans.

        Raises:
            DatasetError: an entry is missing or cannot be; names it.
        """
        geometry = self.geometry(fallback)
        before, after = (self._shape(name) for name in _SHAPES)
        spacing = spacing_of(configuration.spacing)
        if configuration.dims == 2:  # nnU-Net: a 2d configuration leaves the distance between slices as it is.
            spacing = (permuted(geometry.spacing, transpose)[0], *spacing[1:])
        try:
            (z0, z1), (y0, y1), (x0, x1) = self.content["bbox_used_for_cropping"]
            bbox = ((int(z0), int(z1)), (int(y0), int(y1)), (int(x0), int(x1)))
        except (KeyError, TypeError, ValueError) as error:
            raise self._wrong("bbox_used_for_cropping", "is no box") from error
        if tuple(high - low for low, high in bbox) != after or any(
            not 0 <= low < high <= length for (low, high), length in zip(bbox, before, strict=True)
        ):
            raise self._wrong("bbox_used_for_cropping", f"{bbox} does not cut {after} out of {before} voxels")
        return CaseProperties(geometry, transpose, before, bbox, after, shape, spacing)

    def locations(self, shape: Shape, labels: Labels) -> Locations:
        """Give voxels of each class by the keys of ``find_locations``.

        Raises:
            DatasetError: a class has no entry, or one that is no list of voxels of this case.
        """
        by_values = self._by_values()
        located: Locations = {}
        for index, (name, values) in enumerate(labels.classes.items()):
            found = by_values.get(frozenset(values))
            if found is None:
                raise self._wrong("class_locations", f"has no entry for {name!r}: other classes were preprocessed")
            located[index if labels.has_regions else values[0]] = self._voxels(found, shape)
        if labels.ignore is not None:
            annotated = next((found for key, found in by_values.items() if OUTSIDE in key), None)
            if annotated is None:
                raise self._wrong("class_locations", "has no entry for annotated voxels, which the ignore label needs")
            located[ANNOTATED] = self._voxels(annotated, shape)
        return located

    def counts(self) -> dict[frozenset[int], int]:
        """Number of voxels noted for each class, by its label values: 0 where it is absent."""
        return {values: len(found) for values, found in self._by_values().items() if OUTSIDE not in values}

    def _by_values(self) -> dict[frozenset[int], npt.NDArray[Any]]:
        """Give what is noted of each class by its label values."""
        noted = self.content.get("class_locations")
        if not isinstance(noted, dict):
            raise self._wrong("class_locations", "is missing")
        try:
            return {_values(key): _rows(found) for key, found in noted.items()}
        except (TypeError, ValueError, OverflowError) as error:
            raise self._wrong("class_locations", "is not voxels by class") from error

    def _voxels(self, array: npt.NDArray[Any], shape: Shape) -> npt.NDArray[np.int32]:
        if array.size == 0:
            return np.zeros((0, 3), dtype=np.int32)
        fits = array.ndim == 2 and array.shape[1] == 4 and np.issubdtype(array.dtype, np.integer)
        if not fits or array.min() < 0 or (array[:, 1:].max(0) >= shape).any():
            raise self._wrong("class_locations", f"does not hold voxels of an array of {shape}")
        return array[:, 1:].astype(np.int32)

    def _shape(self, name: str) -> Shape:
        try:
            z, y, x = (int(length) for length in self.content[name])
        except (KeyError, TypeError, ValueError) as error:
            raise self._wrong(name, "is no shape") from error
        return (z, y, x)

    def _wrong(self, entry: str, what: str) -> DatasetError:
        return DatasetError(f"{self.file}: {entry} {what}. Preprocess the dataset again with nnUNetv2_preprocess.")


def read_case_file(file: Path) -> CaseFile:
    """Read CASE.pkl.

    Raises:
        DatasetError: the file is missing, is no pickle, or holds anything but arrays, numbers and text.
    """
    try:
        with file.open("rb") as stream:
            content = load_plain(stream)
    except FileNotFoundError as error:
        raise DatasetError(f"{file}: there is no such file. Preprocess the dataset again.") from error
    except NOT_SUCH_A_FILE as error:
        raise DatasetError(
            f"{file}: these are not nnU-Net's properties of a case ({error}). Only arrays, numbers and text are read "
            "from a .pkl file, and nothing in it is run."
        ) from error
    if not isinstance(content, dict):
        raise DatasetError(f"{file}: these are not nnU-Net's properties of a case. Preprocess the dataset again.")
    return CaseFile(file, content)


def _rows(found: Any) -> npt.NDArray[Any]:
    rows = np.asarray(found)
    if rows.ndim == 0:
        raise ValueError("a single value")
    return rows


def _values(key: Any) -> frozenset[int]:
    return frozenset(int(value) for value in key) if isinstance(key, tuple) else frozenset([int(key)])
