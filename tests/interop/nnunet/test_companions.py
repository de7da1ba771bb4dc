from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from goodfit.data.dataset import open_dataset
from goodfit.data.folds import make_folds
from goodfit.data.splits import Split
from goodfit.interop.nnunet.companions import write_companions
from goodfit.interop.nnunet.plans_file import read_nnunet_plans

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from goodfit.planning.plan import Plan


def test_all_that_nnunet_reads_is_there(preprocess: Callable[..., Path], raw: Path) -> None:
    folder = preprocess()
    plans = read_nnunet_plans(folder / "nnUNetPlans.json")
    assert plans.content.dataset_name == folder.name == "Dataset001_Tiny"
    assert (folder / plans.configuration("3d_fullres")[0].data_identifier).is_dir()
    description = json.loads((folder / "dataset.json").read_text())
    assert (description["numTraining"], description["file_ending"]) == (6, ".nii.gz")
    assert json.loads((folder / "dataset_fingerprint.json").read_text())["foreground_intensity_properties_per_channel"]
    for label in (raw / "labelsTr").iterdir():
        assert (folder / "gt_segmentations" / label.name).read_bytes() == label.read_bytes()


def test_label_files_take_no_room_where_the_file_system_links(preprocess: Callable[..., Path], raw: Path) -> None:
    folder = preprocess()
    assert (folder / "gt_segmentations" / "c0.nii.gz").samefile(raw / "labelsTr" / "c0.nii.gz")


def test_label_files_are_copied_where_it_does_not(
    preprocess: Callable[..., Path], raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("another file system")

    monkeypatch.setattr("os.link", refuse)
    folder = preprocess()
    copy = folder / "gt_segmentations" / "c0.nii.gz"
    assert not copy.samefile(raw / "labelsTr" / "c0.nii.gz")
    assert copy.read_bytes() == (raw / "labelsTr" / "c0.nii.gz").read_bytes()


def test_the_splits_are_nnunets_folds(preprocess: Callable[..., Path], raw: Path) -> None:
    written = json.loads((preprocess() / "splits_final.json").read_text())
    folds = make_folds(open_dataset(raw)).folds
    assert written == [{"train": list(fold.train), "val": list(fold.validation)} for fold in folds]


def test_splits_that_are_there_are_left_alone_unless_they_name_other_cases(
    preprocess: Callable[..., Path], raw: Path, tiny_plan: Callable[..., Plan]
) -> None:
    folder, dataset = preprocess(), open_dataset(raw)
    split = Split(seed=0, source="by hand", train=["c2"], validation=["c1"], test=["c0"])
    file = folder / "splits_final.json"
    mine = [{"train": ["c0", "c1"], "val": ["c2"]}]
    file.write_text(json.dumps(mine))
    write_companions(folder, dataset, tiny_plan(), ["c0", "c1", "c2"], split, None)
    assert json.loads(file.read_text()) == mine
    write_companions(folder, dataset, tiny_plan(), ["c1", "c2"], split, None)
    assert json.loads(file.read_text()) == [{"train": ["c2"], "val": ["c1"]}], "too few cases for folds"


def test_where_nnunet_has_no_word_for_the_plan_nothing_is_written(
    raw: Path, tmp_path: Path, tiny_plan: Callable[..., Plan], caplog: pytest.LogCaptureFixture
) -> None:
    split = Split(seed=0, source="by hand", train=["c2"], validation=["c1"], test=["c0"])
    gaps = tiny_plan(data={"classes": {"left": [1], "right": [5]}})
    with caplog.at_level(logging.INFO):
        write_companions(tmp_path / "Dataset001_X", open_dataset(raw), gaps, ["c0"], split, None)
    assert not (tmp_path / "Dataset001_X").exists()
    assert "nnU-Net cannot train on" in caplog.text
    assert "data.classes" in caplog.text
