"""Tests of the whole augmentation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodfit.tasks.segmentation.augmentation.draw import Parameters, draw
from goodfit.tasks.segmentation.augmentation.pipeline import apply

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.tasks.segmentation.augmentation.settings import AugmentationSettings

    MakeSettings = Callable[..., AugmentationSettings]

CASES = st.sampled_from([((10, 12, 14), False), ((3, 12, 14), True), ((20, 16), False)])


def random_batch(initial: tuple[int, ...], samples: int, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(samples, channels, *initial, generator=generator),
        torch.randint(-1, 4, (samples, 1, *initial), generator=generator, dtype=torch.int16),
    )


def only(parameters: Parameters, index: int) -> Parameters:
    return dataclasses.replace(parameters, samples=(parameters.samples[index],))


@given(CASES, st.integers(0, 10**6), st.sampled_from([None, 1.0]), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_a_batch_equals_its_samples_one_by_one(
    make_settings: MakeSettings,
    case: tuple[tuple[int, ...], bool],
    seed: int,
    probability: float | None,
    channels: int,
) -> None:
    patch, in_plane = case
    chosen = make_settings(patch, probability, in_plane=in_plane, masked_channels=(0,))
    images, labels = random_batch(chosen.initial_patch_size, 5, channels)
    parameters = draw(chosen, seed, 0, 5, channels)
    new_images, new_labels = apply(images, labels, parameters)
    assert new_images.shape == (5, channels, *patch)
    assert new_labels.shape == (5, 1, *patch)
    assert torch.isfinite(new_images).all()
    for index in range(5):
        part = slice(index, index + 1)
        image, label = apply(images[part], labels[part], only(parameters, index))
        assert torch.equal(label, new_labels[part])
        assert torch.allclose(image, new_images[part], rtol=1e-5, atol=1e-5)


def test_repeating_gives_the_same_bits_and_inputs_stay(make_settings: MakeSettings) -> None:
    chosen = make_settings(probability=1.0, masked_channels=(1,))
    images, labels = random_batch(chosen.initial_patch_size, 3, 2)
    old_images, old_labels = images.clone(), labels.clone()
    parameters = draw(chosen, 1, 2, 3, 2)
    state = torch.get_rng_state()
    first = apply(images, labels, parameters)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        second = apply(images, labels, Parameters.from_dict(parameters.to_dict()))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert torch.equal(images, old_images)
    assert torch.equal(labels, old_labels)
    assert torch.equal(torch.get_rng_state(), state)


def test_nothing_drawn_is_the_centre_crop(make_settings: MakeSettings) -> None:
    chosen = make_settings((6, 7, 8), 0.0, margin=5)
    images, labels = random_batch(chosen.initial_patch_size, 2, 1)
    new_images, new_labels = apply(images, labels, draw(chosen, 0, 0, 2, 1))
    window = (..., slice(2, 8), slice(3, 10), slice(2, 10))
    assert torch.equal(new_images, images[window])
    assert torch.equal(new_labels, labels[window].clamp(min=0))
    assert (labels[window] == -1).any()


def test_masked_channels_are_zero_where_the_label_was_outside(make_settings: MakeSettings) -> None:
    chosen = make_settings((6, 6, 6), 0.0, margin=0, masked_channels=(1,))
    images, labels = random_batch((6, 6, 6), 2, 2)
    parameters = draw(dataclasses.replace(chosen, p_noise=1.0), 0, 0, 2, 2)
    new_images, new_labels = apply(images, labels, parameters)
    outside = labels[:, 0] == -1
    assert (new_images[:, 1][outside] == 0).all()
    assert (new_images[:, 0][outside] != 0).all()
    assert (new_images[:, 1][~outside] != 0).all()
    assert new_labels.min() == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_gives_what_the_cpu_gives(make_settings: MakeSettings) -> None:
    # Noise apart, whose generators differ.
    chosen = dataclasses.replace(make_settings(probability=1.0), p_noise=0.0)
    images, labels = random_batch(chosen.initial_patch_size, 4, 2)
    parameters = draw(chosen, 5, 6, 4, 2)
    new_images, new_labels = apply(images, labels, parameters)
    on_gpu = apply(images.cuda(), labels.cuda(), parameters)
    assert on_gpu[1].device.type == "cuda"
    assert (on_gpu[1].cpu() == new_labels).float().mean() > 0.999
    assert torch.allclose(on_gpu[0].cpu(), new_images, atol=1e-2)
