"""nnU-Net 2.8.1, to compare with: a virtual environment of its own, and the folders that it wants.

`python benchmarks/peer.py` makes benchmarks/.cache/nnunet; the other benchmarks do so when it is not there.
"""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common import CACHE, HERE, Measured, make_parser, run_measured

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

TORCH = "torch==2.14.1 torchvision==0.29.1"
"""The pair that the Makefile installs, so that both sides compute with the same kernels."""
NNUNET = "nnunetv2==2.8.1"
PROCESSES = 2
"""Of nnU-Net's preprocessing, for each configuration."""


def add_peer_options(parser: argparse.ArgumentParser) -> None:
    """Let the user name another torch, or an nnU-Net that is there already."""
    parser.add_argument("--torch", default=TORCH, help="packages to install beside nnU-Net")
    parser.add_argument("--peer-python", type=Path, default=None, help="python of an environment with nnunetv2")


def peer_python(given: Path | None, torch: str = TORCH) -> Path:
    """Give the python that has nnunetv2, after making its environment where that is needed."""
    if given is not None:
        return given.absolute()  # not resolved: the link in an environment's bin is what makes it that environment
    folder = CACHE / "nnunet"
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    stamp, wanted = folder / ".installed", [*torch.split(), NNUNET]
    if not stamp.is_file() or stamp.read_text(encoding="utf-8").split() != wanted:
        print(f"installing {' '.join(wanted)} into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *torch.split()], check=True)
        subprocess.run([*install, NNUNET, *torch.split()], check=True)
        stamp.write_text("\n".join(wanted), encoding="utf-8")
    return python


@dataclass(frozen=True)
class Peer:
    """nnU-Net with its three folders, set for its own processes only.

    Attributes:
        python: interpreter with nnunetv2.
        folder: receives raw, preprocessed and results.
        dataset: the dataset's folder; raw gets a link to it.
    """

    python: Path
    folder: Path
    dataset: Path

    @property
    def name(self) -> str:
        """The dataset's name, as nnU-Net wants it: DatasetNNN_Name."""
        return self.dataset.name

    @property
    def preprocessed(self) -> Path:
        """Folder of plans and preprocessed cases."""
        return self.folder / "preprocessed" / self.name

    @property
    def environment(self) -> dict[str, str]:
        """Environment of nnU-Net's processes."""
        return {f"nnUNet_{name}": str(self.folder / name) for name in ("raw", "preprocessed", "results")}

    def model_folder(self, configuration: str) -> Path:
        """Where nnU-Net's trainer leaves its model."""
        return self.folder / "results" / self.name / f"nnUNetTrainer__nnUNetPlans__{configuration}"

    def command(self, name: str, *arguments: str | Path) -> Measured:
        """Run one of nnU-Net's commands."""
        return run_measured([self.python.parent / name, *arguments], self.environment)

    def script(self, *arguments: str | Path, name: str = "peer_step.py") -> Measured:
        """Run a script that drives nnU-Net's trainer."""
        return run_measured([self.python, HERE / name, *arguments], self.environment)

    def prepare(self, configurations: Sequence[str]) -> Measured:
        """Verify, fingerprint, plan and preprocess the dataset."""
        number = str(int(self.name[len("Dataset") :].partition("_")[0]))
        processes = [str(PROCESSES)] * len(configurations)
        options = ["-d", number, "-c", *configurations, "-np", *processes, "--verify_dataset_integrity"]
        return self.command("nnUNetv2_plan_and_preprocess", *options)

    def prepare_once(self, configurations: Sequence[str]) -> None:
        """As ``prepare``, where the preprocessed cases are not there yet."""
        if not all((self.preprocessed / f"nnUNetPlans_{name}").is_dir() for name in configurations):
            print("nnU-Net plans and preprocesses (not timed)", flush=True)
            self.prepare(configurations)


def open_peer(options: argparse.Namespace, folder: Path) -> Peer:
    """Make everything ready for nnU-Net to work on ``options.dataset``.

    Raises:
        SystemExit: the dataset's folder has a name that nnU-Net does not take.
    """
    dataset = options.dataset.resolve()
    if not re.fullmatch(r"Dataset\d{3}_.+", dataset.name) or not (dataset / "dataset.json").is_file():
        raise SystemExit(f"{dataset}: nnU-Net takes folders named DatasetNNN_Name with a dataset.json.")
    peer = Peer(peer_python(options.peer_python, options.torch), folder / "nnunet", dataset)
    for name in ("raw", "preprocessed", "results"):
        (peer.folder / name).mkdir(parents=True, exist_ok=True)
    link = peer.folder / "raw" / peer.name
    if not link.exists():
        link.symlink_to(dataset, target_is_directory=True)
    return peer


def main() -> None:
    """Make the environment and say what is in it."""
    parser = make_parser(__doc__)
    add_peer_options(parser)
    options = parser.parse_args()
    python = peer_python(options.peer_python, options.torch)
    versions = "import importlib.metadata as m; print('nnunetv2', m.version('nnunetv2'), 'torch', m.version('torch'))"
    subprocess.run([python, "-c", versions], check=True)


if __name__ == "__main__":
    main()
