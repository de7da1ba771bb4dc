"""Telling whole BMP and JPEG files from truncated ones: their decoders fill up what is missing."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from goodfit.data.formats import LOSSY_ENDINGS
from goodfit.errors import ImageFileError

if TYPE_CHECKING:
    from pathlib import Path

_END_OF_IMAGE, _START_OF_SCAN = b"\xff\xd9", b"\xff\xda"


def require_whole_photo(file: Path) -> None:
    """Make sure that a BMP or JPEG file is complete; PNG decoders notice by themselves.

    Raises:
        ImageFileError: the file is truncated.
    """
    content = file.read_bytes() if file.suffix.lower() != ".png" else b""
    whole = True
    if content[:2] == b"BM" and len(content) >= 6:
        whole = struct.unpack_from("<I", content, 2)[0] <= len(content)
    elif content[:2] == b"\xff\xd8" and file.suffix.lower() in LOSSY_ENDINGS:
        # Neither marker can occur within the coded pixels, where 0xff is always followed by a zero byte.
        whole = content.rfind(_END_OF_IMAGE) > content.rfind(_START_OF_SCAN)
    if not whole:
        raise ImageFileError(f"{file}: the file is truncated. Copy it anew from its source, or export it again.")
