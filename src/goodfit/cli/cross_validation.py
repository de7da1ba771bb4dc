"""``goodfit cross-validate``: its options, and the tables that it prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goodfit.cli import options as o
from goodfit.cli.shared import MACHINE, PLANNING, TRAINING, with_settings

if TYPE_CHECKING:
    from goodfit.commands.cross.setup import CrossValidation

_MOST_CLASSES = 6  # columns that a terminal has room for


Time = Annotated[
    str | None,
    typer.Option("--time", help="Time for all folds together, like 5h; each fold gets its part of what is left of it."),
]


@with_settings({**PLANNING, "time": Time}, TRAINING, MACHINE)
def cross_validate(
    dataset: o.Dataset,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run", help="Folder of the whole. Default: runs/DATASET/cv-DATE-TIME, or the newest one asked for alike."
        ),
    ] = None,
    fresh: o.Fresh = False,
    folds: Annotated[
        str | None,
        typer.Option(
            "--folds",
            help="Train these now, like 0,1 or 0-2; the others stay for another call. all: one training on every case, "
            "which is not scored. Default: every numbered fold.",
        ),
    ] = None,
    splits: Annotated[
        Path | None,
        typer.Option(
            "--splits",
            help="Folds of your own, in the format of nnU-Net's splits_final.json. Default: a splits_final.json in "
            "DATASET or in nnUNet_preprocessed beside it, else the folds that nnU-Net makes of the same case names, or "
            "folds by group where groups are given.",
        ),
    ] = None,
    stop_on_fold: Annotated[
        bool,
        typer.Option(
            "--stop-on-fold",
            help="Let the fold itself decide when to stop, as early stopping on nnU-Net's folds would. More cases "
            "train, but the scores are optimistic, and every table says so.",
        ),
    ] = False,
    parallel: Annotated[
        str,
        typer.Option(
            "--parallel",
            help="Folds that train at the same time, each in its own process: a number, or auto for as many as memory, "
            "GPUs and cores allow.",
        ),
    ] = "1",
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities",
            help="Also keep the probabilities of each fold's cases, which goodfit select needs for pairs; of finished "
            "folds they are made without training anew.",
        ),
    ] = False,
    *,
    set_: o.Set = None,
    verbose: o.Verbose = False,
    **wishes: Any,
) -> None:
    """Train one model per fold and score each on the fold it has not seen.

    Five folds, the same as nnU-Net's for the same case names; all share one plan and the preprocessed cases. A stopping
    set taken from the training part decides when to stop, so that the fold's score has chosen nothing. Each fold is a
    run folder of its own for [bold]goodfit predict[/bold] and [bold]goodfit report[/bold].

    Ctrl-C begins the cooldown of the running fold and leaves once it is scored; a second Ctrl-C saves and leaves at
    once. The same command goes on from there.
    """
    from goodfit.cli.folds import parse_folds
    from goodfit.cli.screen import Screen, console, show_logs
    from goodfit.commands.cross_validate import cross_validate as run_cross_validate
    from goodfit.settings import parse_assignments

    show_logs(verbose)
    with Screen() as screen:
        result = run_cross_validate(
            dataset,
            run=run,
            fresh=fresh,
            folds=None if folds is None else parse_folds(folds),
            splits=splits,
            stop_on_fold=stop_on_fold,
            parallel=int(parallel) if parallel.isdecimal() else parallel,
            settings={**parse_assignments(set_ or []), **({"prediction.probabilities": True} if probabilities else {})},
            observer=screen,
            **wishes,
        )
    show_cross_validation(result)
    if not result.finished:
        console.print("Interrupted and saved. The same command goes on from here.")
        raise typer.Exit(130)
    console.print(f"folder: {result.folder}", soft_wrap=True)
    console.print(f"report: {result.report}", soft_wrap=True)
    from goodfit.commands.models import is_of_instances

    some = next(iter(result.runs.values())).path
    whole = f"{result.folder} IMAGES OUTPUT (the mean of the folds)"
    console.print(
        f"Next: goodfit predict {f'{some} VIDEO.mp4 OUT.mp4' if is_of_instances(some) else whole}", soft_wrap=True
    )


def show_cross_validation(result: CrossValidation) -> None:
    """Print the folds side by side and all cases together; both are marked when the folds decided when to stop."""
    from goodfit.cli.score_tables import show_scores
    from goodfit.cli.screen import console, show_table
    from goodfit.tasks.instances.scores import InstanceScores
    from goodfit.tasks.segmentation.fold_scores import fold_rows
    from goodfit.tasks.segmentation.scores import OPTIMISTIC

    if result.scores is None:
        console.print("No fold is scored.")
        return
    if isinstance(result.scores, InstanceScores):
        from goodfit.cli.instance_tables import show_instance_folds

        show_instance_folds(result.fold_scores, result.scores)
        return
    header, *rows = fold_rows(result.fold_scores, _MOST_CLASSES)
    mark = f", {OPTIMISTIC}" if result.scores.optimistic else ""
    show_table(f"folds, mean ± standard deviation{mark}", header, rows)
    show_scores(result.scores)
