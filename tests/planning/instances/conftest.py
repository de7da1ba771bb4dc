"""Made datasets of instances: boxes without pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from goodfit.data.instances.model import Frame, ImageSource, Instance, InstanceDataset
from goodfit.data.splits import Split
from goodfit.planning.instances.fingerprint import measure_instances

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from goodfit.planning.instances.fingerprint import InstanceFingerprint

    Boxes = Sequence[tuple[float, float, float, float]]


@pytest.fixture(scope="session")
def frame() -> Callable[..., Frame]:
    """Give a frame with the boxes told, of category 1 unless told."""

    def make(
        name: str,
        boxes: Boxes = ((10, 10, 50, 90),),
        *,
        group: str = "video",
        number: int = 0,
        size: tuple[int, int] = (480, 640),
        categories: Sequence[int] | None = None,
        crowd: bool = False,
    ) -> Frame:
        numbers = categories or [1] * len(boxes)
        instances = tuple(
            Instance(category, box, None, (box[2] - box[0]) * (box[3] - box[1]), crowd)
            for category, box in zip(numbers, boxes, strict=True)
        )
        return Frame(name, group, number, None, *size, ImageSource(Path(name)), instances)

    return make


@pytest.fixture(scope="session")
def dataset() -> Callable[..., InstanceDataset]:
    """Give a dataset of frames."""

    def make(
        frames: Sequence[Frame], categories: Sequence[str] = ("thing",), *, has_masks: bool = True
    ) -> InstanceDataset:
        return InstanceDataset(Path("made"), "made", tuple(categories), tuple(frames), has_masks, grouped=True)

    return make


@pytest.fixture(scope="session")
def measured(dataset: Callable[..., InstanceDataset]) -> Callable[..., InstanceFingerprint]:
    """Give the fingerprint of frames."""

    def make(
        frames: Sequence[Frame],
        categories: Sequence[str] = ("thing",),
        hashes: dict[str, int] | None = None,
        *,
        has_masks: bool = True,
    ) -> InstanceFingerprint:
        return measure_instances(dataset(frames, categories, has_masks=has_masks), hashes, key="key")

    return make


@pytest.fixture(scope="session")
def split_of() -> Callable[[InstanceDataset], Split]:
    """Give a split with every frame in the training set."""

    def make(dataset: InstanceDataset) -> Split:
        return Split(seed=0, source="made", train=[one.name for one in dataset.frames], validation=[], test=[])

    return make
