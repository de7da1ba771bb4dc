"""Networks as files that run without goodfit: ONNX and torch.export, each checked against the network.

Both take a batch of preprocessed patches of the plan's size and give logits; only the batch size is free. Cutting an
image into patches, averaging them and all that comes before and after is described by the plan in the file. The network
of a cascade takes one channel more, the label map that its first stage has predicted.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch

from goodfit.errors import RunError, SettingsError
from goodfit.files import replacing
from goodfit.tasks.segmentation.network import inferring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor, nn

    from goodfit.planning.plan import Plan

INPUT, OUTPUT = "image", "logits"
PLAN = "goodfit.plan"
"""Name under which the file holds the plan, as JSON."""
TOLERANCE = 1e-3
"""Largest difference from the network's logits, as a share of the largest logit; sums are taken in another order."""
_BATCHES = (1, 3)
"""Sizes that a file is checked with; traced is another one."""
_TRACED = 2
_NEEDED = ("onnx", "onnxruntime", "onnxscript")


def write_onnx(path: Path, network: nn.Module, plan: Plan) -> float:
    """Write an ONNX file and compare what onnxruntime makes of it with the network.

    Args:
        path: ends in .onnx.
        network: of the plan, in host memory.
        plan: goes into the file's metadata.

    Returns:
        The largest difference of a logit, as a share of the largest logit.

    Raises:
        SettingsError: onnx, onnxruntime or onnxscript is not installed.
        RunError: the file gives other results; it is not written then.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"ONNX needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed. "
            'Install the extra: pip install "goodfit[export]"'
        )
    import onnxruntime

    with inferring(network), torch.no_grad(), _quiet(), replacing(path) as temporary:
        program = torch.onnx.export(
            network,
            (_patches(plan, _TRACED),),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            verbose=False,
        )
        assert program is not None, "the exporter gives a program where it is given no file"
        program.model.metadata_props[PLAN] = plan.model_dump_json()
        program.save(str(temporary))
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])

        def run(patches: Tensor) -> Tensor:
            return torch.from_numpy(np.asarray(session.run([OUTPUT], {INPUT: patches.numpy()})[0]))

        return _largest_difference(path, network, plan, run)


def write_torch_export(path: Path, network: nn.Module, plan: Plan) -> float:
    """Write a file of torch.export and compare what torch makes of it with the network.

    Args:
        path: ends in .pt2.
        network: of the plan, in host memory.
        plan: goes into the file as an extra file.

    Returns:
        The largest difference of a logit, as a share of the largest logit.

    Raises:
        RunError: the file gives other results; it is not written then.
    """
    with inferring(network), torch.no_grad(), _quiet(), replacing(path) as temporary:
        program = torch.export.export(
            network, (_patches(plan, _TRACED),), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)
        )
        torch.export.save(program, temporary, extra_files={PLAN: plan.model_dump_json()})
        loaded = torch.export.load(temporary).module()
        return _largest_difference(path, network, plan, loaded)


def _patches(plan: Plan, batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(batch)
    shape = plan.chosen.patch_size
    patches = torch.randn((batch, len(plan.data.channels), *shape), generator=generator)
    if plan.chosen.previous_stage is None:
        return patches
    largest = max(plan.data.labels.foreground_values)
    return torch.cat([patches, torch.randint(0, largest + 1, (batch, 1, *shape), generator=generator).float()], 1)


def _largest_difference(path: Path, network: nn.Module, plan: Plan, run: Callable[[Tensor], Tensor]) -> float:
    """Compare for batches of several sizes.

    Raises:
        RunError: they differ by more than ``TOLERANCE``.
    """
    worst = 0.0
    for batch in _BATCHES:
        patches = _patches(plan, batch)
        expected = network(patches)
        found = run(patches)
        if found.shape != expected.shape:
            raise RunError(
                f"{path}: gives {tuple(found.shape)} in place of {tuple(expected.shape)}; it was not written."
            )
        worst = max(worst, float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-6)))
    if not worst <= TOLERANCE:
        raise RunError(
            f"{path}: gives other logits than the network: they differ by {worst:.2%} of the largest one. It was not written."
        )
    return worst


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' own reports and deprecations from the user: the check tells whether they matter."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
