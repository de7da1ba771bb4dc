"""A run's detector as it is used: weights, thresholds and what it knows of ordinary frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from goodfit.commands.models import recorded_recipe
from goodfit.commands.trained import trained_instance_plan
from goodfit.planning.instances.plan import load_instance_plan
from goodfit.planning.instances.regions import choose_nms_threshold
from goodfit.planning.instances.wishes import ASKED
from goodfit.tasks.instances.finishing import finish
from goodfit.tasks.instances.inference import detect_resized, shrink
from goodfit.tasks.instances.novelty import NoveltyModel, digest
from goodfit.tasks.instances.task import network_of, spread_over_groups
from goodfit.tasks.instances.thresholds import (
    THRESHOLDS,
    Thresholds,
    load_thresholds,
    planned_thresholds,
    save_thresholds,
)
from goodfit.training.checkpoint import read_weights
from goodfit.training.device import choose_device, inference_precision
from goodfit.training.weights import put_weights, weights_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    from torch import Tensor, nn

    from goodfit.commands.instances.prepare import PreparedInstances
    from goodfit.observer import Observer
    from goodfit.planning.instances.fingerprint import InstanceFingerprint
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.preprocessing.frames import FrameStore
    from goodfit.tasks.instances.detection import Detection
    from goodfit.training.recipe import Recipe
    from goodfit.training.run_folder import RunFolder

    Image = npt.NDArray[np.uint8]
    Prepared = tuple[Tensor, tuple[int, int]]

NOVELTY = "novelty.safetensors"
"""Within the run's folder."""


@dataclass(frozen=True)
class Detector:
    """A trained detector with all that its use depends on.

    Attributes:
        network: in evaluation mode; drops overlapping detections as ``thresholds`` says.
        plan: that it was trained with, with the precision to predict in.
        device: where it runs.
        thresholds: chosen on validation frames, or the plan's.
        novelty: measures how far a frame is from the training frames; None where that is not known.
        no_novelty: why it is not known.
    """

    network: nn.Module
    plan: InstancePlan
    device: torch.device
    thresholds: Thresholds
    novelty: NoveltyModel | None
    no_novelty: str = ""

    def prepare(self, image: Image) -> Prepared:
        """Bring an image (H, W, 3) uint8 RGB to the size that the network sees."""
        return shrink(image, self.plan), (image.shape[0], image.shape[1])

    def look(self, images: Sequence[Prepared]) -> list[Detection]:
        """Find the instances in images that ``prepare`` gave.

        Returns:
            What was found in each, in its pixels before, masks to be pasted when they are asked for.
        """
        pixels, shapes = [one for one, _ in images], [shape for _, shape in images]
        return detect_resized(self.network, pixels, shapes, self.plan, self.device, self.novelty, paste_later=True)


def load_detector(
    run: RunFolder, checkpoint: str, device: torch.device, recipe: Recipe | None = None
) -> tuple[nn.Module, InstancePlan]:
    """Build a run's detector with the averaged weights of a checkpoint, in evaluation mode, as the plan has it.

    Args:
        run: the run.
        checkpoint: "best", "last" or "stable".
        device: where the network goes.
        recipe: of the training; by default the recorded one is imported, if it makes the network.

    Raises:
        RunError: the checkpoint is missing, damaged or of another network.
        SettingsError: there is no checkpoint of this name.
    """
    plan = trained_instance_plan(run) or load_instance_plan(run.plan)
    path = run.checkpoint(checkpoint)
    weights = read_weights(path)
    network = network_of(plan, recipe or recorded_recipe(run), pretrained=False)
    put_weights(network, weights, str(path))
    return network.to(device).to(memory_format=torch.channels_last).eval(), plan


def open_detector(run: RunFolder, checkpoint: str, device: torch.device, recipe: Recipe | None = None) -> Detector:
    """Load a run's detector as it is to be used.

    Args:
        run: the run.
        checkpoint: "best", "last" or "stable".
        device: where the network goes.
        recipe: of the training; by default the recorded one.

    Raises:
        RunError: the checkpoint, or a file that belongs to it, is missing, damaged or of another network.
        SettingsError: there is no checkpoint of this name.
    """
    network, plan = load_detector(run, checkpoint, device, recipe)
    path = run.path / THRESHOLDS
    thresholds = (
        load_thresholds(path)
        if path.is_file()
        else planned_thresholds(plan.model.nms_threshold, "no others were chosen at the end of the training")
    )
    _drop_overlaps_from(network, thresholds.nms_threshold)
    novelty, why = _novelty_of(run.path / NOVELTY, network, checkpoint)
    precision = inference_precision(plan.training.precision, device)
    plan = plan.model_copy(update={"training": plan.training.model_copy(update={"precision": precision})})
    return Detector(network, plan, device, thresholds, novelty, why)


def _novelty_of(path: Path, network: nn.Module, checkpoint: str) -> tuple[NoveltyModel | None, str]:
    """Read what is known of ordinary frames, if it is of these weights; otherwise say why not."""
    if not path.is_file():
        return None, f"{path} is missing: the training has not ended with this version, or had too few frames"
    novelty = NoveltyModel.load(path)
    if novelty.weights != digest(weights_of(network)):
        return None, f"{path} was made with other weights than those of the checkpoint {checkpoint}"
    return novelty, ""


def _drop_overlaps_from(network: nn.Module, overlap: float) -> None:
    heads: Any = network.get_submodule("roi_heads")
    heads.nms_thresh = overlap


def _asked_for(plan: InstancePlan, fingerprint: InstanceFingerprint) -> bool:
    """Whether the plan's nms_threshold is the user's, by an option or by an edit of plan.json."""
    derived = choose_nms_threshold(fingerprint.overlap_99).value
    return plan.model.reasons.get("nms_threshold") == ASKED or plan.model.nms_threshold != derived


def finish_training(
    prepared: PreparedInstances, store: FrameStore, observer: Observer, recipe: Recipe | None = None
) -> None:
    """Choose thresholds on validation frames and learn what training frames look like, once the training is over.

    Writes thresholds.json and novelty.safetensors into the run's folder; plan.json stays as it is.
    """
    run, split, dataset = prepared.run, prepared.split, prepared.dataset
    device = choose_device(prepared.settings.machine.device)
    network, plan = load_detector(run, prepared.settings.prediction.checkpoint, device, recipe)
    observer.stage("choose thresholds")
    seed = plan.training.seed
    done = finish(
        network,
        plan,
        store,
        spread_over_groups([dataset.frame(name) for name in split.train], seed),
        spread_over_groups([dataset.frame(name) for name in split.validation], seed),
        device,
        fixed=_asked_for(plan, prepared.fingerprint),
        on_progress=observer.advance,
    )
    save_thresholds(done.thresholds, run.path / THRESHOLDS)
    for name, reason in done.thresholds.reasons.items():
        observer.note(f"{name} {getattr(done.thresholds, name):g}: {reason}")
    if done.novelty is None:
        (run.path / NOVELTY).unlink(missing_ok=True)
    else:
        done.novelty.save(run.path / NOVELTY)
