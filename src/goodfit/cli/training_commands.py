"""Commands that train: train, resume, extend, stop, demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goodfit.cli import options as o
from goodfit.cli.shared import MACHINE, PLANNING, SPLIT, TRAINING, with_settings

if TYPE_CHECKING:
    from goodfit.commands.fitting import TrainResult

Run = Annotated[Path, typer.Argument(help="Run folder of a training.", show_default=False)]
MovedDataset = Annotated[
    Path | None, typer.Option("--dataset", help="Where the dataset is now, if it or the run has moved.")
]


@with_settings(PLANNING, SPLIT, TRAINING, MACHINE)
def train(
    dataset: o.Dataset,
    run: o.RunOption = None,
    fresh: o.Fresh = False,
    *,
    set_: o.Set = None,
    verbose: o.Verbose = False,
    **wishes: Any,
) -> None:
    """Train on a dataset, score the test cases, write the report.

    Does what is missing of check, fingerprint, plan and preprocessing first. Training stops when the watched metric
    has stopped rising, when the budget ends or when the time is up, always after a cooldown of the learning rate.

    Ctrl-C (or SIGTERM, or [bold]goodfit stop[/bold]) begins the cooldown, so that the run ends well and is scored; a
    second Ctrl-C saves and leaves, and [bold]goodfit resume[/bold] goes on from there.
    """
    from goodfit.cli.screen import Screen, show_logs
    from goodfit.commands.train import train as run_train
    from goodfit.settings import parse_assignments

    show_logs(verbose)
    with Screen() as screen:
        result = run_train(
            dataset, run=run, fresh=fresh, settings=parse_assignments(set_ or []), observer=screen, **wishes
        )
    show_end(result)


@with_settings(MACHINE)
def resume(
    run: Run,
    *,
    dataset: MovedDataset = None,
    device: o.Device = None,
    verbose: o.Verbose = False,
    **wishes: Any,
) -> None:
    """Go on with a run that was interrupted or killed, from its last checkpoint.

    Dataset and settings are in the run folder. The weights at the end are those of a run that was never interrupted,
    bit for bit, on the same machine.
    """
    from goodfit.cli.screen import Screen, show_logs
    from goodfit.commands.control import resume as run_resume

    show_logs(verbose)
    with Screen() as screen:
        result = run_resume(run, dataset=dataset, observer=screen, device=device, **wishes)
    show_end(result)


def extend(
    run: Run,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", help="Largest number of epochs in all, those before the cooldown included."),
    ] = None,
    time: Annotated[str | None, typer.Option("--time", help="Time for the extension, like 30m.")] = None,
    patience: o.Patience = None,
    to: Annotated[Path | None, typer.Option("--to", help="Folder of the longer run. Default: RUN-extended.")] = None,
    dataset: MovedDataset = None,
    verbose: o.Verbose = False,
) -> None:
    """Train a finished run longer, from the state before its cooldown; the finished run stays as it is."""
    from goodfit.cli.screen import Screen, show_logs
    from goodfit.commands.extend import extend as run_extend

    show_logs(verbose)
    with Screen() as screen:
        result = run_extend(run, epochs=epochs, time=time, patience=patience, to=to, dataset=dataset, observer=screen)
    show_end(result)


def stop(
    run: Run,
    now: Annotated[
        bool, typer.Option("--now", help="Save and leave at once; `goodfit resume` goes on. Default: cool down first.")
    ] = False,
) -> None:
    """Ask a running training, here or on another machine, to end well: cooldown, scores, report."""
    from goodfit.cli.screen import console
    from goodfit.commands.control import stop as run_stop

    run_stop(run, now=now)
    if now:
        console.print(
            f"Asked: the training saves after its step and leaves. Next: goodfit resume {run}", soft_wrap=True
        )
    else:
        console.print(
            "Asked: the cooldown begins after the running step, then the run is scored. --now leaves at once."
        )


def demo(
    folder: Annotated[Path, typer.Argument(help="Folder that receives data and run.")] = Path("demo"),
    task: Annotated[
        str, typer.Option("--task", help="segmentation (3D phantoms) or instances (videos of rooms with people).")
    ] = "segmentation",
    time: Annotated[
        str | None, typer.Option("--time", help="Time for the training. Default: 2m30s, of instances 3m30s.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the generated data.")] = 0,
    fresh: o.Fresh = False,
    verbose: o.Verbose = False,
) -> None:
    """Generate a small dataset, train on it, score the test cases, write the report."""
    from goodfit.cli.screen import Screen, console, show_logs
    from goodfit.commands.demo import demo as run_demo

    show_logs(verbose)
    with Screen() as screen:
        result = run_demo(folder, task=task, time=time, seed=seed, fresh=fresh, observer=screen)
    show_end(result)
    console.print("Next: goodfit train YOUR_DATASET --time 30m")


def show_end(result: TrainResult) -> None:
    """Print scores and places of a finished run, or how to go on with an interrupted one."""
    from goodfit.cli.instance_tables import show_instance_scores
    from goodfit.cli.score_tables import show_scores
    from goodfit.cli.screen import console
    from goodfit.tasks.instances.scores import InstanceScores

    if not result.finished:
        console.print(f"Interrupted and saved. Next: goodfit resume {result.run.path}", soft_wrap=True)
        raise typer.Exit(130)
    if isinstance(result.scores, InstanceScores):
        show_instance_scores(result.scores)
    elif result.scores is not None:
        show_scores(result.scores)
    console.print(f"run:    {result.run.path}", soft_wrap=True)
    console.print(f"report: {result.report}", soft_wrap=True)
    from goodfit.commands.models import is_of_instances

    place = result.run.path
    what = "VIDEO.mp4 OUT.mp4 (or IMAGES OUTPUT)" if is_of_instances(place) else "IMAGES OUTPUT"
    console.print(f"Next: goodfit predict {place} {what}", soft_wrap=True)
