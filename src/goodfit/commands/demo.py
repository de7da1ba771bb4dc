"""The whole way on generated data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.commands.train import TrainResult, train
from goodfit.observer import Observer
from goodfit.phantoms import write_phantoms

if TYPE_CHECKING:
    from collections.abc import Mapping


def demo(
    folder: str | Path = "demo",
    *,
    time: str | float = "2m30s",
    seed: int = 0,
    fresh: bool = False,
    settings: Mapping[str, object] | None = None,
    observer: Observer | None = None,
) -> TrainResult:
    """Generate 24 phantoms with two organs and a lesion, train on them and score the test cases.

    Args:
        folder: receives the dataset and the run.
        time: for training, scoring and report.
        seed: of the generated data.
        fresh: train again although a finished run is there.
        settings: as for ``train``.
        observer: told about the progress.
    """
    observer = observer or Observer()
    observer.stage("generate phantoms")
    dataset = write_phantoms(Path(folder) / "Dataset900_Phantoms", seed=seed, on_progress=observer.advance)
    return train(dataset, run=Path(folder) / "run", fresh=fresh, settings=settings, observer=observer, time=time)
