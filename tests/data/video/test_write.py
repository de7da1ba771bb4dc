"""A written video has the frames, the times and the sound that went in, or is not there at all."""

from __future__ import annotations

import errno
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from goodfit.data.video.decode import iterate_frames
from goodfit.data.video.index import open_video
from goodfit.data.video.write import VideoWriter
from goodfit.errors import ResourceError, VideoError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    MakeVideo = Callable[..., Path]
    ReadNumber = Callable[[Any], int]


def rewrite(source: Path, path: Path) -> Path:
    """Decode a video and write it again."""
    index = open_video(source)
    with VideoWriter(path, index.width, index.height, index) as writer:
        for _, time, image in iterate_frames(index):
            writer.add(image, time)
    return path


@pytest.mark.parametrize(
    ("name", "pts", "ticks"),
    [
        ("source.mp4", [number * number * 7 + number * 100 for number in range(60)], 90000),
        ("source.mp4", range(60), 25),
        ("source.mkv", [number * number + number * 11 + 4321 for number in range(60)], 1000),
        ("source.avi", range(60), 25),
    ],
)
def test_frames_and_times_are_kept(
    make_video: MakeVideo, read_number: ReadNumber, tmp_path: Path, name: str, pts: Any, ticks: int
) -> None:
    source = make_video(name, pts=pts, time_base=Fraction(1, ticks))
    before, after = open_video(source), open_video(rewrite(source, tmp_path / "out.mp4"))
    assert after.times == pytest.approx(before.times, abs=1e-9)
    assert after.times == pytest.approx([(time - pts[0]) / ticks for time in pts], abs=1e-9)
    assert [read_number(image) for _, _, image in iterate_frames(after)] == list(range(60))


def test_every_other_frame_keeps_its_time(make_video: MakeVideo, read_number: ReadNumber, tmp_path: Path) -> None:
    index = open_video(make_video())
    with VideoWriter(tmp_path / "out.mp4", 112, 80, index) as writer:
        for _, time, image in iterate_frames(index, stride=4):
            writer.add(image, time)
    written = open_video(tmp_path / "out.mp4")
    assert written.times == pytest.approx(index.times[::4])
    assert [read_number(image) for _, _, image in iterate_frames(written)] == list(range(0, 60, 4))


@pytest.mark.parametrize("fps", [25, 30000 / 1001, 12.5])
def test_frames_without_times_come_at_the_rate(tmp_path: Path, fps: float) -> None:
    with VideoWriter(tmp_path / "out.mp4", 64, 48, fps=fps) as writer:
        for _ in range(10):
            writer.add(np.zeros((48, 64, 3), np.uint8))
    assert open_video(tmp_path / "out.mp4").times == pytest.approx([number / fps for number in range(10)], abs=1e-4)


@pytest.mark.parametrize(("width", "height"), [(63, 48), (64, 47), (65, 49)])
def test_odd_sizes_are_filled_up(tmp_path: Path, width: int, height: int) -> None:
    image = np.full((height, width, 3), 20, np.uint8)
    image[:, -5:] = image[-5:] = 220
    with VideoWriter(tmp_path / "out.mp4", width, height) as writer:
        writer.add(image)
        writer.add(image)
    index = open_video(tmp_path / "out.mp4")
    assert (index.width, index.height) == (width + width % 2, height + height % 2)
    _, _, found = next(iterate_frames(index))
    assert np.abs(found[:height, :width].astype(int) - image).mean() < 6
    assert found[:, -1].mean() > 200


def test_colours_come_back_as_tagged(tmp_path: Path) -> None:
    colours = [(200, 30, 30), (30, 180, 40), (40, 50, 210), (250, 250, 250), (5, 5, 5)]
    with VideoWriter(tmp_path / "out.mp4", 64, 64) as writer:
        for colour in colours:
            writer.add(np.full((64, 64, 3), colour, np.uint8))
    for (_, _, image), colour in zip(iterate_frames(tmp_path / "out.mp4"), colours, strict=True):
        np.testing.assert_allclose(image[32, 32], colour, atol=5)
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.pix_fmt == "yuv420p"
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.colorspace == 1


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _fail_half_way(path: Path, source: Path) -> None:
    with VideoWriter(path, 112, 80, open_video(source)) as writer:
        for _ in range(30):
            writer.add(np.zeros((80, 112, 3), np.uint8))
        raise KeyError("half way")


def test_nothing_is_left_of_a_video_that_fails(make_video: MakeVideo, tmp_path: Path) -> None:
    source = make_video("source.mp4", audio="aac")
    (tmp_path / "out.mp4").write_bytes(b"what was there before")
    before = _names(tmp_path)
    with pytest.raises(KeyError, match="half way"):
        _fail_half_way(tmp_path / "out.mp4", source)
    assert _names(tmp_path) == before
    assert (tmp_path / "out.mp4").read_bytes() == b"what was there before"


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "out.mp4", 64, 48):
        raise KeyboardInterrupt
    assert _names(tmp_path) == set()


def test_a_video_without_frames_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"out\.mp4: there is no frame"), VideoWriter(tmp_path / "out.mp4", 64, 48):
        pass
    assert _names(tmp_path) == set()


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: VideoWriter, packets: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(VideoWriter, "_mux", full)
    with pytest.raises(ResourceError, match="no room left"), VideoWriter(tmp_path / "out.mp4", 64, 48) as writer:
        writer.add(np.zeros((48, 64, 3), np.uint8))
    assert _names(tmp_path) == set()


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"out\.gif: .*ends in \.mp4"):
        VideoWriter(tmp_path / "out.gif", 64, 48)


def test_wrong_images_and_times_are_refused(tmp_path: Path) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    with VideoWriter(tmp_path / "out.mp4", 64, 48) as writer:
        writer.add(image, 1.0)
        with pytest.raises(ValueError, match="not after the frame before"):
            writer.add(image, 1.0)
        with pytest.raises(ValueError, match="is expected"):
            writer.add(np.zeros((64, 48, 3), np.uint8))
        with pytest.raises(ValueError, match="is expected"):
            writer.add(image.astype(np.float32))


def test_the_index_comes_first_so_that_browsers_play_it_while_loading(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", 64, 48) as writer:
        writer.add(np.zeros((48, 64, 3), np.uint8))
    content = (tmp_path / "out.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_quick_writing_costs_size_and_hardly_any_quality(make_video: MakeVideo, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images = [np.clip(random.normal(128, 20, (96, 128, 3)), 0, 255).astype(np.uint8) for _ in range(20)]
    errors, sizes = {}, {}
    for quick in (False, True):
        path = tmp_path / f"{quick}.mp4"
        with VideoWriter(path, 128, 96, fps=25, quick=quick) as writer:
            for image in images:
                writer.add(image)
        read = [image for _, _, image in iterate_frames(path)]
        errors[quick] = float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(images, read, strict=True)]))
        sizes[quick] = path.stat().st_size
    assert errors[True] < 1.2 * errors[False]
    assert sizes[True] < 3 * sizes[False]
