"""Checkpoint files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goodfit.errors import RunError
from goodfit.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_newest,
    read_weights,
    save_checkpoint,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_round_trip_is_exact(tmp_path: Path) -> None:
    weight = torch.randn(3, 4)
    state = {"step": 7, "loss": 0.1 + 0.2, "nested": {"none": None}}
    save_checkpoint(tmp_path / "c.safetensors", Checkpoint({"network": {"w": weight}}, state))
    loaded = load_checkpoint(tmp_path / "c.safetensors")
    assert torch.equal(loaded.groups["network"]["w"], weight)
    assert loaded.state == state
    assert [file.name for file in tmp_path.iterdir()] == ["c.safetensors"], "no temporary file stays"


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"not a checkpoint at all, but some text"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.safetensors").write_bytes(content)
    with pytest.raises(RunError, match=r"c\.safetensors: this checkpoint is damaged"):
        load_checkpoint(tmp_path / "c.safetensors")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, Checkpoint({"network": {"w": torch.zeros(100)}}, {}))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(path)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_noticed(tmp_path: Path, where: float, bit: int) -> None:
    path = tmp_path / "c.safetensors"
    tensors = {"w": torch.arange(50.0), "h": torch.ones(7, dtype=torch.bfloat16), "n": torch.tensor(3)}
    save_checkpoint(path, Checkpoint({"network": tensors}, {"step": 3}))
    content = bytearray(path.read_bytes())
    content[min(int(where * len(content)), len(content) - 1)] ^= 1 << bit
    path.write_bytes(bytes(content))
    try:
        loaded = load_checkpoint(path)
    except RunError:
        return
    # Blanks of the header's padding are the only bytes without a meaning.
    assert loaded.state == {"step": 3}
    assert all(torch.equal(loaded.groups["network"][name], tensor) for name, tensor in tensors.items())


def test_the_newest_sound_file_is_taken_and_damage_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    last, previous = tmp_path / "last.safetensors", tmp_path / "previous.safetensors"
    assert load_newest([last, previous]) is None
    save_checkpoint(previous, Checkpoint({"network": {"w": torch.zeros(2)}}, {"step": 1}))
    last.write_bytes(b"half")
    found = load_newest([last, previous])
    assert found is not None
    assert found[0].state == {"step": 1}
    assert found[1] == previous
    assert "last.safetensors: this checkpoint is damaged" in caplog.text
    previous.write_bytes(b"half")
    with pytest.raises(RunError, match="No sound checkpoint is left"):
        load_newest([last, previous])


def test_a_snapshot_does_not_follow_the_weights() -> None:
    weight = torch.zeros(3)
    state = {"list": [1]}
    snapshot = Checkpoint({"network": {"w": weight}}, state).snapshot()
    weight += 1
    state["list"].append(2)
    assert snapshot.groups["network"]["w"].tolist() == [0, 0, 0]
    assert snapshot.state == {"list": [1]}


def test_averaged_weights_are_the_ones_to_predict_with(tmp_path: Path) -> None:
    plain, mean = torch.zeros(2), torch.ones(2)
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, Checkpoint({"network": {"w": plain}, "average": {"w": mean}}, {}))
    assert torch.equal(read_weights(path)["w"], mean)
    save_checkpoint(path, Checkpoint({"network": {"w": plain}}, {}))
    assert torch.equal(read_weights(path)["w"], plain)
    save_checkpoint(path, Checkpoint({"optimizer": {"w": plain}}, {}))
    with pytest.raises(RunError, match="holds no weights"):
        read_weights(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "c.safetensors")
