"""From predicted and true label files to scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.data.formats import label_ending, list_images, stem_of
from goodfit.errors import DatasetError, SettingsError
from goodfit.observer import Observer
from goodfit.tasks.segmentation.evaluation import Pair, evaluate_folders, evaluate_pairs
from goodfit.tasks.segmentation.scores import Scores, save_scores, save_scores_csv

if TYPE_CHECKING:
    from goodfit.data.dataset import Dataset
    from goodfit.data.labels import Labels
    from goodfit.data.splits import Split
    from goodfit.tasks.instances.scores import InstanceScores
    from goodfit.training.run_folder import RunFolder

PREDICTIONS = "predictions.json"
"""What ``goodfit predict`` writes for images beside their overlays."""


def evaluate(
    predictions: str | Path,
    references: str | Path,
    *,
    json_file: str | Path | None = None,
    csv_file: str | Path | None = None,
    tolerance_mm: float = 1.0,
    only_predicted: bool = False,
    observer: Observer | None = None,
) -> Scores | InstanceScores:
    """Score every reference of a folder against the prediction with the same case name, or two COCO files.

    Args:
        predictions: folder of predicted label files; or a COCO result file (.json), or what ``goodfit predict`` wrote for
            images: its folder, or the predictions.json in that.
        references: folder of true label files, whose classes come from a dataset.json in or above it, else from the
            values; or the COCO file of the annotations, or the dataset's folder where it has one such file.
        json_file: receives all scores.
        csv_file: receives a row per case and class.
        tolerance_mm: of the surface Dice.
        only_predicted: score the cases that have a prediction; by default a reference without one is an error.
        observer: told about the progress.

    Raises:
        DatasetError: files are missing, unreadable or differ in shape; all are named.
        SettingsError: the tolerance is not above 0.
    """
    observer = observer or Observer()
    if not tolerance_mm > 0:
        raise SettingsError(f"tolerance: {tolerance_mm} mm is no tolerance. Give a positive number.")
    observer.stage("evaluate")
    folder = Path(predictions)
    if folder.suffix == ".json" or (folder / PREDICTIONS).is_file():
        return _evaluate_instances(
            folder, Path(references), json_file, csv_file, observer, only_predicted=only_predicted
        )
    cases = [stem_of(file.name) for file in list_images(folder)] if only_predicted and folder.is_dir() else None
    scores = evaluate_folders(
        folder, Path(references), cases=cases, tolerance_mm=tolerance_mm, on_progress=observer.advance
    )
    if json_file is not None:
        save_scores(scores, Path(json_file))
    if csv_file is not None:
        save_scores_csv(scores, Path(csv_file))
    return scores


def _evaluate_instances(
    results: Path,
    reference: Path,
    json_file: str | Path | None,
    csv_file: str | Path | None,
    observer: Observer,
    *,
    only_predicted: bool,
) -> InstanceScores:
    from goodfit.tasks.instances.evaluation import evaluate_files
    from goodfit.tasks.instances.scores import save_instance_scores

    if csv_file is not None and json_file is None:
        raise SettingsError("--csv: for instances give --json FILE; a CSV with a row per frame comes beside it.")
    results = results if results.suffix == ".json" else results / PREDICTIONS
    scores = evaluate_files(
        results, _annotations_of(reference), only_predicted=only_predicted, on_progress=observer.advance
    )
    if json_file is not None:
        save_instance_scores(scores, Path(json_file))
    return scores


def _annotations_of(reference: Path) -> Path:
    """Find the COCO file of a dataset's folder; a file is that itself."""
    if not reference.is_dir():
        return reference
    from goodfit.data.instances.locate import annotation_files

    found = [file.path for file in annotation_files(reference)]
    if len(found) != 1:
        names = (
            f"holds several COCO files ({', '.join(str(path) for path in found)})" if found else "holds no COCO file"
        )
        raise DatasetError(f"{reference}: this folder {names}. Name the file of the annotations.")
    return found[0]


def score_run(dataset: Dataset, split: Split, run: RunFolder, labels: Labels, observer: Observer) -> Scores:
    """Score the predicted test cases of a run; writes scores.json and scores.csv, marked where the split says so."""
    observer.stage("evaluate")
    pairs: dict[str, Pair] = {}
    for name in split.test:
        reference = dataset.case(name).label
        assert reference is not None, "test cases of a split have labels"
        pairs[name] = Pair(run.predictions / f"{name}{label_ending(dataset.file_ending)}", reference)
    scores = evaluate_pairs(
        pairs,
        labels,
        set_name="test",
        optimistic=split.optimistic,
        on_progress=observer.advance,
        notes=[f"Optimistic: {split.optimistic_reason}."] if split.optimistic else [],
    )
    save_scores(scores, run.scores)
    save_scores_csv(scores, run.scores.with_suffix(".csv"))
    return scores
