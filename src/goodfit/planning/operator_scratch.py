"""Memory that torch's operators on the CPU take and give back while they run, which no trace of tensors sees.

Convolutions run in oneDNN, which reorders operands into blocks of sixteen channels and, in bfloat16, transposes them for
the gradient of the weights. Sizes and order are those of the allocator's events in torch 2.14 on a CPU with AVX-512; the
tests compare them with real operators.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

CHANNEL_BLOCK = 16
"""Channels are padded to a multiple of this."""
FEWEST_BLOCKED = 4
"""Inputs of fewer channels (grey and colour images) are read as they are."""
_FLOAT = 4


@dataclass(frozen=True)
class ScratchEvent:
    """A block of scratch memory appears, or, at the second event of this name, vanishes.

    Attributes:
        name: of the block within one call of an operator.
        size: bytes.
        after: it happens once the operator's outputs are there.
    """

    name: str
    size: int
    after: bool = False


def scratch_of(func: Any, args: Sequence[Any], threads: int) -> list[ScratchEvent]:
    """Give the scratch memory of one call in the order of its events; empty for most operators.

    Args:
        func: an operator of torch.ops.aten.
        args: what it is called with.
        threads: that the operator runs on.
    """
    aten = torch.ops.aten
    if func is aten.convolution.default:
        x, weight, stride, transposed = args[0], args[1], args[3], args[6]
        return _forward(
            _Convolution.of(x, weight, _output_shape(x, weight, stride, transposed, args[8]), args), threads
        )
    if func is aten.convolution_backward.default:
        gradient, x, weight = args[:3]
        shape = (gradient.shape[1], *gradient.shape[2:])
        return _backward(_Convolution.of(x, weight, shape, args[1:]), threads, wanted=args[10])
    if func is aten.native_batch_norm_backward.default:
        return _during("gradient", args[0].nbytes)
    if func is aten.sum.dim_IntList and args[0].dtype == torch.bool:
        return [ScratchEvent("numbers", 8 * args[0].numel()), ScratchEvent("numbers", 8 * args[0].numel())]
    return []


def _during(name: str, size: int) -> list[ScratchEvent]:
    return [ScratchEvent(name, size), ScratchEvent(name, size, after=True)]


def _output_shape(x: Tensor, weight: Tensor, stride: Sequence[int], transposed: bool, groups: int) -> tuple[int, ...]:
    """Channels and edges of the output, near enough: edges that the stride does not divide are rounded up."""
    if transposed:
        return (weight.shape[1] * groups, *(edge * step for edge, step in zip(x.shape[2:], stride, strict=True)))
    return (weight.shape[0], *(-(-edge // step) for edge, step in zip(x.shape[2:], stride, strict=True)))


@dataclass(frozen=True)
class _Convolution:
    """Bytes of a convolution's operands: as they are (plain) and with padded channels (blocked)."""

    samples: int
    plain_in: int
    plain_out: int
    blocked_in: int
    blocked_out: int
    weights: int
    half: bool
    pointwise: bool
    transposed: bool
    strided: bool
    grouped: bool
    channels_last: bool
    few_channels: bool

    @classmethod
    def of(cls, x: Tensor, weight: Tensor, out: Sequence[int], args: Sequence[Any]) -> _Convolution:
        """Read the arguments of ``convolution`` (or those of its backward after the first)."""
        size, samples = x.element_size(), x.shape[0]
        pixels_in, pixels_out = samples * math.prod(x.shape[2:]), samples * math.prod(out[1:])
        return cls(
            samples=samples,
            plain_in=x.numel() * size,
            plain_out=out[0] * pixels_out * size,
            blocked_in=_padded(x.shape[1]) * pixels_in * size,
            blocked_out=_padded(out[0]) * pixels_out * size,
            weights=weight.numel(),
            half=size == 2,
            pointwise=max(weight.shape[2:]) == 1,
            transposed=bool(args[6]),
            strided=max(args[3]) > 1,
            grouped=args[8] > 1,
            channels_last=not x.is_contiguous() and x.stride(1) == 1,
            few_channels=x.shape[1] < FEWEST_BLOCKED,
        )


def _padded(channels: int) -> int:
    return -(-channels // CHANNEL_BLOCK) * CHANNEL_BLOCK


def _forward(c: _Convolution, threads: int) -> list[ScratchEvent]:
    if c.channels_last:
        return []
    # Sums in float32, one sample for each thread.
    sums = threads * _FLOAT * c.blocked_out // (2 * c.samples) if c.half and c.pointwise else 0
    blocked_in = 0 if c.few_channels else c.blocked_in
    turned = c.blocked_in // c.samples if c.transposed and c.half else 0
    before = [
        ScratchEvent("sums", sums),
        ScratchEvent("turned", turned),
        ScratchEvent("in", blocked_in),
        ScratchEvent("out", c.blocked_out),
        ScratchEvent("sums", sums),
        ScratchEvent("in", blocked_in),
        ScratchEvent("turned", turned),
    ]
    copy = c.plain_out if c.transposed else 0
    return [
        *before,
        ScratchEvent("copy", copy, after=True),
        ScratchEvent("copy", copy, after=True),
        ScratchEvent("out", c.blocked_out, after=True),
    ]


def _backward(c: _Convolution, threads: int, wanted: Sequence[bool]) -> list[ScratchEvent]:
    gradient = c.plain_in if wanted[0] else 0
    turned = _turned(c, threads)
    if c.channels_last:
        return [
            ScratchEvent(name, size) for name, size in (("dx", gradient), *[("turned", turned)] * 2, ("dx", gradient))
        ]
    events: list[tuple[str, int]] = []
    if wanted[0]:
        sums = threads * _FLOAT * c.blocked_in // (2 * c.samples) if c.half and c.pointwise else 0
        events += [("out", c.blocked_out), ("in", c.blocked_in), ("sums", sums), ("sums", sums), ("out", c.blocked_out)]
        copy = gradient if c.strided and not c.transposed else 0
        events += [("dx", gradient), ("copy", copy), ("copy", copy), ("in", c.blocked_in)]
    blocked_in = 0 if c.few_channels else c.blocked_in
    events += [("out", c.blocked_out), ("in", blocked_in), ("turned", turned), ("turned", turned)]
    events += [("in", blocked_in), ("out", c.blocked_out), *([("dx", gradient)] if wanted[0] else [])]
    return [ScratchEvent(name, size) for name, size in events]


def _turned(c: _Convolution, threads: int) -> int:
    """Scratch of the gradient of the weights: both operands transposed, and sums in float32, for groups of threads."""
    if c.grouped:
        return 0
    teams = 1 if c.strided or c.few_channels else 1 << math.ceil(math.log2(threads) / 2)
    if not c.half:
        return (teams - 1) * _FLOAT * c.weights
    if c.pointwise and not c.channels_last:
        return 0
    operands = c.blocked_out + (0 if c.few_channels else c.blocked_in)
    return teams * (operands // c.samples + _FLOAT * c.weights)
