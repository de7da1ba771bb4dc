"""From a trained detector to detections: of the test frames, of images, folders and videos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from goodfit.commands.trained import trained_instance_plan
from goodfit.data.video.endings import is_video
from goodfit.errors import DatasetError, RunError, SettingsError
from goodfit.planning.instances.plan import load_instance_plan
from goodfit.tasks.instances.evaluation import evaluate_instances, write_reference, write_results
from goodfit.tasks.instances.inference import detect, detect_resized
from goodfit.tasks.instances.network import build_detector
from goodfit.tasks.instances.scores import save_instance_scores
from goodfit.training.checkpoint import load_checkpoint
from goodfit.training.device import choose_device
from goodfit.training.weights import put_weights

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    from torch import nn

    from goodfit.commands.instances.prepare import PreparedInstances
    from goodfit.observer import Observer
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.preprocessing.frames import FrameStore
    from goodfit.tasks.instances.detection import Detection
    from goodfit.tasks.instances.scores import InstanceScores
    from goodfit.training.run_folder import RunFolder


def load_detector(run: RunFolder, checkpoint: str, device: torch.device) -> tuple[nn.Module, InstancePlan]:
    """Build a run's detector with the averaged weights of a checkpoint, in evaluation mode.

    Raises:
        RunError: the checkpoint is missing, damaged or of another network.
        SettingsError: there is no checkpoint of this name.
    """
    plan = trained_instance_plan(run) or load_instance_plan(run.plan)
    paths = {"best": run.best, "last": run.last, "stable": run.stable}
    if checkpoint not in paths:
        raise SettingsError(f"checkpoint: there is no {checkpoint!r}; write {', '.join(paths)}.")
    path = paths[checkpoint]
    loaded = load_checkpoint(path)
    weights = loaded.groups.get("average") or loaded.groups.get("network")
    if weights is None:
        raise RunError(f"{path}: this checkpoint holds no weights.")
    network = build_detector(plan)
    put_weights(network, weights, str(path))
    return network.to(device).to(memory_format=torch.channels_last).eval(), plan


def predict_test_frames(prepared: PreparedInstances, store: FrameStore, observer: Observer) -> InstanceScores | None:
    """Find the instances of the test frames and score them; None where all frames were trained on."""
    split, run = prepared.split, prepared.run
    if not split.test:
        observer.note("no test frames: every frame was trained on, so there is nothing to score")
        return None
    device = choose_device(prepared.settings.machine.device)
    network, plan = load_detector(run, prepared.settings.prediction.checkpoint, device)
    frames = [prepared.dataset.frame(name) for name in split.test]
    observer.stage("predict the test frames")
    found: list[Detection] = []
    for first in range(0, len(frames), plan.batch_size):
        part = frames[first : first + plan.batch_size]
        images = [torch.from_numpy(store.get(frame.name).copy()).permute(2, 0, 1) for frame in part]
        shapes = [(frame.height, frame.width) for frame in part]
        found += detect_resized(network, images, shapes, plan, device)
        observer.advance(min(first + plan.batch_size, len(frames)), len(frames))
    write_results(run.predictions / "test.json", frames, found, prepared.dataset)
    write_reference(run.predictions / "test_reference.json", frames, prepared.dataset)
    observer.stage("evaluate")
    scores = evaluate_instances(
        frames,
        found,
        plan.data.categories,
        masks=plan.model.masks,
        set_name="test",
        optimistic=split.optimistic,
        notes=[f"Optimistic: {split.optimistic_reason}"] if split.optimistic else [],
        on_progress=observer.advance,
    )
    save_instance_scores(scores, run.scores)
    return scores


def predict_instances(
    run: RunFolder,
    inputs: Path,
    output: Path,
    *,
    checkpoint: str,
    stride: int,
    device: str | None,
    observer: Observer,
) -> list[Path]:
    """Find and, in a video, track the instances of an image, a folder of images or a video.

    Args:
        run: of a training on instances.
        inputs: what to look at.
        output: for a video, the overlay (.mp4), beside which the tables of the tracks come; else a folder.
        checkpoint: "best", "last" or "stable".
        stride: look at every so manyth frame of a video.
        device: cpu, cuda, cuda:1; default the first GPU.
        observer: told about the progress.

    Returns:
        The files written, the overlay or predictions.json first.

    Raises:
        RunError: the run has no such checkpoint.
        VideoError, ImageFileError: the input cannot be read.
    """
    chosen = choose_device(device)
    network, plan = load_detector(run, checkpoint, chosen)

    def look(images: list[npt.NDArray[np.uint8]]) -> list[Detection]:
        return detect(network, images, plan, chosen)

    observer.stage("predict")
    if not inputs.exists():
        raise DatasetError(f"{inputs}: there is no such file or folder.")
    if is_video(inputs):
        from goodfit.tasks.instances.video_prediction.video import predict_video

        if not is_video(output):
            raise SettingsError(f"{output}: {inputs.name} is a video, so give a video to write, like OUT.mp4.")
        seen = predict_video(
            look,
            inputs,
            output,
            categories=plan.data.categories,
            stride=stride,
            batch=plan.batch_size,
            on_progress=observer.advance,
        )
        observer.note(f"{seen.frames} frames, {seen.looked_at} looked at, {seen.tracks} tracks")
        return [seen.video, *seen.tables.values()]
    from goodfit.tasks.instances.video_prediction.images import predict_images

    done = predict_images(
        look,
        inputs,
        output,
        categories=plan.data.categories,
        batch=plan.batch_size,
        on_progress=observer.advance,
    )
    observer.note(f"{done.images} images, {done.instances} instances")
    return [done.predictions]
