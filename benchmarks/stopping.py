"""When to stop: poly for the whole budget, poly cut off at the plateau, and goodfit's plateau with a cooldown.

Every rule trains the same network on the same split with the same largest budget and the same optimizer; only
schedule and stopping differ. Small networks (a quarter of the planned channels) and long budgets let the whole
polynomial run level off: where it still rises at its end, any rule that stops earlier ends lower.
Finished runs are kept as results/stopping/*.json and not done again; an interrupted one goes on.
"""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from common import CACHE, GOODFIT, RESULTS, machine, make_parser, show
from goodfit.files import write_json
from trainings import read_run, say_dice

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


class Setup(NamedTuple):
    """How a dataset is trained here: patches so small that a step takes 50 to 250 ms of one core."""

    folder: str
    batch_size: int
    patch_size: str
    epochs: int
    steps_per_epoch: int


SETUPS = {
    "hippocampus": Setup("Dataset004_Hippocampus", 16, "56x40", epochs=500, steps_per_epoch=40),
    "blood cells": Setup("Dataset110_WBC1", 4, "64x64", epochs=600, steps_per_epoch=40),
    "retina": Setup("Dataset101_CHASE", 4, "128x128", epochs=900, steps_per_epoch=20),
}
FULL, CUT, OURS = "poly, whole budget", "poly, cut off", "plateau and cooldown"
HACK = ("--schedule", "poly", "--patience", "30", "--min-delta", "0.001", "--smoothing", "0.5")
"""What people add to nnU-Net: no gain of 0.001 in 30 epochs, and the run is over."""
RULES = {
    CUT: HACK,
    FULL: (*HACK[:2], "--patience", "off", *HACK[4:]),
    OURS: (),
}
CHANNELS = 0.25


