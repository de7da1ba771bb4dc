"""Tests of the spatial transforms: labels exact, images and labels aligned."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodfit.tasks.segmentation.augmentation.draw import Parameters, SampleParameters
from goodfit.tasks.segmentation.augmentation.spatial import affine_matrix, mirror, take_patches

ANGLE = st.floats(-math.pi, math.pi)


def parameters(patch: tuple[int, ...], *samples: SampleParameters, in_plane: bool = False) -> Parameters:
    return Parameters(patch_size=patch, in_plane=in_plane, masked_channels=(), samples=samples)


def moves(angles: int) -> st.SearchStrategy[SampleParameters]:
    return st.builds(
        SampleParameters,
        rotation=st.none() | st.tuples(*[ANGLE] * angles),
        scale=st.none() | st.floats(0.7, 1.4),
    )


def random_batch(shape: tuple[int, ...], samples: int = 1, labels: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(samples, 2, *shape, generator=generator),
        torch.randint(0, labels, (samples, 1, *shape), generator=generator, dtype=torch.int16),
    )


@pytest.mark.parametrize(("shape", "patch"), [((11, 12, 13), (6, 7, 8)), ((12, 13), (7, 6)), ((6, 7, 8), (6, 7, 8))])
def test_a_sample_at_rest_is_cropped_bit_for_bit(shape: tuple[int, ...], patch: tuple[int, ...]) -> None:
    images, labels = random_batch(shape, 2)
    new_images, new_labels = take_patches(images, labels, parameters(patch, *[SampleParameters()] * 2))
    starts = [size // 2 - length // 2 for size, length in zip(shape, patch, strict=True)]
    window = (..., *(slice(start, start + length) for start, length in zip(starts, patch, strict=True)))
    assert torch.equal(new_images, images[window])
    assert torch.equal(new_labels, labels[window])


@given(st.lists(moves(3), min_size=1, max_size=4), st.sets(st.integers(0, 2**15 - 1), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_no_new_labels(samples: list[SampleParameters], values: set[int]) -> None:
    images, labels = random_batch((14, 15, 16), len(samples), len(values))
    labels = torch.tensor(sorted(values), dtype=torch.int16)[labels.long()]
    _, new_labels = take_patches(images, labels, parameters((12, 13, 14), *samples))
    assert set(new_labels.unique().tolist()) <= {*values, -1}


@given(moves(1), st.booleans())
@settings(max_examples=40, deadline=None)
def test_no_new_labels_in_the_plane(sample: SampleParameters, in_plane: bool) -> None:
    shape, patch = ((5, 16, 17), (5, 10, 11)) if in_plane else ((16, 17), (10, 11))
    images, labels = random_batch(shape)
    _, new_labels = take_patches(images, labels * 8191, parameters(patch, sample, in_plane=in_plane))
    assert set(new_labels.unique().tolist()) <= {-1, *(8191 * value for value in range(5))}


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("turns", [1, 2, 3, -1])
def test_quarter_turns_are_permutations(axis: int, turns: int) -> None:
    images, labels = random_batch((9, 9, 9))
    angles = [0.0, 0.0, 0.0]
    angles[axis] = turns * math.pi / 2
    sample = SampleParameters(rotation=tuple(angles))
    new_images, new_labels = take_patches(images, labels, parameters((9, 9, 9), sample))
    plane = ((3, 4), (4, 2), (2, 3))[axis]
    assert torch.equal(new_labels, labels.rot90(-turns, plane))
    assert torch.allclose(new_images, images.rot90(-turns, plane), atol=1e-5)


@pytest.mark.parametrize("in_plane", [True, False])
def test_quarter_turns_in_the_plane(in_plane: bool) -> None:
    shape = (4, 8, 8) if in_plane else (8, 8)
    images, labels = random_batch(shape)
    sample = SampleParameters(rotation=(math.pi / 2,))
    _, new_labels = take_patches(images, labels, parameters(shape, sample, in_plane=in_plane))
    assert torch.equal(new_labels, labels.rot90(-1, (-2, -1)))


@given(moves(3))
@settings(max_examples=60, deadline=None)
def test_image_and_label_show_the_same_place(sample: SampleParameters) -> None:
    # The image holds each voxel's coordinates, which linear interpolation keeps exactly, the label its number.
    shape, patch = (30, 31, 32), (13, 14, 15)
    coordinates = torch.stack(torch.meshgrid(*[torch.arange(float(size)) for size in shape], indexing="ij"))
    numbers = torch.arange(math.prod(shape)).view(1, 1, *shape).to(torch.int16)
    images, labels = take_patches(coordinates[None], numbers, parameters(patch, sample))
    places = np.stack(np.unravel_index(labels[0, 0].clamp(min=0).numpy(), shape))
    sampled = images[0].numpy()
    limits = np.array(shape).reshape(3, 1, 1, 1)
    inside = (labels[0, 0] >= 0).numpy() & np.all((places > 0) & (places < limits - 1), axis=0)
    if not sample.moves:
        assert np.array_equal(sampled, places)
        return
    assert np.abs(sampled - places).max(axis=0, where=inside, initial=0).max() <= 0.5 + 1e-4
    # And it is the place that the matrix says.
    offsets = np.stack(np.meshgrid(*[np.arange(size) - (size - 1) / 2 for size in patch], indexing="ij"))
    wanted = np.einsum("ij,jzyx->izyx", affine_matrix(sample, 3), offsets) + (limits - 1) / 2
    assert np.abs(sampled - wanted).max(axis=0, where=inside, initial=0).max() < 1e-3


def test_far_outside_there_is_nothing() -> None:
    images = torch.ones(1, 1, 10, 10)
    labels = torch.full((1, 1, 10, 10), 3, dtype=torch.int16)
    new_images, new_labels = take_patches(images, labels, parameters((10, 10), SampleParameters(scale=1.4)))
    assert (new_labels[0, 0, 0] == -1).all()
    assert (new_images[0, 0, 0] == 0).all()
    assert (new_labels[0, 0, 3:7, 3:7] == 3).all()


def test_matrix_is_a_scaled_rotation() -> None:
    matrix = affine_matrix(SampleParameters(rotation=(0.3, -0.2, 0.5), scale=1.2), 3)
    assert np.allclose(matrix @ matrix.T, 1.44 * np.eye(3))
    assert np.linalg.det(matrix) == pytest.approx(1.2**3)
    assert np.array_equal(affine_matrix(SampleParameters(scale=0.8), 2), 0.8 * np.eye(2))


def test_mirroring_is_a_permutation_and_its_own_inverse() -> None:
    images, labels = random_batch((4, 5, 6), 8)
    chosen = [axes for count in range(4) for axes in itertools.combinations(range(3), count)]
    samples = [SampleParameters(mirror=axes) for axes in chosen]
    new_images, new_labels = images.clone(), labels.clone()
    mirror(new_images, new_labels, samples)
    for index, axes in enumerate(chosen):
        assert torch.equal(new_images[index], images[index].flip([axis + 1 for axis in axes]))
        assert torch.equal(new_labels[index], labels[index].flip([axis + 1 for axis in axes]))
    mirror(new_images, new_labels, samples)
    assert torch.equal(new_images, images)
    assert torch.equal(new_labels, labels)
