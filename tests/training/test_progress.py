"""What a run knows beside its weights."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.training.controller import ControllerState
from goodfit.training.progress import Progress
from goodfit.training.schedule import Cooldown

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(
    step=st.integers(0, 10**6),
    cooldown=st.none() | st.builds(Cooldown, st.integers(0, 100), st.integers(1, 100)),
    sums=st.dictionaries(st.text(max_size=5), NUMBERS, max_size=3),
    best=st.none() | NUMBERS,
    recorded=st.dictionaries(st.text(max_size=5), NUMBERS | st.text(max_size=5) | st.integers(), max_size=3),
    reason=st.none() | st.text(max_size=9),
    wanted=st.booleans(),
)
def test_it_survives_a_checkpoint(
    step: int,
    cooldown: Cooldown | None,
    sums: dict[str, float],
    best: float | None,
    recorded: dict[str, Any],
    reason: str | None,
    wanted: bool,
) -> None:
    progress = Progress(
        ControllerState(phase="stable", step=step, cooldown=cooldown, best=best),
        loss_sums=sums,
        best_metric=best,
        recorded=recorded,
        stop_reason=reason,
        validation_wanted=wanted,
        row_step=step,
        events=3,
    )
    assert Progress.from_dict(json.loads(json.dumps(progress.to_dict()))) == progress


def test_every_field_is_explained() -> None:
    assert Progress.__doc__ is not None
    assert [one.name for one in fields(Progress) if f"{one.name}: " not in Progress.__doc__] == []


def test_a_row_takes_what_the_steps_have_added_up() -> None:
    progress = Progress()
    progress.add_step({"total": 2.0, "half": 1.0}, 4)
    progress.add_step({"total": 4.0, "half": 2.0}, 3)
    assert (progress.loss_sums, progress.loss_count, progress.samples) == ({"total": 6.0, "half": 3.0}, 2, 7)
    progress.control = ControllerState(step=2)
    progress.elapsed, progress.train_seconds, progress.data_seconds = 9.0, 5.0, 1.0
    progress.recorded = {"mine": 1}
    progress.begin_row()
    assert progress == Progress(ControllerState(step=2), elapsed=9.0, row_started=9.0, row_step=2)


def test_a_new_row_does_not_share_what_hooks_recorded() -> None:
    progress = Progress()
    before = progress.recorded
    progress.begin_row()
    progress.recorded["mine"] = 1
    assert before == {}


def test_the_time_per_step_is_a_running_mean_once_the_first_epochs_are_over() -> None:
    progress = Progress()
    seen = []
    for epoch, seconds in enumerate((30.0, 20.0, 10.0, 40.0), start=1):
        progress.control = ControllerState(epoch=epoch)
        progress.elapsed += seconds
        seen.append(progress.end_epoch(10))
        assert progress.epoch_started == progress.elapsed
    assert seen == [3.0, 2.0, pytest.approx(1.7), pytest.approx(1.7 + 0.3 * 2.3)]
    assert progress.seconds_per_step == seen[-1]


def test_the_time_of_a_step_is_measured_anew_when_batches_change_in_size() -> None:
    progress = Progress()
    seen = []
    for seconds, others_follow in (
        (10.0, False),
        (10.0, False),
        (10.0, True),
        (50.0, False),
        (40.0, False),
        (60.0, False),
    ):
        progress.elapsed += seconds
        seen.append(progress.end_epoch(10, others_follow=others_follow))
    assert seen == [1.0, 1.0, 1.0, 5.0, 4.0, pytest.approx(4.0 + 0.3 * 2.0)]
