from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from goodfit.data.labels import Labels
from goodfit.tasks.segmentation.metrics import (
    ClassMetrics,
    case_metrics,
    dice_counts,
    dice_of_counts,
    surface,
)

PLAIN = Labels({"organ": (1,), "lesion": (2,)})
REGIONS = Labels({"whole": (1, 2), "core": (2,)}, regions_order=(1, 2))


def score(prediction, reference, labels=PLAIN, spacing=(1.0, 1.0, 1.0), tolerance=1.0):
    return case_metrics(
        np.asarray(prediction),
        np.asarray(reference),
        labels,
        spacing=spacing,
        voxel_volume=math.prod(spacing),
        tolerance=tolerance,
    )


def cube(low, high, size=12, value=1):
    array = np.zeros((size, size, size), dtype=np.int16)
    array[low:high, low:high, low:high] = value
    return array


def blob(seed, size=(14, 18, 16), share=0.35):
    noise = np.random.default_rng(seed).normal(size=size)
    for axis in range(len(size)):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, -1, axis)
    return noise > np.quantile(noise, 1 - share)


def test_perfect_prediction():
    scores = score(cube(3, 7), cube(3, 7))["organ"]
    assert scores == ClassMetrics(
        dice=1,
        iou=1,
        hd95=0,
        surface_dice=1,
        reference_volume=64,
        prediction_volume=64,
        volume_difference=0,
    )


def test_shifted_cube_by_hand():
    reference, prediction = cube(3, 7), np.roll(cube(3, 7), 2, axis=0)
    scores = score(prediction, reference, spacing=(2.5, 1.0, 1.0))["organ"]
    assert scores.dice == pytest.approx(0.5)
    assert scores.iou == pytest.approx(32 / 96)
    # The face that was left behind is two voxels of 2.5 mm away from the shifted cube.
    assert scores.hd95 == pytest.approx(5.0)
    assert scores.reference_volume == scores.prediction_volume == pytest.approx(64 * 2.5)
    assert scores.volume_difference == 0
    # Within 1 mm: the shell voxels that coincide, and the inner ones a millimetre beside the other shell.
    assert 0 < scores.surface_dice < 1
    assert score(prediction, reference, spacing=(2.5, 1, 1), tolerance=5.0)["organ"].surface_dice == 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.8, 1.3)])
def test_surface_metrics_equal_monai(seed, spacing):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.metrics import compute_hausdorff_distance, compute_surface_dice

        predicted, expected = blob(seed), blob(seed + 100) | blob(seed)
        one_hot = [torch.from_numpy(mask)[None, None].float() for mask in (predicted, expected)]
        hd95 = compute_hausdorff_distance(*one_hot, include_background=True, percentile=95, spacing=spacing)
        near = compute_surface_dice(
            *one_hot, class_thresholds=[1.3], include_background=True, spacing=spacing, use_subvoxels=False
        )
    ours = score(predicted * 1, expected * 1, spacing=spacing, tolerance=1.3)["organ"]
    assert ours.hd95 == pytest.approx(hd95.item(), abs=1e-5)
    assert ours.surface_dice == pytest.approx(near.item(), abs=1e-6)


def test_class_in_neither_is_undefined_and_does_not_count():
    scores = score(cube(3, 7), cube(3, 7))["lesion"]
    assert all(math.isnan(value) for value in (scores.dice, scores.iou, scores.hd95, scores.surface_dice))
    assert not scores.counts


@pytest.mark.parametrize("missed", [True, False])
def test_class_in_only_one_scores_nothing_and_the_diagonal(missed):
    full, empty = cube(3, 7), cube(0, 0)
    scores = score(*((empty, full) if missed else (full, empty)), spacing=(2.0, 1.0, 1.0))["organ"]
    assert (scores.dice, scores.iou, scores.surface_dice) == (0, 0, 0)
    assert scores.hd95 == pytest.approx(math.hypot(24, 12, 12))
    assert scores.volume_difference == pytest.approx(-128 if missed else 128)
    assert scores.counts


def test_undefined_is_null_in_json_and_comes_back():
    scores = score(cube(3, 7), cube(3, 7))["lesion"]
    text = scores.model_dump_json()
    assert '"dice":null' in text
    assert math.isnan(ClassMetrics.model_validate_json(text).dice)


