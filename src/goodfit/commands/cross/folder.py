"""The folder of a cross-validation: its parts, its record, and which folder a call works in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from goodfit.commands.places import CROSS_RECORD, NOT_A_RUN, RUNS, lasting
from goodfit.errors import RunError
from goodfit.files import read_json, write_text
from goodfit.tasks.scoring import FoldSpread
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from goodfit.commands.places import Located
    from goodfit.data.folds import Folds

ALL = "all"
"""Name of the fold that trains on every case."""


class FoldEntry(BaseModel):
    """One fold, as far as it is."""

    model_config = ConfigDict(extra="forbid")

    run: str
    """Run folder, relative to the cross-validation's."""
    status: str
    """waiting, or the status of the run: planned, training, interrupted, trained, finished."""
    train: int
    validation: int
    """Cases that decide when to stop."""
    test: int
    """Cases that are scored: the fold."""
    mean: dict[str, float | None] = Field(default_factory=dict)
    """Metric -> mean over classes; empty until the fold is scored."""
    classes: dict[str, dict[str, float | None]] = Field(default_factory=dict)
    """Class -> metric -> mean over the fold's cases."""


class CrossRecord(BaseModel):
    """All of cross_validation.json."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    goodfit: str
    dataset: str
    created: str
    settings: dict[str, Any]
    """What the user asked for, by "section.field"."""
    folds_from: str
    """How the folds were made."""
    warnings: list[str] = Field(default_factory=list)
    stop_on_fold: bool
    planned: str
    """Digest of the plan's parts that were measured; another one means that plan.json was edited."""
    prepared_seconds: float = 0.0
    """Time spent on everything but the folds."""
    finished: bool = False
    """Every numbered fold is finished."""
    optimistic: bool = False
    """The scores were measured on cases that decided when to stop."""
    over_folds: FoldSpread = FoldSpread(folds=0, mean={}, classes={})
    """Mean and spread of the folds that are finished; scores.json has the same over all cases together."""
    folds: dict[str, FoldEntry] = Field(default_factory=dict)


@dataclass(frozen=True)
class CrossFolder:
    """Paths of the parts of a cross-validation."""

    path: Path

    @property
    def record(self) -> Path:
        """cross_validation.json, see ``CrossRecord``."""
        return self.path / CROSS_RECORD

    @property
    def plan(self) -> Path:
        """plan.json, the plan of all folds."""
        return self.path / "plan.json"

    @property
    def splits(self) -> Path:
        """splits_final.json, the folds in nnU-Net's format."""
        return self.path / "splits_final.json"

    @property
    def scores(self) -> Path:
        """scores.json of all cases together."""
        return self.path / "scores.json"

    @property
    def report(self) -> Path:
        """report.html."""
        return self.path / "report.html"

    def fold(self, name: str) -> RunFolder:
        """Run folder of a fold."""
        return RunFolder(self.path / f"fold_{name}")

    def begun(self) -> dict[str, RunFolder]:
        """The folds that have a run, by name, in order."""
        names = [path.name.removeprefix("fold_") for path in self.path.glob("fold_*")]
        ours = sorted((name for name in names if name.isdecimal()), key=int) + [name for name in names if name == ALL]
        return {name: self.fold(name) for name in ours if self.fold(name).record.is_file()}

    def read(self) -> CrossRecord:
        """Read the record.

        Raises:
            RunError: it is missing or damaged; names the field.
        """
        try:
            return CrossRecord.model_validate(read_json(self.record, RunError))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise RunError(f"{self.record}: no record of a cross-validation ({where}: {first['msg']}).") from error

    def write(self, record: CrossRecord) -> None:
        """Write the record atomically."""
        write_text(self.record, record.model_dump_json(indent=2) + "\n")


def choose_folder(
    dataset: Located,
    run: Path | None,
    explicit: Mapping[str, Any],
    *,
    stop_on_fold: bool,
    given: Folds | None,
    fresh: bool,
) -> CrossFolder:
    """Decide which folder a call works in, as for runs: the newest one that was asked for alike, or a new one.

    Args:
        dataset: the dataset.
        run: the folder that the user named, if any.
        explicit: settings that the user gave.
        stop_on_fold: the folds decide themselves when to stop.
        given: folds that the user handed in.
        fresh: begin anew.

    Raises:
        RunError: the named folder holds something else, or a cross-validation that was begun otherwise.
    """
    if run is None:
        parent = RUNS / dataset.root.name
        for path in [] if fresh else sorted(parent.glob("cv-*"), reverse=True):
            folder = CrossFolder(path)
            if folder.record.is_file() and not _differences(
                folder, dataset, explicit, stop_on_fold=stop_on_fold, given=given, exactly=True
            ):
                return folder
        return CrossFolder(_unused(parent))
    folder = CrossFolder(run)
    if run.is_file():
        raise RunError(f"{run}: this is a file; --run takes a folder.")
    if not run.exists() or {entry.name for entry in run.iterdir()} <= NOT_A_RUN:
        return folder
    if not folder.record.is_file():
        raise RunError(f"{run}: this folder is not empty and holds no cross-validation. Choose another with --run.")
    if fresh:
        return folder
    differences = _differences(folder, dataset, explicit, stop_on_fold=stop_on_fold, given=given, exactly=False)
    if differences:
        raise RunError(
            f"{run}: this cross-validation was begun otherwise: {'; '.join(differences)}. Choose another folder with "
            "--run, or start again with --fresh (the old one is moved aside, not deleted)."
        )
    return folder


def set_cross_aside(folder: CrossFolder) -> Path | None:
    """Move an old cross-validation out of its folder, into one beside it; the cache and the lock stay.

    Returns:
        Where it lies now; None when there was none.
    """
    if not folder.record.is_file():
        return None
    aside = folder.path.with_name(f"{folder.path.name}-before-{_stamp()}")
    aside.mkdir()
    for entry in folder.path.iterdir():
        if entry.name not in NOT_A_RUN:
            entry.rename(aside / entry.name)
    return aside


def _differences(
    folder: CrossFolder,
    dataset: Located,
    explicit: Mapping[str, Any],
    *,
    stop_on_fold: bool,
    given: Folds | None,
    exactly: bool,
) -> list[str]:
    """Say how a folder's cross-validation differs from what is asked for now.

    Args:
        folder: with a record.
        dataset: the dataset.
        explicit: settings that the user gave now.
        stop_on_fold: asked for now.
        given: folds handed in now; None accepts those of the folder.
        exactly: settings that were given then and not now are a difference, too, and so is another place of the
            dataset; a folder that was named goes by the dataset's content, which its plan knows.
    """
    record = folder.read()
    if exactly and record.dataset != str(dataset.root.resolve()):
        return [f"its dataset is {record.dataset}"]
    then, now = lasting(record.settings), lasting(explicit)
    names = {**then, **now} if exactly else now
    found = [f"{name}={now.get(name)} (there {then.get(name)})" for name in names if now.get(name) != then.get(name)]
    if record.stop_on_fold != stop_on_fold:
        found.append(f"{'with' if record.stop_on_fold else 'without'} --stop-on-fold")
    if given is not None:
        lists = [{"train": list(fold.train), "val": list(fold.validation)} for fold in given.folds]
        if not folder.splits.is_file() or read_json(folder.splits, RunError) != lists:
            found.append("with other folds")
    return found


def _unused(parent: Path) -> Path:
    stamp = _stamp()
    path, count = parent / f"cv-{stamp}", 2
    while path.exists():
        path = parent / f"cv-{stamp}-{count}"
        count += 1
    return path


def _stamp() -> str:
    return datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
