"""The previous stage's labels on disk, and the cases of a store together with them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.errors import DatasetError
from goodfit.preprocessing.store import open_array, write_array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from goodfit.tasks.segmentation.case_cache import PatchSource, StoredPatches
    from goodfit.tasks.segmentation.positions import Sliceable


@dataclass(frozen=True)
class PreviousStageInputs:
    """A folder with CASE.b2nd, one label map per case on the grid of the next stage.

    Attributes:
        folder: is made with the first case.
    """

    folder: Path

    def has(self, name: str) -> bool:
        """Whether the case is there; what is there is whole, since files are renamed into place."""
        return self._path(name).is_file()

    def write(self, name: str, labels: npt.NDArray[Any], patch_size: Sequence[int]) -> None:
        """Write the labels (Z, Y, X) of a case, in blocks that suit the patch."""
        write_array(self._path(name), labels[None], patch_size, shuffle=False)

    def labels(self, name: str) -> Sliceable:
        """Open the labels of a case, (1, Z, Y, X).

        Raises:
            DatasetError: the folder does not hold the case.
        """
        if not self.has(name):
            raise DatasetError(f"{self.folder}: the previous stage has not predicted case {name}. Train again.")
        opened: Sliceable = open_array(self._path(name))
        return opened

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.b2nd"


@dataclass(frozen=True)
class CascadeCase:
    """A stored case whose label has a second channel: what the previous stage predicted.

    Attributes:
        stored: the case.
        previous: (1, Z, Y, X) label values, on the same grid.
    """

    stored: StoredPatches
    previous: Sliceable

    @property
    def image(self) -> Sliceable:
        """(C, Z, Y, X) float32."""
        return self.stored.image

    @cached_property
    def label(self) -> Sliceable:
        """(2, Z, Y, X)."""
        return _Stacked(self.stored.label, self.previous)

    @property
    def locations(self) -> Mapping[int, npt.NDArray[np.int32]]:
        """Voxels of each class of the reference."""
        return self.stored.locations


@dataclass(frozen=True)
class CascadePatches:
    """A store's cases with the previous stage's labels (``case_cache.PatchSource``)."""

    store: PatchSource
    inputs: PreviousStageInputs

    def case(self, name: str) -> CascadeCase:
        """Open a case.

        Raises:
            DatasetError: the previous stage's labels are missing, or of another shape than the case.
        """
        stored, previous = self.store.case(name), self.inputs.labels(name)
        if tuple(previous.shape[1:]) != tuple(stored.image.shape[1:]):
            raise DatasetError(
                f"{self.inputs.folder}: case {name} has the shape {tuple(previous.shape[1:])}, its image "
                f"{tuple(stored.image.shape[1:])}. They were made for another plan; train again with --fresh."
            )
        return CascadeCase(stored, previous)


@dataclass(frozen=True)
class _Stacked:
    """Two label maps, each (1, Z, Y, X), read as one of two channels."""

    first: Sliceable
    second: Sliceable

    @property
    def shape(self) -> tuple[int, ...]:
        return (2, *self.first.shape[1:])

    def __getitem__(self, key: Any, /) -> npt.NDArray[np.int16]:
        """The part of both; the channel axis has to be kept whole."""
        return np.concatenate([np.asarray(part[key], dtype=np.int16) for part in (self.first, self.second)])
