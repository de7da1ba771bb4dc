"""Does early stopping work on frames that overfit? A few frames of one video train, the others validate and test.

The frames that validate and test are later stretches of the same video, or other videos (--other-videos).

After every validation a hook scores the averaged weights on the test frames as well, which a training never does. The
table shows when and why the run ended, its verdict, and the test AP of the checkpoint it kept beside the best one that
any validation saw. Nothing of the loop is changed; patience is shorter, as the whole run is.

    python benchmarks/overfitting_instances.py --frames 3 --other-videos --image-size 192 --initialise-from RUN
    python benchmarks/overfitting_instances.py --data DATASET --weights mobilenet_v2.pth
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import goodfit
from common import make_parser, show, work_folder, write_result
from goodfit.commands.instances.building import store_folder
from goodfit.commands.trained import trained_instance_plan
from goodfit.data.instances.dataset import InstanceDataset, open_instances
from goodfit.data.splits import Split
from goodfit.phantoms.rooms import write_rooms
from goodfit.preprocessing.frames_fill import fill_frames
from goodfit.tasks.instances.inference import detect_resized
from goodfit.tasks.instances.metrics import average_precision
from goodfit.training.checkpoint import load_checkpoint
from goodfit.training.ema import WeightAverage
from goodfit.training.metrics_log import read_rows
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from goodfit.data.instances.model import Frame
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.preprocessing.frames import FrameStore

MOST_SCORED = 80
"""Frames of validation and of test: the precision of fewer jumps by hundredths from one validation to the next."""


class TestScores(goodfit.Hook):
    """Scores the averaged weights on test frames after each validation."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames
        self._average: WeightAverage | None = None
        self._plan: InstancePlan | None = None
        self._store: FrameStore | None = None
        self.history: list[tuple[int, float]] = []

    def before_train(self, context: goodfit.Context) -> None:
        plan = trained_instance_plan(context.run)
        assert plan is not None
        self._plan = plan
        self._average = WeightAverage(context.network, plan.training.ema)
        folder = store_folder(context.run.path / "cache", plan)
        self._store = fill_frames(self._frames, folder, plan.model.image_min_size, plan.model.image_max_size)

    def after_step(self, context: goodfit.Context) -> None:
        assert self._average is not None
        self._average.update(context.network, context.step)

    def after_validation(self, context: goodfit.Context) -> None:
        plan, average, store = self._plan, self._average, self._store
        assert plan is not None
        assert average is not None
        assert store is not None
        modes = [(module, module.training) for module in context.network.modules()]
        with torch.random.fork_rng(), average.in_place_of(context.network) as network, torch.inference_mode():
            network.eval()
            found = []
            for first in range(0, len(self._frames), plan.batch_size):
                part = self._frames[first : first + plan.batch_size]
                images = [torch.from_numpy(store.get(frame.name).copy()).permute(2, 0, 1) for frame in part]
                shapes = [(frame.height, frame.width) for frame in part]
                found += detect_resized(network, images, shapes, plan, torch.device("cpu"))
        for module, mode in modes:
            module.training = mode
        kind = "segm" if plan.model.masks else "bbox"
        score = average_precision(self._frames, found, plan.data.categories, kind)
        self.history.append((context.step, score.ap))
        context.record("test_ap", score.ap)


def few_frames(dataset: InstanceDataset, count: int, *, other_videos: bool) -> Split:
    """Train on a few frames of the longest video."""
    groups = dataset.groups()
    longest = max(groups, key=lambda name: len(groups[name]))
    seen = [frame for frame in groups.pop(longest) if frame.instances]
    names = [frame.name for frame in seen]
    if other_videos:
        source = f"{count} frames of {longest} train, the other videos validate and test in turn"
        train = evenly(names, count)
        sets: tuple[list[str], list[str]] = ([], [])
        for number, frames in enumerate(groups.values()):
            sets[number % 2].extend(frame.name for frame in frames)
    else:
        source = f"{count} frames of the first third of {longest} train, the second validates, the last tests"
        third = len(names) // 3
        train = evenly(names[:third], count)
        # A frame beside another stretch resembles its neighbour there.
        sets = (names[third + 1 : 2 * third], names[2 * third + 1 :])
    validation, test = (sorted(evenly(part, MOST_SCORED)) for part in sets)
    return Split(
        seed=0,
        source=source,
        train=sorted(train),
        validation=validation,
        test=test,
        groups={frame.name: frame.group for frame in dataset.frames},
    )