def main() -> None:
    """Train what is missing and print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("data", type=Path, help="folder that holds the datasets")
    parser.add_argument("--datasets", nargs="+", choices=list(SETUPS), default=list(SETUPS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--runs", type=Path, default=CACHE / "stopping", help="run folders, which interruptions continue"
    )
    parser.add_argument("--rules", nargs="+", choices=list(RULES), default=list(RULES))
    parser.add_argument("--name", default="stopping", help="folder under results/, for trials of other rules")
    parser.add_argument("--options", default="", help="more options of goodfit train for the rule of goodfit")
    parser.add_argument("--table", action="store_true", help="train nothing, print what is there")
    options = parser.parse_args()
    outcomes: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for seed in options.seeds:
        for name in options.datasets:
            for rule in options.rules:
                outcome = one(options, name, rule, seed)
                if outcome is not None:
                    outcomes.setdefault((name, rule), []).append(outcome)
    print_table(outcomes)


def one(options: argparse.Namespace, name: str, rule: str, seed: int) -> dict[str, Any] | None:
    """Give the outcome of a run, trained now where it is not there yet; None where nothing is to be trained."""
    key = f"{name} {rule} {seed}".replace(",", "").replace(" ", "-")
    result = RESULTS / options.name / f"{key}.json"
    if result.is_file():
        return dict(json.loads(result.read_text(encoding="utf-8")))
    if options.table:
        return None
    print(f"{key}: training", flush=True)
    setup = SETUPS[name]
    dataset = (options.data / setup.folder).resolve()
    folder = options.runs.resolve()
    run = Path("runs") / setup.folder / key
    if rule == FULL:
        # The cut run is the beginning of this one, bit for bit: go on where it stopped.
        cut = Path("runs") / setup.folder / key.replace(FULL.replace(",", "").replace(" ", "-"), "poly-cut-off")
        if not (folder / run).exists():
            call(folder, "extend", cut, "--to", run, "--epochs", setup.epochs, "--patience", "off")
        else:
            call(folder, "resume", run)
    else:
        if not (folder / run / "plan.json").is_file():
            plan = ("--configuration", "2d", "--batch-size", setup.batch_size)
            plan += ("--patch-size", setup.patch_size)
            plan += ("--epochs", setup.epochs, "--steps-per-epoch", setup.steps_per_epoch)
            more = options.options.split() if rule == OURS else ()
            call(folder, "plan", dataset, "--run", run, *plan, *as_settings((*RULES[rule], "--seed", str(seed), *more)))
            narrow(folder / run / "plan.json")
        call(folder, "train", dataset, "--run", run)
    outcome = {"dataset": name, "rule": rule, "seed": seed, **read_run(folder / run), "machine": machine()}
    outcome["stopped_by"] = json.loads((folder / run / "events.json").read_text(encoding="utf-8"))[-2:]
    outcome["cpu_minutes"] = cpu_minutes(folder / run / "metrics.csv")
    if rule == FULL:
        outcome["minutes"] += one(options, name, CUT, seed)["minutes"]  # type: ignore[index]
    write_json(result, outcome)
    print(
        f"{key}: Dice {say_dice(outcome)} after {outcome['steps']} steps, {outcome['cpu_minutes']:.1f} CPU min",
        flush=True,
    )
    return outcome


def cpu_minutes(curves: Path) -> float:
    """Minutes of processor time of the epochs, interrupted or not: unlike wall time, it bears other work on the machine.

    The curves' share is one of the cores that the training could use: this process's, which it inherits.
    """
    with curves.open(newline="", encoding="utf-8") as file:
        seconds = sum(float(row["seconds"]) * float(row["cpu_percent"]) / 100 for row in csv.DictReader(file))
    return seconds * len(os.sched_getaffinity(0)) / 60


def as_settings(options: Sequence[str]) -> list[str]:
    """Turn options of `train` into the --set of `plan`, which knows those of the plan only."""
    pairs = zip(options[::2], options[1::2], strict=True)
    return [part for name, value in pairs for part in ("--set", f"training.{name[2:].replace('-', '_')}={value}")]


def narrow(file: Path) -> None:
    """Give the chosen network of a plan a quarter of its channels."""
    plan = json.loads(file.read_text(encoding="utf-8"))
    network = plan["configurations"][plan["configuration"]]["network"]
    network["features"] = [max(4, round(CHANNELS * features)) for features in network["features"]]
    write_json(file, plan)


def call(folder: Path, *arguments: object) -> None:
    """Run goodfit in a folder; what it prints is shown only when it fails.

    Raises:
        SystemExit: it failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = [str(GOODFIT), *map(str, arguments)]
    done = subprocess.run(texts, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(texts)}\nleft with {done.returncode}:\n{done.stdout.decode()[-4000:]}")


def print_table(outcomes: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    """Print steps, minutes of processor time and Dice of each rule, and its distance from the whole poly run, seed by seed."""
    rows = []
    for (name, rule), runs in outcomes.items():
        dice = [run["dice"] for run in runs]
        full = {run["seed"]: run for run in outcomes.get((name, FULL), [])}
        pairs = [(run, full[run["seed"]]) for run in runs if run["seed"] in full]
        rows.append(
            [
                f"{name}: {rule}",
                len(runs),
                f"{statistics.mean(run['steps'] for run in runs):.0f}",
                f"{statistics.mean(run['steps'] / whole['steps'] for run, whole in pairs):.0%}" if pairs else "",
                f"{statistics.mean(run['cpu_minutes'] for run in runs):.1f}",
                f"{statistics.mean(dice):.4f} ± {statistics.pstdev(dice):.4f}",
                f"{statistics.mean(run['dice'] - whole['dice'] for run, whole in pairs):+.4f}" if pairs else "",
            ]
        )
    show(
        "mean ± spread over seeds",
        ["rule", "runs", "steps", "of poly", "CPU minutes", "test Dice", "against poly"],
        rows,
    )


if __name__ == "__main__":
    main()
