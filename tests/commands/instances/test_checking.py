"""The remembered check, and what is said of look-alikes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from goodfit.commands.instances.checking import checked, leaks
from goodfit.data.instances.checks import InstanceCheck
from goodfit.data.instances.dataset import open_instances
from goodfit.data.splits import Split
from goodfit.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_check_is_remembered_while_the_dataset_stays_the_same(
    make_frames: Callable[..., Path], tmp_path: Path, listener: Any
) -> None:
    root, cache = make_frames(videos=3, frames=1), tmp_path / "cache"
    first = checked(open_instances(root), cache, listener, fresh=False)
    assert listener.stages == ["check"]
    again = checked(open_instances(root), cache, listener, fresh=False)
    assert again == first
    assert listener.stages == ["check"]
    assert listener.notes == ["check of 3 frames: as before, the dataset has not changed"]
    checked(open_instances(root), cache, listener, fresh=True)
    shutil.copyfile(root / "images" / "v0_000.png", root / "images" / "v1_000.png")
    result = checked(open_instances(root), cache, listener, fresh=False)
    assert listener.stages == ["check"] * 3
    assert result.identical == [["v0_000", "v1_000"]]


def test_errors_stop_and_name_the_command_that_lists_all(
    make_frames: Callable[..., Path], tmp_path: Path, listener: Any
) -> None:
    root = make_frames(videos=3, frames=1)
    (root / "images" / "v1_000.png").write_bytes(b"nothing")
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"1 problem to be mended first \(`goodfit check"):
            checked(open_instances(root), tmp_path / "cache", listener, fresh=False)
    assert listener.stages == ["check"] * 2, "a broken dataset is looked at again"


def test_leaks_beyond_the_first_few_are_counted() -> None:
    result = InstanceCheck([], hashes={f"t{n}": 5 for n in range(2)} | {f"v{n}": 5 for n in range(8)})
    names = [f"v{n}" for n in range(8)]
    split = Split(seed=0, source="by hand", train=["t0", "t1"], validation=names[:4], test=names[4:])
    lines = leaks(result, split)
    assert len(lines) == 6
    assert lines[0].startswith("warning: v0 (validation) looks like the training frame t0")
    assert lines[-1] == "warning: so do 3 more frames of validation and test."


def test_frames_of_one_video_that_was_cut_cannot_be_put_together() -> None:
    result = InstanceCheck([], hashes={"t": 5, "v": 5, "w": 5})
    parts: dict[str, Any] = {"train": ["t"], "validation": ["v"], "test": ["w"]}
    split = Split(seed=0, source="by hand", groups={"t": "one", "v": "one", "w": "two"}, **parts)
    same, other = leaks(result, split)
    assert same.endswith("its score says little about new videos.")
    assert other.endswith("Put both into one group.")
