"""Checkpoints written in a thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import torch

from goodfit.errors import ResourceError
from goodfit.training import checkpoint_writer
from goodfit.training.checkpoint import Checkpoint, load_checkpoint, load_newest
from goodfit.training.checkpoint_writer import CheckpointWriter

if TYPE_CHECKING:
    from pathlib import Path


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint({"network": {"w": torch.full((3,), float(step))}}, {"step": step})


def test_the_training_goes_on_while_a_checkpoint_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, save = threading.Event(), checkpoint_writer.save_checkpoint

    def slow(path: Path, content: Checkpoint) -> None:
        assert go_on.wait(30)
        save(path, content)

    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", slow)
    weight = torch.zeros(3)
    with CheckpointWriter() as writer:
        writer.write(tmp_path / "last", Checkpoint({"network": {"w": weight}}, {}))
        weight += 1  # the next step
        go_on.set()
    assert load_checkpoint(tmp_path / "last").groups["network"]["w"].tolist() == [0, 0, 0]


def test_the_file_before_becomes_the_previous_one(tmp_path: Path) -> None:
    last, previous = tmp_path / "last", tmp_path / "previous"
    with CheckpointWriter() as writer:
        for step in (1, 2, 3):
            writer.write(last, checkpoint(step), previous)
    assert load_checkpoint(last).state == {"step": 3}
    assert load_checkpoint(previous).state == {"step": 2}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["last", "previous"]


@pytest.mark.parametrize("die_at", [1, 2])
def test_a_kill_between_the_renames_leaves_a_sound_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, die_at: int
) -> None:
    last, previous = tmp_path / "last", tmp_path / "previous"
    with CheckpointWriter() as writer:
        writer.write(last, checkpoint(1), previous)
    renames: list[Any] = []
    rename = type(tmp_path).replace

    class Killed(BaseException):
        pass

    def dying(self: Path, target: Path) -> Any:
        if self.name in ("last", ".new-last"):
            renames.append(target)
            if len(renames) == die_at:
                raise Killed
        return rename(self, target)

    monkeypatch.setattr(type(tmp_path), "replace", dying)
    with pytest.raises(Killed), CheckpointWriter() as writer:
        writer.write(last, checkpoint(2), previous)
    monkeypatch.undo()
    found = load_newest([last, previous])
    assert found is not None
    assert found[0].state == {"step": 1}


def test_a_full_disk_is_told_by_the_next_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: Checkpoint) -> None:
        raise ResourceError(f"{path}: no room left on the disk.")

    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", full)
    with CheckpointWriter() as writer:
        writer.write(tmp_path / "last", checkpoint(1))
        with pytest.raises(ResourceError, match="no room"):
            writer.wait()
    with pytest.raises(ResourceError, match="no room"), CheckpointWriter() as writer:
        writer.write(tmp_path / "last", checkpoint(1))
