"""Predicted against measured peak memory of training on the CPU: networks in 2D and 3D, and detectors.

Each configuration is trained for a few steps in two fresh processes. One takes torch's profiler along, which sees every
allocation: its largest total is compared with the predicted bytes in tensors. The other takes nothing along: the
system's own VmHWM is compared with the predicted resident set, which that process states before its first step.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import HERE, make_parser, read_result, show, write_result

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.planning.memory import MemoryPrediction, Precision
    from goodfit.planning.plan import Configuration

MEDIAN_AIM, WORST_AIM = 0.05, 0.10
GIB = 2**30
PAGE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- benchmarks/memory.py -->", "<!-- end -->"


@dataclass(frozen=True)
class UNet:
    """A U-Net with its patch and batch."""

    patch: tuple[int, ...]
    features: tuple[int, ...]
    batch: int
    residual: bool = False
    channels: int = 1
    outputs: int = 3
    precision: Precision = "bfloat16"
    optimizer: str = "adamw"


@dataclass(frozen=True)
class Detector:
    """A detector with the size of its frames and its batch."""

    backbone: str
    size: tuple[int, int]
    batch: int
    regions: int = 128
    objects: int = 30
    precision: Precision = "bfloat16"


DEEP = (32, 64, 128, 256, 320)
FLAT = (32, 64, 128, 256, 512, 512)
CASES: dict[str, UNet | Detector] = {
    "3d hippocampus": UNet((40, 56, 40), DEEP[:4], 2),
    "3d hippocampus, batch 9": UNet((40, 56, 40), DEEP[:4], 9),
    "3d flat patch, SGD": UNet((24, 96, 96), DEEP[:4], 4, optimizer="sgd"),
    "3d 64^3, float32": UNet((64, 64, 64), DEEP, 2, precision="float32"),
    "3d residual, 4 channels": UNet((64, 64, 64), DEEP, 3, residual=True, channels=4, outputs=4),
    "3d six stages of 128^3": UNet((128, 128, 128), (*DEEP, 320), 1),
    "2d 256x256": UNet((256, 256), FLAT, 12),
    "2d narrow, batch 16": UNet((192, 160), (16, 32, 64, 128, 256), 16),
    "2d residual, 20 classes": UNet((256, 224), FLAT, 6, residual=True, outputs=21),
    "2d colour, float32": UNet((512, 384), (*FLAT, 512), 1, channels=3, precision="float32"),
    "Mask R-CNN, mobilenet_v2": Detector("mobilenet_v2", (320, 426), 4),
    "Mask R-CNN, mobilenet_v3, float32": Detector("mobilenet_v3", (320, 320), 2, precision="float32"),
    "Mask R-CNN, resnet50": Detector("resnet50", (384, 512), 2),
}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--steps", type=int, default=3, help="steps of each process")
    parser.add_argument(
        "--only", nargs="*", choices=list(CASES), default=None, help="measure these, anew where they are done"
    )
    parser.add_argument("--threads", type=int, default=None, help="of torch; default: its own choice")
    parser.add_argument("--child", choices=["tensors", "resident"], default=None, help=argparse.SUPPRESS)
    return parser.parse_args()


def status(key: str) -> int:
    """Bytes that the system states of this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status has no {key}: this benchmark needs Linux")


def configuration_of(case: UNet) -> Configuration:
    """Make the configuration of a plan."""
    from goodfit.planning.plan import Configuration, NetworkPlan

    dims, stages = len(case.patch), len(case.features)
    residual = [1, 3, 4, 6, 6, 6, 6][:stages]
    network = NetworkPlan(
        architecture="residual_unet" if case.residual else "plain_unet",
        features=list(case.features),
        kernel_sizes=[[3] * dims] * stages,
        strides=[[1] * dims, *[[2] * dims] * (stages - 1)],
        encoder_blocks=residual if case.residual else [2] * stages,
        decoder_blocks=[1 if case.residual else 2] * (stages - 1),
    )
    return Configuration(
        name="2d" if dims == 2 else "3d_fullres",
        spacing=[1.0] * 3,
        median_shape=[float(edge) for edge in (1,) * (3 - dims) + case.patch],
        patch_size=list(case.patch),
        batch_size=case.batch,
        batch_dice=dims == 2,
        network=network,
    )


def instance_plan_of(case: Detector) -> InstancePlan:
    """Make the plan of a detector."""
    from goodfit.planning.instances.plan import (
        InstanceAugmentation,
        InstanceData,
        InstanceModel,
        InstancePlan,
        InstanceTraining,
    )

    return InstancePlan(
        goodfit_version="0",
        memory=8e9,
        data=InstanceData(name="made", key="key", categories=["a", "b"], has_masks=True),
        model=InstanceModel.model_validate(
            {
                "backbone": case.backbone,
                "image_min_size": case.size[0],
                "image_max_size": case.size[1],
                "regions_per_image": case.regions,
                "detections_per_image": case.objects,
                "rpn_proposals_train": 300,
            }
        ),
        augmentation=InstanceAugmentation(scale_range=[1.0, 1.0]),
        batch_size=case.batch,
        training=InstanceTraining(precision=case.precision),
    )


