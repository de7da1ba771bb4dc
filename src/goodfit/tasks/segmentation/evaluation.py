"""Scoring predicted label files against reference label files.

Distances are in mm and volumes in ml (areas in mm² for 2D files that carry a voxel size). Formats without a voxel
size (PNG, BMP, TIFF without its CASE.json) are scored in voxels, which the scores say.

The tolerance of the surface Dice is the same for every case (1 mm, or 1 voxel, by default), so that cases and
datasets compare; where it does not suit the voxel size, a note in the scores says so.
"""

from __future__ import annotations

import logging
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from goodfit.data.description import parse_labels
from goodfit.data.formats import PHOTO_ENDINGS, TIFF_ENDINGS, ending_of, list_images, stem_of
from goodfit.data.geometry import geometry_differences
from goodfit.data.labels import Labels
from goodfit.data.readers import read_label
from goodfit.errors import DatasetError
from goodfit.files import read_json
from goodfit.tasks.segmentation.metrics import ClassMetrics, case_metrics
from goodfit.tasks.segmentation.scores import (
    VOLUMES,
    Scores,
    VolumeUnit,
    gather,
    load_scores,
    save_scores,
    save_scores_csv,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from goodfit.data.geometry import Geometry

__all__ = [
    "DEFAULT_TOLERANCE",
    "Pair",
    "Scores",
    "evaluate_folders",
    "evaluate_pairs",
    "find_labels",
    "load_scores",
    "save_scores",
    "save_scores_csv",
]

logger = logging.getLogger(__name__)

DEFAULT_TOLERANCE = 1.0
_SHOWN = 20  # problems listed in one message
_COARSE, _FINE = 1.0, 0.2  # tolerance in voxels below and above which the surface Dice says little


@dataclass(frozen=True)
class Pair:
    """The two label files of one case."""

    prediction: Path
    reference: Path


@dataclass(frozen=True)
class _CaseResult:
    metrics: dict[str, ClassMetrics]
    geometry: Geometry
    spacing_known: bool
    differences: list[str]


def evaluate_folders(
    predictions: Path,
    references: Path,
    labels: Labels | None = None,
    *,
    cases: Sequence[str] | None = None,
    set_name: str = "evaluation",
    optimistic: bool = False,
    tolerance_mm: float = DEFAULT_TOLERANCE,
    on_progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Scores:
    """Score every reference of a folder, or some, against the prediction with the same case name.

    The file formats of the two folders may differ.

    Args:
        predictions: folder of predicted label files.
        references: folder of reference label files.
        labels: the classes; None reads them from a dataset.json in either folder or above ``references``, and
            where there is none makes a class of each value found.
        cases: score only these; by default all references.
        set_name: what the cases are: test, validation, evaluation.
        optimistic: the cases chose the checkpoint.
        tolerance_mm: of the surface Dice, in mm (in voxels where the files carry no voxel size).
        on_progress: called with the cases done and the number of cases.
        workers: threads; None takes one per core.

    Raises:
        DatasetError: a folder is missing or without label files, a case lacks a file, two files differ in shape, or
            a file holds values that the labels do not know. All cases are looked at; the message names the files.
    """
    pairs, notes = folder_pairs(predictions, references, cases)
    return evaluate_pairs(
        pairs,
        labels or labels_for(pairs, predictions, references, workers),
        set_name=set_name,
        optimistic=optimistic,
        tolerance_mm=tolerance_mm,
        on_progress=on_progress,
        workers=workers,
        notes=notes,
    )


def evaluate_pairs(
    pairs: Mapping[str, Pair],
    labels: Labels,
    *,
    set_name: str = "evaluation",
    optimistic: bool = False,
    tolerance_mm: float = DEFAULT_TOLERANCE,
    on_progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    notes: Sequence[str] = (),
) -> Scores:
    """Score the given pairs of files; the arguments are those of ``evaluate_folders``.

    Raises:
        DatasetError: as ``evaluate_folders``.
    """
    results: dict[str, _CaseResult] = {}
    problems: list[str] = []
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        jobs = {case: pool.submit(_evaluate_case, pair, labels, tolerance_mm) for case, pair in pairs.items()}
        for done, (case, job) in enumerate(jobs.items(), start=1):
            try:
                results[case] = job.result()
            except DatasetError as error:
                problems.append(str(error))
            if on_progress is not None:
                on_progress(done, len(jobs))
    if problems:
        raise DatasetError(_together(problems))
    known = all(result.spacing_known for result in results.values())
    volume = _volume_unit(results, known)
    to_unit = 1e-3 if volume == "ml" else 1.0
    scores = gather(
        {
            case: {name: _in_unit(scores, to_unit) for name, scores in result.metrics.items()}
            for case, result in results.items()
        },
        labels.names,
        set_name=set_name,
        optimistic=optimistic,
        tolerance=tolerance_mm,
        distance_unit="mm" if known else "voxels",
        volume_unit=volume,
        spacing_known=known,
        notes=[*notes, *_notes(results, tolerance_mm)],
    )
    for note in scores.notes:
        logger.warning(note)
    return scores


def labels_for(pairs: Mapping[str, Pair], predictions: Path, references: Path, workers: int | None = None) -> Labels:
    """Give the classes that a dataset.json names (``find_labels``), else a class for each value in the files."""
    return find_labels(predictions, references) or _labels_from_values(pairs, workers)


def folder_pairs(
    predictions: Path, references: Path, cases: Sequence[str] | None = None
) -> tuple[dict[str, Pair], list[str]]:
    """Match the label files of two folders by case name.

    Returns:
        The pair of each reference (or of ``cases``), and notes on predictions without one.

    Raises:
        DatasetError: a folder is missing or empty, or a case lacks a file.
    """
    found, wanted = _files(predictions), _files(references)
    if cases is not None:
        absent = sorted(set(cases) - wanted.keys())
        if absent:
            raise DatasetError(f"{references}: no reference for {_listed(absent)}.")
        wanted = {case: wanted[case] for case in cases}
    missing = sorted(wanted.keys() - found.keys())
    if missing:
        raise DatasetError(
            f"{predictions}: {len(missing)} of {len(wanted)} cases have no prediction: {_listed(missing)}. "
            "Predict them, or ask only for the cases that are there."
        )
    extra = sorted(found.keys() - wanted.keys()) if cases is None else []
    notes = [f"{len(extra)} predictions have no reference and are not scored: {_listed(extra)}."] if extra else []
    return {case: Pair(found[case], wanted[case]) for case in sorted(wanted)}, notes


def _evaluate_case(pair: Pair, labels: Labels, tolerance: float) -> _CaseResult:
    prediction, geometry_of_prediction = read_label(pair.prediction)
    reference, geometry = read_label(pair.reference)
    if prediction.shape != reference.shape:
        raise DatasetError(
            f"{pair.prediction}: shape {_shape(prediction)} differs from {_shape(reference)} of {pair.reference} "
            "(z, y, x). Resample the prediction to the grid of the reference."
        )
    for file, array in ((pair.prediction, prediction), (pair.reference, reference)):
        unknown = sorted(set(_values(array)) - set(labels.known_values))
        if unknown:
            raise DatasetError(
                f"{file}: holds the values {_listed(unknown)}, known are {_listed(labels.known_values)}. "
                "Add them to the labels in dataset.json, or mend the file."
            )
    metrics = case_metrics(
        prediction,
        reference,
        labels,
        spacing=geometry.spacing,
        voxel_volume=math.prod(geometry.spacing[3 - geometry.dims :]),
        tolerance=tolerance,
    )
    differences = geometry_differences(geometry_of_prediction, geometry)
    return _CaseResult(metrics, geometry, _spacing_is_known(pair.reference, geometry), differences)


def _spacing_is_known(file: Path, geometry: Geometry) -> bool:
    ending = (ending_of(file.name) or "").lower()
    if ending in TIFF_ENDINGS:
        return geometry.spacing[3 - geometry.dims :] != (1.0,) * geometry.dims
    return ending not in PHOTO_ENDINGS


def _volume_unit(results: Mapping[str, _CaseResult], known: bool) -> VolumeUnit:
    if not known:
        return "voxels"
    return "mm²" if all(result.geometry.dims == 2 for result in results.values()) else "ml"


def _in_unit(scores: ClassMetrics, factor: float) -> ClassMetrics:
    return scores.model_copy(update={name: getattr(scores, name) * factor for name in VOLUMES})


def _notes(results: Mapping[str, _CaseResult], tolerance: float) -> Iterator[str]:
    moved = {case: result.differences for case, result in results.items() if result.differences}
    if moved:
        case, differences = next(iter(moved.items()))
        yield (
            f"{len(moved)} predictions have another geometry than their reference, whose was used: {case}: "
            f"{'; '.join(differences)}."
        )
    if not any(result.spacing_known for result in results.values()):
        return
    if not all(result.spacing_known for result in results.values()):
        yield "Some files carry a voxel size and some do not: distances and volumes mix mm and voxels."
        return
    coarsest = max(max(result.geometry.spacing[1:]) for result in results.values())
    finest = min(min(result.geometry.spacing[1:]) for result in results.values())
    if tolerance < _COARSE * coarsest * (1 - 1e-3):
        yield (
            f"The surface tolerance of {tolerance:g} mm is below the in-plane voxel size of up to {coarsest:.3g} mm: "
            "in such cases it asks for surfaces that coincide."
        )
    elif tolerance * _FINE > finest:
        yield (
            f"The surface tolerance of {tolerance:g} mm is more than five voxels of {finest:.3g} mm: "
            "the surface Dice is lenient."
        )


def find_labels(predictions: Path, references: Path) -> Labels | None:
    """Read the classes from the nearest dataset.json: beside the predictions, the references, or above those.

    Returns:
        The classes, or None where there is no dataset.json.

    Raises:
        DatasetError: dataset.json is no JSON, or its labels contradict themselves.
    """
    for folder in (predictions, references, references.resolve().parent):
        path = folder / "dataset.json"
        if path.is_file():
            content = read_json(path, DatasetError)
            value = content if isinstance(content, dict) else {}
            return parse_labels(value.get("labels"), value.get("regions_class_order"), f"{path}: labels")
    return None


def _labels_from_values(pairs: Mapping[str, Pair], workers: int | None) -> Labels:
    def values(file: Path) -> list[int]:
        return _values(read_label(file)[0])

    files = [file for pair in pairs.values() for file in (pair.reference, pair.prediction)]
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        found = sorted({value for some in pool.map(values, files) for value in some} - {0})
    if not found:
        raise DatasetError(f"{files[0].parent}: no label file holds anything but background, nothing can be scored.")
    return Labels({str(value): (value,) for value in found})


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder}: there is no such folder.")
    files: dict[str, Path] = {}
    for path in list_images(folder):
        case = stem_of(path.name)
        if case in files:
            raise DatasetError(f"{folder}: case {case} has two files, {files[case].name} and {path.name}. Keep one.")
        files[case] = path
    if not files:
        raise DatasetError(f"{folder}: holds no label files.")
    return files


def _values(array: NDArray[np.integer]) -> list[int]:
    return [int(value) for value in np.unique(array)]


def _listed(items: Sequence[object]) -> str:
    shown = ", ".join(str(item) for item in items[:_SHOWN])
    return shown if len(items) <= _SHOWN else f"{shown} and {len(items) - _SHOWN} more"


def _together(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    lines = "\n".join(f"  {problem}" for problem in problems[:_SHOWN])
    more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return f"{len(problems)} cases cannot be scored:\n{lines}{more}"


def _shape(array: NDArray[np.integer]) -> str:
    return "x".join(str(size) for size in array.shape)
