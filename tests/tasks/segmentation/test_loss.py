from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from goodfit.data.labels import Labels
from goodfit.tasks.segmentation.loss import SegmentationLoss, deep_supervision_weights, soft_dice, subsample

PLAIN = Labels(classes={"liver": (1,), "tumour": (2,)})
SPARSE_VALUES = Labels(classes={"liver": (7,), "tumour": (300,)})
IGNORE = Labels(classes={"liver": (1,), "tumour": (2,)}, ignore=3)
REGIONS = Labels(classes={"whole": (1, 2), "core": (2,)}, regions_order=(1, 2))
REGIONS_IGNORE = Labels(classes={"whole": (1, 2), "core": (2,)}, ignore=3, regions_order=(1, 2))
ALL = [PLAIN, SPARSE_VALUES, IGNORE, REGIONS, REGIONS_IGNORE]
SHAPES = [(6, 8), (4, 6, 8)]


def reference(labels: Labels, batch_dice: bool, logits: Tensor, label: Tensor) -> Tensor:
    """The formulas written out with one-hot copies, in float64."""
    logits, label = logits.double(), label[:, 0]
    valid = torch.ones_like(label, dtype=torch.bool) if labels.ignore is None else label != labels.ignore
    classes = [torch.isin(label, torch.tensor(values)) for values in labels.classes.values()]
    if labels.has_regions:
        target = torch.stack(classes, 1).double()
        probabilities = logits.sigmoid()
        entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(1)
        foreground = slice(None)
    else:
        background = ~torch.stack(classes).any(0)
        target = torch.stack([background, *classes], 1).double()
        probabilities = logits.softmax(1)
        entropy = functional.cross_entropy(logits, target.argmax(1), reduction="none")
        foreground = slice(1, None)
    mask = valid[:, None].double()
    probabilities, target = (probabilities * mask)[:, foreground], (target * mask)[:, foreground]
    axes = tuple(range(2, logits.ndim))
    overlap, total = (probabilities * target).sum(axes), (probabilities + target).sum(axes)
    if batch_dice:
        overlap, total = overlap.sum(0), total.sum(0)
    dice = ((2 * overlap + 1e-5) / (total + 1e-5)).mean()
    return (entropy * valid).sum() / valid.sum().clamp(min=1) - dice


