from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from goodfit.data.instances.masks import decode_mask, encode_mask
from goodfit.data.instances.model import Frame, ImageSource, Instance
from goodfit.tasks.instances.targets import cut_out, frame_target

CPU = torch.device("cpu")


def test_at_the_original_size_masks_are_exact(world) -> None:
    frame = world.frame("a", 90, 110, objects=4)
    target = frame_target(frame, 90, 110, masks=True)
    tensors = target.tensors(90, 110, CPU)
    expected = np.stack([decode_mask(instance, 90, 110) for instance in frame.instances])
    assert np.array_equal(tensors["masks"].numpy(), expected)
    assert tensors["boxes"].tolist() == [list(instance.box) for instance in frame.instances]
    assert tensors["labels"].tolist() == [instance.category for instance in frame.instances]
    assert tensors["labels"].dtype == torch.int64


def test_a_smaller_frame_has_boxes_and_masks_in_proportion(world) -> None:
    frame = world.frame("a", 120, 200, objects=3)
    target = frame_target(frame, 60, 50, masks=True)
    np.testing.assert_allclose(target.boxes, np.array([i.box for i in frame.instances]) * [0.25, 0.5, 0.25, 0.5])
    for instance, cut, box in zip(frame.instances, target.masks, target.boxes, strict=True):
        assert abs(cut.pixels.sum() / (instance.area / 8) - 1) < 0.1
        h, w = cut.pixels.shape
        assert np.abs(np.array([cut.left, cut.top, cut.left + w, cut.top + h]) - box).max() <= 1


def test_crowds_and_slivers_are_left_out(world) -> None:
    frame = world.frame("a", objects=3)
    crowd = replace(frame.instances[0], crowd=True)
    sliver = replace(frame.instances[1], box=(10.0, 10.0, 10.5, 60.0))
    frame = replace(frame, instances=(crowd, sliver, frame.instances[2]))
    target = frame_target(frame, frame.height, frame.width, masks=True)
    assert len(target) == 1
    assert target.labels.tolist() == [frame.instances[2].category]


def test_an_object_whose_mask_vanishes_is_left_out() -> None:
    mask = np.zeros((64, 64), dtype=bool)
    mask[0::32, 0::32] = True  # between the centres of all pixels at a quarter of the size
    instance = Instance(1, (0.0, 0.0, 33.0, 33.0), encode_mask(mask), float(mask.sum()))
    frame = Frame("a", "a", 0, None, 64, 64, ImageSource(Path("a.png")), (instance,))
    assert len(frame_target(frame, 16, 16, masks=True)) == 0
    assert len(frame_target(frame, 16, 16, masks=False)) == 1


def test_a_frame_without_objects(world) -> None:
    target = frame_target(world.frame("a", objects=0), 40, 50, masks=True)
    tensors = target.tensors(40, 50, CPU)
    assert tensors["boxes"].shape == (0, 4)
    assert tensors["masks"].shape == (0, 40, 50)


@given(
    hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)), st.integers(0, 9), st.integers(0, 9)
)
def test_cutting_out_loses_nothing(mask, top, left) -> None:
    cut = cut_out(mask, top, left)
    whole = np.zeros((30, 30), dtype=bool)
    if cut is not None:
        h, w = cut.pixels.shape
        whole[cut.top : cut.top + h, cut.left : cut.left + w] = cut.pixels
        assert cut.pixels[0].any()
        assert cut.pixels[-1].any()
        assert cut.pixels[:, 0].any()
        assert cut.pixels[:, -1].any()
    expected = np.zeros((30, 30), dtype=bool)
    expected[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    assert np.array_equal(whole, expected)
