"""Choosing the cases whose slices the report shows, and drawing them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.data.dataset import open_dataset
from goodfit.data.formats import label_ending
from goodfit.data.readers import read_image, read_label
from goodfit.errors import DatasetError, GoodfitError
from goodfit.interop.nnunet.case_store import original_image
from goodfit.interop.nnunet.given import given_store
from goodfit.reporting.slices import case_slices
from goodfit.settings import build_settings

if TYPE_CHECKING:
    from goodfit.data.dataset import Case, Dataset
    from goodfit.data.geometry import Image
    from goodfit.reporting.content import Content
    from goodfit.reporting.slices import Slice
    from goodfit.tasks.segmentation.scores import Scores


@dataclass(frozen=True)
class Picture:
    """A slice ready for the page."""

    caption: str
    source: str
    """The PNG as a data URL."""
    width: int
    height: int


@dataclass(frozen=True)
class Overlay:
    """The slices of one case, or why there are none.

    Attributes:
        rank: best, median or worst.
        case: the case's name.
        dice: mean Dice over its classes.
        pictures: its slices.
        problem: empty, or why they could not be drawn.
    """

    rank: str
    case: str
    dice: float
    pictures: list[Picture]
    problem: str = ""


def choose_cases(scores: Scores) -> list[tuple[str, str]]:
    """Pick the best, the median and the worst case by mean Dice, as (rank, case); fewer of fewer than three."""
    ranked = scores.ranked()
    if len(ranked) >= 3:
        return [("best", ranked[-1]), ("median", ranked[len(ranked) // 2]), ("worst", ranked[0])]
    ends = [("best", ranked[-1])] if ranked else []
    return ends + ([("worst", ranked[0])] if len(ranked) == 2 else [])


def draw_overlays(content: Content) -> list[Overlay]:
    """Draw the chosen cases from the dataset's own files; a case that cannot be read says why instead."""
    if content.scores is None or content.plan is None:
        return []
    overlays = []
    dataset: Dataset | None = None
    for rank, case in choose_cases(content.scores):
        dice = content.scores.case_dice(case)
        try:
            dataset = dataset or _open(content)
            drawn = _draw(content, dataset, case)
        except GoodfitError as error:
            overlays.append(Overlay(rank, case, dice, [], str(error)))
        else:
            overlays.append(Overlay(rank, case, dice, [_embed(picture) for picture in drawn]))
    return overlays


def _open(content: Content) -> Dataset:
    place = content.record.get("dataset")
    if not isinstance(place, str):
        raise DatasetError(f"{content.run.record}: does not name the dataset.")
    return open_dataset(Path(place))


def _draw(content: Content, dataset: Dataset, name: str) -> list[Slice]:
    assert content.plan is not None
    case = dataset.case(name)
    if case.label is None:
        raise DatasetError(f"{dataset.root}: case {name} has no label file.")
    image = _image(content, dataset, case)
    reference, _ = read_label(case.label)
    prediction, _ = read_label(content.run.predictions / f"{name}{label_ending(content.plan.data.file_ending)}")
    if not image.array.shape[1:] == reference.shape == prediction.shape:
        raise DatasetError(f"{case.label}: image, reference and prediction of {name} differ in shape.")
    return case_slices(image, reference, prediction, content.plan.data.labels)


def _image(content: Content, dataset: Dataset, case: Case) -> Image:
    assert content.plan is not None
    if dataset.layout != "preprocessed":
        return read_image(case.images, len(content.plan.data.channels))
    store = given_store(dataset, build_settings(content.record.get("settings", {})), content.plan)
    return original_image(store.case(case.name))


def _embed(drawn: Slice) -> Picture:
    encoded = base64.b64encode(drawn.png).decode("ascii")
    return Picture(drawn.caption, f"data:image/png;base64,{encoded}", drawn.width, drawn.height)
