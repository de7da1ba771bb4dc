"""Wall time and peak memory of predicting a folder, no mirroring, start-up included: nnU-Net against goodfit.

Both take the full network of the same plan with weights that have learnt nothing: what they predict is noise, what
it costs is not. nnU-Net runs with one process for reading and one for writing (-npp 1 -nps 1).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from common import GOODFIT, alternate, compare, make_parser, run_measured, work_folder, write_result
from peer import add_peer_options, open_peer

if TYPE_CHECKING:
    from common import Measured
    from peer import Peer


def link_cases(dataset: Path, folder: Path, most: int) -> int:
    """Link the images of the first cases into a folder; give the number of cases."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    by_case: dict[str, list[Path]] = {}
    for image in sorted((dataset / "imagesTr").iterdir()):
        if not image.name.startswith("."):
            by_case.setdefault(image.name.partition(".")[0].rpartition("_")[0], []).append(image)
    chosen = list(by_case.items())[:most]
    for _, images in chosen:
        for image in images:
            (folder / image.name).symlink_to(image.resolve())
    return len(chosen)


def save_untrained(dataset: Path, configuration: str, run: Path) -> None:
    """Make a run folder with the plan's full network as its best checkpoint."""
    import torch

    from goodfit import plan
    from goodfit.tasks.segmentation.network import build_network
    from goodfit.training.checkpoint import Checkpoint, save_checkpoint
    from goodfit.training.weights import weights_of

    prepared = plan(dataset, run=run, configuration=configuration)
    chosen, data = prepared.plan.chosen, prepared.plan.data
    torch.manual_seed(0)
    network = build_network(chosen.network, len(data.channels), data.labels.outputs, chosen.dims)
    save_checkpoint(prepared.run.best, Checkpoint({"network": weights_of(network)}, {}))


def run_peer(peer: Peer, configuration: str, inputs: Path, output: Path) -> Measured:
    """Time nnU-Net."""
    shutil.rmtree(output, ignore_errors=True)
    folders = ["-i", inputs, "-o", output, "-m", peer.model_folder(configuration)]
    options = ["-f", "0", "--disable_tta", "-device", "cpu", "-npp", "1", "-nps", "1"]
    return peer.command("nnUNetv2_predict_from_modelfolder", *folders, *options)


def run_goodfit(run: Path, inputs: Path, output: Path) -> Measured:
    """Time goodfit."""
    shutil.rmtree(output, ignore_errors=True)
    return run_measured([GOODFIT, "predict", run, inputs, output, "--device", "cpu"])


def require_all(output: Path, cases: int) -> None:
    """Make sure that every case was written.

    Raises:
        SystemExit: some are missing.
    """
    written = [path for path in output.iterdir() if path.suffix != ".json" and not path.name.startswith(".")]
    if len(written) != cases:
        raise SystemExit(f"{output.name}: {len(written)} of {cases} cases were written")


def main() -> None:
    """Make the models, run the rounds and print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="a folder DatasetNNN_Name")
    parser.add_argument("--configuration", choices=["3d_fullres", "2d"], default="3d_fullres")
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--work", type=Path, default=None, help="keep preprocessed cases and models here")
    add_peer_options(parser)
    options = parser.parse_args()
    with work_folder(options.work) as work:
        inputs, theirs, ours = work / "inputs", work / "predicted-nnunet", work / "predicted-goodfit"
        cases = link_cases(options.dataset, inputs, options.cases)
        peer = open_peer(options, work)
        peer.prepare_once([options.configuration])
        print("making the models (not timed)", flush=True)
        peer.script(peer.name, options.configuration, "--model")
        run = work / f"goodfit-{options.configuration}"
        save_untrained(options.dataset, options.configuration, run)
        measured = alternate(
            options.rounds,
            {
                "nnUNetv2_predict_from_modelfolder": lambda: run_peer(peer, options.configuration, inputs, theirs),
                "goodfit predict": lambda: run_goodfit(run, inputs, ours),
            },
        )
        require_all(theirs, cases)
        require_all(ours, cases)
    result = compare(f"{options.dataset.name} {options.configuration}: {cases} cases, no mirroring", measured)
    write_result(
        "predict",
        {
            "dataset": options.dataset.name,
            "configuration": options.configuration,
            "cases": cases,
            "commands": result,
        },
    )


if __name__ == "__main__":
    main()
