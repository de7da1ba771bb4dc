from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from goodfit.data.instances.dataset import open_instances
from goodfit.data.instances.masks import decode_mask
from goodfit.data.instances.model import VideoSource
from goodfit.data.instances.splits import make_instance_split
from goodfit.data.video.decode import read_frames
from goodfit.errors import DatasetError
from goodfit.files import read_json
from goodfit.phantoms.rooms import write_rooms
from goodfit.phantoms.rooms.dataset import ANNOTATED, FPS, make_video

if TYPE_CHECKING:
    from pathlib import Path

VIDEOS, FRAMES, SEED = 5, 12, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rooms(tmp_path_factory.mktemp("rooms") / "rooms", videos=VIDEOS, frames=FRAMES, seed=SEED)


def test_dataset_is_read_without_a_complaint(folder: Path) -> None:
    dataset = open_instances(folder)
    assert dataset.categories == ("person",)
    assert dataset.problems == ()
    assert dataset.has_masks
    assert dataset.grouped
    assert len(dataset.frames) == VIDEOS * FRAMES // ANNOTATED
    assert len(dataset.groups()) == VIDEOS
    assert all(isinstance(frame.source, VideoSource) for frame in dataset.frames)
    assert {frame.time for frame in dataset.frames} == {number / FPS for number in range(0, FRAMES, ANNOTATED)}


def test_annotations_are_those_of_the_pictures(folder: Path) -> None:
    dataset = open_instances(folder)
    for video, frames in enumerate(dataset.groups().values()):
        pictures = list(make_video(SEED, video, FRAMES))
        for frame in frames:
            masks = pictures[frame.number].masks
            assert [instance.track for instance in frame.instances] == list(masks)
            for instance in frame.instances:
                assert instance.track is not None
                mask = masks[instance.track]
                assert np.array_equal(decode_mask(instance, 192, 256), mask)
                assert instance.area == mask.sum()
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                assert instance.box == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


def test_videos_show_the_pictures(folder: Path) -> None:
    pictures = list(make_video(SEED, 1, FRAMES))
    for number, image in read_frames(folder / "videos" / "room_001.mp4", range(FRAMES)):
        error = np.abs(image.astype(int) - pictures[number].image)
        assert error.mean() < 8
        others = [np.abs(image.astype(int) - picture.image).mean() for picture in pictures]
        assert int(np.argmin(others)) == number


def test_dataset_can_be_split_by_video(folder: Path) -> None:
    dataset = open_instances(folder)
    split = make_instance_split(dataset, seed=0)
    videos = [{dataset.frame(name).group for name in names} for names in (split.train, split.validation, split.test)]
    assert all(videos)
    assert not videos[0] & videos[1]
    assert not (videos[0] | videos[1]) & videos[2]


def test_finished_dataset_is_left_as_it_is_and_another_is_refused(folder: Path) -> None:
    before = (folder / "annotations.json").stat().st_mtime_ns
    write_rooms(folder, videos=VIDEOS, frames=FRAMES, seed=SEED)
    assert (folder / "annotations.json").stat().st_mtime_ns == before
    with pytest.raises(DatasetError, match="holds another dataset"):
        write_rooms(folder, videos=VIDEOS, frames=FRAMES, seed=SEED + 1)


def test_interrupted_writing_begins_anew(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        assert total == 6
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rooms(tmp_path, videos=2, frames=3, on_progress=interrupt)
    assert [path.name for path in (tmp_path / "videos").iterdir()] == ["room_000.mp4"]
    write_rooms(tmp_path, videos=2, frames=3)
    assert len(read_json(tmp_path / "annotations.json")["images"]) == 4
