"""Words of the two systems."""

from __future__ import annotations

import pytest

from goodfit.errors import PlanError
from goodfit.interop.nnunet.names import NORMALISATIONS, SCHEMES, reader_name


def test_every_normalisation_has_one_scheme() -> None:
    assert {NORMALISATIONS[scheme] for scheme in SCHEMES.values()} == {"ct", "zscore", "rescale", "rgb", "none"}


@pytest.mark.parametrize(
    ("ending", "flat", "reader"),
    [
        (".nii.gz", False, "SimpleITKIO"),
        (".mha", True, "SimpleITKIO"),
        (".nii", False, "NibabelIO"),
        (".png", True, "NaturalImage2DIO"),
        (".tif", True, "NaturalImage2DIO"),
        (".tif", False, "Tiff3DIO"),
    ],
)
def test_files_have_readers(ending: str, flat: bool, reader: str) -> None:
    assert reader_name(ending, flat=flat) == reader


def test_what_nnunet_does_not_read_is_refused() -> None:
    with pytest.raises(PlanError, match=r"nnU-Net reads no \.jpg files"):
        reader_name(".jpg", flat=True)
