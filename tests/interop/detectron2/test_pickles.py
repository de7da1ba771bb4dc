from __future__ import annotations

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from goodfit.errors import PlanError
from goodfit.interop.detectron2.pickles import read_arrays


class _Runs:
    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_come_back_whatever_the_protocol(tmp_path, protocol) -> None:
    rng = np.random.default_rng(0)
    model = OrderedDict(
        a=rng.normal(size=(3, 4, 2)).astype(np.float32),
        b=np.arange(5),
        c=np.asfortranarray(rng.normal(size=(3, 2))),
        d=b"x",
    )
    content = {
        "model": model,
        "__author__": "Detectron2 Model Zoo",
        "step": np.float64(0.5),
        "matching_heuristics": True,
    }
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps(content, protocol=protocol))
    arrays = read_arrays(file)
    assert arrays.keys() == {"a", "b", "c"}
    for name, array in arrays.items():
        assert np.array_equal(array, model[name])
        assert array.dtype == model[name].dtype


@pytest.mark.parametrize(
    "bad",
    [
        _Runs(os.system, "touch executed"),
        _Runs(eval, "open('executed', 'w')"),
        _Runs(getattr, "x", "upper"),
        _Runs(np.load, "executed"),
        _Runs(pickle.loads, b"x"),
    ],
)
def test_nothing_is_run(tmp_path, monkeypatch, bad) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps({"model": {"a": bad}}))
    with pytest.raises(PlanError, match="nothing in it is run"):
        read_arrays(file)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04N.", pickle.dumps([1, 2]), pickle.dumps({"model": {}})])
def test_what_is_no_file_of_weights(tmp_path, content) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(content)
    with pytest.raises(PlanError, match=r"model\.pkl"):
        read_arrays(file)


def test_arrays_of_objects_are_refused(tmp_path) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps({"model": {"a": np.array([1, "x"], dtype=object)}}, protocol=2))
    with pytest.raises(PlanError, match="nothing in it is run"):
        read_arrays(file)


def test_damage_anywhere_gives_our_error_or_arrays(tmp_path) -> None:
    whole = pickle.dumps({"model": {"a": np.arange(6.0)}}, protocol=2)
    file = tmp_path / "model.pkl"
    for place in range(len(whole)):
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]):
            file.write_bytes(content)
            try:
                arrays = read_arrays(file)
            except PlanError:
                continue
            assert all(isinstance(array, np.ndarray) for array in arrays.values())


def test_a_missing_file(tmp_path) -> None:
    with pytest.raises(PlanError, match="no such file"):
        read_arrays(tmp_path / "model.pkl")
