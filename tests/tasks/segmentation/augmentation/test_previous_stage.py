"""Tests of disturbing the previous stage's labels; ``test_training_parity_with_nnunet.py`` compares with nnU-Net."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from goodfit.tasks.segmentation.augmentation.morphology import OPERATIONS
from goodfit.tasks.segmentation.augmentation.previous_stage import (
    Morphology,
    PreviousStageParameters,
    PreviousStageSettings,
    Removal,
    disturb,
    draw_previous,
)

SETTINGS = PreviousStageSettings((1, 2, 5))
COUNT = 20000


def drawn(settings: PreviousStageSettings, count: int) -> list[PreviousStageParameters | None]:
    rows = np.random.default_rng(0).random((count, settings.numbers)).tolist()
    return [draw_previous(settings, row) for row in rows]


def one_hot(labels: torch.Tensor) -> torch.Tensor:
    return torch.stack([labels == value for value in SETTINGS.values]).float()[None]


def test_probabilities_are_those_of_the_settings() -> None:
    samples = drawn(SETTINGS, COUNT)
    operations = [step for sample in samples if sample for step in sample.morphology]
    removals = [removal for sample in samples if sample for removal in sample.removals]
    # A chosen sample has three labels, each with probability a half.
    assert len(operations) / COUNT == pytest.approx(0.4 * 3 * 0.5, rel=0.05)
    assert len(removals) / COUNT == pytest.approx(0.2 * 3 * 0.5, rel=0.05)
    for operation in OPERATIONS:
        share = sum(step.operation == operation for step in operations) / len(operations)
        assert share == pytest.approx(0.25, abs=0.02)
    radii = [step.radius for step in operations]
    assert 1 <= min(radii) < 1.02
    assert 7.98 < max(radii) < 8
    orders = {tuple(step.channel for step in sample.morphology) for sample in samples if sample}
    assert {(0, 1, 2), (2, 1, 0), (1, 0, 2), (1,)} <= orders


def test_mostly_nothing_happens() -> None:
    nothing = sum(sample is None for sample in drawn(SETTINGS, COUNT)) / COUNT
    assert nothing == pytest.approx((1 - 0.4 * (1 - 0.5**3)) * (1 - 0.2 * (1 - 0.5**3)), abs=0.02)


@given(st.integers(1, 6), st.integers(0, 1000))
def test_drawing_takes_the_numbers_it_names_and_survives_json(labels: int, seed: int) -> None:
    settings = PreviousStageSettings(tuple(range(1, labels + 1)), 1.0, 1.0, p_removal=1.0, p_removal_label=1.0)
    row = np.random.default_rng(seed).random(settings.numbers).tolist()
    parameters = draw_previous(settings, row)
    assert parameters is not None
    assert sorted(step.channel for step in parameters.morphology) == list(range(labels))
    with pytest.raises(StopIteration):
        draw_previous(settings, row[:-1])
    assert PreviousStageParameters.from_dict(json.loads(json.dumps(dataclasses.asdict(parameters)))) == parameters


def test_what_one_label_gains_the_others_lose() -> None:
    labels = torch.zeros(9, 9, 9, dtype=torch.int64)
    labels[:, :4], labels[:, 4:] = 1, 2
    channels = one_hot(labels)
    disturb(channels, [PreviousStageParameters((Morphology(0, "dilate", 2.0),), (), 0.15)])
    assert channels[0, 0, :, :6].all()
    assert not channels[0, 0, :, 6:].any()
    assert torch.equal(channels[0, 1], 1 - channels[0, 0])


def test_an_eroded_label_leaves_background() -> None:
    labels = torch.zeros(9, 9, 9, dtype=torch.int64)
    labels[:, :4], labels[:, 4:] = 1, 2
    channels = one_hot(labels)
    disturb(channels, [PreviousStageParameters((Morphology(1, "erode", 2.0),), (), 0.15)])
    assert not channels[0, 1, :, 4:6].any()
    assert channels[0, 1, :, 6:].all()
    assert channels[0, 0, :, :4].all()


@pytest.mark.parametrize(("pick", "gone"), [(0.0, 0), (0.49, 0), (0.5, 1), (0.999, 1)])
def test_one_small_component_goes(pick: float, gone: int) -> None:
    labels = torch.zeros(10, 10, 10, dtype=torch.int64)
    corners = [(slice(0, 2),) * 3, (slice(5, 7),) * 3]
    for corner in corners:
        labels[corner] = 1
    labels[:, :, 8:] = 1  # a fifth of the patch: too large to go
    channels = one_hot(labels)
    disturb(channels, [PreviousStageParameters((), (Removal(0, pick),), 0.15)])
    expected = labels.clone()
    expected[corners[gone]] = 0
    assert torch.equal(channels, one_hot(expected))


def test_components_touch_at_corners() -> None:
    labels = torch.zeros(6, 6, 6, dtype=torch.int64)
    labels[1, 1, 1] = labels[2, 2, 2] = 1
    channels = one_hot(labels)
    disturb(channels, [PreviousStageParameters((), (Removal(0, 0.0),), 0.15)])
    assert not channels.any()


def test_a_label_that_is_not_there_stays_away_and_others_are_left_alone() -> None:
    channels = torch.cat([one_hot(torch.full((4, 4, 4), 2)), one_hot(torch.full((4, 4, 4), 5))])
    before = channels.clone()
    steps = tuple(Morphology(0, operation, 1.5) for operation in OPERATIONS)
    disturb(channels, [None, PreviousStageParameters(steps, (Removal(0, 0.5),), 0.15)])
    assert torch.equal(channels, before)


def test_a_view_is_changed_in_place() -> None:
    images = torch.zeros(1, 5, 6, 6, 6)
    images[0, 2, 2, 2, 2] = 1
    disturb(images[:, 2:], [PreviousStageParameters((Morphology(0, "dilate", 1.0),), (), 0.15)])
    assert images[0, 2].sum() == 7
    assert not images[:, :2].any()
