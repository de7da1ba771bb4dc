"""Frames that are unlike the training frames: Mahalanobis distance of pooled backbone features.

The covariance is shrunk towards a multiple of the identity as Ledoit and Wolf derive it (A well-conditioned estimator
for large-dimensional covariance matrices, Journal of Multivariate Analysis 88, 2004), since there are often fewer
frames than features.
"""

from __future__ import annotations

import csv
import io
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from goodfit.errors import RunError
from goodfit.files import write_bytes, write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt
    import torch
    from torch import nn

    Vectors = npt.NDArray[np.float64]

QUANTILE = 0.99
"""Share of ordinary frames that are not flagged."""

COLUMNS = ("frame", "time", "instances", "distance", "unusual")

_KIND = "goodfit novelty 1"


@dataclass(frozen=True, eq=False)
class NoveltyModel:
    """What ordinary frames look like.

    Attributes:
        mean: (D,) of the training frames' features.
        whitening: (D, D); its product with a feature's deviation has unit covariance.
        threshold: distance from which a frame is unusual.
        quantile: share of the held-out frames that are below the threshold.
        held_out: number of frames that the threshold comes from.
        shrinkage: share of the identity in the covariance, 0..1.
    """

    mean: Vectors
    whitening: Vectors
    threshold: float
    quantile: float
    held_out: int
    shrinkage: float

    @classmethod
    def fit(
        cls,
        features: npt.NDArray[np.floating],
        held_out: npt.NDArray[np.floating] | None = None,
        quantile: float = QUANTILE,
    ) -> NoveltyModel:
        """Learn from frames.

        Args:
            features: (N, D) of the training frames, N from 4, in the order of videos and time.
            held_out: (M, D) of ordinary frames of other videos, such as the validation frames: they give the
                threshold. None lets either half of the training frames be judged by the other half.
            quantile: share of them that shall not be flagged.
        """
        assert features.ndim == 2, "features are vectors, one for each frame"
        assert len(features) >= 4, "too few frames to learn from"
        assert 0 < quantile < 1, "the quantile is a share"
        mean, whitening, shrinkage = _whitening(features)
        if held_out is not None and len(held_out):
            judged = _distances(held_out, mean, whitening)
        else:
            first, second = np.array_split(features, 2)
            judged = np.concatenate(
                [_distances(other, *_whitening(own)[:2]) for own, other in ((first, second), (second, first))]
            )
        threshold = float(np.quantile(judged, quantile))
        return cls(mean, whitening, threshold, quantile, len(judged), shrinkage)

    def distance(self, features: npt.NDArray[np.floating]) -> Vectors:
        """Measure frames (N, D): (N,) distances per square root of D, about 1 for training frames."""
        return _distances(features, self.mean, self.whitening)

    def unusual(self, distances: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """Tell which of these distances (N,) are beyond the threshold."""
        return np.asarray(distances > self.threshold, dtype=np.bool_)

    def save(self, file: Path) -> None:
        """Write it as safetensors, atomically."""
        from safetensors.numpy import save

        numbers = {"threshold": self.threshold, "quantile": self.quantile, "shrinkage": self.shrinkage}
        metadata = {"kind": _KIND, "held_out": str(self.held_out)} | {
            key: repr(value) for key, value in numbers.items()
        }
        write_bytes(file, save({"mean": self.mean, "whitening": self.whitening}, metadata))

    @classmethod
    def load(cls, file: Path) -> NoveltyModel:
        """Read what ``save`` wrote.

        Raises:
            RunError: the file is missing or is none of these.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(file, "np") as tensors:
                metadata = tensors.metadata() or {}
                if metadata.get("kind") != _KIND:
                    raise RunError(f"{file}: holds no novelty model. Train again, or restore the file.")
                return cls(
                    tensors.get_tensor("mean"),
                    tensors.get_tensor("whitening"),
                    float(metadata["threshold"]),
                    float(metadata["quantile"]),
                    int(metadata["held_out"]),
                    float(metadata["shrinkage"]),
                )
        except FileNotFoundError as error:
            raise RunError(
                f"{file}: there is no such file. Unusual frames need the training to have written it."
            ) from error
        except (SafetensorError, KeyError, ValueError) as error:
            raise RunError(f"{file}: damaged ({error}). Train again, or restore the file.") from error


def ledoit_wolf(deviations: Vectors) -> tuple[Vectors, float]:
    """Estimate a covariance from centred vectors (N, D).

    With S the sample covariance and m its mean eigenvalue, the estimate is (1 - s) S + s m I, where s is the ratio of
    the mean squared distance of the single products x x' from S, over N, to that of S from m I, at most 1.

    Returns:
        Covariance (D, D) and s.
    """
    count, size = deviations.shape
    sample = deviations.T @ deviations / count
    level = float(np.trace(sample)) / size
    total = float(np.square(sample).sum())
    spread = total - size * level**2
    noise = (float(np.square(np.square(deviations).sum(1)).sum()) / count - total) / count
    share = min(max(noise, 0.0) / spread, 1.0) if spread > 0 else 1.0
    return (1 - share) * sample + share * level * np.eye(size), share


@dataclass(frozen=True)
class TimeRange:
    """A stretch of a video.

    Attributes:
        start: seconds, of its first frame.
        end: seconds, when the frame after its last one is shown.
        frames: number of flagged frames in it.
    """

    start: float
    end: float
    frames: int


def ranges(times: Sequence[float], flags: Sequence[bool] | npt.NDArray[np.bool_], join: float = 1.0) -> list[TimeRange]:
    """Find the stretches of flagged frames.

    Args:
        times: of all frames looked at, in seconds, ascending.
        flags: one for each.
        join: stretches that are at most this far apart, in seconds, become one.
    """
    assert len(times) == len(flags), "one flag for each frame"
    steps = [later - earlier for earlier, later in pairwise(times)]
    last_step = float(np.median(steps)) if steps else 0.0
    found: list[TimeRange] = []
    for place in (int(place) for place in np.flatnonzero(np.asarray(flags, dtype=np.bool_))):
        start = times[place]
        end = times[place + 1] if place + 1 < len(times) else start + last_step
        if found and start - found[-1].end <= join:
            found[-1] = TimeRange(found[-1].start, end, found[-1].frames + 1)
        else:
            found.append(TimeRange(start, end, 1))
    return found


def write_frame_table(
    file: Path,
    numbers: Sequence[int],
    times: Sequence[float],
    instances: Sequence[int],
    distances: npt.NDArray[np.floating],
    unusual: npt.NDArray[np.bool_],
) -> None:
    """Write a CSV with a row for each frame looked at, ``COLUMNS``, atomically."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for number, time, count, distance, flag in zip(numbers, times, instances, distances, unusual, strict=True):
        table.writerow((number, f"{time:.6f}", count, f"{distance:.4f}", int(flag)))
    write_text(file, text.getvalue())


def pooled(levels: Mapping[str, torch.Tensor]) -> npt.NDArray[np.float32]:
    """Average a feature pyramid's levels (B, C, H, W) each over its places: (B, levels x C).

    The level called "pool", which repeats the coarsest one, is left out.
    """
    import torch

    parts = [level.float().mean((2, 3)) for key, level in levels.items() if key != "pool"]
    return np.asarray(torch.cat(parts, 1).cpu().numpy(), dtype=np.float32)


@contextmanager
def watching(backbone: nn.Module, take: Callable[[npt.NDArray[np.float32]], None]) -> Iterator[None]:
    """Within the block, give the pooled features (B, D) of everything that goes through a detector's backbone to ``take``."""

    def after(module: nn.Module, given: tuple[object, ...], levels: Mapping[str, torch.Tensor]) -> None:
        take(pooled({key: level.detach() for key, level in levels.items()}))

    handle = backbone.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


def _whitening(features: npt.NDArray[np.floating]) -> tuple[Vectors, Vectors, float]:
    values = np.asarray(features, np.float64)
    mean, scale = values.mean(0), values.std(0)
    # Shrinkage mixes the features' variances, so they are brought to one scale. What never varied counts as noise of a
    # thousandth of the others, or distances would be infinite.
    scale = np.maximum(scale, 1e-3 * float(scale.mean()) + 1e-9)
    covariance, share = ledoit_wolf((values - mean) / scale)
    roots, axes = np.linalg.eigh(covariance)
    whitening = (axes / np.sqrt(np.maximum(roots, 1e-6))) @ axes.T
    return mean, whitening / scale[:, None], share


def _distances(features: npt.NDArray[np.floating], mean: Vectors, whitening: Vectors) -> Vectors:
    deviations = np.asarray(features, np.float64) - mean
    return np.asarray(np.linalg.norm(deviations @ whitening, axis=1) / len(mean) ** 0.5, dtype=np.float64)
