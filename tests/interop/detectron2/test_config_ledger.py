from __future__ import annotations

import pytest

from goodfit.errors import SettingsError
from goodfit.interop.detectron2.config_ledger import Ledger


def _ledger(**values: object) -> Ledger:
    return Ledger("a.yaml", values)


def test_every_key_is_booked_once() -> None:
    ledger = _ledger(A=1, B=2, C=3)
    ledger.put("A", "plan.batch_size", 1)
    ledger.ignore_all({"B": "no counterpart", "D": "not there"})
    assert ledger.open_keys() == ["C"]
    assert ledger.settings == {"plan.batch_size": 1}
    assert ledger.honoured == [("A", 1, "plan.batch_size")]
    assert ledger.ignored == [("B", 2, "no counterpart")]


def test_values_are_given_in_their_type() -> None:
    ledger = _ledger(WHOLE=3, REAL=0.5, FLAG=True, TEXT="a", LIST=[1, 2.5], LISTS=[[1], [2, 3]], ONE=4)
    assert ledger.whole("WHOLE") == 3
    assert ledger.number("REAL") == 0.5
    assert ledger.number("MISSING", 7) == 7
    assert ledger.flag("FLAG")
    assert ledger.text("TEXT") == "a"
    assert ledger.numbers("LIST") == [1, 2.5]
    assert ledger.numbers("ONE") == [4]
    assert ledger.lists("LISTS") == [[1], [2, 3]]


@pytest.mark.parametrize(
    ("method", "value", "wanted"),
    [
        ("whole", 1.5, "a whole number"),
        ("whole", -1, "of 0 or more"),
        ("whole", True, "a number"),
        ("number", "x", "a number"),
        ("number", float("nan"), "a number"),
        ("flag", 1, "True or False"),
        ("text", None, "a text"),
        ("numbers", ["a"], "a list of numbers"),
        ("numbers", [True], "a list of numbers"),
        ("lists", [1, 2], "a list of lists"),
        ("lists", [], "a list of lists"),
        ("lists", [["a"]], "a list of numbers"),
    ],
)
def test_values_of_another_type_are_refused_by_name(method: str, value: object, wanted: str) -> None:
    with pytest.raises(SettingsError, match=r"a\.yaml: KEY is .* must be") as caught:
        getattr(_ledger(KEY=value), method)("KEY")
    assert wanted in str(caught.value)
