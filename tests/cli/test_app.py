"""What is typed reaches the function of the same name, and what it gives is printed."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from goodfit import __version__
from goodfit.cli.app import app
from goodfit.data.problems import Problem
from goodfit.settings import SHORTCUTS, explicit_settings

WISHES: dict[str, Any] = {
    "time": "10m",
    "epochs": 7,
    "steps_per_epoch": 11,
    "batch_size": 3,
    "patch_size": "8x16x16",
    "spacing": "3x1x1",
    "configuration": "2d",
    "memory": "8GB",
    "planner": "nnunet",
    "network": "resenc",
    "backbone": "resnet50",
    "weights": "none",
    "image_size": 256,
    "detectron2_config": "old.yaml",
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "schedule": "poly",
    "cooldown": 0.5,
    "cooldown_shape": "1-sqrt",
    "patience": "off",
    "min_delta": 0.002,
    "monitor": "val_loss",
    "validate_every": "2epochs",
    "hook": ["my_hooks:One", "my_hooks:Two"],
    "recipe": "my_recipes:Mine",
    "precision": "float32",
    "seed": 5,
    "group_by": "^(p[0-9]+)_",
    "device": "cpu",
    "workers": 2,
    "grace": "60s",
    "log": "tensorboard,mlflow",
    "tta": True,
    "step_size": 0.25,
}
PLANNED = [name for name, field in SHORTCUTS.items() if field.startswith(("plan.", "model.", "budget.", "data."))] + [
    "device"
]
MACHINE = ["workers", "grace", "log", "tta", "step_size"]
SCORES = SimpleNamespace(
    title="test, 1 case", rows=lambda: [["class", "Dice"], ["liver", "0.900"]], mean_dice=0.9, optimistic=False
)
RUN = SimpleNamespace(path=Path("runs/one"), plan=Path("runs/one/plan.json"))
FINISHED = SimpleNamespace(scores=SCORES, run=RUN, report=Path("runs/one/report.html"), finished=True)
INTERRUPTED = SimpleNamespace(scores=None, run=RUN, report=None, finished=False)


class Command:
    """Stands for a command's function: keeps what it is called with, as its own signature names it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, result: Any, module: str | None = None) -> None:
        home = importlib.import_module(f"goodfit.commands.{module or name}")
        self.signature = inspect.signature(getattr(home, name))
        self.result = result
        self.got: dict[str, Any] = {}
        monkeypatch.setattr(home, name, self)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        bound = self.signature.bind(*arguments, **options).arguments
        self.got = {**bound, **bound.pop("options", {})}
        self.got.pop("options", None)
        return self.result


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def flags(names: list[str]) -> list[str]:
    typed: list[str] = []
    for name in names:
        flag = "--" + name.replace("_", "-")
        for value in WISHES[name] if isinstance(WISHES[name], list) else [WISHES[name]]:
            typed += [flag] if value is True else [flag, str(value)]
    return typed


def asked(command: Command, *, without: set[str] = frozenset()) -> dict[str, Any]:
    return {name: value for name, value in command.got.items() if name != "observer" and name not in without}


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
    shown = run("resume", "here", *flags([*MACHINE, "device"]))
    assert asked(resume) == {"run": Path("here"), **{name: WISHES[name] for name in [*MACHINE, "device"]}}
    assert "mean Dice 0.9000" in shown


def test_resume_takes_no_option_that_would_change_the_training() -> None:
    assert "No such option: --epochs" in run("resume", "here", "--epochs", "3", code=2)


def test_every_option_of_extend_reaches_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    extend = Command(monkeypatch, "extend", FINISHED)
    run("extend", "here", "--to", "there", *flags(["epochs", "time", "patience"]))
    assert asked(extend) == {
        "run": Path("here"),
        "to": Path("there"),
        **{name: WISHES[name] for name in ("epochs", "time", "patience")},
    }


@pytest.mark.parametrize(
    ("typed", "now", "said"), [([], False, "the cooldown begins"), (["--now"], True, "Next: goodfit resume here")]
)
def test_stop_says_what_will_happen(monkeypatch: pytest.MonkeyPatch, typed: list[str], now: bool, said: str) -> None:
    stop = Command(monkeypatch, "stop", None, "control")
    assert said in run("stop", "here", *typed)
    assert asked(stop) == {"run": Path("here"), "now": now}


