"""Checkpoints are read for their weights, and nothing in them is run."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from goodfit.errors import RunError
from goodfit.interop.nnunet.checkpoint import read_nnunet_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable


class Code:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.file}",))


@pytest.fixture
def file(nnunet_model: Callable[..., Path]) -> Path:
    return nnunet_model() / "fold_0" / "checkpoint_final.pth"


def test_weights_and_what_belongs_to_them(file: Path) -> None:
    checkpoint = read_nnunet_checkpoint(file)
    expected = torch.load(file, weights_only=True)
    assert checkpoint.weights.keys() == expected["network_weights"].keys()
    assert all(torch.equal(checkpoint.weights[name], value) for name, value in expected["network_weights"].items())
    assert (checkpoint.trainer, checkpoint.configuration, checkpoint.epoch) == ("nnUNetTrainer", "3d_fullres", 7)
    assert checkpoint.mirror_axes == (0, 1, 2)
    assert checkpoint.dataset is not None
    assert checkpoint.dataset["labels"] == {"background": 0, "left": 1, "right": 2}


def test_numpys_numbers_in_the_log_are_passed_over(nnunet_model: Callable[..., Path]) -> None:
    log = {"mean_fg_dice": [np.float32(0.5), np.float64(0.6)], "all": np.zeros(3), "kind": np.dtype("int16")}
    folder = nnunet_model(logging=log, _best_ema=np.float64(0.7), mirror=None)
    assert read_nnunet_checkpoint(folder / "fold_0" / "checkpoint_final.pth").mirror_axes == ()


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_names_inside_wrappers_are_plain_ones(file: Path, prefix: str) -> None:
    content = torch.load(file, weights_only=True)
    names = list(content["network_weights"])
    content["network_weights"] = {prefix + name: value for name, value in content["network_weights"].items()}
    torch.save(content, file)
    assert list(read_nnunet_checkpoint(file).weights) == names


def test_code_is_refused_and_not_run(nnunet_model: Callable[..., Path], tmp_path: Path) -> None:
    folder = nnunet_model(extra=Code(tmp_path / "ran"))
    with pytest.raises(
        RunError, match=r"checkpoint_final\.pth: holds more than weights.*posix\.system.*nothing of it was run"
    ):
        read_nnunet_checkpoint(folder / "fold_0" / "checkpoint_final.pth")
    assert not (tmp_path / "ran").exists()


def test_a_plain_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint_final.pth"
    file.write_bytes(pickle.dumps(Code(tmp_path / "ran")))
    with pytest.raises(RunError, match="none of nnU-Net v2"):
        read_nnunet_checkpoint(file)
    assert not (tmp_path / "ran").exists()


def test_objects_of_other_classes_are_refused_by_name(nnunet_model: Callable[..., Path]) -> None:
    folder = nnunet_model(extra=Path("x"))
    with pytest.raises(RunError, match=r"it asks for pathlib\.PosixPath"):
        read_nnunet_checkpoint(folder / "fold_0" / "checkpoint_final.pth")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_truncated_files_are_refused(file: Path, share: float) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(RunError, match=r"checkpoint_final\.pth: this checkpoint is cut off, damaged"):
        read_nnunet_checkpoint(file)


def test_a_flipped_bit_is_found(file: Path) -> None:
    whole = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    whole[largest.header_offset + 200 + largest.file_size // 2] ^= 1
    file.write_bytes(whole)
    with pytest.raises(RunError, match="cut off, damaged"):
        read_nnunet_checkpoint(file)


def test_members_that_grow_are_refused_unread(file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.pth"
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.infolist():
            target.writestr(member.filename, source.read(member))
    with pytest.raises(RunError, match=r"is compressed, as torch\.save never does"):
        read_nnunet_checkpoint(packed)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"network_weights": None}, "holds no network_weights"),
        ({"network_weights": {}}, "network_weights is empty"),
        ({"network_weights": {"a": 3}}, r"network_weights\.a is no plain array"),
        ({"init_args": {}}, "does not say what it is"),
        ({"trainer_name": None}, "does not say what it is"),
        ({"inference_allowed_mirroring_axes": (0, 5)}, "inference_allowed_mirroring_axes is"),
    ],
)
def test_what_is_none_of_nnunets_is_refused(file: Path, change: dict[str, object], said: str) -> None:
    torch.save({**torch.load(file, weights_only=True), **change}, file)
    with pytest.raises(RunError, match=said):
        read_nnunet_checkpoint(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"x\.pth: there is no such checkpoint"):
        read_nnunet_checkpoint(tmp_path / "x.pth")
