from __future__ import annotations

from dataclasses import replace

import pytest

from goodfit.reporting.content import read_content
from goodfit.reporting.standing import fit, progress


@pytest.fixture
def content(finished_run):
    return read_content(finished_run)


def test_progress_of_a_finished_run(content):
    assert progress(content) == (
        "Training is finished after 10 epochs (500 steps). The cooldown began after epoch 7: the user asked to stop."
    )


@pytest.mark.parametrize("ending", ["; no cooldown", ": the end, without a cooldown"])
def test_progress_without_a_cooldown(content, ending):
    reason = f"epoch 10: the budget of 10 epochs ends{ending}"
    ended = progress(replace(content, events=[{"epoch": 10, "step": 500, "phase": "done", "reason": reason}]))
    assert ended.endswith("It ended after epoch 10: the budget of 10 epochs ends.")


@pytest.mark.parametrize("length", ["150 steps", "36 epochs", "120 steps (2.4 epochs)"])
def test_the_cooldown_is_said_once(content, length):
    reason = f"epoch 7: val_dice has not risen: cooldown of {length} begins"
    event = {"epoch": 7, "step": 350, "phase": "cooldown", "reason": reason}
    assert progress(replace(content, events=[event])).endswith("began after epoch 7: val_dice has not risen.")


def test_progress_on_the_way(content):
    running = replace(content, events=content.events[:1])
    assert "has done 10 epochs (500 steps) and is in the phase cooldown." in progress(running)
    stopped = replace(running, record={"status": "interrupted"})
    assert "interrupted after 10 epochs" in progress(stopped)
    assert "No epoch" in progress(replace(content, rows=[]))


@pytest.fixture
def rising(content):
    """Dice in every row; the hand-written run has it in every second one, too few before its cooldown."""
    return replace(content, rows=[{**row, "val_dice": f"{0.08 * at}"} for at, row in enumerate(content.rows, 1)])


def test_fit_knows_why_the_run_ended(rising):
    assert fit(rising).text.startswith("still improving (stopped by the user): Dice rose by ")
    running = replace(rising, events=rising.events[:1])
    assert fit(running).text.startswith("still improving: ")
    assert fit(replace(rising, rows=[])) is None
    assert fit(replace(rising, rows=rising.rows[:2])).kind == "too early"


def test_fit_goes_by_the_watched_metric(rising):
    assert "Dice rose" in fit(rising).text
    training = rising.plan.training.model_copy(update={"monitor": "val_loss"})
    watching_loss = replace(rising, plan=rising.plan.model_copy(update={"training": training}))
    assert fit(watching_loss).text.startswith("still improving (stopped by the user): validation loss fell by ")
    assert fit(replace(rising, plan=None)).text == fit(rising).text
