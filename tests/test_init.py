"""The public functions, imported when first used."""

from __future__ import annotations

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


@pytest.mark.parametrize("name", goodfit.__all__)
def test_every_command_is_a_documented_function_of_its_name(name: str) -> None:
    function = getattr(goodfit, name)
    assert function.__name__ == name
    assert function.__module__.startswith("goodfit.commands.")
    assert function.__doc__


def test_the_commands_are_these() -> None:
    assert sorted(goodfit.__all__) == goodfit.__all__
    assert set(goodfit.__all__) == {
        "check",
        "cross_validate",
        "plan",
        "preprocess",
        "train",
        "predict",
        "evaluate",
        "report",
        "demo",
    }


def test_anything_else_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'goodfit' has no attribute 'trian'"):
        _ = goodfit.trian


def test_the_version_is_that_of_the_distribution() -> None:
    assert goodfit.__version__ == metadata.version("goodfit")
