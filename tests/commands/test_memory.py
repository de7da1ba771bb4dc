"""The limit on this machine, the prediction in the plan, the refusal; predictions are straight lines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch

from goodfit.commands import memory as module
from goodfit.commands.memory import (
    BY_TIME,
    STEPS_ON_A_CPU,
    Machine,
    loader_bytes,
    refuse_or_warn,
    shrunk_to_memory,
    with_memory,
)
from goodfit.errors import PlanError
from goodfit.planning.memory import Allowances, MemoryModel, MemoryPrediction
from goodfit.settings import build_settings
from goodfit.tasks.segmentation.sampling import room_for_cases

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.planning.plan import Configuration, Plan
    from goodfit.settings import Settings

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
GB, MB = 10**9, 10**6
PER_VOXEL = 200_000
"""Bytes: a sample of the tiny plan's patch of 8 x 8 x 8 takes 102.4 MB."""
SAMPLE = PER_VOXEL * 8**3
BESIDE = Allowances(context=500 * MB, workspace=0, share=1.0)


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Predict by arithmetic; give what was asked for."""
    calls: list[dict[str, Any]] = []

    def predict(configuration: Configuration, channels: int, outputs: int, **options: Any) -> MemoryPrediction:
        calls.append({"channels": channels, "outputs": outputs, **options})
        line = (0.0, float(PER_VOXEL * math.prod(configuration.patch_size)))
        return MemoryModel((line,), options["allowances"]).predict(configuration.batch_size)

    monkeypatch.setattr(module, "predict_training_memory", predict)
    return calls


@pytest.fixture
def planned(tiny_plan: Callable[..., Plan]) -> Callable[..., Plan]:
    """A plan of the planner that predicts."""
    return lambda **changes: tiny_plan(**changes).model_copy(update={"planner": "measured"})


def machine(limit: float, *, given: bool = False, available: int | None = None, device: torch.device = CPU) -> Machine:
    return Machine(device, limit, given, int(limit) if available is None else available, BESIDE)


def settled(plan: Plan, where: Machine, listener: Any, *, refit: bool = True, cases: int = 1000, **wishes: Any) -> Plan:
    settings = build_settings({name.replace("__", "."): value for name, value in wishes.items()})
    return with_memory(plan, settings, where, listener, refit=refit, cases=cases, cache=None)


def forced(*, force: bool) -> Settings:
    return build_settings({"machine.force": force})


def test_the_limit_is_what_is_free_unless_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    beside: list[tuple[torch.device, int, str]] = []

    def allowances(device: torch.device, *, loader: int, kind: str) -> Allowances:
        beside.append((device, loader, kind))
        return BESIDE

    monkeypatch.setattr(module, "available_memory", lambda device: 7 * GB)
    monkeypatch.setattr(module, "allowances_on", allowances)
    free = Machine.ask(build_settings({}), CPU, loader=5)
    assert (free.limit, free.given, free.available, free.beside) == (7 * GB, False, 7 * GB, BESIDE)
    assert free.limit_reason == "free on this machine (cpu)"
    told = Machine.ask(build_settings({"plan.memory": "24GB"}), GPU, loader=6, kind="instances")
    assert (told.limit, told.given, told.available) == (24 * GB, True, 7 * GB)
    assert told.limit_reason == "given"
    assert beside == [(CPU, 5, "segmentation"), (GPU, 6, "instances")]


def test_the_loader_keeps_images_and_labels_up_to_a_bound(planned: Callable[..., Plan]) -> None:
    plan = planned()
    assert loader_bytes(plan, 3) == 3 * 10 * 14 * 12 * (4 + 2)
    assert loader_bytes(plan, 10**9) == room_for_cases(plan.memory)


def test_the_plan_gets_both_numbers_with_reasons(
    planned: Callable[..., Plan], listener: Any, asked: list[dict[str, Any]]
) -> None:
    plan = planned(training={"optimizer": "sgd", "precision": "bfloat16", "ema": 0.0})
    found = settled(plan, machine(100 * GB), listener)
    assert found.predicted_tensors == 2 * SAMPLE
    assert found.predicted_memory == 2 * SAMPLE + 500 * MB
    assert found.memory == 100 * GB
    assert found.reasons["memory"] == "free on this machine (cpu)"
    assert "a batch of 2 takes 0.19 GiB in tensors and 0.66 GiB resident" in found.reasons["predicted_memory"]
    assert found.reasons["predicted_tensors"].startswith("traced: a batch of 2")
    assert found.estimated_memory is not None
    assert 0 < found.estimated_memory < 1 * GB
    assert found.reasons["estimated_memory"].startswith("nnU-Net's own estimate")
    call = asked[-1]
    assert (call["channels"], call["outputs"], call["allowances"]) == (1, 3, BESIDE)
    assert (call["optimizer"], call["precision"], call["ema"]) == ("sgd", "bfloat16", False)
    assert listener.notes == []


def test_on_a_cpu_the_batch_grows_only_into_a_memory_that_is_given(planned: Callable[..., Plan], listener: Any) -> None:
    free = settled(planned(), machine(5 * GB), listener)
    assert free.chosen.batch_size == 2
    assert free.chosen.reasons["batch_size"].endswith(STEPS_ON_A_CPU)
    given = settled(planned(), machine(5 * GB, given=True), listener)
    fits = (5 * GB - 500 * MB) // SAMPLE
    assert given.chosen.batch_size == fits
    assert f"{fits} are predicted to fit into 5 GB" in given.chosen.reasons["batch_size"]
    on_gpu = settled(planned(), machine(5 * GB, device=GPU), listener)
    assert on_gpu.chosen.batch_size == fits, "there more samples take hardly longer"


def test_what_the_time_chose_only_shrinks(planned: Callable[..., Plan], listener: Any) -> None:
    plan = planned(configuration={"batch_size": 12}, budget={"time": 60.0})
    kept = settled(plan, machine(100 * GB, given=True), listener)
    assert kept.chosen.batch_size == 12
    assert kept.chosen.reasons["batch_size"].endswith(BY_TIME)
    assert settled(plan, machine(500 * MB + 5.5 * SAMPLE, given=True), listener).chosen.batch_size == 5


def test_what_the_user_gave_is_kept_or_refused(planned: Callable[..., Plan], listener: Any) -> None:
    plan = planned(configuration={"batch_size": 7})
    wishes = {"plan__batch_size": 7, "plan__patch_size": [8, 8, 8]}
    kept = settled(plan, machine(100 * GB, given=True), listener, **wishes).chosen
    assert (kept.batch_size, kept.patch_size) == (7, [8, 8, 8])
    with pytest.raises(PlanError, match=r"batch_size 7: training is predicted to need 1\.13 GiB .*batch of 4 or less"):
        settled(plan, machine(1 * GB, given=True), listener, **wishes)


def test_an_edited_plan_is_refused_with_the_number_unless_it_is_forced(
    planned: Callable[..., Plan], listener: Any
) -> None:
    plan = planned(configuration={"batch_size": 4000})
    with pytest.raises(PlanError, match=r"batch_size 4000: .* need 381\.94 GiB .* 4\.66 GiB may be used.*--force"):
        settled(plan, machine(5 * GB), listener, refit=False)
    assert listener.notes == []
    tried = settled(plan, machine(5 * GB), listener, refit=False, machine__force=True)
    assert tried.chosen == plan.chosen
    assert tried.predicted_memory == 4000 * SAMPLE + 500 * MB
    (note,) = listener.notes
    assert note.startswith("warning: tried all the same, since --force is given. batch_size 4000")


def test_nnunets_own_rule_is_not_changed_but_both_numbers_are_said(planned: Callable[..., Plan], listener: Any) -> None:
    plan = planned(configuration={"batch_size": 9}).model_copy(update={"planner": "nnunet", "memory": 8e9})
    found = settled(plan, machine(100 * GB, given=True), listener)
    assert found.chosen == plan.chosen
    assert found.memory == 8e9, "what its rule was asked with"
    assert found.predicted_memory == 9 * SAMPLE + 500 * MB
    assert found.estimated_memory is not None
    above = settled(plan, machine(1 * GB, given=True, available=20 * GB), listener)
    assert above.chosen == plan.chosen
    (note,) = listener.notes
    assert "more than the 1 GB asked for" in note
    with pytest.raises(PlanError, match="batch_size 9"):
        settled(plan, machine(1 * GB, available=1 * GB), listener)


def test_refusal_and_warnings_by_limit_and_what_is_free(listener: Any) -> None:
    memory = MemoryModel(((0.0, float(GB)),), Allowances(workspace=0, share=1.0)).predict(10)
    settings = forced(force=False)
    refuse_or_warn(memory, settings, machine(10 * GB), listener)
    assert listener.notes == []
    with pytest.raises(PlanError, match="batch of 9 or less"):
        refuse_or_warn(memory, settings, machine(10 * GB - 1), listener)
    refuse_or_warn(memory, settings, machine(20 * GB, given=True, available=9 * GB), listener)
    assert "within the memory given, but only 9 GB are free here now" in listener.notes.pop()
    refuse_or_warn(memory, forced(force=True), machine(5 * GB), listener)
    assert "--force is given" in listener.notes.pop()
    refuse_or_warn(memory, settings, machine(5 * GB, given=True, available=10 * GB), listener, lenient=True)
    assert "more than the 5 GB asked for" in listener.notes.pop()
    with pytest.raises(PlanError):
        refuse_or_warn(memory, settings, machine(5 * GB, given=True, available=9 * GB), listener, lenient=True)


def test_what_is_to_be_timed_fits_or_is_refused_before(planned: Callable[..., Plan], listener: Any) -> None:
    plan = planned(configuration={"batch_size": 12}, budget={"time": 60.0})

    def shrunk(where: Machine, plan: Plan = plan, **wishes: Any) -> Configuration:
        settings = build_settings({name.replace("__", "."): value for name, value in wishes.items()})
        return shrunk_to_memory(plan, plan.chosen, settings, where, listener, cases=1000, cache=None)

    assert shrunk(machine(100 * GB)) is plan.chosen
    tight = machine(500 * MB + 5 * SAMPLE)
    assert shrunk(tight).batch_size == 5
    given = {"plan__batch_size": 12, "plan__patch_size": [8, 8, 8]}
    with pytest.raises(PlanError, match="batch_size 12"):
        shrunk(tight, **given)
    assert shrunk(tight, machine__force=True, **given).batch_size == 12
    by_rule = plan.model_copy(update={"planner": "nnunet"})
    with pytest.raises(PlanError, match="batch_size 12"):
        shrunk(tight, by_rule)
    assert shrunk(machine(1 * GB, given=True, available=9 * GB), by_rule).batch_size == 12
