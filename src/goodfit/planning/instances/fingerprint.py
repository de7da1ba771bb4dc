"""The fingerprint of annotated frames: sizes of frames and boxes, objects per frame, balance, redundancy.

No pixel is read: everything comes from the annotations, and from perceptual hashes where there are some.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from goodfit.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from goodfit.data.instances.model import Frame, InstanceDataset

    Floats = npt.NDArray[np.float64]

FINGERPRINT_VERSION: Literal[1] = 1
MOST_BOXES = 5000
"""Boxes kept; of more, an evenly spaced sample of those sorted by size."""
ANNOTATED_TWICE = 0.9
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
HASH_DIGITS = 16
"""Hexadecimal digits of a perceptual hash of 64 bits."""

Hash = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class FrameTable(BaseModel):
    """One entry per frame in each list; frames are sorted by group, video and number."""

    model_config = ConfigDict(extra="forbid")

    names: list[str]
    videos: list[str]
    """The video, or the group where there is none: the frame's own name where nothing groups."""
    heights: list[int]
    widths: list[int]
    categories: list[list[int]]
    """Category of each object in the frame, ascending; crowd regions do not count."""
    hashes: list[Hash] | None = None
    """Perceptual hashes as hexadecimal digits; None where none were made."""

    @model_validator(mode="after")
    def _same_length(self) -> FrameTable:
        for name in ("videos", "heights", "widths", "categories", "hashes"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.names):
                raise ValueError(f"{name} has {len(column)} entries for {len(self.names)} frames")
        return self


class InstanceFingerprint(BaseModel):
    """What was measured of a dataset of instances; boxes of crowd regions and empty boxes do not count."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = FINGERPRINT_VERSION
    key: str
    """Digest of the dataset's content."""
    categories: list[str]
    has_masks: bool
    frames: FrameTable
    boxes: list[Annotated[list[float], Field(min_length=6, max_length=6)]]
    """Width, height, x and y of the centre (pixels of the file), width and height of its frame; a sample of 5000."""
    quantiles: dict[str, list[float]]
    """Smallest, 5 %, 25 %, 50 %, 75 %, 95 %, largest of: box_size (square root of the area), box_ratio (height /
    width), instances (of a frame), frame_height, frame_width."""
    overlap_99: float
    """99 % of the objects overlap others of their category by no more than this (IoU of the boxes); objects that
    overlap more than 0.9 count as annotated twice."""
    empty_frames: int
    """Frames without any object."""
    redundancy: dict[str, float] | None = None
    """Video -> median number of hash bits that differ between a frame and the next; None without hashes."""

    @property
    def instances_per_frame(self) -> list[int]:
        """Number of objects of each frame."""
        return [len(categories) for categories in self.frames.categories]

    @property
    def category_counts(self) -> dict[str, int]:
        """Name of the category -> number of objects."""
        counts = np.bincount(
            np.asarray([number for numbers in self.frames.categories for number in numbers], np.int64),
            minlength=len(self.categories) + 1,
        )
        return {name: int(counts[number]) for number, name in enumerate(self.categories, start=1)}

    def box_array(self) -> Floats:
        """Boxes as an array (n, 6) of float64."""
        return np.asarray(self.boxes, np.float64).reshape(-1, 6)


def measure_instances(
    dataset: InstanceDataset, hashes: Mapping[str, int] | None = None, *, key: str
) -> InstanceFingerprint:
    """Measure the annotations.

    Args:
        dataset: opened; no image is read.
        hashes: frame -> perceptual hash of 64 bits; None: nothing is said of redundancy.
        key: digest of the dataset's content.

    Raises:
        PlanError: there is no frame, or not one object to learn from.
    """
    frames = sorted(dataset.frames, key=lambda frame: (frame.group, frame.video, frame.number, frame.name))
    rows = [row for frame in frames for row in _boxes(frame)]
    if not rows:
        raise PlanError(
            f"{dataset.root}: there is no object in any of the {len(frames)} frames: nothing can be learnt."
        )
    boxes = np.asarray(sorted(rows), np.float64)
    table = FrameTable(
        names=[frame.name for frame in frames],
        videos=[_video(frame) for frame in frames],
        heights=[frame.height for frame in frames],
        widths=[frame.width for frame in frames],
        categories=[sorted(one.category for one in frame.instances if not one.crowd) for frame in frames],
        hashes=None if hashes is None else [f"{hashes[frame.name]:0{HASH_DIGITS}x}" for frame in frames],
    )
    return InstanceFingerprint(
        key=key,
        categories=list(dataset.categories),
        has_masks=dataset.has_masks,
        frames=table,
        boxes=_sample(boxes).round(2).tolist(),
        quantiles={
            "box_size": _quantiles(np.sqrt(boxes[:, 0] * boxes[:, 1])),
            "box_ratio": _quantiles(boxes[:, 1] / boxes[:, 0]),
            "instances": _quantiles([len(categories) for categories in table.categories]),
            "frame_height": _quantiles(table.heights),
            "frame_width": _quantiles(table.widths),
        },
        overlap_99=round(float(np.quantile(_overlaps(frames), 0.99)), 4),
        empty_frames=sum(not categories for categories in table.categories),
        redundancy=None if table.hashes is None else _redundancy(table.videos, table.hashes),
    )


