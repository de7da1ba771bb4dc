"""From folders to models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from goodfit.commands.models import find_runs, is_of_instances, load_network, open_all, open_model
from goodfit.errors import RunError, SettingsError
from goodfit.planning.plan import load_plan
from goodfit.tasks.segmentation.ensemble import AveragedNetworks
from goodfit.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from goodfit.training.run_folder import RunFolder
from goodfit.training.weights import weights_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CPU = torch.device("cpu")


@pytest.fixture
def folds(tmp_path: Path, write_run: Callable[..., RunFolder]) -> Path:
    """Two numbered folds and the one on all cases."""
    for seed, name in enumerate(("0", "1", "all")):
        write_run(tmp_path / "cv" / f"fold_{name}", seed)
    return tmp_path / "cv"


def test_the_numbered_folds_are_meant_unless_others_are_named(folds: Path) -> None:
    assert [run.path.name for run in find_runs(folds)] == ["fold_0", "fold_1"]
    assert [run.path.name for run in find_runs(folds, [1, "all"])] == ["fold_1", "fold_all"]
    assert [run.path.name for run in find_runs(folds, ["0", 0])] == ["fold_0"]
    assert find_runs(folds / "fold_1") == [RunFolder(folds / "fold_1")]


def test_all_is_meant_where_there_is_no_other(tmp_path: Path, write_run: Callable[..., RunFolder]) -> None:
    write_run(tmp_path / "cv" / "fold_all", 0)
    assert [run.path.name for run in find_runs(tmp_path / "cv")] == ["fold_all"]


def test_what_is_not_there_or_not_trained_is_named(folds: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"this is no run folder .* and holds no folds"):
        find_runs(tmp_path / "nowhere")
    with pytest.raises(SettingsError, match="a single run, it has no folds"):
        find_runs(folds / "fold_0", [0])
    with pytest.raises(RunError, match=r"fold 3 is not there\. .*--folds \(trained: 0,1,all\)"):
        find_runs(folds, [0, 3])
    RunFolder(folds / "fold_1").update_record(status="interrupted")
    with pytest.raises(RunError, match=r"fold 1 is not trained yet \(interrupted\).*trained: 0,all"):
        find_runs(folds)


def test_bfloat16_is_not_imitated_where_a_model_goes_to_a_lesser_machine(
    tmp_path: Path, write_run: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "run", 0)
    plan = load_plan(run.plan)
    half = plan.model_copy(update={"training": plan.training.model_copy(update={"precision": "bfloat16"})})
    monkeypatch.setattr("goodfit.commands.models.trained_plan", lambda _run: half)
    for flags, precision in (({"avx512_bf16": True}, "bfloat16"), ({"avx2": True}, "float32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda flags=flags: flags)
        assert open_model(run.path, device=CPU).precision == precision


def test_folds_become_one_network_in_evaluation_mode(folds: Path) -> None:
    model = open_model(folds, device=CPU)
    assert isinstance(model.network, AveragedNetworks)
    assert len(model.network.members) == 2
    assert not model.network.training
    assert model.plan.chosen.name == "3d_fullres"
    opened = open_all([folds, folds / "fold_all"], folds=None, checkpoint=None, device=CPU)
    assert [one.name for one in opened.models] == [str(folds), str(folds / "fold_all")]
    assert opened.postprocessing is None


def test_folds_of_another_plan_are_not_averaged(folds: Path, write_run: Callable[..., RunFolder]) -> None:
    write_run(folds / "fold_2", 3, configuration={"spacing": [1.0, 1.0, 1.0]})
    with pytest.raises(RunError, match=r"fold_2: was trained with another plan than .*fold_0.*--with"):
        open_model(folds, device=CPU)
    # How long it was trained, with what batch and which patches first, does not matter to a prediction.
    stages = [{"until_step": 3, "patch_size": [4, 4, 4], "batch_size": 2}]
    write_run(folds / "fold_2", 3, configuration={"batch_size": 7, "growth": stages}, budget={"epochs": 9})
    assert len(weights_of(open_model(folds, device=CPU).network)) == 3 * len(
        weights_of(open_model(folds / "fold_0", device=CPU).network)
    )


def test_an_imported_run_says_itself_what_it_predicts_with(folds: Path) -> None:
    run = RunFolder(folds / "fold_0")
    plan = open_model(run.path, device=CPU).plan
    other = {name: tensor + 1 for name, tensor in load_checkpoint(run.best).groups["network"].items()}
    save_checkpoint(run.last, Checkpoint({"network": other}, {}))
    wanted = {None: run.best, "last": run.last}
    for checkpoint, file in wanted.items():
        loaded = weights_of(load_network(run, plan, checkpoint))
        assert all(
            torch.equal(loaded[name], tensor) for name, tensor in load_checkpoint(file).groups["network"].items()
        )
    run.update_record(checkpoint="last")
    loaded = weights_of(load_network(run, plan, None))
    assert all(torch.equal(loaded[name], tensor) for name, tensor in other.items())


def test_runs_on_instances_are_known(folds: Path, tmp_path: Path) -> None:
    assert not is_of_instances(folds)
    assert not is_of_instances(folds / "fold_0")
    RunFolder(tmp_path / "boxes").update_record(kind="instances")
    assert is_of_instances(tmp_path / "boxes")
