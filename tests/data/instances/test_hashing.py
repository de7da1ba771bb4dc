from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from goodfit.data.instances.hashing import NEAR, distance, near_pairs, perceptual_hash

hashes = st.lists(st.integers(0, 2**64 - 1), max_size=20)


def scene(seed: int):
    blocks = np.random.default_rng(seed).integers(0, 255, (6, 6, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(blocks).resize((160, 120), Image.Resampling.BICUBIC))


def test_size_brightness_and_noise_hardly_matter():
    image = scene(0)
    noise = np.random.default_rng(1).normal(0, 4, image.shape)
    darker = np.clip(image * 0.7 + 10 + noise, 0, 255).astype(np.uint8)
    smaller = np.asarray(Image.fromarray(darker).resize((97, 71)))
    assert distance(perceptual_hash(image), perceptual_hash(smaller)) <= NEAR


def test_other_scenes_are_far():
    found = [perceptual_hash(scene(seed)) for seed in range(20)]
    assert all(0 <= one < 2**64 for one in found)
    apart = [distance(a, b) for index, a in enumerate(found) for b in found[:index]]
    assert min(apart) > NEAR


def test_flat_images_are_alike_whatever_their_grey():
    assert perceptual_hash(np.full((9, 9, 3), 3, np.uint8)) == perceptual_hash(np.full((50, 40, 3), 200, np.uint8))


@given(hashes, hashes, st.integers(0, 64))
def test_near_pairs_are_all_pairs_within_the_distance(first, second, most):
    expected = {
        (i, j): distance(a, b) for i, a in enumerate(first) for j, b in enumerate(second) if distance(a, b) <= most
    }
    found = {
        (i, int(j)): int(d)
        for i, near, apart in near_pairs(first, second, most)
        for j, d in zip(near, apart, strict=True)
    }
    assert found == expected
