"""Names of folds as they are typed."""

from __future__ import annotations

import pytest

from goodfit.cli.folds import parse_folds
from goodfit.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0", ["0"]),
        ("0,1", ["0", "1"]),
        ("1-3", ["1", "2", "3"]),
        (" 0 , 2-3,all", ["0", "2", "3", "all"]),
        ("all", ["all"]),
    ],
)
def test_numbers_ranges_and_all_are_read(text: str, names: list[str]) -> None:
    assert parse_folds(text) == names


@pytest.mark.parametrize("text", ["", "x", "1-", "3-1", "1,,2", "-1", "1.5"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="write numbers like 0,1 or a range like 0-2, or all"):
        parse_folds(text)
