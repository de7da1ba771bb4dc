"""Options added to a command from tables."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from goodfit.cli.shared import MACHINE, PLANNING, SPLIT, TRAINING, with_settings
from goodfit.settings import SHORTCUTS

SIZES = {"width": Annotated[int | None, typer.Option("--width", help="Width.")]}
NAMES = {"name": Annotated[list[str] | None, typer.Option("--name", help="Names.")]}


@pytest.fixture
def got() -> dict[str, Any]:
    return {}


@pytest.fixture
def app(got: dict[str, Any]) -> typer.Typer:
    """A command with an argument and an option of its own, and two tables."""

    @with_settings(SIZES, NAMES)
    def draw(
        what: Annotated[str, typer.Argument()],
        fast: Annotated[bool, typer.Option("--fast")] = False,
        *,
        verbose: Annotated[bool, typer.Option("--verbose")] = False,
        **wishes: Any,
    ) -> None:
        """Draw something."""
        got.update(what=what, fast=fast, verbose=verbose, wishes=wishes)

    made = typer.Typer()
    made.command()(draw)
    return made


def test_values_arrive_as_wishes_beside_the_commands_own(app: typer.Typer, got: dict[str, Any]) -> None:
    typed = ["a house", "--width", "3", "--name", "x", "--name", "y", "--fast", "--verbose"]
    assert CliRunner().invoke(app, typed).exit_code == 0
    assert got == {"what": "a house", "fast": True, "verbose": True, "wishes": {"width": 3, "name": ["x", "y"]}}


def test_what_is_not_given_is_none(app: typer.Typer, got: dict[str, Any]) -> None:
    assert CliRunner().invoke(app, ["a house"]).exit_code == 0
    assert got["wishes"] == {"width": None, "name": None}
    assert (got["fast"], got["verbose"]) == (False, False)


def test_the_help_shows_added_options_before_the_last_ones(app: typer.Typer) -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    places = [shown.index(flag) for flag in ("--fast", "--width", "--name", "--verbose")]
    assert places == sorted(places)
    assert "Draw something." in shown
    assert "wishes" not in shown


def test_an_option_that_is_in_no_table_is_refused(app: typer.Typer) -> None:
    assert CliRunner().invoke(app, ["a house", "--height", "3"]).exit_code == 2


def test_the_signature_is_that_of_the_command_with_the_tables_in_the_place_of_wishes() -> None:
    @with_settings(SIZES)
    def draw(what: str, *, verbose: bool = False, **wishes: Any) -> None:
        """Draw something."""

    assert list(inspect.signature(draw).parameters) == ["what", "width", "verbose"]
    assert draw.__name__ == "draw"
    assert draw.__doc__ == "Draw something."
    assert inspect.get_annotations(draw)["width"] is SIZES["width"]


def test_each_shortcut_is_in_one_table() -> None:
    tables = [*PLANNING, *SPLIT, *TRAINING, *MACHINE]
    assert len(tables) == len(set(tables))
    assert set(tables) == set(SHORTCUTS)


def test_what_may_change_between_sittings_is_in_the_table_of_the_machine() -> None:
    assert {SHORTCUTS[name].partition(".")[0] for name in MACHINE} == {"machine", "prediction"}
    assert {SHORTCUTS[name].partition(".")[0] for name in TRAINING} == {"training"}
