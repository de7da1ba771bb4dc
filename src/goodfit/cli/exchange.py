"""``goodfit import`` and ``goodfit export``: models that other programs have trained, or shall predict with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goodfit.cli import options as o

Folds = Annotated[str | None, typer.Option("--folds", help="Like 0,1 or 0-2, or all. Default: every numbered one.")]


def import_model(
    model: Annotated[
        Path,
        typer.Argument(
            help="nnU-Net's folder TRAINER__PLANS__CONFIGURATION, one that holds such folders, or a zip file of "
            "nnUNetv2_export_model_to_zip.",
            show_default=False,
        ),
    ],
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Folder to make. Default: runs/DATASET/TRAINER__PLANS__CONFIGURATION."),
    ] = None,
    folds: Folds = None,
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            help="Of predictions: float32 gives nnU-Net's own; bfloat16 is about twice as fast where the hardware has it, "
            "and moves some voxels on the border of a class.",
        ),
    ] = "float32",
    verbose: o.Verbose = False,
) -> None:
    """Take over a model that nnU-Net v2 trained; predictions equal those of nnUNetv2_predict.

    Several folds become fold_0, fold_1, ... in one folder and are averaged when it predicts. checkpoint_final.pth is what
    is predicted with, as in nnU-Net; checkpoint_best.pth is there as [bold]--checkpoint best[/bold].

    Nothing in the files is run: checkpoints may hold weights, numbers and text, and an archive with a member that leads
    out of its folder is refused.

    [bold]goodfit import nnUNetTrainer__nnUNetPlans__3d_fullres[/bold]
    """
    from goodfit.cli.screen import Screen, console, show_logs, show_table
    from goodfit.commands.import_model import import_model as run_import

    show_logs(verbose)
    with Screen() as screen:
        imported = run_import(
            model,
            run=run,
            folds=None if folds is None else parse_fold_names(folds),
            precision=precision,
            observer=screen,
        )
    rows = [
        [
            one.configuration,
            one.trainer,
            ", ".join(one.runs),
            ", ".join(one.checkpoints),
            ", ".join(one.plan.data.classes),
            str(one.place),
        ]
        for one in imported
    ]
    show_table("Imported", ["configuration", "trainer", "folds", "checkpoints", "classes", "folder"], rows)
    if len(imported) > 1:
        places = " --with ".join(str(one.place) for one in imported[1:])
        console.print(
            f"To average them: goodfit predict {imported[0].place} IMAGES OUTPUT --with {places}", soft_wrap=True
        )
    console.print(
        f"Next: goodfit predict {imported[0].place} IMAGES OUTPUT --tta  (nnU-Net mirrors unless told --disable_tta)",
        soft_wrap=True,
    )


def export_model(
    run: Annotated[
        Path, typer.Argument(help="Run folder of a training, or folder of a cross-validation.", show_default=False)
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="nnunet: a folder for nnUNetv2_predict; onnx: an ONNX file; torch-export: a .pt2 file for torch.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Of nnunet the folder that gets DATASET/TRAINER__PLANS__CONFIGURATION, such as that of nnUNet_results; of "
            "the others the file. Default: in RUN/exported.",
        ),
    ] = None,
    folds: Folds = None,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", help="best or last. Default: what the run predicts with.")
    ] = None,
    verbose: o.Verbose = False,
) -> None:
    """Write a trained network for another program.

    Of a cross-validation nnU-Net gets the folds, the other forms their mean. An ONNX or .pt2 file takes preprocessed
    patches (batch, channels, *patch) and gives logits, for any batch size; the plan inside says how images become patches.
    It is compared with the network before it is kept.

    [bold]goodfit export RUN --to nnunet --output $nnUNet_results[/bold]
    """
    from goodfit.cli.screen import Screen, console, show_logs
    from goodfit.commands.export_model import export_model as run_export

    show_logs(verbose)
    with Screen() as screen:
        done = run_export(
            run,
            to,
            output=output,
            folds=None if folds is None else parse_fold_names(folds),
            checkpoint=checkpoint,
            observer=screen,
        )
    if done.difference is not None:
        console.print(
            f"{done.path}: checked with batches of 1 and 3; logits differ from the network's by at most "
            f"{done.difference:.1e} of the largest",
            markup=False,
            soft_wrap=True,
        )
    console.print(f"written: {done.path}", markup=False, soft_wrap=True)
    console.print(f"Next: {next_step(done.form, done.path, done.folds)}", markup=False, soft_wrap=True)


def parse_fold_names(text: str) -> list[str]:
    """Turn "0,2-4,all" into names of folds."""
    from goodfit.cli.folds import parse_folds

    return parse_folds(text)


def next_step(form: str, path: Path, folds: list[str]) -> str:
    """Say what uses the file."""
    if form == "nnunet":
        return (
            f"nnUNetv2_predict_from_modelfolder -i IMAGES -o OUTPUT -m {path} -f {' '.join(folds)}  (add --disable_tta for "
            "what goodfit predicts without --tta)"
        )
    if form == "onnx":
        return f'onnxruntime.InferenceSession("{path}").run(["logits"], {{"image": patches}})  in Python'
    return f'torch.export.load("{path}").module()(patches)  in Python'