def evenly(names: Sequence[str], count: int) -> list[str]:
    """Choose some names, evenly spread."""
    return list(names[:: max(1, len(names) // count)][:count])


def measure(data: Path, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train once and describe the run."""
    dataset = open_instances(data)
    split = few_frames(dataset, arguments.frames, other_videos=arguments.other_videos)
    scores = TestScores([dataset.frame(name) for name in split.test])
    settings = {
        "model.weights": str(arguments.weights),
        "model.image_min_size": arguments.image_size,
        "model.image_max_size": round(1.5 * arguments.image_size),
        "budget.epochs": arguments.epochs,
        "budget.steps_per_epoch": arguments.steps,
        "plan.batch_size": 2,
        "training.patience": arguments.patience,
        "training.validation_share": 1.0,
        "training.seed": arguments.seed,
        **({"training.initialise_from": str(arguments.initialise_from)} if arguments.initialise_from else {}),
        "machine.device": "cpu",
    }
    result = goodfit.train(data, run=folder, settings=settings, split=split, hooks=[scores])
    run = RunFolder(folder)
    rows = read_rows(run.metrics)
    history, kept = dict(scores.history), int(load_checkpoint(run.best).state["step"])
    best_step = max(history, key=lambda step: history[step])
    assert result.scores is not None, "the run is finished"
    losses = [float(row["val_loss"]) for row in rows if row["val_loss"]]
    return {
        "frames": arguments.frames,
        "weights": Path(str(arguments.weights)).name,
        "seed": arguments.seed,
        "steps": int(rows[-1]["step"]),
        "steps_allowed": arguments.epochs * arguments.steps,
        "ended": [str(event["reason"]) for event in run.read_events()],
        "verdict": rows[-1].get("verdict", ""),
        "validation_loss": {"best": min(losses), "end": losses[-1]},
        "kept_step": kept,
        "kept_test_ap": result.scores.numbers.ap,
        "best_seen_step": best_step,
        "best_seen_test_ap": history[best_step],
        "history": [
            {"step": int(row["step"]), "val_ap": float(row["val_ap"]), "test_ap": float(row["test_ap"])}
            for row in rows
            if row.get("val_ap")
        ],
    }


def main() -> None:
    """Run, print and keep the result."""
    parser = make_parser(__doc__)
    parser.add_argument("--data", type=Path, help="COCO dataset with videos; default: generated rooms")
    parser.add_argument("--weights", default="none", help='"none", "imagenet", or a file of MobileNetV2')
    parser.add_argument("--initialise-from", type=Path, metavar="RUN", help="a trained run, such as demo/run-instances")
    parser.add_argument("--frames", type=int, default=6, help="that train")
    parser.add_argument("--other-videos", action="store_true", help="validate and test on them")
    parser.add_argument("--image-size", type=int, default=128, help="shorter side")
    parser.add_argument("--epochs", type=int, default=120, help="at most")
    parser.add_argument("--steps", type=int, default=10, help="of an epoch")
    parser.add_argument("--patience", type=int, default=12, help="epochs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keeps the run")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("goodfit").setLevel(logging.INFO)
    with work_folder(arguments.folder) as folder:
        # Other rooms than the demo's, which --initialise-from may have seen.
        data = arguments.data or write_rooms(folder / "rooms", videos=21, frames=16, seed=7)
        outcome = measure(data, folder / "run", arguments)
    name = "rooms" if arguments.data is None else arguments.data.name
    write_result(f"overfitting_instances_{name}_{arguments.seed}", outcome)
    show(
        f"overfitting on {arguments.frames} frames, {name}",
        ["steps (allowed)", "verdict", "test AP of the kept checkpoint", "best test AP seen", "difference"],
        [
            [
                f"{outcome['steps']} ({outcome['steps_allowed']})",
                outcome["verdict"],
                f"{outcome['kept_test_ap']:.4f} at {outcome['kept_step']}",
                f"{outcome['best_seen_test_ap']:.4f} at {outcome['best_seen_step']}",
                f"{outcome['best_seen_test_ap'] - outcome['kept_test_ap']:.4f}",
            ]
        ],
    )
    for reason in outcome["ended"]:
        print(reason)


if __name__ == "__main__":
    main()
