from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from goodfit.phantoms.rooms.dataset import FPS, make_video
from goodfit.phantoms.rooms.scene import SMALLEST, Picture, Scene

DURATION = 10.0


@pytest.fixture(scope="module")
def videos() -> list[list[Picture]]:
    """Ten videos, two pictures a second."""
    scenes = [Scene(0, video, DURATION) for video in range(10)]
    return [[scene.at(step / 2, step * FPS // 2) for step in range(20)] for scene in scenes]


def test_picture_is_a_pure_function_of_seed_video_and_number() -> None:
    first, again = Scene(3, 1, DURATION).at(4.0, 32), Scene(3, 1, DURATION).at(4.0, 32)
    assert np.array_equal(first.image, again.image)
    assert first.masks.keys() == again.masks.keys()
    assert all(np.array_equal(first.masks[track], again.masks[track]) for track in first.masks)
    assert not np.array_equal(first.image, Scene(3, 2, DURATION).at(4.0, 32).image)
    assert not np.array_equal(first.image, Scene(4, 1, DURATION).at(4.0, 32).image)


def test_masks_are_visible_parts(videos: list[list[Picture]]) -> None:
    for picture in (picture for video in videos for picture in video):
        assert picture.image.shape == (192, 256, 3)
        assert picture.image.dtype == np.uint8
        stack = np.array([*picture.masks.values(), np.zeros((192, 256), bool)])
        assert stack.sum(0).max() <= 1, "no pixel shows two figures"
        assert all(mask.sum() >= SMALLEST for mask in picture.masks.values())


def test_masks_follow_the_edges_in_the_image(videos: list[list[Picture]]) -> None:
    """Colours change more across the outline of a mask than across the same outline moved aside."""
    at_home, moved_aside = [], []
    for picture in (picture for video in videos for picture in video):
        grey = picture.image.mean(2)
        slope = np.hypot(*np.gradient(grey))
        for mask in picture.masks.values():
            edge = binary_dilation(mask) & ~mask
            at_home.append(slope[edge].mean())
            moved_aside.append(slope[np.roll(edge, (17, 23), (0, 1))].mean())
    assert np.mean(at_home) > 1.4 * np.mean(moved_aside)


def test_figures_are_many_and_large_enough(videos: list[list[Picture]]) -> None:
    numbers = [len(picture.masks) for video in videos for picture in video]
    assert 1.5 < np.mean(numbers) < 4
    assert min(numbers) == 0 or min(numbers) < max(numbers)
    heights = [
        np.ptp(np.flatnonzero(mask.any(1))) + 1 for video in videos for one in video for mask in one.masks.values()
    ]
    assert 40 < np.median(heights) < 120


def test_figures_hide_each_other_and_come_back(videos: list[list[Picture]]) -> None:
    hidden = 0
    for video in videos:
        for track in {track for picture in video for track in picture.masks}:
            areas = [picture.masks[track].sum() if track in picture.masks else 0 for picture in video]
            seen = np.flatnonzero(areas)
            inner = areas[seen[0] : seen[-1] + 1]
            hidden += min(inner) < 0.5 * np.median(inner)
    assert hidden >= 8


def test_colour_alone_tells_nobody(videos: list[list[Picture]]) -> None:
    """The best threshold on any colour channel, chosen with the masks known, finds figures badly."""
    best = []
    for picture in (picture for video in videos for picture in video[::5] if picture.masks):
        truth = np.any(list(picture.masks.values()), axis=0)
        scores = []
        for channel in (*np.moveaxis(picture.image.astype(int), 2, 0), np.ptp(picture.image.astype(int), axis=2)):
            for low in range(0, 256, 32):
                inside = (channel >= low) & (channel < low + 64)
                scores.append((inside & truth).sum() / (inside | truth).sum())
        best.append(max(scores))
    assert np.mean(best) < 0.35


def test_light_changes_within_a_video(videos: list[list[Picture]]) -> None:
    swings = []
    for video in videos:
        # The upper corners show wall and little else.
        levels = [picture.image[:25, :60].mean() for picture in video]
        swings.append(max(levels) / min(levels))
    assert max(swings) > 1.25
    assert min(swings) > 1.01


def test_video_is_its_pictures_in_order() -> None:
    pictures = list(make_video(0, 0, 6))
    scene = Scene(0, 0, 6 / FPS)
    assert len(pictures) == 6
    assert np.array_equal(pictures[4].image, scene.at(4 / FPS, 4).image)
