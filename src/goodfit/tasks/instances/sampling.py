"""Batches of frames, in an order that is a pure function of (seed, step, position)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from goodfit.tasks.instances.augmentation import apply, draw
from goodfit.tasks.instances.targets import FrameTarget, frame_target
from goodfit.tasks.streams import Purpose, stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from torch import Tensor

    from goodfit.data.instances.model import Frame
    from goodfit.planning.instances.plan import InstanceAugmentation

KEEP_BYTES = 128 * 2**20
"""Memory of each process for decoded masks."""
_GOLDEN = (5**0.5 - 1) / 2
_TIE = 1e-9  # of a draw; keeps rounding from moving a frame's share across a whole number


class FrameSource(Protocol):
    """Where decoded frames come from."""

    def get(self, name: str) -> npt.NDArray[np.uint8]:
        """Give a frame (H, W, 3), red, green, blue, at the size the network sees."""
        ...


@dataclass(frozen=True)
class InstanceBatch:
    """What the loader hands to a training step.

    Attributes:
        images: one (3, H, W) uint8 each; sizes may differ.
        targets: the objects of each.
        step: the step these are for.
        cases: name of each frame.
    """

    images: tuple[Tensor, ...]
    targets: tuple[FrameTarget, ...]
    step: int
    cases: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.cases)

    def part(self, start: int, stop: int) -> InstanceBatch:
        """Frames ``start`` to ``stop - 1``."""
        part = slice(start, stop)
        return InstanceBatch(self.images[part], self.targets[part], self.step, self.cases[part])

    def pin_memory(self) -> InstanceBatch:
        """A copy in page-locked memory; torch's DataLoader calls this."""
        return replace(self, images=tuple(image.pin_memory() for image in self.images))

    def tensors(self, device: torch.device) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """Give images in [0, 1] and targets as the detector takes them, on ``device``."""
        images = [image.to(device, non_blocking=True).to(torch.float32).div_(255) for image in self.images]
        targets = [
            target.tensors(image.shape[-2], image.shape[-1], device)
            for target, image in zip(self.targets, images, strict=True)
        ]
        return images, targets


class WeightedOrder:
    """An endless order of frames in which each comes as often as its weight says, evenly spread.

    It runs in passes. In a pass no frame comes twice: the frame of the largest weight comes once, others in a part of
    the passes. Which ones is found by systematic sampling: the weights lie end to end in the given order, and evenly
    spaced points pick the frames they fall on, so that of a video frames from everywhere come rather than neighbours.
    From pass to pass the points move by the golden ratio of their distance, which is the evenest way to hit
    every frame in its turn. A pass is then shuffled.

    Args:
        weights: one per frame, not negative, at least one positive; any scale.
        seed: seed of the run.
    """

    def __init__(self, weights: Sequence[float] | npt.NDArray[np.float64], seed: int) -> None:
        values = np.asarray(weights, dtype=np.float64)
        if not len(values) or not np.isfinite(values).all() or values.min() < 0 or values.max() <= 0:
            raise ValueError("weights of frames must be finite and not negative, and at least one positive")
        self.length = max(1, int(np.floor(values.sum() / values.max() + _TIE)))
        self._ends = np.cumsum(values) / values.sum() * self.length
        self._ends[-1] = self.length
        self._seed = seed
        self._pass: tuple[int, npt.NDArray[np.intp]] = (-1, np.zeros(0, dtype=np.intp))

    def frame(self, index: int) -> int:
        """Give the frame of the sample with this number, counted from the start of the training."""
        number, offset = divmod(index, self.length)
        if self._pass[0] != number:
            self._pass = (number, self._make(number))
        return int(self._pass[1][offset])

    def _make(self, number: int) -> npt.NDArray[np.intp]:
        start = stream(Purpose.CASE_ORDER, self._seed, 0).random()
        points = np.arange(self.length) + (start + number * _GOLDEN) % 1
        # "right": a point on the seam of two frames belongs to the second, and frames of no weight have no length.
        chosen = np.searchsorted(self._ends, points, side="right").clip(max=len(self._ends) - 1)
        return stream(Purpose.CASE_ORDER, self._seed, number + 1).permutation(chosen)


