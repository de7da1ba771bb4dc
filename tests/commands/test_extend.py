"""What an extension takes over from a finished run, and what it leaves there."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from goodfit.commands import extend as module
from goodfit.commands.extend import extend
from goodfit.commands.plan import measured_parts
from goodfit.commands.trained import identity_of, refuse_edits, remember
from goodfit.data.splits import save_split
from goodfit.errors import RunError, SettingsError
from goodfit.planning.plan import load_plan, save_plan
from goodfit.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from goodfit.training.controller import ControllerState, Event
from goodfit.training.metrics_log import MetricsLog, read_rows
from goodfit.training.progress import Progress
from goodfit.training.run_folder import RunFolder
from goodfit.training.schedule import Cooldown

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.commands.plan import Prepared

STABLE, LAST = 12, 16


def progress(step: int, phase: Any, events: int) -> Progress:
    control = ControllerState(
        phase=phase,
        epoch=step // 4,
        step=step,
        smoothed=0.6,
        best=0.7,
        best_epoch=1,
        observed_epoch=3,
        cooldown=Cooldown(STABLE, LAST - STABLE) if phase == "done" else None,
    )
    return Progress(control, best_metric=0.7, row_step=step, events=events, warmup_steps=2, elapsed=50.0)


@pytest.fixture
def source(prepare_run: Callable[..., Prepared]) -> Callable[..., RunFolder]:
    """Make a run of four epochs of four steps, whose cooldown began after the third; its best is of the second."""

    def build(best: int = 8, settings: dict[str, Any] | None = None, **changes: dict[str, Any]) -> RunFolder:
        changes = {"budget": {"epochs": 4, "steps_per_epoch": 4, "time": 600.0}, **changes}
        prepared = prepare_run(**changes)
        run = prepared.run
        asked = {"budget.time": 600.0, "training.seed": 1} if settings is None else settings
        run.update_record(dataset=str(prepared.dataset.root), settings=asked, status="finished", spent_seconds=99.0)
        save_plan(prepared.plan, run.plan)
        save_split(prepared.split, run.splits)
        remember(run, prepared.plan, prepared.split)
        log = MetricsLog(run.metrics, ["epoch", "step", "val_dice"])
        for step in (4, 8, STABLE, LAST):
            log.add({"epoch": step // 4, "step": step, "val_dice": step / 100})
        run.add_event(Event(1, 4, "stable", "warm-up finished"))
        run.add_event(Event(3, STABLE, "cooldown", "no improvement"))
        run.add_event(Event(4, LAST, "done", "the cooldown is finished"))
        for path, step, phase, events in ((run.stable, STABLE, "stable", 1), (run.last, LAST, "done", 3)):
            groups = {"network": {"weight": torch.full((3,), float(step))}}
            state = {
                "identity": identity_of(run),
                "progress": progress(step, phase, events).to_dict(),
                "hooks": {"0:a:B": {"n": step}},
            }
            save_checkpoint(path, Checkpoint(groups, state))
        save_checkpoint(
            run.best, Checkpoint({"network": {"weight": torch.ones(3)}}, {"step": best, "epoch": best // 4})
        )
        return run

    return build


@pytest.fixture(autouse=True)
def trained(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Keep what the training of the extension would have been called with."""
    got: dict[str, Any] = {}

    def train(*arguments: Any, **options: Any) -> str:
        got.update(options, arguments=arguments)
        return "the result"

    monkeypatch.setattr(module, "train", train)
    return got


def digests(folder: Path) -> dict[str, str]:
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*") if file.is_file()}


def test_it_begins_with_the_state_before_the_cooldown_in_a_folder_of_its_own(
    source: Callable[..., RunFolder], trained: dict[str, Any]
) -> None:
    run = source()
    before = digests(run.path)
    assert extend(run.path, epochs=9) == "the result"
    assert digests(run.path) == before, "the finished run is as it was"
    longer = RunFolder(run.path.with_name("run-extended"))
    assert trained["run"] == longer.path
    assert trained["settings"] == {"training.seed": 1, "budget.epochs": 9}
    assert trained["arguments"] == (Path(run.read_record()["dataset"]),)
    taken, stable = load_checkpoint(longer.last), load_checkpoint(run.stable)
    assert torch.equal(taken.groups["network"]["weight"], torch.full((3,), float(STABLE)))
    assert taken.state["hooks"] == {"0:a:B": {"n": STABLE}}
    found, original = (Progress.from_dict(dict(one.state["progress"])) for one in (taken, stable))
    assert found.control.best_epoch == found.control.observed_epoch == 3, "patience counts anew"
    assert found == replace(original, control=replace(original.control, best_epoch=3))
    assert [row["step"] for row in read_rows(longer.metrics)] == ["4", "8", str(STABLE)]
    assert [event["phase"] for event in longer.read_events()] == ["stable"]
    assert longer.splits.read_bytes() == run.splits.read_bytes()
    assert not longer.scores.exists()


