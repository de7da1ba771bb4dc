from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from goodfit.data.labels import Labels
from goodfit.planning.plan import Configuration, NetworkPlan
from goodfit.tasks.segmentation.inference import (
    SlidingWindow,
    TileCounts,
    default_batch_size,
    predict_preprocessed,
)
from goodfit.tasks.segmentation.network import build_network, deep_supervision_enabled
from goodfit.tasks.segmentation.tiles import gaussian, mirror_combinations, tile_starts

CPU = torch.device("cpu")


def network(dims: int = 3, channels: int = 2, outputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    plan = NetworkPlan(
        architecture="plain_unet",
        features=[4, 6],
        kernel_sizes=[[3] * dims] * 2,
        strides=[[1] * dims, [2] * dims],
        encoder_blocks=[1, 1],
        decoder_blocks=[1],
    )
    return build_network(plan, channels, outputs, dims)


class Voxelwise(nn.Module):
    """Looks at no neighbour, so tiles cannot change its answer; counts its calls and what they hold."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, image: Tensor) -> Tensor:
        self.batches.append(len(image))
        return torch.cat([image, image.square() - 1], 1)


def whole_volume(model: nn.Module, image: Tensor, window: SlidingWindow) -> Tensor:
    """nnU-Net's way: every logit and every weight of the padded image in memory, divided at the end."""
    patch = (1, *window.patch_size) if len(window.patch_size) == 2 else window.patch_size
    pad = [max(0, size - have) for size, have in zip(patch, image.shape[1:], strict=True)]
    z, y, x = image.shape[1:]
    padded = torch.zeros(len(image), *(have + more for have, more in zip(image.shape[1:], pad, strict=True)))
    inside = (slice(None), *(slice(p // 2, p // 2 + n) for p, n in zip(pad, (z, y, x), strict=True)))
    padded[inside] = image
    steps = (1 if len(window.patch_size) == 2 else window.step_size, window.step_size, window.step_size)
    starts = [tile_starts(*axis) for axis in zip(padded.shape[1:], patch, steps, strict=True)]
    weights = [gaussian(size) for size in patch]
    weight = weights[0][:, None, None] * weights[1][:, None] * weights[2]
    total, norm = torch.zeros(()), torch.zeros(padded.shape[1:], dtype=torch.float64)
    model.eval()
    if hasattr(model, "decoder"):
        model.decoder.deep_supervision = False
    for corner in itertools.product(*starts):
        box = (slice(None), *(slice(at, at + size) for at, size in zip(corner, patch, strict=True)))
        tile = padded[box][None] if len(window.patch_size) == 3 else padded[box][None, :, 0]
        flips = mirror_combinations([axis + 2 for axis in window.mirror_axes])
        logits = torch.stack([model(tile.flip(flip)).flip(flip) for flip in flips]).mean(0)[0].double()
        if total.ndim == 0:
            total = torch.zeros(len(logits), *padded.shape[1:], dtype=torch.float64)
        total[box] += (logits if logits.ndim == 4 else logits[:, None]) * weight
        norm[box[1:]] += weight
    return (total / norm)[inside].float()


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize(
    ("patch", "shape", "mirror", "step"),
    [
        ((8, 8, 8), (21, 12, 17), (), 0.5),
        ((8, 8, 8), (21, 12, 9), (0, 2), 0.5),
        ((8, 16, 8), (30, 8, 17), (), 0.3),  # smaller than the patch along one axis
        ((8, 8, 8), (5, 6, 7), (), 0.5),  # smaller along all
        ((8, 8, 8), (7, 7, 8), (), 0.5),  # by one voxel: padded at the end only
        ((8, 8, 8), (5, 16, 9), (), 1.0),
        ((8, 8), (5, 12, 17), (), 0.5),
        ((8, 8), (3, 6, 9), (0, 1), 0.5),
    ],
)
@torch.no_grad()
def test_slabs_are_the_whole_volume_computation(
    patch: tuple[int, ...], shape: tuple[int, int, int], mirror: tuple[int, ...], step: float, batch_size: int
) -> None:
    model = network(len(patch))
    image = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    window = SlidingWindow(patch, step, mirror, batch_size=batch_size)
    slabs, end = [], 0
    for start, logits in window.slabs(model, image):
        assert start == end
        end += logits.shape[1]
        slabs.append(logits.clone())
    expected = whole_volume(model, image, window)
    torch.testing.assert_close(torch.cat(slabs, 1), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(window.logits(model, image), expected, rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=200)
@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20)),
    st.one_of(
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
    ),
    st.floats(0.3, 1),
    st.integers(1, 5),
)
def test_tiles_of_a_voxelwise_network_leave_no_trace(
    shape: tuple[int, int, int], patch: tuple[int, ...], step: float, batch_size: int
) -> None:
    model = Voxelwise()
    image = torch.randn(1, *shape, generator=torch.Generator().manual_seed(1))
    result = SlidingWindow(patch, step, batch_size=batch_size).logits(model, image)
    torch.testing.assert_close(result, torch.cat([image, image.square() - 1]), rtol=1e-4, atol=1e-5)
    assert max(model.batches) <= batch_size


def test_the_buffer_is_no_deeper_than_the_patch_and_slabs_come_before_the_end() -> None:
    depths = [
        slab.logits.untyped_storage().nbytes() // (2 * 8 * 8 * 4)
        for slab in SlidingWindow((8, 8, 8), batch_size=1).slabs(Voxelwise(), torch.randn(1, 100, 8, 8))
    ]
    assert len(depths) == 24
    assert set(depths) == {8}


def test_constant_tiles_are_computed_once_and_change_nothing() -> None:
    image = torch.full((2, 40, 16, 16), -1.5)
    image[1] = 2
    image[:, 16:24] = torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(1))
    model, counts = network(), TileCounts()
    window = SlidingWindow((8, 8, 8), batch_size=4)
    result = torch.cat([slab.logits.clone() for slab in window.slabs(model, image, counts)], 1)
    with torch.no_grad():
        torch.testing.assert_close(result, whole_volume(model, image, window), rtol=1e-4, atol=1e-4)
    # 9 rows of 9 tiles; rows 3, 4 and 5 touch the varied planes.
    assert (counts.computed, counts.repeated) == (27 + 1, 54 - 1)


def test_tiles_constant_in_one_channel_only_are_computed() -> None:
    image = torch.randn(2, 8, 8, 8)
    image[0] = 0
    counts = TileCounts()
    list(SlidingWindow((8, 8, 8)).slabs(network(), image, counts))
    assert (counts.computed, counts.repeated) == (1, 0)


def test_planes_of_a_2d_network_share_batches() -> None:
    model = Voxelwise()
    SlidingWindow((8, 8), batch_size=4).logits(model, torch.randn(1, 10, 8, 8))
    assert model.batches == [4, 4, 2]


def test_progress_counts_every_tile() -> None:
    seen: list[tuple[int, int]] = []
    window = SlidingWindow((8, 8, 8), batch_size=2, on_tiles=lambda done, total: seen.append((done, total)))
    window.logits(Voxelwise(), torch.randn(1, 16, 16, 8))
    assert seen == [(2, 9), (3, 9), (5, 9), (6, 9), (8, 9), (9, 9)]


def test_bfloat16_is_close_to_float32_and_sums_are_float32() -> None:
    model, image = network(), torch.randn(2, 12, 12, 12, generator=torch.Generator().manual_seed(1))
    exact = SlidingWindow((8, 8, 8)).logits(model, image)
    low = SlidingWindow((8, 8, 8), precision="bfloat16").logits(model, image)
    assert low.dtype == torch.float32
    assert 0 < (exact - low).abs().max() < 0.1 * exact.abs().max()


def test_the_network_is_put_back_as_it_was() -> None:
    model = network()
    SlidingWindow((8, 8, 8)).logits(model, torch.randn(2, 8, 8, 8))
    assert model.training
    assert deep_supervision_enabled(model)
    slabs = SlidingWindow((8, 8, 8)).slabs(model, torch.randn(2, 30, 8, 8))
    next(slabs)
    assert not model.training
    slabs.close()
    assert model.training


def test_autocast_does_not_leak_to_whoever_takes_the_slabs() -> None:
    window = SlidingWindow((8, 8, 8), precision="bfloat16")
    for _ in window.slabs(network(), torch.randn(2, 20, 8, 8)):
        assert not torch.is_autocast_enabled("cpu")
        assert torch.is_grad_enabled()


def test_labels_in_preprocessed_space_are_the_best_class() -> None:
    model, labels = network(), Labels(classes={"a": (1,), "b": (7,)})
    image = torch.randn(2, 9, 16, 11, generator=torch.Generator().manual_seed(1))
    configuration = Configuration(
        name="3d_fullres",
        spacing=[1, 1, 1],
        median_shape=[8, 8, 8],
        patch_size=[8, 8, 8],
        batch_size=2,
        batch_dice=False,
        network=NetworkPlan(
            architecture="plain_unet",
            features=[4, 6],
            kernel_sizes=[[3] * 3] * 2,
            strides=[[1] * 3, [2] * 3],
            encoder_blocks=[1, 1],
            decoder_blocks=[1],
        ),
    )
    predicted = predict_preprocessed(model, image, configuration, labels, device=CPU, precision="float32")
    best = SlidingWindow((8, 8, 8)).logits(model, image).argmax(0)
    assert torch.equal(torch.from_numpy(predicted), torch.tensor([0, 1, 7], dtype=torch.uint8)[best])
    mirrored = predict_preprocessed(
        model, image, configuration, labels, device=CPU, precision="float32", mirror=True, step_size=1
    )
    best = SlidingWindow((8, 8, 8), 1, (0, 1, 2)).logits(model, image).argmax(0)
    assert torch.equal(torch.from_numpy(mirrored), torch.tensor([0, 1, 7], dtype=torch.uint8)[best])


def test_small_patches_go_together_and_large_ones_alone() -> None:
    assert default_batch_size((40, 56, 40), CPU) == 1
    assert default_batch_size((56, 40), CPU) == 29
    assert default_batch_size((8, 8), CPU) == 32
    assert default_batch_size((128, 128, 128), torch.device("cuda")) == 2
