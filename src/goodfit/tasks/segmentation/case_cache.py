"""Cases of a store held open, and in memory where there is room."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from goodfit.tasks.segmentation.positions import Sliceable

OPEN_CASES = 64
"""Cases held open at once; each costs up to two file handles."""


class StoredPatches(Protocol):
    """What sampling needs of one stored case."""

    @property
    def image(self) -> Sliceable:
        """(C, Z, Y, X) float32."""

    @property
    def label(self) -> Sliceable:
        """(1, Z, Y, X), values from -1 to what int16 holds; of a cascade (2, Z, Y, X)."""

    @property
    def locations(self) -> Mapping[int, npt.NDArray[np.int32]]:
        """Class -> (n, 3) voxel coordinates."""


class PatchSource(Protocol):
    """What sampling needs of a store."""

    def case(self, name: str) -> StoredPatches:
        """Open a case."""


@dataclass(frozen=True)
class _KeptCase:
    """A case in memory."""

    image: npt.NDArray[np.float32]
    label: npt.NDArray[np.int16]
    locations: Mapping[int, npt.NDArray[np.int32]]


class CaseCache:
    """Keeps cases open, and decompressed as long as there is room.

    Cases come in shuffled passes, each as often as any other. So what once was decompressed stays: making
    room for the newest case would throw out one that is needed as soon.
    """

    def __init__(self, store: PatchSource, keep_bytes: int, open_cases: int = OPEN_CASES) -> None:
        self._store = store
        self._room = keep_bytes
        self._open_cases = open_cases
        self._kept: dict[str, _KeptCase] = {}
        self._open: OrderedDict[str, StoredPatches] = OrderedDict()

    def case(self, name: str) -> StoredPatches:
        """Give a case, from memory where it is kept."""
        if name in self._kept:
            return self._kept[name]
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        case = self._store.case(name)
        size = math.prod(case.image.shape) * 4 + math.prod(case.label.shape) * 2
        size += sum(voxels.nbytes for voxels in case.locations.values()) if size <= self._room else 0
        if size <= self._room:
            self._room -= size
            image = np.asarray(case.image[...], dtype=np.float32)
            label = np.asarray(case.label[...], dtype=np.int16)
            self._kept[name] = _KeptCase(image, label, case.locations)
            return self._kept[name]
        self._open[name] = case
        if len(self._open) > self._open_cases:
            self._open.popitem(last=False)
        return case
