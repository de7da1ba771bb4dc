"""Real cases preprocessed by goodfit and by nnU-Net 2.8.1 with the same plans, compared array by array."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from goodfit.data.dataset import Dataset, open_dataset
from goodfit.data.readers import read_image, read_label
from goodfit.interop.nnunet.plans_out import nnunet_dataset_json, nnunet_plans_of
from goodfit.planning.fingerprint import measure
from goodfit.planning.planner import make_plan
from goodfit.preprocessing.case import preprocess_case
from goodfit.preprocessing.locations import find_locations

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.data.dataset import Case
    from goodfit.planning.plan import ConfigurationName, Plan
    from goodfit.preprocessing.case import CaseProperties

pytest.importorskip("nnunetv2", reason="nnU-Net, the judge, is not installed")

SCRIPT = Path(__file__).with_name("preprocess_with_nnunet.py")
LARGEST_DIFFERENCE = 1e-4
"""Of intensities, normalised or normalised and resampled; measured: 2e-5."""
LARGEST_SHARE = 1e-4
"""Of label voxels that differ, all beside a voxel of another label; measured: 1.2e-5."""


@dataclass(frozen=True)
class Preprocessed:
    """One case as both have it."""

    image: np.ndarray
    label: np.ndarray
    properties: CaseProperties
    counts: dict[int, int]
    nnunet: dict[str, np.ndarray]


def scaled(plan: Plan, factors: tuple[float, float, float]) -> Plan:
    """Change the target spacing, so that every case is resampled."""
    spacing = [length * factor for length, factor in zip(plan.chosen.spacing, factors, strict=True)]
    chosen = plan.chosen.model_copy(update={"spacing": spacing})
    return plan.model_copy(update={"configurations": {**plan.configurations, plan.configuration: chosen}})


@dataclass(frozen=True)
class Job:
    """What both are asked to preprocess: the first cases of a dataset."""

    dataset: str
    configuration: ConfigurationName
    cases: int
    factors: tuple[float, float, float] = (1, 1, 1)
    """Of the planned spacing."""

    def open(self, root: Path) -> tuple[Dataset, Plan]:
        dataset = open_dataset(root)
        dataset = replace(dataset, cases=dataset.cases[: self.cases])
        plan = make_plan(dataset, measure(dataset, "key", workers=1), configuration=self.configuration)
        return dataset, scaled(plan, self.factors)


NORMALISED = [
    Job("Dataset004_Hippocampus", "3d_fullres", 4),
    Job("Dataset027_ACDC", "2d", 3),
    Job("Dataset082_BRATS6", "3d_fullres", 3),
]
RESAMPLED = [
    Job("Dataset004_Hippocampus", "3d_fullres", 4, (0.7, 1.3, 0.9)),
    Job("Dataset027_ACDC", "3d_fullres", 3, (0.5, 1.4, 1.4)),
    Job("Dataset082_BRATS6", "3d_fullres", 2, (0.75, 0.75, 0.75)),
    Job("Dataset401_CTfixture", "3d_fullres", 2, (1.5, 1.5, 1.5)),
]


@pytest.fixture(scope="module")
def folders(
    shared_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[Job, tuple[Dataset, Plan, Path]]:
    """All jobs, done by nnU-Net in one process, which takes some seconds to start."""
    done: dict[Job, tuple[Dataset, Plan, Path]] = {}
    for job in (*NORMALISED, *RESAMPLED):
        dataset, plan = job.open(shared_data(job.dataset))
        done[job] = (dataset, plan, tmp_path_factory.mktemp("job"))
        cases = {
            case.name: {"images": [str(file) for file in case.images], "label": str(case.label)}
            for case in dataset.cases
        }
        content = {
            "plans": nnunet_plans_of(plan),
            "dataset_json": nnunet_dataset_json(plan, len(dataset.cases)),
            "configuration": plan.configuration,
            "cases": cases,
        }
        (done[job][2] / "job.json").write_text(json.dumps(content))
    places = {f"nnUNet_{name}": "unused" for name in ("raw", "preprocessed", "results")}
    command = [sys.executable, SCRIPT, *(folder for _, _, folder in done.values())]
    subprocess.run(command, check=True, env={**os.environ, **places})
    return done


@pytest.fixture
def preprocessed(request: pytest.FixtureRequest, folders: dict[Job, tuple[Dataset, Plan, Path]]) -> list[Preprocessed]:
    """The cases of a job, with all but the values compared."""
    dataset, plan, folder = folders[request.param]
    found = [_preprocessed(case, plan, folder) for case in dataset.cases]
    for case in found:
        assert np.array_equal(case.properties.bbox, case.nnunet["box"])
        assert case.properties.shape_before_crop == tuple(case.nnunet["shape_before"])
        assert case.properties.shape_after_crop == tuple(case.nnunet["shape_after"])
        assert case.image.shape == case.nnunet["image"].shape
        assert case.label.dtype == case.nnunet["label"].dtype
    return found


def _preprocessed(case: Case, plan: Plan, folder: Path) -> Preprocessed:
    assert case.label is not None
    label, _ = read_label(case.label)
    image = read_image(case.images, len(plan.data.channels))
    ours, marked, properties = preprocess_case(image, label, plan.data, plan.chosen)
    assert marked is not None
    found = find_locations(marked, plan.data.labels, case.name)
    with np.load(folder / f"{case.name}.npz") as theirs:
        return Preprocessed(ours, marked, properties, {key: len(voxels) for key, voxels in found.items()}, dict(theirs))


def beside_another_label(label: np.ndarray) -> np.ndarray:
    """Tell which voxels of (1, Z, Y, X) have a neighbour with another value."""
    mixed = np.zeros(label.shape, dtype=bool)
    for axis in (1, 2, 3):
        differs = np.diff(label, axis=axis) != 0
        low, high = [slice(None)] * 4, [slice(None)] * 4
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        mixed[tuple(low)] |= differs
        mixed[tuple(high)] |= differs
    return mixed


@pytest.mark.parametrize("preprocessed", NORMALISED, indirect=True, ids=lambda job: job.dataset)
def test_crop_and_normalised_intensities(preprocessed: list[Preprocessed]) -> None:
    for case in preprocessed:
        assert not case.properties.resampled
        assert np.abs(case.image - case.nnunet["image"]).max() < LARGEST_DIFFERENCE
        assert np.array_equal(case.label, case.nnunet["label"])
        assert case.counts == {int(key): int(count) for key, count in case.nnunet["counts"]}


@pytest.mark.parametrize("preprocessed", RESAMPLED, indirect=True, ids=lambda job: job.dataset)
def test_resampled_intensities_and_labels(preprocessed: list[Preprocessed]) -> None:
    for case in preprocessed:
        assert case.properties.resampled
        assert np.abs(case.image - case.nnunet["image"]).max() < LARGEST_DIFFERENCE
        differs = case.label != case.nnunet["label"]
        assert differs.mean() < LARGEST_SHARE
        assert not (differs & ~beside_another_label(case.nnunet["label"])).any()
