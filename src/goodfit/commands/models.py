"""From what a user names - a run, a cross-validation, a selection - to models that can predict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from goodfit.commands.cross.folder import ALL, CrossFolder
from goodfit.commands.places import PREVIOUS_STAGE
from goodfit.commands.selection import load_selection
from goodfit.commands.trained import trained_plan
from goodfit.errors import RunError, SettingsError
from goodfit.planning.plan import Plan, load_plan
from goodfit.tasks.segmentation.cascade.one_hot import WithPreviousStage
from goodfit.tasks.segmentation.ensemble import average
from goodfit.tasks.segmentation.model import Model, require_alike
from goodfit.tasks.segmentation.task import network_of
from goodfit.training.checkpoint import read_weights
from goodfit.training.device import inference_precision
from goodfit.training.hooks import import_class
from goodfit.training.recipe import Recipe
from goodfit.training.run_folder import RunFolder
from goodfit.training.weights import put_weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch
    from torch import nn

    from goodfit.tasks.segmentation.postprocessing import Postprocessing

_IN_TRAINING = {"planned", "training", "interrupted"}


@dataclass(frozen=True)
class Opened:
    """Models that are averaged as probabilities, and what becomes of their labels.

    Attributes:
        models: one per configuration, each the mean of its folds.
        postprocessing: that a selection found to help, or None.
    """

    models: list[Model]
    postprocessing: Postprocessing | None


def is_of_instances(place: Path) -> bool:
    """Whether a folder is a run on instances."""
    folder = RunFolder(place)
    return folder.record.is_file() and folder.read_record().get("kind") == "instances"


def find_runs(place: Path, folds: Sequence[int | str] | None = None) -> list[RunFolder]:
    """Give the runs whose networks are averaged: a run itself, or the folds of a cross-validation.

    Args:
        place: a run, or a folder with the runs fold_0, fold_1, ...
        folds: names of folds. By default every numbered one, or the one on all cases where there is no other.

    Raises:
        RunError: the folder holds no run, or a fold is not there or still in training.
        SettingsError: folds are asked of a single run.
    """
    run = RunFolder(place)
    if run.record.is_file():
        if folds is not None:
            raise SettingsError(f"{place}: this is a single run, it has no folds. Leave --folds out.")
        return [run]
    cross = CrossFolder(place)
    begun = cross.begun() if place.is_dir() else {}
    if not begun:
        raise RunError(
            f"{place}: this is no run folder (it has no run.json) and holds no folds (fold_0, ...). `goodfit train` and "
            "`goodfit cross-validate` make them."
        )
    numbered = [name for name in begun if name != ALL]
    planned = [name for name in cross.read().folds if name != ALL] if cross.record.is_file() else numbered
    wanted = list(dict.fromkeys(str(name).strip() for name in folds)) if folds is not None else planned or [ALL]
    for name in wanted:
        status = None if name not in begun else str(begun[name].read_record().get("status"))
        if status is None or status in _IN_TRAINING:
            said = "is not there" if status is None else f"is not trained yet ({status})"
            ready = [other for other, one in begun.items() if one.read_record().get("status") not in _IN_TRAINING]
            raise RunError(
                f"{place}: fold {name} {said}. Train it, or name those to average with --folds "
                f"(trained: {','.join(ready) or 'none'})."
            )
    return [begun[name] for name in wanted]


def open_all(
    places: Sequence[Path],
    *,
    folds: Sequence[int | str] | None,
    checkpoint: str | None,
    device: torch.device,
    recipe: Recipe | None = None,
) -> Opened:
    """Load what the user names.

    Args:
        places: runs and cross-validations; or one selection (selection.json, or its folder).
        folds: of each cross-validation.
        checkpoint: "best" or "last"; see ``load_network``.
        device: where the networks go.
        recipe: that makes the networks; by default the recorded one.

    Raises:
        RunError: a place is neither, or a checkpoint cannot be loaded.
        SettingsError: the models do not go together, or folds are asked of what has none.
    """
    selection = load_selection(places[0])
    if selection is None:
        models = [
            open_model(place, folds=folds, checkpoint=checkpoint, device=device, recipe=recipe) for place in places
        ]
        require_alike(models)
        return Opened(models, None)
    if len(places) > 1 or folds is not None:
        raise SettingsError(f"{places[0]}: a selection names its runs and folds itself. Leave --with and --folds out.")
    models = [
        open_model(member.path, folds=member.folds, checkpoint=checkpoint, device=device, recipe=recipe)
        for member in selection.members
    ]
    require_alike(models)
    return Opened(models, selection.postprocessing)


def open_model(
    place: Path,
    *,
    folds: Sequence[int | str] | None = None,
    checkpoint: str | None = None,
    device: torch.device,
    recipe: Recipe | None = None,
) -> Model:
    """Load a run, or the folds of a cross-validation as the mean of their logits; see ``open_all``."""
    return model_of(find_runs(place, folds), str(place), checkpoint=checkpoint, device=device, recipe=recipe)


def model_of(
    runs: Sequence[RunFolder],
    name: str,
    *,
    checkpoint: str | None = None,
    device: torch.device,
    recipe: Recipe | None = None,
) -> Model:
    """Load runs as the mean of their logits; of cascades with the first stage that they were trained with.

    Args:
        runs: of one plan.
        name: what messages call the model.
        checkpoint: "best" or "last"; see ``load_network``.
        device: where the networks go.
        recipe: that makes the networks; by default the recorded one.

    Raises:
        RunError: they have different plans, or a checkpoint cannot be loaded.
    """
    plans = [trained_plan(run) or load_plan(run.plan) for run in runs]
    for run, plan in zip(runs, plans, strict=True):
        if _seen(plan) != _seen(plans[0]):
            raise RunError(
                f"{run.path}: was trained with another plan than {runs[0].path}: folds are averaged only where they "
                "share preprocessing and network. Name one of them, or combine the two with --with."
            )
    networks = [load_network(run, plan, checkpoint, recipe) for run, plan in zip(runs, plans, strict=True)]
    precision = inference_precision(plans[0].training.precision, device)
    model = Model(average(networks, device).eval(), plans[0], device, precision, name)
    return model if plans[0].chosen.previous_stage is None else in_cascade(model, previous_runs(runs))


def previous_runs(runs: Sequence[RunFolder]) -> list[RunFolder]:
    """Give the runs of the first stage of cascades, each once: folds may share them."""
    found: dict[str, RunFolder] = {}
    for run in runs:
        for one in find_runs(run.path / PREVIOUS_STAGE):
            found.setdefault(str(one.read_record().get("identity", one.path)), one)
    return list(found.values())


def in_cascade(model: Model, previous: Sequence[RunFolder]) -> Model:
    """Put the mean of these runs of the first stage before a network of the second."""
    values = model.plan.data.labels.foreground_values
    return replace(
        model,
        network=WithPreviousStage(model.network, values),
        previous=model_of(previous, f"{model.name}, first stage", device=model.device),
    )


def load_network(run: RunFolder, plan: Plan, checkpoint: str | None, recipe: Recipe | None = None) -> nn.Module:
    """Build the plan's network with the weights of a checkpoint, averaged ones where it has them, in host memory.

    Args:
        run: the run.
        plan: that it was trained with.
        checkpoint: "best", "last" or "stable"; by default the best, and of an imported run the one that its own system
            predicts with (nnU-Net: the last).
        recipe: of the training; by default the recorded one is imported, if it makes the network.

    Raises:
        RunError: the checkpoint is missing, damaged or of another network.
        SettingsError: there is no checkpoint of this name.
    """
    path = run.checkpoint(checkpoint or str(run.read_record().get("checkpoint", "best")))
    weights = read_weights(path)
    network = network_of(plan, recipe or recorded_recipe(run))
    put_weights(network, weights, str(path))
    return network.eval()


def recorded_recipe(run: RunFolder) -> Recipe:
    """Import the class that made a run's network; the plain recipe where the plan made it."""
    record = run.read_record()
    if not record.get("own_network"):
        return Recipe()
    return import_class(record["settings"]["training.recipe"], Recipe, "training.recipe")()


def _seen(plan: Plan) -> dict[str, object]:
    """What the network sees and is: equal for the folds of one configuration."""
    data = plan.data.model_dump(mode="json", exclude={"reasons", "key", "name"})
    chosen = plan.chosen.model_dump(
        mode="json", exclude={"reasons": True, "network": {"reasons"}, "batch_size": True, "growth": True}
    )
    return {"data": data, "chosen": chosen}
