"""The preprocessed store: where it lies, what goes into it, and that it is made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from goodfit.commands.preprocess import fill_store, preprocess, store_folder
from goodfit.errors import DatasetError, SettingsError
from goodfit.preprocessing.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.commands.plan import Prepared


def test_equal_plans_share_a_store_and_others_do_not(prepare_run: Callable[..., Prepared]) -> None:
    folder = store_folder(prepare_run())
    assert folder.parents[1] == prepare_run().cache / "preprocessed"
    assert folder.name == "Dataset001_Tiny", "a name that nnU-Net takes"
    assert store_folder(prepare_run()) == folder
    assert store_folder(prepare_run(configuration={"spacing": [2.0, 1.0, 1.5]})) != folder
    assert store_folder(prepare_run(data={"normalisation": ["none"]})) != folder
    assert store_folder(prepare_run(data={"key": "another dataset"})) != folder


def test_what_does_not_change_the_cases_does_not_change_the_store(prepare_run: Callable[..., Prepared]) -> None:
    folder = store_folder(prepare_run())
    assert store_folder(prepare_run(training={"seed": 9}, budget={"epochs": 50})) == folder
    assert store_folder(prepare_run(configuration={"batch_size": 9, "patch_size": [4, 4, 4]})) == folder


def test_every_case_of_the_training_folder_is_stored(prepare_run: Callable[..., Prepared], listener: Any) -> None:
    prepared = prepare_run()
    stores = fill_store(prepared, listener, ["3d_fullres"])
    assert stores["3d_fullres"].names() == ["c0", "c1", "c2", "c3", "c4"]
    assert stores["3d_fullres"].folder.is_relative_to(store_folder(prepared))
    assert listener.stages == ["preprocess"]
    assert listener.progress[-1] == (5, 5)


def test_cases_of_imagests_are_not_stored(prepare_run: Callable[..., Prepared], root: Path, listener: Any) -> None:
    for tr, ts, name in (("imagesTr", "imagesTs", "c4_0000.nii.gz"), ("labelsTr", "labelsTs", "c4.nii.gz")):
        (root / ts).mkdir()
        (root / tr / name).rename(root / ts / name)
    stores = fill_store(prepare_run(), listener, ["3d_fullres"])
    assert stores["3d_fullres"].names() == ["c0", "c1", "c2", "c3"]


def test_one_broken_case_does_not_cost_the_others(
    prepare_run: Callable[..., Prepared], root: Path, listener: Any
) -> None:
    prepared = prepare_run()
    (root / "imagesTr" / "c1_0000.nii.gz").write_bytes(b"broken")
    with pytest.raises(DatasetError, match="c1"):
        fill_store(prepared, listener, ["3d_fullres"])
    (folder,) = {marker.parents[2] for marker in store_folder(prepared).rglob("cases/*.json")}
    assert Store(folder).names() == ["c0", "c2", "c3", "c4"]


def test_the_command_plans_and_preprocesses_without_measuring(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goodfit.commands.measure.measure_plan", lambda *_, **__: pytest.fail("measured"))
    folders = preprocess(root, run=tmp_path / "run")
    (folder,) = folders.values()
    assert list(folders) == ["3d_fullres"]
    assert Store(folder).names() == ["c0", "c1", "c2", "c3", "c4"]
    written = {file: file.stat().st_mtime_ns for file in folder.rglob("*.b2nd")}
    assert len(written) == 10
    assert preprocess(root, run=tmp_path / "run") == folders
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*.b2nd")} == written


def test_configurations_are_chosen_by_name(root: Path, tmp_path: Path) -> None:
    folders = preprocess(root, run=tmp_path / "run", configurations=["3d_fullres", "2d"])
    assert set(folders) == {"2d", "3d_fullres"}
    with pytest.raises(
        SettingsError, match="configuration 3d_lowres, 4d is not in the plan, which has: 2d, 3d_fullres"
    ):
        preprocess(root, run=tmp_path / "run", configurations=["4d", "2d", "3d_lowres"])
