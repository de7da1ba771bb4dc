"""Keeping only the largest connected component in predicted label files, where that helps."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.data.formats import list_images
from goodfit.data.readers import read_label, write_label
from goodfit.errors import DatasetError, SettingsError
from goodfit.files import write_bytes
from goodfit.observer import Observer
from goodfit.tasks.segmentation.evaluation import folder_pairs, labels_for
from goodfit.tasks.segmentation.postprocessing import (
    Postprocessing,
    determine,
    load_postprocessing,
    save_postprocessing,
)

if TYPE_CHECKING:
    from collections.abc import Callable

POSTPROCESSING = "postprocessing.json"


def postprocess(
    predictions: str | Path,
    output: str | Path,
    *,
    from_: str | Path | None = None,
    references: str | Path | None = None,
    observer: Observer | None = None,
) -> Postprocessing:
    """Postprocess a folder of predicted label files as was decided before, or as their references show to help.

    Args:
        predictions: folder of label files.
        output: receives files of the same names, and postprocessing.json.
        from_: the decision: selection.json, postprocessing.json, or nnU-Net's postprocessing.json.
        references: in place of it, folder of true label files to decide by. The scores that result are optimistic.
        observer: told about the progress.

    Returns:
        What was done.

    Raises:
        DatasetError: files are missing, unreadable or do not go together.
        SettingsError: neither or both of ``from_`` and ``references`` are given, or the file holds no decision.
    """
    observer = observer or Observer()
    source, target = Path(predictions), Path(output)
    if (from_ is None) == (references is None):
        raise SettingsError("postprocess: give the decision with --from FILE, or --references FOLDER to decide by.")
    if source.resolve() == target.resolve():
        raise SettingsError(f"{target}: is the folder of the predictions. Choose another, so that they stay.")
    if from_ is not None:
        decided = load_postprocessing(Path(from_))
    else:
        assert references is not None
        pairs, notes = folder_pairs(source, Path(references))
        for note in notes:
            observer.note(f"warning: {note}")
        observer.stage("decide")
        decided = determine(pairs, labels_for(pairs, source, Path(references)), on_progress=observer.advance)
    if not source.is_dir() or not list_images(source):
        raise DatasetError(f"{source}: there are no label files.")
    observer.stage("postprocess")
    postprocess_files(list_images(source), target, decided, observer.advance)
    save_postprocessing(decided, target / POSTPROCESSING)
    description = source / "dataset.json"
    if description.is_file() and not (target / "dataset.json").exists():
        write_bytes(target / "dataset.json", description.read_bytes())
    return decided


def postprocess_files(
    files: list[Path], output: Path, decided: Postprocessing, on_progress: Callable[[int, int], None]
) -> None:
    """Write the postprocessed label files into a folder, in the geometry they have."""

    def one(file: Path) -> None:
        labels, geometry = read_label(file)
        write_label(output / file.name, decided.apply(labels), geometry)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for done, _ in enumerate(pool.map(one, files), start=1):
            on_progress(done, len(files))