def example(labels: Labels, shape: tuple[int, ...], seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.tensor([-1, *labels.known_values])
    label = values[torch.randint(len(values), (3, 1, *shape), generator=generator)]
    return torch.randn(3, labels.outputs, *shape, generator=generator) * 2, label.to(torch.int16)


def perfect(labels: Labels, label: Tensor) -> Tensor:
    """Logits that are sure of the right answer."""
    members = [torch.isin(label[:, 0], torch.tensor(values)) for values in labels.classes.values()]
    if not labels.has_regions:
        members = [~torch.stack(members).any(0), *members]
    return torch.stack(members, 1).float() * 200 - 100


@pytest.mark.parametrize("batch_dice", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("labels", ALL)
def test_equals_the_formulas_written_out(labels: Labels, shape: tuple[int, ...], batch_dice: bool) -> None:
    logits, label = example(labels, shape)
    loss = SegmentationLoss(labels, batch_dice, [(1,) * len(shape)])
    result = loss(logits, label)
    assert result.dtype == torch.float32
    assert result.item() == pytest.approx(reference(labels, batch_dice, logits, label).item(), abs=1e-5)


@pytest.mark.parametrize("labels", ALL)
def test_gradient_equals_that_of_the_formulas(labels: Labels) -> None:
    logits, label = example(labels, (4, 6))
    ours = logits.clone().requires_grad_()
    theirs = logits.clone().requires_grad_()
    SegmentationLoss(labels, True, [(1, 1)])(ours, label).backward()
    reference(labels, True, theirs, label).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("labels", ALL)
def test_gradient_equals_finite_differences(labels: Labels) -> None:
    logits, label = example(labels, (2, 3))
    loss = SegmentationLoss(labels, False, [(1, 1)])
    logits.requires_grad_()
    loss(logits, label).backward()
    step = 1e-2
    for index in [(0, 0, 0, 0), (1, 1, 1, 2), (2, labels.outputs - 1, 0, 1)]:
        with torch.no_grad():
            nudge = torch.zeros_like(logits)
            nudge[index] = step
            slope = (loss(logits + nudge, label) - loss(logits - nudge, label)) / (2 * step)
        assert logits.grad[index].item() == pytest.approx(slope.item(), abs=2e-4)


@pytest.mark.parametrize("labels", ALL)
def test_a_perfect_prediction_has_a_loss_of_minus_one(labels: Labels) -> None:
    _, label = example(labels, (6, 8))
    assert SegmentationLoss(labels, False, [(1, 1)])(perfect(labels, label), label).item() == pytest.approx(-1)


def test_known_value_for_an_undecided_network() -> None:
    label = torch.tensor([[[[1, 2], [0, 0]]]])
    # Softmax 1/3 everywhere: entropy log 3; each class 2 * (1/3) / (4/3 + 1).
    result = SegmentationLoss(PLAIN, False, [(1, 1)])(torch.zeros(1, 3, 2, 2), label)
    assert result.item() == pytest.approx(torch.tensor(3.0).log().item() - 2 / 7, abs=1e-5)


@pytest.mark.parametrize("labels", [IGNORE, REGIONS_IGNORE])
def test_ignored_voxels_neither_count_nor_get_a_gradient(labels: Labels) -> None:
    logits, label = example(labels, (6, 8))
    loss = SegmentationLoss(labels, True, [(1, 1)])
    ignored = (label == labels.ignore).expand_as(logits)
    other = torch.where(ignored, torch.randn_like(logits) * 9, logits)
    assert loss(other, label).item() == pytest.approx(loss(logits, label).item(), abs=1e-6)
    logits.requires_grad_()
    loss(logits, label).backward()
    assert (logits.grad[ignored] == 0).all()
    assert (logits.grad[~ignored] != 0).any()


@pytest.mark.parametrize("labels", [IGNORE, REGIONS_IGNORE])
def test_a_batch_without_any_label_has_a_finite_loss_and_no_gradient(labels: Labels) -> None:
    logits = torch.randn(2, labels.outputs, 4, 4, requires_grad=True)
    result = SegmentationLoss(labels, False, [(1, 1)])(logits, torch.full((2, 1, 4, 4), 3))
    result.backward()
    assert result.item() == pytest.approx(-1)
    assert (logits.grad == 0).all()


def test_bfloat16_outputs_are_taken_in_float32() -> None:
    logits, label = example(PLAIN, (6, 8))
    low = logits.bfloat16()
    loss = SegmentationLoss(PLAIN, False, [(1, 1)])
    assert loss(low, label).dtype == torch.float32
    assert torch.equal(loss(low, label), loss(low.float(), label))


def test_deep_supervision_weighs_the_outputs_and_leaves_the_coarsest_out() -> None:
    strides = [(1, 1), (2, 2), (4, 2)]
    logits, label = example(PLAIN, (8, 8))
    outputs = [logits, logits[..., ::2, ::2], logits[..., ::4, ::2] * torch.inf]
    loss = SegmentationLoss(PLAIN, True, strides)
    fine, coarse = (
        reference(PLAIN, True, outputs[0], label),
        reference(PLAIN, True, outputs[1], label[..., 1::2, 1::2]),
    )
    assert loss(outputs, label).item() == pytest.approx((2 * fine + coarse).item() / 3, abs=1e-5)
    assert loss(outputs[0], label).item() == pytest.approx(fine.item(), abs=1e-5)


@given(st.integers(1, 8))
def test_weights_sum_to_one_and_halve(outputs: int) -> None:
    weights = deep_supervision_weights(outputs)
    assert sum(weights) == pytest.approx(1)
    assert all(second in (first / 2, 0) for first, second in itertools.pairwise(weights))
    assert weights[-1] == (1 if outputs == 1 else 0)


@settings(deadline=None)
@given(st.tuples(st.integers(1, 4), st.integers(1, 4)), st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_subsampling_is_torch_nearest_exact(stride: tuple[int, int], blocks: tuple[int, int]) -> None:
    shape = [step * count for step, count in zip(stride, blocks, strict=True)]
    label = torch.arange(shape[0] * shape[1]).reshape(1, *shape)
    expected = functional.interpolate(label[None].float(), size=blocks, mode="nearest-exact")[0].long()
    assert torch.equal(subsample(label, stride), expected)


def test_dice_of_an_absent_class_that_is_not_predicted_is_one() -> None:
    nothing = torch.zeros(1, 1, 5)
    assert soft_dice(nothing, nothing.bool(), None, False).item() == 1


def test_labels_outside_the_output_are_our_own_mistake() -> None:
    loss = SegmentationLoss(PLAIN, False, [(1, 1), (2, 2)])
    with pytest.raises(AssertionError, match="1 outputs, 2 strides"):
        loss([torch.zeros(1, 3, 4, 4)], torch.zeros(1, 1, 4, 4, dtype=torch.int16))
    with pytest.raises(AssertionError, match="output"):
        loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 5, dtype=torch.int16))


@pytest.mark.parametrize(
    ("batch_dice", "plain", "ignoring", "regions"),
    [(False, 1.8355776, 1.7474320, 0.6210229), (True, 1.8349922, 1.7469846, 0.6204218)],
)
def test_golden_numbers_of_nnunet(batch_dice: bool, plain: float, ignoring: float, regions: float) -> None:
    # What nnU-Net 2.8.1's DC_and_CE_loss and DC_and_BCE_loss give for these tensors.
    torch.manual_seed(0)
    logits, label = torch.randn(3, 3, 4, 6, 8) * 2, torch.randint(0, 4, (3, 1, 4, 6, 8))
    region_logits = torch.randn(3, 2, 4, 6, 8) * 2
    strides = [(1, 1, 1)]
    assert SegmentationLoss(PLAIN, batch_dice, strides)(logits, label.clamp(max=2)).item() == pytest.approx(plain)
    assert SegmentationLoss(IGNORE, batch_dice, strides)(logits, label).item() == pytest.approx(ignoring)
    known = label.where(label < 3, 0)
    assert SegmentationLoss(REGIONS, batch_dice, strides)(region_logits, known).item() == pytest.approx(regions)
