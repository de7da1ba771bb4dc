"""From folders of predicted probabilities to one folder of labels."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.data.description import read_description
from goodfit.errors import DatasetError, SettingsError
from goodfit.observer import Observer
from goodfit.tasks.segmentation.folder_ensemble import ensemble_cases, match_cases

if TYPE_CHECKING:
    from collections.abc import Sequence


def ensemble(
    folders: Sequence[str | Path],
    output: str | Path,
    *,
    classes: str | Path | None = None,
    probabilities: bool = False,
    observer: Observer | None = None,
) -> list[Path]:
    """Average probabilities that goodfit or nnU-Net wrote, and write the labels.

    Args:
        folders: two or more, each with CASE.npz and its label file for every case.
        output: receives CASE.ext, and a dataset.json.
        classes: a dataset.json with the classes; default the one in the first folder, which predicting writes.
        probabilities: also write the averages as CASE.npz.
        observer: told about the progress.

    Returns:
        The label files written.

    Raises:
        DatasetError: cases are missing or do not go together, or there is no dataset.json.
        SettingsError: fewer than two folders, or the output is one of them.
    """
    observer = observer or Observer()
    places, target = [Path(folder) for folder in folders], Path(output)
    if len(places) < 2:
        raise SettingsError("ensemble: give two or more folders to average.")
    if target.resolve() in {place.resolve() for place in places}:
        raise SettingsError(f"{target}: is one of the folders to average. Choose another.")
    file = Path(classes) if classes is not None else places[0] / "dataset.json"
    cases = match_cases(places)
    if not file.is_file():
        raise DatasetError(f"{file}: is not there. Name a dataset.json that holds the classes with --classes.")
    labels = read_description(file).labels
    observer.stage("average")
    written = ensemble_cases(cases, target, labels, probabilities=probabilities, on_progress=observer.advance)
    if not (target / "dataset.json").exists():
        shutil.copyfile(file, target / "dataset.json")
    return written
