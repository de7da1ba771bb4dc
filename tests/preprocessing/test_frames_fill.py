"""Filling a store: the right frames, only what is missing, all failures at once, and nothing lost to a kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from goodfit.data.instances.model import Frame, ImageSource, VideoSource
from goodfit.data.video.decode import read_frames
from goodfit.data.video.write import VideoWriter
from goodfit.errors import DatasetError, ResourceError
from goodfit.preprocessing import frames_fill
from goodfit.preprocessing.frames import FrameStore, target_size
from goodfit.preprocessing.frames_fill import fill_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZE = (48, 64)


def picture(number: int, size: tuple[int, int] = SIZE) -> Any:
    """A smooth picture whose colours tell its number."""
    y, x = np.mgrid[: size[0], : size[1]]
    return np.stack([x * 3 % 256, y * 4 % 256, np.full(size, number * 4 % 256)], axis=-1).astype(np.uint8)


def image_frames(folder: Path, count: int) -> list[Frame]:
    """Write pictures and give their frames."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = []
    for number in range(count):
        path = folder / f"image{number:02d}.png"
        Image.fromarray(picture(number)).save(path)
        frames.append(Frame(path.stem, path.stem, 0, None, *SIZE, ImageSource(path), ()))
    return frames


def video_frames(path: Path, numbers: Sequence[int], length: int = 40) -> list[Frame]:
    """Write a video and give some of its frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, SIZE[1], SIZE[0]) as writer:
        for number in range(length):
            writer.add(picture(number))
    return [
        Frame(f"{path.stem}_{number}", path.stem, number, None, *SIZE, VideoSource(path, number), ())
        for number in numbers
    ]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the frames that were written."""
    names: list[str] = []
    plain = frames_fill.write_frame

    def counting(path: Path, *arguments: Any) -> None:
        names.append(path.stem)
        plain(path, *arguments)

    monkeypatch.setattr(frames_fill, "write_frame", counting)
    return names


@pytest.mark.parametrize("workers", [1, 3])
def test_images_and_video_frames_are_stored_as_they_are_shown(tmp_path: Path, workers: int) -> None:
    images = image_frames(tmp_path / "images", 20)
    videos = [frame for name in "ab" for frame in video_frames(tmp_path / f"{name}.mp4", [39, 0, 7, 8, 21])]
    steps: list[tuple[int, int]] = []
    store = fill_frames(
        [*images, *videos], tmp_path / "store", 48, 64, workers, lambda done, total: steps.append((done, total))
    )
    assert steps == [(done, 30) for done in range(31)]
    assert store.names() == sorted(frame.name for frame in (*images, *videos))
    for number, frame in enumerate(images):
        np.testing.assert_array_equal(store.get(frame.name), picture(number))
    for frame in videos:
        ((_, expected),) = read_frames(frame.source.path, [frame.number])
        np.testing.assert_array_equal(store.get(frame.name), expected)
        assert abs(int(expected[..., 2].mean()) - frame.number * 4) < 6


@pytest.mark.parametrize("limits", [(24, 32), (30, 100), (96, 128), (48, 50)])
def test_frames_are_resized_by_the_rule(tmp_path: Path, limits: tuple[int, int]) -> None:
    frames = image_frames(tmp_path / "images", 1)
    store = fill_frames(frames, tmp_path / "store", *limits)
    expected = target_size(*SIZE, *limits)
    assert store.size("image00") == store.get("image00").shape[:2] == expected
    assert store.scale("image00") == (expected[1] / SIZE[1], expected[0] / SIZE[0])


def test_a_second_call_writes_nothing(tmp_path: Path, written: list[str]) -> None:
    frames = [*image_frames(tmp_path / "images", 5), *video_frames(tmp_path / "a.mp4", [1, 5])]
    fill_frames(frames, tmp_path / "store", 48, 64)
    assert sorted(written) == sorted(frame.name for frame in frames)
    written.clear()
    fill_frames(frames, tmp_path / "store", 48, 64)
    assert written == []


def test_what_was_touched_or_moved_is_kept_and_what_changed_is_not(tmp_path: Path, written: list[str]) -> None:
    frames = [*image_frames(tmp_path / "data/images", 4), *video_frames(tmp_path / "data/a.mp4", [1, 5])]
    fill_frames(frames, tmp_path / "store", 48, 64)
    written.clear()
    for frame in frames:
        os.utime(frame.source.path, ns=(7, 7))
    fill_frames(frames, tmp_path / "store", 48, 64)
    assert written == []
    Image.fromarray(picture(50)).save(frames[2].source.path)
    store = fill_frames(frames, tmp_path / "store", 48, 64)
    assert written == ["image02"]
    np.testing.assert_array_equal(store.get("image02"), picture(50))
    shutil.move(tmp_path / "data", tmp_path / "moved")
    moved = [
        Frame(
            frame.name,
            frame.group,
            frame.number,
            None,
            *SIZE,
            type(frame.source)(
                tmp_path / "moved" / frame.source.path.relative_to(tmp_path / "data"),
                *list(vars(frame.source).values())[1:],
            ),
            (),
        )
        for frame in frames
    ]
    written.clear()
    fill_frames(moved, tmp_path / "store", 48, 64)
    assert written == []


