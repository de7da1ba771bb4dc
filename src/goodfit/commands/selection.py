"""selection.json: which configuration or pair predicts best, and what becomes of its labels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from goodfit.errors import RunError
from goodfit.files import read_json, write_text
from goodfit.tasks.scoring import Number
from goodfit.tasks.segmentation.postprocessing import Postprocessing

SELECTION = "selection.json"


class SelectedModel(BaseModel):
    """A cross-validation whose folds predict together."""

    model_config = ConfigDict(extra="forbid")

    path: str
    """Its folder, relative to the selection's."""
    folds: list[str]


class Candidate(BaseModel):
    """A configuration, or a pair of them, and how it did on the cross-validation."""

    model_config = ConfigDict(extra="forbid")

    models: list[str]
    """Folders, relative to the selection's."""
    dice: Number
    """Mean over classes of each class's mean Dice over the cases, each predicted by a fold that has not seen it."""
    classes: dict[str, Number]


class SelectionRecord(BaseModel):
    """All of selection.json."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    goodfit: str
    dataset: str
    cases: int
    candidates: list[Candidate]
    """Every one that was looked at, the best first."""
    selected: list[SelectedModel]
    """Averaged as probabilities where there are two."""
    checkpoint: str
    tta: bool
    step_size: float
    """How the folds' cases were predicted; the command repeats it."""
    postprocessing: Postprocessing
    dice: Number
    """Of the selected candidate, before postprocessing."""
    dice_postprocessed: Number
    optimistic: Literal[True] = True
    """The selection and the postprocessing were chosen by these very scores."""
    command: str
    """Predicts with what was selected."""


@dataclass(frozen=True)
class Member:
    """A selected cross-validation, found."""

    path: Path
    folds: list[str]


@dataclass(frozen=True)
class Selection:
    """What prediction needs of a selection."""

    members: list[Member]
    postprocessing: Postprocessing


def selection_file(place: Path) -> Path | None:
    """Give the file of a selection that is named by itself or by its folder; None where ``place`` is none."""
    if place.is_file():
        return place
    return place / SELECTION if (place / SELECTION).is_file() else None


def read_selection(file: Path) -> SelectionRecord:
    """Read selection.json.

    Raises:
        RunError: it is missing or damaged; names the field.
    """
    try:
        return SelectionRecord.model_validate(read_json(file, RunError))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{file}: no selection of `goodfit select` ({where}: {first['msg']}).") from error


def load_selection(place: Path) -> Selection | None:
    """Open a selection; None where ``place`` is a folder of something else.

    Raises:
        RunError: the file is damaged.
    """
    file = selection_file(place)
    if file is None:
        return None
    record = read_selection(file)
    members = [Member(Path(os.path.normpath(file.parent / one.path)), one.folds) for one in record.selected]
    return Selection(members, record.postprocessing)


def save_selection(record: SelectionRecord, folder: Path) -> Path:
    """Write selection.json atomically."""
    file = folder / SELECTION
    write_text(file, record.model_dump_json(indent=2) + "\n")
    return file
