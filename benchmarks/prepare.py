"""Wall time of plan and preprocessing, start-up included: nnUNetv2_plan_and_preprocess against goodfit preprocess.

Both verify the dataset, measure it, plan and preprocess 2d and 3d_fullres, from nothing and in turns. With --large the
datasets are generated: volumes of thick slices and volumes of a whole trunk, each with spacings that differ from case
to case, so that every case is resampled.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from common import GOODFIT, alternate, compare, make_parser, read_result, run_measured, work_folder, write_result
from peer import PROCESSES, add_peer_options, open_peer
from volumes import write_dataset

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from common import Measured
    from peer import Peer
    from volumes import Shape, Spacing

CONFIGURATIONS = ("2d", "3d_fullres")


class Generated(NamedTuple):
    """A dataset of volumes of one shape."""

    name: str
    cases: int
    shape: Shape
    spacing: Spacing


GENERATED = (
    Generated("Dataset901_Anisotropic", 6, (40, 320, 320), (3.0, 0.8, 0.8)),
    Generated("Dataset902_Large", 4, (200, 512, 512), (1.5, 0.8, 0.8)),
)


def spacings_of(generated: Generated) -> list[Spacing]:
    """Vary the spacing by up to an eighth around that of the dataset; slice and pixel independently."""
    random = np.random.default_rng(generated.cases)
    factors = random.uniform(7 / 8, 9 / 8, (generated.cases, 2))
    z, y, x = generated.spacing
    return [(round(z * slice_, 3), round(y * pixel, 3), round(x * pixel, 3)) for slice_, pixel in factors.tolist()]


def run_peer(peer: Peer, configurations: Sequence[str]) -> Measured:
    """Time nnU-Net from nothing."""
    shutil.rmtree(peer.preprocessed, ignore_errors=True)
    return peer.prepare(configurations)


def run_goodfit(dataset: Path, run: Path, configurations: Sequence[str]) -> Measured:
    """Time goodfit from nothing: the cache is inside the run folder."""
    shutil.rmtree(run, ignore_errors=True)
    return run_measured([GOODFIT, "preprocess", dataset, "--run", run, "-c", ",".join(configurations)])


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Run the rounds on one dataset, print its table, give its entry of the result file."""
    names = options.configurations
    peer = open_peer(options, work)
    measured = alternate(
        options.rounds,
        {
            "nnUNetv2_plan_and_preprocess": lambda: run_peer(peer, names),
            "goodfit preprocess": lambda: run_goodfit(options.dataset, work / "run", names),
        },
    )
    result = compare(f"{options.dataset.name}: plan and preprocess {', '.join(names)}", measured)
    return {"configurations": names, "peer_processes": PROCESSES, "commands": result}


def parse() -> argparse.Namespace:
    """Read the command line.

    Raises:
        SystemExit: there is neither a dataset nor --large.
    """
    parser = make_parser(__doc__)
    parser.add_argument("--dataset", type=Path, default=None, help="a folder DatasetNNN_Name")
    parser.add_argument("--large", action="store_true", help="generated volumes in place of a dataset")
    parser.add_argument("--only", choices=[one.name for one in GENERATED], default=None, help="of those of --large")
    parser.add_argument("--scale", type=float, default=1.0, help="of the sides of the volumes of --large")
    parser.add_argument("--configurations", nargs="+", default=list(CONFIGURATIONS))
    parser.add_argument("--rounds", type=int, default=None, help="default: 3, and 1 with --large")
    parser.add_argument("--work", type=Path, default=None, help="keep the generated volumes here")
    add_peer_options(parser)
    options = parser.parse_args()
    if (options.dataset is None) != options.large:
        parser.error("give either --dataset DatasetNNN_Name or --large")
    options.rounds = options.rounds or (1 if options.large else 3)
    return options


def main() -> None:
    """Measure each dataset."""
    options = parse()
    with work_folder(options.work) as work:
        datasets = [] if options.large else [options.dataset]
        for one in GENERATED if options.large else ():
            if options.only in (None, one.name):
                z, y, x = (round(options.scale * size) for size in one.shape)
                datasets.append(write_dataset(work / one.name, (z, y, x), spacings_of(one)))
        for dataset in datasets:
            options.dataset = dataset
            entry = measure(options, work)
            kept = dict(read_result("prepare").get("measured", {}))
            write_result("prepare", {"measured": {**kept, dataset.name: entry}})


if __name__ == "__main__":
    main()
