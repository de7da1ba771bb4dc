"""The stored frames and the task of a run on instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.commands.fitting import loader_workers
from goodfit.commands.places import known_digests
from goodfit.planning.instances.sampling import frame_weights
from goodfit.preprocessing.frames import FrameStore
from goodfit.preprocessing.frames_fill import fill_frames
from goodfit.tasks.instances.sampling import InstanceFrames
from goodfit.tasks.instances.task import InstanceTask
from goodfit.training.device import choose_device

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from goodfit.commands.instances.prepare import PreparedInstances
    from goodfit.observer import Observer
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.training.recipe import Recipe


def store_folder(cache: Path, plan: InstancePlan) -> Path:
    """Folder of the decoded frames: another for every input size."""
    return cache / "frames" / f"{plan.model.image_min_size}x{plan.model.image_max_size}"


def fill_store(prepared: PreparedInstances, observer: Observer) -> FrameStore:
    """Decode every frame once, at the size that the network sees; the caller holds the cache's lock."""
    observer.stage("decode frames")
    model = prepared.plan.model
    folder = store_folder(prepared.cache, prepared.plan)
    store = fill_frames(
        prepared.dataset.frames,
        folder,
        model.image_min_size,
        model.image_max_size,
        digests=known_digests(prepared.cache),
        workers=prepared.settings.machine.workers or None,
        on_progress=observer.advance,
    )
    prepared.run.update_record(frames=str(folder.resolve()))
    return store


def make_task(
    prepared: PreparedInstances, store: FrameStore, recipe: Recipe, *, pretrained: bool, workers: int | None = None
) -> InstanceTask:
    """Build the task of a run.

    Args:
        prepared: the run.
        store: of its frames.
        recipe: makes network, loss and augmentation where they are not to be the plan's.
        pretrained: False where other weights follow at once.
        workers: loader processes; None: as the settings say.
    """
    plan, split, dataset, machine = prepared.plan, prepared.split, prepared.dataset, prepared.settings.machine
    device = choose_device(machine.device)
    if workers is None:
        workers = loader_workers(device, machine.workers)
    return InstanceTask(
        plan,
        store,
        [dataset.frame(name) for name in split.train],
        [dataset.frame(name) for name in split.validation],
        device,
        workers,
        weights=frame_weights(prepared.fingerprint, plan.sampling, split.train),
        pretrained=pretrained,
        recipe=recipe,
    )


def frames_of_first_steps(prepared: PreparedInstances, steps: int) -> Sequence[str]:
    """Names of the frames that the first steps of the training draw."""
    plan, dataset, train = prepared.plan, prepared.dataset, prepared.split.train
    frames = InstanceFrames(
        FrameStore(store_folder(prepared.cache, plan)),
        [dataset.frame(name) for name in train],
        masks=plan.model.masks,
        seed=plan.training.seed,
        batch_size=plan.batch_size,
        weights=frame_weights(prepared.fingerprint, plan.sampling, train),
    )
    return sorted({name for step in range(steps) for name in frames.cases_of(step)})
