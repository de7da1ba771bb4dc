from __future__ import annotations

import io
import os
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.interop.pickles import NOT_SUCH_A_FILE, load_plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

numbers = st.one_of(st.integers(), st.floats(allow_nan=False), st.booleans(), st.none())
plain = st.recursive(
    st.one_of(numbers, st.text()),
    lambda inner: st.one_of(
        st.lists(inner), st.tuples(inner, inner), st.dictionaries(st.one_of(st.integers(), st.text()), inner)
    ),
    max_leaves=20,
)


class Runs:
    """Is read by calling a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def load(value: object, protocol: int = 4) -> Any:
    return load_plain(io.BytesIO(pickle.dumps(value, protocol=protocol)))


@given(plain, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_come_back(value: object, protocol: int) -> None:
    assert load(value, protocol) == value


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_numbers_of_numpy_come_back(protocol: int) -> None:
    array = np.arange(24, dtype=np.int64).reshape(6, 4)
    found = load({"class_locations": {1: array, (1, 2): []}, "box": [[np.int64(3), np.float32(0.5)]]}, protocol)
    assert np.array_equal(found["class_locations"][1], array)
    assert found["class_locations"][1].dtype == np.int64
    assert found["class_locations"][1, 2] == []
    assert found["box"] == [[3, 0.5]]


@pytest.mark.parametrize(
    "bad",
    [
        Runs(os.system, "touch executed"),
        Runs(eval, "open('executed', 'w')"),
        Runs(np.load, "executed"),
        Runs(bytearray, 10**12),
        np.array([object()]),
        {1, 2},
        1j,
    ],
)
def test_anything_else_is_refused_and_nothing_is_run(bad: object, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NOT_SUCH_A_FILE):
        load({"spacing": [1, 1, 1], "more": bad})
    assert not (tmp_path / "executed").exists()


def test_a_truncated_file_is_refused() -> None:
    content = pickle.dumps({"a": np.zeros((100, 4))})
    for length in range(0, len(content), 97):
        with pytest.raises(NOT_SUCH_A_FILE):
            load_plain(io.BytesIO(content[:length]))


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(NOT_SUCH_A_FILE):
        load(endless)
