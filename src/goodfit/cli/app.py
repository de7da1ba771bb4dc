"""One function per command; each imports what it needs when it is called, so that ``--help`` answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goodfit.cli import options as o

if TYPE_CHECKING:
    from goodfit.tasks.segmentation.scores import Scores

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


@app.command()
def check(
    dataset: o.Dataset,
    group_by: o.GroupBy = None,
    workers: o.Workers = None,
    verbose: o.Verbose = False,
) -> None:
    """Look for every problem of a dataset and list them all in one table.

    Unreadable files, missing labels, mismatched shapes and spacings, unknown label values, NaN, duplicates, rare
    classes. Leaves with 1 when there is an error, with 0 when there are only warnings or none.
    """
    from goodfit.cli.screen import Screen, console, show_logs, show_table
    from goodfit.commands.inspect import check as run_check
    from goodfit.data.wording import counted

    show_logs(verbose)
    with Screen() as screen:
        result = run_check(dataset, group_by=group_by, workers=workers, observer=screen)
    if result.problems:
        show_table(
            f"{dataset}: {counted(len(result.problems), 'problem')}",
            ["severity", "case", "file", "what", "what to do"],
            [[p.severity, p.case, p.file, p.what, p.remedy] for p in result.problems],
        )
    if not result.ok:
        raise typer.Exit(1)
    console.print(f"{result.cases_checked} cases checked, no errors. Next: goodfit train {dataset}", soft_wrap=True)


@app.command()
def plan(
    dataset: o.Dataset,
    run: o.RunOption = None,
    fresh: o.Fresh = False,
    time: o.Time = None,
    epochs: o.Epochs = None,
    steps_per_epoch: o.StepsPerEpoch = None,
    batch_size: o.BatchSize = None,
    patch_size: o.PatchSize = None,
    spacing: o.Spacing = None,
    configuration: o.ConfigurationOption = None,
    memory: o.Memory = None,
    planner: o.Planner = None,
    network: o.Network = None,
    group_by: o.GroupBy = None,
    device: o.Device = None,
    set_: o.Set = None,
    verbose: o.Verbose = False,
) -> None:
    """Show what would be trained, and why: spacing, patch, batch size, network, memory, hours.

    Writes plan.json and splits.json into the run folder; edit them, then call [bold]goodfit train[/bold] with the
    same folder.
    """
    from goodfit.cli.plan_tables import show_plan
    from goodfit.cli.screen import Screen, console, show_logs
    from goodfit.commands.plan import plan as run_plan
    from goodfit.settings import parse_assignments

    show_logs(verbose)
    with Screen() as screen:
        prepared = run_plan(
            dataset,
            run=run,
            fresh=fresh,
            settings=parse_assignments(set_ or []),
            observer=screen,
            time=time,
            epochs=epochs,
            steps_per_epoch=steps_per_epoch,
            batch_size=batch_size,
            patch_size=patch_size,
            spacing=spacing,
            configuration=configuration,
            memory=memory,
            planner=planner,
            network=network,
            group_by=group_by,
            device=device,
        )
    show_plan(prepared)
    console.print(f"\nThe plan is {prepared.run.plan}: edit it if you like. Next:", soft_wrap=True)
    console.print(f"  goodfit train {dataset} --run {prepared.run.path}", soft_wrap=True)


@app.command()
def preprocess(
    dataset: o.Dataset,
    run: o.RunOption = None,
    fresh: o.Fresh = False,
    configurations: Annotated[
        str | None,
        typer.Option(
            "--configurations", "-c", help="Which of the plan's, like 2d,3d_fullres. Default: the chosen one."
        ),
    ] = None,
    memory: o.Memory = None,
    group_by: o.GroupBy = None,
    set_: o.Set = None,
    verbose: o.Verbose = False,
) -> None:
    """Crop, normalise and resample every case into the store that training reads.

    Plans first where there is no plan. Stopped with Ctrl-C, it goes on from the cases that are finished.
    """
    from goodfit.cli.screen import Screen, console, show_logs
    from goodfit.commands.preprocess import preprocess as run_preprocess
    from goodfit.settings import parse_assignments

    show_logs(verbose)
    with Screen() as screen:
        folders = run_preprocess(
            dataset,
            run=run,
            fresh=fresh,
            configurations=None if configurations is None else configurations.split(","),
            settings=parse_assignments(set_ or []),
            observer=screen,
            memory=memory,
            group_by=group_by,
        )
    for name, folder in folders.items():
        console.print(f"{name}: {folder}", soft_wrap=True)
    console.print(f"Next: goodfit train {dataset}" + (f" --run {run}" if run else ""), soft_wrap=True)


@app.command()
def train(
    dataset: o.Dataset,
    run: o.RunOption = None,
    fresh: o.Fresh = False,
    time: o.Time = None,
    epochs: o.Epochs = None,
    steps_per_epoch: o.StepsPerEpoch = None,
    batch_size: o.BatchSize = None,
    patch_size: o.PatchSize = None,
    spacing: o.Spacing = None,
    configuration: o.ConfigurationOption = None,
    memory: o.Memory = None,
    planner: o.Planner = None,
    network: o.Network = None,
    optimizer: o.Optimizer = None,
    learning_rate: o.LearningRate = None,
    schedule: o.Schedule = None,
    cooldown: o.CooldownOption = None,
    patience: o.Patience = None,
    min_delta: o.MinDelta = None,
    monitor: o.Monitor = None,
    precision: o.Precision = None,
    seed: o.Seed = None,
    group_by: o.GroupBy = None,
    device: o.Device = None,
    workers: o.Workers = None,
    tta: o.Tta = None,
    step_size: o.StepSize = None,
    set_: o.Set = None,
    verbose: o.Verbose = False,
) -> None:
    """Train on a dataset, score the test cases, write the report.

    Does what is missing of check, fingerprint, plan and preprocessing first. Ctrl-C saves and leaves; the same
    command goes on from there. Training stops when the validation Dice has stopped rising, when the budget ends or
    when the time is up, always after a cooldown of the learning rate.
    """
    from goodfit.cli.screen import Screen, console, show_logs
    from goodfit.commands.train import train as run_train
    from goodfit.settings import parse_assignments

    show_logs(verbose)
    with Screen() as screen:
        result = run_train(
            dataset,
            run=run,
            fresh=fresh,
            settings=parse_assignments(set_ or []),
            observer=screen,
            time=time,
            epochs=epochs,
            steps_per_epoch=steps_per_epoch,
            batch_size=batch_size,
            patch_size=patch_size,
            spacing=spacing,
            configuration=configuration,
            memory=memory,
            planner=planner,
            network=network,
            optimizer=optimizer,
            learning_rate=learning_rate,
            schedule=schedule,
            cooldown=cooldown,
            patience=patience,
            min_delta=min_delta,
            monitor=monitor,
            precision=precision,
            seed=seed,
            group_by=group_by,
            device=device,
            workers=workers,
            tta=tta,
            step_size=step_size,
        )
    if result.scores is None:
        console.print("Interrupted and saved. The same command goes on from here.")
        raise typer.Exit(130)
    _show_scores(result.scores)
    console.print(f"run:    {result.run.path}", soft_wrap=True)
    console.print(f"report: {result.report}", soft_wrap=True)
    console.print(f"Next: goodfit predict {result.run.path} IMAGES OUTPUT", soft_wrap=True)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Run folder of a training.", show_default=False)],
    inputs: Annotated[
        Path,
        typer.Argument(help="Folder of images named as in training (CASE_0000.ext or CASE.ext).", show_default=False),
    ],
    output: Annotated[Path, typer.Argument(help="Folder that receives CASE.ext.", show_default=False)],
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", help="best, last or stable (before the cooldown).")
    ] = "best",
    tta: Annotated[bool, typer.Option("--tta", help="Average over mirrored copies (8 times the work in 3D).")] = False,
    step_size: Annotated[float, typer.Option("--step-size", help="Tile distance as a share of the patch.")] = 0.5,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Also write CASE.npz.")] = False,
    continue_: Annotated[bool, typer.Option("--continue", help="Leave finished cases alone.")] = False,
    device: o.Device = None,
    verbose: o.Verbose = False,
) -> None:
    """Predict every case of a folder; results have the size, spacing, origin and direction of the inputs."""
    from goodfit.cli.screen import Screen, console, show_logs
    from goodfit.commands.predict import predict as run_predict

    show_logs(verbose)
    with Screen() as screen:
        written = run_predict(
            run,
            inputs,
            output,
            checkpoint=checkpoint,
            tta=tta,
            step_size=step_size,
            probabilities=probabilities,
            continue_=continue_,
            device=device,
            observer=screen,
        )
    console.print(f"{len(written)} files in {output}. Next: goodfit evaluate {output} REFERENCES", soft_wrap=True)


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted label files.", show_default=False)],
    references: Annotated[Path, typer.Argument(help="Folder of true label files.", show_default=False)],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all scores to this file.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write a row per case and class.")] = None,
    tolerance: Annotated[float, typer.Option("--tolerance", help="Tolerance of the surface Dice in mm.")] = 1.0,
    only_predicted: Annotated[
        bool, typer.Option("--only-predicted", help="Score the cases that have a prediction, not all references.")
    ] = False,
    verbose: o.Verbose = False,
) -> None:
    """Score any two folders of label files: Dice, IoU, Hausdorff distance, surface Dice, volumes."""
    from goodfit.cli.screen import Screen, show_logs
    from goodfit.commands.evaluate import evaluate as run_evaluate

    show_logs(verbose)
    with Screen() as screen:
        scores = run_evaluate(
            predictions,
            references,
            json_file=json_file,
            csv_file=csv_file,
            tolerance_mm=tolerance,
            only_predicted=only_predicted,
            observer=screen,
        )
    _show_scores(scores)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Run folder.", show_default=False)], verbose: o.Verbose = False
) -> None:
    """Write report.html: curves, plan, scores and pictures in one file that works offline."""
    from goodfit.cli.screen import Screen, console, show_logs
    from goodfit.commands.report import report as run_report

    show_logs(verbose)
    with Screen() as screen:
        page = run_report(run, observer=screen)
    console.print(f"report: {page}", soft_wrap=True)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Folder that receives data and run.")] = Path("demo"),
    time: Annotated[str, typer.Option("--time", help="Time for the whole command.")] = "2m30s",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the generated data.")] = 0,
    fresh: o.Fresh = False,
    verbose: o.Verbose = False,
) -> None:
    """Generate a small dataset of 3D phantoms, train on it, score the test cases, write the report."""
    from goodfit.cli.screen import Screen, console, show_logs
    from goodfit.commands.demo import demo as run_demo

    show_logs(verbose)
    with Screen() as screen:
        result = run_demo(folder, time=time, seed=seed, fresh=fresh, observer=screen)
    if result.scores is None:
        console.print("Interrupted and saved. The same command goes on from here.")
        raise typer.Exit(130)
    _show_scores(result.scores)
    console.print(f"report: {result.report}", soft_wrap=True)
    console.print("Next: goodfit train YOUR_DATASET --time 30m")


def _show_scores(scores: Scores) -> None:
    from goodfit.cli.score_tables import show_scores

    show_scores(scores)
