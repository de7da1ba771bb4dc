"""The observer that watches in silence is the pattern of all others."""

from __future__ import annotations

import inspect

import pytest

from goodfit.cli.screen import Screen
from goodfit.observer import Observer
from goodfit.training.controller import ControllerState
from goodfit.training.loop import Progress, Report


def test_the_base_class_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    observer = Observer()
    observer.stage("check")
    observer.advance(1, 2)
    observer.note("a sentence")
    observer.trained(Report(Progress(ControllerState()), 10, 0.5))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["stage", "advance", "note", "trained"])
def test_the_screen_takes_what_the_base_class_takes(name: str) -> None:
    shown = getattr(Screen, name)
    assert shown is not getattr(Observer, name), "the screen shows everything"
    assert list(inspect.signature(shown).parameters) == list(inspect.signature(getattr(Observer, name)).parameters)


def test_there_is_nothing_else_to_observe() -> None:
    assert {name for name in vars(Observer) if not name.startswith("_")} == {
        "stage",
        "advance",
        "note",
        "table",
        "trained",
    }
