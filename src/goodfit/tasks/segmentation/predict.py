"""From image files to label files: reading, network and writing overlap, a case or two in memory at a time."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from goodfit.data.formats import LOSSY_ENDINGS
from goodfit.data.geometry import Geometry, Image
from goodfit.data.readers import read_image, write_label, write_probabilities
from goodfit.data.wording import counted
from goodfit.errors import DatasetError, SettingsError
from goodfit.preprocessing.case import preprocess_case
from goodfit.tasks.segmentation.inference import Precision, SlidingWindow, TileCounts
from goodfit.tasks.segmentation.restore import restore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    from torch import Tensor, nn

    from goodfit.planning.plan import Plan
    from goodfit.preprocessing.properties import CaseProperties
    from goodfit.tasks.segmentation.restore import Restored

logger = logging.getLogger(__name__)

_FAILURES_OF_A_CASE = (DatasetError, MemoryError, torch.OutOfMemoryError)


@dataclass(frozen=True)
class _Output:
    """The files of one case."""

    name: str
    label: Path
    probabilities: Path | None

    @property
    def complete(self) -> bool:
        return self.label.is_file() and (self.probabilities is None or self.probabilities.is_file())


def predict_cases(
    network: nn.Module,
    plan: Plan,
    inputs: Sequence[tuple[str, Sequence[Path]]],
    output_folder: Path,
    *,
    device: torch.device,
    precision: Precision,
    step_size: float = 0.5,
    mirror: bool = False,
    probabilities: bool = False,
    continue_: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    on_tiles: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Predict cases and write a label file for each: the geometry of its first image, the plan's file ending.

    While the network works on one case, the next one is read and preprocessed and the last one is written. A JPEG
    dataset gets PNG labels, since JPEG alters values.

    Args:
        network: on ``device``.
        plan: of the network.
        inputs: name of each case and its image files, one per channel or one with all of them.
        output_folder: receives NAME and the file ending.
        device: where to compute.
        precision: of the network.
        step_size: distance of neighbouring tiles as a share of the patch, above 0 and at most 1.
        mirror: average over all flips of the patch: four times the work in 2D, eight times in 3D.
        probabilities: also write NAME.npz; see ``restore.restore`` for the memory this needs.
        continue_: leave cases alone whose output is there; files are renamed into place, so what is there is whole.
        on_progress: called with (cases done, all cases), first with those left alone.
        on_tiles: called with (tiles done, all tiles of the case).

    Returns:
        The label files written, in the order of ``inputs``.

    Raises:
        DatasetError: some cases failed; all are named, and the others are written.
        ResourceError: the disk is full; what was written stays.
        SettingsError: step_size is out of range, or an output would replace an input.
    """
    if not 0 < step_size <= 1:
        raise SettingsError(f"prediction.step_size: {step_size} is not above 0 and at most 1.")
    window = _window(plan, device, precision, step_size, mirror, on_tiles)
    outputs = _outputs(plan, inputs, output_folder, probabilities)
    todo = [(output, files) for output, (_, files) in zip(outputs, inputs, strict=True)]
    todo = [(output, files) for output, files in todo if not (continue_ and output.complete)]
    done = len(inputs) - len(todo)
    failures: dict[str, str] = {}
    written: list[Path] = []

    def finish(output: _Output, writing: Future[None]) -> None:
        nonlocal done
        try:
            writing.result()
            written.append(output.label)
        except _FAILURES_OF_A_CASE as error:
            failures[output.name] = _reason(error)
        done += 1
        report()

    def report() -> None:
        if on_progress is not None:
            on_progress(done, len(inputs))

    report()
    reader, writer = ThreadPoolExecutor(1, "read"), ThreadPoolExecutor(1, "write")
    try:
        reading = [reader.submit(_prepare, plan, files) for _, files in todo[:1]]
        writing: tuple[_Output, Future[None]] | None = None
        for number, (output, _) in enumerate(todo):
            # One case ahead and no more: big cases must not pile up.
            current = reading.pop()
            prepared = current.exception() or current.result()
            del current
            reading = [reader.submit(_prepare, plan, files) for _, files in todo[number + 1 : number + 2]]
            try:
                if isinstance(prepared, BaseException):
                    raise prepared
                restored, geometry = _run(network, plan, window, prepared, probabilities), prepared[1].geometry
            except _FAILURES_OF_A_CASE as error:
                failures[output.name] = _reason(error)
                done += 1
                report()
                continue
            finally:
                del prepared
            if writing is not None:
                finish(*writing)
            writing = output, writer.submit(_write, output, restored, geometry)
            del restored
        if writing is not None:
            finish(*writing)
    finally:
        reader.shutdown(cancel_futures=True)
        writer.shutdown()
    if failures:
        raise _report_failures(failures, len(inputs))
    return written
