"""Frames per second of `goodfit predict` on a video against those of the bare network, in one process, in turns.

The bare network gets the same frames, decoded and resized before the clock starts, in the same batches and the same
precision; what it gives is thrown away. The other side is all of the prediction: decoding, resizing, the network,
masks, tracking, drawing, encoding, tables. Loading weights and the first batch of each are not timed. Processor
seconds tell how much work the rest is, also on a machine that is not quiet.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from common import make_parser, show, work_folder, write_result
from goodfit.commands.instances.detector import Detector, open_detector
from goodfit.data.video.decode import iterate_frames
from goodfit.data.video.index import open_video
from goodfit.data.video.write import VideoWriter
from goodfit.phantoms.rooms.dataset import make_video
from goodfit.tasks.instances.inference import as_batch
from goodfit.tasks.instances.tracking import TrackingSettings
from goodfit.tasks.instances.video_prediction import predict_video
from goodfit.training.device import choose_device
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

LEAST_SHARE = 0.9
"""Of the bare network's frames per second that a prediction is to reach."""


@dataclass(frozen=True)
class Pass:
    """One pass through the video.

    Attributes:
        seconds: on the clock.
        processor_seconds: of all threads of the process together.
    """

    seconds: float
    processor_seconds: float


def timed(work: Callable[[], None]) -> Pass:
    """Time a piece of work."""
    started, before = time.perf_counter(), processor_seconds()
    work()
    return Pass(time.perf_counter() - started, processor_seconds() - before)


def processor_seconds() -> float:
    """Seconds of user and system time of the process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def generate(path: Path, frames: int, size: tuple[int, int]) -> Path:
    """Write a video of a generated room, enlarged where another size is asked for."""
    from PIL import Image

    with VideoWriter(path, *size, fps=25) as writer:
        for number, picture in enumerate(make_video(7, 3, frames)):
            image = Image.fromarray(picture.image).resize(size, Image.Resampling.BICUBIC)
            writer.add(np.asarray(image, dtype=np.uint8), number / 25)
    return path


@torch.no_grad()
def bare(detector: Detector, frames: Sequence[Tensor]) -> None:
    """Run the network over frames of its size."""
    plan, device = detector.plan, detector.device
    size, enabled = plan.batch_size, plan.training.precision == "bfloat16"
    for first in range(0, len(frames), size):
        batch = as_batch(frames[first : first + size], device)
        with torch.autocast(device.type, torch.bfloat16, enabled=enabled):
            detector.network(batch)


def whole(detector: Detector, video: Path, output: Path) -> None:
    """Predict the video as the command does."""
    score = detector.thresholds.score
    predict_video(
        detector.look,
        video,
        output,
        categories=detector.plan.data.categories,
        prepare=detector.prepare,
        batch=detector.plan.batch_size,
        tracking=TrackingSettings(start_score=score, keep_score=min(score, TrackingSettings().keep_score)),
        unusual_from=None if detector.novelty is None else detector.novelty.threshold,
    )


def measure(options: argparse.Namespace, work: Path) -> dict[str, object]:
    """Run the rounds and print the table."""
    device = choose_device(options.device)
    detector = open_detector(RunFolder(options.run), "best", device)
    video = options.video or generate(work / "room.mp4", options.frames, options.size)
    index = open_video(video)
    count = min(options.frames, index.frame_count)
    frames = [detector.prepare(image)[0] for _, _, image in islice(iterate_frames(index), count)]
    print(
        f"{count} frames of {index.width} x {index.height}, {frames[0].shape[2]} x {frames[0].shape[1]} in the network"
    )
    bare(detector, frames[: 2 * detector.plan.batch_size])
    whole(detector, generate(work / "short.mp4", 8, (256, 192)), work / "short-out.mp4")
    passes: dict[str, list[Pass]] = {"bare network": [], "goodfit predict": []}
    for number in range(options.rounds):
        passes["bare network"].append(timed(lambda: bare(detector, frames)))
        passes["goodfit predict"].append(timed(lambda: whole(detector, video, work / "out.mp4")))
        for name, done in passes.items():
            print(f"round {number + 1}: {name} {done[-1].seconds:.1f} s", flush=True)
    shown = {"bare network": count, "goodfit predict": index.frame_count}
    rates = {name: shown[name] / statistics.median(one.seconds for one in done) for name, done in passes.items()}
    work_each = {
        name: statistics.median(one.processor_seconds for one in done) / shown[name] for name, done in passes.items()
    }
    share = rates["goodfit predict"] / rates["bare network"]
    rest = work_each["goodfit predict"] / work_each["bare network"] - 1
    rows = [[name, f"{rates[name]:.1f}", f"{1000 * work_each[name]:.1f}"] for name in passes]
    show("Predicting a video", ["", "frames per second", "processor ms per frame"], rows)
    print(f"goodfit predict reaches {share:.1%} of the bare network's frames per second (asked: {LEAST_SHARE:.0%})")
    print(f"work beside the network: {rest:.1%} of the network's")
    return {
        "frames": count,
        "size": [index.width, index.height],
        "network_size": [frames[0].shape[2], frames[0].shape[1]],
        "backbone": detector.plan.model.backbone,
        "precision": detector.plan.training.precision,
        "batch_size": detector.plan.batch_size,
        "threads": torch.get_num_threads(),
        "frames_per_second": rates,
        "share": share,
        "processor_seconds_per_frame": work_each,
        "work_beside_the_network": rest,
        "rounds": {name: [asdict(one) for one in done] for name, done in passes.items()},
    }


def parse_size(text: str) -> tuple[int, int]:
    """Read a size like 640x480."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text} is no size like 640x480")
    return int(width), int(height)


def main() -> None:
    """Measure and write the result."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--run", type=Path, required=True, help="a trained run on instances, such as demo/run-instances"
    )
    parser.add_argument("--video", type=Path, default=None, help="a video; default: a generated room")
    parser.add_argument("--size", type=parse_size, default=(256, 192), help="of the generated room's frames")
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default=None)
    parser.add_argument("--work", type=Path, default=None, help="keep the videos here")
    options = parser.parse_args()
    if "GOMP_SPINCOUNT" not in os.environ:
        # `goodfit` sets it as its first act; it is read when torch is loaded, so this process begins anew.
        os.environ["GOMP_SPINCOUNT"] = "20000"
        os.execv(sys.executable, [sys.executable, *sys.argv])
    with work_folder(options.work) as work:
        write_result("video_prediction", measure(options, work))


if __name__ == "__main__":
    main()
