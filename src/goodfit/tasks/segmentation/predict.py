"""From image files to label files: reading, network and writing overlap, a case or two in memory at a time."""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch

from goodfit.data.formats import label_ending
from goodfit.data.readers import read_image, write_label, write_probabilities
from goodfit.data.wording import counted
from goodfit.errors import DatasetError, SettingsError
from goodfit.tasks.segmentation.model import predict_prepared, require_alike
from goodfit.tasks.segmentation.network import inferring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from goodfit.data.geometry import Geometry
    from goodfit.data.inputs import InputCase
    from goodfit.planning.plan import Plan
    from goodfit.tasks.segmentation.model import Effort, Model, Prepared
    from goodfit.tasks.segmentation.restore import LabelArray, Restored

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
    models: Sequence[Model],
    inputs: Sequence[InputCase],
    output_folder: Path,
    effort: Effort,
    *,
    probabilities: bool = False,
    continue_: bool = False,
    prepare: Callable[[Sequence[Path]], list[Prepared]] | None = None,
    finish: Callable[[LabelArray], LabelArray] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Predict cases and write a label file for each: the geometry of its first image, the plan's file ending.

    While the network works on one case, the next one is read and preprocessed and the last one is written. A JPEG
    dataset gets PNG labels, since JPEG alters values.

    Args:
        models: one, or several that are averaged as probabilities.
        inputs: name of each case and its image files, one per channel or one with all of them.
        output_folder: receives NAME and the file ending.
        effort: how much work a case is worth.
        probabilities: also write NAME.npz; see ``restore.restore`` for the memory this needs.
        continue_: leave cases alone whose output is there; files are renamed into place, so what is there is whole.
        prepare: gives a case as each model wants it, from its files; by default these are read and preprocessed.
        finish: what becomes of each label volume before it is written, such as postprocessing.
        on_progress: called with (cases done, all cases), first with those left alone.

    Returns:
        The label files written, in the order of ``inputs``.

    Raises:
        DatasetError: some cases failed; all are named, and the others are written.
        ResourceError: the disk is full; what was written stays.
        SettingsError: the step is out of range, an output would replace an input, or the models do not go together.
    """
    require_alike(models)
    for model in models:
        model.window(effort)
    outputs = _outputs(models[0].plan, inputs, output_folder, probabilities)
    jobs = [(output, files) for output, (_, files) in zip(outputs, inputs, strict=True)]
    jobs = [job for job in jobs if not (continue_ and job[0].complete)]
    tally = _Tally(len(inputs), on_progress)
    tally.add(len(inputs) - len(jobs))
    writing: deque[tuple[_Output, Future[None]]] = deque()
    with ExitStack() as stack:
        reader = stack.enter_context(ThreadPoolExecutor(1, "read"))
        writer = stack.enter_context(ThreadPoolExecutor(1, "write"))
        for model in models:
            stack.enter_context(inferring(model.network))
        for output, reading in _one_ahead(reader, jobs, prepare or partial(_prepare, models)):
            with tally.attempt(output.name):
                prepared = reading.result()
                restored = predict_prepared(models, prepared, effort, with_probabilities=probabilities)
                writing.append((output, writer.submit(_write, output, restored, prepared[0][1].geometry, finish)))
                del restored, prepared
            if len(writing) > 1:
                tally.finish(*writing.popleft())
        for last in writing:
            tally.finish(*last)
    tally.raise_failures()
    return tally.written


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
    pool: ThreadPoolExecutor,
    jobs: Sequence[tuple[_Output, Sequence[Path]]],
    prepare: Callable[[Sequence[Path]], list[Prepared]],
) -> Iterator[tuple[_Output, Future[list[Prepared]]]]:
    """Read the cases in the background, one ahead of what the caller has: big ones must not pile up."""
    following: tuple[_Output, Future[list[Prepared]]] | None = None
    for output, files in jobs:
        current, following = following, (output, pool.submit(prepare, files))
        if current is not None:
            yield current
    if following is not None:
        yield following


def _prepare(models: Sequence[Model], files: Sequence[Path]) -> list[Prepared]:
    image = read_image(files, len(models[0].plan.data.channels))
    return [model.prepare(image) for model in models]


def _write(
    output: _Output, restored: Restored, geometry: Geometry, finish: Callable[[LabelArray], LabelArray] | None
) -> None:
    """Write the probabilities first: a label file stands for a finished case."""
    if output.probabilities is not None and restored.probabilities is not None:
        write_probabilities(output.probabilities, restored.probabilities)
    write_label(output.label, restored.labels if finish is None else finish(restored.labels), geometry)
