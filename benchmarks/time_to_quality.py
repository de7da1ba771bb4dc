"""Minutes until whole-case test Dice of 0.80, 0.85 and 0.87: goodfit against nnU-Net, both on the CPU.

Each side trains anew for each of its times, with a schedule that ends when the time is up; the same cases train,
validate and test (goodfit's split). goodfit is `goodfit train --time`, and its minutes are those of the whole command:
checks, plan, preprocessing, training, prediction of the test cases and report. nnU-Net's minutes are those of its
training alone: fingerprint, plan, preprocessing and prediction come on top and are not counted. Both sides predict
without mirroring and are scored by goodfit's metric on the original files. A finished training is kept in
results/time_to_quality/ and not done again; of an interrupted one, goodfit goes on and nnU-Net begins anew.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from common import CACHE, GOODFIT, RESULTS, make_parser, read_result, run_measured, show, write_result
from goodfit.files import write_json
from peer import add_peer_options, open_peer
from predict import link_cases
from trainings import Request, say_dice, train

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from peer import Peer

QUALITIES = (0.80, 0.85, 0.87)
GOODFIT_MINUTES = (1.5, 2, 3, 4, 6, 10, 30)
NNUNET_MINUTES = (10, 20, 40, 80)
CONFIGURATION = "3d_fullres"

Outcome = dict[str, Any]
Sets = dict[str, list[str]]


class Job(NamedTuple):
    """One training."""

    side: str
    minutes: float


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="a folder DatasetNNN_Name")
    parser.add_argument("--goodfit", type=float, nargs="*", default=GOODFIT_MINUTES, metavar="MINUTES")
    parser.add_argument("--nnunet", type=float, nargs="*", default=NNUNET_MINUTES, metavar="MINUTES")
    parser.add_argument("--qualities", type=float, nargs="+", default=QUALITIES, metavar="DICE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", action="store_true", help="only print what is there")
    parser.add_argument("--work", type=Path, default=CACHE / "time_to_quality", help="runs and preprocessed cases")
    add_peer_options(parser)
    return parser.parse_args()


def make_split(dataset: Path, work: Path) -> Sets:
    """Give the split that `goodfit train` makes, which does not depend on the training's seed."""
    run = work / "split"
    shutil.rmtree(run, ignore_errors=True)
    run_measured([GOODFIT, "plan", dataset, "--run", run])
    return read_split(run)


def read_split(run: Path) -> Sets:
    """Read the sets of a run."""
    split = json.loads((run / "splits.json").read_text(encoding="utf-8"))
    return {name: sorted(split[name]) for name in ("train", "validation", "test")}


def train_goodfit(options: argparse.Namespace, minutes: float, split: Sets) -> Outcome:
    """Train goodfit for a time; it predicts and scores the test cases by itself."""
    run = options.work / "goodfit" / f"{minutes:g}m-seed-{options.seed}"
    outcome = train(Request(options.dataset, f"{round(60 * minutes)}s"), run, ["--seed", str(options.seed)])
    if read_split(run) != split:
        raise SystemExit(f"{run}: trained on another split than nnU-Net. Remove it and call again.")
    # An interrupted training has taken more than its last command.
    return {**outcome, "minutes": max(outcome["minutes"], outcome["command_minutes"])}


def train_peer(options: argparse.Namespace, minutes: float, split: Sets) -> Outcome:
    """Train nnU-Net for a time, predict the test cases with it and score them."""
    from goodfit import evaluate

    peer = open_peer(options, options.work)
    peer.prepare_once([CONFIGURATION])
    folds = [{"train": split["train"], "val": split["validation"]}]
    write_json(peer.preprocessed / "splits_final.json", folds)
    out, inputs, output = (options.work / name for name in ("training.json", "test", "predicted"))
    out.unlink(missing_ok=True)
    arguments = ["--minutes", str(minutes), "--seed", str(options.seed), "--out", out]
    measured = peer.script(peer.name, CONFIGURATION, *arguments, name="peer_training.py")
    trained = json.loads(out.read_text(encoding="utf-8"))
    if {"train": trained.pop("training_cases"), "validation": trained.pop("validation_cases")} != {
        name: split[name] for name in ("train", "validation")
    }:
        raise SystemExit("nnU-Net trained on another split than goodfit.")
    predict_test(peer, options.dataset, split["test"], inputs, output)
    scores = evaluate(output, options.dataset / "labelsTr", only_predicted=True)
    if sorted(scores.cases) != split["test"]:
        raise SystemExit(f"{output}: {len(scores.cases)} of {len(split['test'])} test cases were predicted.")
    return {
        "dice": scores.mean["dice"],
        "classes": {name: value.dice.mean for name, value in scores.classes.items()},
        "test_cases": len(scores.cases),
        "configuration": CONFIGURATION,
        "minutes": trained.pop("seconds") / 60,
        "precision": "float32",
        **trained,
        "peak_bytes": measured.peak_bytes,
    }


