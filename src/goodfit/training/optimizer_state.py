"""What an optimizer remembers, torch's own or the user's, as tensors and numbers that a checkpoint can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from goodfit.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

Numbers = dict[str, Any]


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Give the tensors of the optimizer's state (momenta, step counts), by "number of the weight/name"."""
    return {name: value for name, value in _entries(optimizer) if isinstance(value, torch.Tensor)}


def optimizer_numbers(optimizer: torch.optim.Optimizer) -> Numbers:
    """Give what else it remembers, as JSON: numbers beside the tensors, and the numbers of its groups.

    Raises:
        RunError: it remembers something else, which would be lost when the run goes on.
    """
    state = {name: value for name, value in _entries(optimizer) if not isinstance(value, torch.Tensor)}
    for name, value in state.items():
        if not isinstance(value, int | float | str):
            raise RunError(
                f"{type(optimizer).__name__} keeps {name.partition('/')[2]} as {type(value).__name__}, which a checkpoint "
                "cannot hold, so the run could not go on after an interruption. Keep tensors and numbers."
            )
    groups = [
        {name: value for name, value in group.items() if isinstance(value, int | float) and not isinstance(value, bool)}
        for group in optimizer.param_groups
    ]
    return {"state": state, "groups": groups}


def put_optimizer_state(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], numbers: Numbers | None = None
) -> None:
    """Restore what ``optimizer_tensors`` and ``optimizer_numbers`` gave.

    Momenta get the memory layout of their weights, which a file does not keep: fused optimizers walk through both as
    they lie in memory, and would mix up the momenta of weights that are stored channels last.

    Args:
        optimizer: made anew.
        tensors: by "number of the weight/name".
        numbers: None where a checkpoint has none.
    """
    numbers = numbers or {"state": {}, "groups": []}
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition("/")
        weight = weights[int(index)]
        alike = tensor.shape == weight.shape
        laid_out = torch.empty_like(weight, dtype=tensor.dtype, requires_grad=False).copy_(tensor) if alike else tensor
        state.setdefault(int(index), {})[key] = laid_out
    for name, number in numbers["state"].items():
        index, _, key = name.partition("/")
        state.setdefault(int(index), {})[key] = number
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for group, values in zip(optimizer.param_groups, numbers["groups"], strict=False):
        group.update(values)


def _entries(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Any]]:
    for index, entry in optimizer.state_dict()["state"].items():
        for key, value in entry.items():
            if value is not None:
                yield f"{index}/{key}", value
