"""Average precision on test videos after the same minutes: `goodfit train --time` against torchvision's recipe.

Both get the same split, the same frame size, the same backbone and the same first weights. goodfit's minutes hold
everything (checks, decoding, validation, scoring, report); torchvision's recipe (torchvision_recipe.py) has them for
training alone. Finished sides are kept in the result file; remove their entry to train again.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import CACHE, GOODFIT, HERE, make_parser, read_result, run_measured, show, write_result

if TYPE_CHECKING:
    import argparse

Outcome = dict[str, Any]
RECIPE = "torchvision's recipe"


def shared(options: argparse.Namespace) -> list[str]:
    """Give the options that both sides share."""
    return ["--seed", str(options.seed), *(["--group-by", options.group_by] if options.group_by else [])]


def goodfit_side(options: argparse.Namespace, run: Path, more: list[str]) -> Outcome:
    """Train as a user would; give scores and costs."""
    weights = ["--weights", str(options.weights) if options.weights else "none"]
    time = ["--time", f"{options.minutes:g}m"]
    measured = run_measured([GOODFIT, "train", options.dataset, "--run", run, *time, *weights, *shared(options), *more])
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        steps = int(list(csv.DictReader(file))[-1]["step"])
    scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    return {
        "steps": steps,
        "batch_size": plan["batch_size"],
        "minutes": measured.seconds / 60,
        "peak_bytes": measured.peak_bytes,
        "scores": scores,
    }


def recipe_side(options: argparse.Namespace, run: Path) -> Outcome:
    """Train torchvision's recipe on the split of a run of goodfit."""
    out = run.parent / "recipe.json"
    weights = ["--weights", options.weights] if options.weights else []
    command = [GOODFIT.with_name("python"), HERE / "torchvision_recipe.py", options.dataset, run, "--out", out]
    run_measured([*command, "--minutes", str(options.minutes), *weights, *shared(options)])
    return dict(json.loads(out.read_text(encoding="utf-8")))


def row(name: str, outcome: Outcome) -> list[str]:
    """One line of the table."""
    kinds = outcome["scores"]["kinds"]
    values = [kinds.get(kind, {}).get(number) for kind in ("mask", "box") for number in ("ap", "ap50")]
    said = ["" if value is None else f"{value:.3f}" for value in values]
    return [name, f"{outcome['steps']} x {outcome['batch_size']}", f"{outcome['minutes']:.1f}", *said]


def main() -> None:
    """Train what is missing and print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--weights", type=Path, help="file of the MobileNetV2 weights; without it from scratch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=CACHE / "instances")
    parser.add_argument("--default-anchors", action="store_true", help="goodfit once more, with torchvision's anchors")
    parser.add_argument(
        "--group-by",
        help="as of goodfit train; '(.+)' splits frame by frame, where groups are kinds of image, not videos",
    )
    parser.add_argument("--no-recipe", action="store_true", help="leave torchvision's recipe out")
    options = parser.parse_args()
    name = f"{options.dataset.resolve().name}, {options.minutes:g} min, {'weights' if options.weights else 'scratch'}"
    key = f"{name}, seed {options.seed}{', grouped anew' if options.group_by else ''}"
    folder = (options.runs / key.replace(", ", "-").replace(" ", "")).resolve()
    outcomes: dict[str, Outcome] = dict(read_result("instances").get("outcomes", {}))
    run = folder / "goodfit"
    sides = {"goodfit": lambda: goodfit_side(options, run, [])}
    if not options.no_recipe:
        sides[RECIPE] = lambda: recipe_side(options, run)
    if options.default_anchors:
        # One size per level and three ratios, as torchvision and Detectron2 have them for features of stride 4 to 64.
        anchors = ["--set", "model.anchor_sizes=[[32],[64],[128],[256],[512]]"]
        anchors += ["--set", "model.anchor_ratios=[0.5,1,2]"]
        sides["goodfit, default anchors"] = lambda: goodfit_side(options, folder / "default-anchors", anchors)
    for side, make in sides.items():
        if f"{key}: {side}" not in outcomes:
            print(f"{key}: {side}", flush=True)
            outcomes[f"{key}: {side}"] = make()
            write_result("instances", {"outcomes": outcomes})
    mine = [row(side, outcomes[f"{key}: {side}"]) for side in sides]
    show(key, ["side", "steps x batch", "minutes", "mask AP", "mask AP50", "box AP", "box AP50"], mine)


if __name__ == "__main__":
    main()
