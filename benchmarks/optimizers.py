"""Optimizer, weight average, batch and patch under a fixed time: mean Dice of the test cases by `goodfit train --time`.

Every variant changes one thing of what goodfit does by itself, the first row. Finished trainings are kept in
results/optimizers.json and not done again; an interrupted one goes on. Two calls may share a machine, one core each
(`taskset -c N`), if all of a table are made so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from common import HERE, make_parser, show
from trainings import add_request_options, say_dice, train_once

if TYPE_CHECKING:
    import argparse

    from trainings import Outcome, Request

DEFAULT = "default"
VARIANTS = {
    DEFAULT: (),
    "sgd poly": ("--optimizer", "sgd", "--schedule", "poly"),
    "sgd wsd": ("--optimizer", "sgd", "--schedule", "wsd"),
    "muon": ("--recipe", "muon_recipe:WithMuon"),
    "average over 2 %": ("--set", "training.ema=0.02"),
    "average over 15 %": ("--set", "training.ema=0.15"),
    "one patch size": ("--set", "plan.growth=off"),
}
BATCHES = {"half the batch": 0.5, "twice the batch": 2.0}
"""Times the batch that the default chose."""


def options_of(name: str, default: Outcome | None) -> tuple[str, ...]:
    """Give the options of a variant; those of a batch need the outcome of the default."""
    if name not in BATCHES:
        return VARIANTS[name]
    if default is None:
        raise SystemExit(f"{name}: train the variant {DEFAULT!r} before, whose batch it goes by")
    return ("--batch-size", str(max(1, round(BATCHES[name] * default["batch_size"]))))


def one(options: argparse.Namespace, request: Request, name: str, default: Outcome | None) -> Outcome:
    """Give the outcome of a variant on a dataset, trained now where it is not there yet."""
    key = f"{request.dataset.name} {request.time} seed {options.seed}: {name}"
    run = options.runs / "optimizers" / key.replace(":", "").replace("%", "percent").replace(" ", "-")
    arguments = [*options_of(name, default), "--seed", str(options.seed)]
    return train_once("optimizers", key, request, run, arguments, {"PYTHONPATH": str(HERE)})


def main() -> None:
    """Train what is missing and print the table."""
    parser = make_parser(__doc__)
    add_request_options(parser)
    known = [*VARIANTS, *BATCHES]
    parser.add_argument("--variants", nargs="+", choices=known, default=known, metavar="NAME", help=", ".join(known))
    options = parser.parse_args()
    table: dict[str, list[str]] = {name: [] for name in options.variants}
    for request in options.datasets:
        default = None
        for name in options.variants:
            outcome = one(options, request, name, default)
            default = outcome if name == DEFAULT else default
            table[name].append(f"{say_dice(outcome)} ({outcome['steps']} steps)")
    columns = [f"{request.dataset.name} {request.time}" for request in options.datasets]
    show("mean Dice of the test cases", ["variant", *columns], [[name, *cells] for name, cells in table.items()])


if __name__ == "__main__":
    main()
