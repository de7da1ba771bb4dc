"""The commands, each a function that imports what it needs when it is called, so that ``--help`` answers at once."""

from __future__ import annotations

from typing import Annotated

import typer

from goodfit.cli import convert
from goodfit.cli.cross_validation import cross_validate
from goodfit.cli.data_commands import check, plan, preprocess
from goodfit.cli.ensembling import ensemble, postprocess, select
from goodfit.cli.exchange import export_model, import_model
from goodfit.cli.result_commands import evaluate, predict, report
from goodfit.cli.training_commands import demo, extend, resume, stop, train

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Train segmentation models on medical images. [bold]goodfit train DATASET --time 10m[/bold] goes the whole "
    "way: check, plan, preprocess, train, predict, evaluate, report. Each step is a command of its own, too.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from goodfit import __version__

        typer.echo(f"goodfit {__version__}")
        raise typer.Exit


@app.callback()
def common(
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options before the command."""


PREPARE, TRAIN, USE = "Prepare", "Train", "Use what was trained"
for panel, commands in {
    PREPARE: (check, plan, preprocess),
    TRAIN: (train, stop, resume, extend, cross_validate, demo),
    USE: (predict, evaluate, report, select, ensemble, postprocess),
}.items():
    for command in commands:
        app.command(command.__name__.replace("_", "-"), rich_help_panel=panel)(command)
app.command("import", rich_help_panel=USE)(import_model)
app.command("export", rich_help_panel=USE)(export_model)
app.add_typer(convert.app, name="convert", rich_help_panel=PREPARE)
