"""SGD against AdamW under short budgets: mean Dice of the test cases, each by a whole `goodfit train --time TIME`.

Finished trainings are kept in results/optimizers.json and not done again; an interrupted one goes on.
"""

from __future__ import annotations

from common import make_parser, show
from trainings import add_request_options, say_dice, train_once

VARIANTS = {
    "sgd poly": ("--optimizer", "sgd", "--schedule", "poly"),
    "sgd wsd": ("--optimizer", "sgd", "--schedule", "wsd"),
    "adamw wsd": ("--optimizer", "adamw", "--schedule", "wsd"),
}


def main() -> None:
    """Train what is missing and print the table."""
    parser = make_parser(__doc__)
    add_request_options(parser)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    options = parser.parse_args()
    table: dict[str, list[str]] = {name: [] for name in options.variants}
    for request in options.datasets:
        for name in options.variants:
            key = f"{request.dataset.name} {request.time} seed {options.seed}: {name}"
            run = options.runs / "optimizers" / key.replace(":", "").replace(" ", "-")
            arguments = [*VARIANTS[name], "--seed", str(options.seed)]
            outcome = train_once("optimizers", key, request, run, arguments)
            table[name].append(f"{say_dice(outcome)} ({outcome['steps']} steps)")
    columns = [f"{request.dataset.name} {request.time}" for request in options.datasets]
    show("mean Dice of the test cases", ["optimizer", *columns], [[name, *cells] for name, cells in table.items()])


if __name__ == "__main__":
    main()
