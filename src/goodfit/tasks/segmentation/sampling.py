"""Batches of patches from a preprocessed store, in an order that is a pure function of (seed, step, position)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from goodfit.preprocessing.locations import ANNOTATED
from goodfit.tasks.segmentation.augmentation.draw import Parameters, draw
from goodfit.tasks.segmentation.augmentation.spatial import OUTSIDE, centre_window
from goodfit.tasks.segmentation.case_cache import CaseCache
from goodfit.tasks.segmentation.positions import (
    choose_start,
    copy_crop,
    is_foreground_position,
)
from goodfit.tasks.streams import Purpose, stream
from goodfit.training.loading.pool import LoaderPool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt
    from torch import Tensor

    from goodfit.planning.plan import Configuration
    from goodfit.tasks.segmentation.augmentation.settings import AugmentationSettings
    from goodfit.tasks.segmentation.case_cache import PatchSource, StoredPatches

KEEP_BYTES = 512 * 2**20
"""Least memory for whole decompressed cases, divided among the workers."""
KEEP_SHARE = 1 / 16
"""Of the memory that a training may use, where that is more."""


def room_for_cases(memory: float) -> int:
    """Bytes that decompressed cases may take, of the bytes that a training may use."""
    return max(KEEP_BYTES, round(KEEP_SHARE * memory))


@dataclass(frozen=True)
class Batch:
    """What the loader hands to a training step.

    Attributes:
        images: (B, C, *initial patch) float32.
        labels: (B, 1, *initial patch) int16; -1 outside the image or its nonzero mask. Of a cascade a second channel
            holds what the previous stage predicted.
        step: the step these are for.
        cases: name of each sample's case.
        parameters: the augmentation drawn for these samples; None when the patches are final. Samples that
            this does not rotate or scale have their margin left empty, so apply these and no others.
    """

    images: Tensor
    labels: Tensor
    step: int
    cases: tuple[str, ...]
    parameters: Parameters | None

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.images)

    def part(self, start: int, stop: int) -> Batch:
        """Samples ``start`` to ``stop - 1``; augmented, they are the same to the last bit as in the whole batch."""
        parameters = self.parameters
        if parameters is not None:
            parameters = replace(parameters, samples=parameters.samples[start:stop])
        return replace(
            self,
            images=self.images[start:stop],
            labels=self.labels[start:stop],
            cases=self.cases[start:stop],
            parameters=parameters,
        )

    def pin_memory(self) -> Batch:
        """A copy in page-locked memory."""
        return replace(self, images=self.images.pin_memory(), labels=self.labels.pin_memory())

    def to(self, device: torch.device) -> Batch:
        """The batch on ``device``; from pinned memory the copy overlaps with computing."""
        return replace(
            self,
            images=self.images.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
        )


@dataclass(frozen=True)
class _Cut:
    """How batches are cut from a step on.

    Attributes:
        first_step: the first one.
        first_sample: number of samples before it.
        batch_size: samples per batch.
        final: patch that the network gets.
        initial: patch that is cut, with the margin that the augmentation needs.
        augmentation: its settings; None cuts final patches.
    """

    first_step: int
    first_sample: int
    batch_size: int
    final: tuple[int, ...]
    initial: tuple[int, ...]
    augmentation: AugmentationSettings | None


class PatchDataset(Dataset[Batch]):
    """The batches of a training: ``dataset[step]``, a pure function of the arguments and the step.

    Cases come in shuffled passes over all of them, so that each is seen equally often; nnU-Net draws them
    with replacement. Where a patch lies follows nnU-Net, see ``positions.py``.
    """

    def __init__(
        self,
        store: PatchSource,
        cases: Sequence[str],
        configuration: Configuration,
        *,
        seed: int,
        augmentation: AugmentationSettings | None = None,
        smaller: Sequence[AugmentationSettings] = (),
        batch_size: int | None = None,
        oversample: float = 0.33,
        annotated_only: bool = False,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        """Describe the batches; nothing is read yet.

        Args:
            store: where the preprocessed cases are.
            cases: names of the cases to sample from, at least one.
            configuration: gives patch size and, where ``batch_size`` is None, the batch size. A patch of two
                axes is cut from one slice of the case.
            seed: seed of the run, not negative.
            augmentation: cut the larger initial patches these settings need and draw their parameters; None
                cuts final patches.
            smaller: the same for each stage of ``configuration.growth``, which the batches begin with; without it they
                begin with the patch of the configuration.
            batch_size: samples per batch, after these stages.
            oversample: share of the batch that is centred on foreground.
            annotated_only: centre every patch on a voxel without the ignore label, as nnU-Net does with
                datasets that have one; such voxels are the store's locations of key ``ANNOTATED``.
            keep_bytes: memory for decompressed cases.
        """
        if not cases:
            raise ValueError("there is no case to sample patches from")
        self._store = store
        self._cases = tuple(cases)
        self.batch_size = configuration.batch_size if batch_size is None else batch_size
        self._cuts: list[_Cut] = []
        step = 0
        for stage, settings in zip(configuration.growth if smaller else (), smaller, strict=True):
            patch, sample = tuple(stage.patch_size), configuration.samples(step)
            self._cuts.append(_Cut(step, sample, stage.batch_size, patch, settings.initial_patch_size, settings))
            step = stage.until_step
        final = tuple(configuration.patch_size)
        initial = final if augmentation is None else augmentation.initial_patch_size
        self._cuts.append(_Cut(step, configuration.samples(step), self.batch_size, final, initial, augmentation))
        self._seed = seed
        self._oversample = oversample
        self._annotated_only = annotated_only
        self._keep_bytes = keep_bytes
        self._cache: CaseCache | None = None
        self._pass: tuple[int, list[int]] = (-1, [])

    @property
    def final(self) -> bool:
        """Whether the patches are of final size, with no augmentation to come."""
        return self._cuts[-1].augmentation is None

    def __getitem__(self, step: int) -> Batch:
        """Cut the batch of ``step``."""
        return self.batch(step, range(self._cut(step).batch_size))

    def batch(self, step: int, positions: range) -> Batch:
        """Cut some positions of the batch of ``step``.

        Args:
            step: not negative.
            positions: a part of ``range(batch_size)`` that begins at 0.
        """
        cut = self._cut(step)
        first = self._first_sample(step)
        names = [self._case_name(first + position) for position in positions]
        cases = [self._cached().case(name) for name in names]
        channels = cases[0].image.shape[0]
        parameters = None
        if cut.augmentation is not None:
            parameters = draw(cut.augmentation, self._seed, step, len(positions), channels)
        flat = (1,) * (3 - len(cut.final))
        initial, final = flat + cut.initial, flat + cut.final
        # Zeros come from the system untouched, so a margin nobody needs costs nothing.
        images = np.zeros((len(positions), channels, *initial), dtype=np.float32)
        labels = np.full((len(positions), cases[0].label.shape[0], *initial), OUTSIDE, dtype=np.int16)
        for position, case in zip(positions, cases, strict=True):
            start = choose_start(
                stream(Purpose.PATCH_POSITION, self._seed, first + position),
                case.image.shape[1:],
                initial,
                final,
                self._centres(case, position, cut.batch_size),
            )
            image, label = images[position], labels[position]
            if parameters is not None and not parameters.samples[position].moves:
                window = centre_window(initial, final)
                start = tuple(first + part.start for first, part in zip(start, window[1:], strict=True))
                image, label = image[window], label[window]
            copy_crop(case.image, start, image)
            copy_crop(case.label, start, label)
        return Batch(
            images=torch.from_numpy(images.reshape(*images.shape[:2], *cut.initial)),
            labels=torch.from_numpy(labels.reshape(*labels.shape[:2], *cut.initial)),
            step=step,
            cases=tuple(names),
            parameters=parameters,
        )

    def cases_of(self, step: int) -> tuple[str, ...]:
        """Names of the cases in the batch of ``step``, without reading them."""
        first = self._first_sample(step)
        return tuple(self._case_name(index) for index in range(first, first + self._cut(step).batch_size))

    def shared_by(self, workers: int) -> PatchDataset:
        """The same batches for each of several workers, which divide the memory for decompressed cases."""
        if workers <= 1:
            return self
        shared = copy.copy(self)
        shared._keep_bytes = self._keep_bytes // workers
        return shared

    def _cut(self, step: int) -> _Cut:
        return next(cut for cut in reversed(self._cuts) if cut.first_step <= step)

    def _first_sample(self, step: int) -> int:
        """Number of samples in the batches before that of ``step``."""
        cut = self._cut(step)
        return cut.first_sample + (step - cut.first_step) * cut.batch_size

    def _centres(self, case: StoredPatches, position: int, batch_size: int) -> Mapping[int, npt.NDArray[np.int32]]:
        """Voxels, by class, one of which the patch is centred on; none for a patch anywhere."""
        if is_foreground_position(position, batch_size, self._oversample):
            return case.locations
        if self._annotated_only and ANNOTATED in case.locations:
            return {ANNOTATED: case.locations[ANNOTATED]}
        return {}

    def _case_name(self, index: int) -> str:
        """The case of the sample with this number, counted from the start of the training."""
        number, offset = divmod(index, len(self._cases))
        if self._pass[0] != number:
            permutation = stream(Purpose.CASE_ORDER, self._seed, number).permutation(len(self._cases))
            self._pass = (number, permutation.tolist())
        return self._cases[self._pass[1][offset]]

    def _cached(self) -> CaseCache:
        if self._cache is None:
            self._cache = CaseCache(self._store, self._keep_bytes)
        return self._cache

    def __getstate__(self) -> dict[str, Any]:
        """What a worker gets: not the open files, which each worker opens for itself."""
        return {**self.__dict__, "_cache": None}


def patch_loader(dataset: PatchDataset, *, workers: int = 0, pin_memory: bool = False) -> LoaderPool[Batch]:
    """Make the loader of a training, whose workers stay from epoch to epoch, each with its decompressed cases.

    Args:
        dataset: what to cut.
        workers: processes that cut batches ahead; 0 cuts in this process when the batch is asked for.
        pin_memory: put batches into page-locked memory; has an effect only where there is a GPU.
    """
    return LoaderPool(dataset.shared_by(workers), workers=workers, pin_memory=pin_memory)


def fixed_patches(dataset: PatchDataset, count: int) -> Iterator[Batch]:
    """Give the same ``count`` patches at every call, for the validation loss.

    They are the first samples of ``dataset``, which is made from the validation cases, with a fixed seed and
    without augmentation. Label -1 has become 0, as after the augmentation.

    Args:
        dataset: gives final patches.
        count: number of patches; the last batch may hold fewer than the others.
    """
    assert dataset.final
    for step, first in enumerate(range(0, count, dataset.batch_size)):
        batch = dataset.batch(step, range(min(dataset.batch_size, count - first)))
        batch.labels.clamp_(min=0)
        yield batch
