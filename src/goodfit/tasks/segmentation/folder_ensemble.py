"""Averaging what several models predicted: folders of probabilities (.npz) become one folder of labels.

The files are goodfit's own or nnU-Net's: key "probabilities", (K, Z, Y, X) on the grid of the image. Beside each lies the
label file that its model wrote, which gives the geometry.
"""

from __future__ import annotations

import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.data.formats import list_images, stem_of
from goodfit.data.readers import read_label, write_label, write_probabilities
from goodfit.errors import DatasetError
from goodfit.tasks.segmentation.restore import labels_of_probabilities

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from goodfit.data.labels import Labels
    from goodfit.tasks.segmentation.restore import LabelArray

_SHOWN = 10


def read_probabilities(file: Path) -> npt.NDArray[Any]:
    """Read (K, Z, Y, X) from an .npz; nothing in the file is executed.

    Raises:
        DatasetError: the file is damaged or holds something else.
    """
    try:
        with np.load(file, allow_pickle=False) as content:
            array: npt.NDArray[Any] = content["probabilities"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise DatasetError(
            f"{file}: holds no probabilities that can be read. Predict the case again with --probabilities."
        ) from error
    if array.ndim != 4 or not np.issubdtype(array.dtype, np.floating):
        raise DatasetError(
            f"{file}: probabilities have shape {array.shape} of {array.dtype}; expected (K, Z, Y, X) floats."
        )
    return array


def average_probabilities(files: Sequence[Path]) -> npt.NDArray[np.float32]:
    """Average the probabilities of one case over models, in float32.

    Raises:
        DatasetError: a file cannot be read, or shapes differ; names the files.
    """
    total = read_probabilities(files[0]).astype(np.float32)
    for file in files[1:]:
        array = read_probabilities(file)
        if array.shape != total.shape:
            raise DatasetError(
                f"{file}: probabilities have shape {array.shape}, those in {files[0]} {total.shape}. Average models of one "
                "dataset."
            )
        total += array
    total /= len(files)
    return total


def match_cases(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Give for each case its file of probabilities in every folder.

    Raises:
        DatasetError: a folder is missing or holds none, or a case is not in all of them; names those.
    """
    found: list[dict[str, Path]] = []
    for folder in folders:
        if not folder.is_dir():
            raise DatasetError(f"{folder}: there is no such folder.")
        files = {file.stem: file for file in sorted(folder.glob("*.npz")) if not file.name.startswith(".")}
        if not files:
            raise DatasetError(f"{folder}: holds no probabilities (.npz). Predict with --probabilities.")
        found.append(files)
    names = sorted({name for files in found for name in files})
    for folder, files in zip(folders, found, strict=True):
        missing = [name for name in names if name not in files]
        if missing:
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            raise DatasetError(
                f"{folder}: {', '.join(missing[:_SHOWN])}{more} are in another folder and not here. Predict the same cases "
                "with every model."
            )
    return {name: [files[name] for files in found] for name in names}


def ensemble_cases(
    cases: Mapping[str, Sequence[Path]],
    output: Path,
    labels: Labels,
    *,
    probabilities: bool = False,
    finish: Callable[[LabelArray], LabelArray] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> list[Path]:
    """Average the probabilities of cases and write a label file for each.

    Args:
        cases: name -> its files of probabilities; the label file beside the first gives geometry and file ending.
        output: receives the label files.
        labels: the classes.
        probabilities: also write the averages.
        finish: what becomes of each label volume before it is written.
        on_progress: called with (cases done, all cases).
        workers: threads, each with one case in memory; None takes one per core.

    Raises:
        DatasetError: files are damaged or do not go together; all such cases are named, the others are written.
    """
    beside: dict[Path, dict[str, Path]] = {}

    def one(name: str, files: Sequence[Path]) -> Path:
        source = beside[files[0].parent].get(name)
        if source is None:
            raise DatasetError(f"{files[0]}: has no label file beside it, which would give the geometry.")
        if output.resolve() == files[0].parent.resolve():
            raise DatasetError(f"{output}: is one of the folders that are averaged. Choose another.")
        mean = average_probabilities(files)
        reference, geometry = read_label(source)
        if mean.shape != (labels.outputs, *reference.shape):
            raise DatasetError(
                f"{files[0]}: probabilities have shape {mean.shape}, expected {(labels.outputs, *reference.shape)} for "
                f"{labels.outputs} outputs on the grid of {source}."
            )
        made = labels_of_probabilities(mean, labels)
        if probabilities:
            write_probabilities(output / f"{name}.npz", mean)
        target = output / source.name
        write_label(target, made if finish is None else finish(made), geometry)
        return target

    for files in cases.values():
        if files[0].parent not in beside:
            beside[files[0].parent] = {stem_of(file.name): file for file in list_images(files[0].parent)}
    written, problems = [], []
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        jobs = [pool.submit(one, name, files) for name, files in cases.items()]
        for done, job in enumerate(jobs, start=1):
            try:
                written.append(job.result())
            except DatasetError as error:
                problems.append(str(error))
            if on_progress is not None:
                on_progress(done, len(jobs))
    if problems:
        raise DatasetError(
            "\n".join([f"{len(problems)} of {len(cases)} cases could not be averaged:", *problems[:_SHOWN]])
        )
    return written
