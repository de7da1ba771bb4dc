"""What an instance dataset is made of: categories, frames and the objects in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from goodfit.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from goodfit.data.problems import Problem
    from goodfit.data.splits import SetName

    Box = tuple[float, float, float, float]
    Segmentation = dict[str, Any] | list[list[float]]


@dataclass(frozen=True)
class Instance:
    """One object in a frame.

    Attributes:
        category: 1..K, the place in ``InstanceDataset.categories`` plus 1.
        box: (x0, y0, x1, y1) in pixels, x right, y down, x1 and y1 exclusive; within the frame, not empty.
        segmentation: COCO's polygons [[x, y, x, y, ...], ...] or compressed RLE {"size": [h, w], "counts": str};
            None where there is only the box.
        area: pixels, of the mask where there is one, else of the box.
        crowd: a region to be ignored in training and scoring: a crowd, or an object that lacks its mask.
        track: identity of the object within its video, where given.
    """

    category: int
    box: Box
    segmentation: Segmentation | None
    area: float
    crowd: bool = False
    track: int | None = None


@dataclass(frozen=True)
class ImageSource:
    """A frame that is an image file."""

    path: Path


@dataclass(frozen=True)
class VideoSource:
    """A frame to be decoded from a video; ``frame`` counts from 0 in the order of presentation."""

    path: Path
    frame: int


@dataclass(frozen=True)
class Frame:
    """One annotated image or video frame.

    Attributes:
        name: unique in the dataset, usable as a file stem.
        group: what must not be split: video, study, patient; the frame's own name where nothing groups.
        number: place in time within the video: the frame number where given, else the place in order of names.
        time: seconds from the start of the video, where given.
        height: pixels.
        width: pixels.
        source: where the pixels are.
        instances: the objects; empty for background.
        video: name of the video or sequence; "" where none is given.
    """

    name: str
    group: str
    number: int
    time: float | None
    height: int
    width: int
    source: ImageSource | VideoSource
    instances: tuple[Instance, ...]
    video: str = ""


@dataclass(frozen=True)
class InstanceDataset:
    """A dataset of frames with instances; the annotations are read, the pixels are not.

    Attributes:
        root: the folder, absolute.
        name: the folder's name.
        categories: names; category k of an instance is ``categories[k - 1]``.
        frames: sorted by group, video, number and name.
        has_masks: the objects have masks; False: boxes only, and every ``segmentation`` is None.
        grouped: groups were given, rather than one group per frame.
        given_split: frame -> set, where the folders or file names say train, validation or test.
        notes: what was decided while reading, in sentences.
        problems: what is wrong; frames without pixels and unusable objects are left out already.
        declared_split: frame -> set as a field of the images tells ("official_split"); judged, not followed.
    """

    root: Path
    name: str
    categories: tuple[str, ...]
    frames: tuple[Frame, ...]
    has_masks: bool
    grouped: bool
    given_split: Mapping[str, SetName] | None = None
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = field(default=(), repr=False)
    declared_split: Mapping[str, SetName] | None = field(default=None, repr=False)

    @cached_property
    def _by_name(self) -> dict[str, Frame]:
        return {frame.name: frame for frame in self.frames}

    @property
    def cases(self) -> tuple[Frame, ...]:
        """The frames: what is divided among sets and folds."""
        return self.frames

    @property
    def class_values(self) -> dict[str, tuple[int, ...]]:
        """Category -> its number."""
        return {name: (number,) for number, name in enumerate(self.categories, start=1)}

    def case(self, name: str) -> Frame:
        """Find a frame by name, as ``frame`` does."""
        return self.frame(name)

    def frame(self, name: str) -> Frame:
        """Find a frame by name.

        Raises:
            DatasetError: there is no such frame.
        """
        if name not in self._by_name:
            raise DatasetError(f"{self.root}: there is no frame {name!r}.")
        return self._by_name[name]

    def groups(self) -> dict[str, list[Frame]]:
        """Group -> its frames in order of time."""
        groups: dict[str, list[Frame]] = {}
        for frame in self.frames:
            groups.setdefault(frame.group, []).append(frame)
        return groups
