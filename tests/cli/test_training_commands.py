"""What is typed after train, resume, extend, stop and demo reaches the function of the same name."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

from goodfit.settings import SHORTCUTS, explicit_settings

_spec = importlib.util.spec_from_file_location("typed", Path(__file__).with_name("typed.py"))
assert _spec is not None
assert _spec.loader is not None
_typed = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_typed)
WISHES, MACHINE, FINISHED, INTERRUPTED = _typed.WISHES, _typed.MACHINE, _typed.FINISHED, _typed.INTERRUPTED
Command, run, flags, asked = _typed.Command, _typed.run, _typed.flags, _typed.asked


def test_every_option_of_train_reaches_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(WISHES) == set(SHORTCUTS)
    train = Command(monkeypatch, "train", FINISHED)
    shown = run("train", "data", "--run", "here", "--fresh", "--set", "training.ema=0.1", *flags(list(WISHES)))
    assert asked(train) == {
        "dataset": Path("data"),
        "run": Path("here"),
        "fresh": True,
        "settings": {"training.ema": "0.1"},
        **WISHES,
    }
    explicit = explicit_settings(train.got["settings"], {name: train.got[name] for name in WISHES})
    assert len(explicit) == len(WISHES) + 1, "all of them are settings that can be"
    assert "mean Dice 0.9000" in shown
    assert "report: runs/one/report.html" in shown
    assert "goodfit predict runs/one IMAGES OUTPUT" in shown


def test_train_without_options_wishes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    train = Command(monkeypatch, "train", FINISHED)
    run("train", "data")
    assert asked(train) == {"dataset": Path("data"), "run": None, "fresh": False, "settings": {}} | dict.fromkeys(
        WISHES
    )


@pytest.mark.parametrize(("name", "module"), [("train", None), ("demo", None), ("resume", "control"), ("extend", None)])
def test_an_interrupted_training_leaves_with_130(
    monkeypatch: pytest.MonkeyPatch, name: str, module: str | None
) -> None:
    Command(monkeypatch, name, INTERRUPTED, module)
    assert "Interrupted and saved. Next: goodfit resume runs/one" in run(name, "folder", code=130)


@pytest.mark.parametrize(("name", "module"), [("train", None), ("demo", None), ("resume", "control"), ("extend", None)])
def test_a_run_without_test_cases_ends_without_scores(
    monkeypatch: pytest.MonkeyPatch, name: str, module: str | None
) -> None:
    Command(monkeypatch, name, SimpleNamespace(**{**vars(FINISHED), "scores": None}), module)
    shown = run(name, "folder")
    assert "Dice" not in shown
    assert "report: runs/one/report.html" in shown


def test_every_option_of_resume_reaches_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    resume = Command(monkeypatch, "resume", FINISHED, "control")
    shown = run("resume", "here", *flags([*MACHINE, "device"]), "--dataset", "moved")
    assert asked(resume) == {
        "run": Path("here"),
        "dataset": Path("moved"),
        **{name: WISHES[name] for name in [*MACHINE, "device"]},
    }
    assert "mean Dice 0.9000" in shown


def test_resume_takes_no_option_that_would_change_the_training() -> None:
    assert "No such option: --epochs" in run("resume", "here", "--epochs", "3", code=2)


def test_every_option_of_extend_reaches_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    extend = Command(monkeypatch, "extend", FINISHED)
    run("extend", "here", "--to", "there", "--dataset", "moved", *flags(["epochs", "time", "patience"]))
    assert asked(extend) == {
        "run": Path("here"),
        "to": Path("there"),
        "dataset": Path("moved"),
        **{name: WISHES[name] for name in ("epochs", "time", "patience")},
    }


@pytest.mark.parametrize(
    ("typed", "now", "said"), [([], False, "the cooldown begins"), (["--now"], True, "Next: goodfit resume here")]
)
def test_stop_says_what_will_happen(monkeypatch: pytest.MonkeyPatch, typed: list[str], now: bool, said: str) -> None:
    stop = Command(monkeypatch, "stop", None, "control")
    assert said in run("stop", "here", *typed)
    assert asked(stop) == {"run": Path("here"), "now": now}


def test_every_option_of_demo_reaches_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    demo = Command(monkeypatch, "demo", FINISHED)
    assert "report: runs/one/report.html" in run("demo", "d", "--time", "90s", "--seed", "3", "--fresh")
    assert asked(demo) == {"folder": Path("d"), "task": "segmentation", "time": "90s", "seed": 3, "fresh": True}
