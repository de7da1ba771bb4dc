"""The index of a video: how many frames, when each is shown, and where decoding can begin.

A frame's number is its place in the order of presentation, from 0: the number that FFmpeg, OpenCV and the
annotation tools built on them give to it when they take a video apart. The packets of the file are read for it, but
only the first few are decoded. Frames that an edit list hides, and frames before the first one that can be decoded
(a video cut between key frames), are never shown and have no number.

In most files each packet tells when its frame is shown, and a decoded frame is known by that. AVI files tell
nothing of the kind; where their frames are also reordered (H.264 with B-frames), frames are counted instead, from
the start or from a key frame that no earlier frame is shown after.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import av
import numpy as np

from goodfit.data.video.audio import audio_stream
from goodfit.data.video.containers import open_container, video_stream
from goodfit.data.video.orientation import Orientation, orientation_of
from goodfit.errors import VideoError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_LOOKED_AT = 24
"""Frames decoded at the start to see whether the times of the packets can be trusted."""

_RATE_JITTER = 0.001
"""Seconds by which the distances of frames may differ in a video of constant rate: Matroska rounds to this."""


@dataclass(frozen=True)
class EntryPoint:
    """A packet where decoding can begin.

    Attributes:
        number: the first frame that is certain to come out right.
        tick: the packet's presentation time, or its decoding time where the video is not ``timed``.
    """

    number: int
    tick: int


@dataclass(frozen=True, eq=False)
class VideoIndex:
    """What a video file holds, without its pixels.

    Attributes:
        path: the file.
        width: of a frame as it is shown, in pixels.
        height: of a frame as it is shown, in pixels.
        orientation: how a stored frame is turned to be shown.
        time_base: seconds per tick.
        ticks: (frames,) int64, when each frame is shown on the file's own clock, ascending.
        entries: where decoding can begin, ascending; the first is the start of the file.
        timed: decoded frames are known by their time; otherwise they are counted.
        rate: frames per second as the file declares them, or None.
        has_audio: there is a sound track.
    """

    path: Path
    width: int
    height: int
    orientation: Orientation
    time_base: Fraction
    ticks: npt.NDArray[np.int64]
    entries: tuple[EntryPoint, ...]
    timed: bool
    rate: Fraction | None
    has_audio: bool

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return len(self.ticks)

    @cached_property
    def times(self) -> list[float]:
        """Seconds from the first frame to each frame; the first is 0."""
        return [float((int(tick) - int(self.ticks[0])) * self.time_base) for tick in self.ticks]

    @property
    def start(self) -> float:
        """Seconds on the file's own clock when the first frame is shown; the sound has the same clock."""
        return float(int(self.ticks[0]) * self.time_base)

    @property
    def fps(self) -> float:
        """Frames per second, the mean over the video."""
        if self.frame_count > 1:
            return (self.frame_count - 1) / self.times[-1]
        return float(self.rate) if self.rate else 25.0

    @cached_property
    def variable_rate(self) -> bool:
        """Whether the distances between frames differ by more than rounding."""
        if self.frame_count < 3:
            return False
        steps = np.diff(self.ticks)
        return bool(np.ptp(steps) > max(2.0, _RATE_JITTER / float(self.time_base)))

    def entry_before(self, number: int, back: int = 0) -> EntryPoint | None:
        """Give the last entry point from which a frame can be reached, or one ``back`` places before it.

        Returns:
            The entry point, or None for the start of the file.
        """
        place = int(np.searchsorted(self._entry_numbers, number, side="right")) - 1 - back
        return self.entries[place] if place > 0 else None

    @cached_property
    def _entry_numbers(self) -> npt.NDArray[np.int64]:
        return np.array([entry.number for entry in self.entries], dtype=np.int64)


@dataclass
class _Packets:
    """Times and flags of the packets, in the order of the file."""

    pts: list[int | None]
    dts: list[int | None]
    key: list[bool]
    discarded: list[bool]
    closed: list[bool]
    """Key packets that no earlier frame is shown after."""


def open_video(path: Path) -> VideoIndex:
    """Read the index of a video.

    Raises:
        VideoError: the file is missing, truncated, no video, or none of its frames can be decoded.
    """
    with open_container(path) as container:
        stream = video_stream(container, path)
        has_audio = audio_stream(container) is not None
        try:
            packets, first, times = _scan(container, stream)
        except av.FFmpegError as error:
            raise VideoError(
                f"{path}: cannot be read to its end ({error.strerror}). Copy it anew from its source."
            ) from error
        if first is None:
            raise VideoError(
                f"{path}: not one frame of it can be decoded. Play it to see, or convert it: ffmpeg -i IN OUT.mp4"
            )
        orientation = orientation_of(first, path)
        width, height = first.width, first.height
        rate = stream.average_rate or None
        time_base = stream.time_base or Fraction(1, 1000)
        # In AVI files FFmpeg invents the presentation times, wrongly where H.264 or HEVC reorder frames.
        invented = container.format.name == "avi" and stream.codec_context.has_b_frames
        timed = _timed(packets, times) and not (invented and stream.codec_context.name != "mpeg4")
        if timed:
            ticks, entries = _by_time(packets, times[0] or 0)
        else:
            reordered = bool(stream.codec_context.has_b_frames)
            begin = packets.key.index(True) if True in packets.key else 0
            # A first key frame that later frames are shown before: only decoding tells how many of them come out.
            count = _count(path) if reordered and not packets.closed[begin] else None
            ticks, entries, time_base = _by_count(packets, begin, time_base, rate, reordered, count)
    return VideoIndex(
        path,
        *((height, width) if orientation.swapped else (width, height)),
        orientation,
        time_base,
        ticks,
        entries,
        timed,
        rate,
        has_audio,
    )


