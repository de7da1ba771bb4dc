"""What is typed after check, plan and preprocess reaches the function of the same name."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING
from unittest.mock import Mock

from goodfit.commands.plan import Prepared
from goodfit.data.problems import Problem

if TYPE_CHECKING:
    import pytest

_spec = importlib.util.spec_from_file_location("typed", Path(__file__).with_name("typed.py"))
assert _spec is not None
assert _spec.loader is not None
_typed = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_typed)
WISHES, PLANNED, RUN = _typed.WISHES, _typed.PLANNED, _typed.RUN
Command, run, flags, asked = _typed.Command, _typed.run, _typed.flags, _typed.asked


def test_check_lists_the_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [Problem("error", "case_1", "a.nii.gz", "It is broken.", "Copy it again.")]
    check = Command(monkeypatch, "check", SimpleNamespace(problems=problems, ok=False, cases_checked=2), "inspect")
    shown = run("check", "data", *flags(["group_by", "workers"]), code=1)
    assert asked(check) == {"dataset": Path("data"), "group_by": WISHES["group_by"], "workers": 2}
    for cell in ("error", "case_1", "a.nii.gz", "It is broken.", "Copy it again.", "data: 1 problem"):
        assert cell in shown
    assert "no errors" not in shown


def test_a_column_with_nothing_to_tell_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [Problem("warning", "", "", f"{number} categories.", "Add videos.") for number in (2, 3)]
    Command(monkeypatch, "check", SimpleNamespace(problems=problems, ok=True, cases_checked=2), "inspect")
    shown = run("check", "data")
    assert "severity" in shown
    assert "what to do" in shown
    assert "3 categories." in shown
    assert not {"case", "file"} & set(shown.split("2 cases checked")[0].split())


def test_a_good_dataset_is_told_what_comes_next(monkeypatch: pytest.MonkeyPatch) -> None:
    Command(monkeypatch, "check", SimpleNamespace(problems=[], ok=True, cases_checked=2), "inspect")
    assert run("check", "data").strip() == "2 cases checked, no errors. Next: goodfit train data"


def test_every_option_of_plan_reaches_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Command(monkeypatch, "plan", Mock(spec=Prepared, run=RUN))
    monkeypatch.setattr("goodfit.cli.plan_tables.show_plan", lambda prepared: print("the plan"))  # noqa: T201
    shown = run("plan", "data", "--run", "here", "--fresh", "--set", "data.split_seed=2", *flags(PLANNED))
    assert asked(plan) == {
        "dataset": Path("data"),
        "run": Path("here"),
        "fresh": True,
        "settings": {"data.split_seed": "2"},
        **{name: WISHES[name] for name in PLANNED},
    }
    assert "the plan" in shown
    assert "goodfit train data --run runs/one" in shown


def test_every_option_of_preprocess_reaches_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    preprocess = Command(monkeypatch, "preprocess", {"2d": Path("a/b"), "3d_fullres": Path("a/c")})
    typed = ["--run", "here", "--fresh", "-c", "2d,3d_fullres", "--set", "data.split_seed=2"]
    shown = run("preprocess", "data", *typed, *flags(["memory", "plans", "group_by"]))
    assert asked(preprocess) == {
        "dataset": Path("data"),
        "run": Path("here"),
        "fresh": True,
        "configurations": ["2d", "3d_fullres"],
        "settings": {"data.split_seed": "2"},
        "memory": WISHES["memory"],
        "plans": WISHES["plans"],
        "group_by": WISHES["group_by"],
    }
    assert "2d: a/b" in shown
    assert "goodfit train data --run here" in shown


def test_preprocess_takes_the_chosen_configuration_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    preprocess = Command(monkeypatch, "preprocess", {})
    assert run("preprocess", "data").endswith("goodfit train data\n")
    assert preprocess.got["configurations"] is None
