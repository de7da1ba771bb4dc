"""From a trained detector to detections: of the test frames, of images, folders and videos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from goodfit.commands.instances.detector import open_detector
from goodfit.data.video.endings import is_video
from goodfit.data.wording import counted
from goodfit.errors import DatasetError, RunError, SettingsError
from goodfit.tasks.instances.evaluation import evaluate_instances, write_reference, write_results
from goodfit.tasks.instances.inference import detect_resized
from goodfit.tasks.instances.scores import save_instance_scores
from goodfit.training.device import choose_device

if TYPE_CHECKING:
    from pathlib import Path

    from goodfit.commands.instances.detector import Detector
    from goodfit.commands.instances.prepare import PreparedInstances
    from goodfit.observer import Observer
    from goodfit.preprocessing.frames import FrameStore
    from goodfit.tasks.instances.detection import Detection
    from goodfit.tasks.instances.scores import InstanceScores
    from goodfit.tasks.instances.video_prediction.unusual import FrameLog
    from goodfit.training.recipe import Recipe
    from goodfit.training.run_folder import RunFolder


OPTIMISTIC = "Optimistic:"
"""How the note begins that says why scores are too good."""
UNUSUAL = "unusual.json"
"""How the file is called, or ends, that lists what is unusual."""
BYTETRACK = "bytetrack"
"""How a video is tracked where nothing else is asked for."""


def predict_test_frames(
    prepared: PreparedInstances, store: FrameStore, observer: Observer, recipe: Recipe | None = None
) -> InstanceScores | None:
    """Find the instances of the test frames and score them; None where all frames were trained on."""
    split, run = prepared.split, prepared.run
    if not split.test:
        observer.note("no test frames: every frame was trained on, so there is nothing to score")
        return None
    device = choose_device(prepared.settings.machine.device)
    detector = open_detector(run, prepared.settings.prediction.checkpoint, device, recipe)
    plan = detector.plan
    frames = [prepared.dataset.frame(name) for name in split.test]
    observer.stage("predict the test frames")
    found: list[Detection] = []
    for first in range(0, len(frames), plan.batch_size):
        part = frames[first : first + plan.batch_size]
        images = [torch.from_numpy(store.get(frame.name).copy()).permute(2, 0, 1) for frame in part]
        shapes = [(frame.height, frame.width) for frame in part]
        found += detect_resized(detector.network, images, shapes, plan, device, detector.novelty)
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
        notes=[f"{OPTIMISTIC} {split.optimistic_reason}"] if split.optimistic else [],
        score=detector.thresholds.score,
        on_progress=observer.advance,
    )
    if detector.novelty is not None:
        scores.unusual_from = detector.novelty.threshold
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
    score: float | None = None,
    tracker: str = BYTETRACK,
    flag_unusual: bool = False,
    recipe: type[Recipe] | None = None,
    observer: Observer,
) -> list[Path]:
    """Find and, in a video, track the instances of an image, a folder of images or a video.

    Args:
        run: of a training on instances.
        inputs: what to look at.
        output: for a video, the overlay (.mp4), beside which the tables and a page come; else a folder.
        checkpoint: "best", "last" or "stable".
        stride: look at every so manyth frame of a video.
        device: cpu, cuda, cuda:1; default the first GPU.
        score: from which an instance of an image is drawn, and begins a track in a video; default the run's own,
            chosen on its validation frames.
        tracker: "bytetrack" or "ocsort".
        flag_unusual: also write the stretches of a video, or the images of a folder, that are unlike the training
            frames, to OUT.unusual.json, or OUT/unusual.json.
        recipe: the class that made the run's network, where it cannot be imported by name.
        observer: told about the progress.

    Returns:
        The files written, the overlay or predictions.json first.

    Raises:
        RunError: the run has no such checkpoint, or does not know what is unusual.
        VideoError, ImageFileError: the input cannot be read.
        SettingsError: a value is out of range.
    """
    if score is not None and not 0 <= score <= 1:
        raise SettingsError(f"score {score}: give a number from 0 to 1.")
    if not inputs.exists():
        raise DatasetError(f"{inputs}: there is no such file or folder.")
    if is_video(inputs) and not is_video(output):
        raise SettingsError(f"{output}: {inputs.name} is a video, so give a video to write, like OUT.mp4.")
    if not is_video(inputs) and (stride != 1 or tracker != BYTETRACK):
        raise SettingsError(f"--stride and --tracker: only for a video, which {inputs} is not. Leave them out.")
    detector = open_detector(run, checkpoint, choose_device(device), None if recipe is None else recipe())
    if detector.novelty is None:
        if flag_unusual:
            raise RunError(
                f"{run.path}: nothing is known of what is unusual: {detector.no_novelty}. Use the checkpoint that the "
                "run was scored with, or train anew."
            )
        observer.note(f"distances from the training frames are not measured: {detector.no_novelty}")
    observer.stage("predict")
    least = detector.thresholds.score if score is None else score
    if is_video(inputs):
        return _predict_video(detector, inputs, output, stride, least, tracker, flag_unusual, observer)
    return _predict_images(detector, inputs, output, least, flag_unusual, observer)


def _predict_video(
    detector: Detector,
    inputs: Path,
    output: Path,
    stride: int,
    score: float,
    tracker: str,
    flag_unusual: bool,
    observer: Observer,
) -> list[Path]:
    from goodfit.reporting.instances.prediction import write_video_page
    from goodfit.tasks.instances.tracking.tracker import TrackingSettings, method_named
    from goodfit.tasks.instances.video_prediction.unusual import write_unusual
    from goodfit.tasks.instances.video_prediction.video import predict_video

    default = TrackingSettings()
    tracking = TrackingSettings(method_named(tracker), start_score=score, keep_score=min(score, default.keep_score))
    seen = predict_video(
        detector.look,
        inputs,
        output,
        categories=detector.plan.data.categories,
        prepare=detector.prepare,
        stride=stride,
        batch=detector.plan.batch_size,
        tracking=tracking,
        unusual_from=_threshold(detector),
        on_progress=observer.advance,
    )
    unusual = _say_unusual(seen.log)
    observer.note(f"{seen.frames} frames, {seen.looked_at} looked at, {counted(len(seen.tracks), 'track')}{unusual}")
    page = write_video_page(output.with_suffix(".html"), inputs.name, seen, detector.plan.data.categories)
    written = [seen.video, *seen.tables.values(), page]
    if flag_unusual:
        written.append(output.with_suffix(f".{UNUSUAL}"))
        write_unusual(written[-1], inputs.name, seen.log)
    return written


def _predict_images(
    detector: Detector, inputs: Path, output: Path, score: float, flag_unusual: bool, observer: Observer
) -> list[Path]:
    from goodfit.reporting.instances.prediction import write_images_page
    from goodfit.tasks.instances.video_prediction.images import predict_images
    from goodfit.tasks.instances.video_prediction.unusual import write_unusual

    done = predict_images(
        detector.look,
        inputs,
        output,
        categories=detector.plan.data.categories,
        prepare=detector.prepare,
        batch=detector.plan.batch_size,
        score=score,
        unusual_from=_threshold(detector),
        on_progress=observer.advance,
    )
    unusual = _say_unusual(done.log)
    drawn, listed = int(done.log.instances.sum()), counted(done.instances, "instance")
    observer.note(
        f"{counted(done.images, 'image')}, {drawn} of {listed} drawn (score at least {score:g}; {done.predictions.name} "
        f"lists all){unusual}"
    )
    page = write_images_page(output / "report.html", inputs.name, done)
    written = [done.predictions, done.frames, page]
    if flag_unusual:
        written.append(output / UNUSUAL)
        write_unusual(written[-1], inputs.name, done.log, done.names)
    return written


def _threshold(detector: Detector) -> float | None:
    return None if detector.novelty is None else detector.novelty.threshold


def _say_unusual(log: FrameLog) -> str:
    if log.unusual_from is None:
        return ""
    return f", {int(log.unusual.sum())} unusual (further than {log.unusual_from:.2f} from the training frames)"
