"""Opening video files: which kinds, and one clear error for what is none or is not whole."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

import av

from goodfit.errors import VideoError

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import InputContainer
    from av.video.stream import VideoStream

# FFmpeg also "plays" text files and play lists that name other files; only these readers are let in.
_READERS = "mov,avi,matroska,mpeg,mpegts,asf"

_SLACK = 8
"""Bytes by which the lengths in a header may be wrong (padding that some writers count and others do not)."""

_UNKNOWN_KIND = "this is no video that can be read (MP4, MOV, AVI, MKV). Convert it: ffmpeg -i IN OUT.mp4"
_TRUNCATED = (
    "the video is truncated: its end is missing. Copy it anew from its source, or save what is there: "
    "ffmpeg -i IN -c copy OUT.mp4"
)


def open_container(path: Path) -> InputContainer:
    """Open a video file for reading.

    Raises:
        VideoError: it is missing, empty, truncated or no video; names the file and the way out.
    """
    if not path.is_file():
        raise VideoError(f"{path}: there is no such file." if not path.exists() else f"{path}: this is no file.")
    try:
        if path.stat().st_size == 0:
            raise VideoError(f"{path}: the file is empty. Copy it anew from its source.")
        whole = _is_whole(path)
        # An absolute path cannot be taken for an address such as "http:..." or "concat:...".
        container = av.open(str(path.absolute()), "r", container_options={"format_whitelist": _READERS})
    except (av.FFmpegError, OSError) as error:
        if isinstance(error, PermissionError):
            raise VideoError(f"{path}: cannot be read ({error.strerror}).") from error
        raise VideoError(f"{path}: {_UNKNOWN_KIND if whole else _TRUNCATED}") from error
    if not whole:
        container.close()
        raise VideoError(f"{path}: {_TRUNCATED}")
    return container


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Give the video track of a file; the cover picture of a piece of music is none.

    Raises:
        VideoError: there is none.
    """
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic and stream.codec_context is not None
    ]
    if not streams:
        raise VideoError(f"{path}: the file has no video track that can be decoded. Convert it: ffmpeg -i IN OUT.mp4")
    best = container.streams.best("video")
    return next((stream for stream in streams if stream is best), streams[0])


def _is_whole(path: Path) -> bool:
    """Whether a file is as long as the lengths in its headers say; True where the kind of file tells none.

    The demuxers read what is there and keep quiet about the rest.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(16)
        if start[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"):
            return _boxes_end(file, size) <= size
        if start[:4] == b"RIFF":
            return _riff_end(file, size) <= size + _SLACK
        if start[:4] == b"\x1a\x45\xdf\xa3":
            return _matroska_end(file, size) <= size + _SLACK
    return True


def _boxes_end(file: BinaryIO, size: int) -> int:
    """End of the outermost boxes of an MP4 or MOV file."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length, kind = struct.unpack_from(">I4s", header)
        if length == 1 and len(header) == 16:
            length = struct.unpack_from(">Q", header, 8)[0]
        if length < 8 or not kind.strip(b"\0"):
            break  # Length 0: up to the end of the file, whatever that is. Zeros: padding.
        position += length
    return position


def _riff_end(file: BinaryIO, size: int) -> int:
    """End of the RIFF chunks of an AVI file; a big file has several."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind != b"RIFF" or length in (0, 0xFFFFFFFF):
            break
        position += 8 + length + length % 2
    return position - 1 if position else 0  # the last byte of padding may be left out


def _matroska_end(file: BinaryIO, size: int) -> int:
    """End of the segment of a Matroska or WebM file; 0 where the writer left the length open."""
    position = 0
    while position + 12 <= size:
        file.seek(position)
        header = file.read(12)
        id_bytes = 9 - header[0].bit_length()
        length_bytes = 9 - header[id_bytes].bit_length() if id_bytes <= 4 else 9
        if length_bytes > 8:
            break
        coded = int.from_bytes(header[id_bytes : id_bytes + length_bytes].ljust(length_bytes, b"\0"), "big")
        length = coded & ((1 << 7 * length_bytes) - 1)
        if length == (1 << 7 * length_bytes) - 1:
            return 0
        position += id_bytes + length_bytes + length
        if header[:4] == b"\x18\x53\x80\x67":
            return position
    return 0
