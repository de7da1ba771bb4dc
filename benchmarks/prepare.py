"""Wall time of plan and preprocessing, start-up included: nnUNetv2_plan_and_preprocess against goodfit preprocess.

Both verify the dataset, measure it, plan and preprocess 2d and 3d_fullres, from nothing and in turns.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from common import GOODFIT, alternate, compare, make_parser, run_measured, work_folder, write_result
from peer import PROCESSES, add_peer_options, open_peer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common import Measured
    from peer import Peer

CONFIGURATIONS = ("2d", "3d_fullres")


def run_peer(peer: Peer, configurations: Sequence[str]) -> Measured:
    """Time nnU-Net from nothing."""
    shutil.rmtree(peer.preprocessed, ignore_errors=True)
    return peer.prepare(configurations)


def run_goodfit(dataset: Path, run: Path, configurations: Sequence[str]) -> Measured:
    """Time goodfit from nothing: the cache is inside the run folder."""
    shutil.rmtree(run, ignore_errors=True)
    return run_measured([GOODFIT, "preprocess", dataset, "--run", run, "-c", ",".join(configurations)])


def main() -> None:
    """Run the rounds and print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="a folder DatasetNNN_Name")
    parser.add_argument("--configurations", nargs="+", default=list(CONFIGURATIONS))
    parser.add_argument("--rounds", type=int, default=3)
    add_peer_options(parser)
    options = parser.parse_args()
    names = options.configurations
    with work_folder(None) as work:
        peer = open_peer(options, work)
        measured = alternate(
            options.rounds,
            {
                "nnUNetv2_plan_and_preprocess": lambda: run_peer(peer, names),
                "goodfit preprocess": lambda: run_goodfit(options.dataset, work / "run", names),
            },
        )
    title = f"{options.dataset.name}: plan and preprocess {', '.join(names)}"
    result = compare(title, measured)
    write_result(
        "prepare",
        {"dataset": options.dataset.name, "configurations": names, "peer_processes": PROCESSES, "commands": result},
    )


if __name__ == "__main__":
    main()
