"""Which network of the first stage predicts which case."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from goodfit.commands.models import open_model
from goodfit.commands.places import PREVIOUS_STAGE
from goodfit.commands.previous_stage import PreviousStage, scoring_models
from goodfit.errors import RunError
from goodfit.files import write_json
from goodfit.planning.lowres import plan_cascade
from goodfit.tasks.segmentation.cascade.one_hot import WithPreviousStage
from goodfit.tasks.segmentation.ensemble import AveragedNetworks
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Plan
    from goodfit.tasks.segmentation.model import Model

CPU = torch.device("cpu")
CASES = ["c0", "c1", "c2", "c3", "c4"]


@pytest.fixture
def cascade(tmp_path: Path, tiny_plan: Callable[..., Plan], write_run: Callable[..., RunFolder]) -> RunFolder:
    """The run of a second stage, whose first has three folds: c0 and c1, c2, c3; c4 is in none."""
    fullres = tiny_plan().chosen
    lowres = fullres.model_copy(update={"name": "3d_lowres", "spacing": [4.0, 2.0, 2.0]})
    both = {"3d_fullres": fullres, "3d_lowres": lowres, "3d_cascade_fullres": plan_cascade(fullres)}
    plan = tiny_plan().model_copy(update={"configurations": both, "configuration": "3d_cascade_fullres"})
    run = write_run(tmp_path / "run", 0, plan=plan)
    first = plan.model_copy(update={"configuration": "3d_lowres"})
    for fold, test in enumerate([("c0", "c1"), ("c2",), ("c3",)]):
        one = write_run(run.path / PREVIOUS_STAGE / f"fold_{fold}", fold + 1, plan=first, test=test)
        rest = [case for case in CASES[:4] if case not in test]
        write_json(
            one.trained, {"plan": first.model_dump(mode="json"), "split": {"train": rest[1:], "validation": rest[:1]}}
        )
    return run


def folds(run: RunFolder, cases: list[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {
        case: (choice.acquaintance, tuple(member.path.name for member in choice.members))
        for choice in PreviousStage.of(run).choose(cases)
        for case in choice.cases
    }


def second_stage(run: RunFolder) -> Model:
    model = open_model(run.path, device=CPU)
    assert isinstance(model.network, WithPreviousStage)
    return replace(model, network=model.network.network, previous=None)


def test_each_case_is_predicted_by_the_fold_that_has_not_seen_it(cascade: RunFolder) -> None:
    assert folds(cascade, CASES) == {
        "c0": ("unseen", ("fold_0",)),
        "c1": ("unseen", ("fold_0",)),
        "c2": ("unseen", ("fold_1",)),
        "c3": ("unseen", ("fold_2",)),
        "c4": ("unseen", ("fold_0", "fold_1", "fold_2")),
    }


def test_a_single_run_knows_its_cases(cascade: RunFolder) -> None:
    for fold in ("fold_1", "fold_2"):
        (cascade.path / PREVIOUS_STAGE / fold / "run.json").unlink()
    # fold_0 stopped on c2 and trained on c3.
    assert folds(cascade, ["c1", "c2", "c3"]) == {
        "c1": ("unseen", ("fold_0",)),
        "c2": ("stopped on", ("fold_0",)),
        "c3": ("trained on", ("fold_0",)),
    }


def test_unknown_training_cases_are_refused(cascade: RunFolder) -> None:
    (cascade.path / PREVIOUS_STAGE / "fold_1" / "checkpoints" / "trained.json").unlink()
    with pytest.raises(RunError, match="fold_1: it is not known which cases"):
        PreviousStage.of(cascade).choose(CASES)


def test_new_cases_are_predicted_by_all_folds(cascade: RunFolder) -> None:
    model = open_model(cascade.path, device=CPU)
    assert isinstance(model.network, WithPreviousStage)
    assert model.network.values == (1, 2)
    assert model.previous is not None
    assert isinstance(model.previous.network, AveragedNetworks)
    assert len(model.previous.network.members) == 3
    assert model.previous.plan.configuration == "3d_lowres"


def test_test_cases_are_scored_with_what_has_not_seen_them(cascade: RunFolder) -> None:
    own = second_stage(cascade)
    models = scoring_models(own, cascade, ["c4", "c0", "c1"])
    assert [cases for _, cases in models] == [["c4"], ["c0", "c1"]]
    networks = [model.previous.network for model, _ in models if model.previous is not None]
    assert isinstance(networks[0], AveragedNetworks)
    assert not isinstance(networks[1], AveragedNetworks)


def test_a_test_case_that_every_network_was_trained_on_is_refused(cascade: RunFolder) -> None:
    for fold in ("fold_1", "fold_2"):
        (cascade.path / PREVIOUS_STAGE / fold / "run.json").unlink()
    own = second_stage(cascade)
    with pytest.raises(RunError, match=r"was trained on 1 test case \(c3\), so the scores would not be of unseen"):
        scoring_models(own, cascade, ["c1", "c3"])


def test_without_a_previous_stage_there_is_one_model(
    tmp_path: Path, cascade: RunFolder, write_run: Callable[..., RunFolder]
) -> None:
    model = open_model(write_run(tmp_path / "plain", 5).path, device=CPU)
    assert scoring_models(model, cascade, CASES) == [(model, CASES)]


def test_a_cascade_without_its_first_stage_names_the_folder(cascade: RunFolder) -> None:
    (cascade.path / PREVIOUS_STAGE).rename(cascade.path / "elsewhere")
    with pytest.raises(RunError, match="previous_stage"):
        open_model(cascade.path, device=CPU)


def test_folds_of_a_cascade_share_a_first_stage(tmp_path: Path, cascade: RunFolder) -> None:
    for fold in ("0", "1"):
        shutil.copytree(cascade.path, tmp_path / "cv" / f"fold_{fold}")
    model = open_model(tmp_path / "cv", device=CPU)
    assert isinstance(model.network, WithPreviousStage)
    assert isinstance(model.network.network, AveragedNetworks)
    assert model.previous is not None
    # They have no identity here, so each counts; trained ones have, and count once.
    assert len(model.previous.network.members) == 6
    for folder in (tmp_path / "cv").glob("fold_*/previous_stage/fold_*"):
        RunFolder(folder).update_record(identity=folder.name)
    again = open_model(tmp_path / "cv", device=CPU)
    assert again.previous is not None
    assert len(again.previous.network.members) == 3
