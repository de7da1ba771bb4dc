"""The sums that users ask for."""

from __future__ import annotations

import pytest

from goodfit.planning.arithmetic import describe_bytes, describe_seconds


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (45, "45 s"),
        (89, "89 s"),
        (150, "2.5 min"),
        (3000, "50 min"),
        (3 * 3600, "3.0 h"),
        (40 * 3600, "40 h"),
        (864000, "10.0 days"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert describe_seconds(seconds) == words


def test_memory_in_words() -> None:
    assert describe_bytes(500 * 2**20) == "500 MiB"
    assert describe_bytes(2.5 * 2**30) == "2.50 GiB"
