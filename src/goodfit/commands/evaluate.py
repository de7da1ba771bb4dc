"""From predicted and true label files to scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.observer import Observer
from goodfit.tasks.segmentation.evaluation import Pair, evaluate_folders, evaluate_pairs
from goodfit.tasks.segmentation.scores import Scores, save_scores, save_scores_csv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.data.dataset import Dataset
    from goodfit.data.labels import Labels
    from goodfit.training.run_folder import RunFolder


def evaluate(
    predictions: str | Path,
    references: str | Path,
    *,
    json_file: str | Path | None = None,
    csv_file: str | Path | None = None,
    tolerance_mm: float = 1.0,
    observer: Observer | None = None,
) -> Scores:
    """Score every reference of a folder against the prediction with the same case name.

    Args:
        predictions: folder of predicted label files.
        references: folder of true label files; classes come from a dataset.json in or above it, else from the values.
        json_file: receives all scores.
        csv_file: receives a row per case and class.
        tolerance_mm: of the surface Dice.
        observer: told about the progress.

    Raises:
        DatasetError: files are missing, unreadable or differ in shape; all are named.
    """
    observer = observer or Observer()
    observer.stage("evaluate")
    scores = evaluate_folders(
        Path(predictions), Path(references), tolerance_mm=tolerance_mm, on_progress=observer.advance
    )
    if json_file is not None:
        save_scores(scores, Path(json_file))
    if csv_file is not None:
        save_scores_csv(scores, Path(csv_file))
    return scores


def score_run(dataset: Dataset, cases: Sequence[str], run: RunFolder, labels: Labels, observer: Observer) -> Scores:
    """Score the predicted test cases of a run; writes scores.json and scores.csv."""
    observer.stage("evaluate")
    pairs: dict[str, Pair] = {}
    for name in cases:
        reference = dataset.case(name).label
        assert reference is not None, "test cases of a split have labels"
        pairs[name] = Pair(run.predictions / f"{name}{dataset.file_ending}", reference)
    scores = evaluate_pairs(pairs, labels, set_name="test", on_progress=observer.advance)
    save_scores(scores, run.scores)
    save_scores_csv(scores, run.scores.with_suffix(".csv"))
    return scores