def predict_test(peer: Peer, dataset: Path, names: Sequence[str], inputs: Path, output: Path) -> None:
    """Predict the test cases with nnU-Net's last weights, without mirroring."""
    link_cases(dataset, inputs, names=names)
    shutil.rmtree(output, ignore_errors=True)
    folders = ["-i", inputs, "-o", output, "-m", peer.model_folder(CONFIGURATION)]
    peer.command("nnUNetv2_predict_from_modelfolder", *folders, "-f", "0", "--disable_tta", "-device", "cpu")


def name_of(options: argparse.Namespace, job: Job) -> str:
    """Name the result file of a training."""
    return f"time_to_quality/{options.dataset.name}-{job.side}-{job.minutes:g}m-seed-{options.seed}"


def run_missing(options: argparse.Namespace, jobs: Sequence[Job]) -> None:
    """Train what is not there yet, the short times first."""
    missing = [job for job in jobs if not (RESULTS / f"{name_of(options, job)}.json").is_file()]
    if not missing:
        return
    options.work = (options.work / options.dataset.name).resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    split = make_split(options.dataset, options.work)
    for job in missing:
        print(f"{job.side}: {job.minutes:g} min", flush=True)
        side = train_goodfit if job.side == "goodfit" else train_peer
        outcome = side(options, job.minutes, split)
        write_result(name_of(options, job), {"side": job.side, "asked_minutes": job.minutes, "outcome": outcome})
        print(f"{job.side}: Dice {say_dice(outcome)} after {outcome['minutes']:.1f} min", flush=True)


def report(options: argparse.Namespace, jobs: Sequence[Job]) -> None:
    """Print both tables and write results/time_to_quality.json."""
    done = {job: read_result(name_of(options, job)) for job in jobs}
    outcomes: dict[Job, Outcome] = {job: value["outcome"] for job, value in done.items() if value}
    if not outcomes:
        raise SystemExit(f"no training is there yet in {RESULTS / 'time_to_quality'}")
    rows = [
        [job.side, f"{job.minutes:g}", f"{found['minutes']:.1f}", found["steps"], say_dice(found)]
        for job, found in outcomes.items()
    ]
    columns = ["side", "minutes asked", "minutes used", "steps", "test Dice"]
    show(f"{options.dataset.name}, {next(iter(outcomes.values()))['test_cases']} test cases", columns, rows)
    reached = [compare_at(quality, outcomes) for quality in options.qualities]
    show(
        "first minutes that reached it",
        ["test Dice", "goodfit", "nnU-Net", "times sooner"],
        [[f"{row['dice']:.2f}", row["goodfit"]["said"], row["nnunet"]["said"], row["said"]] for row in reached],
    )
    kept = [{"side": job.side, "asked_minutes": job.minutes, **found} for job, found in outcomes.items()]
    write_result("time_to_quality", {"dataset": options.dataset.name, "trainings": kept, "reached": reached})


def compare_at(quality: float, outcomes: dict[Job, Outcome]) -> Outcome:
    """Give the first minutes of each side at a Dice, and how many times sooner goodfit was there."""
    sides = {name: first_minutes(quality, name, outcomes) for name in ("goodfit", "nnunet")}
    ours, theirs = sides["goodfit"], sides["nnunet"]
    ratio = theirs["minutes"] / ours["minutes"] if ours["reached"] and theirs["minutes"] else None
    said = "-" if ratio is None else f"{'' if theirs['reached'] else '>= '}{ratio:.1f}"
    return {"dice": quality, **sides, "ratio": ratio, "ratio_is_a_bound": not theirs["reached"], "said": said}


def first_minutes(quality: float, side: str, outcomes: dict[Job, Outcome]) -> Outcome:
    """Give the shortest time that reached a Dice, or the longest one that did not."""
    tried = [(found["minutes"], found["dice"] or 0.0) for job, found in outcomes.items() if job.side == side]
    there = [minutes for minutes, dice in tried if dice >= quality]
    if there:
        return {"reached": True, "minutes": min(there), "said": f"{min(there):.1f}"}
    longest = max((minutes for minutes, _ in tried), default=None)
    said = "not tried" if longest is None else f"not within {longest:.1f}"
    return {"reached": False, "minutes": longest, "said": said}


def main() -> None:
    """Train what is missing and print the tables."""
    options = parse()
    jobs = [Job("goodfit", minutes) for minutes in sorted(options.goodfit)]
    jobs += [Job("nnunet", minutes) for minutes in sorted(options.nnunet)]
    if not options.table:
        run_missing(options, jobs)
    report(options, jobs)


if __name__ == "__main__":
    main()
