"""Plain labels, regions and the ignore label."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from goodfit.data.labels import Labels

PLAIN = Labels({"liver": (1,), "tumour": (4,)}, ignore=5)
REGIONS = Labels({"whole": (1, 2, 3), "core": (2, 3)}, regions_order=(1, 2))


def test_plain_labels_have_an_output_for_the_background() -> None:
    assert not PLAIN.has_regions
    assert PLAIN.outputs == 3
    assert PLAIN.names == ("liver", "tumour")


def test_regions_have_an_output_each() -> None:
    assert REGIONS.has_regions
    assert REGIONS.outputs == 2


def test_a_file_may_hold_background_foreground_and_ignore() -> None:
    assert PLAIN.foreground_values == (1, 4)
    assert PLAIN.known_values == (0, 1, 4, 5)
    assert REGIONS.foreground_values == (1, 2, 3)
    assert REGIONS.known_values == (0, 1, 2, 3)


@given(st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=4), min_size=1, max_size=6))
def test_values_are_sorted_and_named_once(values: list[list[int]]) -> None:
    labels = Labels({f"class {index}": tuple(each) for index, each in enumerate(values)})
    assert set(labels.foreground_values) == {value for each in values for value in each}
    assert list(labels.foreground_values) == sorted(set(labels.foreground_values))
    assert labels.outputs == len(values) + 1
