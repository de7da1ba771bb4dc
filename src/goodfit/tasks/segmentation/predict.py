"""From image files to label files: reading, network and writing overlap, a case or two in memory at a time."""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from goodfit.data.formats import label_ending
from goodfit.data.geometry import Geometry, Image
from goodfit.data.readers import read_image, write_label, write_probabilities
from goodfit.data.wording import counted
from goodfit.errors import DatasetError, SettingsError
from goodfit.preprocessing.case import preprocess_case
from goodfit.tasks.segmentation.inference import Precision, SlidingWindow, TileCounts
from goodfit.tasks.segmentation.network import inferring
from goodfit.tasks.segmentation.restore import restore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    from torch import Tensor, nn

    from goodfit.planning.plan import Plan
    from goodfit.preprocessing.properties import CaseProperties
    from goodfit.tasks.segmentation.restore import Restored

    _Prepared = tuple[Tensor, CaseProperties]

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


@dataclass
class _Tally:
    """What has become of the cases so far."""

    cases: int
    on_progress: Callable[[int, int], None] | None
    done: int = 0
    written: list[Path] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, cases: int) -> None:
        self.done += cases
        if self.on_progress is not None:
            self.on_progress(self.done, self.cases)

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Take down the failure of a case and go on."""
        try:
            yield
        except _FAILURES_OF_A_CASE as error:
            out_of_memory = not isinstance(error, DatasetError)
            self.failures[name] = "there is not enough memory for it" if out_of_memory else str(error)
            logger.warning("%s could not be predicted: %s", name, self.failures[name])
            self.add(1)

    def finish(self, output: _Output, writing: Future[None]) -> None:
        """Wait until a case is on disk."""
        with self.attempt(output.name):
            writing.result()
            self.written.append(output.label)
            self.add(1)

    def raise_failures(self) -> None:
        if self.failures:
            lines = [f"  {name}: {reason}" for name, reason in self.failures.items()]
            raise DatasetError(
                f"{len(self.failures)} of {counted(self.cases, 'case')} could not be predicted; the others are done.\n"
                + "\n".join(lines)
            )


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
    window = _window(plan, device=device, precision=precision, step_size=step_size, mirror=mirror, on_tiles=on_tiles)
    outputs = _outputs(plan, inputs, output_folder, probabilities)
    jobs = [(output, files) for output, (_, files) in zip(outputs, inputs, strict=True)]
    jobs = [job for job in jobs if not (continue_ and job[0].complete)]
    tally = _Tally(len(inputs), on_progress)
    tally.add(len(inputs) - len(jobs))
    writing: deque[tuple[_Output, Future[None]]] = deque()
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer, inferring(network):
        for output, reading in _one_ahead(reader, jobs, plan):
            with tally.attempt(output.name):
                restored, geometry = _predict_one(network, plan, window, reading, probabilities)
                writing.append((output, writer.submit(_write, output, restored, geometry)))
                del restored
            if len(writing) > 1:
                tally.finish(*writing.popleft())
        for last in writing:
            tally.finish(*last)
    tally.raise_failures()
    return tally.written


def predict_array(
    network: nn.Module,
    plan: Plan,
    image: npt.NDArray[np.float32],
    spacing: tuple[float, float, float],
    *,
    device: torch.device,
    precision: Precision,
    step_size: float = 0.5,
    mirror: bool = False,
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Predict an image that is in memory.

    Args:
        network: on ``device``.
        plan: of the network.
        image: (C, Z, Y, X), intensities as in the files; Z is 1 in 2D.
        spacing: mm per voxel, (z, y, x); z is 999 in 2D.
        device: where to compute.
        precision: of the network.
        step_size: as for ``predict_cases``.
        mirror: as for ``predict_cases``.

    Returns:
        (Z, Y, X) label values.
    """
    identity = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    geometry = Geometry(spacing, (0.0, 0.0, 0.0), identity, 3)
    preprocessed, _, properties = preprocess_case(Image(image, geometry), None, plan.data, plan.chosen)
    window = _window(plan, device=device, precision=precision, step_size=step_size, mirror=mirror)
    return restore(window.slabs(network, torch.from_numpy(preprocessed)), properties, plan.data.labels).labels


def _window(
    plan: Plan,
    *,
    device: torch.device,
    precision: Precision,
    step_size: float,
    mirror: bool,
    on_tiles: Callable[[int, int], None] | None = None,
) -> SlidingWindow:
    if not 0 < step_size <= 1:
        raise SettingsError(f"prediction.step_size: {step_size} is not above 0 and at most 1.")
    patch = tuple(plan.chosen.patch_size)
    axes = tuple(range(len(patch))) if mirror else ()
    return SlidingWindow(patch, step_size, axes, device, precision, on_tiles=on_tiles)


def _outputs(
    plan: Plan, inputs: Sequence[tuple[str, Sequence[Path]]], folder: Path, probabilities: bool
) -> list[_Output]:
    ending = label_ending(plan.data.file_ending)
    outputs = [
        _Output(name, folder / f"{name}{ending}", folder / f"{name}.npz" if probabilities else None)
        for name, _ in inputs
    ]
    read = {file.resolve() for _, files in inputs for file in files}
    for output in outputs:
        if output.label.resolve() in read:
            raise SettingsError(
                f"{output.label}: is an input; predicting would replace it. Choose another output folder."
            )
    return outputs


def _one_ahead(
    pool: ThreadPoolExecutor, jobs: Sequence[tuple[_Output, Sequence[Path]]], plan: Plan
) -> Iterator[tuple[_Output, Future[_Prepared]]]:
    """Read the cases in the background, one ahead of what the caller has: big ones must not pile up."""
    following: tuple[_Output, Future[_Prepared]] | None = None
    for output, files in jobs:
        current, following = following, (output, pool.submit(_prepare, plan, files))
        if current is not None:
            yield current
    if following is not None:
        yield following


def _prepare(plan: Plan, files: Sequence[Path]) -> _Prepared:
    image, _, properties = preprocess_case(read_image(files, len(plan.data.channels)), None, plan.data, plan.chosen)
    return torch.from_numpy(image), properties


def _predict_one(
    network: nn.Module, plan: Plan, window: SlidingWindow, reading: Future[_Prepared], probabilities: bool
) -> tuple[Restored, Geometry]:
    image, properties = reading.result()
    counts = TileCounts()
    slabs = window.slabs(network, image, counts)
    restored = restore(slabs, properties, plan.data.labels, with_probabilities=probabilities)
    logger.debug("%d tiles computed, %d constant ones repeated", counts.computed, counts.repeated)
    return restored, properties.geometry


def _write(output: _Output, restored: Restored, geometry: Geometry) -> None:
    """Write the probabilities first: a label file stands for a finished case."""
    if output.probabilities is not None and restored.probabilities is not None:
        write_probabilities(output.probabilities, restored.probabilities)
    write_label(output.label, restored.labels, geometry)
