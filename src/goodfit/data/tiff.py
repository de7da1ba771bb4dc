"""Telling whole TIFF files from truncated ones: libtiff reads the pages it can find and keeps quiet."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any, BinaryIO

from goodfit.errors import ImageFileError

if TYPE_CHECKING:
    from pathlib import Path

_OFFSETS = (273, 324)  # StripOffsets, TileOffsets
_LENGTHS = (279, 325)  # StripByteCounts, TileByteCounts
_FORMATS = {3: "H", 4: "I", 16: "Q"}
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


def require_whole_tiff(file: Path) -> None:
    """Walk the pages of a TIFF and make sure that all their strips or tiles lie inside the file.

    Raises:
        ImageFileError: the file is no TIFF or is truncated.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(16)
        mark = {b"II": "<", b"MM": ">"}.get(start[:2])
        version = struct.unpack_from(f"{mark}H", start, 2)[0] if mark and len(start) >= 8 else 0
        if mark is None or version not in (42, 43):
            raise ImageFileError(
                f"{file}: this is no TIFF file, whatever its ending says. Copy it anew from its source."
            )
        big = version == 43
        try:
            page = struct.unpack_from(f"{mark}Q", start, 8)[0] if big else struct.unpack_from(f"{mark}I", start, 4)[0]
            seen: set[int] = set()
            while page and page not in seen:
                seen.add(page)
                page = _check_page(stream, page, mark, big, size)
        except (struct.error, EOFError, OverflowError) as error:
            raise ImageFileError(
                f"{file}: the file is truncated. Copy it anew from its source, or export it again."
            ) from error


def _check_page(stream: BinaryIO, page: int, mark: str, big: bool, size: int) -> int:
    """Check one page; give the position of the next one, 0 after the last."""
    number, entry, word = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    stream.seek(page, os.SEEK_SET)
    count = _unpack(stream, mark + number)[0]
    if count > 4096:
        raise EOFError
    offsets: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()
    entries = [_unpack(stream, mark + entry) for _ in range(count)]
    following: int = _unpack(stream, mark + word)[0]
    for tag, kind, values, inline in entries:
        needed = _VALUE_BYTES.get(kind, 0) * values
        if needed > len(inline) and struct.unpack(mark + word, inline)[0] + needed > size:
            raise EOFError
        if tag in (*_OFFSETS, *_LENGTHS) and kind in _FORMATS:
            numbers = _numbers(stream, f"{mark}{values}{_FORMATS[kind]}", inline, mark + word)
            if tag in _OFFSETS:
                offsets = numbers
            else:
                lengths = numbers
    if any(offset + length > size for offset, length in zip(offsets, lengths, strict=False)):
        raise EOFError
    return following


def _numbers(stream: BinaryIO, layout: str, inline: bytes, pointer: str) -> tuple[int, ...]:
    if struct.calcsize(layout) <= len(inline):
        return struct.unpack_from(layout, inline)
    stream.seek(struct.unpack(pointer, inline)[0], os.SEEK_SET)
    return _unpack(stream, layout)


def _unpack(stream: BinaryIO, layout: str) -> tuple[Any, ...]:
    return struct.unpack(layout, stream.read(struct.calcsize(layout)))
