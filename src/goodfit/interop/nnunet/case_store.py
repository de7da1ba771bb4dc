"""nnU-Net's own preprocessed arrays, read in place of a store of goodfit's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from goodfit.data.geometry import Image
from goodfit.data.readers import read_label
from goodfit.errors import DatasetError
from goodfit.interop.nnunet.case_file import CaseFile, read_case_file
from goodfit.preprocessing.properties import CaseProperties, place_back
from goodfit.preprocessing.resample import resample_image
from goodfit.preprocessing.store import Store, StoredCase

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from goodfit.planning.plan import Configuration, Data
    from goodfit.preprocessing.locations import Locations
    from goodfit.preprocessing.properties import Shape


@dataclass(frozen=True)
class NnunetCase(StoredCase):
    """One case as nnU-Net preprocessed it: CASE.b2nd, CASE_seg.b2nd and CASE.pkl.

    Attributes:
        data: of the plan.
        configuration: of the plan.
        reference: its label file, in the original geometry.
    """

    data: Data
    configuration: Configuration
    reference: Path

    @cached_property
    def properties(self) -> CaseProperties:
        """Geometry and shapes."""
        z, y, x = self.data.transpose
        return self._file.properties(self._shape, lambda: read_label(self.reference)[1], self.configuration, (z, y, x))

    @cached_property
    def locations(self) -> Locations:
        """Voxels of each class, (n, 3) int32; see ``find_locations`` for the keys."""
        return self._file.locations(self._shape, self.data.labels)

    @cached_property
    def _file(self) -> CaseFile:
        return read_case_file(self.folder / f"{self.name}.pkl")

    @property
    def _shape(self) -> Shape:
        _, z, y, x = self.image.shape
        return (z, y, x)


@dataclass(frozen=True)
class NnunetStore(Store):
    """A data folder of nnU-Net (nnUNet_preprocessed/DATASET/nnUNetPlans_3d_fullres).

    Attributes:
        data: of the plan.
        configuration: of the plan.
        references: case -> its label file.
    """

    data: Data
    configuration: Configuration
    references: Mapping[str, Path]

    def names(self) -> list[str]:
        """Names of the cases, sorted."""
        return sorted(name for name in self.references if self.is_complete(name))

    def case(self, name: str) -> NnunetCase:
        """Give a case.

        Raises:
            DatasetError: the folder does not hold it.
        """
        if not self.is_complete(name):
            raise DatasetError(
                f"{self.folder}: case {name} is not preprocessed (NAME.b2nd, NAME_seg.b2nd and NAME.pkl are looked for). "
                "Run nnUNetv2_preprocess again, or take the case out of the splits."
            )
        return NnunetCase(self.folder, name, self.data, self.configuration, self.references[name])

    def is_complete(self, name: str) -> bool:
        """Whether the three files of a case are there."""
        return name in self.references and all(
            (self.folder / f"{name}{ending}").is_file() for ending in (".b2nd", "_seg.b2nd", ".pkl")
        )


def original_image(case: StoredCase) -> Image:
    """Bring a preprocessed image back to the grid of its file, for pictures.

    Intensities stay normalised, and what the crop cut off is as dark as the darkest voxel.
    """
    properties = case.properties
    array = np.asarray(case.image[:], dtype=np.float32)
    array = resample_image(array, properties.shape_after_crop, properties.spacing, properties.spacing_before)
    return Image(place_back(array, properties, fill=float(array.min())), properties.geometry)
