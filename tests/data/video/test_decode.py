"""Exactly the frame asked for: each carries its number, painted in."""

from __future__ import annotations

import logging
import random
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goodfit.data.video.decode import FramePixels, VideoReader, iterate_decoded, iterate_frames, read_frames
from goodfit.data.video.index import open_video
from goodfit.errors import VideoError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    MakeVideo = Callable[..., Path]
    ReadNumber = Callable[[Any], int]

OPEN_GOP = {"x264-params": "open-gop=1:keyint=10:bframes=3:scenecut=0"}
IRREGULAR = [number * number * 7 + number * 100 for number in range(60)]

KINDS: dict[str, dict[str, Any]] = {
    "h264 mp4": {"name": "video.mp4"},
    "h264 mov": {"name": "video.mov"},
    "h264 mkv": {"name": "video.mkv"},
    "h264 avi": {"name": "video.avi"},
    "h264 avi without B-frames": {"name": "video.avi", "bframes": 0},
    "open GOP mp4": {"name": "video.mp4", "options": OPEN_GOP},
    "open GOP mkv": {"name": "video.mkv", "options": OPEN_GOP},
    "open GOP avi": {"name": "video.avi", "options": OPEN_GOP},
    "one key frame": {"name": "video.mp4", "gop": 250},
    "intra refresh": {"name": "video.mp4", "options": {"x264-params": "intra-refresh=1:keyint=20:bframes=0"}},
    "irregular mp4": {"name": "video.mp4", "pts": IRREGULAR, "time_base": Fraction(1, 90000)},
    "irregular mkv": {"name": "video.mkv", "pts": IRREGULAR, "time_base": Fraction(1, 1000)},
    "late clock mp4": {"name": "video.mp4", "pts": range(100, 160)},
    "late clock mkv": {"name": "video.mkv", "pts": range(100, 160)},
    "mpeg4 avi": {"name": "video.avi", "codec": "mpeg4", "bframes": 2},
    "mpeg4 avi without B-frames": {"name": "video.avi", "codec": "mpeg4", "bframes": 0},
    "mjpeg avi": {"name": "video.avi", "codec": "mjpeg", "bframes": None, "pixels": "yuvj420p"},
    "vp9 webm": {"name": "video.webm", "codec": "libvpx-vp9", "bframes": None, "options": {"deadline": "realtime"}},
    "transport stream": {"name": "video.ts"},
    "program stream": {"name": "video.mpg", "codec": "mpeg2video", "bframes": 2},
    "with sound": {"name": "video.mp4", "audio": "aac"},
}
SCATTERED = (59, 0, 37, 5, 58, 41, 18, 19, 20, 21, 22, 9, 10, 11, 33)


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_the_one_asked_for(make_video: MakeVideo, read_number: ReadNumber, kind: str) -> None:
    index = open_video(make_video(**KINDS[kind]))
    assert index.frame_count == 60
    in_order = [(number, time, read_number(image)) for number, time, image in iterate_frames(index)]
    assert [number for number, _, _ in in_order] == [painted for _, _, painted in in_order] == list(range(60))
    assert [time for _, time, _ in in_order] == index.times
    found = [(number, read_number(image)) for number, image in read_frames(index, SCATTERED)]
    assert found == [(number, number) for number in sorted(SCATTERED)]
    with VideoReader(index) as reader:
        assert [read_number(reader.read(number)) for number in SCATTERED] == list(SCATTERED)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(st.integers(0, 59), max_size=8), threads=st.sampled_from([0, 1, 3]))
@pytest.mark.parametrize("kind", ["open GOP mp4", "h264 avi", "intra refresh"])
def test_any_numbers_in_any_order(
    make_video: MakeVideo, read_number: ReadNumber, kind: str, numbers: Sequence[int], threads: int
) -> None:
    path = make_video(**KINDS[kind])
    found = [(number, read_number(image)) for number, image in read_frames(path, numbers, threads)]
    assert found == [(number, number) for number in sorted(set(numbers))]
    with VideoReader(open_video(path), threads) as reader:
        assert [read_number(reader.read(number)) for number in numbers] == list(numbers)


def test_pixels_are_those_of_a_plain_decode(make_video: MakeVideo) -> None:
    path = make_video(options=OPEN_GOP)
    with av.open(str(path)) as container:
        plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for number, image in read_frames(path, [8, 19, 31, 59]):
        np.testing.assert_array_equal(image, plain[number])
        assert image.dtype == np.uint8


