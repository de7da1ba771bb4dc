"""A small raw dataset, and the same as a folder of nnUNet_preprocessed."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import SimpleITK as sitk

from goodfit.data.dataset import content_key, open_dataset
from goodfit.data.splits import Split
from goodfit.interop.nnunet.companions import write_companions
from goodfit.planning.lowres import plan_cascade
from goodfit.preprocessing.pipeline import preprocess_dataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Plan


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Six volumes of two boxes each, with an empty margin that is cropped, at a spacing that is resampled."""
    folder = tmp_path / "raw" / "Dataset001_Tiny"
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for case in range(6):
        label = np.zeros((10, 16 + case, 14), np.uint8)
        label[2:7, 2 + case : 8 + case, 2:6] = 1
        label[2:7, 3:9, 8:12] = 2
        image = random.normal(50, 5, label.shape).astype(np.float32) + 40 * label
        image[:, :, 12:] = 0
        for kind, array, file in (("imagesTr", image, f"c{case}_0000.nii.gz"), ("labelsTr", label, f"c{case}.nii.gz")):
            written = sitk.GetImageFromArray(array)
            written.SetSpacing((1.0, 1.25, 2.0))
            written.SetOrigin((4.0, 5.0, -6.0))
            sitk.WriteImage(written, str(folder / kind / file))
    labels = {"background": 0, "left": 1, "right": 2}
    description = {"channel_names": {"0": "MRI"}, "labels": labels, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


@pytest.fixture
def preprocess(raw: Path, tmp_path: Path, tiny_plan: Callable[..., Plan]) -> Callable[..., Path]:
    """Preprocess the dataset into a folder that holds what nnU-Net would write and nothing of goodfit's own."""

    def build(*, with_our_files: bool = False, cascade: bool = False, **changes: Any) -> Path:
        dataset = open_dataset(raw)
        plan = tiny_plan(**{**changes, "data": {"key": content_key(dataset), **changes.get("data", {})}})
        if cascade:
            lowres = plan.chosen.model_copy(update={"name": "3d_lowres", "spacing": [4.0, 2.0, 2.0]})
            both = {"3d_lowres": lowres, "3d_cascade_fullres": plan_cascade(plan.chosen)}
            plan = plan.model_copy(update={"configurations": {**plan.configurations, **both}})
        folder = tmp_path / "preprocessed" / raw.name
        stores = preprocess_dataset(dataset, plan, folder, workers=1)
        names = [case.name for case in dataset.cases]
        split = Split(seed=0, source="by hand", train=names[2:], validation=names[1:2], test=names[:1])
        write_companions(folder, dataset, plan, names, split, None)
        if not with_our_files:
            for arrays in {store.folder for store in stores.values()}:  # a cascade shares those of 3d_fullres
                shutil.rmtree(arrays / "goodfit")
        return folder

    return build
