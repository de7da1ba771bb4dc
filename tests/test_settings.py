"""What users may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.errors import SettingsError
from goodfit.planning.instances.plan import InstanceModel
from goodfit.settings import (
    SHORTCUTS,
    InstanceSection,
    Settings,
    build_settings,
    explicit_settings,
    parse_assignments,
    parse_duration,
    parse_size,
)

if TYPE_CHECKING:
    from pathlib import Path


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
        # What concerns instances alone is validated by their plan.
        known = InstanceModel.model_fields if annotation is InstanceSection else annotation.model_fields
        assert name in known, field


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


@pytest.mark.parametrize(
    ("field", "typed", "value"),
    [
        ("training.monitor", "dice", "val_dice"),
        ("training.monitor", "ap", "val_ap"),
        ("training.monitor", "val_dice_left", "val_dice_left"),
        ("training.validate_every", "100", "100 steps"),
        ("training.validate_every", 1, "1 step"),
        ("training.validate_every", "2epochs", "2 epochs"),
        ("training.checkpoint_seconds", "2m", 120.0),
        ("training.hooks", "a:B, c:D", ["a:B", "c:D"]),
        ("training.hooks", ["a:B"], ["a:B"]),
        ("machine.log", "tensorboard,mlflow", ["tensorboard", "mlflow"]),
        ("machine.grace", "1m", 60.0),
        ("model.anchor_sizes", "[[8], [16]]", [[8], [16]]),
        ("model.backbone", "resnet50", "resnet50"),
        ("model.masks", "true", True),
        ("sampling.rate", "0.5", 0.5),
    ],
)
def test_values_as_they_are_typed(field: str, typed: object, value: object) -> None:
    assert explicit_settings({field: typed}, {}) == {field: value}


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("training.validate_every", "0", "no period"),
        ("training.validate_every", "often", "no period"),
        ("machine.log", "wandb", "'tensorboard' or 'mlflow'"),
        ("machine.grace", "0", "greater than 0"),
        ("training.cooldown_shape", "cosine", "'linear' or '1-sqrt'"),
    ],
)
def test_values_that_cannot_be(field: str, typed: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        build_settings({field: typed})


def test_assignments_need_an_equals_sign() -> None:
    assert parse_assignments(["a.b=c=d"]) == {"a.b": "c=d"}
    with pytest.raises(SettingsError, match=r"--set a\.b"):
        parse_assignments(["a.b"])


def test_weights_to_begin_with_are_named_by_an_absolute_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    explicit = explicit_settings(None, {"initialise_from": "runs/first"})
    assert explicit == {"training.initialise_from": str(tmp_path / "runs" / "first")}
