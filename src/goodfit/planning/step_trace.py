"""What training steps allocate, found by taking them on fake tensors: nothing is computed, nothing takes memory.

Everything that leans on torch's internals (FakeTensorMode, MemTracker) is in here, and its tests pin what it leans on.
A trace is the list of all allocations and releases in their order. Traces of two batch sizes have the same list, and each
size in it is a straight line in the batch: so is what is allocated at any moment, and the peak of any batch follows.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from goodfit.planning.operator_scratch import scratch_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from goodfit.planning.trace_cache import Lines

SMALL_BATCH, LARGE_BATCH = 2, 4
"""The two batches that are traced; batch 1 takes other ways through some operators."""


def trace_peaks(train: Callable[[int], None], threads: int) -> Lines:
    """Trace training steps with two batch sizes.

    Args:
        train: makes everything that training needs and takes a few steps with the given batch; it runs under
            FakeTensorMode, so no value may be looked at.
        threads: of the operators on the CPU, which have scratch memory for each; 0 for a GPU, whose scratch memory is
            not traced.

    Returns:
        Lines (fixed bytes, bytes per sample). The highest of them at a batch is what is allocated at the peak.
    """
    small, large = (record(train, batch, threads) for batch in (SMALL_BATCH, LARGE_BATCH))
    if small.blocks == large.blocks:
        return tuple(_highest(_moments(small, large)))
    # Lists of samples: the number of allocations depends on the batch. The peaks still lie on a line.
    low, high = small.peak(), large.peak()
    each = (high - low) / (LARGE_BATCH - SMALL_BATCH)
    return ((low - SMALL_BATCH * each, each),)


def _moments(small: Recorded, large: Recorded) -> list[tuple[float, float]]:
    """What is alive at each moment as a line in the batch: (per sample, fixed), the highest of each slope, rising."""
    moments: dict[float, float] = {}
    for low, high in zip(small.totals(), large.totals(), strict=True):
        each = (high - low) / (LARGE_BATCH - SMALL_BATCH)
        fixed = low - SMALL_BATCH * each
        moments[each] = max(fixed, moments.get(each, fixed))
    return sorted(moments.items())


def _highest(lines: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Give (fixed, per sample) of the lines that are the highest for some batch from 1 on; ``lines`` rise in slope."""
    hull: list[tuple[float, float]] = []
    for line in lines:
        while hull and _crossing(hull[-1], line) <= (_crossing(hull[-2], hull[-1]) if len(hull) > 1 else 1.0):
            hull.pop()
        hull.append(line)
    return ((fixed, each) for each, fixed in hull)


def _crossing(flat: tuple[float, float], steep: tuple[float, float]) -> float:
    """Batch from which on the steeper of two lines (per sample, fixed) is the higher."""
    return (flat[1] - steep[1]) / (steep[0] - flat[0])


@dataclass(frozen=True)
class Recorded:
    """The trace of one batch size.

    Attributes:
        blocks: the number of a block for each event: it is allocated where it occurs first and released where it occurs
            again.
        sizes: bytes of each block.
    """

    blocks: tuple[int, ...]
    sizes: tuple[int, ...]

    def totals(self) -> Iterator[int]:
        """Bytes that are allocated after each event."""
        alive: set[int] = set()
        total = 0
        for block in self.blocks:
            total += -self.sizes[block] if block in alive else self.sizes[block]
            alive ^= {block}
            yield total

    def peak(self) -> int:
        """Most bytes that are allocated at once."""
        return max(self.totals(), default=0)


def record(train: Callable[[int], None], batch: int, threads: int) -> Recorded:
    """Trace training steps with one batch size; the arguments are those of ``trace_peaks``."""
    recorder = _Recorder(threads)
    with _no_garbage_collection(), FakeTensorMode(), recorder:
        train(batch)
        recorder.stop()
    return Recorded(tuple(_ordered(recorder.blocks)), tuple(recorder.sizes))


def _ordered(blocks: Sequence[int]) -> Iterator[int]:
    """Sort releases that follow each other: autocast drops its copies of the weights in the order of their addresses."""
    seen: set[int] = set()
    released: list[int] = []
    for block in blocks:
        if block in seen:
            released.append(block)
            continue
        yield from sorted(released)
        released = []
        seen.add(block)
        yield block
    yield from sorted(released)


class _Recorder(MemTracker):  # type: ignore[no-untyped-call]
    """Notes what MemTracker sees appear and vanish, and the scratch memory within operators, which it cannot see.

    MemTracker's statistics by module are switched off: they take more time than all else.
    """

    def __init__(self, threads: int) -> None:
        super().__init__()
        self.blocks: list[int] = []
        self.sizes: list[int] = []
        self._numbers: dict[int, int] = {}
        self._threads = threads
        self._stopped = False

    def stop(self) -> None:
        """Ignore what is released from here on: the end of the tracing, not of a step."""
        self._stopped = True

    def _update_snap(self, u_type: Any, winfo: Any, old_mem_consumed: Any = None, old_reftype: Any = None) -> None:
        super()._update_snap(u_type, winfo, old_mem_consumed, old_reftype)
        if self._stopped:
            return
        assert u_type.name != "SIZE", "a traced storage changes its size"
        if u_type.name == "ADD":
            self._numbers[id(winfo)] = self._allocate(winfo.mem_consumed)
        elif u_type.name == "DEL":
            self.blocks.append(self._numbers.pop(id(winfo)))

    def _allocate(self, size: int) -> int:
        self.sizes.append(size)
        self.blocks.append(len(self.sizes) - 1)
        return self.blocks[-1]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        scratch = scratch_of(func, args, self._threads) if self._threads else ()
        numbers: dict[str, int] = {}
        self._play([event for event in scratch if not event.after], numbers)
        result = super().__torch_dispatch__(func, types, args, kwargs)  # type: ignore[no-untyped-call]
        self._play([event for event in scratch if event.after], numbers)
        assert not numbers, f"{func} keeps scratch memory"
        return result

    def _play(self, events: Sequence[Any], numbers: dict[str, int]) -> None:
        for event in events:
            if event.name in numbers:
                self.blocks.append(numbers.pop(event.name))
            elif event.size:
                numbers[event.name] = self._allocate(event.size)

    def _update_peak_stats(self, peak_state: Any) -> None:
        pass

    def _pre_fw_hook(self, module: Any, inputs: Any) -> None:
        pass

    def _post_fw_hook(self, module: Any, inputs: Any, outputs: Any) -> None:
        pass

    def _pre_bw_hook(self, module: Any, args: Any) -> None:
        pass

    def _post_bw_hook(self, module: Any, args: Any) -> None:
        pass


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep Python from freeing reference cycles at a moment of its own choice, which would change the order."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
