"""What a trained detector is still to learn from its frames: thresholds from validation, the ordinary from training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from goodfit.tasks.instances.candidates import detect_at
from goodfit.tasks.instances.inference import as_batch
from goodfit.tasks.instances.novelty import LEAST_FRAMES, NoveltyModel, digest, watching
from goodfit.tasks.instances.thresholds import choose_thresholds, overlaps_to_try, planned_thresholds
from goodfit.training.weights import weights_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt
    from torch import Tensor, nn

    from goodfit.data.instances.model import Frame
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.tasks.instances.detection import Detection
    from goodfit.tasks.instances.sampling import FrameSource
    from goodfit.tasks.instances.thresholds import Thresholds

MOST_JUDGING, MOST_ORDINARY = 200, 400
"""Validation and training frames that are looked at: neighbours repeat each other, and a training waits for its end."""
BACKBONE_SHARE = 0.6
"""Of the whole network's time, roughly: training frames go through the backbone alone."""


def effort(training: int, validation: int) -> float:
    """Give the work of ``finish`` as a number of frames that go through the whole network."""
    return min(validation, MOST_JUDGING) + BACKBONE_SHARE * min(training, MOST_ORDINARY)


@dataclass(frozen=True)
class Finished:
    """What was learnt; ``novelty`` is None where there were too few training frames."""

    thresholds: Thresholds
    novelty: NoveltyModel | None


def finish(
    network: nn.Module,
    plan: InstancePlan,
    store: FrameSource,
    training: Sequence[Frame],
    validation: Sequence[Frame],
    device: torch.device,
    *,
    fixed: bool,
    on_progress: Callable[[int, int], None] | None = None,
) -> Finished:
    """Choose the thresholds and learn what ordinary frames look like.

    Args:
        network: trained, in evaluation mode, on ``device``.
        plan: that it was trained with.
        store: decoded frames at the network's size.
        training: frames, those to be preferred first.
        validation: likewise.
        device: of the network.
        fixed: the user asked for ``model.nms_threshold``: it is kept.
        on_progress: told (frames done, frames).
    """
    ordinary, judging = _in_order(training[:MOST_ORDINARY]), list(validation[:MOST_JUDGING])
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if on_progress is not None:
            on_progress(done, len(ordinary) + len(judging))

    planned = plan.model.nms_threshold
    overlaps = overlaps_to_try(planned, fixed=fixed)
    found: dict[float, list[Detection]] = {overlap: [] for overlap in overlaps}
    held_out: list[npt.NDArray[np.float32]] = []
    for frames, images in _batches(judging, store, plan.batch_size):
        shapes = [(frame.height, frame.width) for frame in frames]
        with watching(network, _sizes(images)) as features:
            for one in detect_at(network, images, shapes, plan, device, overlaps):
                for overlap, detection in one.items():
                    found[overlap].append(detection)
        held_out += features
        advance(len(frames))
    thresholds = (
        choose_thresholds(judging, found, plan.data.categories, masks=plan.model.masks, planned=planned)
        if judging
        else planned_thresholds(planned, "there are no validation frames to choose by")
    )
    if len(ordinary) < LEAST_FRAMES:
        return Finished(thresholds, None)
    known = []
    for frames, images in _batches(ordinary, store, plan.batch_size):
        known.append(_features(network, images, plan, device))
        advance(len(frames))
    learnt = NoveltyModel.fit(
        np.concatenate(known),
        [frame.group for frame in ordinary],
        np.concatenate(held_out) if held_out else None,
        [frame.group for frame in judging],
        weights=digest(weights_of(network)),
    )
    return Finished(thresholds, learnt)


def _in_order(frames: Sequence[Frame]) -> list[Frame]:
    return sorted(frames, key=lambda frame: (frame.group, frame.number, frame.name))


def _batches(frames: Sequence[Frame], store: FrameSource, size: int) -> Iterator[tuple[Sequence[Frame], list[Tensor]]]:
    for first in range(0, len(frames), size):
        part = frames[first : first + size]
        yield part, [torch.from_numpy(store.get(frame.name).copy()).permute(2, 0, 1) for frame in part]


def _sizes(images: Sequence[Tensor]) -> list[tuple[int, int]]:
    return [(image.shape[-2], image.shape[-1]) for image in images]


@torch.no_grad()
def _features(
    network: nn.Module, images: Sequence[Tensor], plan: InstancePlan, device: torch.device
) -> npt.NDArray[np.float32]:
    """Pooled features of images, by the backbone alone."""
    transform, backbone = network.get_submodule("transform"), network.get_submodule("backbone")
    with (
        watching(network, _sizes(images)) as features,
        torch.autocast(device.type, torch.bfloat16, enabled=plan.training.precision == "bfloat16"),
    ):
        backbone(transform(as_batch(images, device), None)[0].tensors)
    return np.concatenate(features)
