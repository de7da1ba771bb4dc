"""The public functions, imported when first used."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import metadata

import pytest

import goodfit

HEAVY = (
    "{'torch', 'numpy', 'scipy', 'SimpleITK', 'pydantic', 'plotly', 'matplotlib', 'monai', 'typer', 'rich', 'blosc2'}"
)


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)


def test_importing_the_package_imports_nothing_heavy() -> None:
    done = python(f"import sys, goodfit\nassert goodfit.__version__\nprint(*({HEAVY} & set(sys.modules)))")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_checking_needs_no_torch() -> None:
    done = python("import sys, goodfit\nassert callable(goodfit.check)\nprint('torch' in sys.modules)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False"]


CLASSES = {"Context", "Hook", "Recipe"}
ON_ARRAYS = {"Predictor", "load_model"}
"""Prediction from Python, which is no command."""


def test_prediction_on_arrays_is_documented() -> None:
    for name in ON_ARRAYS:
        assert getattr(goodfit, name).__module__ == "goodfit.predictor"
        assert getattr(goodfit, name).__doc__


@pytest.mark.parametrize("name", [name for name in goodfit.__all__ if name not in CLASSES | ON_ARRAYS])
def test_every_command_is_a_documented_function_of_its_name(name: str) -> None:
    function = getattr(goodfit, name)
    assert inspect.isfunction(function)
    assert function.__name__ == name
    assert function.__module__.startswith("goodfit.commands.")
    assert function.__doc__


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_what_users_subclass_is_a_documented_class(name: str) -> None:
    kind = getattr(goodfit, name)
    assert isinstance(kind, type)
    assert kind.__name__ == name
    assert kind.__module__.startswith("goodfit.training.")
    assert kind.__doc__


def test_the_public_names_are_these() -> None:
    assert sorted(goodfit.__all__) == goodfit.__all__
    assert set(goodfit.__all__) == {
        *CLASSES,
        *ON_ARRAYS,
        "check",
        "cross_validate",
        "export_model",
        "import_model",
        "extend",
        "plan",
        "preprocess",
        "resume",
        "stop",
        "train",
        "predict",
        "evaluate",
        "report",
        "demo",
        "ensemble",
        "postprocess",
        "select",
    }


def test_anything_else_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'goodfit' has no attribute 'trian'"):
        _ = goodfit.trian


def test_the_version_is_that_of_the_distribution() -> None:
    assert goodfit.__version__ == metadata.version("goodfit")
