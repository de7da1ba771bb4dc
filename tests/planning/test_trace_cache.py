from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.planning import operator_scratch, step_trace, trace_cache
from goodfit.planning.trace_cache import FILE, MOST_ENTRIES, keep, recall, remembered, trace_key

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from goodfit.planning.trace_cache import Lines

LINES = ((1.5, 2.0), (0.0, 3.0))


def test_a_trace_is_made_once(tmp_path: Path) -> None:
    traced = []

    def trace() -> Lines:
        traced.append(1)
        return LINES

    assert remembered(tmp_path, "a", trace) == LINES
    assert remembered(tmp_path, "a", trace) == LINES
    assert len(traced) == 1
    assert remembered(None, "a", trace) == LINES
    assert len(traced) == 2


def test_what_is_kept_is_recalled(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    assert recall(folder, "a") is None
    keep(folder, "a", LINES)
    keep(folder, "b", LINES[:1])
    assert recall(folder, "a") == LINES
    assert recall(folder, "b") == LINES[:1]


def test_without_a_folder_nothing_is_kept() -> None:
    keep(None, "a", LINES)
    assert recall(None, "a") is None


def test_a_damaged_file_is_none(tmp_path: Path) -> None:
    for text in ("{", "[]"):
        (tmp_path / FILE).write_text(text)
        assert recall(tmp_path, "a") is None
    keep(tmp_path, "a", LINES)
    assert recall(tmp_path, "a") == LINES


def test_the_oldest_make_room(tmp_path: Path) -> None:
    for number in range(MOST_ENTRIES + 2):
        keep(tmp_path, str(number), LINES)
    assert recall(tmp_path, "1") is None
    assert recall(tmp_path, "2") == LINES


def test_the_key_follows_settings_code_and_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {
        trace_key("a", [step_trace]),
        trace_key("b", [step_trace]),
        trace_key("a", [step_trace, operator_scratch]),
    }
    assert len(keys) == 3
    assert trace_key("a", [step_trace]) in keys
    monkeypatch.setattr(trace_cache.metadata, "version", lambda _library: "0.0")
    assert trace_key("a", [step_trace]) not in keys
