"""plan.json: what it keeps, and what of an edited one is refused by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from goodfit.data.labels import Labels
from goodfit.errors import PlanError
from goodfit.planning.lowres import plan_cascade
from goodfit.planning.plan import NetworkPlan, Plan, load_plan, parse_plan, plan_error, save_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONFIGURATION = ("configurations", "3d_fullres")
NETWORK = (*CONFIGURATION, "network")


def test_a_plan_survives_its_file(tiny_plan: Callable[..., Plan], tmp_path: Path) -> None:
    plan = tiny_plan(
        data={"regions_order": [2, 1], "ignore": 3, "reasons": {"ignore": "naïve – “quoted”"}},
        budget={"time": 60.5, "expected_steps": 77},
        training={"patience": None, "optimizer": "sgd"},
    )
    save_plan(plan, tmp_path / "plan.json")
    assert load_plan(tmp_path / "plan.json") == plan
    assert json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))["training"]["patience"] is None


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ((*CONFIGURATION, "patch_size"), [8, 9, 8], r"3d_fullres: .*axis 1 is not divisible by 2"),
        ((*CONFIGURATION, "patch_size"), [8, 8], r"3d_fullres: .*wrong number of axes"),
        ((*CONFIGURATION, "patch_size"), [8, 0, 8], r"3d_fullres\.patch_size\.1: .*greater than 0"),
        ((*CONFIGURATION, "spacing"), [1, 1], r"3d_fullres: .*three axes"),
        ((*CONFIGURATION, "mirror_axes"), [0, 3], r"3d_fullres: .*mirror_axes \[0, 3\] should name axes of the patch"),
        (
            (*CONFIGURATION, "mirror_axes"),
            [1, 0],
            r"mirror_axes \[1, 0\] should name axes of the patch, each once and in order",
        ),
        (
            (*CONFIGURATION, "growth"),
            [{"until_step": 5, "patch_size": [4, 4], "batch_size": 2}],
            r"growth: patch_size \[4, 4\] has another number of axes",
        ),
        (
            (*CONFIGURATION, "growth"),
            [{"until_step": 5, "patch_size": [4, 4, 5], "batch_size": 2}],
            r"patch_size \[4, 4, 5\]: axis 2 is not divisible by 2",
        ),
        (
            (*CONFIGURATION, "growth"),
            [{"until_step": 5, "patch_size": [4, 4, 4], "batch_size": 2}] * 2,
            r"growth: the stage until step 5 should end after step 5",
        ),
        ((*CONFIGURATION, "previous_stage"), "3d_lowres", r"3d_cascade_fullres has one, and no other does"),
        ((*CONFIGURATION, "batch_size"), 0, r"3d_fullres\.batch_size: .*greater than 0"),
        ((*CONFIGURATION, "batchsize"), 2, r"3d_fullres\.batchsize: Extra inputs"),
        ((*NETWORK, "kernel_sizes"), [[3, 3, 3]], r"network: .*kernel_sizes has 1 entries, features has 2"),
        ((*NETWORK, "decoder_blocks"), [1, 1], r"network: .*decoder_blocks has 2 entries, 1 are needed"),
        ((*NETWORK, "architecture"), "transformer", r"network\.architecture: .*plain_unet"),
        (("training", "learning_rate"), -1, r"training\.learning_rate: .*greater than 0"),
        (("training", "learning_rte"), 1, r"training\.learning_rte: Extra inputs"),
        (("training", "warmup"), 1.5, r"training\.warmup: .*less than or equal to 1"),
        (("budget", "epochs"), "many", r"budget\.epochs: .*integer"),
        (("data", "transpose"), [0, 1], r"data\.transpose: .*at least 3"),
        (("data", "normalisation"), ["magic"], r"data\.normalisation\.0: .*'zscore'"),
        (("version",), 2, r"version: .*1"),
        (("configuration",), "2d", r"plan: .*'2d' is not in this plan, which has: 3d_fullres"),
        (("colour",), "blue", r"colour: Extra inputs"),
    ],
)
def test_what_cannot_be_is_named(plan_values: dict[str, Any], place: tuple[str, ...], value: Any, said: str) -> None:
    assert parse_plan(plan_values, "plan.json").chosen.batch_size == 2
    section = plan_values
    for name in place[:-1]:
        section = section[name]
    section[place[-1]] = value
    with pytest.raises(PlanError, match=rf"(?s)plan\.json: this plan cannot be used.*{said}"):
        parse_plan(plan_values, "plan.json")


def test_every_wrong_field_is_named_at_once(plan_values: dict[str, Any], tmp_path: Path) -> None:
    plan_values["training"] = {"learning_rate": 0, "optimizer": "lion"}
    del plan_values["memory"]
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan_values))
    with pytest.raises(PlanError) as caught:
        load_plan(file)
    for part in (str(file), "training.learning_rate", "training.optimizer", "memory: Field required"):
        assert part in str(caught.value)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"version": 1,\n"memory": }')
    with pytest.raises(PlanError, match=r"plan\.json: not valid JSON \(line 2"):
        load_plan(tmp_path / "plan.json")
    with pytest.raises(PlanError, match="no such file"):
        load_plan(tmp_path / "nowhere.json")


def test_fields_are_validated_when_they_are_set(tiny_plan: Callable[..., Plan]) -> None:
    plan = tiny_plan()
    with pytest.raises(ValidationError, match="greater than 0"):
        plan.training.learning_rate = -1


def test_labels_are_as_planned(tiny_plan: Callable[..., Plan]) -> None:
    plain = Labels({"left": (1,), "right": (2,)})
    assert tiny_plan().data.labels == plain
    regions = tiny_plan(data={"classes": {"whole": [1, 2], "core": [2]}, "regions_order": [1, 2], "ignore": 3})
    assert regions.data.labels == Labels({"whole": (1, 2), "core": (2,)}, ignore=3, regions_order=(1, 2))


def test_the_chosen_configuration_has_the_dimensions_of_its_patch(plan_values: dict[str, Any]) -> None:
    assert parse_plan(plan_values, "plan").chosen.dims == 3
    flat = plan_values["configurations"]["2d"] = json.loads(json.dumps(plan_values["configurations"]["3d_fullres"]))
    flat |= {"name": "2d", "patch_size": [8, 8]}
    flat["network"] |= {"kernel_sizes": [[3, 3]] * 2, "strides": [[1, 1], [2, 2]]}
    plan_values["configuration"] = "2d"
    assert parse_plan(plan_values, "plan").chosen.dims == 2


def test_an_error_of_the_whole_is_named_by_its_source() -> None:
    with pytest.raises(ValidationError) as caught:
        NetworkPlan.model_validate(
            {
                "architecture": "plain_unet",
                "features": [4],
                "kernel_sizes": [],
                "strides": [[1]],
                "encoder_blocks": [1],
                "decoder_blocks": [],
            }
        )
    assert str(plan_error("--set", caught.value)).startswith("--set: this plan cannot be used.\n  plan: Value error")


@pytest.mark.parametrize(("axes", "mirrored"), [(None, (0, 1, 2)), ([], ()), ([1, 2], (1, 2))])
def test_all_axes_may_be_mirrored_unless_some_are_named(
    tiny_plan: Callable[..., Plan], axes: list[int] | None, mirrored: tuple[int, ...]
) -> None:
    assert tiny_plan(configuration={"mirror_axes": axes}).chosen.mirrored == mirrored


def test_a_cascade_has_a_channel_for_each_label_value_of_its_first_stage(tiny_plan: Callable[..., Plan]) -> None:
    regions = {"whole": [1, 2, 5], "core": [2, 5], "rim": [5]}
    plan = tiny_plan(data={"classes": regions, "regions_order": [1, 2, 5], "ignore": 6})
    fullres = plan.chosen
    cascade = plan_cascade(fullres)
    assert plan.data.input_channels(fullres) == 1
    assert plan.data.input_channels(cascade) == 1 + 3
    with pytest.raises(ValidationError, match="3d_cascade_fullres needs the configuration 3d_lowres, which is missing"):
        Plan.model_validate({**plan.model_dump(), "configurations": {"3d_fullres": fullres, cascade.name: cascade}})


def test_samples_of_patches_that_grow(tiny_plan: Callable[..., Plan]) -> None:
    assert tiny_plan().chosen.samples(7) == 14
    stages = [
        {"until_step": 3, "patch_size": [2, 2, 2], "batch_size": 5},
        {"until_step": 5, "patch_size": [4, 4, 4], "batch_size": 3},
    ]
    plan = tiny_plan(configuration={"growth": stages})
    assert [plan.chosen.samples(steps) for steps in (0, 2, 3, 4, 5, 7)] == [0, 10, 15, 18, 21, 25]
    small = plan.with_chosen(plan.chosen.cut_as(plan.chosen.growth[0])).chosen
    assert (small.patch_size, small.batch_size, small.growth) == ([2, 2, 2], 5, [])
    assert plan.chosen.growth, "the plan itself is as before"