def test_other_sizes_replace_what_is_stored(tmp_path: Path) -> None:
    frames = image_frames(tmp_path / "images", 2)
    fill_frames(frames, tmp_path / "store", 48, 64)
    assert fill_frames(frames, tmp_path / "store", 24, 64).size("image01") == (24, 32)


def test_a_damaged_stored_frame_is_made_anew(tmp_path: Path) -> None:
    frames = image_frames(tmp_path / "images", 2)
    store = fill_frames(frames, tmp_path / "store", 48, 64)
    path = store.path("image01")
    path.write_bytes(path.read_bytes()[:-3])
    (tmp_path / "store" / ".writing-left.frame").write_bytes(b"of a killed process")
    fill_frames(frames, tmp_path / "store", 48, 64)
    np.testing.assert_array_equal(store.get("image01"), picture(1))
    assert not list((tmp_path / "store").glob(".writing-*"))


def test_all_bad_frames_are_named_in_one_error_and_the_others_kept(tmp_path: Path) -> None:
    images = image_frames(tmp_path / "images", 6)
    images[1].source.path.unlink()
    images[2].source.path.write_bytes(images[2].source.path.read_bytes()[:60])
    images[3].source.path.write_bytes(b"no image at all")
    Image.fromarray(picture(4, (20, 20))).save(images[4].source.path)
    good = video_frames(tmp_path / "good.mp4", [3, 99])
    torn = video_frames(tmp_path / "torn.mp4", [1, 2, 3])
    torn[0].source.path.write_bytes(torn[0].source.path.read_bytes()[:-50])
    with pytest.raises(DatasetError) as caught:
        fill_frames([*images, *good, *torn], tmp_path / "store", 48, 64, 2)
    text = str(caught.value)
    assert text.startswith("8 of 11 frames could not be read (the others are kept):\n")
    assert len(text.splitlines()) == 7
    for part in (
        "  image01: ",
        "  image02: ",
        "  image03: ",
        "  image04: ",
        "the image is 20x20, its annotation says 64x48",
        "  good_99: ",
        "the video has frames 0 to 39",
        "  torn_1, torn_2, torn_3: ",
        "torn.mp4: the video is truncated",
    ):
        assert part in text
    assert FrameStore(tmp_path / "store").names() == ["good_3", "image00", "image05"]


def test_a_video_of_another_size_than_annotated_is_refused(tmp_path: Path) -> None:
    (frame,) = video_frames(tmp_path / "a.mp4", [3])
    other = Frame(frame.name, frame.group, 3, None, 64, 48, frame.source, ())
    with pytest.raises(DatasetError, match=r"a\.mp4: the image is 64x48, its annotation says 48x64"):
        fill_frames([other], tmp_path / "store", 48, 64)


def test_a_full_disk_stops_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise ResourceError("no room left on the disk")

    frames = image_frames(tmp_path / "images", 40)
    monkeypatch.setattr(frames_fill, "write_frame", full)
    with pytest.raises(ResourceError, match="no room"):
        fill_frames(frames, tmp_path / "store", 48, 64, 2)


def test_an_interrupt_keeps_what_is_done(tmp_path: Path, written: list[str]) -> None:
    frames = image_frames(tmp_path / "images", 40)

    def interrupt(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_frames(frames, tmp_path / "store", 48, 64, 1, interrupt)
    before = set(written)
    assert len(before) >= 5
    written.clear()
    fill_frames(frames, tmp_path / "store", 48, 64, 1)
    assert set(written) == {frame.name for frame in frames} - before


_KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_frames_fill import image_frames
from goodfit.preprocessing.frames_fill import fill_frames

def kill(done, total):
    if done == 12:
        os.kill(os.getpid(), signal.SIGKILL)

root = Path(sys.argv[1])
fill_frames(image_frames(root / "images", 40), root / "store", 48, 64, 2, kill)
"""


def test_a_killed_process_leaves_a_store_that_is_filled_on(tmp_path: Path, written: list[str]) -> None:
    here = str(Path(__file__).parent)
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path), here], check=False)
    assert killed.returncode == -signal.SIGKILL
    store = FrameStore(tmp_path / "store")
    kept = set(store.names())
    assert 12 <= len(kept) < 40
    fill_frames(image_frames(tmp_path / "images", 40), tmp_path / "store", 48, 64)
    assert set(written).isdisjoint(kept)
    for number in range(40):
        np.testing.assert_array_equal(store.get(f"image{number:02d}"), picture(number))
