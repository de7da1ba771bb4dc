"""Tensors of all kinds, in a module that worker processes can import."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


class Tensors:
    """Tensors and arrays that a batch may hold."""

    def __getitem__(self, step: int) -> dict[str, Any]:
        values = torch.arange(24).view(2, 3, 4) + step
        return {
            "threads": torch.get_num_threads(),
            "integers": values,
            "turned": values.permute(2, 0, 1),
            "part": values[:, 1:, ::2],
            "halves": values.to(torch.bfloat16),
            "truth": values > 10,
            "scalar": torch.tensor(2.5),
            "empty": torch.empty(0, 4),
            "sparse": (values[0] * (values[0] > 10)).to_sparse(),
            "leaf": values.float().requires_grad_(),
            "array": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
            "strings": np.array(["a", "bc"]),
            "nested": [(values[0], "text"), None],
        }