def predict(case: UNet | Detector) -> MemoryPrediction:
    """Predict, for this process."""
    import torch

    from goodfit.planning.machine_memory import allowances_on

    beside = allowances_on(torch.device("cpu"))
    if isinstance(case, Detector):
        from goodfit.planning.instances.traced import predict_instance_memory

        return predict_instance_memory(instance_plan_of(case), allowances=beside)
    from goodfit.planning.memory import predict_training_memory

    return predict_training_memory(
        configuration_of(case),
        case.channels,
        case.outputs,
        optimizer="sgd" if case.optimizer == "sgd" else "adamw",
        precision=case.precision,
        ema=True,
        allowances=beside,
    )


def unet_steps(case: UNet, steps: int) -> None:
    """Train on noise: augmentation, network, loss, optimizer, weight average."""
    import torch

    from goodfit.data.labels import Labels
    from goodfit.planning.plan import Training
    from goodfit.tasks.segmentation.augmentation import apply, augmentation_settings, draw
    from goodfit.tasks.segmentation.loss import SegmentationLoss
    from goodfit.tasks.segmentation.network import build_network, deep_supervision_strides
    from goodfit.training.ema import WeightAverage
    from goodfit.training.optimizer import build_optimizer

    configuration = configuration_of(case)
    training = Training.model_validate({"optimizer": case.optimizer, "precision": case.precision})
    labels = Labels({str(value): (value,) for value in range(1, case.outputs)})
    network = build_network(configuration.network, case.channels, case.outputs, configuration.dims)
    criterion = SegmentationLoss(labels, configuration.batch_dice, deep_supervision_strides(configuration.network))
    optimizer, average = build_optimizer(network, training), WeightAverage(network, training.ema)
    settings = augmentation_settings(configuration)

    def loss_of(batch: tuple[torch.Tensor, torch.Tensor], step: int) -> torch.Tensor:
        images, label = apply(*batch, draw(settings, 0, step, case.batch, case.channels))
        with torch.autocast("cpu", torch.bfloat16, enabled=case.precision == "bfloat16"):
            outputs = network(images)
        loss: torch.Tensor = criterion(outputs, label)
        return loss

    for step in range(steps):
        images = torch.randn(case.batch, case.channels, *settings.initial_patch_size)
        label = torch.randint(0, case.outputs, (case.batch, 1, *settings.initial_patch_size), dtype=torch.int16)
        loss = loss_of((images, label), step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), training.gradient_clip)
        loss.item()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(network, step + 1)
        del loss, images, label


def detector_steps(case: Detector, steps: int) -> None:
    """Train on noise with as many objects in each frame as the plan allows."""
    import torch

    from goodfit.tasks.instances.losses import detector_losses
    from goodfit.tasks.instances.network import build_detector
    from goodfit.training.ema import WeightAverage
    from goodfit.training.optimizer import build_optimizer

    plan = instance_plan_of(case)
    network = build_detector(plan).to(memory_format=torch.channels_last).train()
    optimizer, average = build_optimizer(network, plan.training), WeightAverage(network, plan.training.ema)
    height, width = case.size

    def target() -> dict[str, torch.Tensor]:
        corners = torch.rand(case.objects, 2) * torch.tensor([width * 0.7, height * 0.7])
        boxes = torch.cat((corners, corners + 20 + torch.rand(case.objects, 2) * 40), dim=1)
        masks = torch.zeros(case.objects, height, width, dtype=torch.bool)
        return {"boxes": boxes, "labels": torch.ones(case.objects, dtype=torch.int64), "masks": masks}

    def loss_of(frames: list[torch.Tensor]) -> torch.Tensor:
        images, targets = [frame.float().div_(255) for frame in frames], [target() for _ in frames]
        with torch.autocast("cpu", torch.bfloat16, enabled=case.precision == "bfloat16"):
            return detector_losses(network, images, targets).total

    for step in range(steps):
        frames = [torch.randint(0, 255, (3, height, width), dtype=torch.uint8) for _ in range(case.batch)]
        loss = loss_of(frames)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), plan.training.gradient_clip)
        loss.item()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(network, step + 1)
        del loss, frames


def steps_of(case: UNet | Detector) -> Callable[[int], None]:
    """Give what trains the configuration."""
    return lambda steps: detector_steps(case, steps) if isinstance(case, Detector) else unet_steps(case, steps)


