"""Sliding-window inference that hands out finished slabs, so that no volume of logits need ever be in memory.

Tiles are worked through in rows along the first axis. Planes that no later row touches are final and leave the rolling
buffer. Its size, outputs x (patch + a few rows) x Y x X x 4 bytes, is all that grows with the image.

Written here instead of taken from monai, whose sliding_window_inference holds the logits and weights of the whole
volume and lays its tiles at other places than nnU-Net.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from goodfit.tasks.segmentation.network import inferring
from goodfit.tasks.segmentation.restore import labels_of
from goodfit.tasks.segmentation.tiles import Axis, lay_axis, mirror_combinations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt
    from torch import Tensor, nn

    from goodfit.data.labels import Labels
    from goodfit.planning.plan import Configuration

Precision = Literal["bfloat16", "float32"]

_VOXELS_PER_BATCH = {"cpu": 2**16, "cuda": 2**22}
_LARGEST_BATCH = 32
_REMEMBERED_TILES = 4

_Key = int | tuple[float, ...]


class Slab(NamedTuple):
    """Finished logits of the planes ``start`` to ``start + depth - 1``; valid until the next slab is asked for.

    Attributes:
        start: first plane, in voxels of the image along its first axis.
        logits: (K, depth, Y, X) float32, a view of the rolling buffer.
    """

    start: int
    logits: Tensor


@dataclass
class TileCounts:
    """What became of the tiles of one image.

    Attributes:
        computed: tiles that the network saw.
        repeated: constant tiles whose result was taken from an earlier one.
    """

    computed: int = 0
    repeated: int = 0


def default_batch_size(patch_size: Sequence[int], device: torch.device) -> int:
    """Tiles per forward pass: many small ones together; on a CPU a tile of 2**16 voxels is enough by itself."""
    voxels = _VOXELS_PER_BATCH.get(device.type, _VOXELS_PER_BATCH["cuda"])
    return max(1, min(_LARGEST_BATCH, voxels // math.prod(patch_size)))


@dataclass(frozen=True)
class SlidingWindow:
    """How a network is moved over an image.

    Attributes:
        patch_size: two axes (each plane of the image by itself) or three.
        step_size: distance of neighbouring tiles as a share of the patch, at most.
        mirror_axes: axes of the patch to flip; the logits of all combinations are averaged (nnU-Net).
        device: where the network is and the rolling buffer will be.
        precision: bfloat16 runs the network under autocast; sums are float32 either way.
        batch_size: tiles per forward pass; None chooses by device and patch.
        on_tiles: called with (tiles done, all tiles) after each forward pass.
    """

    patch_size: tuple[int, ...]
    step_size: float = 0.5
    mirror_axes: tuple[int, ...] = ()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: Precision = "float32"
    batch_size: int | None = None
    on_tiles: Callable[[int, int], None] | None = None

    def logits(self, network: nn.Module, image: Tensor) -> Tensor:
        """Predict the whole image at once.

        Args:
            network: maps (B, C, \\*patch) to (B, K, \\*patch); mode and deep supervision are put back afterwards.
            image: (C, Z, Y, X) float32, preprocessed, on any device.

        Returns:
            (K, Z, Y, X) float32 on ``device``.
        """
        result: Tensor | None = None
        for start, slab in self.slabs(network, image):
            if slab.shape[1] == image.shape[1]:
                return slab
            if result is None:
                result = slab.new_empty((slab.shape[0], *image.shape[1:]))
            result[:, start : start + slab.shape[1]] = slab
        assert result is not None
        return result

    def slabs(self, network: nn.Module, image: Tensor, counts: TileCounts | None = None) -> Iterator[Slab]:
        """Predict the image slab by slab along its first axis, in order, without gap or overlap.

        An image smaller than the patch is padded with zeros on both sides (nnU-Net). A tile in which every channel
        is constant is computed once for each such constant and then repeated: the network sees nothing but the
        tile, so its answer is the same wherever the tile lies, and nothing changes by leaving it out.

        Args:
            network: as in ``logits``.
            image: as in ``logits``.
            counts: is added to, for reports and tests.
        """
        patch = (1, *self.patch_size) if len(self.patch_size) == 2 else self.patch_size
        padded, before = _pad(image, patch)
        steps = (1.0 if len(self.patch_size) == 2 else self.step_size, self.step_size, self.step_size)
        axes = [lay_axis(*laid) for laid in zip(padded.shape[1:], patch, steps, strict=True)]
        inside = tuple(slice(offset, offset + size) for offset, size in zip(before, image.shape[1:], strict=True))
        with inferring(network):
            tiles = _Tiles(self, network, padded, patch, counts or TileCounts())
            for start, slab in tiles.slabs(axes):
                # Padding along the first axis (on either side) means one row of tiles, hence one slab.
                planes = inside[0] if padded.shape[1] != image.shape[1] else slice(None)
                yield Slab(start, slab[(slice(None), planes, *inside[1:])])


def predict_preprocessed(
    network: nn.Module,
    image: Tensor,
    configuration: Configuration,
    labels: Labels,
    *,
    device: torch.device,
    precision: Precision,
    step_size: float = 0.5,
    mirror: bool = False,
    on_tiles: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.uint8] | npt.NDArray[np.int32]:
    """Predict a preprocessed image and leave it in that space, for validation during training.

    Args:
        network: on ``device``.
        image: (C, Z, Y, X) float32.
        configuration: gives the patch.
        labels: the classes.
        device: where to compute.
        precision: of the network.
        step_size: distance of neighbouring tiles as a share of the patch, at most.
        mirror: average over all flips of the patch.
        on_tiles: called with (tiles done, all tiles) after each forward pass; may raise to end the prediction.

    Returns:
        (Z, Y, X) label values.
    """
    axes = configuration.mirrored if mirror else ()
    window = SlidingWindow(tuple(configuration.patch_size), step_size, axes, device, precision, on_tiles=on_tiles)
    slabs = (labels_of(slab.logits, labels).cpu().numpy() for slab in window.slabs(network, image))
    return np.concatenate(list(slabs))


class _Tiles:
    """One pass over one (padded) image."""

    def __init__(
        self, window: SlidingWindow, network: nn.Module, image: Tensor, patch: tuple[int, ...], counts: TileCounts
    ) -> None:
        self.window = window
        self.network = network
        self.image = image
        self.patch = patch
        self.counts = counts
        self.batch_size = window.batch_size or default_batch_size(patch, window.device)
        self.constants: dict[_Key, Tensor] = {}

    @torch.no_grad()
    def slabs(self, axes: list[Axis]) -> Iterator[Slab]:
        """Yield the finished planes after each block of rows."""
        starts, patch = axes[0].starts, self.patch[0]
        across = list(itertools.product(range(len(axes[1].starts)), range(len(axes[2].starts))))
        # As many rows at a time as fill a batch: with 2d patches a row is one plane, often one tile.
        rows = math.ceil(self.batch_size / len(across))
        blocks = [range(first, min(first + rows, len(starts))) for first in range(0, len(starts), rows)]
        depth = max(starts[block[-1]] + patch - starts[block[0]] for block in blocks)
        weights = [axis.weights.to(self.window.device) for axis in axes]
        buffer: Tensor | None = None
        for block in blocks:
            origin = starts[block[0]]
            indices = [(row, *pair) for row in block for pair in across]
            for first in range(0, len(indices), self.batch_size):
                batch = indices[first : first + self.batch_size]
                corners = [tuple(axis.starts[i] for axis, i in zip(axes, index, strict=True)) for index in batch]
                for index, corner, logits in zip(batch, corners, self._run(corners), strict=True):
                    if buffer is None:
                        buffer = logits.new_zeros((logits.shape[0], depth, *self.image.shape[2:]))
                    z, y, x = (weight[i] for weight, i in zip(weights, index, strict=True))
                    relative = (corner[0] - origin, *corner[1:])
                    buffer[_box(relative, self.patch)].addcmul_(logits, z[:, None, None] * (y[:, None] * x))
                if self.window.on_tiles is not None:
                    done = block[0] * len(across) + first + len(batch)
                    self.window.on_tiles(done, len(starts) * len(across))
            assert buffer is not None
            following = block[-1] + 1
            end = starts[following] if following < len(starts) else self.image.shape[1]
            finished, open_planes = end - origin, starts[block[-1]] + patch - end
            yield Slab(origin, buffer[:, :finished])
            buffer[:, :open_planes] = buffer[:, finished : finished + open_planes].clone()
            buffer[:, open_planes:] = 0

    def _run(self, corners: list[tuple[int, ...]]) -> list[Tensor]:
        """Logits (K, \\*patch) of the tiles at these corners."""
        tiles = [self.image[_box(corner, self.patch)] for corner in corners]
        # A tile goes by its constants where it has them, else by its number: equal keys, equal results.
        keys = [_constant(tile) or number for number, tile in enumerate(tiles)]
        needed = {key: tile for key, tile in zip(keys, tiles, strict=True) if key not in self.constants}
        self.counts.computed += len(needed)
        self.counts.repeated += len(tiles) - len(needed)
        results: dict[_Key, Tensor] = dict(self.constants)
        if needed:
            results |= zip(needed, self._forward(torch.stack(list(needed.values()))), strict=True)
        constants = [(key, logits) for key, logits in results.items() if isinstance(key, tuple)]
        self.constants = dict(constants[-_REMEMBERED_TILES:])
        return [results[key] for key in keys]

    def _forward(self, batch: Tensor) -> Tensor:
        """Mean logits over all mirrorings, (B, K, \\*patch) float32, for tiles (B, C, \\*patch)."""
        window = self.window
        flat = len(window.patch_size) == 2
        inputs = batch.to(window.device)
        inputs = inputs[:, :, 0] if flat else inputs
        flips = mirror_combinations([axis + 2 for axis in window.mirror_axes])
        total: Tensor | None = None
        with torch.autocast(window.device.type, torch.bfloat16, enabled=window.precision == "bfloat16"):
            for flip in flips:
                output = self.network(inputs.flip(flip) if flip else inputs)
                output = (output.flip(flip) if flip else output).float()
                total = output if total is None else total.add_(output)
        assert total is not None
        total = total / len(flips) if len(flips) > 1 else total
        return total[:, :, None] if flat else total


def _box(corner: Sequence[int], size: Sequence[int]) -> tuple[slice, ...]:
    """Index of a box in a (C, Z, Y, X) tensor."""
    return (slice(None), *(slice(start, start + length) for start, length in zip(corner, size, strict=True)))


def _constant(tile: Tensor) -> tuple[float, ...] | None:
    """The value of each channel of (C, \\*patch) where all its voxels are equal, or None."""
    first = tile[:, :1, :1, :1]
    # The far corner decides most tiles at once.
    if not torch.equal(first, tile[:, -1:, -1:, -1:]) or not bool((tile == first).all()):
        return None
    return tuple(first.flatten().tolist())


def _pad(image: Tensor, patch: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
    """Pad (C, Z, Y, X) with zeros to at least the patch; also give the voxels added before each axis."""
    missing = [max(0, size - have) for size, have in zip(patch, image.shape[1:], strict=True)]
    before = tuple(gap // 2 for gap in missing)
    if not any(missing):
        return image, before
    widths = [
        width for gap, front in reversed(list(zip(missing, before, strict=True))) for width in (front, gap - front)
    ]
    return functional.pad(image, widths), before
