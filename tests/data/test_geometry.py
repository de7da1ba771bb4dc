"""Geometries survive JSON, and differ only by more than rounding."""

from __future__ import annotations

import dataclasses
import json

import pytest

from goodfit.data.geometry import Geometry, geometry_differences

SOLID = Geometry((3.0, 0.75, 0.5), (10.0, -20.0, 30.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), 3)
FLAT = Geometry((999.0, 1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0), 2)


@pytest.mark.parametrize("geometry", [SOLID, FLAT])
def test_json_round_trip(geometry: Geometry) -> None:
    assert Geometry.from_dict(json.loads(json.dumps(geometry.to_dict()))) == geometry


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("spacing", (3.0, 0.75, 0.51), "spacing"),
        ("origin", (10.1, -20.0, 30.0), "origin"),
        ("direction", (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), "direction"),
    ],
)
def test_differences_are_named(field: str, value: tuple[float, ...], named: str) -> None:
    other = dataclasses.replace(SOLID, **{field: value})
    assert [text.split()[0] for text in geometry_differences(SOLID, other)] == [named]
    assert [text.split()[0] for text in geometry_differences(other, SOLID)] == [named]


def test_rounding_is_no_difference() -> None:
    other = Geometry((3.0001, 0.75, 0.50001), (10.01, -20.0, 30.0), (1.0, 1e-4, 0.0, -1e-4, 1.0, 0.0, 0.0, 0.0, 1.0), 3)
    assert geometry_differences(SOLID, other) == []


def test_dimensions_differ() -> None:
    assert geometry_differences(SOLID, FLAT) == ["one is 3D, the other 2D"]
