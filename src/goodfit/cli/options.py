"""Options that several commands share, each with the sentence that ``--help`` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Dataset = Annotated[
    Path,
    typer.Argument(
        help="Folder with imagesTr/, labelsTr/ and dataset.json (nnU-Net's raw layout), with images/ and labels/, or a "
        "dataset of nnUNet_preprocessed; of instances: with COCO files beside images or videos.",
        show_default=False,
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option("--run", help="Run folder. Default: runs/DATASET/DATE-TIME, or the newest run with these settings."),
]
Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh", help="Start a new run and read the dataset anew; preprocessed cases stay where they are valid."
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        "--time",
        help="Time for the whole command, like 10m or 2h30m: network, budget and patches that grow are fitted to it.",
    ),
]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Largest number of epochs (default 1000).")]
StepsPerEpoch = Annotated[int | None, typer.Option("--steps-per-epoch", help="Steps of an epoch (default 250).")]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", help="Patches, or frames, per step, in place of the derived number.")
]
PatchSize = Annotated[str | None, typer.Option("--patch-size", help="Patch in voxels, like 40x56x40.")]
Spacing = Annotated[str | None, typer.Option("--spacing", help="Target spacing in mm (z, y, x), like 3x1x1.")]
ConfigurationOption = Annotated[
    str | None,
    typer.Option(
        "--configuration",
        "-c",
        help="2d, 3d_fullres, 3d_lowres or 3d_cascade_fullres, or the name of one in --plans. Default: chosen from the data.",
    ),
]
PreviousStage = Annotated[
    str | None,
    typer.Option(
        "--previous-stage",
        metavar="RUN",
        help="Of a cascade: a cross-validation (or a run) of 3d_lowres. Default: three networks are trained first.",
    ),
]
Plans = Annotated[
    str | None,
    typer.Option(
        "--plans", metavar="FILE", help="Take this plans file of nnU-Net's (nnUNetPlans.json) in place of planning."
    ),
]
Fold = Annotated[
    str | None,
    typer.Option(
        "--fold",
        help="Train and score as this fold (0 to 4) of nnU-Net's cross-validation, or of splits_final.json; all: train on "
        "every case. Default: a split of its own; of a preprocessed folder fold 0.",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option("--memory", help="Memory that training may use, like 24GB. Default: what the device has free."),
]
Planner = Annotated[
    str | None,
    typer.Option(
        "--planner",
        help="measured (default): the batch, and patch, whose predicted memory fits; nnunet: nnU-Net's own estimate.",
    ),
]
Force = Annotated[
    bool | None, typer.Option("--force", help="Try even a batch that is predicted not to fit into the memory.")
]
Network = Annotated[
    str | None, typer.Option("--network", help="plain (default), resenc, resenc_m, resenc_l, resenc_xl.")
]
Backbone = Annotated[
    str | None,
    typer.Option("--backbone", help="Of instances: mobilenet_v2, mobilenet_v3, resnet50, resnet50_v2."),
]
WeightsOption = Annotated[
    str | None, typer.Option("--weights", help="To begin with, of instances: coco, imagenet, none, or a file.")
]
ImageSize = Annotated[
    int | None, typer.Option("--image-size", help="Of instances: shorter side of a frame in the network, in pixels.")
]
Detectron2Config = Annotated[
    str | None,
    typer.Option(
        "--detectron2-config", metavar="FILE", help="Of instances: take what a Detectron2 config (.yaml) asks for."
    ),
]
Optimizer = Annotated[str | None, typer.Option("--optimizer", help="adamw (default) or sgd.")]
LearningRate = Annotated[float | None, typer.Option("--learning-rate", help="Peak learning rate.")]
Schedule = Annotated[
    str | None, typer.Option("--schedule", help="wsd (warm-up, stable, cooldown; default) or poly (nnU-Net's).")
]
CooldownOption = Annotated[
    float | None, typer.Option("--cooldown", help="Steps of the cooldown as a share of those before it (default 0.6).")
]
Patience = Annotated[
    str | None,
    typer.Option(
        "--patience",
        help="Epochs without improvement before the cooldown (default 30, or a quarter of the run); or off.",
    ),
]
MinDelta = Annotated[float | None, typer.Option("--min-delta", help="Rise of the metric that counts (default 0.003).")]
Monitor = Annotated[
    str | None,
    typer.Option("--monitor", help="dice (default), of instances ap (default), val_loss or any column of metrics.csv."),
]
ValidateEvery = Annotated[
    str | None,
    typer.Option("--validate-every", help="Like 2epochs or 100steps; a plain number means steps (default 1epoch)."),
]
CooldownShape = Annotated[str | None, typer.Option("--cooldown-shape", help="linear (default) or 1-sqrt.")]
Hooks = Annotated[
    list[str] | None,
    typer.Option(
        "--hook", metavar="MODULE:CLASS", help="Subclass of goodfit.Hook that the loop calls; may be repeated."
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option("--recipe", metavar="MODULE:CLASS", help="Subclass of goodfit.Recipe: your network, loss, optimizer."),
]
InitialiseFrom = Annotated[
    str | None,
    typer.Option(
        "--initialise-from",
        metavar="MODEL",
        help="Begin with the weights of a run, a checkpoint, or a model of nnU-Net (folder or .pth): all that fit, the "
        "output layers where the classes are the same.",
    ),
]
Grace = Annotated[
    str | None,
    typer.Option(
        "--grace", help="Time from a scheduler's SIGTERM to its kill, like 60s: SIGTERM then saves and leaves in time."
    ),
]
Log = Annotated[str | None, typer.Option("--log", help="Also log to tensorboard, mlflow or tensorboard,mlflow.")]
Precision = Annotated[str | None, typer.Option("--precision", help="bfloat16 or float32. Default: what pays here.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of weights, data order and augmentation (default 0).")]
GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        help="Regular expression on the case name; its first group is the patient, or the video. Of frames a second one "
        "is the frame's number.",
    ),
]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda or cuda:1. Default: the first GPU, else cpu.")]
Workers = Annotated[int | None, typer.Option("--workers", help="Loader processes.")]
Tta = Annotated[bool | None, typer.Option("--tta", help="Average predictions over mirrored copies.")]
StepSize = Annotated[
    float | None, typer.Option("--step-size", help="Distance of neighbouring tiles as a share of the patch (0.5).")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.FIELD=VALUE", help="Any setting, like training.weight_decay=0.05."),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Say more.")]
