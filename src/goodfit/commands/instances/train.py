"""The whole way on instances: from annotated frames to an evaluated detector and a report."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from goodfit.commands.extensions import Extensions, find_extensions
from goodfit.commands.instances.predict import predict_test_frames
from goodfit.commands.instances.prepare import PreparedInstances, aim_at_instances, prepare_instances
from goodfit.commands.instances.time_budget import fit_instances_to_time, time_instance_step, with_hours
from goodfit.commands.report import report
from goodfit.commands.train import Clock, TrainResult, default_workers, fit_task
from goodfit.observer import Observer
from goodfit.planning.instances.plan import save_instance_plan
from goodfit.planning.instances.sampling import frame_weights
from goodfit.preprocessing.frames import FrameStore, fill_frames
from goodfit.tasks.instances.scores import load_instance_scores
from goodfit.tasks.instances.task import InstanceTask
from goodfit.training.device import choose_device
from goodfit.training.run_folder import locked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from goodfit.data.splits import Split
    from goodfit.training.hooks import Hook
    from goodfit.training.recipe import Recipe

RESERVE_SHARE = 0.08
"""Part of the time that is set aside for scoring and report when the epochs are planned; later the clock decides."""


def train_instances(
    dataset: str | Path,
    *,
    run: str | Path | None,
    fresh: bool,
    settings: Mapping[str, Any],
    hooks: Sequence[Hook] = (),
    recipe: type[Recipe] | str | None = None,
    split: Split | None = None,
    observer: Observer | None = None,
) -> TrainResult:
    """Train on frames with instances; see ``goodfit.train``, which calls this."""
    started = time.monotonic()
    observer = observer or Observer()
    target = aim_at_instances(dataset, run, fresh=fresh, explicit=settings, split=split)
    with locked(target.run.path, "run"):
        target.run.stop.unlink(missing_ok=True)  # what was asked of an earlier sitting
        with locked(target.cache, "dataset's cache"):
            prepared = prepare_instances(target, observer)
            record = prepared.run.read_record()
            if record.get("status") == "finished":
                observer.note(f"{prepared.run.path}: this run is finished. --fresh starts another.")
                scores = load_instance_scores(prepared.run.scores) if prepared.split.test else None
                return TrainResult(prepared.run, True, scores, prepared.run.report)
            extensions = find_extensions(prepared.settings.training, hooks, recipe)
            store = fill_store(prepared, observer)
        clock = Clock(prepared.plan.budget.time, started, float(record.get("spent_seconds", 0.0)))
        try:
            prepared = _measured(prepared, store, clock, extensions, observer)
            if not _fit(prepared, store, clock, extensions, observer):
                prepared.run.update_record(status="interrupted")
                return TrainResult(prepared.run, False, None, None)
            prepared.run.update_record(status="trained")
            scores = predict_test_frames(prepared, store, observer)
            page = report(prepared.run.path, observer=observer)
            prepared.run.update_record(status="finished")
        finally:
            prepared.run.update_record(spent_seconds=clock.elapsed())
    return TrainResult(prepared.run, True, scores, page)


def fill_store(prepared: PreparedInstances, observer: Observer) -> FrameStore:
    """Decode every frame once, at the size that the network sees."""
    observer.stage("decode frames")
    model = prepared.plan.model
    folder = prepared.cache / "frames" / f"{model.image_min_size}x{model.image_max_size}"
    store = fill_frames(
        prepared.dataset.frames, folder, model.image_min_size, model.image_max_size, on_progress=observer.advance
    )
    prepared.run.update_record(frames=str(folder.resolve()))
    return store


def make_task(
    prepared: PreparedInstances, store: FrameStore, extensions: Extensions, *, pretrained: bool
) -> InstanceTask:
    """Build the task of a run; ``pretrained`` is False where other weights follow at once."""
    plan, split, dataset, machine = prepared.plan, prepared.split, prepared.dataset, prepared.settings.machine
    device = choose_device(machine.device)
    workers = default_workers(device) if machine.workers is None else machine.workers
    return InstanceTask(
        plan,
        store,
        [dataset.frame(name) for name in split.train],
        [dataset.frame(name) for name in split.validation],
        device,
        workers,
        weights=frame_weights(prepared.fingerprint, plan.sampling, split.train),
        pretrained=pretrained,
    )


def _measured(
    prepared: PreparedInstances, store: FrameStore, clock: Clock, extensions: Extensions, observer: Observer
) -> PreparedInstances:
    """Time real steps, once, before the first one: for the hours, and to fit the epochs to a time budget."""
    run, plan = prepared.run, prepared.plan
    if run.read_record().get("measured"):
        return prepared
    observer.stage("measure this machine")
    seconds = time_instance_step(lambda: make_task(prepared, store, extensions, pretrained=False), plan)
    if clock.limit is None:
        plan = with_hours(plan, seconds)
    else:
        plan = fit_instances_to_time(plan, seconds, (1 - RESERVE_SHARE) * clock.limit - clock.elapsed())
    save_instance_plan(plan, run.plan)
    run.update_record(measured=True)
    return PreparedInstances(
        prepared.dataset, prepared.settings, run, prepared.cache, plan, prepared.split, prepared.fingerprint
    )


def _fit(
    prepared: PreparedInstances, store: FrameStore, clock: Clock, extensions: Extensions, observer: Observer
) -> bool:
    """Run the training loop; give False when it was interrupted."""
    split = prepared.split
    for line in describe(prepared):
        observer.note(line)
    task = make_task(prepared, store, extensions, pretrained=not prepared.run.last.is_file())
    if split.optimistic:
        observer.note(f"warning: scores will be optimistic. {split.optimistic_reason}")
    return fit_task(task, prepared, clock, extensions, observer)


def describe(prepared: PreparedInstances) -> list[str]:
    """Say what will be trained, and what the budget amounts to, one sentence a line."""
    plan, split = prepared.plan, prepared.split
    model, budget = plan.model, plan.budget
    steps = budget.expected_steps or budget.epochs * budget.steps_per_epoch
    samples, frames = steps * plan.batch_size, len(split.train)
    about = "about" if budget.expected_steps else "at most"
    kind = "Mask R-CNN" if model.masks else "Faster R-CNN"
    return [
        f"{kind}, {model.backbone} ({model.weights} weights), frames of {model.image_min_size} to {model.image_max_size} "
        f"pixels; {len(split.train)} / {len(split.validation)} / {len(split.test)} frames to train, validate and test",
        f"batch {plan.batch_size} x {budget.steps_per_epoch} steps x {about} {max(1, steps // budget.steps_per_epoch)} "
        f"epochs = {steps:,} steps, {samples:,} samples, {samples / max(1, frames):,.0f} passes over {frames} training "
        "frames",
        *(budget.reasons[name] for name in ("time", "hours") if name in budget.reasons),
    ]
