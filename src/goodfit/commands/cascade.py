"""Training a cascade: first the low-resolution stage, then its predictions as further input of the second.

The second stage has to learn how far to trust the first. If it saw, of its training cases, what networks predict that
were trained on just these cases, it would learn to copy. So each case is predicted by a network that has not seen it, as
in nnU-Net, where these are the five folds of 3d_lowres. Here the training and validation cases are divided into
``plan.previous_folds`` folds, three unless told otherwise: each network learns from two thirds of the cases, and the
first stage costs three trainings. ``--previous-stage`` takes networks that are there, such as a cross-validation of
3d_lowres. New cases are predicted by the mean of all folds.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from goodfit.commands.cross.folder import CrossFolder
from goodfit.commands.cross_validate import cross_validate
from goodfit.commands.models import find_runs
from goodfit.commands.places import PREVIOUS_STAGE
from goodfit.commands.preprocess import fill_store
from goodfit.commands.previous_stage import PreviousStage
from goodfit.commands.trained import trained_plan
from goodfit.data.folds import make_folds
from goodfit.data.wording import counted, some
from goodfit.errors import PlanError, RunError
from goodfit.interop.nnunet.given import previous_stage_name
from goodfit.planning.plan import load_plan
from goodfit.planning.time_budget import PREVIOUS_STAGE_SHARE
from goodfit.preprocessing.keys import store_digest
from goodfit.tasks.segmentation.cascade.inputs import CascadePatches, PreviousStageInputs
from goodfit.tasks.segmentation.cascade.stage import next_stage_labels
from goodfit.tasks.segmentation.model import Effort
from goodfit.tasks.segmentation.model import Prepared as PreparedImage
from goodfit.training.device import choose_device, make_room_on
from goodfit.training.run_folder import RunFolder, locked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.commands.plan import Prepared
    from goodfit.data.splits import Split
    from goodfit.observer import Observer
    from goodfit.planning.plan import Plan
    from goodfit.preprocessing.store import Store
    from goodfit.training.recipe import Recipe

INPUTS = "inputs"

_OF_THIS_STAGE = (
    "plan.batch_size",
    "plan.patch_size",
    "plan.previous_stage",
    "plan.previous_folds",
    "data.fold",
    "data.fractions",
    "training.initialise_from",
    "prediction.probabilities",
    "budget.time",
)
"""Settings of the second stage that the first one does not share."""


def prepare_cascade(
    prepared: Prepared,
    store: Store,
    seconds: float | None,
    observer: Observer,
    recipe: type[Recipe] | str | None = None,
) -> CascadePatches | None:
    """Train the first stage, or take one that is there, and predict the cases that the second stage learns from.

    What is done already is not done again. The caller holds the lock of the run, and not that of the cache.

    Args:
        prepared: the run of the second stage.
        store: its preprocessed cases.
        seconds: of the time budget that are left, or None.
        observer: told about the progress.
        recipe: as for ``train``.

    Returns:
        The cases with the first stage's labels; None where a signal interrupted the first stage.

    Raises:
        DatasetError: of a preprocessed dataset, the arrays of the first stage are missing.
        RunError, PlanError: the networks named with ``--previous-stage`` cannot be used.
    """
    folder = prepared.run.path / PREVIOUS_STAGE
    given = prepared.settings.plan.previous_stage
    if given is None:
        if not _train_folds(prepared, folder, seconds, observer, recipe):
            return None
    elif not folder.is_dir():
        runs = find_runs(Path(given))
        share_runs(runs, folder)
        observer.note(f"previous stage: {counted(len(runs), 'run')} of {given}")
    _require_same_preprocessing(folder, prepared.plan)
    inputs = PreviousStageInputs(folder / INPUTS)
    _predict_inputs(prepared, store, inputs, observer)
    return CascadePatches(store, inputs)


def share_runs(runs: Sequence[RunFolder], folder: Path) -> None:
    """Put what prediction needs of some runs into a folder, so that the cascade's run can be moved and shared.

    Weights are hard links where the file system has them: files are never changed in place.
    """
    unfinished = folder.with_name(f".writing-{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    for number, run in enumerate(runs):
        checkpoint = run.last if run.read_record().get("checkpoint") == "last" else run.best
        if not checkpoint.is_file():
            raise RunError(f"{checkpoint}: there is no such checkpoint. Train this run to its end first.")
        for file in (run.record, run.plan, run.splits, run.trained, checkpoint):
            target = unfinished / f"fold_{number}" / file.relative_to(run.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.is_file():
                _link(file, target)
    unfinished.rename(folder)


def share_previous_stage(source: RunFolder, target: RunFolder) -> None:
    """Give a run that goes on from a cascade the same first stage, with what it predicted."""
    folder = source.path / PREVIOUS_STAGE
    if not folder.is_dir():
        return
    share_runs(find_runs(folder), target.path / PREVIOUS_STAGE)
    for file in sorted((folder / INPUTS).glob("*.b2nd")):
        (target.path / PREVIOUS_STAGE / INPUTS).mkdir(exist_ok=True)
        _link(file, target.path / PREVIOUS_STAGE / INPUTS / file.name)


def _link(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def _train_folds(
    prepared: Prepared, folder: Path, seconds: float | None, observer: Observer, recipe: type[Recipe] | str | None
) -> bool:
    """Cross-validate 3d_lowres on the training and validation cases; give False when a signal interrupted it.

    The test cases have no part in it: they stay unseen by both stages.
    """
    cross = CrossFolder(folder)
    if cross.record.is_file():
        record = cross.read()
        if record.finished:
            return True
        settings: Mapping[str, Any] = record.settings
    else:
        settings = _settings_of_first_stage(prepared, seconds)
    names = _cases(prepared.split)
    dataset = replace(prepared.dataset, cases=tuple(prepared.dataset.case(name) for name in names))
    groups = len({case.group for case in dataset.cases})
    count = min(prepared.settings.plan.previous_folds, groups)
    observer.note(
        f"previous stage: {count} trainings of 3d_lowres, each on the {counted(len(names), 'case')} but a part that it "
        "predicts for the next stage"
    )
    result = cross_validate(
        prepared.dataset.root,
        run=folder,
        splits=None if cross.record.is_file() else make_folds(dataset, count),
        settings=settings,
        recipe=recipe,
        observer=observer,
    )
    return result.finished


def _settings_of_first_stage(prepared: Prepared, seconds: float | None) -> dict[str, Any]:
    given = prepared.run.read_record()["settings"]
    settings = {name: value for name, value in given.items() if name not in _OF_THIS_STAGE}
    settings["plan.configuration"] = previous_stage_name(prepared.dataset, prepared.settings, prepared.plan)
    if seconds is not None:
        settings["budget.time"] = max(1.0, PREVIOUS_STAGE_SHARE * seconds)
    return settings


def _cases(split: Split) -> list[str]:
    """The cases that the second stage learns from and stops on; a split may have some in both."""
    return list(dict.fromkeys([*split.train, *split.validation]))


def _require_same_preprocessing(folder: Path, plan: Plan) -> None:
    """Refuse networks that were made for other arrays than those of this plan's low-resolution configuration."""
    name = plan.chosen.previous_stage
    assert name is not None, "only asked of a cascade"
    wanted = plan.configurations[name]
    for run in find_runs(folder):
        theirs = trained_plan(run) or load_plan(run.plan)
        if theirs.configuration != name or store_digest(theirs.data, theirs.chosen) != store_digest(plan.data, wanted):
            raise PlanError(
                f"{run.path}: is of {theirs.configuration} with the spacing {theirs.chosen.spacing}, and this plan's previous "
                f"stage is {name} with {wanted.spacing}; or the dataset has changed, or channels, classes or intensities "
                "differ. Name a run of this dataset and plan with --previous-stage, or leave it out to train one."
            )


