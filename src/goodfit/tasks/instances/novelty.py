"""Frames that are unlike the training frames: Mahalanobis distance of pooled backbone features.

The covariance is shrunk towards a multiple of the identity as Ledoit and Wolf derive it (A well-conditioned estimator
for large-dimensional covariance matrices, Journal of Multivariate Analysis 88, 2004), since there are often fewer
frames than features.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from goodfit.errors import RunError
from goodfit.files import write_bytes
from goodfit.planning.instances.plan import LEVEL_STRIDES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt
    import torch
    from torch import nn

    Vectors = npt.NDArray[np.float64]

QUANTILE = 0.99
"""Share of an ordinary video's frames that are below its own limit."""
LEFT_OUT = 0.01
"""Share of the ordinary videos that may be beyond the threshold: one of them at least,"""
LEAVES_NONE_OUT = 5
"""unless there are fewer than these."""
FOLDS = 10
"""Parts of the training videos of which each is judged by the others, at most."""
LEAST_JUDGES = 0.5
"""Share of the training frames that may judge the rest: what a few frames are like says little, and all else is far."""
LEAST_FRAMES = 4

_KIND = "goodfit novelty 2"


@dataclass(frozen=True, eq=False)
class NoveltyModel:
    """What ordinary frames look like.

    Attributes:
        mean: (D,) of the training frames' features.
        whitening: (D, D); its product with a feature's deviation has unit covariance.
        threshold: distance from which a frame is unusual.
        videos: number of videos that the threshold comes from, each judged by others.
        weights: digest of the weights that gave the features; empty where nobody needs to know.
    """

    mean: Vectors
    whitening: Vectors
    threshold: float
    videos: int
    weights: str = ""

    @classmethod
    def fit(
        cls,
        features: npt.NDArray[np.floating],
        videos: Sequence[str],
        held_out: npt.NDArray[np.floating] | None = None,
        held_out_videos: Sequence[str] = (),
        weights: str = "",
    ) -> NoveltyModel:
        """Learn from frames.

        The threshold is what ordinary videos stay below when the others judge them: validation videos by the training
        videos, training videos by those of the other folds if these have half of all frames. Each video's limit is the
        distance that ``QUANTILE`` of its frames do not exceed; the threshold is the largest of these limits but one (but
        a hundredth of many), for one odd video must not make everything ordinary.

        Args:
            features: (N, D) of the training frames, N from 4, in the order of videos and time.
            videos: of each of them; of a single one, either half is judged by the other.
            held_out: (M, D) of frames of other videos.
            held_out_videos: of each of them.
            weights: digest of the weights that gave the features.
        """
        assert features.ndim == 2, "features are vectors, one for each frame"
        assert len(features) == len(videos) >= LEAST_FRAMES, "too few frames to learn from"
        mean, whitening = _whitening(features)
        limits = _limits_of_folds(features, np.asarray(videos))
        if held_out is not None:
            assert len(held_out) == len(held_out_videos), "one video for each frame"
            limits |= _limits(_distances(held_out, mean, whitening), np.asarray(held_out_videos))
        left_out = 0 if len(limits) < LEAVES_NONE_OUT else max(1, int(LEFT_OUT * len(limits)))
        return cls(mean, whitening, sorted(limits.values())[-1 - left_out], len(limits), weights)

    def distance(self, features: npt.NDArray[np.floating]) -> Vectors:
        """Measure frames (N, D): (N,) distances per square root of D, about 1 for training frames."""
        return _distances(features, self.mean, self.whitening)

    def unusual(self, distances: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """Tell which of these distances (N,) are beyond the threshold."""
        return np.asarray(distances > self.threshold, dtype=np.bool_)

    def save(self, file: Path) -> None:
        """Write it as safetensors, atomically."""
        from safetensors.numpy import save

        numbers = {"threshold": repr(self.threshold), "videos": str(self.videos)}
        metadata = {"kind": _KIND, "weights": self.weights, **numbers}
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
                    int(metadata["videos"]),
                    metadata["weights"],
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


def pooled(levels: Mapping[str, torch.Tensor], sizes: Sequence[tuple[int, int]]) -> npt.NDArray[np.float32]:
    """Average a feature pyramid's levels (B, C, H, W) over the places of each image: (B, levels x C).

    The level called "pool", which repeats the coarsest one, is left out, and so is what lies beyond an image that is
    smaller than the largest of its batch.

    Args:
        levels: strides 4, 8, 16 and 32, under their names "0" to "3".
        sizes: height and width of each image in pixels.
    """
    import torch

    parts = []
    for (name, level), stride in zip(levels.items(), LEVEL_STRIDES, strict=False):
        if name != "pool":
            own = [
                one[:, : -(-height // stride), : -(-width // stride)].float().mean((1, 2))
                for one, (height, width) in zip(level, sizes, strict=True)
            ]
            parts.append(torch.stack(own))
    return np.asarray(torch.cat(parts, 1).cpu().numpy(), dtype=np.float32)


@contextmanager
def watching(network: nn.Module, sizes: Sequence[tuple[int, int]]) -> Iterator[list[npt.NDArray[np.float32]]]:
    """Within the block, collect the pooled features (B, D) of a batch that goes through a detector's backbone.

    Args:
        network: the detector.
        sizes: height and width of the batch's images in pixels.
    """
    taken: list[npt.NDArray[np.float32]] = []

    def after(module: nn.Module, given: tuple[object, ...], levels: Mapping[str, torch.Tensor]) -> None:
        taken.append(pooled({key: level.detach() for key, level in levels.items()}, sizes))

    handle = network.get_submodule("backbone").register_forward_hook(after)
    try:
        yield taken
    finally:
        handle.remove()


def digest(weights: Mapping[str, torch.Tensor]) -> str:
    """Give a short name to a network's weights: features of others cannot be compared."""
    import torch

    summary = hashlib.blake2b(digest_size=8)
    for name in sorted(weights):
        summary.update(name.encode())
        summary.update(weights[name].detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return summary.hexdigest()


def _limits_of_folds(features: npt.NDArray[np.floating], videos: npt.NDArray[np.str_]) -> dict[str, float]:
    """Give each training video's limit by those of the other folds, where these have enough frames."""
    names = sorted(set(videos.tolist()))
    if len(names) == 1:
        videos = np.array([f"{names[0]}, half {2 * place // len(videos)}" for place in range(len(videos))])
        names = sorted(set(videos.tolist()))
    limits: dict[str, float] = {}
    for fold in np.array_split(np.array(names), min(FOLDS, len(names))):
        inside = np.isin(videos, fold)
        if (~inside).sum() >= LEAST_JUDGES * len(videos):
            limits |= _limits(_distances(features[inside], *_whitening(features[~inside])), videos[inside])
    return limits


def _limits(distances: Vectors, videos: npt.NDArray[np.str_]) -> dict[str, float]:
    return {name: float(np.quantile(distances[videos == name], QUANTILE)) for name in sorted(set(videos.tolist()))}


def _whitening(features: npt.NDArray[np.floating]) -> tuple[Vectors, Vectors]:
    values = np.asarray(features, np.float64)
    mean, scale = values.mean(0), values.std(0)
    # Shrinkage mixes the features' variances, so they are brought to one scale. What never varied counts as noise of a
    # thousandth of the others, or distances would be infinite.
    scale = np.maximum(scale, 1e-3 * float(scale.mean()) + 1e-9)
    covariance, _ = ledoit_wolf((values - mean) / scale)
    roots, axes = np.linalg.eigh(covariance)
    whitening = (axes / np.sqrt(np.maximum(roots, 1e-6))) @ axes.T
    return mean, whitening / scale[:, None]


def _distances(features: npt.NDArray[np.floating], mean: Vectors, whitening: Vectors) -> Vectors:
    import torch

    deviations = np.asarray(features, np.float64) - mean
    # By torch, which computes in the network's own threads: those of NumPy's BLAS keep spinning for a while after each
    # product, in the network's way (2.6 times the time of a frame on two cores).
    whitened = (torch.from_numpy(deviations) @ torch.from_numpy(whitening)).numpy()
    return np.asarray(np.linalg.norm(whitened, axis=1) / len(mean) ** 0.5, dtype=np.float64)
