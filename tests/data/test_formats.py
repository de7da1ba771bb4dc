"""Endings are found whatever their case, and hidden files are passed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from goodfit.data.formats import ending_of, label_ending, list_images, stem_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "ending", "stem"),
    [
        ("a.nii.gz", ".nii.gz", "a"),
        ("a.b.NII.GZ", ".NII.GZ", "a.b"),
        ("a.nii", ".nii", "a"),
        ("a.PNG", ".PNG", "a"),
        ("a.tiff", ".tiff", "a"),
        ("a.txt", None, "a.txt"),
        (".png", None, ".png"),
    ],
)
def test_ending_and_stem(name: str, ending: str | None, stem: str) -> None:
    assert ending_of(name) == ending
    assert stem_of(name) == stem


def test_preferred_ending_comes_first() -> None:
    assert ending_of("a_seg.nii.gz", "_seg.nii.gz") == "_seg.nii.gz"
    assert stem_of("a_seg.nii.gz", "_seg.nii.gz") == "a"


def test_listing(tmp_path: Path) -> None:
    for name in ("b.png", "a.PNG", "c.nii.gz", "._a.png", ".DS_Store", "notes.txt", "Thumbs.db"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [file.name for file in list_images(tmp_path)] == ["a.PNG", "b.png", "c.nii.gz"]
    assert [file.name for file in list_images(tmp_path, ".png")] == ["a.PNG", "b.png"]


@pytest.mark.parametrize(
    ("images", "labels"), [(".nii.gz", ".nii.gz"), (".jpg", ".png"), (".JPEG", ".png"), (".tif", ".tif")]
)
def test_labels_are_never_written_as_jpeg(images: str, labels: str) -> None:
    assert label_ending(images) == labels
