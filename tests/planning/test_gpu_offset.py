from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from goodfit.planning.gpu_offset import FILE, KEPT, name_of, recall, remember

if TYPE_CHECKING:
    import pytest


def test_the_largest_of_the_last_measurements_counts(tmp_path: Path) -> None:
    assert recall("GPU", tmp_path) is None
    remember("GPU", 1000.4, 1300, tmp_path)
    remember("GPU", 2000, 2100, tmp_path)
    remember("other", 10, 9000, tmp_path)
    assert recall("GPU", tmp_path) == 300
    for _ in range(KEPT):
        remember("GPU", 1000, 1050, tmp_path)
    assert recall("GPU", tmp_path) == 50


def test_an_offset_is_never_negative(tmp_path: Path) -> None:
    remember("GPU", 1000, 900, tmp_path)
    assert recall("GPU", tmp_path) == 0


def test_a_damaged_file_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    assert recall("GPU", tmp_path) is None
    remember("GPU", 1, 3, tmp_path)
    assert recall("GPU", tmp_path) == 2


def test_it_lies_in_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    remember("GPU", 1, 3)
    assert recall("GPU") == 2
    assert (tmp_path / ".cache" / "goodfit" / FILE).is_file()


def test_the_name_has_device_version_and_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU of {device}")
    named = f"GPU of cuda:0, torch {torch.__version__}"
    assert name_of(torch.device("cuda:0"), "segmentation") == f"{named}, segmentation"
    assert name_of(torch.device("cuda:0"), "instances") == f"{named}, instances"
