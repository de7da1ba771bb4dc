"""What is shown while a command works."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from goodfit.cli.screen import Screen, show_error, show_logs, show_table
from goodfit.training.controller import ControllerState
from goodfit.training.loop import Progress, Report

if TYPE_CHECKING:
    import io

ROW = {
    "epoch": 3,
    "step": 750,
    "phase": "stable",
    "train_loss": 0.25,
    "val_loss": 0.5,
    "val_dice": 0.875,
    "seconds": 61.4,
}
PROGRESS = Progress(ControllerState(phase="stable", epoch=3, step=750))


def test_an_error_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    show_error("data[0]: [red]no[/red] " + "long " * 60)
    shown = capsys.readouterr()
    assert shown.err == "error: data[0]: [red]no[/red] " + "long " * 60 + "\n"
    assert shown.out == ""


def test_a_table_shows_every_cell_as_it_is(terminal: io.StringIO) -> None:
    show_table("a title", ["name", "value"], [["[bold]x[/bold]", "1.5"], ["y", "-2"]])
    lines = terminal.getvalue().splitlines()
    assert lines[0].strip() == "a title"
    assert "[bold]x[/bold]" in terminal.getvalue()
    assert any("name" in line and "value" in line for line in lines)


def test_numbers_are_right_aligned_and_words_left(terminal: io.StringIO) -> None:
    show_table("t", ["words", "numbers"], [["a", "1"], ["bcd", "-22.75"], ["e", ""]])
    row = next(line for line in terminal.getvalue().splitlines() if line.startswith("│ a"))
    assert row == "│ a     │       1 │"


def test_a_name_in_the_first_column_is_never_broken(terminal: io.StringIO) -> None:
    rows = [["augmentation.flip_horizontal", "half " * 30, "because " * 30]]
    show_table("t", ["value", "is", "because"], rows)
    assert "│ augmentation.flip_horizontal │" in terminal.getvalue()


def test_a_table_without_rows_has_its_header(terminal: io.StringIO) -> None:
    show_table("t", ["one", "two"], [])
    assert "one" in terminal.getvalue()


def test_an_epoch_is_one_line(terminal: io.StringIO) -> None:
    with Screen() as screen:
        screen.stage("train")
        screen.trained(Report(PROGRESS, 1000, 0.25, row={**ROW, "val_dice_liver": 0.95, "val_dice_lesion": 0.8}))
    (line,) = [line for line in terminal.getvalue().splitlines() if line.startswith("epoch")]
    assert line == (
        "epoch    3  step    750  stable    loss  0.2500  validation  0.5000  Dice 0.8750  "
        "(liver 0.950, lesion 0.800)  61 s"
    )


def test_the_verdict_is_shown_when_it_changes_and_a_row_without_validation_is_no_change(terminal: io.StringIO) -> None:
    unvalidated = {"epoch": 4, "step": 800, "phase": "stable", "train_loss": 0.25, "seconds": 9.0}
    verdicts = ["too early", None, "good fit", None, "good fit", "overfitting"]
    with Screen() as screen:
        for verdict in verdicts:
            row = unvalidated if verdict is None else {**ROW, "verdict": verdict}
            screen.trained(Report(PROGRESS, 1000, 0.25, row=row))
    shown = [line.partition("[")[2].partition("]")[0] for line in terminal.getvalue().splitlines() if line.strip()]
    assert shown == ["", "", "good fit", "", "", "overfitting"]


def test_a_class_that_could_not_be_scored_is_left_out(terminal: io.StringIO) -> None:
    scores = {"val_dice_liver": 0.95, "val_dice_lesion": float("nan"), "val_dice_cyst": 0.5}
    with Screen() as screen:
        screen.trained(Report(PROGRESS, 1000, 0.25, row={**ROW, **scores}))
    assert "(liver 0.950, cyst 0.500)" in terminal.getvalue()


def test_the_bars_of_earlier_stages_keep_their_counts_and_times(terminal: io.StringIO) -> None:
    with Screen() as screen:
        screen.stage("train")
        screen.trained(Report(PROGRESS, 1000, 0.125))
        screen.stage("predict the test frames")
        screen.advance(20, 20)
    *_, first, second = [line for line in terminal.getvalue().splitlines() if line.strip()]
    assert first.split()[:1] == ["train"]
    assert "750/1000" in first
    assert "20/20" in second
    assert "loss" not in first
    assert "…" not in first + second


def test_a_row_without_validation_says_what_it_knows(terminal: io.StringIO) -> None:
    with Screen() as screen:
        screen.trained(
            Report(PROGRESS, 9, 0.1, {"epoch": 4, "step": 8, "phase": "stable", "train_loss": 0.25, "seconds": 9.0})
        )
    assert terminal.getvalue().strip().split() == ["epoch", "4", "step", "8", "stable", "loss", "0.2500", "9", "s"]


@pytest.mark.parametrize("classes", [1, 7])
def test_one_class_or_very_many_are_not_listed(terminal: io.StringIO, classes: int) -> None:
    with Screen() as screen:
        screen.trained(Report(PROGRESS, 1000, 0.25, row={**ROW, **{f"val_dice_{c}": 0.5 for c in range(classes)}}))
    assert "Dice 0.8750  61 s" in terminal.getvalue()


def test_a_step_moves_the_bar_and_prints_no_line(terminal: io.StringIO) -> None:
    with Screen() as screen:
        screen.stage("train")
        screen.trained(Report(PROGRESS, 1000, 0.125))
    shown = terminal.getvalue()
    assert "750/1000" in shown
    assert "epoch 4 stable loss 0.125" in shown
    assert "validation" not in shown


def test_a_bar_never_passes_its_end(terminal: io.StringIO) -> None:
    with Screen() as screen:
        screen.stage("train")
        screen.trained(Report(PROGRESS, 700, 0.125))
    assert "750/750" in terminal.getvalue()


def test_stages_and_notes_are_shown(terminal: io.StringIO) -> None:
    with Screen() as screen:
        screen.note("before any [i]stage[/i]")
        screen.advance(1, 3)
        screen.stage("check")
        screen.advance(2, 3)
    shown = terminal.getvalue()
    assert "before any [i]stage[/i]" in shown
    assert "check" in shown
    assert "2/3" in shown


@pytest.mark.parametrize(("verbose", "levels"), [(False, ["INFO", "WARNING"]), (True, ["DEBUG", "INFO", "WARNING"])])
def test_logs_go_to_the_terminal_once(
    terminal: io.StringIO, logger: logging.Logger, verbose: bool, levels: list[str]
) -> None:
    for _ in range(2):
        show_logs(verbose)
    for level in ("DEBUG", "INFO", "WARNING"):
        logger.getChild("data").log(getattr(logging, level), "the [x] of %s", level)
    assert [line.split()[0] for line in terminal.getvalue().splitlines()] == levels
    assert "the [x] of WARNING" in terminal.getvalue()


def test_a_table_may_come_in_the_middle_of_the_work(terminal: io.StringIO) -> None:
    with Screen() as screen:
        screen.stage("train")
        screen.table("Weights to begin with", ["part", "why"], [["decoder.seg_layers.0", "other classes"]])
    assert "decoder.seg_layers.0" in terminal.getvalue()
