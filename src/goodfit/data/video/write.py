"""Writing a video: H.264 in MP4, each frame at its own time, with the sound of the video it was made from."""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from goodfit.data.video.audio import AudioTrack
from goodfit.errors import VideoError
from goodfit.files import replacing

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    import numpy.typing as npt
    from av.packet import Packet
    from av.video.stream import VideoStream

    from goodfit.data.video.index import VideoIndex

WRITTEN_ENDINGS = (".mp4", ".m4v", ".mov")

_TICKS = Fraction(1, 90000)
"""Time base where there is no source: divides the usual frame rates (24, 25, 30, 50, 60 and 1000/1001 of them)."""

_QUALITY = "20"
"""x264's constant rate factor: 18 is hardly told from the source, 23 is its default."""

_PRESETS = {False: "veryfast", True: "ultrafast"}


class VideoWriter:
    """Writes a video file, complete or not at all.

    As a context: the file is there once the block is left without an exception; nothing of it is left otherwise.

    Args:
        path: .mp4, .m4v or .mov.
        width: of the images, in pixels; an odd size is filled up with a copy of the last column or row, as the
            pixel format needs even ones.
        height: of the images, in pixels.
        source: the video that the images come from: its time base is kept, and its sound track comes along.
        fps: frames per second for frames that are added without a time; None takes the source's, or 25.
        quick: encode with a third of the work, into a file about twice as large.

    Raises:
        VideoError: the ending is not one of these.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        source: VideoIndex | None = None,
        fps: float | None = None,
        *,
        quick: bool = False,
    ) -> None:
        if path.suffix.lower() not in WRITTEN_ENDINGS:
            raise VideoError(f"{path}: videos are written as MP4. Give it a name that ends in .mp4")
        self.path = path
        self.size = (width, height)
        self._source = source
        self._fps = fps or (source.fps if source is not None else 25.0)
        self._base = source.time_base if source is not None else _TICKS
        self._preset = _PRESETS[quick]
        self._reformatter = VideoReformatter()  # one for all frames, since it makes tables first
        self._closing = ExitStack()
        self._stream: VideoStream | None = None
        self._sound: AudioTrack | None = None
        self._offset = 0
        self._last: int | None = None

    def __enter__(self) -> VideoWriter:
        with ExitStack() as stack:
            temporary = stack.enter_context(replacing(self.path))
            self._output = stack.enter_context(
                av.open(str(temporary.absolute()), "w", container_options={"movflags": "+faststart"})
            )
            self._stream = self._video_stream()
            if self._source is not None and self._source.has_audio:
                self._sound = AudioTrack(self._source.path, self._output)
                stack.callback(self._sound.close)
                # Both tracks keep their distance on the source's clock.
                self._offset = max(0, round((self._source.start - self._sound.clock_start) / self._base))
            self._closing = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._closing.__exit__(kind, error, trace)
            return
        with self._closing:
            self._finish()

    def add(self, image: npt.NDArray[np.uint8], time: float | None = None) -> None:
        """Write the next frame.

        Args:
            image: (H, W, 3) uint8 RGB of the writer's size.
            time: seconds since the first frame, as ``VideoIndex.times`` gives them; None puts the frame one
                interval after the one before.

        Raises:
            ValueError: the size is wrong, or the time is not after that of the frame before.
        """
        width, height = self.size
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            raise ValueError(f"an image of {image.shape} {image.dtype} where ({height}, {width}, 3) uint8 is expected")
        assert self._stream is not None, "VideoWriter is used outside of its `with` block"
        tick = self._tick(time)
        if self._last is not None and tick <= self._last:
            raise ValueError(f"time {time} s is not after the frame before, at {float(self._last * self._base)} s")
        self._last = tick
        frame = self._reformatter.reformat(
            VideoFrame.from_ndarray(_even(image), format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        frame.pts = tick + self._offset
        frame.time_base = self._base
        self._mux(self._stream.encode(frame))

    def _tick(self, time: float | None) -> int:
        if time is not None:
            return round(time / self._base)
        if self._last is None:
            return 0
        return self._last + max(1, round(1 / (self._fps * self._base)))

    def _video_stream(self) -> VideoStream:
        width, height = self.size
        rate = Fraction(self._fps).limit_denominator(1001)
        stream = self._output.add_stream("libx264", rate=rate, options={"preset": self._preset, "crf": _QUALITY})
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        stream.time_base = self._base
        context = stream.codec_context
        context.time_base = self._base
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        return stream

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        for packet in packets:
            self._output.mux(packet)
            if self._sound is not None and packet.dts is not None and packet.time_base is not None:
                self._sound.write_until(float(packet.dts * packet.time_base))

    def _finish(self) -> None:
        assert self._stream is not None
        if self._last is None:
            raise VideoError(f"{self.path}: there is no frame to write. Give a video with at least one frame.")
        self._mux(self._stream.encode(None))
        if self._sound is not None:
            self._sound.write_until(None)


def _even(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Make both sides even by repeating the last row or column."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(image)
