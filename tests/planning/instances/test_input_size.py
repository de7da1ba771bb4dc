from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.planning.instances.input_size import (
    COMFORTABLE_PIXELS,
    LEAST_SIDE,
    MOST_ENLARGED,
    NEEDED_PIXELS,
    choose_input_size,
    choose_max_size,
    choose_min_size,
)

Make = "Callable[..., Any]"


def test_small_objects_enlarge_the_frame() -> None:
    decision = choose_min_size(256, 8 / 256, "cpu")
    assert decision.value == 512
    assert "enlarged" in decision.reason


def test_tiny_objects_enlarge_it_no_more_than_twice() -> None:
    decision = choose_min_size(320, 4 / 320, "cpu")
    assert decision.value == 640
    assert "at most 2 times" in decision.reason


def test_large_objects_shrink_it_to_what_the_device_takes() -> None:
    assert choose_min_size(1080, 0.5, "cpu").value == LEAST_SIDE["cpu"]
    assert choose_min_size(1080, 0.5, "cuda").value == LEAST_SIDE["cuda"]


def test_middling_objects_stay_comfortable() -> None:
    decision = choose_min_size(1080, 0.1, "cpu")
    assert decision.value == 640
    assert f"{COMFORTABLE_PIXELS} in the network" in decision.reason


def test_frames_smaller_than_that_stay_as_they_are() -> None:
    assert choose_min_size(240, 0.3, "cpu").value == 240


@given(st.integers(64, 4000), st.floats(1e-4, 1), st.sampled_from(["cpu", "cuda"]))
def test_it_is_never_enlarged_beyond_need(own: int, small: float, device: Any) -> None:
    size = choose_min_size(own, small, device).value
    assert size >= 64
    if size > own:
        assert size * small <= NEEDED_PIXELS * 1.001
        assert size <= own * MOST_ENLARGED


@given(st.integers(64, 2000), st.floats(0.001, 1), st.floats(0.001, 1))
def test_smaller_objects_never_give_a_smaller_frame(own: int, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert choose_min_size(own, small, "cpu").value >= choose_min_size(own, large, "cpu").value


def test_the_longer_side_follows_the_frames_shape() -> None:
    assert choose_max_size(320, [1.0, 1.5, 1.5]).value == 480
    assert choose_max_size(320, [1.0]).value == 320


def test_memory_shrinks_it_and_says_so(frame: Make, measured: Make) -> None:
    fingerprint = measured([frame("a", [(0, 0, 60, 60)])])
    free = choose_input_size(fingerprint, "cpu")
    tight = choose_input_size(fingerprint, "cpu", most_pixels=200 * 267)
    assert free.min_size.value == 480
    assert tight.min_size.value * tight.max_size.value <= 200 * 267
    assert "memory" in tight.min_size.reason


def test_given_sides_win(frame: Make, measured: Make) -> None:
    fingerprint = measured([frame("a")])
    given_both = choose_input_size(fingerprint, "cpu", min_size=100, max_size=999, most_pixels=1)
    assert (given_both.min_size.value, given_both.max_size.value) == (100, 999)
    assert choose_input_size(fingerprint, "cpu", min_size=300).max_size.value == 400
    longer_only = choose_input_size(fingerprint, "cpu", max_size=200)
    assert longer_only.min_size.value == 200
    assert longer_only.max_size.value == pytest.approx(200)