@pytest.mark.parametrize("kind", ["h264 mp4", "h264 mkv", "h264 avi", "mpeg4 avi", "vp9 webm"])
def test_key_frames_are_used(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    index = open_video(make_video(**KINDS[kind]))
    assert len(index.entries) >= 6
    decoded = _count_packets(monkeypatch)
    list(read_frames(index, [55]))
    assert decoded() < 25


def test_neighbours_are_decoded_once(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    index = open_video(make_video(gop=250))
    decoded = _count_packets(monkeypatch)
    list(read_frames(index, range(60)))
    assert decoded() <= 61


def _count_packets(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count the packets that go into the decoder."""
    seen = [0]
    plain = VideoReader._decoded

    def counting(self: VideoReader, packets: Any) -> Any:
        def pass_on() -> Any:
            for packet in packets:
                seen[0] += 1
                yield packet

        return plain(self, pass_on())

    monkeypatch.setattr(VideoReader, "_decoded", counting)
    return lambda: seen[0]


def test_a_stride_keeps_numbers_and_times(make_video: MakeVideo, read_number: ReadNumber) -> None:
    index = open_video(make_video())
    found = [(number, time, read_number(image)) for number, time, image in iterate_frames(index, stride=7)]
    assert found == [(number, index.times[number], number) for number in range(0, 60, 7)]


@pytest.mark.parametrize("number", [60, -1])
def test_a_frame_beyond_the_end_is_refused(make_video: MakeVideo, number: int) -> None:
    path = make_video()
    with pytest.raises(VideoError, match=rf"video\.mp4: frame {number} is asked for, the video has frames 0 to 59"):
        list(read_frames(path, [3, number]))


def _damage(path: Path, places: Sequence[int]) -> Path:
    """Overwrite the content of some packets."""
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    noise = random.Random(0)
    for place in places:
        begin, size = packets[place]
        content[begin + 4 : begin + size] = noise.randbytes(size - 4)
    path.write_bytes(bytes(content))
    return path


def test_a_damaged_frame_is_named_and_the_others_come(make_video: MakeVideo, read_number: ReadNumber) -> None:
    path = _damage(make_video(codec="mjpeg", name="video.mov", bframes=None, pixels="yuvj420p"), [30])
    damaged = open_video(path)
    assert damaged.frame_count == 60
    others = [number for number in range(60) if number != 30]
    assert [read_number(image) for _, image in read_frames(damaged, others)] == others


def test_a_packet_that_cannot_be_decoded_is_an_error_for_its_frame_alone(
    make_video: MakeVideo, read_number: ReadNumber, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_video("video.mkv", frames=80, codec="libvpx-vp9", bframes=None, gop=1, options={"deadline": "realtime"})
    path = _damage_first_bytes(path, 30)
    index = open_video(path)
    with pytest.raises(VideoError, match=r"video\.mkv: frame 30 \(at 1\.200 s\) cannot be decoded"):
        list(read_frames(index, [30]))
    with caplog.at_level(logging.WARNING):
        found = [read_number(image) for _, _, image in iterate_frames(index)]
    assert found == [number for number in range(80) if number != 30]
    assert "1 of 80 frames are damaged" in caplog.text


def _damage_first_bytes(path: Path, place: int) -> Path:
    with av.open(str(path)) as container:
        packet = [bytes(packet) for packet in container.demux(video=0) if packet.size][place]
    content = path.read_bytes()
    begin = content.index(packet)
    path.write_bytes(content[:begin] + b"\x00" * 40 + content[begin + 40 :])
    return path


def test_a_video_with_many_damaged_frames_is_refused(make_video: MakeVideo) -> None:
    path = make_video("video.mkv", codec="libvpx-vp9", bframes=None, gop=1, options={"deadline": "realtime"})
    for place in (30, 31, 32, 40):
        _damage_first_bytes(path, place)
    with pytest.raises(VideoError, match=r"video\.mkv: \d or more of its 60 frames are damaged"):
        list(iterate_frames(path))


def test_a_damaged_avi_that_must_be_counted_is_refused(make_video: MakeVideo) -> None:
    path = _damage(make_video("video.avi"), [22, 23])
    with pytest.raises(VideoError, match=r"video\.avi"):
        list(iterate_frames(path))


def test_frames_of_another_size_are_refused(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    index = open_video(make_video(frames=3))
    object.__setattr__(index, "width", 64)
    with pytest.raises(VideoError, match="the frames change from 64x80 to 112x80"):
        list(iterate_frames(index))


def test_a_reader_lets_go_of_the_file(make_video: MakeVideo) -> None:
    path = make_video()
    frames = iterate_frames(path)
    next(frames)
    frames.close()
    with VideoReader(open_video(path)) as reader:
        reader.read(4)
    assert str(path) not in {file.path for file in psutil.Process().open_files()}


@pytest.mark.slow
def test_ten_thousand_frames_need_no_more_memory_than_a_few(make_video: MakeVideo, read_number: ReadNumber) -> None:
    path = make_video(frames=10_000, gop=250, options={"preset": "ultrafast"})
    process = psutil.Process()
    index = open_video(path)
    assert index.frame_count == 10_000
    low = high = process.memory_info().rss
    for number, _, image in iterate_frames(index):
        if number % 500 == 0:
            assert read_number(image) == number % 1024
            high = max(high, process.memory_info().rss)
    assert high - low < 100e6
    assert [read_number(image) for _, image in read_frames(index, [9999, 7000])] == [7000 % 1024, 9999 % 1024]


def test_decoded_frames_become_the_same_pixels_later_and_each_its_own(
    make_video: MakeVideo, read_number: ReadNumber
) -> None:
    index = open_video(make_video())
    decoded = list(iterate_decoded(index))
    pixels = FramePixels(index)
    images = [pixels.image(frame) for _, _, frame in decoded]
    assert [(number, time) for number, time, _ in decoded] == [(number, index.times[number]) for number in range(60)]
    assert [read_number(image) for image in images] == list(range(60))
    images[0][:] = 7
    assert read_number(images[1]) == 1
    assert np.array_equal(pixels.image(decoded[5][2]), decoded[5][2].to_ndarray(format="rgb24"))
