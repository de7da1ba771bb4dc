"""Prediction from Python: arrays in, arrays out, many times on one loaded model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.commands.models import Opened, is_of_instances, open_all
from goodfit.data.geometry import FLAT_SPACING, Geometry, Image
from goodfit.errors import DatasetError, RunError
from goodfit.tasks.segmentation.model import Effort, predict_image
from goodfit.tasks.segmentation.network import set_deep_supervision
from goodfit.training.device import choose_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from goodfit.data.labels import Labels
    from goodfit.tasks.segmentation.model import Model
    from goodfit.training.recipe import Recipe


@dataclass(frozen=True)
class Predictor:
    """A loaded model; make it with ``goodfit.load_model``.

    It keeps nothing of one call for the next, starts no process and may be called by several threads at once. The
    outcome is that of ``goodfit predict`` on a file with the same voxels and spacing, bit for bit.
    """

    opened: Opened
    effort: Effort

    @property
    def labels(self) -> Labels:
        """The classes: names and label values."""
        return self.opened.models[0].plan.data.labels

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the image channels, in the order they are expected in."""
        return tuple(self.opened.models[0].plan.data.channels)

    def predict(
        self,
        image: npt.NDArray[Any],
        spacing: Sequence[float],
        *,
        on_tiles: Callable[[int, int], None] | None = None,
    ) -> npt.NDArray[np.integer]:
        """Segment an image.

        Args:
            image: (C, Z, Y, X), or (C, Y, X) of a 2D dataset: intensities as in the files, of any number type. Stays
                as it is.
            spacing: mm per voxel, (z, y, x); (y, x) in 2D.
            on_tiles: called with (tiles done, all tiles) of each model; may raise to end the prediction.

        Returns:
            Label values on the image's grid: (Z, Y, X), or (Y, X) for (C, Y, X); uint8, or uint16 with values above 255.

        Raises:
            DatasetError: shape, spacing or number of channels are not what the model expects.
        """
        return self._run(image, spacing, on_tiles, with_probabilities=False)[0]

    def predict_probabilities(
        self,
        image: npt.NDArray[Any],
        spacing: Sequence[float],
        *,
        on_tiles: Callable[[int, int], None] | None = None,
    ) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.float16]]:
        """Segment an image and also give the probabilities.

        Args:
            image: as for ``predict``.
            spacing: as for ``predict``.
            on_tiles: as for ``predict``.

        Returns:
            Label values as from ``predict``; and (K, Z, Y, X) or (K, Y, X) float16: background first, then the classes;
            with regions one for each region.

        Raises:
            DatasetError: as for ``predict``.
        """
        labels, probabilities = self._run(image, spacing, on_tiles, with_probabilities=True)
        assert probabilities is not None
        return labels, probabilities

    def _run(
        self,
        image: npt.NDArray[Any],
        spacing: Sequence[float],
        on_tiles: Callable[[int, int], None] | None,
        *,
        with_probabilities: bool,
    ) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.float16] | None]:
        effort = Effort(self.effort.step_size, self.effort.mirror, on_tiles)
        taken = as_image(image, spacing)
        labels, probabilities = predict_image(self.opened.models, taken, effort, with_probabilities=with_probabilities)
        finished: npt.NDArray[np.integer] = labels
        if self.opened.postprocessing is not None:
            finished = self.opened.postprocessing.apply(labels)
        if np.ndim(image) == 4:
            return finished, probabilities
        return finished[0], None if probabilities is None else probabilities[:, 0]


def as_image(array: npt.NDArray[Any], spacing: Sequence[float]) -> Image:
    """Take an array for an image as read from a file.

    Raises:
        DatasetError: the shape is no image's, a value is not finite, or the spacing is none.
    """
    values = np.asarray(array)
    if values.ndim not in (3, 4) or 0 in values.shape or not np.issubdtype(values.dtype, np.number):
        raise DatasetError(
            f"image: shape {values.shape} of {values.dtype}; expected numbers (channels, z, y, x), or (channels, y, x) in "
            "2D. A single channel has an axis, too: image[None]."
        )
    values = np.array(values if values.ndim == 4 else values[:, None], dtype=np.float32, order="C")
    if not np.isfinite(values).all():
        raise DatasetError("image: holds values that are not finite (NaN or infinite). Replace them first.")
    flat = np.ndim(array) == 3
    steps = tuple(float(step) for step in spacing)
    if len(steps) not in ((2, 3) if flat else (3,)) or not all(step > 0 and np.isfinite(step) for step in steps):
        raise DatasetError(f"spacing: {steps}; expected mm per voxel above 0, {'(y, x)' if flat else '(z, y, x)'}.")
    if flat:
        return Image(values, Geometry((FLAT_SPACING, steps[-2], steps[-1]), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0), 2))
    z, y, x = steps
    return Image(values, Geometry((z, y, x), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), 3))


def load_model(
    run: str | Path,
    *more: str | Path,
    folds: Sequence[int | str] | None = None,
    checkpoint: str | None = None,
    tta: bool = False,
    step_size: float = 0.5,
    device: str | None = None,
    recipe: type[Recipe] | None = None,
) -> Predictor:
    """Load a trained model once, to predict many times.

    Args:
        run: a run; a cross-validation, whose folds are averaged as logits; or the selection of `goodfit select`, whose
            postprocessing is applied.
        *more: further runs or cross-validations, averaged with the first one as probabilities.
        folds: of cross-validations: names of the folds, by default every numbered one.
        checkpoint: "best" (by the watched metric) or "last"; default the best, and of a run imported from nnU-Net the last.
        tta: average over all mirrored copies.
        step_size: distance of neighbouring tiles as a share of the patch, in (0, 1].
        device: cpu, cuda, cuda:1; default the first GPU.
        recipe: the class that made the run's network, where it cannot be imported by name.

    Raises:
        RunError: a folder is no run, or a checkpoint cannot be loaded.
        SettingsError: a setting is out of range, or the models do not go together.
    """
    places = [Path(run), *(Path(place) for place in more)]
    for place in places:
        if is_of_instances(place):
            raise RunError(f"{place}: this run finds instances, for which there is `goodfit.predict` on files.")
    opened = open_all(
        places,
        folds=folds,
        checkpoint=checkpoint,
        device=choose_device(device),
        recipe=None if recipe is None else recipe(),
    )
    effort = Effort(step_size, tta)
    for model in opened.models:
        model.window(effort)  # refuses an impossible step now, not in a service's first call
        stage: Model | None = model
        while stage is not None:
            # Now and for good, so that threads never see a network that is being switched.
            stage.network.eval()
            set_deep_supervision(stage.network, False)
            stage = stage.previous
    return Predictor(opened, effort)
