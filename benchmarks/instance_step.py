"""Seconds per training step of instances: goodfit's own loop against torchvision's plain loop, same frames and batch.

Whole processes in turns; of each the mean step counts, over processes the median. torchvision's side is the library's
Mask R-CNN on the same backbone as its reference script trains it (torchvision_recipe.py): float32, its default
numbers of regions. It gets frames decoded and resized already, as goodfit's loop does from its cache.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import GOODFIT, HERE, make_parser, run_measured, show, work_folder, write_result

if TYPE_CHECKING:
    from goodfit.training.progress import Report

SIDES = ("torchvision", "goodfit")


class EnoughSteps(Exception):  # noqa: N818 (it is no error)
    """Leaves the training loop before its first validation."""


def time_goodfit(options: argparse.Namespace) -> list[float]:
    """Seconds of steps of the real loop."""
    from goodfit.commands.extensions import find_extensions
    from goodfit.commands.fitting import controller_settings
    from goodfit.commands.instances.prepare import aim_at_instances, prepare_instances
    from goodfit.commands.instances.train import fill_store, make_task
    from goodfit.observer import Observer
    from goodfit.training.loop import Trainer

    target = aim_at_instances(options.dataset, options.run, fresh=False, explicit={})
    prepared = prepare_instances(target, Observer())
    store = fill_store(prepared, Observer())
    extensions = find_extensions(prepared.settings.training, (), None)
    task = make_task(prepared, store, extensions.recipe, pretrained=False)
    ends: list[float] = []

    def note(_report: Report) -> None:
        ends.append(time.perf_counter())
        if len(ends) > options.warmup + options.steps:
            raise EnoughSteps

    trainer = Trainer(task, prepared.plan.training, controller_settings(prepared), prepared.run, on_report=note)
    try:
        trainer.train()
    except EnoughSteps:
        return [
            after - before for before, after in zip(ends[options.warmup :], ends[options.warmup + 1 :], strict=False)
        ]
    finally:
        task.close()
    raise SystemExit("fewer steps per epoch than are to be timed")


def time_torchvision(options: argparse.Namespace) -> list[float]:
    """Seconds of steps of the plain loop."""
    import torch

    from goodfit.data.instances.dataset import open_instances
    from goodfit.data.instances.splits import load_instance_split
    from goodfit.planning.instances.plan import load_instance_plan
    from goodfit.preprocessing.frames_fill import fill_frames
    from goodfit.training.run_folder import RunFolder
    from torchvision_recipe import Frames, Recipe, build, endless

    torch.manual_seed(0)
    run = RunFolder(options.run)
    dataset, plan = open_instances(options.dataset), load_instance_plan(run.plan)
    smallest, largest = plan.model.image_min_size, plan.model.image_max_size
    store = fill_frames(dataset.frames, options.run / "frames", smallest, largest)
    names = load_instance_split(run.splits, dataset).train
    frames = Frames(store, [dataset.frame(name) for name in names], masks=plan.model.masks, flip=True)
    recipe = Recipe(build(plan, None), plan.batch_size, 1)
    ends = []
    for number, (images, targets) in enumerate(endless(frames, plan.batch_size)):
        recipe.step(images, targets, number, 0.0)
        ends.append(time.perf_counter())
        if len(ends) > options.warmup + options.steps:
            break
    return [after - before for before, after in zip(ends[options.warmup :], ends[options.warmup + 1 :], strict=False)]


def main() -> None:
    """Time both sides in turns."""
    parser = make_parser(__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        seconds = time_goodfit(options) if options.side == "goodfit" else time_torchvision(options)
        options.out.write_text(json.dumps(seconds), encoding="utf-8")
        return
    means: dict[str, list[float]] = {side: [] for side in SIDES}
    with work_folder(None) as folder:
        python = GOODFIT.with_name("python")
        for number in range(options.rounds):
            for side in SIDES:
                # The loop begins a run anew each time: it would go on from a checkpoint.
                run, out = folder / f"{side}{number}", folder / f"{side}{number}.json"
                wanted = ["--weights", "none", "--steps-per-epoch", "1000", "--run", run]
                run_measured([GOODFIT, "plan", options.dataset, *wanted])
                how = ["--warmup", str(options.warmup), "--steps", str(options.steps)]
                command = [python, HERE / "instance_step.py", options.dataset, "--side", side, *how]
                run_measured([*command, "--run", run, "--out", out])
                means[side].append(statistics.mean(json.loads(out.read_text(encoding="utf-8"))))
                print(f"round {number + 1}: {side} {means[side][-1]:.3f} s", flush=True)
    medians = {side: statistics.median(values) for side, values in means.items()}
    ratio = medians["goodfit"] / medians["torchvision"]
    rows = [[side, f"{value:.3f}", f"{value / medians['torchvision']:.3f}"] for side, value in medians.items()]
    show(f"{options.dataset.resolve().name}: training step", ["loop", "seconds (median)", "ratio"], rows)
    content: dict[str, Any] = {"dataset": options.dataset.resolve().name, "seconds": means, "ratio": ratio}
    write_result("instance_step", content)


if __name__ == "__main__":
    main()
