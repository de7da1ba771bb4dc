"""A trained configuration, ready to predict, and how several are combined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from goodfit.errors import DatasetError, SettingsError
from goodfit.preprocessing.case import preprocess_case
from goodfit.tasks.segmentation.cascade.stage import next_stage_labels
from goodfit.tasks.segmentation.inference import Precision, SlidingWindow
from goodfit.tasks.segmentation.restore import Restored, labels_of_probabilities, restore, restore_probabilities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    import numpy.typing as npt
    from torch import Tensor, nn

    from goodfit.data.geometry import Image
    from goodfit.planning.plan import Plan
    from goodfit.preprocessing.properties import CaseProperties
    from goodfit.tasks.segmentation.inference import Slab


class Prepared(NamedTuple):
    """A preprocessed image, what was done to it, and of a cascade the same for the previous stage."""

    image: Tensor
    properties: CaseProperties
    previous: Prepared | None = None


@dataclass(frozen=True)
class Model:
    """One configuration with its trained network.

    Attributes:
        network: on ``device``; of several folds their mean (``ensemble.average``).
        plan: of the network.
        device: where to compute.
        precision: of the network.
        name: what messages call it.
        previous: of a cascade, the stage whose labels are this network's last input channel
            (``cascade.one_hot.WithPreviousStage``).
    """

    network: nn.Module
    plan: Plan
    device: torch.device
    precision: Precision
    name: str = "the model"
    previous: Model | None = None

    def prepare(self, image: Image) -> Prepared:
        """Preprocess an image, which stays as it is.

        Raises:
            DatasetError: it cannot be normalised as planned.
        """
        array, _, properties = preprocess_case(image, None, self.plan.data, self.plan.chosen)
        previous = None if self.previous is None else self.previous.prepare(image)
        return Prepared(torch.from_numpy(array), properties, previous)

    def slabs(self, prepared: Prepared, effort: Effort) -> Iterator[Slab]:
        """Predict a preprocessed image slab by slab; of a cascade the previous stage comes first, with the same effort."""
        image = prepared.image
        if self.previous is not None:
            assert prepared.previous is not None, "prepared by another model"
            labels = self.plan.data.labels
            earlier = self.previous.slabs(prepared.previous, effort)
            found = next_stage_labels(earlier, prepared.previous.properties, prepared.properties.shape, labels)
            image = torch.cat([image, found[None].to(image.dtype)])
        return self.window(effort).slabs(self.network, image)

    def window(self, effort: Effort) -> SlidingWindow:
        """Say how the network is moved over an image.

        Raises:
            SettingsError: the step is out of range.
        """
        if not 0 < effort.step_size <= 1:
            raise SettingsError(f"prediction.step_size: {effort.step_size} is not above 0 and at most 1.")
        patch = tuple(self.plan.chosen.patch_size)
        axes = self.plan.chosen.mirrored if effort.mirror else ()
        return SlidingWindow(patch, effort.step_size, axes, self.device, self.precision, on_tiles=effort.on_tiles)


@dataclass(frozen=True)
class Effort:
    """How much work a prediction is worth.

    Attributes:
        step_size: distance of neighbouring tiles as a share of the patch, above 0 and at most 1.
        mirror: average over all flips of the patch: four times the work in 2D, eight times in 3D.
        on_tiles: called with (tiles done, all tiles of the image) of each model; may raise to end the prediction.
    """

    step_size: float = 0.5
    mirror: bool = False
    on_tiles: Callable[[int, int], None] | None = None


def require_alike(models: Sequence[Model]) -> None:
    """Refuse to combine what does not speak of the same classes in the same channels.

    Raises:
        SettingsError: two models differ; names them and what differs.
    """
    first = models[0]
    for other in models[1:]:
        for what, mine, theirs in (
            ("classes", first.plan.data.labels, other.plan.data.labels),
            ("channels", first.plan.data.channels, other.plan.data.channels),
        ):
            if mine != theirs:
                raise SettingsError(
                    f"{first.name} and {other.name} have different {what} ({mine} and {theirs}): their predictions "
                    "cannot be averaged. Take models of one dataset."
                )


def predict_prepared(
    models: Sequence[Model], prepared: Sequence[Prepared], effort: Effort, *, with_probabilities: bool
) -> Restored:
    """Predict a preprocessed image on the grid of its file.

    One model decides by its logits, slab by slab. Several are averaged as probabilities on the grid of the file, each
    after its own resampling (nnU-Net), which holds 4 bytes x outputs x voxels in memory.

    Args:
        models: alike (``require_alike``).
        prepared: the image as each model wants it.
        effort: how much work it is worth.
        with_probabilities: keep them.
    """
    if len(models) == 1:
        slabs = models[0].slabs(prepared[0], effort)
        return restore(slabs, prepared[0].properties, models[0].plan.data.labels, with_probabilities=with_probabilities)
    labels = models[0].plan.data.labels
    total: npt.NDArray[np.float32] | None = None
    for model, one in zip(models, prepared, strict=True):
        total = restore_probabilities(model.slabs(one, effort), one.properties, labels, total)
    assert total is not None
    total /= len(models)
    kept = total.astype("float16") if with_probabilities else None
    return Restored(labels_of_probabilities(total, labels), kept)


def predict_image(
    models: Sequence[Model], image: Image, effort: Effort, *, with_probabilities: bool = False
) -> Restored:
    """Predict an image that is in memory, which stays as it is.

    Raises:
        DatasetError: the image has another number of channels, or cannot be normalised as planned.
    """
    expected = len(models[0].plan.data.channels)
    if image.array.shape[0] != expected:
        raise DatasetError(
            f"the image has {image.array.shape[0]} channels, the network expects {expected} "
            f"({', '.join(models[0].plan.data.channels)})."
        )
    prepared = [model.prepare(image) for model in models]
    return predict_prepared(models, prepared, effort, with_probabilities=with_probabilities)