class InstanceFrames(Dataset[InstanceBatch]):
    """The batches of a training: ``dataset[step]``, a pure function of the arguments and the step.

    Args:
        store: decoded frames at the size the network sees.
        frames: frames to draw from, sorted by video and time.
        masks: whether the network has a mask head.
        seed: seed of the run, not negative.
        batch_size: frames of a batch.
        weights: how often each frame is drawn, relative to the others; None for all alike.
        augmentation: how frames are changed; None leaves them as they are.
        fill: red, green and blue (0..255) of a margin that the augmentation makes.
        keep_bytes: memory for the masks that were decoded last.
    """

    def __init__(
        self,
        store: FrameSource,
        frames: Sequence[Frame],
        *,
        masks: bool,
        seed: int,
        batch_size: int,
        weights: Sequence[float] | npt.NDArray[np.float64] | None = None,
        augmentation: InstanceAugmentation | None = None,
        fill: Sequence[int] = (0, 0, 0),
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        if not frames:
            raise ValueError("there is no frame to draw from")
        if weights is not None and len(weights) != len(frames):
            raise ValueError(f"{len(weights)} weights for {len(frames)} frames")
        self._store = store
        self._frames = tuple(frames)
        self._masks = masks
        self._seed = seed
        self._order = WeightedOrder(np.ones(len(frames)) if weights is None else weights, seed)
        self._augmentation = augmentation
        self._fill = tuple(fill)
        self._kept: OrderedDict[str, FrameTarget] = OrderedDict()
        self._keep_bytes = keep_bytes
        self._bytes = 0
        self.batch_size = batch_size

    def __len__(self) -> int:
        """Number of frames to draw from."""
        return len(self._frames)

    def _drawn(self, step: int) -> list[Frame]:
        first = step * self.batch_size
        return [self._frames[self._order.frame(first + position)] for position in range(self.batch_size)]

    def cases_of(self, step: int) -> tuple[str, ...]:
        """Names of the frames of a step, without reading any."""
        return tuple(frame.name for frame in self._drawn(step))

    def __getitem__(self, step: int) -> InstanceBatch:
        """Make the batch of ``step``."""
        frames = self._drawn(step)
        samples = [self._sample(frame) for frame in frames]
        if self._augmentation is not None:
            changes = draw(self._augmentation, self._seed, step, len(frames))
            samples = [apply(*sample, change, self._fill) for sample, change in zip(samples, changes, strict=True)]
        return _batch(samples, step, frames)

    def listed(self, places: Sequence[int], step: int = 0) -> InstanceBatch:
        """Make a batch of the frames with these places in the list, unchanged."""
        frames = [self._frames[place] for place in places]
        return _batch([self._sample(frame) for frame in frames], step, frames)

    def _sample(self, frame: Frame) -> tuple[Tensor, FrameTarget]:
        pixels = self._store.get(frame.name)
        image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).contiguous()
        return image, self._target(frame, pixels.shape[0], pixels.shape[1])

    def _target(self, frame: Frame, height: int, width: int) -> FrameTarget:
        """Decoding masks takes longer than all else here, so the last ones are kept."""
        if frame.name in self._kept:
            self._kept.move_to_end(frame.name)
            return self._kept[frame.name]
        target = frame_target(frame, height, width, masks=self._masks)
        self._kept[frame.name] = target
        self._bytes += target.nbytes
        while self._bytes > self._keep_bytes and self._kept:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= dropped.nbytes
        return target

    def __getstate__(self) -> dict[str, Any]:
        """What a worker gets: not the decoded masks, of which each worker keeps its own."""
        return {**self.__dict__, "_kept": OrderedDict(), "_bytes": 0}


def _batch(samples: Sequence[tuple[Tensor, FrameTarget]], step: int, frames: Sequence[Frame]) -> InstanceBatch:
    return InstanceBatch(
        images=tuple(image for image, _ in samples),
        targets=tuple(target for _, target in samples),
        step=step,
        cases=tuple(frame.name for frame in frames),
    )
