"""Lists and numbers in messages."""

from __future__ import annotations

from goodfit.data.wording import counted, some


def test_some() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some([str(number) for number in range(8)]) == "0, 1, 2, 3, 4 and 3 more"


def test_counted() -> None:
    assert [counted(number, "case") for number in (0, 1, 2)] == ["0 cases", "1 case", "2 cases"]
