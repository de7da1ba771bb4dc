from __future__ import annotations

import numpy as np
import pytest

from goodfit.data.instances.masks import decode_mask, encode_mask, to_rle
from goodfit.data.instances.model import Instance


def instance(segmentation, box=(1.0, 2.0, 4.0, 5.0)):
    return Instance(1, box, segmentation, 1.0)


def test_masks_survive_encoding():
    mask = np.random.default_rng(0).random((13, 9)) > 0.6
    code = encode_mask(mask)
    assert isinstance(code["counts"], str)
    assert code["size"] == [13, 9]
    np.testing.assert_array_equal(decode_mask(instance(code), 13, 9), mask)


def test_any_value_but_zero_is_inside():
    assert decode_mask(instance(encode_mask(np.full((3, 4), 7))), 3, 4).all()


def test_polygons_are_joined():
    mask = decode_mask(instance([[0, 0, 2, 0, 2, 2, 0, 2], [4, 4, 6, 4, 6, 6, 4, 6]]), 8, 8)
    expected = np.zeros((8, 8), bool)
    expected[0:2, 0:2] = expected[4:6, 4:6] = True
    np.testing.assert_array_equal(mask, expected)


def test_polygons_are_clipped_at_the_edge():
    mask = decode_mask(instance([[-9, -9, 3, -9, 3, 99, -9, 99]]), 5, 6)
    np.testing.assert_array_equal(mask, np.arange(6)[None].repeat(5, 0) < 3)


def test_an_instance_without_a_mask_is_its_box():
    mask = decode_mask(instance(None), 6, 10)
    assert mask[2:5, 1:4].all()
    assert mask.sum() == 9
    assert to_rle(instance(None), 6, 10)["size"] == [6, 10]


@pytest.mark.parametrize("seed", range(5))
def test_the_other_library_draws_the_same(seed):
    judge = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(seed)
    polygon = (rng.random(12) * 40 - 5).tolist()
    expected = judge.merge(judge.frPyObjects([polygon], 30, 30))
    assert to_rle(instance([polygon]), 30, 30)["counts"] == expected["counts"].decode()