def _predict_inputs(prepared: Prepared, store: Store, inputs: PreviousStageInputs, observer: Observer) -> None:
    plan, wishes = prepared.plan, prepared.settings.prediction
    names = _cases(prepared.split)
    missing = [name for name in names if not inputs.has(name)]
    if not missing:
        return
    assert plan.chosen.previous_stage is not None
    with locked(prepared.cache, "dataset's cache", wait=True):
        lowres = fill_store(prepared, observer, [plan.chosen.previous_stage])[plan.chosen.previous_stage]
    observer.stage("predict for the next stage")
    done = len(names) - len(missing)
    observer.advance(done, len(names))
    stage = PreviousStage.of(prepared.run)
    device = choose_device(prepared.settings.machine.device)
    effort = Effort(wishes.step_size, wishes.tta)
    for choice in stage.choose(missing):
        if choice.acquaintance != "unseen":
            observer.note(
                f"warning: the previous stage has {choice.acquaintance} {counted(len(choice.cases), 'case')} that it predicts "
                f"({some(list(choice.cases))}): of new cases its predictions will be worse than the next stage expects. A "
                "cross-validation of 3d_lowres gives honest ones."
            )
        model = stage.model(choice.members, device)
        for name in choice.cases:
            case = lowres.case(name)
            image = PreparedImage(torch.from_numpy(np.asarray(case.image[...])), case.properties)
            _, z, y, x = store.case(name).image.shape
            labels = next_stage_labels(model.slabs(image, effort), case.properties, (z, y, x), plan.data.labels)
            inputs.write(name, labels.numpy(), plan.chosen.patch_size)
            done += 1
            observer.advance(done, len(names))
        del model
    make_room_on(device)