def _scan(container: InputContainer, stream: VideoStream) -> tuple[_Packets, VideoFrame | None, list[int | None]]:
    """Read all packets; decode the first frames, give the first of them and the times of all of them."""
    packets = _Packets([], [], [], [], [])
    first: VideoFrame | None = None
    times: list[int | None] = []
    nal = stream.codec_context.name == "h264" and container.format.name == "avi"
    for packet in container.demux(stream):
        for frame in _decoded(packet) if len(times) < _LOOKED_AT else ():
            if not frame.is_corrupt:
                first = first or frame
                times.append(frame.pts)
        if packet.size == 0:
            continue  # the end of the file, or a place in an AVI file where the picture stays
        packets.pts.append(packet.pts)
        packets.dts.append(packet.dts)
        packets.key.append(packet.is_keyframe)
        packets.discarded.append(packet.is_discard)
        packets.closed.append(packet.is_keyframe and nal and _is_refresh(bytes(packet)))
    return packets, first, times


def _decoded(packet: Packet[VideoStream]) -> list[VideoFrame]:
    try:
        return packet.decode()
    except av.FFmpegError:
        return []  # a video cut between key frames begins like this


def _is_refresh(content: bytes) -> bool:
    """Whether an H.264 packet (in AVI's byte stream format) holds a picture that resets the decoder (type 5, IDR)."""
    place = content.find(b"\0\0\1")
    while 0 <= place < len(content) - 3:
        if content[place + 3] & 31 == 5:
            return True
        place = content.find(b"\0\0\1", place + 3)
    return False


def _timed(packets: _Packets, decoded: list[int | None]) -> bool:
    """Whether presentation times are complete, distinct, and those of the frames that come out, in this order."""
    shown = {pts for pts, hidden in zip(packets.pts, packets.discarded, strict=True) if not hidden}
    if None in packets.pts or len(shown) < packets.discarded.count(False) or not shown.issuperset(decoded):
        return False
    times = [time for time in decoded if time is not None]
    return all(one < other for one, other in pairwise(times))


def _by_time(packets: _Packets, begin: int) -> tuple[npt.NDArray[np.int64], tuple[EntryPoint, ...]]:
    """Number the frames by presentation time, from the first that came out of the decoder."""
    pts = np.array(packets.pts, dtype=np.int64)
    ticks = np.sort(pts[(pts >= begin) & ~np.array(packets.discarded)])
    keys = np.sort(pts[np.array(packets.key)])
    numbers = np.searchsorted(ticks, keys)
    entries = [EntryPoint(int(number), int(tick)) for number, tick in zip(numbers, keys, strict=True)]
    return ticks, (EntryPoint(0, int(ticks[0])), *(entry for entry in entries if 0 < entry.number < len(ticks)))


def _by_count(
    packets: _Packets, begin: int, time_base: Fraction, rate: Fraction | None, reordered: bool, count: int | None
) -> tuple[npt.NDArray[np.int64], tuple[EntryPoint, ...], Fraction]:
    """Number the frames by counting packets from the first key frame; decoding times give the times."""
    known = [tick for tick in packets.dts[begin:] if tick is not None]
    if begin + len(known) < len(packets.dts) or len(set(known)) < len(known):
        # No times at all: frames at the declared rate, and no way to say where in the file one is.
        time_base = 1 / (rate or Fraction(25))
        known, count = list(range(len(packets.dts) - begin)), count or len(packets.dts) - begin
    ticks = np.sort(np.array(known, dtype=np.int64))
    if count is not None:
        return ticks[len(ticks) - count :], (EntryPoint(0, known[0]),), time_base
    entries = [
        EntryPoint(number, tick)
        for number, tick in enumerate(known)
        if number == 0 or packets.closed[begin + number] or (packets.key[begin + number] and not reordered)
    ]
    return ticks, tuple(entries), time_base


def _count(path: Path) -> int:
    """Decode a whole file from its first key frame and count what comes out."""
    count, begun = 0, False
    with open_container(path) as container:
        stream = video_stream(container, path)
        stream.thread_type = "AUTO"
        for packet in container.demux(stream):
            begun = begun or packet.is_keyframe
            count += len(_decoded(packet)) if begun else 0
    return count
