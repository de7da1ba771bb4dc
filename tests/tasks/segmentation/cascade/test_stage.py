"""Tests of bringing a prediction onto the next stage's grid; ``test_results_parity_with_nnunet.py`` compares with nnU-Net."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from goodfit.data.geometry import Geometry
from goodfit.data.labels import Labels
from goodfit.preprocessing.properties import CaseProperties
from goodfit.tasks.segmentation.cascade.stage import next_stage_labels
from goodfit.tasks.segmentation.restore import labels_of

PLACE = Geometry((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), 3)
PLAIN = Labels(classes={"a": (2,), "b": (7,)})
REGIONS = Labels(classes={"whole": (1, 2), "core": (2,)}, regions_order=(1, 2))


def properties(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> CaseProperties:
    return CaseProperties(PLACE, (0, 1, 2), (9, 9, 9), ((0, 9), (0, 9), (0, 9)), (9, 9, 9), shape, spacing)


@pytest.mark.parametrize("labels", [PLAIN, REGIONS])
@pytest.mark.parametrize("slabs", [1, 3])
def test_logits_are_resampled_before_the_decision(labels: Labels, slabs: int) -> None:
    logits = torch.randn(labels.outputs, 6, 7, 5, generator=torch.Generator().manual_seed(0))
    starts = np.linspace(0, 6, slabs + 1).astype(int)
    parts = [(int(low), logits[:, low:high]) for low, high in itertools.pairwise(starts)]
    found = next_stage_labels(parts, properties((6, 7, 5), (2.0, 2.0, 2.0)), (11, 14, 9), labels)
    whole = interpolate(logits[None], size=(11, 14, 9), mode="trilinear", align_corners=False)[0]
    assert torch.equal(found, labels_of(whole, labels))
    assert set(found.unique().tolist()) <= {0, *labels.foreground_values}


def test_thick_slices_are_repeated() -> None:
    logits = torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(1))
    found = next_stage_labels([(0, logits)], properties((4, 5, 5), (9.0, 2.0, 2.0)), (8, 5, 5), PLAIN)
    assert torch.equal(found[0::2], found[1::2])


def test_an_equal_grid_only_decides() -> None:
    logits = torch.randn(3, 4, 5, 6)
    found = next_stage_labels([(0, logits)], properties((4, 5, 6), (1.0, 1.0, 1.0)), (4, 5, 6), PLAIN)
    assert torch.equal(found, labels_of(logits, PLAIN))
