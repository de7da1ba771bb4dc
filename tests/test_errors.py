"""What each kind of error means to whoever called the command line."""

from __future__ import annotations

import sys

import pytest

from goodfit import errors
from goodfit.cli import main
from goodfit.errors import (
    DatasetError,
    GoodfitError,
    HookError,
    ImageFileError,
    PlanError,
    ResourceError,
    RunError,
    SettingsError,
    SplitError,
    VideoError,
)

CODES = {
    GoodfitError: 2,
    DatasetError: 1,
    ImageFileError: 1,
    SplitError: 1,
    PlanError: 2,
    SettingsError: 2,
    RunError: 1,
    ResourceError: 1,
    HookError: 1,
    VideoError: 1,
}


def test_every_error_has_its_exit_code() -> None:
    found = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)}
    assert found == set(CODES)
    assert {kind: kind.exit_code for kind in found} == CODES


def test_errors_of_files_and_splits_are_errors_of_the_dataset() -> None:
    assert {kind for kind in CODES if issubclass(kind, DatasetError)} == {DatasetError, ImageFileError, SplitError}
    assert all(issubclass(kind, GoodfitError) for kind in CODES)


@pytest.mark.parametrize("kind", CODES)
def test_the_command_line_prints_the_message_and_leaves_with_the_code(
    kind: type[GoodfitError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise kind("the [b]thing[/b]: mend it.")

    monkeypatch.setattr("goodfit.cli.app.app", fail)
    monkeypatch.setenv("GOMP_SPINCOUNT", "1")
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == CODES[kind]
    shown = capsys.readouterr()
    assert shown.err == "error: the [b]thing[/b]: mend it.\n"
    assert shown.out == ""


def test_a_folder_that_cannot_be_written_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise PermissionError(13, "Permission denied", "/somewhere/run")

    monkeypatch.setattr("goodfit.cli.app.app", fail)
    monkeypatch.setenv("GOMP_SPINCOUNT", "1")
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    assert capsys.readouterr().err == "error: /somewhere/run: Permission denied.\n"


def test_an_interrupt_leaves_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("goodfit.cli.app.app", interrupt)
    monkeypatch.setenv("GOMP_SPINCOUNT", "1")
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 130
    assert "The same command goes on" in capsys.readouterr().err


def test_what_is_our_own_fault_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("goodfit.cli.app.app", fail)
    monkeypatch.setattr(sys, "argv", ["goodfit"])
    monkeypatch.setenv("GOMP_SPINCOUNT", "1")
    with pytest.raises(ZeroDivisionError):
        main()
