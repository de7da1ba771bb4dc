from __future__ import annotations

import numpy as np
import pytest

from goodfit.planning.instances.orientation import choose_turns


def _boxes(count: int = 400, *, lean: float = 1.0, low: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ratio = lean * 2 ** rng.normal(0, 0.3, count)
    place = rng.uniform(0, 1, (count, 2)) * [640, 480 * (1 - low)] + [0, 480 * low]
    size = rng.uniform(10, 30, count)
    return np.column_stack([size / ratio**0.5, size * ratio**0.5, place, np.full(count, 640), np.full(count, 480)])


def test_things_that_lie_anyhow_may_be_turned() -> None:
    turns = choose_turns(_boxes(), [20] * 20, ["nucleus"])
    assert (turns.flip_horizontal.value, turns.flip_vertical.value, turns.quarter_turns.value) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("boxes", "instances", "said"),
    [
        (_boxes(lean=1.5), [20], "height / width is"),
        (_boxes(low=0.4), [20], "mean place"),
        (_boxes(), [1, 2, 3], "camera"),
        (_boxes(50), [20], "too few"),
    ],
)
def test_an_up_and_a_down_forbids_it(boxes: np.ndarray, instances: list[int], said: str) -> None:
    turns = choose_turns(boxes, instances, ["person"])
    assert turns.flip_horizontal.value == 0.5
    assert turns.flip_vertical.value == turns.quarter_turns.value == 0
    assert said in turns.flip_vertical.reason


def test_places_spread_along_one_axis_forbid_it() -> None:
    boxes = _boxes()
    boxes[:, 3] = 240 + (boxes[:, 3] - 240) * 0.3
    assert "spread" in choose_turns(boxes, [20], ["car"]).flip_vertical.reason


@pytest.mark.parametrize("name", ["left kidney", "kidney_right", "Hand-L", "R lung"])
def test_categories_named_after_a_side_are_not_mirrored(name: str) -> None:
    turns = choose_turns(_boxes(), [20], ["other", name])
    assert turns.flip_horizontal.value == 0
    assert name in turns.flip_horizontal.reason


@pytest.mark.parametrize("name", ["bright cell", "cleft", "lobster", "person"])
def test_letters_within_words_are_no_side(name: str) -> None:
    assert choose_turns(_boxes(), [20], [name]).flip_horizontal.value == 0.5
