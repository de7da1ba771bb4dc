"""Commands on what a training left: predict, evaluate, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goodfit.cli import options as o


def predict(
    run: Annotated[
        Path,
        typer.Argument(
            help="Run folder of a training; a cross-validation, whose folds are averaged; or a selection.",
            show_default=False,
        ),
    ],
    inputs: Annotated[
        Path,
        typer.Argument(
            help="Folder of images named as in training (CASE_0000.ext or CASE.ext), one such image, or a .txt file that "
            "lists one on each line; of instances also a video.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            help="Folder that receives CASE.ext; for a video the overlay to write, OUT.mp4.", show_default=False
        ),
    ],
    with_: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            help="Another run or cross-validation, averaged with the first as probabilities; may be repeated.",
        ),
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(
            "--folds",
            help="Of a cross-validation: average these, like 0,1 or 0-2, or all (the one on all cases). Default: every "
            "numbered fold.",
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint",
            help="best, last or stable (before the cooldown). Default: best; of a run imported from nnU-Net last.",
        ),
    ] = None,
    tta: Annotated[bool, typer.Option("--tta", help="Average over mirrored copies (8 times the work in 3D).")] = False,
    step_size: Annotated[float, typer.Option("--step-size", help="Tile distance as a share of the patch.")] = 0.5,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Also write CASE.npz.")] = False,
    continue_: Annotated[bool, typer.Option("--continue", help="Leave finished cases alone.")] = False,
    part: Annotated[
        str | None,
        typer.Option("--part", help="k/n: the k-th of n parts of the cases, for n machines with the same inputs."),
    ] = None,
    stride: Annotated[int, typer.Option("--stride", help="Of a video: look at every so manyth frame.")] = 1,
    score: Annotated[
        float | None,
        typer.Option(
            "--score",
            help="Of instances: show from this score on. Default: the run's, chosen on its validation frames.",
            show_default=False,
        ),
    ] = None,
    tracker: Annotated[str, typer.Option("--tracker", help="Of a video: bytetrack or ocsort.")] = "bytetrack",
    flag_unusual: Annotated[
        bool,
        typer.Option(
            "--flag-unusual",
            help="Of instances: list the time ranges, or images, that are unlike the training frames.",
        ),
    ] = False,
    device: o.Device = None,
    verbose: o.Verbose = False,
) -> None:
    """Predict every case of a folder, or the instances in images or a video.

    Segmentations have the size, spacing, origin and direction of the inputs. A video gets an overlay with masks,
    boxes, names, scores and track ids; beside it come the tracks as JSON, CSV and MOT, and a page with curves over time.
    """
    from goodfit.cli.folds import parse_folds
    from goodfit.cli.instance_tables import show_unusual
    from goodfit.cli.screen import Screen, console, show_logs
    from goodfit.commands.predict import predict as run_predict
    from goodfit.data.video.endings import is_video
    from goodfit.data.wording import counted

    show_logs(verbose)
    with Screen() as screen:
        written = run_predict(
            run,
            inputs,
            output,
            with_=with_ or (),
            folds=None if folds is None else parse_folds(folds),
            checkpoint=checkpoint,
            tta=tta,
            step_size=step_size,
            probabilities=probabilities,
            continue_=continue_,
            part=part,
            stride=stride,
            score=score,
            tracker=tracker,
            flag_unusual=flag_unusual,
            device=device,
            observer=screen,
        )
    if flag_unusual:
        show_unusual(written[-1])
    if not is_video(output):
        console.print(
            f"{counted(len(written), 'file')} in {output}. Next: goodfit evaluate {output} REFERENCES", soft_wrap=True
        )
    else:
        console.print("written: " + ", ".join(str(file) for file in written), soft_wrap=True)


def evaluate(
    predictions: Annotated[
        Path, typer.Argument(help="Folder of predicted label files, or a COCO result file.", show_default=False)
    ],
    references: Annotated[
        Path, typer.Argument(help="Folder of true label files, or the COCO file.", show_default=False)
    ],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all scores to this file.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write a row per case and class.")] = None,
    tolerance: Annotated[float, typer.Option("--tolerance", help="Tolerance of the surface Dice in mm.")] = 1.0,
    only_predicted: Annotated[
        bool, typer.Option("--only-predicted", help="Score the cases that have a prediction, not all references.")
    ] = False,
    verbose: o.Verbose = False,
) -> None:
    """Score any two folders of label files: Dice, IoU, Hausdorff distance, surface Dice, volumes.

    Of two COCO files, results and annotations: average precision.
    """
    from goodfit.cli.instance_tables import show_instance_scores
    from goodfit.cli.score_tables import show_scores
    from goodfit.cli.screen import Screen, show_logs
    from goodfit.commands.evaluate import evaluate as run_evaluate
    from goodfit.tasks.instances.scores import InstanceScores

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
    if isinstance(scores, InstanceScores):
        show_instance_scores(scores)
    else:
        show_scores(scores)


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
