"""Seconds per training step on the CPU, loading and augmentation included: nnU-Net's trainer against goodfit's loop.

Same network, patch and batch; whole processes in turns. Of each process the mean step counts, over processes the
median. nnU-Net runs in float32, as it always does on a CPU, and with the loader processes it chooses by itself
(its table: 12, at most one per core); its queues are full when the clock starts, which is to its advantage.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import GOODFIT, HERE, make_parser, read_result, run_measured, show, work_folder, write_result
from peer import add_peer_options, open_peer

if TYPE_CHECKING:
    import argparse

SAME = ("batch_size", "patch_size", "features", "parameters")

Side = dict[str, Any]


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="a folder DatasetNNN_Name")
    parser.add_argument("--configuration", choices=["3d_fullres", "2d"], default="3d_fullres")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8, help="timed steps of each process")
    parser.add_argument("--warmup", type=int, default=3, help="steps before them")
    parser.add_argument("--work", type=Path, default=None, help="keep the preprocessed cases here")
    add_peer_options(parser)
    return parser.parse_args()


def prepare_goodfit(dataset: Path, configuration: str, run: Path) -> None:
    """Plan with the full network and preprocess; neither is timed."""
    print("goodfit plans and preprocesses (not timed)", flush=True)
    # nnU-Net's own rule for patch and batch: both sides are to do the same work.
    run_measured([GOODFIT, "plan", dataset, "--run", run, "-c", configuration, "--planner", "nnunet"])
    run_measured([GOODFIT, "preprocess", dataset, "--run", run, "-c", configuration])


def measure(options: argparse.Namespace, work: Path) -> dict[str, list[Side]]:
    """Give what each process of each side reported."""
    configuration = options.configuration
    peer = open_peer(options, work)
    peer.prepare_once([configuration])
    run, out = work / f"goodfit-{configuration}", work / "steps.json"
    prepare_goodfit(options.dataset, configuration, run)
    counts = ["--warmup", str(options.warmup), "--steps", str(options.steps), "--out", str(out)]
    ours = [sys.executable, HERE / "goodfit_step.py", options.dataset, run, *counts]
    sides: dict[str, list[Side]] = {"nnU-Net": [], "goodfit": []}
    for number in range(options.rounds):
        peer.script(peer.name, configuration, *counts)
        sides["nnU-Net"].append(_read(out))
        run_measured(ours)
        sides["goodfit"].append(_read(out))
        told = ", ".join(f"{name} {_mean(rounds[-1]['seconds']):.3f} s" for name, rounds in sides.items())
        print(f"round {number + 1}: {told} per step", flush=True)
    return sides


def _read(out: Path) -> Side:
    value: Side = json.loads(out.read_text(encoding="utf-8"))
    out.unlink()  # so that a process that writes nothing is not taken for the one before
    return value


def _mean(seconds: list[float]) -> float:
    return statistics.mean(seconds)


def refuse_unequal(sides: dict[str, list[Side]]) -> None:
    """Compare only what does the same work.

    Raises:
        SystemExit: network, patch or batch differ.
    """
    work = {name: {key: rounds[0][key] for key in SAME} for name, rounds in sides.items()}
    if work["nnU-Net"] != work["goodfit"]:
        raise SystemExit(f"the two sides do not do the same work: {work}")


def report(options: argparse.Namespace, sides: dict[str, list[Side]]) -> None:
    """Print the table and write the result of this dataset and configuration beside those of others."""
    refuse_unequal(sides)
    medians = {name: statistics.median(_mean(r["seconds"]) for r in rounds) for name, rounds in sides.items()}
    ratio = medians["goodfit"] / medians["nnU-Net"]
    bare = statistics.median(_mean(r["bare_seconds"]) for r in sides["goodfit"])
    around = statistics.median(1 - _mean(r["bare_seconds"]) / _mean(r["seconds"]) for r in sides["goodfit"])
    first = {name: rounds[0] for name, rounds in sides.items()}
    ours, theirs = first["goodfit"], first["nnU-Net"]
    show(
        f"{options.dataset.name} {options.configuration}: batch {ours['batch_size']}, patch {ours['patch_size']}, "
        f"features {ours['features']}",
        ["side", "precision", "loader processes", "seconds per step", "ratio", "network alone", "around it"],
        [
            ["nnU-Net", theirs["precision"], theirs["loader_processes"], f"{medians['nnU-Net']:.3f}", "1", "", ""],
            [
                "goodfit",
                ours["precision"],
                ours["loader_processes"],
                f"{medians['goodfit']:.3f}",
                f"{ratio:.3f}",
                f"{bare:.3f}",
                f"{100 * around:.1f} %",
            ],
        ],
    )
    value = {"ratio": ratio, "seconds_per_step": medians, "bare_seconds": bare, "share_around_network": around}
    measured = dict(read_result("step_time").get("measured", {}))
    measured[f"{options.dataset.name} {options.configuration}"] = {**value, "rounds": sides}
    write_result("step_time", {"measured": measured})


def main() -> None:
    """Run the rounds, report."""
    options = parse()
    with work_folder(options.work) as work:
        sides = measure(options, work)
    report(options, sides)


if __name__ == "__main__":
    main()