def hash_array(hashes: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Turn hexadecimal hashes into an array (n,) of uint64."""
    return np.asarray([int(digits, 16) for digits in hashes], np.uint64)


def bits_apart(some: npt.NDArray[np.uint64], others: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Count the bits in which hashes differ; the arguments are broadcast against each other."""
    different = np.ascontiguousarray(np.bitwise_xor(some, others))
    words = different.view(np.uint16).reshape(*different.shape, 4)
    return np.asarray(_BITS[words].sum(-1), np.int64)


_BITS = np.asarray([number.bit_count() for number in range(2**16)], np.uint8)


def _video(frame: Frame) -> str:
    return f"{frame.group}/{frame.video}" if frame.video not in ("", frame.group) else frame.group


def _boxes(frame: Frame) -> list[tuple[float, ...]]:
    """Give the rows of ``InstanceFingerprint.boxes`` for one frame."""
    rows: list[tuple[float, ...]] = []
    for one in frame.instances:
        x0, y0, x1, y1 = one.box
        if not one.crowd and x1 > x0 and y1 > y0:
            rows.append((x1 - x0, y1 - y0, (x0 + x1) / 2, (y0 + y1) / 2, float(frame.width), float(frame.height)))
    return rows


def _sample(boxes: Floats) -> Floats:
    """Take at most ``MOST_BOXES``, evenly spaced by size."""
    if len(boxes) <= MOST_BOXES:
        return boxes
    order = np.argsort(boxes[:, 0] * boxes[:, 1], kind="stable")
    return boxes[np.sort(order[np.linspace(0, len(boxes) - 1, MOST_BOXES).round().astype(np.int64)])]


def _quantiles(values: npt.ArrayLike) -> list[float]:
    return [float(f"{value:.5g}") for value in np.quantile(np.asarray(values, np.float64), QUANTILES)]


def _overlaps(frames: Sequence[Frame]) -> Floats:
    """Give each object's largest IoU with another of its category in its frame, 0 where it is alone.

    Objects annotated twice are left out; there is at least one number.
    """
    largest: list[Floats] = [np.zeros(1)]
    for frame in frames:
        by_category: dict[int, list[tuple[float, float, float, float]]] = defaultdict(list)
        for one in frame.instances:
            if not one.crowd:
                by_category[one.category].append(one.box)
        largest += [_largest_overlap(np.asarray(members, np.float64)) for members in by_category.values()]
    found = np.concatenate(largest)
    return np.asarray(found[found <= ANNOTATED_TWICE], np.float64)


def _largest_overlap(boxes: Floats) -> Floats:
    """Largest IoU of each box (n, 4) with any other."""
    top_left = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.prod(np.clip(bottom_right - top_left, 0, None), axis=-1)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1)
    union = area[:, None] + area[None, :] - shared
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    np.fill_diagonal(iou, 0)
    return np.asarray(iou.max(axis=1), np.float64)


def _redundancy(videos: Sequence[str], hashes: Sequence[str]) -> dict[str, float]:
    """Video -> median bits between neighbouring frames; videos of one frame are left out."""
    values = hash_array(hashes)
    steps: dict[str, list[int]] = defaultdict(list)
    for index, distance in enumerate(bits_apart(values[:-1], values[1:]).tolist()):
        if videos[index] == videos[index + 1]:
            steps[videos[index]].append(distance)
    return {video: float(np.median(distances)) for video, distances in steps.items()}
