from __future__ import annotations

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from goodfit.data.instances.masks import encode_mask
from goodfit.tasks.instances.pasting import PastedMasks, encode_cut, paste


def _whole(cut, top, left, height, width):
    mask = np.zeros((height, width), dtype=bool)
    mask[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
    return mask


@given(
    hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9)),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_the_code_is_that_of_the_whole_mask(cut, top, left, below, right) -> None:
    height, width = max(1, top + cut.shape[0] + below), max(1, left + cut.shape[1] + right)
    code = encode_cut(cut, top, left, height, width)
    assert code == encode_mask(_whole(cut, top, left, height, width))


@given(
    st.floats(-20, 60, width=32),
    st.floats(-20, 60, width=32),
    st.floats(0.5, 50, width=32),
    st.floats(0.5, 50, width=32),
)
def test_a_full_mask_fills_its_box(x, y, w, h) -> None:
    height, width = 40, 50
    box = np.array([x, y, x + w, y + h], dtype=np.float32)
    cut, top, left = paste(np.ones((28, 28), dtype=np.float32), box, height, width)
    mask = _whole(cut, top, left, height, width)
    rows, columns = np.arange(height)[:, None] + 0.5, np.arange(width) + 0.5
    inside = (rows > box[1]) & (rows < box[3]) & (columns > box[0]) & (columns < box[2])
    # The corners of the box are rounded off by the interpolation, by less than a cell of the small mask.
    core = (
        (rows > box[1] + h / 28) & (rows < box[3] - h / 28) & (columns > box[0] + w / 28) & (columns < box[2] - w / 28)
    )
    assert not (mask & ~inside & ~_near(rows, columns, box)).any()
    assert mask[core].all()


def _near(rows, columns, box):
    """Pixels whose centre lies on the edge of the box, up to rounding."""
    gap = 1e-3
    return (rows > box[1] - gap) & (rows < box[3] + gap) & (columns > box[0] - gap) & (columns < box[2] + gap)


def test_a_small_mask_comes_back_at_its_own_scale() -> None:
    rng = np.random.default_rng(0)
    small = rng.random((28, 28)) < 0.5
    box = np.array([10, 20, 38, 48], dtype=np.float32)
    cut, top, left = paste(small.astype(np.float32), box, 60, 70)
    assert np.array_equal(_whole(cut, top, left, 60, 70)[20:48, 10:38], small)


def test_a_box_outside_of_the_image_gives_an_empty_mask() -> None:
    for box in ([100, 100, 120, 120], [-30, -30, -5, -5]):
        cut, top, left = paste(np.ones((28, 28), dtype=np.float32), np.array(box, dtype=np.float32), 40, 40)
        code = encode_cut(cut, top, left, 40, 40)
        assert coco_mask.area({"size": code["size"], "counts": code["counts"].encode()}) == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1)])
def test_images_of_one_line(size) -> None:
    cut, top, left = paste(np.ones((28, 28), dtype=np.float32), np.array([0, 0, size[1], size[0]], np.float32), *size)
    assert encode_cut(cut, top, left, *size)["size"] == list(size)


def test_masks_that_are_pasted_later_are_the_same() -> None:
    rng = np.random.default_rng(0)
    small = rng.random((4, 28, 28)).astype(np.float32)
    corners = rng.uniform(-10, 40, (4, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 40, (4, 2))], 1).astype(np.float32)
    masks = PastedMasks(small, boxes, 50, 60)
    at_once = [encode_cut(*paste(one, box, 50, 60), 50, 60) for one, box in zip(small, boxes, strict=True)]
    assert len(masks) == 4
    assert list(masks) == masks[:] == at_once
    assert masks[-1] == at_once[3]
    assert masks[1:3] == at_once[1:3]
    assert list(masks.chosen(np.array([2, 0]))) == [at_once[2], at_once[0]]
    cut, top, left = masks.cut(1)
    assert encode_cut(cut, top, left, 50, 60) == at_once[1]
    with pytest.raises(IndexError):
        masks[4]
