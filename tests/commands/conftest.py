"""A small dataset, a prepared run on it, and an observer that keeps what it is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk

from goodfit.commands.plan import Prepared
from goodfit.commands.trained import remember
from goodfit.data.dataset import open_dataset
from goodfit.data.splits import Split, save_split
from goodfit.observer import Observer
from goodfit.settings import build_settings
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Plan


class Listener(Observer):
    """Keeps stages, progress and notes."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []
        self.progress: list[tuple[int, int]] = []

    def stage(self, name: str) -> None:
        self.stages.append(name)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def advance(self, done: int, total: int) -> None:
        self.progress.append((done, total))


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folder of a dataset of five volumes with two boxes each."""
    folder = tmp_path / "Dataset001_Tiny"
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for case in range(5):
        label = np.zeros((10, 16, 14), np.uint8)
        label[2:7, 2 + case : 8 + case, 2:6] = 1
        label[2:7, 3:9, 8:12] = 2
        image = random.normal(50, 5, label.shape).astype(np.float32) + 40 * label
        for kind, array, file in (("imagesTr", image, f"c{case}_0000.nii.gz"), ("labelsTr", label, f"c{case}.nii.gz")):
            written = sitk.GetImageFromArray(array)
            written.SetSpacing((1.0, 1.0, 2.0))
            written.SetOrigin((4.0, 5.0, -6.0))
            sitk.WriteImage(written, str(folder / kind / file))
    labels = {"background": 0, "left": 1, "right": 2}
    description = {"channel_names": {"0": "MRI"}, "labels": labels, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


@pytest.fixture
def prepare_run(root: Path, tmp_path: Path, tiny_plan: Callable[..., Plan]) -> Callable[..., Prepared]:
    """Give a run on the small dataset as if it had been planned, with sections of the plan and settings changed."""

    def build(settings: dict[str, object] | None = None, **changes: dict[str, object]) -> Prepared:
        split = Split(seed=0, source="by hand", train=["c0", "c1", "c2"], validation=["c3"], test=["c4"])
        run = RunFolder(tmp_path / "run")
        return Prepared(
            open_dataset(root),
            build_settings({"machine.device": "cpu", **(settings or {})}),
            run,
            run.path / "cache",
            tiny_plan(**changes),
            split,
        )

    return build


@pytest.fixture
def write_run(root: Path, tiny_plan: Callable[..., Plan]) -> Callable[..., RunFolder]:
    """Make a run folder as a training leaves it, with weights of a seed and the plan's sections changed."""
    import torch

    from goodfit.planning.plan import save_plan
    from goodfit.tasks.segmentation.network import build_network
    from goodfit.training.checkpoint import Checkpoint, save_checkpoint
    from goodfit.training.weights import weights_of

    def build(
        path: Path,
        seed: int,
        *,
        status: str = "finished",
        test: tuple[str, ...] = (),
        plan: Plan | None = None,
        **changes: dict[str, object],
    ) -> RunFolder:
        plan, run = plan or tiny_plan(**changes), RunFolder(path)
        rest = [f"c{case}" for case in range(5) if f"c{case}" not in test]
        split = Split(seed=0, source="by hand", train=rest[1:], validation=rest[:1], test=list(test))
        run.update_record(dataset=str(root.resolve()), settings={}, status=status)
        save_plan(plan, run.plan)
        save_split(split, run.splits)
        remember(run, plan, split)
        torch.manual_seed(seed)
        outputs = plan.data.labels.outputs
        network = build_network(plan.chosen.network, plan.data.input_channels(plan.chosen), outputs, plan.chosen.dims)
        save_checkpoint(run.best, Checkpoint({"network": weights_of(network)}, {}))
        return run

    return build
