"""Phone videos come out as players show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from goodfit.data.video.decode import iterate_frames
from goodfit.data.video.index import open_video
from goodfit.data.video.orientation import Orientation
from goodfit.errors import VideoError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("name", ["video.mp4", "video.mov", "video.mkv"])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_followed(
    make_video: Callable[..., Path], painted: Callable[..., Any], name: str, quarters: int
) -> None:
    path = make_video(name, frames=3, rotation=(90.0 * quarters if quarters < 3 else -90.0, False, False))
    index = open_video(path)
    expected = np.rot90(painted(2), quarters)
    assert (index.height, index.width) == expected.shape[:2]
    *_, (number, _, image) = iterate_frames(index)
    assert number == 2
    assert image.shape == expected.shape
    assert image.flags.c_contiguous
    assert np.abs(image.astype(int) - expected).mean() < 12
    other = np.rot90(painted(2), quarters + 1)
    assert other.shape != image.shape or np.abs(image.astype(int) - other).mean() > 12


@pytest.mark.parametrize(("horizontal", "vertical"), [(True, False), (False, True)])
def test_mirrorings_are_followed(
    make_video: Callable[..., Path], painted: Callable[..., Any], horizontal: bool, vertical: bool
) -> None:
    path = make_video(frames=2, rotation=(0.0, horizontal, vertical))
    _, _, image = next(iterate_frames(path))
    expected = painted(0)[:, ::-1] if horizontal else painted(0)[::-1]
    assert np.abs(image.astype(int) - expected).mean() < 12


def test_another_angle_is_refused_with_a_way_out(make_video: Callable[..., Path]) -> None:
    path = make_video(frames=2, rotation=(30.0, False, False))
    with pytest.raises(VideoError, match=r"video\.mp4: .*turned by 29|30 degrees.*ffmpeg"):
        open_video(path)


def test_the_rotation_is_that_of_opencv(make_video: Callable[..., Path]) -> None:
    cv2 = pytest.importorskip("cv2")
    path = make_video(frames=2, rotation=(90.0, False, False))
    _, _, ours = next(iterate_frames(path))
    there, theirs = cv2.VideoCapture(str(path)).read()
    assert there
    assert np.abs(ours.astype(int) - theirs[:, :, ::-1]).max() < 12


def test_nothing_to_turn_changes_nothing() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    np.testing.assert_array_equal(Orientation().upright(image), image)
