"""From a model that nnU-Net trained to runs that goodfit predicts with."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from goodfit import __version__
from goodfit.commands.cascade import share_runs
from goodfit.commands.places import PREVIOUS_STAGE, RUNS
from goodfit.data.description import read_description
from goodfit.errors import PlanError, RunError, SettingsError
from goodfit.files import write_json
from goodfit.interop.nnunet.archive import unpack_models
from goodfit.interop.nnunet.checkpoint import read_nnunet_checkpoint
from goodfit.interop.nnunet.model_folder import FINAL, ModelFolder, choose_folds, find_models, is_model_folder
from goodfit.interop.nnunet.plan_in import plan_from_nnunet
from goodfit.interop.nnunet.plans_file import read_nnunet_plans
from goodfit.interop.nnunet.weights import network_with
from goodfit.observer import Observer
from goodfit.planning.plan import save_plan
from goodfit.training.checkpoint import Checkpoint, checksum, save_checkpoint
from goodfit.training.run_folder import IMPORTED, RunFolder
from goodfit.training.weights import weights_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from goodfit.interop.nnunet.checkpoint import NnunetCheckpoint
    from goodfit.planning.plan import Plan
    from goodfit.training.device import Precision

_PRECISION_REASONS: dict[Precision, str] = {
    "float32": "as nnU-Net computes on a CPU, so that predictions equal its own; bfloat16 rounds to 8 bits and moves "
    "voxels on the border of a class",
    "bfloat16": "asked for: about twice as fast where the hardware has it; some voxels on the border of a class differ",
}


@dataclass(frozen=True)
class ImportedModel:
    """A configuration that was imported.

    Attributes:
        place: what to predict with: a run, or a folder of runs fold_0, fold_1, ..., whose predictions are averaged.
        configuration: its name in nnU-Net's plans.
        trainer: nnU-Net's trainer class.
        plan: what goodfit makes of the plans.
        runs: fold -> run folder.
        checkpoints: nnU-Net's files that were read for each fold.
    """

    place: Path
    configuration: str
    trainer: str
    plan: Plan
    runs: dict[str, RunFolder]
    checkpoints: list[str]


def import_model(
    model: str | Path,
    *,
    run: str | Path | None = None,
    folds: Sequence[int | str] | None = None,
    precision: str = "float32",
    observer: Observer | None = None,
) -> list[ImportedModel]:
    """Make goodfit runs of a model that nnU-Net v2 trained; nothing in its files is executed.

    nnU-Net's checkpoint_final.pth becomes ``last``, which is what such a run predicts with (as nnUNetv2_predict does);
    checkpoint_best.pth, where it is there, becomes ``best``.

    Args:
        model: nnU-Net's folder TRAINER__PLANS__CONFIGURATION, one with such folders in it, or a zip file of
            nnUNetv2_export_model_to_zip.
        run: the folder to make: a run of a single fold, the parent of fold_0, fold_1, ... of several, and the parent of
            all that where there are several models. Default: runs/DATASET/TRAINER__PLANS__CONFIGURATION.
        folds: by default every numbered one, or "all" where there is no other.
        precision: of predictions; float32 gives those of nnU-Net.
        observer: told about the progress.

    Returns:
        What was imported, one entry per configuration.

    Raises:
        RunError: there is no model; a checkpoint is damaged, asks for code or belongs to another network; an archive is
            not harmless; or the folder to make is there already.
        PlanError: plans.json asks for what goodfit does not do; names the field.
    """
    observer = observer or Observer()
    chosen = next((known for known in _PRECISION_REASONS if known == precision), None)
    if chosen is None:
        raise SettingsError(f"--precision {precision}: write {' or '.join(_PRECISION_REASONS)}.")
    observer.stage("import")
    with _models(Path(model)) as models:
        jobs = [(found, choose_folds(found, folds)) for found in models]
        targets = [_target(found, None if run is None else Path(run), several=len(models) > 1) for found in models]
        for target in targets:
            if targets.count(target) > 1:
                raise RunError(f"{model}: holds several models that would go to {target}. Import them one by one.")
            if target.exists() and (not target.is_dir() or any(target.iterdir())):
                raise RunError(f"{target}: is there already. Choose another folder with --run.")
        total, done, imported = sum(len(names) for _, names in jobs), 0, []
        for (found, names), target in zip(jobs, targets, strict=True):
            with _in_place(target) as staging:
                result = _import_folds(found, names, staging, str(model), chosen, observer, done, total)
                _add_previous_stage(found, result, str(model), chosen)
            done += len(names)
            runs = {name: RunFolder(target / one.path.relative_to(staging)) for name, one in result.runs.items()}
            imported.append(
                ImportedModel(target, result.configuration, result.trainer, result.plan, runs, result.checkpoints)
            )
    return imported


@contextmanager
def _models(place: Path) -> Iterator[list[ModelFolder]]:
    """Find the models of a folder, or of an archive that is unpacked for as long as the context lasts."""
    if not place.is_file():
        yield find_models(place)
        return
    if place.suffix.lower() != ".zip":
        raise RunError(
            f"{place}: is neither a folder nor a .zip file. Give the model's folder, TRAINER__PLANS__CONFIGURATION, which "
            "holds plans.json and dataset.json beside the checkpoints."
        )
    with tempfile.TemporaryDirectory(prefix="goodfit-import-") as folder:
        unpack_models(place, Path(folder))
        yield find_models(Path(folder))


def _target(model: ModelFolder, run: Path | None, *, several: bool) -> Path:
    if run is not None:
        return run / model.path.name if several else run
    plans = read_nnunet_plans(model.plans)
    # The name is from a file that somebody sent: it must not lead anywhere.
    return RUNS / re.sub(r"[^\w-]+", "_", plans.content.dataset_name) / model.path.name


@contextmanager
def _in_place(target: Path) -> Iterator[Path]:
    """Give a folder beside ``target`` that takes its name in the end, so that a half import is never found there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".importing-", dir=target.parent))
    try:
        yield staging
        staging.chmod(0o755)
        if target.exists():
            target.rmdir()
        staging.rename(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(staging)


def _import_folds(
    model: ModelFolder,
    folds: list[str],
    folder: Path,
    source: str,
    precision: Precision,
    observer: Observer,
    done: int,
    total: int,
) -> ImportedModel:
    """Write a run for each fold: a single one into ``folder`` itself."""
    plans, description = read_nnunet_plans(model.plans), read_description(model.dataset)
    runs: dict[str, RunFolder] = {}
    first: NnunetCheckpoint | None = None
    plan: Plan | None = None
    names = [name for name in model.folds[folds[0]] if all(name in model.folds[fold] for fold in folds)]
    if not names:
        raise RunError(
            f"{model.path}: the folds {', '.join(folds)} have no checkpoint in common. Name some with --folds."
        )
    for number, fold in enumerate(folds):
        run = RunFolder(folder if len(folds) == 1 else folder / f"fold_{fold}")
        epochs, identity = None, ""
        for name in names:
            checkpoint = read_nnunet_checkpoint(model.checkpoint(fold, name))
            if first is None or plan is None:
                first, plan = checkpoint, plan_from_nnunet(plans, description, checkpoint.configuration)
                _adapt(plan, checkpoint, precision)
            elif (checkpoint.configuration, checkpoint.mirror_axes) != (first.configuration, first.mirror_axes):
                raise RunError(f"{checkpoint.source}: was trained in another way than {first.source}.")
            weights = weights_of(network_with(plan, checkpoint.weights, checkpoint.source))
            identity = checksum(weights, name) if name == names[0] else identity
            target = run.last if name == FINAL else run.best
            save_checkpoint(target, Checkpoint({"network": weights}, {"imported": name}))
            epochs = checkpoint.epoch if name == FINAL else epochs
        assert plan is not None
        assert first is not None
        save_plan(plan, run.plan)
        write_json(run.trained, {"plan": plan.model_dump(mode="json"), "split": {}})
        write_json(
            run.record,
            {
                "settings": {},
                "created": datetime.now().astimezone().isoformat(timespec="seconds"),
                "goodfit": __version__,
                "status": IMPORTED,
                "identity": identity,
                "checkpoint": "last" if FINAL in names else "best",
                "imported": {
                    "from": str(Path(source).resolve()),
                    "model": model.path.name,
                    "dataset": plans.content.dataset_name,
                    "trainer": first.trainer,
                    "configuration": first.configuration,
                    "fold": fold,
                    "epochs": epochs,
                    "checkpoints": {"last" if name == FINAL else "best": name for name in names},
                },
            },
        )
        runs[fold] = run
        observer.advance(done + number + 1, total)
    assert plan is not None
    assert first is not None
    return ImportedModel(folder, first.configuration, first.trainer, plan, runs, names)


def _add_previous_stage(model: ModelFolder, cascade: ImportedModel, source: str, precision: Precision) -> None:
    """Put the first stage of a cascade into its runs: nnU-Net has it in the folder beside.

    Raises:
        RunError: it is not there.
    """
    previous, _ = read_nnunet_plans(model.plans).configuration(cascade.configuration)
    if previous.previous_stage is None:
        return
    beside = model.path.parent / f"{model.path.name.rpartition('__')[0]}__{previous.previous_stage}"
    if not is_model_folder(beside):
        raise RunError(
            f"{model.path}: {cascade.configuration} goes on from what {previous.previous_stage} predicts, and that model, "
            f"{beside.name}, is not in the folder beside it. Put it there."
        )
    (first,) = find_models(beside)
    kept = cascade.place / ".previous"
    runs = _import_folds(first, choose_folds(first, None), kept, source, precision, Observer(), 0, 1).runs
    for run in cascade.runs.values():
        share_runs(list(runs.values()), run.path / PREVIOUS_STAGE)
    shutil.rmtree(kept)


def _adapt(plan: Plan, checkpoint: NnunetCheckpoint, precision: Precision) -> None:
    """Add to the plan what nnU-Net keeps in its checkpoints."""
    configuration = plan.chosen
    beyond = [axis for axis in checkpoint.mirror_axes if axis >= configuration.dims]
    if beyond:
        raise PlanError(
            f"{checkpoint.source}: inference_allowed_mirroring_axes names axis {beyond[0]}, and the patch has "
            f"{configuration.dims} axes."
        )
    if len(checkpoint.mirror_axes) < configuration.dims:
        configuration.mirror_axes = list(checkpoint.mirror_axes)
        configuration.reasons["mirror_axes"] = f"inference_allowed_mirroring_axes of nnU-Net's {checkpoint.trainer}"
    plan.training.precision = precision
    plan.training.reasons["precision"] = _PRECISION_REASONS[precision]
