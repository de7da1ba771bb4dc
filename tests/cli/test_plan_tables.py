"""A plan in words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from goodfit.cli.plan_tables import show_instance_plan, show_plan
from goodfit.data.splits import Split
from goodfit.planning.arithmetic import describe_budget
from goodfit.planning.instances.plan import InstancePlan

if TYPE_CHECKING:
    import io
    from collections.abc import Callable

    from goodfit.planning.plan import Plan

SPLIT = Split(seed=0, source="by hand", train=["a", "b", "c"], validation=["d"], test=["e", "f"])


def shown(plan: Plan, terminal: io.StringIO) -> str:
    prepared: Any = SimpleNamespace(plan=plan, split=SPLIT)
    show_plan(prepared)
    return terminal.getvalue()


def row(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"│ {name} ")]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_every_value_with_a_reason_is_a_row(tiny_plan: Callable[..., Plan], terminal: io.StringIO) -> None:
    plan = tiny_plan(
        data={"reasons": {"intensities": "of all foreground", "normalisation": "MRI [arbitrary units]"}},
        configuration={"reasons": {"patch_size": "fits", "batch_size": "the rest"}},
        training={"reasons": {"seed": "by default"}},
    )
    plan.chosen.network.reasons = {"strides": "halved", "features": "doubled"}
    text = shown(plan, terminal)
    assert text.splitlines()[0].strip() == "Tiny: plan"
    assert row(text, "data.intensities") == ["data.intensities", "1 channels", "of all foreground"]
    assert row(text, "data.normalisation") == ["data.normalisation", "zscore", "MRI [arbitrary units]"]
    assert row(text, "3d_fullres.patch_size") == ["3d_fullres.patch_size", "8 8 8", "fits"]
    assert row(text, "3d_fullres.batch_size")[1] == "2"
    assert row(text, "3d_fullres.network.strides")[1] == "1x1x1 2x2x2"
    assert row(text, "training.seed") == ["training.seed", "0", "by default"]


def test_stages_of_patches_that_grow_are_said(tiny_plan: Callable[..., Plan], terminal: io.StringIO) -> None:
    stages = [{"until_step": 30, "patch_size": [4, 4, 4], "batch_size": 4}]
    plan = tiny_plan(configuration={"growth": stages, "reasons": {"growth": "by hand"}})
    text = shown(plan, terminal)
    assert row(text, "3d_fullres.growth") == ["3d_fullres.growth", "4x4x4 x batch 4 until step 30", "by hand"]
    assert "patches grow: by hand" in text


def test_memory_stands_in_the_summary_only(tiny_plan: Callable[..., Plan], terminal: io.StringIO) -> None:
    plan = tiny_plan().model_copy(
        update={"predicted_memory": 2.0**30, "reasons": {"predicted_memory": "a gibibyte", "configuration": "3D"}}
    )
    text = shown(plan, terminal)
    assert text.count("a gibibyte") == 1
    assert row(text, "configuration")[1:] == ["3d_fullres", "3D"]


def test_configurations_split_and_budget_follow(tiny_plan: Callable[..., Plan], terminal: io.StringIO) -> None:
    plan = tiny_plan()
    text = shown(plan, terminal)
    assert row(text, "3d_fullres") == ["3d_fullres", "8x8x8", "2", "2x1x1"]
    assert "split: 3 train, 1 validation, 2 test cases" in text
    for line in describe_budget(plan, 3):
        assert line in text


def test_a_plan_of_instances_is_shown_with_its_reasons(terminal: io.StringIO) -> None:
    data = {"name": "rooms", "key": "key", "categories": ["person"], "has_masks": True}
    values = {"goodfit_version": "0", "memory": 8e9, "predicted_memory": 2**31, "data": data}
    model = {"anchor_sizes": [[8], [16], [32], [64], [128]], "reasons": {"anchor_sizes": "k-means of 7 boxes"}}
    budget = {"reasons": {"hours": "50 steps take 3 s at most"}}
    plan = InstancePlan.model_validate({**values, "model": model, "budget": budget, "batch_size": 2})
    split = SPLIT.model_copy(update={"optimistic": True, "optimistic_reason": "stretches of one video"})
    prepared: Any = SimpleNamespace(plan=plan, split=split)
    show_instance_plan(prepared)
    text = terminal.getvalue()
    assert row(text, "model.anchor_sizes")[2] == "k-means of 7 boxes"
    assert "Mask R-CNN, mobilenet_v2 (imagenet weights)" in text
    assert "50 steps take 3 s at most" in text
    assert "memory: 2.00 GiB" in text
    assert "scores will be optimistic: stretches of one video" in text
