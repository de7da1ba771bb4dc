"""``goodfit select``, ``ensemble`` and ``postprocess``: what nnU-Net does after cross-validation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goodfit.cli import options as o

if TYPE_CHECKING:
    from goodfit.tasks.segmentation.postprocessing import Postprocessing


def select(
    cross_validations: Annotated[
        list[Path],
        typer.Argument(help="Folders of finished cross-validations on one dataset.", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the selection. Default: selection, beside the first of them."),
    ] = None,
    folds: Annotated[
        str | None, typer.Option("--folds", help="Look at these folds only, like 0,1 or 0-2. Default: all numbered.")
    ] = None,
    pairs: Annotated[
        bool,
        typer.Option("--pairs/--no-pairs", help="Also look at pairs; needs goodfit cross-validate --probabilities."),
    ] = True,
    verbose: o.Verbose = False,
) -> None:
    """Find the best configuration or pair by cross-validation, and whether postprocessing helps.

    Writes selection.json, which [bold]goodfit predict[/bold] takes in the place of a run. The scores have then chosen,
    so they are optimistic, and marked.
    """
    from goodfit.cli.folds import parse_folds
    from goodfit.cli.screen import Screen, console, show_logs, show_table
    from goodfit.commands.select import WHY_OPTIMISTIC
    from goodfit.commands.select import select as run_select

    show_logs(verbose)
    with Screen() as screen:
        found = run_select(
            cross_validations, output, folds=None if folds is None else parse_folds(folds), pairs=pairs, observer=screen
        )
    record = found.record
    rows = [[name, f"{one.dice:.4f}"] for name, one in zip(found.names, record.candidates, strict=True)]
    show_table(f"cross-validation, {record.cases} cases, optimistic", ["candidate", "mean Dice"], rows)
    show_postprocessing(record.postprocessing)
    console.print(f"selected: {found.names[0]}", markup=False, soft_wrap=True)
    console.print(
        f"mean Dice {record.dice:.4f}, postprocessed {record.dice_postprocessed:.4f}. {WHY_OPTIMISTIC}", soft_wrap=True
    )
    console.print(f"written: {found.file}", markup=False, soft_wrap=True)
    console.print(f"Next: {record.command}", markup=False, soft_wrap=True)


def ensemble(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Two or more folders of predictions with probabilities (CASE.npz).", show_default=False),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that receives CASE.ext.", show_default=False)],
    classes: Annotated[
        Path | None,
        typer.Option("--classes", help="A dataset.json with the classes. Default: the one in the first folder."),
    ] = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Also write the averages, CASE.npz.")] = False,
    verbose: o.Verbose = False,
) -> None:
    """Average probabilities that goodfit or nnU-Net wrote to folders.

    To predict with several models at once there is [bold]goodfit predict RUN --with RUN2[/bold].
    """
    from goodfit.cli.screen import Screen, console, show_logs
    from goodfit.commands.ensemble import ensemble as run_ensemble
    from goodfit.data.wording import counted

    show_logs(verbose)
    with Screen() as screen:
        written = run_ensemble(folders, output, classes=classes, probabilities=probabilities, observer=screen)
    console.print(
        f"{counted(len(written), 'file')} in {output}. Next: goodfit evaluate {output} REFERENCES", soft_wrap=True
    )


def postprocess(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted label files.", show_default=False)],
    output: Annotated[Path, typer.Argument(help="Folder that receives files of the same names.", show_default=False)],
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from", help="The decision: selection.json, postprocessing.json, or nnU-Net's postprocessing.json."
        ),
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option(
            "--references", help="Instead: folder of true label files to decide by; such scores are optimistic."
        ),
    ] = None,
    verbose: o.Verbose = False,
) -> None:
    """Keep only the largest connected component where that helps."""
    from goodfit.cli.screen import Screen, console, show_logs
    from goodfit.commands.postprocess import postprocess as run_postprocess

    show_logs(verbose)
    with Screen() as screen:
        done = run_postprocess(predictions, output, from_=from_, references=references, observer=screen)
    show_postprocessing(done)
    console.print(f"postprocessed: {output}", markup=False, soft_wrap=True)


def show_postprocessing(postprocessing: Postprocessing) -> None:
    """Print what was tried, whether it helps and why."""
    from goodfit.cli.screen import show_table

    rows = [[trial.name, "yes" if trial.helps else "no", trial.reason] for trial in postprocessing.trials]
    show_table("keep only the largest component of", ["what", "applied", "why"], rows)
