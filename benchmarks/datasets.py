"""Scores of `goodfit train --time TIME` with nothing else chosen, a row for each dataset.

With --json the rows are also kept in results/datasets.json, and what is there already is not trained again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from common import make_parser, show
from trainings import add_request_options, read_run, say_dice, train, train_once

if TYPE_CHECKING:
    from pathlib import Path

    from trainings import Outcome, Request


def run_one(request: Request, run: Path, seed: int, *, keep: bool) -> Outcome:
    """Train, or read what is finished."""
    options = ["--seed", str(seed)]
    if keep:
        return train_once("datasets", f"{request.dataset.name} {request.time} seed {seed}", request, run, options)
    if (run / "scores.json").is_file():
        return read_run(run)
    return train(request, run, options)


def classes(outcome: Outcome) -> str:
    """Say the Dice of each class, or how many there are."""
    known = [f"{name} {value:.3f}" for name, value in outcome["classes"].items() if value is not None]
    return ", ".join(known) if len(known) <= 4 else f"{len(known)} classes"


def main() -> None:
    """Train what is missing and print the table."""
    parser = make_parser(__doc__)
    add_request_options(parser)
    parser.add_argument("--json", action="store_true", help="keep the rows in results/datasets.json")
    options = parser.parse_args()
    rows = []
    for request in options.datasets:
        run = options.runs / "datasets" / f"{request.dataset.name}-{request.time}-seed-{options.seed}"
        outcome = run_one(request, run, options.seed, keep=options.json)
        rows.append(
            [
                f"{request.dataset.name} {request.time}",
                outcome["configuration"],
                outcome["steps"],
                f"{outcome['minutes']:.1f}",
                outcome["test_cases"],
                say_dice(outcome),
                classes(outcome),
            ]
        )
    columns = ["dataset", "configuration", "steps", "minutes", "test cases", "test Dice", "by class"]
    show("goodfit train --time", columns, rows)


if __name__ == "__main__":
    main()
