"""The commands as a whole."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from goodfit import __version__
from goodfit.cli.app import app

_spec = importlib.util.spec_from_file_location("typed", Path(__file__).with_name("typed.py"))
assert _spec is not None
assert _spec.loader is not None
_typed = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_typed)
SCORES, FINISHED = _typed.SCORES, _typed.FINISHED
Command, run = _typed.Command, _typed.run


def test_the_version_is_shown() -> None:
    assert run("--version") == f"goodfit {__version__}\n"


def test_every_command_is_a_function_of_the_package() -> None:
    import goodfit

    functions = {name for name in goodfit.__all__ if not isinstance(getattr(goodfit, name), type)} - {"load_model"}
    assert {command.callback.__name__ for command in app.registered_commands if command.callback} == functions


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
