"""What users may ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.errors import SettingsError
from goodfit.settings import (
    SHORTCUTS,
    Settings,
    build_settings,
    explicit_settings,
    parse_assignments,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("2h30m", 9000), ("1.5h", 5400), ("45", 45), ("1h1s", 3601)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("text", "count"), [("8GB", 8e9), ("500MiB", 500 * 2**20), ("1024", 1024), ("2 gib", 2**31)])
def test_sizes(text: str, count: float) -> None:
    assert parse_size(text) == count


@given(st.integers(0, 99), st.integers(0, 59), st.integers(1, 59))
def test_durations_of_any_parts(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == 3600 * hours + 60 * minutes + seconds


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("budget.time", "soon", "'soon' is no duration"),
        ("budget.epochs", "0", "greater than 0"),
        ("plan.memory", "lots", "no amount of memory"),
        ("plan.batchsize", "2", "no such setting .*batch_size"),
        ("training.optimizer", "lion", "'sgd' or 'adamw'"),
        ("nosuch.field", "2", "the sections are data, plan"),
        ("plain", "2", "section.field=value"),
    ],
)
def test_a_wrong_setting_is_named(field: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        build_settings({field: value})


def test_all_wrong_settings_are_reported_at_once() -> None:
    with pytest.raises(SettingsError, match=r"(?s)training\.seed.*budget\.epochs|budget\.epochs.*training\.seed"):
        build_settings({"training.seed": "x", "budget.epochs": "y"})


def test_every_shortcut_names_a_setting() -> None:
    for field in SHORTCUTS.values():
        section, name = field.split(".")
        annotation = Settings.model_fields[section].annotation
        assert annotation is not None
        assert name in annotation.model_fields, field


def test_options_and_assignments_join() -> None:
    assert explicit_settings({"training.seed": "3"}, {"time": "10m", "epochs": None}) == {
        "training.seed": 3,
        "budget.time": 600.0,
    }
    with pytest.raises(SettingsError, match="given twice"):
        explicit_settings({"budget.time": "5m"}, {"time": "10m"})
    with pytest.raises(SettingsError, match="no such option"):
        explicit_settings({}, {"tiem": "10m"})


def test_patience_off_is_zero() -> None:
    assert build_settings({"training.patience": "off"}).training.patience == 0


def test_assignments_need_an_equals_sign() -> None:
    assert parse_assignments(["a.b=c=d"]) == {"a.b": "c=d"}
    with pytest.raises(SettingsError, match=r"--set a\.b"):
        parse_assignments(["a.b"])
