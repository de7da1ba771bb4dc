"""Videos whose frames carry their own number, painted in as big black and white squares."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import av
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

BITS, SQUARE = 10, 16
WIDTH, HEIGHT = 2 * SQUARE + (BITS // 2) * SQUARE, 5 * SQUARE


def paint(number: int, width: int = WIDTH, height: int = HEIGHT) -> Any:
    """Draw a frame: two rows of five squares, white for the bits that are set, on grey."""
    image = np.full((height, width, 3), 90, np.uint8)
    image[-SQUARE:, -SQUARE:] = (255, 0, 0)
    for bit in range(BITS):
        row, column = SQUARE * (1 + 2 * (bit // 5)), SQUARE * (1 + bit % 5)
        image[row : row + SQUARE, column : column + SQUARE] = 255 if number >> bit & 1 else 0
    return image


def number_in(image: Any) -> int:
    """Read the number from a frame."""
    half = SQUARE // 2
    number = 0
    for bit in range(BITS):
        value = int(image[SQUARE * (1 + 2 * (bit // 5)) + half, SQUARE * (1 + bit % 5) + half].mean())
        assert value < 60 or value > 195, "the frame is no clean decode"
        number |= int(value > 128) << bit
    return number


class MakeVideo(Protocol):
    def __call__(
        self,
        name: str = "video.mp4",
        frames: int = 60,
        *,
        codec: str = "libx264",
        options: dict[str, str] | None = None,
        bframes: int | None = 3,
        gop: int = 10,
        pts: Sequence[int] | None = None,
        time_base: Fraction | None = None,
        rate: int = 25,
        rotation: tuple[float, bool, bool] | None = None,
        pixels: str = "yuv420p",
        audio: str | None = None,
    ) -> Path: ...


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    """Write a video with numbers painted in."""

    def make(
        name: str = "video.mp4",
        frames: int = 60,
        *,
        codec: str = "libx264",
        options: dict[str, str] | None = None,
        bframes: int | None = 3,
        gop: int = 10,
        pts: Sequence[int] | None = None,
        time_base: Fraction | None = None,
        rate: int = 25,
        rotation: tuple[float, bool, bool] | None = None,
        pixels: str = "yuv420p",
        audio: str | None = None,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream(codec, rate=rate, options=options or {})
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
            stream.gop_size = gop
            if bframes is not None:
                stream.codec_context.max_b_frames = bframes
            if time_base is not None:
                stream.codec_context.time_base = time_base
            if rotation is not None:
                stream.set_display_rotation(rotation[0], hflip=rotation[1], vflip=rotation[2])
            if audio is not None:
                _add_tone(container, audio, frames / rate)
            for number in range(frames):
                frame = av.VideoFrame.from_ndarray(paint(number), "rgb24").reformat(format=pixels)
                frame.pts = pts[number] if pts is not None else number
                frame.time_base = time_base or Fraction(1, rate)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


def _add_tone(container: Any, codec: str, seconds: float) -> None:
    """Write a sine of 440 Hz."""
    rate = 16000
    stream = container.add_stream(codec, rate=rate, layout="mono")
    samples = np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    kind = stream.codec_context.codec.audio_formats[0].name
    resampler = av.AudioResampler(kind, "mono", rate, stream.codec_context.frame_size or 1024)
    frame = av.AudioFrame.from_ndarray((samples * 20000).astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts = rate, 0
    for part in (*resampler.resample(frame), *resampler.resample(None)):
        container.mux(stream.encode(part))
    container.mux(stream.encode(None))


@pytest.fixture
def painted() -> Callable[..., Any]:
    """Give the function that draws a frame with a number."""
    return paint


@pytest.fixture
def read_number() -> Callable[[Any], int]:
    """Give the function that reads the number in a frame."""
    return number_in
