"""The image file formats: which endings are known and what sets the formats apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NIFTI_ENDINGS = (".nii.gz", ".nii")
TIFF_ENDINGS = (".tiff", ".tif")
PHOTO_ENDINGS = (".png", ".bmp", ".jpg", ".jpeg")
LOSSY_ENDINGS = (".jpg", ".jpeg")
_ENDINGS = (*NIFTI_ENDINGS, ".nrrd", ".mha", ".mhd", *TIFF_ENDINGS, *PHOTO_ENDINGS)


def supported_endings() -> tuple[str, ...]:
    """Every file ending that can be read, in lower case, longest first where one ends another."""
    return _ENDINGS


def ending_of(name: str, preferred: str | None = None) -> str | None:
    """Find the image ending of a file name, whatever its case.

    Args:
        name: a file name.
        preferred: an ending to try first (dataset.json's file_ending).

    Returns:
        The ending as it is written in ``name``, or None where ``name`` is no image file's.
    """
    lowered = name.lower()
    for ending in (*((preferred,) if preferred else ()), *_ENDINGS):
        if lowered.endswith(ending.lower()) and len(name) > len(ending):
            return name[len(name) - len(ending) :]
    return None


def stem_of(name: str, preferred: str | None = None) -> str:
    """Give a file name without its image ending."""
    ending = ending_of(name, preferred)
    return name[: len(name) - len(ending)] if ending else name


def label_ending(ending: str) -> str:
    """Give the ending of label files that are written for images of ``ending``: PNG for JPEG, which alters values."""
    return ".png" if ending.lower() in LOSSY_ENDINGS else ending


def list_images(folder: Path, ending: str | None = None) -> list[Path]:
    """List the image files of a folder by name; hidden files (.DS_Store, ._x) and folders are passed over.

    Args:
        folder: where to look; sub-folders are not entered.
        ending: only files with this ending (whatever its case); None takes every supported one.
    """
    found = []
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        match = ending_of(path.name, ending)
        if match is None or (ending is not None and match.lower() != ending.lower()):
            continue
        if path.is_file():
            found.append(path)
    return sorted(found, key=lambda path: path.name)
