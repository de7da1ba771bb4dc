"""Models that nnU-Net trained become runs; whatever is not harmless is refused and leaves nothing."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from goodfit.commands.export_model import export_model
from goodfit.commands.import_model import import_model
from goodfit.commands.models import open_model
from goodfit.commands.predict import predict
from goodfit.errors import PlanError, RunError, SettingsError
from goodfit.interop.nnunet.plans_out import nnunet_plans_of
from goodfit.planning.plan import load_plan
from goodfit.tasks.segmentation.network import build_network, inferring
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.planning.plan import Plan


class Code:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.file}",))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def logits_of(model: Path, plan: Plan, fold: str, patches: torch.Tensor) -> torch.Tensor:
    """What the network of a checkpoint gives, built from the plan alone."""
    network = build_network(plan.chosen.network, 1, 3, 3)
    network.load_state_dict(
        torch.load(model / f"fold_{fold}" / "checkpoint_final.pth", weights_only=True)["network_weights"]
    )
    with torch.no_grad(), inferring(network):
        output: torch.Tensor = network(patches)
    return output


def test_a_fold_becomes_a_run_with_the_same_network(
    nnunet_model: Callable[..., Path], tiny_plan: Callable[..., Plan]
) -> None:
    folder = nnunet_model(names=("checkpoint_final.pth", "checkpoint_best.pth"))
    (imported,) = import_model(folder)
    assert imported.place == Path("runs/Dataset001_Tiny/nnUNetTrainer__nnUNetPlans__3d_fullres")
    record = RunFolder(imported.place).read_record()
    assert (record["status"], record["checkpoint"]) == ("imported", "last")
    assert record["imported"]["trainer"] == "nnUNetTrainer"
    assert record["imported"]["checkpoints"] == {"last": "checkpoint_final.pth", "best": "checkpoint_best.pth"}
    plan = load_plan(imported.runs["0"].plan)
    assert plan.training.precision == "float32"
    assert "nnU-Net" in plan.training.reasons["precision"]
    assert plan.chosen.mirrored == (0, 1, 2)
    patches = torch.randn(2, 1, 8, 8, 8)
    expected = logits_of(folder, tiny_plan(), "0", patches)
    with torch.no_grad():
        last = open_model(imported.place, device=torch.device("cpu"))
        best = open_model(imported.place, device=torch.device("cpu"), checkpoint="best")
        with inferring(last.network), inferring(best.network):
            assert torch.equal(last.network(patches), expected)
            assert not torch.equal(best.network(patches), expected)


def test_folds_are_averaged_as_logits(
    nnunet_model: Callable[..., Path], tiny_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    folder = nnunet_model(("0", "1", "2"))
    (imported,) = import_model(folder, run=tmp_path / "model", folds=[0, 2])
    assert list(imported.runs) == ["0", "2"]
    patches = torch.randn(1, 1, 8, 8, 8)
    expected = (logits_of(folder, tiny_plan(), "0", patches) + logits_of(folder, tiny_plan(), "2", patches)) / 2
    model = open_model(tmp_path / "model", device=torch.device("cpu"))
    with torch.no_grad(), inferring(model.network):
        torch.testing.assert_close(model.network(patches), expected)


def test_predict_takes_the_imported_run_as_it_is(nnunet_model: Callable[..., Path], tmp_path: Path) -> None:
    import_model(nnunet_model(), run=tmp_path / "model")
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(0, 1, (10, 16, 14)).astype(np.float32))
    sitk.WriteImage(image, str(tmp_path / "case_0000.nii.gz"))
    (written,) = predict(tmp_path / "model", tmp_path / "case_0000.nii.gz", tmp_path / "out", tta=True)
    values = set(np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(written)))).tolist())
    assert values <= {0, 1, 2}
    assert len(values) > 1


@pytest.mark.parametrize(("mirror", "expected"), [(None, ()), ((0, 2), (0, 2)), ((0, 1, 2), (0, 1, 2))])
def test_the_axes_that_may_be_mirrored_go_into_the_plan(
    nnunet_model: Callable[..., Path], tmp_path: Path, mirror: tuple[int, ...] | None, expected: tuple[int, ...]
) -> None:
    import_model(nnunet_model(mirror=mirror), run=tmp_path / "model")
    assert load_plan(tmp_path / "model" / "plan.json").chosen.mirrored == expected


def test_best_alone_is_what_is_predicted_with(nnunet_model: Callable[..., Path], tmp_path: Path) -> None:
    import_model(nnunet_model(names=("checkpoint_best.pth",)), run=tmp_path / "model")
    assert RunFolder(tmp_path / "model").read_record()["checkpoint"] == "best"
    assert open_model(tmp_path / "model", device=torch.device("cpu")).name == str(tmp_path / "model")


def zipped(folder: Path, file: Path, *more: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
        for name, content in more:
            archive.writestr(name, content)
    return file


def test_an_archive_with_several_models_gives_a_run_each(nnunet_model: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("A__nnUNetPlans__3d_fullres", "B__nnUNetPlans__3d_fullres"):
        nnunet_model(("0", "1"), folder=tmp_path / "results" / "Dataset001_Tiny" / name)
    before = everything(tmp_path)
    file = zipped(tmp_path / "results", tmp_path / "model.zip")
    imported = import_model(file, run=tmp_path / "model")
    assert [one.place for one in imported] == [
        tmp_path / "model" / name for name in ("A__nnUNetPlans__3d_fullres", "B__nnUNetPlans__3d_fullres")
    ]
    assert [list(one.runs) for one in imported] == [["0", "1"], ["0", "1"]]
    outside = everything(tmp_path) - before - everything(tmp_path / "model")
    assert outside == {file, tmp_path / "model"}


def test_an_archive_that_leads_outside_leaves_nothing(nnunet_model: Callable[..., Path], tmp_path: Path) -> None:
    nnunet_model(folder=tmp_path / "results" / "Dataset001_Tiny" / "T__P__3d_fullres")
    file = zipped(tmp_path / "results", tmp_path / "model.zip", ("../../plans.json", b"{}"))
    before = everything(tmp_path.parent)
    with pytest.raises(RunError, match=r"'\.\./\.\./plans\.json' leads out of the folder"):
        import_model(file)
    assert everything(tmp_path.parent) == before


def test_a_dataset_name_that_leads_outside_does_not(
    nnunet_model: Callable[..., Path], tiny_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    values = {**nnunet_plans_of(tiny_plan()), "dataset_name": "../../../../evil"}
    (imported,) = import_model(nnunet_model(plans=values))
    assert imported.place == Path("runs/_evil/nnUNetTrainer__nnUNetPlans__3d_fullres")
    assert imported.place.resolve().is_relative_to(tmp_path)


def spoil_code(file: Path, mark: Path) -> None:
    torch.save({**torch.load(file, weights_only=True), "more": Code(mark)}, file)


def spoil_cut(file: Path, mark: Path) -> None:
    file.write_bytes(file.read_bytes()[:-500])


def spoil_missing(file: Path, mark: Path) -> None:
    content = torch.load(file, weights_only=True)
    content["network_weights"].pop("decoder.seg_layers.0.weight")
    torch.save(content, file)


def spoil_extra(file: Path, mark: Path) -> None:
    content = torch.load(file, weights_only=True)
    content["network_weights"]["encoder.more.weight"] = torch.ones(3)
    torch.save(content, file)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_code, "nothing of it was run"),
        (spoil_cut, "cut off, damaged"),
        (spoil_missing, r"lacks decoder\.seg_layers\.0\.weight"),
        (spoil_extra, r"has unknown encoder\.more\.weight"),
    ],
)
def test_a_bad_checkpoint_is_one_error_and_leaves_nothing(
    nnunet_model: Callable[..., Path], tmp_path: Path, spoil: Callable[[Path, Path], None], said: str
) -> None:
    folder = nnunet_model(("0", "1"))
    spoil(folder / "fold_1" / "checkpoint_final.pth", tmp_path / "ran")
    before = everything(tmp_path)
    with pytest.raises(RunError, match=rf"fold_1/checkpoint_final\.pth: .*{said}"):
        import_model(folder, run=tmp_path / "model")
    assert everything(tmp_path) == before


def test_an_unlisted_network_is_one_error_and_leaves_nothing(
    nnunet_model: Callable[..., Path], tiny_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    values = nnunet_plans_of(tiny_plan())
    values["configurations"]["3d_fullres"]["architecture"]["network_class_name"] = "os.system"
    folder = nnunet_model(plans=values)
    before = everything(tmp_path)
    with pytest.raises(
        PlanError, match=r"plans\.json: configurations\.3d_fullres\.architecture\.network_class_name: 'os\.system'"
    ):
        import_model(folder, run=tmp_path / "model")
    assert everything(tmp_path) == before


def test_folds_that_do_not_belong_together_are_refused(nnunet_model: Callable[..., Path], tmp_path: Path) -> None:
    folder = nnunet_model(("0",))
    nnunet_model(("1",), mirror=None)
    with pytest.raises(RunError, match="was trained in another way than"):
        import_model(folder, run=tmp_path / "model")


def test_what_is_there_is_not_replaced(nnunet_model: Callable[..., Path], tmp_path: Path) -> None:
    folder = nnunet_model()
    import_model(folder, run=tmp_path / "model")
    before = (tmp_path / "model" / "run.json").read_bytes()
    with pytest.raises(RunError, match="is there already"):
        import_model(folder, run=tmp_path / "model")
    assert (tmp_path / "model" / "run.json").read_bytes() == before


def test_wishes_that_cannot_be_are_refused(nnunet_model: Callable[..., Path], tmp_path: Path) -> None:
    folder = nnunet_model()
    with pytest.raises(SettingsError, match="--precision float16: write float32 or bfloat16"):
        import_model(folder, precision="float16")
    with pytest.raises(RunError, match="there is no trained fold 4"):
        import_model(folder, folds=[4])
    with pytest.raises(RunError, match=r"is neither a folder nor a \.zip file"):
        import_model(folder / "plans.json")
    import_model(folder, run=tmp_path / "fast", precision="bfloat16")
    assert load_plan(tmp_path / "fast" / "plan.json").training.precision == "bfloat16"
    shutil.rmtree(folder / "fold_0")
    with pytest.raises(RunError, match="no fold has"):
        import_model(folder)


def test_plan_and_record_are_as_a_run_has_them(nnunet_model: Callable[..., Path], tmp_path: Path) -> None:
    import_model(nnunet_model(), run=tmp_path / "model")
    trained = json.loads((tmp_path / "model" / "checkpoints" / "trained.json").read_text())
    assert trained["plan"] == json.loads((tmp_path / "model" / "plan.json").read_text())
    assert not list(tmp_path.glob(".importing-*"))


def cascade_folders(tiny_plan: Callable[..., Plan], nnunet_model: Callable[..., Path], parent: Path) -> Path:
    """A first stage of two folds and a second one, as nnU-Net has them side by side."""
    plan = tiny_plan()
    lowres = plan.chosen.model_copy(update={"name": "3d_lowres"})
    cascade = plan.chosen.model_copy(update={"name": "3d_cascade_fullres", "previous_stage": "3d_lowres"})
    everything_of_it = {**plan.configurations, "3d_lowres": lowres, "3d_cascade_fullres": cascade}
    values = nnunet_plans_of(plan.model_copy(update={"configurations": everything_of_it}), name="Dataset001_Tiny")
    for name, folds in (("3d_lowres", ("0", "1")), ("3d_cascade_fullres", ("0",))):
        folder = nnunet_model(folds, folder=parent / f"T__P__{name}", plans=values)
        for fold in folds:
            file = folder / f"fold_{fold}" / "checkpoint_final.pth"
            content = torch.load(file, weights_only=True)
            content["init_args"]["configuration"] = name
            if name == "3d_cascade_fullres":
                torch.manual_seed(5)
                content["network_weights"] = build_network(plan.chosen.network, 3, 3, 3).state_dict()
            torch.save(content, file)
    return parent / "T__P__3d_cascade_fullres"


def test_a_cascade_brings_its_first_stage(
    nnunet_model: Callable[..., Path], tiny_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    model = cascade_folders(tiny_plan, nnunet_model, tmp_path / "nnunet")
    (imported,) = import_model(model, run=tmp_path / "model")
    assert imported.plan.configuration == "3d_cascade_fullres"
    stage = tmp_path / "model" / "previous_stage"
    assert sorted(path.name for path in stage.glob("fold_*")) == ["fold_0", "fold_1"]
    opened = open_model(tmp_path / "model", device=torch.device("cpu"))
    assert opened.previous is not None
    patches = torch.randn(1, 1, 8, 8, 8)
    nets = [logits_of(tmp_path / "nnunet" / "T__P__3d_lowres", tiny_plan(), fold, patches) for fold in ("0", "1")]
    with torch.no_grad(), inferring(opened.previous.network):
        torch.testing.assert_close(opened.previous.network(patches), (nets[0] + nets[1]) / 2)
    shutil.rmtree(tmp_path / "nnunet" / "T__P__3d_lowres")
    with pytest.raises(RunError, match=r"goes on from what 3d_lowres predicts.*T__P__3d_lowres, is not in the folder"):
        import_model(model, run=tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_an_exported_cascade_comes_with_its_first_stage(
    nnunet_model: Callable[..., Path], tiny_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    model = cascade_folders(tiny_plan, nnunet_model, tmp_path / "nnunet")
    import_model(model, run=tmp_path / "model")
    done = export_model(tmp_path / "model", "nnunet", output=tmp_path / "results")
    for name, fold in (("3d_cascade_fullres", "0"), ("3d_lowres", "0"), ("3d_lowres", "1")):
        kept = torch.load(model.with_name(f"T__P__{name}") / f"fold_{fold}" / "checkpoint_final.pth", weights_only=True)
        folder = done.path.with_name(f"nnUNetTrainer__nnUNetPlans__{name}")
        back = torch.load(folder / f"fold_{fold}" / "checkpoint_final.pth", weights_only=True)
        expected, found = kept["network_weights"], back["network_weights"]
        assert all(torch.equal(found[key], expected[key]) for key in expected)
        assert back["init_args"]["configuration"] == name
