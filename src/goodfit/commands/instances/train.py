"""The whole way on instances: from annotated frames to an evaluated detector and a report."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from goodfit.commands.extensions import Extensions, find_extensions
from goodfit.commands.fitting import Clock, TrainResult, fit_task
from goodfit.commands.initialise import require_source
from goodfit.commands.instances.building import fill_store, make_task
from goodfit.commands.instances.detector import finish_training
from goodfit.commands.instances.predict import predict_test_frames
from goodfit.commands.instances.prepare import PreparedInstances, aim_at_instances, prepare_instances, with_measurement
from goodfit.commands.machine_words import describe_loading
from goodfit.commands.report import report
from goodfit.observer import Observer
from goodfit.tasks.instances.finishing import effort
from goodfit.tasks.instances.scores import load_instance_scores
from goodfit.tasks.instances.weights import find_weights
from goodfit.training.device import choose_device
from goodfit.training.recipe import Recipe
from goodfit.training.run_folder import locked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from goodfit.data.splits import Split
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.preprocessing.frames import FrameStore
    from goodfit.training.hooks import Hook


def train_instances(
    dataset: str | Path,
    *,
    run: str | Path | None,
    fresh: bool,
    settings: Mapping[str, Any],
    hooks: Sequence[Hook] = (),
    recipe: type[Recipe] | str | None = None,
    split: Split | None = None,
    plan: InstancePlan | None = None,
    observer: Observer | None = None,
) -> TrainResult:
    """Train on frames with instances; see ``goodfit.train``, which calls this."""
    started = time.monotonic()
    observer = observer or Observer()
    target = aim_at_instances(dataset, run, fresh=fresh, explicit=settings, split=split, plan=plan)
    if target.fresh or not target.run.last.is_file():
        require_source(target.settings.training.initialise_from)
    with locked(target.run.path, "run"):
        target.run.stop.unlink(missing_ok=True)  # what was asked of an earlier sitting
        # Folds that train side by side share a cache, which the first of them fills.
        with locked(target.cache, "dataset's cache", wait=split is not None and plan is not None):
            prepared = prepare_instances(target, observer)
            record = prepared.run.read_record()
            if record.get("status") == "finished":
                observer.note(
                    f"{prepared.run.path}: this run is finished. --fresh starts another, `goodfit extend` goes on."
                )
                scores = load_instance_scores(prepared.run.scores) if prepared.split.test else None
                return TrainResult(prepared.run, True, scores, prepared.run.report)
            extensions = find_extensions(prepared.settings.training, hooks, recipe)
            _require_weights(prepared, extensions.recipe)
            prepared = with_measurement(prepared, extensions.recipe, observer, started)
            store = fill_store(prepared, observer)
        clock = Clock(prepared.plan.budget.time, started, float(record.get("spent_seconds", 0.0)))
        try:
            if not _fit(prepared, store, clock, extensions, observer):
                prepared.run.update_record(status="interrupted")
                return TrainResult(prepared.run, False, None, None)
            prepared.run.update_record(status="trained")
            finish_training(prepared, store, observer, extensions.recipe)
            scores = predict_test_frames(prepared, store, observer, extensions.recipe)
            page = report(prepared.run.path, observer=observer)
            prepared.run.update_record(status="finished")
        finally:
            prepared.run.update_record(spent_seconds=clock.elapsed())
    return TrainResult(prepared.run, True, scores, page)


def _require_weights(prepared: PreparedInstances, recipe: Recipe) -> None:
    """Find, or fetch, the weights to begin with before the long work; the network of a recipe may do without them.

    Raises:
        PlanError: they are neither here nor to be had.
    """
    own_network = type(recipe).build_network is not Recipe.build_network
    if prepared.plan.model.weights != "none" and not own_network and _begins_with_own_weights(prepared):
        find_weights(prepared.plan.model)


def _begins_with_own_weights(prepared: PreparedInstances) -> bool:
    """Whether the plan's weights are needed: neither those of a checkpoint nor of ``--initialise-from`` follow."""
    return prepared.settings.training.initialise_from is None and not prepared.run.last.is_file()


def _fit(
    prepared: PreparedInstances, store: FrameStore, clock: Clock, extensions: Extensions, observer: Observer
) -> bool:
    """Run the training loop; give False when it was interrupted."""
    split = prepared.split
    for line in describe(prepared):
        observer.note(line)
    machine = prepared.settings.machine
    observer.note(describe_loading(choose_device(machine.device), machine.workers))
    source = prepared.settings.training.initialise_from
    if source is not None and prepared.plan.model.weights != "none":
        observer.note(
            f"the plan's {prepared.plan.model.weights} weights are not loaded: those of {source} take their place"
        )
    task = make_task(prepared, store, extensions.recipe, pretrained=_begins_with_own_weights(prepared))
    if split.optimistic:
        observer.note(f"warning: scores will be optimistic. {split.optimistic_reason}")
    # Thresholds are chosen and the ordinary is learnt before the test frames are scored.
    tested = max(1, len(split.test))
    more = 1 + effort(len(split.train), len(split.validation)) / tested
    return fit_task(task, prepared, clock, extensions, observer, effort=more)


def describe(prepared: PreparedInstances) -> list[str]:
    """Say what will be trained, and what the budget amounts to, one sentence a line."""
    plan, split = prepared.plan, prepared.split
    model, budget = plan.model, plan.budget
    steps = budget.expected_steps or budget.epochs * budget.steps_per_epoch
    samples, frames = steps * plan.batch_size, len(split.train)
    passes = samples / max(1, frames)
    about = "about" if budget.expected_steps else "at most"
    kind = "Mask R-CNN" if model.masks else "Faster R-CNN"
    start = "from scratch" if model.weights == "none" else f"{model.weights} weights"
    return [
        f"{kind}, {model.backbone} ({start}), frames of {model.image_min_size} to {model.image_max_size} "
        f"pixels; {len(split.train)} / {len(split.validation)} / {len(split.test)} frames to train, validate and test",
        f"batch {plan.batch_size} x {budget.steps_per_epoch} steps x {about} {max(1, steps // budget.steps_per_epoch)} "
        f"epochs = {steps:,} steps, {samples:,} samples, {passes:,.{1 if passes < 10 else 0}f} passes over {frames} training "
        "frames",
        *(budget.reasons[name] for name in ("time", "hours") if name in budget.reasons),
    ]
