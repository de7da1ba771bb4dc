"""Decoding exactly the frames asked for, or all of them in order."""

from __future__ import annotations

import logging
from itertools import chain
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from goodfit.data.video.containers import open_container, video_stream
from goodfit.data.video.index import EntryPoint, VideoIndex, open_video
from goodfit.errors import VideoError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    import numpy.typing as npt
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    Image = npt.NDArray[np.uint8]

logger = logging.getLogger(__name__)

_WORTH_A_SEEK = 12
"""Frames: a key frame nearer than this to where the decoder stands is not jumped to; jumping empties its threads."""

_CONVERT = "Copy it anew from its source, or convert it: ffmpeg -i IN OUT.mp4"

_MOST_LOST = 0.02
"""Share of frames that may be damaged when a video is read in order; more, and the video is refused."""


class FramePixels:
    """Turns decoded frames of one video into pixels; each thread needs its own.

    Args:
        index: from ``open_video``.
    """

    def __init__(self, index: VideoIndex) -> None:
        self.index = index
        # One for all frames: making its tables takes longer than a small frame does. Threads would wait for each other.
        self._reformatter = VideoReformatter()

    def image(self, frame: VideoFrame) -> Image:
        """Give the pixels of a decoded frame: (H, W, 3) uint8 RGB, upright, an array of its own.

        Raises:
            VideoError: the frame is of another size than the first, or damaged.
        """
        pixels = self._reformatter.reformat(self._checked(frame), format="rgb24", threads=1).to_ndarray()
        return self.index.orientation.upright(np.asarray(pixels, dtype=np.uint8))

    def _checked(self, frame: VideoFrame) -> VideoFrame:
        index = self.index
        stored = (index.height, index.width) if index.orientation.swapped else (index.width, index.height)
        if (frame.width, frame.height) != stored:
            raise VideoError(
                f"{index.path}: the frames change from {stored[0]}x{stored[1]} to {frame.width}x{frame.height}. "
                "Give them one size: ffmpeg -i IN OUT.mp4"
            )
        if frame.is_corrupt:
            raise VideoError(f"{index.path}: the frame at {frame.time:.3f} s is damaged. {_CONVERT}")
        return frame


class VideoReader:
    """Reads single frames of one video; quick where their numbers ascend. Not for several threads at once.

    Args:
        index: from ``open_video``.
        threads: of the decoder; 0 lets it choose.
    """

    def __init__(self, index: VideoIndex, threads: int = 0) -> None:
        self.index = index
        self._pixels = FramePixels(index)
        self._threads = threads
        self._container: InputContainer | None = None
        self._frames: Iterator[tuple[int, VideoFrame]] = iter(())
        self._waiting: tuple[int, VideoFrame] | None = None
        self._next: int | None = None

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._frames, self._waiting, self._next = iter(()), None, None
        if self._container is not None:
            self._container.close()
            self._container = None

    def read(self, number: int) -> Image:
        """Decode one frame.

        Args:
            number: from 0, in the order of presentation.

        Returns:
            (H, W, 3) uint8 RGB, as players show it.

        Raises:
            VideoError: the video has no such frame, or it is damaged.
        """
        if not 0 <= number < self.index.frame_count:
            raise VideoError(
                f"{self.index.path}: frame {number} is asked for, the video has frames 0 to "
                f"{self.index.frame_count - 1}. Make the annotations and the video agree."
            )
        entry = self.index.entry_before(number)
        nearest = entry.number if entry is not None else 0
        frame = None
        if self._next is not None and self._next <= number and nearest < self._next + _WORTH_A_SEEK:
            frame = self._forward(number)
        back = 0
        while frame is None:
            entry = self.index.entry_before(number, back)
            if entry is None:
                self._restart()
            elif not self._jump(entry):
                back = 2 * back + 1
                continue
            frame = self._forward(number)
            if frame is None and entry is None:
                raise VideoError(
                    f"{self.index.path}: frame {number} (at {self.index.times[number]:.3f} s) cannot be decoded. "
                    "Copy the video anew from its source, or take the frame out of the annotations."
                )
            back = 2 * back + 1
        return self._pixels.image(frame)

    def frames(self) -> Iterator[tuple[int, VideoFrame]]:
        """Decode all frames in order from the start, to be turned into pixels by ``FramePixels``; damaged ones are missing.

        Raises:
            VideoError: the file cannot be read on.
        """
        self._restart()
        return self._frames

    def _forward(self, number: int) -> VideoFrame | None:
        """Decode on until a frame; None where it does not come."""
        while True:
            found = self._waiting or next(self._frames, None)
            self._waiting = None
            if found is None:
                self._next = None
                return None
            self._next = found[0] + 1
            if found[0] == number:
                return found[1]
            if found[0] > number:
                self._waiting, self._next = found, found[0]
                return None

    def _restart(self) -> None:
        """Begin at the start of the file."""
        self.close()
        container, stream = self._open()
        self._frames = self._decode(container.demux(stream), 0, None)
        self._next = 0

    def _jump(self, entry: EntryPoint) -> bool:
        """Begin at an entry point, or somewhat before it; False where the file does not lead there."""
        self._waiting, self._next = None, None
        container, stream = self._open()
        try:
            container.seek(entry.tick, stream=stream)
            packets = container.demux(stream)
            packet = next(packets)
        except (av.FFmpegError, StopIteration):
            return False
        landed = self._landed(packet, entry)
        if landed is None:
            return False
        self._frames = self._decode(chain((packet,), packets), landed.number, landed.tick)
        self._next = landed.number
        return True

    def _landed(self, packet: Packet[VideoStream], entry: EntryPoint) -> EntryPoint | None:
        """Tell from the first packet which entry point was reached."""
        if not self.index.timed:
            return entry if packet.dts == entry.tick else None
        if packet.pts is None or packet.pts > entry.tick or not packet.is_keyframe:
            return None
        return EntryPoint(int(np.searchsorted(self.index.ticks, packet.pts)), packet.pts)

    def _decode(
        self, packets: Iterator[Packet[VideoStream]], number: int, begin: int | None
    ) -> Iterator[tuple[int, VideoFrame]]:
        """Number the frames that come out; ``begin`` is the tick before which they may be broken."""
        index = self.index
        for frame in self._decoded(packets):
            if not index.timed:
                if number >= index.frame_count:
                    raise VideoError(f"{index.path}: more frames come out than the file has. {_CONVERT}")
                yield number, frame
                number += 1
            elif not frame.is_corrupt and frame.pts is not None and (begin is None or frame.pts >= begin):
                place = int(np.searchsorted(index.ticks, frame.pts))
                if place < index.frame_count and index.ticks[place] == frame.pts:
                    yield place, frame

    def _decoded(self, packets: Iterator[Packet[VideoStream]]) -> Iterator[VideoFrame]:
        index = self.index
        begun = index.timed
        try:
            for packet in packets:
                begun = begun or packet.is_keyframe
                if not begun:
                    continue  # what comes before the first key frame was not counted either
                try:
                    frames = packet.decode()
                except av.FFmpegError as error:
                    if index.timed:
                        continue  # the other frames are still known by their times
                    raise VideoError(
                        f"{index.path}: the file is damaged, and does not tell how many frames are lost there. {_CONVERT}"
                    ) from error
                yield from frames
        except av.FFmpegError as error:
            raise VideoError(f"{index.path}: cannot be read on ({error.strerror}). {_CONVERT}") from error

    def _open(self) -> tuple[InputContainer, VideoStream]:
        if self._container is None:
            self._container = open_container(self.index.path)
            stream = video_stream(self._container, self.index.path)
            stream.thread_type = "AUTO"
            if self._threads:
                stream.thread_count = self._threads
        return self._container, video_stream(self._container, self.index.path)


