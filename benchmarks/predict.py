"""Wall time and peak memory of predicting a folder, start-up included: nnU-Net against goodfit.

Both take the full network of the same plan with weights that have learnt nothing: what they predict is noise, what
it costs is not. nnU-Net runs with one process for reading and one for writing (-npp 1 -nps 1). With --mirroring both
average over all flips of the patch. With --large the input is one generated volume of 512x512x300 voxels; patch and
network are then those that nnU-Net's rule gives for such volumes.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from common import GOODFIT, alternate, compare, make_parser, read_result, run_measured, work_folder, write_result
from goodfit.files import write_json
from peer import add_peer_options, open_peer
from volumes import write_dataset

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from common import Measured
    from peer import Peer

LARGE_SHAPE = (300, 512, 512)
LARGE_SPACING = (1.0, 0.8, 0.8)


def link_cases(dataset: Path, folder: Path, most: int | None = None, names: Sequence[str] | None = None) -> int:
    """Link the images of the first cases, or of those named, into a folder; give the number of cases."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    by_case: dict[str, list[Path]] = {}
    for image in sorted((dataset / "imagesTr").iterdir()):
        if not image.name.startswith("."):
            by_case.setdefault(image.name.partition(".")[0].rpartition("_")[0], []).append(image)
    chosen = [images for name, images in by_case.items() if names is None or name in names][:most]
    for image in (image for images in chosen for image in images):
        (folder / image.name).symlink_to(image.resolve())
    return len(chosen)


def save_untrained(dataset: Path, configuration: str, run: Path) -> None:
    """Make a run folder with the plan's full network as its best checkpoint, planned by nnU-Net's own rule."""
    import torch

    from goodfit import plan
    from goodfit.tasks.segmentation.network import build_network
    from goodfit.training.checkpoint import Checkpoint, save_checkpoint
    from goodfit.training.weights import weights_of

    prepared = plan(dataset, run=run, configuration=configuration, planner="nnunet")
    chosen, data = prepared.plan.chosen, prepared.plan.data
    torch.manual_seed(0)
    network = build_network(chosen.network, len(data.channels), data.labels.outputs, chosen.dims)
    save_checkpoint(prepared.run.best, Checkpoint({"network": weights_of(network)}, {}))


def refuse_unequal(peer: Peer, configuration: str, run: Path) -> None:
    """Compare only what does the same work.

    Raises:
        SystemExit: the two plans have another patch or network.
    """
    import json

    from goodfit.planning.plan import load_plan

    ours = load_plan(run / "plan.json").chosen
    theirs = json.loads((peer.preprocessed / "nnUNetPlans.json").read_text(encoding="utf-8"))["configurations"]
    wanted = theirs[configuration]["patch_size"], theirs[configuration]["architecture"]["arch_kwargs"]
    if (ours.patch_size, ours.network.features) != (wanted[0], wanted[1]["features_per_stage"]):
        raise SystemExit(f"the two sides do not do the same work: patch {wanted[0]} and {ours.patch_size}")


def run_peer(peer: Peer, configuration: str, inputs: Path, output: Path, *, mirror: bool) -> Measured:
    """Time nnU-Net."""
    shutil.rmtree(output, ignore_errors=True)
    folders = ["-i", inputs, "-o", output, "-m", peer.model_folder(configuration)]
    options = ["-f", "0", "-device", "cpu", "-npp", "1", "-nps", "1", *([] if mirror else ["--disable_tta"])]
    return peer.command("nnUNetv2_predict_from_modelfolder", *folders, *options)


def run_goodfit(run: Path, inputs: Path, output: Path, *, mirror: bool) -> Measured:
    """Time goodfit."""
    shutil.rmtree(output, ignore_errors=True)
    mirroring = ["--tta"] if mirror else []
    return run_measured([GOODFIT, "predict", run, inputs, output, "--device", "cpu", *mirroring])


def require_all(output: Path, cases: int) -> None:
    """Make sure that every case was written.

    Raises:
        SystemExit: some are missing.
    """
    written = [path for path in output.iterdir() if path.suffix != ".json" and not path.name.startswith(".")]
    if len(written) != cases:
        raise SystemExit(f"{output.name}: {len(written)} of {cases} cases were written")


def parse() -> argparse.Namespace:
    """Read the command line.

    Raises:
        SystemExit: there is neither a dataset nor --large.
    """
    parser = make_parser(__doc__)
    parser.add_argument("--dataset", type=Path, default=None, help="a folder DatasetNNN_Name")
    parser.add_argument("--configuration", choices=["3d_fullres", "2d"], default="3d_fullres")
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=None, help="default: 2, and 1 with --large")
    parser.add_argument("--mirroring", action="store_true", help="average over all flips: --tta, no --disable_tta")
    parser.add_argument("--large", action="store_true", help="one generated volume in place of a dataset")
    parser.add_argument(
        "--shape", type=int, nargs=3, default=LARGE_SHAPE, metavar=("Z", "Y", "X"), help="of the volume of --large"
    )
    parser.add_argument("--work", type=Path, default=None, help="keep preprocessed cases and models here")
    add_peer_options(parser)
    options = parser.parse_args()
    if (options.dataset is None) != options.large:
        parser.error("give either --dataset DatasetNNN_Name or --large")
    options.rounds = options.rounds or (1 if options.large else 2)
    return options


def title_of(options: argparse.Namespace) -> str:
    """Say what is predicted; names the entry in the result file."""
    z, y, x = options.shape
    what = f"one volume of {y}x{x}x{z}" if options.large else f"{options.dataset.name}, {options.cases} cases"
    return f"{what}, {options.configuration}, {'mirroring' if options.mirroring else 'no mirroring'}"


def main() -> None:
    """Make the models, run the rounds and print the table."""
    options = parse()
    configuration, mirror = options.configuration, options.mirroring
    with work_folder(options.work) as work:
        if options.large:
            options.dataset, options.cases = work / "Dataset903_OneLarge", 1
            # Three, since a plan needs cases for training, validation and test; the first is predicted.
            write_dataset(options.dataset, tuple(options.shape), [LARGE_SPACING] * 3)
        inputs, theirs, ours = work / "inputs", work / "predicted-nnunet", work / "predicted-goodfit"
        cases = link_cases(options.dataset, inputs, options.cases)
        peer = open_peer(options, work)
        peer.prepare_once([configuration])
        if options.large:  # too few cases for nnU-Net's five folds
            names = [f"volume_{number:02d}" for number in range(3)]
            write_json(peer.preprocessed / "splits_final.json", [{"train": names[1:], "val": names[:1]}])
        print("making the models (not timed)", flush=True)
        peer.script(peer.name, configuration, "--model", "--steps", "0")
        run = work / f"goodfit-{options.dataset.name}-{configuration}"
        save_untrained(options.dataset, configuration, run)
        refuse_unequal(peer, configuration, run)
        measured = alternate(
            options.rounds,
            {
                "nnUNetv2_predict_from_modelfolder": lambda: run_peer(
                    peer, configuration, inputs, theirs, mirror=mirror
                ),
                "goodfit predict": lambda: run_goodfit(run, inputs, ours, mirror=mirror),
            },
        )
        require_all(theirs, cases)
        require_all(ours, cases)
    title = title_of(options)
    result = compare(title, measured)
    kept = dict(read_result("predict").get("measured", {}))
    write_result("predict", {"measured": {**kept, title: {"cases": cases, "commands": result}}})


if __name__ == "__main__":
    main()
