"""Batch and frames of detectors by their predicted memory, and the refusal; predictions are straight lines."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

import goodfit
from goodfit.commands import memory as shared
from goodfit.commands.instances import memory as module
from goodfit.commands.instances.memory import machine_for, with_instance_memory
from goodfit.commands.memory import Machine
from goodfit.errors import PlanError
from goodfit.planning.instances.plan import InstanceData, InstanceModel, InstancePlan, load_instance_plan
from goodfit.planning.memory import Allowances, MemoryModel, MemoryPrediction
from goodfit.settings import build_settings
from goodfit.tasks.instances.sampling import KEEP_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np

MB, GB = 10**6, 10**9
CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
BESIDE = Allowances(context=500 * MB, workspace=0, share=1.0)
PER_PIXEL = 1000


def plan_of(batch: int = 2, edge: int = 400, memory: float = 8e9) -> InstancePlan:
    data = InstanceData(name="made", key="key", categories=["x"], has_masks=True)
    model = InstanceModel(image_min_size=edge, image_max_size=edge)
    return InstancePlan(goodfit_version="0", memory=memory, data=data, model=model, batch_size=batch)


def by_memory(memory: float) -> InstancePlan:
    """A rule that takes twice the memory that it thinks it does."""
    if memory < 0.7 * GB:
        raise PlanError("memory: not a single frame")
    pixels = (memory - 500 * MB) / PER_PIXEL
    return plan_of(edge=max(32, int(min(640_000, pixels) ** 0.5)), memory=memory)


@pytest.fixture
def arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    def predict(plan: InstancePlan, *, allowances: Allowances, cache: Path | None) -> MemoryPrediction:
        pixels = plan.model.image_min_size * plan.model.image_max_size
        return MemoryModel(((0.0, float(PER_PIXEL * pixels)),), allowances).predict(plan.batch_size)

    monkeypatch.setattr(module, "predict_instance_memory", predict)


def machine(limit: float, *, device: torch.device = CPU, given: bool = True) -> Machine:
    return Machine(device, limit, given, int(limit), BESIDE)


def settled(
    plan: InstancePlan,
    where: Machine,
    listener: Any,
    *,
    refit: bool = True,
    replan: Callable[[float], InstancePlan] | None = None,
    **wishes: Any,
) -> InstancePlan:
    settings = build_settings({name.replace("__", "."): value for name, value in wishes.items()})
    return with_instance_memory(plan, settings, where, listener, refit=refit, replan=replan, cache=None)


@pytest.mark.usefixtures("arithmetic")
def test_as_many_frames_as_fit_and_both_numbers_in_the_plan(listener: Any) -> None:
    found = settled(plan_of(), machine(500 * MB + 7 * 160 * MB, device=GPU), listener)
    assert found.batch_size == 7
    assert "7 are predicted to fit into" in found.reasons["batch_size"]
    assert found.predicted_tensors == 7 * 160 * MB
    assert found.predicted_memory == 500 * MB + 7 * 160 * MB
    assert found.reasons["predicted_memory"].startswith("a batch of 7 takes")
    assert found.reasons["predicted_tensors"].startswith("traced: a batch of 7")
    assert (found.memory, found.reasons["memory"]) == (500 * MB + 7 * 160 * MB, "given")
    assert listener.notes == []


@pytest.mark.usefixtures("arithmetic")
def test_on_a_cpu_steps_stay_short_whatever_fits(listener: Any) -> None:
    assert settled(plan_of(), machine(100 * GB), listener).batch_size == 4


@pytest.mark.usefixtures("arithmetic")
def test_frames_shrink_until_two_of_them_fit(listener: Any) -> None:
    asked: list[float] = []

    def replan(memory: float) -> InstancePlan:
        asked.append(memory)
        return by_memory(memory)

    limit = 1.4 * GB
    found = settled(by_memory(1.4 * GB), machine(limit), listener, replan=replan)
    assert found.batch_size >= 2
    assert found.predicted_memory is not None
    assert found.predicted_memory <= limit
    assert asked == sorted(asked, reverse=True)
    assert max(asked) < limit
    assert found.memory == limit, "the limit, not what the rules were asked with"


@pytest.mark.usefixtures("arithmetic")
def test_frames_are_as_large_as_the_memory_that_is_there_allows(listener: Any) -> None:
    """Where no memory is given the rules assume one, which may be less than there is."""
    assumed = by_memory(GB)
    found = settled(assumed, machine(9 * GB, given=False), listener, replan=by_memory)
    assert found.model.image_min_size > assumed.model.image_min_size
    sized = settled(assumed, machine(9 * GB), listener, replan=by_memory, model__image_min_size=400)
    assert sized.model.image_min_size == assumed.model.image_min_size, "the user's stays"


@pytest.mark.usefixtures("arithmetic")
def test_what_cannot_shrink_further_is_refused(listener: Any) -> None:
    with pytest.raises(PlanError, match=r"Not even one sample fits: use .* smaller --patch-size or --image-size"):
        settled(plan_of(), machine(0.6 * GB), listener, replan=by_memory)


@pytest.mark.usefixtures("arithmetic")
def test_a_batch_that_was_asked_for_is_kept_or_refused(listener: Any) -> None:
    where = machine(500 * MB + 5 * 160 * MB)
    assert settled(plan_of(5), where, listener, plan__batch_size=5).batch_size == 5
    with pytest.raises(PlanError, match=r"batch_size 6: .*Use a batch of 5 or less"):
        settled(plan_of(6), where, listener, plan__batch_size=6)


@pytest.mark.usefixtures("arithmetic")
def test_an_edited_plan_is_not_refitted_and_refused_unless_forced(listener: Any) -> None:
    where, plan = machine(2 * GB, given=False), plan_of(4000)
    with pytest.raises(PlanError, match=r"batch_size 4000: .* need 596\.51 GiB resident .* 1\.86 GiB may be used"):
        settled(plan, where, listener, refit=False, replan=by_memory)
    found = settled(plan, where, listener, refit=False, replan=by_memory, machine__force=True)
    assert (found.batch_size, found.model, found.memory) == (4000, plan.model, plan.memory)
    (note,) = listener.notes
    assert note.startswith("warning: tried all the same, since --force is given. batch_size 4000")


def test_the_loader_keeps_decoded_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, str]] = []

    def allowances(device: torch.device, *, loader: int, kind: str) -> Allowances:
        asked.append((loader, kind))
        return BESIDE

    monkeypatch.setattr(shared, "allowances_on", allowances)
    monkeypatch.setattr(shared, "available_memory", lambda device: GB)
    settings = build_settings({"machine.device": "cpu"})

    def boxes(count: int) -> np.ndarray[Any, Any]:
        import numpy as np

        return np.array([[10.0, 20.0, 0.0, 0.0, 400.0, 400.0]] * count)  # size of the box, and of its frame

    for count, masks in ((3, True), (10**6, True), (3, False)):
        fingerprint: Any = SimpleNamespace(box_array=lambda count=count: boxes(count))
        plan = plan_of()
        plan = plan.model_copy(update={"model": plan.model.model_copy(update={"masks": masks})})
        assert machine_for(plan, settings, fingerprint).limit == GB
    kinds = [kind for _, kind in asked]
    assert [loader for loader, _ in asked] == [3 * 10 * 20, min(KEEP_BYTES, 10**6 * 200), 0]
    assert kinds == ["instances"] * 3


def test_an_edited_batch_that_cannot_fit_is_refused_by_train(
    frames: Path, tmp_path: Path, quick: dict[str, Any], listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From plan.json to the refusal with the traced number; --force times and trains it, which is cut short here."""
    run = tmp_path / "run"
    goodfit.plan(frames, run=run, settings=quick)
    before = load_instance_plan(run / "plan.json")
    assert before.predicted_tensors is not None
    assert "traced" in before.reasons["predicted_tensors"]
    values = json.loads((run / "plan.json").read_text())
    (run / "plan.json").write_text(json.dumps({**values, "batch_size": 100_000}))
    with pytest.raises(PlanError, match=r"batch_size 100000: training is predicted to need [\d.]+ GiB resident"):
        goodfit.train(frames, run=run, observer=listener)

    class TriedError(Exception):
        pass

    def timed(*_: Any) -> float:
        raise TriedError

    monkeypatch.setattr("goodfit.commands.instances.measure.time_instance_step", timed)
    monkeypatch.setattr("goodfit.commands.instances.measure.frames_of_first_steps", lambda *_: ["v0_000"])
    with pytest.raises(TriedError):
        goodfit.train(frames, run=run, settings={"machine.force": True}, observer=listener)
    assert any("tried all the same, since --force is given. batch_size 100000" in note for note in listener.notes)
