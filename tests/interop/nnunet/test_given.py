from __future__ import annotations

import json
import logging
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from goodfit.data.dataset import content_key, open_dataset
from goodfit.errors import DatasetError, PlanError, SettingsError
from goodfit.interop.nnunet.given import given_plan, given_store, has_given_plan
from goodfit.settings import build_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return file


def test_a_preprocessed_folder_has_its_own_plan(preprocess: Callable[..., Path]) -> None:
    folder = preprocess(configuration={"batch_size": 5})
    dataset, settings = open_dataset(folder), build_settings({})
    assert has_given_plan(dataset, settings)
    plan = given_plan(dataset, settings)
    assert plan.planner == "nnunet_file"
    assert (plan.configuration, plan.chosen.batch_size, plan.chosen.patch_size) == ("3d_fullres", 5, [8, 8, 8])
    assert plan.data.key == content_key(dataset)
    assert "nnUNetPlans.json" in plan.reasons["configuration"]
    assert given_store(dataset, settings, plan).names() == [f"c{case}" for case in range(6)]


def test_a_raw_dataset_takes_a_named_file(preprocess: Callable[..., Path], raw: Path, tmp_path: Path) -> None:
    file = shutil.copy(preprocess(configuration={"batch_size": 5}) / "nnUNetPlans.json", tmp_path / "mine.json")
    dataset = open_dataset(raw)
    assert not has_given_plan(dataset, build_settings({}))
    settings = build_settings({"plan.plans": str(file)})
    assert has_given_plan(dataset, settings)
    plan = given_plan(dataset, settings)
    assert (plan.chosen.batch_size, plan.data.key) == (5, content_key(dataset))


def test_a_configuration_may_inherit_and_have_any_name(preprocess: Callable[..., Path]) -> None:
    folder = preprocess()
    edit(
        folder / "nnUNetPlans.json",
        lambda plans: plans["configurations"].update(mine={"inherits_from": "3d_fullres", "batch_size": 7}),
    )
    dataset, settings = open_dataset(folder), build_settings({"plan.configuration": "mine"})
    plan = given_plan(dataset, settings)
    assert plan.chosen.batch_size == 7
    assert given_store(dataset, settings, plan).folder.name == "nnUNetPlans_3d_fullres"


def test_another_plans_file_of_the_folder_goes_by_its_name(preprocess: Callable[..., Path]) -> None:
    folder = preprocess()
    (folder / "nnUNetPlans.json").rename(folder / "nnUNetResEncUNetMPlans.json")
    dataset = open_dataset(folder)
    for name in ("nnUNetResEncUNetMPlans", "nnUNetResEncUNetMPlans.json"):
        assert given_plan(dataset, build_settings({"plan.plans": name})).configuration == "3d_fullres"
    with pytest.raises(PlanError, match=r"nnUNetPlans.json: there is no such plans file.*nnUNetResEncUNetMPlans.json"):
        given_plan(dataset, build_settings({}))


def test_what_is_not_followed_is_warned_about_by_name(
    preprocess: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = preprocess()

    def change(plans: dict[str, Any]) -> None:
        plans["mood"] = "good"
        plans["configurations"]["odd"] = {"inherits_from": "3d_fullres", "preprocessor_name": "Mine"}

    edit(folder / "nnUNetPlans.json", change)
    with caplog.at_level(logging.WARNING):
        given_plan(open_dataset(folder), build_settings({}))
    assert "mood: goodfit does not know this key" in caplog.text
    assert "left out" in caplog.text
    assert "configurations.odd.preprocessor_name" in caplog.text


@pytest.mark.parametrize("name", ["network", "memory", "spacing"])
def test_how_to_plan_cannot_be_wished_for(preprocess: Callable[..., Path], name: str) -> None:
    value = {"network": "resenc_m", "memory": "8GB", "spacing": "1x1x1"}[name]
    with pytest.raises(SettingsError, match=rf"plan\.{name}: the plan is taken from"):
        given_plan(open_dataset(preprocess()), build_settings({f"plan.{name}": value}))


def test_an_unknown_configuration_is_refused_with_the_known_ones(preprocess: Callable[..., Path]) -> None:
    with pytest.raises(PlanError, match=r"there is no '4d'; there are 3d_fullres"):
        given_plan(open_dataset(preprocess()), build_settings({"plan.configuration": "4d"}))


def test_an_edited_plan_does_not_pass_for_other_arrays(preprocess: Callable[..., Path]) -> None:
    dataset, settings = open_dataset(preprocess()), build_settings({})
    plan = given_plan(dataset, settings)
    other = plan.model_copy(deep=True)
    other.chosen.spacing = [9.0, 1.0, 1.0]
    with pytest.raises(PlanError, match=r"configurations\.3d_fullres\.spacing: the plan has .*9\.0"):
        given_store(dataset, settings, other)
    other = plan.model_copy(deep=True)
    other.data.normalisation = ["none"]
    with pytest.raises(PlanError, match=r"data\.normalisation"):
        given_store(dataset, settings, other)


def test_a_configuration_without_arrays_is_refused(preprocess: Callable[..., Path]) -> None:
    folder = preprocess()

    def change(plans: dict[str, Any]) -> None:
        plans["configurations"]["mine"] = {"inherits_from": "3d_fullres", "data_identifier": "elsewhere"}
        plans["configurations"]["out"] = {"inherits_from": "3d_fullres", "data_identifier": "../elsewhere"}

    edit(folder / "nnUNetPlans.json", change)
    dataset = open_dataset(folder)
    settings = build_settings({"plan.configuration": "mine"})
    with pytest.raises(DatasetError, match=r"elsewhere: configuration mine is not preprocessed.*3d_fullres"):
        given_store(dataset, settings, given_plan(dataset, settings))
    settings = build_settings({"plan.configuration": "out"})
    with pytest.raises(PlanError, match=r"data_identifier: '\.\./elsewhere' is no name"):
        given_store(dataset, settings, given_plan(dataset, settings))
