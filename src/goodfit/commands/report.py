"""The page that shows a run."""

from __future__ import annotations

from pathlib import Path

from goodfit.observer import Observer
from goodfit.reporting.report import write_report
from goodfit.training.run_folder import RunFolder


def report(run: str | Path, *, observer: Observer | None = None) -> Path:
    """Write report.html into a run folder, also of a run that is not finished yet.

    Raises:
        RunError: the folder is no run folder.
    """
    observer = observer or Observer()
    observer.stage("report")
    folder = RunFolder(Path(run))
    folder.read_record()
    return write_report(folder.path)
