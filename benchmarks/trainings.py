"""Whole trainings through `goodfit train`, kept so that a benchmark of many can be continued."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from common import CACHE, GOODFIT, read_result, run_measured, write_result

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

Outcome = dict[str, Any]


class Request(NamedTuple):
    """A dataset and the time for it."""

    dataset: Path
    time: str


def parse_request(text: str) -> Request:
    """Read PATH=TIME.

    Raises:
        ValueError: there is no time; argparse says so.
    """
    path, sign, time = text.rpartition("=")
    if not sign or not time:
        raise ValueError(text)
    return Request(Path(path), time)


def add_request_options(parser: argparse.ArgumentParser) -> None:
    """Add the datasets, the seed and the folder of the runs."""
    parser.add_argument("datasets", type=parse_request, nargs="+", metavar="PATH=TIME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=CACHE / "runs", help="run folders, which interruptions continue")


def train(request: Request, run: Path, options: Sequence[str], environment: Mapping[str, str] | None = None) -> Outcome:
    """Train within the time, or go on where an interrupted call stopped; give scores and costs."""
    command = [GOODFIT, "train", request.dataset, "--run", run, "--time", request.time, *options]
    measured = run_measured(command, environment)
    return {**read_run(run), "command_minutes": measured.seconds / 60, "peak_bytes": measured.peak_bytes}


def read_run(run: Path) -> Outcome:
    """Read a finished run's folder."""
    scores, plan, record = (_read(run / name) for name in ("scores.json", "plan.json", "run.json"))
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    chosen = plan["configurations"][plan["configuration"]]
    return {
        "dice": scores["mean"]["dice"],
        "classes": {name: value["dice"]["mean"] for name, value in scores["classes"].items()},
        "test_cases": len(scores["cases"]),
        "configuration": plan["configuration"],
        "batch_size": chosen["batch_size"],
        "patch_size": chosen["patch_size"],
        "features": chosen["network"]["features"],
        "precision": plan["training"]["precision"],
        "steps": int(rows[-1]["step"]),
        "epochs": int(rows[-1]["epoch"]),
        "minutes": record["spent_seconds"] / 60,
    }


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def train_once(
    benchmark: str,
    key: str,
    request: Request,
    run: Path,
    options: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Train unless results/BENCHMARK.json has the outcome; keep the outcome there."""
    outcomes = dict(read_result(benchmark).get("outcomes", {}))
    if key in outcomes:
        print(f"{key}: there already, Dice {say_dice(outcomes[key])}", flush=True)
        return dict(outcomes[key])
    print(f"{key}: training", flush=True)
    outcome = train(request, run, options, environment)
    outcomes = dict(read_result(benchmark).get("outcomes", {}))  # another call may have written meanwhile
    write_result(benchmark, {"outcomes": {**outcomes, key: outcome}})
    print(f"{key}: Dice {say_dice(outcome)}, {outcome['minutes']:.1f} min", flush=True)
    return outcome


def say_dice(outcome: Outcome) -> str:
    """Say the mean Dice, which is missing where no class occurred in any test case."""
    return "-" if outcome["dice"] is None else f"{outcome['dice']:.4f}"
