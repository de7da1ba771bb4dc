"""Images to predict: a folder, or single files, sorted into cases."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from goodfit.data.formats import list_images, supported_endings
from goodfit.data.layouts import channel_gaps, group_images
from goodfit.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

InputCase = tuple[str, tuple["Path", ...]]


def list_inputs(place: Path, ending: str | None, channels: int) -> list[InputCase]:
    """Find the cases to predict.

    Files are named as in training: CASE_0000.ext with one file per channel, or CASE.ext. Where no file has the
    training's ending, every supported one is taken.

    Args:
        place: a folder of images, or one image file.
        ending: file ending of the training data, with the dot.
        channels: channels that the network expects.

    Returns:
        Case name and files, sorted by name.

    Raises:
        DatasetError: nothing is there, or a case lacks a channel file; all such cases are named.
    """
    if not place.exists():
        raise DatasetError(f"{place}: there is no such file or folder. Give a folder of images, or one image.")
    files = [place] if place.is_file() else list_images(place, ending) or list_images(place)
    ignored = [] if place.is_file() else sorted(set(list_images(place)) - set(files))
    if ignored:
        logger.warning(
            "%d images with another ending than %s are passed over, %s first", len(ignored), ending, ignored[0]
        )
    if not files:
        raise DatasetError(f"{place}: no image is there. Supported are {', '.join(supported_endings())}.")
    cases = group_images(files, ending)
    gaps = {name: channel_gaps(name, images, ending, channels) for name, images in cases.items()}
    wrong = [f"  {name}: {gap}" for name, gap in gaps.items() if gap]
    if wrong:
        raise DatasetError(
            f"{place}: the network expects {channels} channels, and some cases have others:\n" + "\n".join(wrong)
        )
    return [(name, tuple(images)) for name, images in cases.items()]
