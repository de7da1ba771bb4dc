"""Images to predict: a folder, single files or a list of them, sorted into cases."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.data.formats import list_images, supported_endings
from goodfit.data.layouts import channel_gaps, group_images
from goodfit.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

InputCase = tuple[str, "Sequence[Path]"]
"""Name of a case and its image files."""

LIST_ENDING = ".txt"


def list_inputs(place: str | Path | Sequence[str | Path], ending: str | None, channels: int) -> list[InputCase]:
    """Find the cases to predict.

    Files are named as in training: CASE_0000.ext with one file per channel, or CASE.ext. Where no file of a folder has
    the training's ending, every supported one is taken.

    Args:
        place: a folder of images; one image file; a text file (.txt) with an image file on each line, relative to the
            folder of the list or absolute; or a sequence of image files.
        ending: file ending of the training data, with the dot.
        channels: channels that the network expects.

    Returns:
        Case name and files, sorted by name.

    Raises:
        DatasetError: nothing is there, a listed file is missing, two files would be one case, or a case lacks a channel
            file; all such files and cases are named.
    """
    if not isinstance(place, (str, Path)):
        files, where = _existing([Path(file) for file in place], "the list of inputs"), "the list of inputs"
    elif Path(place).is_file() and Path(place).suffix.lower() == LIST_ENDING:
        files, where = _existing(_read_list(Path(place)), str(place)), str(place)
    else:
        files, where = _files_of(Path(place), ending), str(place)
    if not files:
        raise DatasetError(f"{where}: no image is there. Supported are {', '.join(supported_endings())}.")
    cases = group_images(sorted(files, key=lambda file: file.name), ending)
    gaps = {name: channel_gaps(name, images, ending, channels) for name, images in cases.items()}
    wrong = [f"  {name}: {gap}" for name, gap in gaps.items() if gap]
    if wrong:
        raise DatasetError(
            f"{where}: the network expects {channels} channels, and some cases have others:\n" + "\n".join(wrong)
        )
    return [(name, tuple(images)) for name, images in cases.items()]


def _files_of(place: Path, ending: str | None) -> list[Path]:
    if not place.exists():
        raise DatasetError(
            f"{place}: there is no such file or folder. Give a folder of images, one image, or a {LIST_ENDING} file that "
            "lists images."
        )
    if place.is_file():
        return [place]
    files = list_images(place, ending) or list_images(place)
    ignored = sorted(set(list_images(place)) - set(files))
    if ignored:
        logger.warning(
            "%d images with another ending than %s are passed over, %s first", len(ignored), ending, ignored[0]
        )
    return files


def _read_list(file: Path) -> list[Path]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file}: cannot be read as a list of files, one on each line.") from error
    return [file.parent / line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _existing(files: list[Path], where: str) -> list[Path]:
    """Refuse a list that names files twice, or such that are not there."""
    missing = [str(file) for file in files if not file.is_file()]
    names: dict[str, Path] = {}
    twice = [f"{file} and {names[file.name]}" for file in files if names.setdefault(file.name, file) is not file]
    for what, found in (("are not there", missing), ("have one name, so their predictions would, too", twice)):
        if found:
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            raise DatasetError(f"{where}: these files {what}: {', '.join(found[:5])}{more}.")
    return files
