"""The whole way on generated data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.commands.train import train
from goodfit.errors import SettingsError
from goodfit.observer import Observer
from goodfit.phantoms import write_phantoms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.commands.fitting import TrainResult

DEFAULT_TIME = {"segmentation": "2m30s", "instances": "3m30s"}
ROOM_WISHES: dict[str, object] = {"model.weights": "none", "plan.batch_size": 2, "training.learning_rate": 1e-3}
"""From scratch in minutes: small steps, many of them, and a higher rate than weights from elsewhere would bear. After
1,200 samples 0.42 mask AP on validation videos, 0.31 with four frames a step at the planned rate (docs/log.md)."""


def demo(
    folder: str | Path = "demo",
    *,
    task: str = "segmentation",
    time: str | float | None = None,
    seed: int = 0,
    fresh: bool = False,
    settings: Mapping[str, object] | None = None,
    observer: Observer | None = None,
) -> TrainResult:
    """Generate data, train on it and score the test cases.

    Segmentation: 24 phantoms with two organs and a lesion. Instances: eight videos of rooms with people; of one
    that was not trained on, an overlay with tracks is written, too.

    Args:
        folder: receives the dataset and the run.
        task: "segmentation" or "instances".
        time: for training, scoring and report; default 2m30s, of instances 3m30s.
        seed: of the generated data.
        fresh: train again although a finished run is there.
        settings: as for ``train``.
        observer: told about the progress.
    """
    observer = observer or Observer()
    root = Path(folder)
    if task not in DEFAULT_TIME:
        raise SettingsError(f"task {task}: there is no such demo; write {' or '.join(DEFAULT_TIME)}.")
    time = DEFAULT_TIME[task] if time is None else time
    if task == "instances":
        return _rooms(root, time=time, seed=seed, fresh=fresh, settings=settings, observer=observer)
    observer.stage("generate phantoms")
    dataset = write_phantoms(root / "Dataset900_Phantoms", seed=seed, on_progress=observer.advance)
    return train(dataset, run=root / "run", fresh=fresh, settings=settings, observer=observer, time=time)


def _rooms(
    root: Path,
    *,
    time: str | float,
    seed: int,
    fresh: bool,
    settings: Mapping[str, object] | None,
    observer: Observer,
) -> TrainResult:
    """Train on generated rooms from scratch, then follow the people through a test video."""
    from goodfit.commands.predict import predict
    from goodfit.data.instances.dataset import open_instances
    from goodfit.data.instances.model import VideoSource
    from goodfit.data.splits import Split
    from goodfit.files import read_json
    from goodfit.phantoms.rooms import write_rooms

    observer.stage("generate rooms")
    dataset = write_rooms(root / "rooms", seed=seed, on_progress=observer.advance)
    wishes = {**ROOM_WISHES, **(settings or {})}
    result = train(dataset, run=root / "run-instances", fresh=fresh, settings=wishes, observer=observer, time=time)
    overlay = root / "overlay.mp4"
    if result.finished and not _is_newer(overlay, result.run.best):
        split = Split.model_validate(read_json(result.run.splits))
        source = open_instances(dataset).frame(split.test[0]).source
        assert isinstance(source, VideoSource), "rooms are videos"
        predict(result.run.path, source.path, overlay, observer=observer)
        observer.note(f"overlay of a test video: {overlay}")
    return result


def _is_newer(file: Path, other: Path) -> bool:
    return file.is_file() and file.stat().st_mtime >= other.stat().st_mtime