def test_ignored_voxels_are_in_neither_mask():
    labels = Labels({"organ": (1,)}, ignore=3)
    reference = cube(2, 8)
    reference[5:] = 3
    prediction = cube(2, 8)
    assert score(prediction, reference, labels)["organ"].dice == 1
    prediction[6:] = 0
    scores = score(prediction, reference, labels)["organ"]
    assert scores.dice == 1
    assert scores.hd95 == 0


def test_region_is_a_union():
    reference = cube(2, 8)
    reference[4:6] *= 2
    prediction = cube(2, 8)
    scores = score(prediction, reference, REGIONS)
    assert scores["whole"].dice == 1
    assert scores["core"].dice == 0


def test_flat_image_is_scored_along_its_outline():
    flat = np.zeros((1, 20, 20), dtype=np.int16)
    flat[0, 5:15, 5:15] = 1
    shifted = np.roll(flat, 1, axis=2)
    scores = score(shifted, flat, spacing=(999.0, 2.0, 2.0), tolerance=1.0)["organ"]
    assert scores.hd95 == pytest.approx(2.0)
    # 36 outline pixels each; the two long sides overlap in 9 pixels each, plus none of the moved ones.
    assert scores.surface_dice == pytest.approx(36 / 72)
    missed = score(flat * 0, flat, spacing=(999.0, 2.0, 2.0))["organ"]
    assert missed.hd95 == pytest.approx(40 * math.sqrt(2))


def test_image_of_one_voxel():
    one = np.ones((1, 1, 1), dtype=np.int16)
    assert score(one, one)["organ"].hd95 == 0
    assert score(one, one)["organ"].surface_dice == 1


def test_surface_of_a_cube_is_its_shell():
    shell = surface(cube(3, 8) > 0)
    assert shell.sum() == 5**3 - 3**3
    # A mask that fills the array ends at the array's faces.
    assert surface(np.ones((4, 4, 4), dtype=bool)).sum() == 4**3 - 2**3


LABELLED = arrays(np.int16, (4, 5, 6), elements=st.integers(0, 3))
IGNORING = Labels({"whole": (1, 2), "core": (2,)}, ignore=3, regions_order=(1, 2))


@given(LABELLED, LABELLED, st.sampled_from([PLAIN, REGIONS, IGNORING]))
def test_counts_equal_masks(prediction, reference, labels):
    dice = dice_of_counts(dice_counts(prediction, reference, labels))
    scores = score(prediction, reference, labels)
    np.testing.assert_allclose(dice, [scores[name].dice for name in labels.names])
    tensors = dice_counts(torch.from_numpy(prediction), torch.from_numpy(reference), labels)
    np.testing.assert_array_equal(tensors, dice_counts(prediction, reference, labels))


@given(LABELLED, LABELLED, st.floats(0, 3))
def test_metrics_are_symmetric_and_in_range(prediction, reference, tolerance):
    there = score(prediction, reference, spacing=(3.0, 1.0, 0.5), tolerance=tolerance)
    back = score(reference, prediction, spacing=(3.0, 1.0, 0.5), tolerance=tolerance)
    for name, scores in there.items():
        if not scores.counts:
            continue
        assert scores.dice == back[name].dice
        assert scores.hd95 == pytest.approx(back[name].hd95)
        assert scores.surface_dice == pytest.approx(back[name].surface_dice)
        assert 0 <= scores.iou <= scores.dice <= 1
        assert 0 <= scores.surface_dice <= 1
        assert 0 <= scores.hd95 <= math.hypot(12, 5, 3)


def test_unknown_values_count_as_background():
    prediction, label = np.array([1, 1, -4, 90]), np.array([1, 500, 2, 1])
    tp, fp, fn = dice_counts(prediction, label, PLAIN)
    assert (tp.tolist(), fp.tolist(), fn.tolist()) == ([1, 0], [1, 0], [1, 1])
    tensors = dice_counts(torch.from_numpy(prediction), torch.from_numpy(label), PLAIN)
    np.testing.assert_array_equal(tensors, (tp, fp, fn))