def allocated(train: Callable[[], None]) -> int:
    """Largest total of torch's allocator while something runs."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        train()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(file))
        events = json.loads(file.read_text(encoding="utf-8"))["traceEvents"]
    return max(event["args"]["Total Allocated"] for event in events if event.get("name") == "[memory]")


def child(options: argparse.Namespace) -> None:
    """Measure one number of one configuration, in this process, and print it with its prediction."""
    import torch

    # What a training process has loaded before it plans.
    import goodfit.commands.train  # noqa: F401

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    case = CASES[options.only[0]]
    prediction, train = predict(case), steps_of(case)
    if options.child == "tensors":
        measured, predicted = allocated(lambda: train(options.steps)), prediction.tensors
    else:
        train(options.steps)
        measured, predicted = status("VmHWM"), prediction.process
    context = prediction.model.allowances.context
    found = {"measured": measured, "predicted": predicted, "context": context, "threads": torch.get_num_threads()}
    print(json.dumps(found))


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run both processes of one configuration."""
    found = {}
    for what in ("tensors", "resident"):
        words = [sys.executable, __file__, "--child", what, "--only", name, "--steps", str(options.steps)]
        words += [] if options.threads is None else ["--threads", str(options.threads)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{name}, {what}:\n{done.stderr[-4000:]}")
        found[what] = json.loads(done.stdout.splitlines()[-1])
    return found


def error_of(found: dict[str, Any]) -> float:
    """Relative error of a prediction, positive where it is too high."""
    return float(found["predicted"] / found["measured"] - 1)


def summary(measured: dict[str, Any], what: str, kind: type) -> dict[str, float]:
    """Median and worst error of one kind of network."""
    errors = [abs(error_of(found[what])) for name, found in measured.items() if isinstance(CASES[name], kind)]
    return {"median": statistics.median(errors), "worst": max(errors), "configurations": len(errors)}


def rows_of(measured: dict[str, Any]) -> list[list[str]]:
    """Give the table's cells."""
    rows = []
    for name, found in measured.items():
        row: list[str] = [name, str(CASES[name].batch)]
        for what in ("tensors", "resident"):
            numbers = found[what]
            row += [f"{numbers[key] / GIB:.2f} GiB" for key in ("measured", "predicted")]
            row += [f"{100 * error_of(numbers):+.1f} %"]
        rows.append(row)
    return rows


def report(measured: dict[str, Any]) -> dict[str, Any]:
    """Print the table; give the summary."""
    columns = [
        "configuration",
        "batch",
        "tensors: measured",
        "predicted",
        "error",
        "resident: measured",
        "predicted",
        "error",
    ]
    show("peak memory of training steps on the CPU", columns, rows_of(measured))
    result = {}
    for label, kind in (("U-Nets", UNet), ("detectors", Detector)):
        if not any(isinstance(CASES[name], kind) for name in measured):
            continue
        result[label] = {what: summary(measured, what, kind) for what in ("tensors", "resident")}
        for what, one in result[label].items():
            print(
                f"{label}, {what}: median error {100 * one['median']:.1f} % (aim {100 * MEDIAN_AIM:.0f} %), worst "
                f"{100 * one['worst']:.1f} % (aim {100 * WORST_AIM:.0f} %) of {one['configurations']}"
            )
    return result


def document(measured: dict[str, Any], result: dict[str, Any]) -> None:
    """Put the table into docs/performance.md, between its marks."""
    lines = [
        "| network | batch | tensors: measured | predicted | error | resident: measured | predicted | error |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *("| " + " | ".join(row) + " |" for row in rows_of(measured)),
        "",
    ]
    for label, numbers in result.items():
        said = (
            f"{what} median error {100 * one['median']:.1f} %, worst {100 * one['worst']:.1f} %"
            for what, one in numbers.items()
        )
        lines.append(f"{label} ({numbers['tensors']['configurations']}): {'; '.join(said)}.\n")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        raise SystemExit(f"{PAGE} has no {BEGIN} with an {END}")
    PAGE.write_text(before + BEGIN + "\n" + "\n".join(lines) + END + after, encoding="utf-8")


def main() -> None:
    """Measure what is asked for, keep the rest, print the table."""
    options = parse()
    if options.child is not None:
        child(options)
        return
    measured = dict(read_result("memory").get("measured", {}))
    for name in options.only if options.only is not None else [name for name in CASES if name not in measured]:
        print(f"{name} ...", flush=True)
        measured[name] = measure(name, options)
        ordered = {known: measured[known] for known in CASES if known in measured}
        write_result("memory", {"summary": report(ordered), "measured": ordered})
    ordered = {known: measured[known] for known in CASES if known in measured}
    document(ordered, report(ordered))


if __name__ == "__main__":
    main()
