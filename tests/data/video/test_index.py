"""How many frames a video has and when they are shown, judged by a decoder that reads it to the end."""

from __future__ import annotations

import pickle
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import pytest

from goodfit.data.video.index import open_video
from goodfit.errors import VideoError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    MakeVideo = Callable[..., Path]

OPEN_GOP = {"x264-params": "open-gop=1:keyint=10:bframes=3:scenecut=0"}


def decoded(path: Path) -> list[Any]:
    """Decode a whole video in the plainest way."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def remux(source: Path, name: str, *, skip: int = 0, shift: int = 0, holes: tuple[int, ...] = ()) -> Path:
    """Copy the packets of a video to another file, without some of them, at other times."""
    path = source.with_name(name)
    with av.open(str(source)) as read, av.open(str(path), "w") as write:
        stream: Any = write.add_stream_from_template(read.streams.video[0])
        for place, packet in enumerate(read.demux(video=0)):
            if packet.size == 0 or place < skip or place in holes:
                continue
            assert packet.pts is not None
            packet.pts += shift
            packet.dts = (packet.dts if packet.dts is not None else packet.pts - 200) + shift
            packet.stream = stream
            write.mux(packet)
    return path


@pytest.mark.parametrize("name", ["video.mp4", "video.mov", "video.avi", "video.mkv"])
def test_size_rate_and_times_of_a_plain_video(make_video: MakeVideo, name: str) -> None:
    index = open_video(make_video(name, frames=45, rate=30))
    assert (index.frame_count, index.width, index.height) == (45, 112, 80)
    assert index.fps == pytest.approx(30, rel=1e-3)
    assert index.times == pytest.approx([number / 30 for number in range(45)], abs=1e-3)
    assert not index.variable_rate
    assert not index.has_audio


@pytest.mark.parametrize(("name", "ticks"), [("video.mp4", 90000), ("video.mov", 90000), ("video.mkv", 1000)])
def test_a_variable_rate_keeps_its_times(make_video: MakeVideo, name: str, ticks: int) -> None:
    pts = [number * number * ticks // 10000 + number * ticks // 50 for number in range(40)]
    index = open_video(make_video(name, frames=40, pts=pts, time_base=Fraction(1, ticks)))
    assert index.variable_rate
    assert index.times == pytest.approx([time / ticks for time in pts], abs=1e-9)
    assert index.fps == pytest.approx(39 / index.times[-1])


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv"])
def test_times_begin_with_the_first_frame_wherever_the_clock_begins(make_video: MakeVideo, name: str) -> None:
    index = open_video(make_video(name, frames=20, pts=range(100, 120)))
    assert index.start == pytest.approx(4.0)
    assert index.times == pytest.approx([number / 25 for number in range(20)], abs=1e-3)


@pytest.mark.parametrize(
    ("source", "options", "skip", "name"),
    [
        ("whole.mp4", {}, 5, "cut.mp4"),
        ("whole.mkv", {}, 5, "cut.mkv"),
        ("whole.avi", {}, 5, "cut.avi"),
        ("whole.mp4", OPEN_GOP, 8, "cut.mp4"),
        ("whole.mkv", OPEN_GOP, 8, "cut.mkv"),
        ("whole.avi", OPEN_GOP, 8, "cut.avi"),
    ],
)
def test_frames_before_the_first_that_can_be_decoded_do_not_count(
    make_video: MakeVideo, source: str, options: dict[str, str], skip: int, name: str
) -> None:
    cut = remux(make_video(source, options=options), name, skip=skip)
    assert open_video(cut).frame_count == len(decoded(cut)) < 60 - skip


def test_frames_that_an_edit_list_hides_do_not_count(make_video: MakeVideo) -> None:
    edited = remux(make_video(), "edited.mp4", shift=-512 * 14)
    assert open_video(edited).frame_count == len(decoded(edited)) == 46


def test_frames_that_are_not_there_leave_a_gap_in_time(make_video: MakeVideo) -> None:
    # Two B-frames, which no other frame needs.
    index = open_video(remux(make_video(), "holes.mp4", holes=(26, 27)))
    assert index.frame_count == 58
    assert index.variable_rate
    assert index.times[-1] == pytest.approx(59 / 25)


def test_the_track_of_sound_is_seen(make_video: MakeVideo) -> None:
    assert open_video(make_video(audio="aac")).has_audio


def test_an_index_travels_to_other_processes(make_video: MakeVideo) -> None:
    index = open_video(make_video())
    again = pickle.loads(pickle.dumps(index))
    assert again.times == index.times
    assert again.entries == index.entries


def test_one_frame_is_a_video(make_video: MakeVideo) -> None:
    index = open_video(make_video(frames=1))
    assert (index.frame_count, index.times, index.fps, index.variable_rate) == (1, [0.0], 25.0, False)


def test_a_video_of_which_nothing_can_be_decoded_is_refused(make_video: MakeVideo) -> None:
    path = make_video("video.mkv", frames=4)
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    for packet in places:
        begin = bytes(content).find(packet)
        content[begin : begin + len(packet)] = b"\xff" * len(packet)
    path.write_bytes(bytes(content))
    with pytest.raises(VideoError, match=r"video\.mkv: not one frame of it can be decoded"):
        open_video(path)
