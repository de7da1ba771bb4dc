from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from goodfit.data.geometry import Geometry
from goodfit.data.labels import Labels
from goodfit.preprocessing.properties import CaseProperties
from goodfit.preprocessing.resample import resample_logits
from goodfit.tasks.segmentation import restore as module
from goodfit.tasks.segmentation.restore import labels_of, probabilities_of, resample_slabs, restore

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN = Labels(classes={"a": (1,), "b": (2,)})
REGIONS = Labels(classes={"whole": (1, 2), "core": (2,)}, regions_order=(1, 2))


def in_slabs(volume: Tensor, cuts: list[int]) -> Iterator[tuple[int, Tensor]]:
    """Hand out slabs in one buffer that is overwritten, as inference does."""
    buffer = torch.empty_like(volume)
    ends = [*cuts, volume.shape[1]]
    for start, end in zip([0, *cuts], ends, strict=True):
        buffer.fill_(torch.nan)
        slab = buffer[:, : end - start]
        slab.copy_(volume[:, start:end])
        yield start, slab


SIZES = st.tuples(st.integers(1, 12), st.integers(1, 9), st.integers(1, 9))


@settings(deadline=None, max_examples=150)
@given(SIZES, SIZES, st.sampled_from([None, 0, 1, 2]), st.data())
def test_resampling_slabs_is_resampling_the_whole(
    before: tuple[int, int, int], after: tuple[int, int, int], separate: int | None, data: st.DataObject
) -> None:
    volume = torch.randn(2, *before, generator=torch.Generator().manual_seed(0))
    cuts = sorted(data.draw(st.sets(st.integers(1, before[0] - 1)))) if before[0] > 1 else []
    long = [10.0 if axis == separate else 1.0 for axis in range(3)]
    expected = resample_logits(volume, after, long, long)
    result, end = [], 0
    for start, logits in resample_slabs(in_slabs(volume, cuts), before, after, separate):
        assert start == end
        end += logits.shape[1]
        result.append(logits.clone())
    torch.testing.assert_close(torch.cat(result, 1), expected, rtol=1e-4, atol=1e-5)


def test_chunks_are_small_whatever_the_slab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_VALUES_PER_CHUNK", 2 * 6 * 6 * 3)
    volume = torch.randn(2, 40, 4, 4)
    expected = resample_logits(volume, (80, 6, 6), (1, 1, 1), (1, 1, 1))
    chunks = [logits for _, logits in resample_slabs([(0, volume)], (40, 4, 4), (80, 6, 6), None)]
    assert max(chunk.shape[1] for chunk in chunks) <= 3
    torch.testing.assert_close(torch.cat(chunks, 1), expected, rtol=1e-4, atol=1e-5)
    same = [logits for _, logits in resample_slabs([(0, volume)], (40, 4, 4), (40, 4, 4), None)]
    assert [chunk.shape[1] for chunk in same] == [6] * 6 + [4]


@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1), (1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize("labels", [PLAIN, REGIONS, Labels(classes={"a": (3,), "b": (400,)})])
def test_restored_volumes_are_the_plain_computation(labels: Labels, transpose: tuple[int, int, int]) -> None:
    properties = CaseProperties(
        geometry=Geometry((3.0, 1.0, 0.8), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1), 3),
        transpose=transpose,
        shape_before_crop=(12, 14, 10),
        bbox=((2, 11), (0, 14), (3, 9)),
        shape_after_crop=(9, 14, 6),
        shape=(13, 10, 8),
        spacing=(1.0, 1.4, 0.6),
    )
    logits = torch.randn(labels.outputs, 13, 10, 8, generator=torch.Generator().manual_seed(0))
    result = restore(in_slabs(logits, [3, 4, 9]), properties, labels, with_probabilities=True)
    back = resample_logits(logits, (9, 14, 6), properties.spacing, properties.spacing_before)
    expected = np.zeros((12, 14, 10), dtype=int)
    expected[2:11, :, 3:9] = labels_of(back, labels).numpy()
    inverse = np.argsort(transpose)
    assert np.array_equal(result.labels, expected.transpose(inverse))
    assert result.labels.dtype == (np.uint16 if 400 in labels.foreground_values else np.uint8)
    assert result.probabilities is not None
    assert result.probabilities.dtype == np.float16
    chances = np.zeros((labels.outputs, 12, 14, 10))
    if not labels.has_regions:
        chances[0] = 1
    chances[:, 2:11, :, 3:9] = probabilities_of(back, labels).numpy()
    turned = chances.transpose(0, *(1 + inverse))
    np.testing.assert_allclose(result.probabilities, turned, atol=1e-3)
    assert restore(in_slabs(logits, [5]), properties, labels).probabilities is None


def test_plain_labels_take_the_first_of_the_largest() -> None:
    logits = torch.tensor([[1.0, 0, 0, 5], [1, 2, 0, 5], [1, 2, 3, 6]])
    assert labels_of(logits, PLAIN).tolist() == [0, 1, 2, 2]
    assert labels_of(logits, Labels(classes={"a": (5,), "b": (300,)})).tolist() == [0, 5, 300, 300]


def test_regions_overwrite_in_their_order_and_need_more_than_a_half() -> None:
    logits = torch.tensor([[1.0, -1, 1, 0], [-1, 1, 1, 0]])
    assert labels_of(logits, REGIONS).tolist() == [1, 2, 2, 0]
    turned = Labels(classes=REGIONS.classes, regions_order=(2, 1))
    assert labels_of(logits, turned).tolist() == [2, 1, 1, 0]


def test_probabilities_are_a_softmax_or_sigmoids() -> None:
    logits = torch.tensor([[0.0, 100], [0, 0], [0, 0]])
    torch.testing.assert_close(probabilities_of(logits, PLAIN), torch.tensor([[1 / 3, 1], [1 / 3, 0], [1 / 3, 0]]))
    assert probabilities_of(torch.zeros(2, 1), REGIONS).tolist() == [[0.5], [0.5]]