def test_the_training_accepts_what_it_finds(
    source: Callable[..., RunFolder], prepare_run: Callable[..., Prepared]
) -> None:
    run = source()
    extend(run.path, epochs=9, patience=5)
    longer = RunFolder(run.path.with_name("run-extended"))
    plan, record = load_plan(longer.plan), longer.read_record()
    assert plan.budget.epochs == 9
    assert plan.budget.time is None, "the time was that of the first run"
    assert plan.training.patience == 5
    assert plan.budget.reasons["epochs"] == plan.training.reasons["patience"] == "asked for by `goodfit extend`"
    assert load_checkpoint(longer.last).state["identity"] == identity_of(longer) != identity_of(run)
    refuse_edits(longer, plan, prepare_run().split)
    assert record["planned"] == measured_parts(plan)
    assert record["status"] == "interrupted"
    assert record["spent_seconds"] == 0.0
    assert record["extends"] == str(run.path.resolve())
    assert record["settings"] == {"training.seed": 1, "budget.epochs": 9, "training.patience": 5}


@pytest.mark.parametrize(("best", "kept"), [(8, True), (STABLE, True), (STABLE + 1, False), (LAST, False)])
def test_a_best_of_the_cooldown_stays_behind(source: Callable[..., RunFolder], best: int, kept: bool) -> None:
    run = source(best)
    extend(run.path, epochs=9)
    longer = RunFolder(run.path.with_name("run-extended"))
    assert longer.best.is_file() == kept
    taken = Progress.from_dict(dict(load_checkpoint(longer.last).state["progress"]))
    assert taken.best_metric == (0.7 if kept else None)


def test_the_time_of_an_extension_is_its_own(source: Callable[..., RunFolder]) -> None:
    run = source()
    extend(run.path, time="5m")
    longer = RunFolder(run.path.with_name("run-extended"))
    plan = load_plan(longer.plan)
    assert (plan.budget.time, plan.budget.epochs, plan.budget.expected_steps) == (300.0, 1000, None)
    assert longer.read_record()["settings"]["budget.time"] == 300.0


def test_patience_can_be_switched_off(source: Callable[..., RunFolder]) -> None:
    run = source()
    extend(run.path, epochs=9, patience="off")
    assert load_plan(RunFolder(run.path.with_name("run-extended")).plan).training.patience is None


def test_further_extensions_get_further_folders(source: Callable[..., RunFolder], trained: dict[str, Any]) -> None:
    run = source()
    names = []
    for _ in range(3):
        extend(run.path, epochs=9)
        names.append(trained["run"].name)
    assert names == ["run-extended", "run-extended-2", "run-extended-3"]


def test_a_folder_that_is_not_empty_is_refused(source: Callable[..., RunFolder], tmp_path: Path) -> None:
    run = source()
    other = tmp_path / "other"
    extend(run.path, epochs=9, to=other)
    before = digests(other)
    with pytest.raises(RunError, match="not empty"):
        extend(run.path, epochs=10, to=other)
    assert digests(other) == before


def test_how_much_longer_must_be_said_and_be_more(source: Callable[..., RunFolder]) -> None:
    run = source()
    with pytest.raises(SettingsError, match="--epochs or --time"):
        extend(run.path)
    for epochs in (1, 3):
        with pytest.raises(SettingsError, match="has done 3 epochs before its cooldown"):
            extend(run.path, epochs=epochs)
    extend(run.path, epochs=4)
    assert len(list(run.path.parent.glob("run-extended*"))) == 1, "what was refused left nothing"


def test_a_run_that_has_not_begun_its_cooldown_is_resumed_instead(source: Callable[..., RunFolder]) -> None:
    run = source()
    run.stable.unlink()
    with pytest.raises(RunError, match=r"has not begun its cooldown\. `goodfit resume` goes on"):
        extend(run.path, epochs=9)
    with pytest.raises(RunError, match="no run folder"):
        extend(run.path.parent, epochs=9)


def test_the_polynomial_schedule_has_its_end_from_the_beginning(source: Callable[..., RunFolder]) -> None:
    run = source(training={"schedule": "poly"})
    with pytest.raises(RunError, match="falls towards the end of 4 epochs"):
        extend(run.path, epochs=9)
    extend(run.path, epochs=4)
    extend(run.path, time="5m")
    assert load_plan(RunFolder(run.path.with_name("run-extended-2")).plan).budget.epochs == 4


def test_hooks_and_recipe_are_handed_on(source: Callable[..., RunFolder], trained: dict[str, Any]) -> None:
    extend(source().path, epochs=9, hooks=["a hook"], recipe="a:B")  # type: ignore[list-item]
    assert (trained["hooks"], trained["recipe"]) == (["a hook"], "a:B")


def test_a_metric_that_was_never_defined(source: Callable[..., RunFolder]) -> None:
    run = source()
    state = load_checkpoint(run.stable)
    values = dict(state.state["progress"]) | {"best_metric": None, "recorded": {"mine": math.nan}}
    save_checkpoint(run.stable, Checkpoint(state.groups, {**state.state, "progress": values}))
    extend(run.path, epochs=9)
    taken = Progress.from_dict(
        dict(load_checkpoint(run.path.with_name("run-extended") / "checkpoints" / "last.safetensors").state["progress"])
    )
    assert taken.best_metric is None