def read_frames(video: Path | VideoIndex, numbers: Sequence[int], threads: int = 0) -> Iterator[tuple[int, Image]]:
    """Decode exactly some frames of a video, with a few of them in memory.

    Args:
        video: the file or its index.
        numbers: from 0, in the order of presentation; in any order, each is given once.
        threads: of the decoder; 0 lets it choose.

    Yields:
        (number, image), ascending; the image is (H, W, 3) uint8 RGB as players show it.

    Raises:
        VideoError: the video cannot be read, has no such frame, or the frame is damaged.
    """
    index = video if isinstance(video, VideoIndex) else open_video(video)
    with VideoReader(index, threads) as reader:
        for number in sorted(set(numbers)):
            yield number, reader.read(number)


def iterate_frames(video: Path | VideoIndex, stride: int = 1, threads: int = 0) -> Iterator[tuple[int, float, Image]]:
    """Decode a video from its start to its end, with a few frames in memory.

    Frames that are damaged are left out, which the log tells; the others keep their numbers.

    Args:
        video: the file or its index.
        stride: give every ``stride``-th frame: those whose number it divides.
        threads: of the decoder; 0 lets it choose.

    Yields:
        (number, seconds since the first frame, image); the image is (H, W, 3) uint8 RGB as players show it.

    Raises:
        VideoError: the video cannot be read, or more than 2 % of its frames are damaged.
    """
    index = video if isinstance(video, VideoIndex) else open_video(video)
    pixels = FramePixels(index)
    for number, time, frame in iterate_decoded(index, threads):
        if number % stride == 0:
            yield number, time, pixels.image(frame)


def iterate_decoded(index: VideoIndex, threads: int = 0) -> Iterator[tuple[int, float, VideoFrame]]:
    """Decode all frames like ``iterate_frames``, and leave it to ``FramePixels`` to turn them into pixels.

    Raises:
        VideoError: as for ``iterate_frames``.
    """
    expected, lost = 0, 0
    with VideoReader(index, threads) as reader:
        for number, frame in reader.frames():
            lost += number - expected
            _refuse_losses(index, lost)
            expected = number + 1
            yield number, index.times[number], frame
    lost += index.frame_count - expected
    _refuse_losses(index, lost)
    if lost:
        logger.warning("%s: %d of %d frames are damaged and were left out.", index.path, lost, index.frame_count)


def _refuse_losses(index: VideoIndex, lost: int) -> None:
    if lost > max(1, _MOST_LOST * index.frame_count):
        raise VideoError(f"{index.path}: {lost} or more of its {index.frame_count} frames are damaged. {_CONVERT}")
