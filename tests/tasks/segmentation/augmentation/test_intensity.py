"""Tests of the intensity transforms, against plain formulas for one sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from goodfit.tasks.segmentation.augmentation import intensity
from goodfit.tasks.segmentation.augmentation.draw import Noise

FACTOR = st.floats(0.5, 2.0)
SHAPES = st.sampled_from([(7, 8, 9), (5, 4, 16), (12, 7)])


def random_images(shape: tuple[int, ...], samples: int = 3, channels: int = 2) -> torch.Tensor:
    return torch.randn(samples, channels, *shape, generator=torch.Generator().manual_seed(1)) * 3 + 2


@given(SHAPES, FACTOR, FACTOR)
@settings(deadline=None, max_examples=30)
def test_brightness(shape: tuple[int, ...], first: float, second: float) -> None:
    images = random_images(shape)
    changed = images.clone()
    intensity.scale_brightness(changed, [None, (first, second), None])
    assert torch.equal(changed[[0, 2]], images[[0, 2]])
    assert torch.allclose(changed[1, 0], images[1, 0] * first)
    assert torch.allclose(changed[1, 1], images[1, 1] * second)


@given(SHAPES, FACTOR)
@settings(deadline=None, max_examples=30)
def test_contrast_scales_about_the_mean_and_keeps_the_range(shape: tuple[int, ...], factor: float) -> None:
    images = random_images(shape)
    changed = images.clone()
    intensity.scale_contrast(changed, [(factor, 1.0), None, None])
    old = images[0, 0].numpy()
    wanted = np.clip((old - old.mean()) * factor + old.mean(), old.min(), old.max())
    assert np.allclose(changed[0, 0].numpy(), wanted, atol=1e-5)
    assert torch.allclose(changed[0, 1], images[0, 1], atol=1e-5)
    assert torch.equal(changed[1:], images[1:])


@given(SHAPES, FACTOR, st.booleans())
@settings(deadline=None, max_examples=30)
def test_gamma(shape: tuple[int, ...], exponent: float, inverted: bool) -> None:
    images = random_images(shape)
    changed = images.clone()
    intensity.apply_gamma(changed, [None, None, (exponent, 1.0)], inverted=inverted)
    sign = -1 if inverted else 1
    old = images[2, 0].numpy().astype(np.float64) * sign
    powered = ((old - old.min()) / (old.max() - old.min())) ** exponent
    wanted = (powered - powered.mean()) / powered.std() * old.std() + old.mean()
    assert np.allclose(changed[2, 0].numpy(), wanted * sign, atol=1e-4)
    assert torch.allclose(changed[2, 1], images[2, 1], atol=1e-4)
    assert torch.equal(changed[:2], images[:2])


def test_a_constant_channel_stays_constant() -> None:
    images = torch.full((1, 1, 4, 4, 4), 5.0)
    intensity.scale_contrast(images, [(1.2,)])
    intensity.apply_gamma(images, [(0.7,)], inverted=False)
    intensity.apply_gamma(images, [(1.3,)], inverted=True)
    intensity.lower_resolution(images, [(0.5,)], in_plane=False)
    assert torch.equal(images, torch.full_like(images, 5.0))


@given(SHAPES, st.tuples(*[st.floats(0.5, 1.0)] * 3))
@settings(deadline=None, max_examples=30)
def test_blur_is_a_truncated_gaussian_per_axis(shape: tuple[int, ...], sigmas: tuple[float, ...]) -> None:
    sigmas = sigmas[: len(shape)]
    images = random_images(shape)
    changed = images.clone()
    intensity.blur(changed, [None, (None, sigmas), None])
    wanted = images[1, 1].numpy()
    for axis, sigma in enumerate(sigmas):
        reach = intensity.kernel_reach(sigma)
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        wanted = ndimage.correlate1d(wanted, kernel / kernel.sum(), axis=axis, mode="mirror")
    assert np.allclose(changed[1, 1].numpy(), wanted, atol=1e-5)
    assert torch.equal(changed[[0, 2]], images[[0, 2]])
    assert torch.equal(changed[1, 0], images[1, 0])


@pytest.mark.parametrize(("sigma", "reach"), [(0.5, 1), (0.58, 1), (0.59, 2), (0.9, 2), (0.92, 3), (1.0, 3)])
def test_kernel_sizes_are_those_of_nnunet(sigma: float, reach: int) -> None:
    assert intensity.kernel_reach(sigma) == reach


def test_blur_of_an_axis_shorter_than_the_kernel() -> None:
    images = random_images((1, 2, 9))
    changed = images.clone()
    intensity.blur(changed, [((1.0, 1.0, 1.0), None), None, None])
    assert torch.isfinite(changed).all()
    assert changed[0, 0].std() < images[0, 0].std()


def coarsened(line: np.ndarray, share: float) -> np.ndarray:
    size = len(line)
    small = round(size * share)
    # single precision as in torch, for the places that fall between two voxels
    centres = np.arange(small, dtype=np.float32) + np.float32(0.5)
    kept = line[np.floor(centres * np.float32(size / small)).astype(int)]
    return np.interp((np.arange(size) + 0.5) * small / size - 0.5, np.arange(small), kept)


@given(SHAPES, st.floats(0.5, 1.0))
@settings(deadline=None, max_examples=30)
def test_low_resolution_is_nearest_down_and_linear_up(shape: tuple[int, ...], share: float) -> None:
    images = random_images(shape)
    changed = images.clone()
    intensity.lower_resolution(changed, [(share, None), None, None], in_plane=False)
    wanted = images[0, 0].numpy()
    for axis in range(len(shape)):
        wanted = np.apply_along_axis(coarsened, axis, wanted, share)
    assert np.allclose(changed[0, 0].numpy(), wanted, atol=1e-4)
    assert torch.equal(changed[0, 1], images[0, 1])
    assert torch.equal(changed[1:], images[1:])


def test_low_resolution_in_the_plane_keeps_the_first_axis() -> None:
    images = torch.arange(5.0).view(1, 1, 5, 1, 1).expand(1, 1, 5, 8, 8).clone()
    changed = images.clone()
    intensity.lower_resolution(changed, [(0.5,)], in_plane=True)
    assert torch.allclose(changed, images)
    intensity.lower_resolution(changed, [(0.5,)], in_plane=False)
    assert not torch.allclose(changed, images)


def test_noise_has_its_deviation_and_comes_from_its_seed() -> None:
    images = torch.zeros(3, 2, 20, 20, 20)
    intensity.add_noise(images, [Noise(0.1, 7), None, Noise(0.05, 7)])
    assert images[0].std().item() == pytest.approx(0.1, rel=0.03)
    assert abs(images[0].mean().item()) < 0.005
    assert not images[1].any()
    assert torch.allclose(images[2], images[0] / 2)
    assert not torch.equal(images[0, 0], images[0, 1])
    other = torch.zeros(1, 2, 20, 20, 20)
    intensity.add_noise(other, [Noise(0.1, 8)])
    assert not torch.equal(other[0], images[0])
