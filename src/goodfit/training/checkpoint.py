"""Checkpoints: one safetensors file each, weights as tensors and everything else as JSON in its metadata.

One file means one rename: a checkpoint is there as a whole or not at all, and nothing in it can execute.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from goodfit.errors import RunError
from goodfit.files import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

logger = logging.getLogger(__name__)

CHECKPOINT_VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        groups: group of tensors ("network", "average", "optimizer") -> name -> tensor.
        state: everything else, as JSON values.
    """

    groups: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]

    def snapshot(self) -> Checkpoint:
        """A copy in main memory that later steps do not change."""
        groups = {
            group: {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in named.items()}
            for group, named in self.groups.items()
        }
        return Checkpoint(groups, json.loads(json.dumps(self.state)))


def checksum(tensors: Mapping[str, Tensor], state: str) -> str:
    """Digest of names, shapes, types and bytes of all tensors and of the state's text."""
    digest = hashlib.blake2b(state.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically.

    Raises:
        ResourceError: the disk is full; an earlier file of that name is untouched.
    """
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group, named in checkpoint.groups.items()
        for name, tensor in named.items()
    }
    state = json.dumps(checkpoint.state)
    metadata = {
        "format": "goodfit",
        "version": str(CHECKPOINT_VERSION),
        "state": state,
        "checksum": checksum(tensors, state),
    }
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            raise OSError(28 if "No space" in str(error) else 5, str(error)) from error


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint and verify its checksum.

    Raises:
        RunError: there is no such file, or it is damaged or none of ours.
    """
    if not path.is_file():
        raise RunError(f"{path}: there is no such checkpoint. The run has not reached the point where it is written.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no dict)
        state = json.loads(metadata["state"])
        expected = metadata["checksum"]
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise RunError(f"{path}: this checkpoint is damaged or was not written by goodfit ({error}).") from error
    if checksum(tensors, metadata["state"]) != expected:
        raise RunError(f"{path}: this checkpoint is damaged: its checksum is not that of its content.")
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = tensor.to(device)
    return Checkpoint(groups, state)


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Read the weights to predict with: the averaged ones where the checkpoint has them.

    Raises:
        RunError: there is no such file, it is damaged, none of ours, or holds no weights.
    """
    groups = load_checkpoint(path).groups
    weights = groups.get("average") or groups.get("network")
    if not weights:
        raise RunError(f"{path}: this checkpoint holds no weights.")
    return weights


def load_newest(paths: Sequence[Path]) -> tuple[Checkpoint, Path] | None:
    """Read the first of ``paths`` that is there and sound; says which ones are damaged.

    Args:
        paths: newest first.

    Returns:
        The checkpoint and its path; None when none of the files is there.

    Raises:
        RunError: there are files, and all of them are damaged.
    """
    problems = []
    for path in paths:
        if not path.is_file():
            continue
        try:
            checkpoint = load_checkpoint(path)
        except RunError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            logger.warning("%s Going on from %s instead.", problem, path.name)
        return checkpoint, path
    if problems:
        raise RunError(f"{' '.join(problems)} No sound checkpoint is left: start again with --fresh.")
    return None
