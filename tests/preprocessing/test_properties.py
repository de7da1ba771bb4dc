from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from goodfit.data.geometry import Geometry
from goodfit.preprocessing.properties import CaseProperties, place_back

GEOMETRY = Geometry(
    spacing=(3.0, 2.0, 1.0), origin=(0.0, 1.0, 2.0), direction=(1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), dims=3
)


def _properties(transpose: tuple[int, int, int]) -> CaseProperties:
    whole = (6, 7, 8)
    z, y, x = (whole[axis] for axis in transpose)
    return CaseProperties(
        geometry=GEOMETRY,
        transpose=transpose,
        shape_before_crop=(z, y, x),
        bbox=((1, z - 1), (0, y), (2, x - 1)),
        shape_after_crop=(z - 2, y, x - 3),
        shape=(9, 9, 9),
        spacing=(1.0, 1.0, 1.0),
    )


def test_properties_survive_json() -> None:
    properties = _properties((2, 0, 1))

    assert CaseProperties.from_dict(json.loads(json.dumps(properties.to_dict()))) == properties


def test_spacing_before_is_in_transposed_order() -> None:
    assert _properties((2, 0, 1)).spacing_before == (1.0, 3.0, 2.0)


@pytest.mark.parametrize("transpose", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("leading", [(), (2,)])
def test_placing_back_undoes_transpose_and_crop(transpose: tuple[int, int, int], leading: tuple[int, ...]) -> None:
    properties = _properties(transpose)
    original = np.random.default_rng(0).integers(1, 9, (*leading, 6, 7, 8))
    moved = original.transpose(*range(len(leading)), *(axis + len(leading) for axis in transpose))
    slices = tuple(slice(*ends) for ends in properties.bbox)

    result = place_back(moved[(..., *slices)], properties)

    assert result.shape == original.shape
    inside = result != 0
    assert np.array_equal(result[inside], original[inside])
    assert inside.sum() == moved[(..., *slices)].size
