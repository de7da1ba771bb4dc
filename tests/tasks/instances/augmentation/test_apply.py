from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as vision

from goodfit.tasks.instances.augmentation import Colour, FrameChange, Placement, apply
from goodfit.tasks.instances.targets import FrameTarget, cut_out

CPU = torch.device("cpu")
FILL = (10, 20, 30)


def _sample(height: int = 40, width: int = 56, seed: int = 0):
    """Random blobs, each drawn into the image in a colour of its own, so that the image tells where it went."""
    rng = np.random.default_rng(seed)
    image = np.zeros((3, height, width), dtype=np.uint8)
    boxes, cuts = [], []
    for number in range(3):
        y, x = int(rng.integers(0, height - 14)), int(rng.integers(0, width - 14))
        mask = np.zeros((height, width), dtype=bool)
        mask[y : y + int(rng.integers(6, 14)), x : x + int(rng.integers(6, 14))] = True
        image[number][mask] = 255
        cut = cut_out(mask)
        h, w = cut.pixels.shape
        cuts.append(cut)
        boxes.append([cut.left, cut.top, cut.left + w, cut.top + h])
    target = FrameTarget(np.array(boxes, dtype=np.float32), np.array([1, 2, 3]), tuple(cuts))
    return torch.from_numpy(image), target


changes = st.builds(
    FrameChange,
    flip_horizontal=st.booleans(),
    flip_vertical=st.booleans(),
    quarter_turns=st.integers(0, 3),
    placement=st.none() | st.builds(Placement, st.floats(0.4, 2.5), st.floats(0, 1), st.floats(0, 1)),
)


@settings(max_examples=60)
@given(changes, st.integers(0, 1000))
def test_image_boxes_and_masks_stay_together(change, seed) -> None:
    image, target = _sample(seed=seed)
    changed, moved = apply(image, target, change, (0, 0, 0))
    height, width = changed.shape[-2:]
    masks = moved.tensors(height, width, CPU)["masks"].numpy()
    for mask, box, label in zip(masks, moved.boxes, moved.labels, strict=True):
        assert mask.any()
        # The channel of this object shows it; at its edge, interpolation decides otherwise for some pixels.
        shown = changed[int(label) - 1].numpy() > 127
        assert (shown != mask).sum() <= 2 * (mask.shape[0] + mask.shape[1])
        assert (shown & mask).any()
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        tight = np.array([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1])
        assert np.abs(tight - box).max() <= 1
        assert (box[:2] >= 0).all()
        assert (box[2:] <= (width, height)).all()


@settings(max_examples=40)
@given(st.booleans(), st.booleans(), st.integers(0, 3), st.integers(0, 1000))
def test_flips_and_turns_are_torchvisions_exactly(horizontal, vertical, turns, seed) -> None:
    image, target = _sample(seed=seed)
    height, width = image.shape[-2:]
    boxes = tv_tensors.BoundingBoxes(target.boxes, format="XYXY", canvas_size=(height, width))
    masks = target.tensors(height, width, CPU)["masks"]
    expected = image
    if horizontal:
        expected, boxes, masks = (vision.horizontal_flip(x) for x in (expected, boxes, masks))
    if vertical:
        expected, boxes, masks = (vision.vertical_flip(x) for x in (expected, boxes, masks))
    expected, masks = torch.rot90(expected, turns, (-2, -1)), torch.rot90(masks, turns, (-2, -1))
    change = FrameChange(flip_horizontal=horizontal, flip_vertical=vertical, quarter_turns=turns)
    changed, moved = apply(image, target, change, FILL)
    assert torch.equal(changed, expected)
    assert torch.equal(moved.tensors(*changed.shape[-2:], CPU)["masks"], masks)
    if not turns:
        assert np.array_equal(moved.boxes, boxes.numpy())


def test_a_smaller_frame_gets_a_margin() -> None:
    image, target = _sample()
    changed, moved = apply(image, target, FrameChange(placement=Placement(0.5, 0.0, 1.0)), FILL)
    assert changed.shape == image.shape
    assert changed[:, 20:, :].flatten(1).unique(dim=1).squeeze().tolist() == list(FILL)
    assert changed[:, :, :28].flatten(1).unique(dim=1).squeeze().tolist() == list(FILL)
    np.testing.assert_allclose(moved.boxes, target.boxes * 0.5 + [28, 0, 28, 0])


def test_what_is_cut_gets_the_box_of_what_is_left() -> None:
    mask = np.zeros((40, 40), dtype=bool)
    mask[0:4, 0:40] = True  # a wide bar on top of a narrow post
    mask[4:40, 18:22] = True
    target = FrameTarget(np.array([[0, 0, 40, 40]], dtype=np.float32), np.array([1]), (cut_out(mask),))
    image = torch.zeros(3, 40, 40, dtype=torch.uint8)
    # Twice as large, the lower half stays: the post alone, 8 pixels wide.
    _, moved = apply(image, target, FrameChange(placement=Placement(2.0, 1.0, 0.5)), FILL)
    assert moved.boxes.tolist() == [[16, 0, 24, 40]]


def test_objects_that_leave_the_frame_are_gone() -> None:
    mask = np.zeros((40, 40), dtype=bool)
    mask[:8, :8] = True
    target = FrameTarget(np.array([[0, 0, 8, 8]], dtype=np.float32), np.array([1]), (cut_out(mask),))
    image = torch.zeros(3, 40, 40, dtype=torch.uint8)
    _, moved = apply(image, target, FrameChange(placement=Placement(2.0, 1.0, 1.0)), FILL)
    assert len(moved) == 0
    assert moved.boxes.shape == (0, 4)
    without_masks = FrameTarget(target.boxes, target.labels, None)
    _, moved = apply(image, without_masks, FrameChange(placement=Placement(2.0, 1.0, 1.0)), FILL)
    assert len(moved) == 0


def test_colours_leave_objects_alone() -> None:
    image, target = _sample()
    change = FrameChange(colour=Colour(1.2, 0.8, 1.1, 0.02), grey=True, blur=1.0)
    changed, moved = apply(image, target, change, FILL)
    assert moved is target
    assert changed.dtype == torch.uint8
    assert changed.shape == image.shape
    assert torch.equal(changed[0], changed[2])  # grey
    assert not torch.equal(changed, image)


def test_nothing_to_do() -> None:
    image, target = _sample()
    changed, moved = apply(image, target, FrameChange(), FILL)
    assert torch.equal(changed, image)
    assert moved is target


@pytest.mark.parametrize("change", [FrameChange(flip_horizontal=True), FrameChange(placement=Placement(0.7, 0.3, 0.6))])
def test_arguments_stay_as_they_are(change) -> None:
    image, target = _sample()
    before = image.clone(), target.boxes.copy()
    apply(image, target, change, FILL)
    assert torch.equal(image, before[0])
    assert np.array_equal(target.boxes, before[1])
