"""The whole way: from a folder of labelled cases to an evaluated model and a report."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodfit.commands.extensions import Extensions, find_extensions, with_extensions
from goodfit.commands.fitting import Clock, TrainResult, fit_task, loader_workers
from goodfit.commands.initialise import require_source
from goodfit.commands.machine_words import describe_cases, describe_loading
from goodfit.commands.plan import Prepared, aim, prepare
from goodfit.commands.predict import predict_test_cases
from goodfit.commands.preprocess import fill_store
from goodfit.commands.report import report
from goodfit.data.instances.dataset import is_instance_dataset
from goodfit.errors import PlanError
from goodfit.observer import Observer
from goodfit.planning.arithmetic import describe_budget
from goodfit.planning.plan import Plan
from goodfit.tasks.segmentation.task import SegmentationTask
from goodfit.training.device import choose_device
from goodfit.training.run_folder import RunFolder, locked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.data.splits import Split
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.tasks.segmentation.case_cache import PatchSource
    from goodfit.tasks.segmentation.evaluation import Scores
    from goodfit.training.hooks import Hook
    from goodfit.training.recipe import Recipe

logger = logging.getLogger(__name__)


def train(
    dataset: str | Path,
    *,
    run: str | Path | None = None,
    fresh: bool = False,
    settings: Mapping[str, Any] | None = None,
    hooks: Sequence[Hook] = (),
    recipe: type[Recipe] | str | None = None,
    split: Split | None = None,
    plan: Plan | InstancePlan | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> TrainResult:
    """Train on a dataset: check, fingerprint, plan, preprocess, train, predict, evaluate, report.

    What is there and still valid is not done again; an interrupted run goes on from its last checkpoint.

    Args:
        dataset: folder in nnU-Net's raw layout, with ``images/`` and ``labels/``, or with COCO annotations.
        run: the run folder; default runs/DATASET/DATE-TIME, or the newest one with these settings.
        fresh: start again in a new folder.
        settings: ``{"section.field": value}``, see ``goodfit.settings``.
        hooks: objects whose methods the loop calls, see ``goodfit.Hook``.
        recipe: a subclass of ``goodfit.Recipe``, or its name module:Class: its attributes stand for options that are
            not given, its methods make network, loss, optimizer and augmentation.
        split: which cases train, validate and test, in place of a derived split.
        plan: in place of a derived plan.
        observer: told about the progress.
        **options: shortcuts such as ``time="10m"``, ``epochs=100``, ``batch_size=4``, ``configuration="2d"``.

    Raises:
        GoodfitError: whatever a user can mend; the message names the thing and the way out.
    """
    if is_instance_dataset(Path(dataset)):
        from goodfit.commands.instances.train import train_instances

        if isinstance(plan, Plan):
            raise PlanError(f"plan: is one of a segmentation, and {dataset} holds frames with instances.")
        given = with_extensions(settings, options, hooks, recipe)
        return train_instances(
            dataset,
            run=run,
            fresh=fresh,
            settings=given,
            hooks=hooks,
            recipe=recipe,
            split=split,
            plan=plan,
            observer=observer,
        )
    if plan is not None and not isinstance(plan, Plan):
        raise PlanError(f"plan: is one of instances, and {dataset} holds images with labels.")
    started = time.monotonic()
    observer = observer or Observer()
    wishes = with_extensions(settings, options, hooks, recipe)
    target = aim(dataset, run, fresh=fresh, settings=wishes, split=split, plan=plan)
    if target.fresh or not target.run.last.is_file():
        require_source(target.settings.training.initialise_from)
    with locked(target.run.path, "run"):
        target.run.stop.unlink(missing_ok=True)  # what was asked of an earlier sitting
        # Folds that train side by side share a cache, which the first of them fills.
        with locked(target.cache, "dataset's cache", wait=split is not None and plan is not None):
            prepared = prepare(target, observer, measure=True, started=started)
            record = prepared.run.read_record()
            if record.get("status") == "finished":
                observer.note(
                    f"{prepared.run.path}: this run is finished. --fresh starts another, `goodfit extend` goes on."
                )
                scores = read_scores(prepared.run) if prepared.split.test else None
                return TrainResult(prepared.run, True, scores, prepared.run.report)
            extensions = find_extensions(prepared.settings.training, hooks, recipe)
            store = fill_store(prepared, observer, [prepared.plan.configuration])[prepared.plan.configuration]
        clock = Clock(prepared.plan.budget.time, started, float(record.get("spent_seconds", 0.0)))
        try:
            cases: PatchSource | None = store
            if prepared.plan.chosen.previous_stage is not None:
                # Imported here: the first stage is trained by commands that call this one.
                from goodfit.commands.cascade import prepare_cascade

                left = None if clock.limit is None else clock.limit - clock.elapsed()
                cases = prepare_cascade(prepared, store, left, observer, recipe)
            if cases is None or not _fit(prepared, cases, clock, extensions, observer):
                prepared.run.update_record(status="interrupted")
                return TrainResult(prepared.run, False, None, None)
            prepared.run.update_record(status="trained")
            scores = predict_test_cases(prepared, observer, extensions.recipe)
            page = report(prepared.run.path, observer=observer)
            prepared.run.update_record(status="finished")
        finally:
            prepared.run.update_record(spent_seconds=clock.elapsed())
    return TrainResult(prepared.run, True, scores, page)


def read_scores(run: RunFolder) -> Scores:
    """Read scores.json of a finished run."""
    from goodfit.tasks.segmentation.evaluation import load_scores

    return load_scores(run.scores)


def _fit(prepared: Prepared, store: PatchSource, clock: Clock, extensions: Extensions, observer: Observer) -> bool:
    """Run the training loop; give False when it was interrupted."""
    plan, split, machine = prepared.plan, prepared.split, prepared.settings.machine
    device = choose_device(machine.device)
    for line in describe_budget(plan, len(split.train)):
        observer.note(line)
    observer.note(describe_loading(device, machine.workers))
    observer.note(describe_cases(plan, len(split.train)))
    workers = loader_workers(device, machine.workers)
    task = SegmentationTask(plan, store, split.train, split.validation, device, workers, extensions.recipe)
    wishes, dims = prepared.settings.prediction, plan.chosen.dims
    # Validation takes no mirrored copies and tiles half a patch apart.
    effort = (2**dims if wishes.tta else 1) * max(1.0, (0.5 / wishes.step_size) ** dims)
    return fit_task(task, prepared, clock, extensions, observer, effort=effort)
