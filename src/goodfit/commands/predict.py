"""From a run and images to label files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.commands.evaluate import score_run
from goodfit.commands.trained import edits_since, trained_plan
from goodfit.data.inputs import list_inputs
from goodfit.errors import RunError, SettingsError
from goodfit.observer import Observer
from goodfit.planning.plan import Plan, load_plan
from goodfit.tasks.segmentation.predict import predict_cases
from goodfit.tasks.segmentation.task import network_of
from goodfit.training.checkpoint import load_checkpoint
from goodfit.training.device import choose_device
from goodfit.training.hooks import import_class
from goodfit.training.recipe import Recipe
from goodfit.training.run_folder import RunFolder
from goodfit.training.weights import put_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

    from goodfit.commands.plan import Prepared
    from goodfit.tasks.segmentation.evaluation import Scores


def load_network(
    run: RunFolder, plan: Plan, checkpoint: str, device: torch.device, recipe: Recipe | None = None
) -> nn.Module:
    """Build the plan's network with the weights of a checkpoint ("best" or "last"; averaged weights).

    Args:
        run: the run.
        plan: that it was trained with.
        checkpoint: name of the checkpoint.
        device: where the network goes.
        recipe: of the training; by default the recorded one is imported, if it makes the network.

    Raises:
        RunError: the checkpoint is missing, damaged or of another network.
        SettingsError: there is no checkpoint of this name.
    """
    paths = {"best": run.best, "last": run.last, "stable": run.stable}
    if checkpoint not in paths:
        raise SettingsError(f"checkpoint: there is no {checkpoint!r}; write {', '.join(paths)}.")
    path = paths[checkpoint]
    loaded = load_checkpoint(path)
    weights = loaded.groups.get("average") or loaded.groups.get("network")
    if weights is None:
        raise RunError(f"{path}: this checkpoint holds no weights.")
    network = network_of(plan, recipe or _recorded_recipe(run))
    put_weights(network, weights, str(path))
    return network.to(device).eval()


def _recorded_recipe(run: RunFolder) -> Recipe:
    record = run.read_record()
    if not record.get("own_network"):
        return Recipe()
    return import_class(record["settings"]["training.recipe"], Recipe, "training.recipe")()


def predict(
    run: str | Path,
    inputs: str | Path,
    output: str | Path,
    *,
    checkpoint: str = "best",
    tta: bool = False,
    step_size: float = 0.5,
    probabilities: bool = False,
    continue_: bool = False,
    stride: int = 1,
    device: str | None = None,
    recipe: type[Recipe] | None = None,
    observer: Observer | None = None,
) -> list[Path]:
    """Predict every case of a folder with a trained run; of a run on instances also a video.

    Args:
        run: the run folder.
        inputs: folder with images named as in training (CASE_0000.ext, or CASE.ext), or one such file.
        output: receives CASE.ext in the geometry of each input.
        checkpoint: "best" (by the watched metric) or "last".
        tta: average over all mirrored copies: eight times the work in 3D for a little more quality.
        step_size: distance of neighbouring tiles as a share of the patch, in (0, 1].
        probabilities: also write CASE.npz with the class probabilities.
        continue_: leave cases alone whose output is there.
        stride: of a run on instances: look at every so manyth frame of a video.
        device: cpu, cuda, cuda:1; default the first GPU.
        recipe: the class that made the run's network, where it cannot be imported by name.
        observer: told about the progress.

    Returns:
        The files written.

    Raises:
        RunError: the folder is no run, or has no such checkpoint.
        DatasetError: no input is there, or some cases failed; the others are written.
    """
    observer = observer or Observer()
    folder = RunFolder(Path(run))
    if folder.read_record().get("kind") == "instances":
        from goodfit.commands.instances.predict import predict_instances

        return predict_instances(
            folder,
            Path(inputs),
            Path(output),
            checkpoint=checkpoint,
            stride=stride,
            device=device,
            observer=observer,
        )
    plan = trained_plan(folder) or load_plan(folder.plan)
    edits = edits_since(folder, load_plan(folder.plan))
    if edits:
        observer.note(f"warning: {', '.join(edits)} edited in plan.json after the training: without effect here")
    cases = list_inputs(Path(inputs), plan.data.file_ending, len(plan.data.channels))
    chosen = choose_device(device)
    network = load_network(folder, plan, checkpoint, chosen, None if recipe is None else recipe())
    observer.stage("predict")
    return predict_cases(
        network,
        plan,
        cases,
        Path(output),
        device=chosen,
        precision=plan.training.precision,
        step_size=step_size,
        mirror=tta,
        probabilities=probabilities,
        continue_=continue_,
        on_progress=observer.advance,
    )


def predict_test_cases(prepared: Prepared, observer: Observer, recipe: Recipe | None = None) -> Scores | None:
    """Predict the test cases of a run into its folder and score them; None where all cases were trained on.

    Args:
        prepared: the run.
        observer: told about the progress.
        recipe: of the training.
    """
    if not prepared.split.test:
        observer.note("no test cases: every case was trained on, so there is nothing to score")
        return None
    run, plan, wishes = prepared.run, prepared.plan, prepared.settings.prediction
    device = choose_device(prepared.settings.machine.device)
    network = load_network(run, plan, wishes.checkpoint, device, recipe)
    cases = [(name, prepared.dataset.case(name).images) for name in prepared.split.test]
    observer.stage("predict the test cases")
    predict_cases(
        network,
        plan,
        cases,
        run.predictions,
        device=device,
        precision=plan.training.precision,
        step_size=wishes.step_size,
        mirror=wishes.tta,
        probabilities=wishes.probabilities,
        on_progress=observer.advance,
    )
    return score_run(prepared.dataset, prepared.split, run, plan.data.labels, observer)
