"""From a trained run to files that other programs predict with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from goodfit.commands.models import find_runs, is_of_instances, load_network, open_model, previous_runs
from goodfit.commands.trained import trained_plan
from goodfit.data.wording import counted
from goodfit.errors import RunError, SettingsError
from goodfit.files import read_json
from goodfit.interop.nnunet.model_out import model_folder_name, write_nnunet_model
from goodfit.interop.nnunet.plans_out import dataset_name
from goodfit.interop.traced import write_onnx, write_torch_export
from goodfit.observer import Observer
from goodfit.planning.plan import load_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.planning.plan import Plan
    from goodfit.training.run_folder import RunFolder

Form = Literal["nnunet", "onnx", "torch-export"]
FILES: dict[Form, str] = {"onnx": "model.onnx", "torch-export": "model.pt2"}
FOLDER = "exported"


@dataclass(frozen=True)
class Exported:
    """What an export left.

    Attributes:
        path: the file; of nnU-Net the folder TRAINER__PLANS__CONFIGURATION.
        form: which kind it is.
        plan: of the network.
        folds: names of the folds; of a single run "0".
        difference: of the logits from the network's, as a share of the largest; None for nnU-Net, whose weights are
            the network's own.
    """

    path: Path
    form: Form
    plan: Plan
    folds: list[str]
    difference: float | None


def export_model(
    run: str | Path,
    to: str = "nnunet",
    *,
    output: str | Path | None = None,
    folds: Sequence[int | str] | None = None,
    checkpoint: str | None = None,
    observer: Observer | None = None,
) -> Exported:
    """Write a trained network for another program.

    Args:
        run: a run, or a cross-validation: nnU-Net gets its folds, the other forms their mean.
        to: "nnunet": a folder for nnUNetv2_predict_from_modelfolder; "onnx": an ONNX file with a free batch size,
            checked with onnxruntime; "torch-export": a .pt2 file for torch.export.load, checked, too.
        output: of nnU-Net the folder that gets DATASET/TRAINER__PLANS__CONFIGURATION, which may be that of
            nnUNet_results; of the others the file. Default: in RUN/exported.
        folds: of a cross-validation; by default every numbered one.
        checkpoint: "best" or "last"; by default what the run predicts with.
        observer: told about the progress.

    Raises:
        RunError: there is no such run or checkpoint, the run cannot be exported in this form (the message says why), or
            what was written gives other results.
        PlanError: nnU-Net has no word for a part of the plan.
        SettingsError: the form is unknown, or an extra is not installed.
    """
    observer = observer or Observer()
    place = Path(run)
    form = next((known for known in get_args(Form) if known == to), None)
    if form is None:
        raise SettingsError(f"--to {to}: there is no such form; write {', '.join(get_args(Form))}.")
    if is_of_instances(place):
        raise RunError(f"{place}: {_why_no_instances(form)}")
    observer.stage("export")
    runs = find_runs(place, folds)
    if form == "nnunet":
        return _to_nnunet(place, runs, None if output is None else Path(output), checkpoint, observer)
    path = Path(output) if output is not None else place / FOLDER / FILES[form]
    suffix = Path(FILES[form]).suffix
    if path.suffix != suffix:
        raise SettingsError(f"--output {path}: name the file, ending in {suffix}.")
    model = open_model(place, folds=folds, checkpoint=checkpoint, device=torch.device("cpu"))
    write = write_onnx if form == "onnx" else write_torch_export
    difference = write(path, model.network, model.plan)
    return Exported(path, form, model.plan, _fold_names(runs), difference)


def _to_nnunet(
    place: Path, runs: list[RunFolder], output: Path | None, checkpoint: str | None, observer: Observer
) -> Exported:
    networks, epochs = {}, {}
    first: Plan | None = None
    cases = 0
    names = _fold_names(runs)
    dataset = ""
    for number, (fold, run) in enumerate(zip(names, runs, strict=True)):
        record = run.read_record()
        if record.get("own_network"):
            raise RunError(
                f"{run.path}: its network is one of the recipe {record['settings'].get('training.recipe')}, which nnU-Net "
                "cannot build. Export it with --to onnx or --to torch-export."
            )
        plan = trained_plan(run) or load_plan(run.plan)
        first = first or plan
        networks[fold] = load_network(run, plan, checkpoint)
        epochs[fold] = _epochs(record)
        cases = max(cases, _training_cases(run))
        dataset = dataset or _dataset(record, plan)
        observer.advance(number + 1, len(runs))
    assert first is not None
    root = output if output is not None else place / FOLDER
    folder = root / dataset_name(dataset) / model_folder_name(first.configuration)
    if folder.exists() and any(folder.iterdir()):
        raise RunError(f"{folder}: is there already. Choose another folder with --output, or remove it.")
    if first.chosen.previous_stage is not None:
        _previous_to_nnunet(runs, root, dataset, observer)
    write_nnunet_model(folder, first, networks, dataset=dataset, cases=cases, epochs=epochs)
    return Exported(folder, "nnunet", first, names, None)


def _previous_to_nnunet(runs: list[RunFolder], root: Path, dataset: str, observer: Observer) -> None:
    """Write the first stage of cascades beside them: nnU-Net predicts with it first."""
    networks = {}
    plan: Plan | None = None
    for number, run in enumerate(previous_runs(runs)):
        plan = trained_plan(run) or load_plan(run.plan)
        networks[str(number)] = load_network(run, plan, None)
    assert plan is not None, "a cascade has a first stage"
    folder = root / dataset_name(dataset) / model_folder_name(plan.configuration)
    write_nnunet_model(folder, plan, networks, dataset=dataset, cases=0, epochs=dict.fromkeys(networks, 0))
    observer.note(f"first stage, {counted(len(networks), 'network')}: {folder}")


def _fold_names(runs: list[RunFolder]) -> list[str]:
    """Name the folds by their folders; a single run of its own is nnU-Net's fold 0, which is its default."""
    if len(runs) == 1 and not runs[0].path.name.startswith("fold_"):
        return ["0"]
    return [run.path.name.removeprefix("fold_") for run in runs]


def _dataset(record: dict[str, Any], plan: Plan) -> str:
    """Name of the dataset: its folder's, which has nnU-Net's number."""
    place = record.get("dataset")
    return Path(place).name if isinstance(place, str) else plan.data.name


def _epochs(record: dict[str, Any]) -> int:
    imported = record.get("imported") or {}
    return int(imported.get("epochs") or 0)


def _training_cases(run: RunFolder) -> int:
    if not run.trained.is_file():
        return 0
    return len(read_json(run.trained, RunError).get("split", {}).get("train", []))


def _why_no_instances(to: Form) -> str:
    if to == "nnunet":
        return "nnU-Net segments; it has no detectors that these weights would fit."
    return (
        "a detector cannot be exported: how many regions it cuts out and keeps depends on the image, and these forms record "
        "one fixed sequence of operations. Predict with `goodfit predict`, or from Python with goodfit.predict."
    )
