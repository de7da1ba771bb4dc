"""What nnU-Net reads beside its preprocessed arrays, so that it can train on goodfit's store as it is."""

from __future__ import annotations

import filecmp
import logging
import os
import shutil
from typing import TYPE_CHECKING, Any

from goodfit.data.folds import FOLDS, SPLITS_FILE, find_splits, load_folds, make_folds
from goodfit.data.preprocessed import REFERENCES
from goodfit.errors import PlanError
from goodfit.files import read_json, replacing, write_json
from goodfit.interop.nnunet.plans_out import PLANS_NAME, nnunet_dataset_json, nnunet_plans_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from goodfit.data.dataset import Dataset
    from goodfit.data.splits import Split
    from goodfit.planning.fingerprint import Fingerprint
    from goodfit.planning.plan import Plan

logger = logging.getLogger(__name__)


def write_companions(
    folder: Path, dataset: Dataset, plan: Plan, cases: Sequence[str], split: Split, fingerprint: Fingerprint | None
) -> None:
    """Write nnUNetPlans.json, dataset.json, dataset_fingerprint.json, splits_final.json and gt_segmentations/.

    ``nnUNet_preprocessed=PARENT nnUNetv2_train NAME 3d_fullres 0`` then trains on the store, where PARENT is the parent
    of the folder and NAME its name. Where nnU-Net has no word for a part of the plan (a file format, gaps in the label
    values), a log message says so and nothing is written: goodfit needs none of these files.

    Args:
        folder: of the store, named as nnU-Net names datasets.
        dataset: the raw dataset.
        plan: of the store.
        cases: names of the stored cases.
        split: of the run; its train and validation sets are the one fold where there are too few cases for folds.
        fingerprint: of the dataset, where one was measured.
    """
    try:
        plans = nnunet_plans_of(plan, name=folder.name)
        description = nnunet_dataset_json(plan, len(cases), name=folder.name)
    except PlanError as error:
        logger.info("nnU-Net cannot train on %s: %s", folder, error)
        return
    write_json(folder / f"{PLANS_NAME}.json", plans)
    write_json(folder / "dataset.json", description)
    write_json(folder / "dataset_fingerprint.json", _fingerprint(plans, fingerprint))
    _write_splits(folder / SPLITS_FILE, dataset, cases, split)
    for name in cases:
        label = dataset.case(name).label
        assert label is not None, "stored cases have labels"
        _link(label, folder / REFERENCES / f"{name}{plan.data.file_ending}")


def _fingerprint(plans: dict[str, Any], fingerprint: Fingerprint | None) -> dict[str, Any]:
    """Write what nnU-Net's trainer copies into its results without reading it."""
    intensities = {"foreground_intensity_properties_per_channel": plans["foreground_intensity_properties_per_channel"]}
    if fingerprint is None:
        return intensities
    return {
        **intensities,
        "median_relative_size_after_cropping": fingerprint.relative_size_after_crop,
        "shapes_after_crop": [list(shape) for shape in fingerprint.shapes_after_crop],
        "spacings": [list(spacing) for spacing in fingerprint.spacings],
    }


def _write_splits(file: Path, dataset: Dataset, cases: Sequence[str], split: Split) -> None:
    """Write the folds that ``cross-validate`` has; a file that is there and names only stored cases is left alone."""
    stored = set(cases)
    if file.is_file() and all(stored.issuperset([*fold["train"], *fold["val"]]) for fold in read_json(file)):
        return
    found = find_splits(dataset)
    groups = {dataset.case(name).group for name in stored}
    if found is None and len(groups) < FOLDS:
        write_json(file, [{"train": list(split.train), "val": list(split.validation)}])
        return
    folds = make_folds(dataset) if found is None else load_folds(found, dataset)
    entries = [
        {
            part: [name for name in names if name in stored]
            for part, names in (("train", one.train), ("val", one.validation))
        }
        for one in folds.folds
    ]
    write_json(file, [entry for entry in entries if entry["train"] and entry["val"]])


def _link(source: Path, target: Path) -> None:
    """Let a label file have a second name: a hard link takes no room; where the file system has none, a copy."""
    if target.is_file() and (target.samefile(source) or filecmp.cmp(source, target)):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