def test_every_option_of_plan_reaches_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Command(monkeypatch, "plan", SimpleNamespace(run=RUN))
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
    shown = run("preprocess", "data", *typed, *flags(["memory", "group_by"]))
    assert asked(preprocess) == {
        "dataset": Path("data"),
        "run": Path("here"),
        "fresh": True,
        "configurations": ["2d", "3d_fullres"],
        "settings": {"data.split_seed": "2"},
        "memory": WISHES["memory"],
        "group_by": WISHES["group_by"],
    }
    assert "2d: a/b" in shown
    assert "goodfit train data --run here" in shown


def test_preprocess_takes_the_chosen_configuration_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    preprocess = Command(monkeypatch, "preprocess", {})
    assert run("preprocess", "data").endswith("goodfit train data\n")
    assert preprocess.got["configurations"] is None


def test_check_lists_the_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [Problem("error", "case_1", "a.nii.gz", "It is broken.", "Copy it again.")]
    check = Command(monkeypatch, "check", SimpleNamespace(problems=problems, ok=False, cases_checked=2), "inspect")
    shown = run("check", "data", *flags(["group_by", "workers"]), code=1)
    assert asked(check) == {"dataset": Path("data"), "group_by": WISHES["group_by"], "workers": 2}
    for cell in ("error", "case_1", "a.nii.gz", "It is broken.", "Copy it again.", "data: 1 problem"):
        assert cell in shown
    assert "no errors" not in shown


def test_a_good_dataset_is_told_what_comes_next(monkeypatch: pytest.MonkeyPatch) -> None:
    Command(monkeypatch, "check", SimpleNamespace(problems=[], ok=True, cases_checked=2), "inspect")
    assert run("check", "data").strip() == "2 cases checked, no errors. Next: goodfit train data"


def test_every_option_of_predict_reaches_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    predict = Command(monkeypatch, "predict", [Path("out/a.nii.gz")])
    typed = ["--checkpoint", "last", "--tta", "--step-size", "0.25", "--probabilities", "--continue", "--device", "cpu"]
    typed += ["--stride", "3"]
    assert "1 files in out. Next: goodfit evaluate out" in run("predict", "run", "in", "out", *typed)
    assert asked(predict) == {
        "run": Path("run"),
        "inputs": Path("in"),
        "output": Path("out"),
        "checkpoint": "last",
        "tta": True,
        "step_size": 0.25,
        "probabilities": True,
        "continue_": True,
        "stride": 3,
        "device": "cpu",
    }


@pytest.mark.parametrize(
    ("name", "typed"), [("predict", ["run", "in", "out"]), ("evaluate", ["a", "b"]), ("demo", []), ("report", ["run"])]
)
def test_defaults_are_those_of_the_function(monkeypatch: pytest.MonkeyPatch, name: str, typed: list[str]) -> None:
    result = {"predict": [], "evaluate": SCORES, "report": Path("r")}.get(name, FINISHED)
    command = Command(monkeypatch, name, result)
    run(name, *typed)
    for parameter in command.signature.parameters.values():
        if parameter.name in command.got and parameter.default is not parameter.empty and parameter.name != "observer":
            got = command.got[parameter.name]
            assert (str(got) if isinstance(got, Path) else got) == parameter.default, parameter.name


def test_every_option_of_evaluate_reaches_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = Command(monkeypatch, "evaluate", SCORES)
    shown = run("evaluate", "a", "b", "--json", "s.json", "--csv", "s.csv", "--tolerance", "2.5", "--only-predicted")
    assert asked(evaluate) == {
        "predictions": Path("a"),
        "references": Path("b"),
        "json_file": Path("s.json"),
        "csv_file": Path("s.csv"),
        "tolerance_mm": 2.5,
        "only_predicted": True,
    }
    assert "mean Dice 0.9000" in shown


def test_report_and_demo_reach_their_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    report = Command(monkeypatch, "report", Path("run/report.html"))
    assert run("report", "run").strip() == "report: run/report.html"
    assert asked(report) == {"run": Path("run")}
    demo = Command(monkeypatch, "demo", FINISHED)
    assert "report: runs/one/report.html" in run("demo", "d", "--time", "90s", "--seed", "3", "--fresh")
    assert asked(demo) == {"folder": Path("d"), "task": "segmentation", "time": "90s", "seed": 3, "fresh": True}


def test_the_version_is_shown() -> None:
    assert run("--version") == f"goodfit {__version__}\n"


def test_every_command_is_a_function_of_the_package() -> None:
    import goodfit

    functions = {name for name in goodfit.__all__ if not isinstance(getattr(goodfit, name), type)}
    assert {command.callback.__name__ for command in app.registered_commands if command.callback} == functions
