"""What is drawn into a frame: a mark for each instance, and marks on the way between two frames looked at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from goodfit.data.instances.rle import box_of, parse_counts
from goodfit.tasks.instances.pasting import PastedMasks
from goodfit.tasks.instances.tracking.tracker import UNTRACKED

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from goodfit.tasks.instances.detection import Detection, Rle
    from goodfit.tasks.instances.tracking.tracker import Ids

    Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Cut:
    """A mask without its empty surroundings.

    Attributes:
        x: column of its left edge in the image.
        y: row of its upper edge.
        inside: (h, w).
    """

    x: int
    y: int
    inside: npt.NDArray[np.bool_]

    def moved(self, old: Box, new: Box) -> Cut:
        """Move and stretch it as the box does, each new pixel taking the nearest old one."""
        wide, high = (new[2] - new[0]) / (old[2] - old[0]), (new[3] - new[1]) / (old[3] - old[1])
        height, width = self.inside.shape
        if not self.inside.size:
            return self
        rows = max(1, round(height * high))
        columns = max(1, round(width * wide))
        row = ((np.arange(rows) + 0.5) * (height / rows)).astype(int)
        column = ((np.arange(columns) + 0.5) * (width / columns)).astype(int)
        return Cut(
            round(new[0] + (self.x - old[0]) * wide),
            round(new[1] + (self.y - old[1]) * high),
            self.inside[row[:, None], column[None, :]],
        )


def cut_of(code: Rle) -> Cut:
    """Decode a run-length code, where the mask is and nowhere else."""
    runs, height = parse_counts(code["counts"]), int(code["size"][0])
    x0, y0, x1, y1 = box_of(runs, height)
    # A mask is read column by column: its columns are one stretch of the code.
    edges = np.clip(np.concatenate([[0], np.cumsum(runs)]), x0 * height, x1 * height)
    stretch = np.repeat(np.arange(len(runs)) % 2 == 1, np.diff(edges))
    return Cut(x0, y0, np.ascontiguousarray(stretch.reshape(x1 - x0, height).T[y0:y1]))


@dataclass(frozen=True)
class Mark:
    """One instance as it is drawn.

    Attributes:
        box: x0, y0, x1, y1 in pixels.
        category: from 1.
        score: in 0..1.
        identity: of its track; ``UNTRACKED`` without one.
        cut: its mask.
    """

    box: Box
    category: int
    score: float
    identity: int = UNTRACKED
    cut: Cut | None = None

    def towards(self, other: Mark, share: float) -> Mark:
        """Give the mark at ``share`` (0..1) of the way to ``other``; the mask of the nearer one goes along."""
        x0, y0, x1, y1 = (one + share * (two - one) for one, two in zip(self.box, other.box, strict=True))
        near = self if share < 0.5 else other
        sized = near.box[2] > near.box[0] and near.box[3] > near.box[1]
        cut = near.cut.moved(near.box, (x0, y0, x1, y1)) if near.cut is not None and sized else near.cut
        return Mark((x0, y0, x1, y1), self.category, near.score, self.identity, cut)


@dataclass(frozen=True)
class Found:
    """What was found in a frame that the network looked at.

    Attributes:
        number: of the frame in the video, from 0.
        time: of the frame in seconds.
        detection: the instances that are kept.
        identities: (N,) of their tracks.
    """

    number: int
    time: float
    detection: Detection
    identities: Ids

    @cached_property
    def marks(self) -> list[Mark]:
        """The instances as marks, masks decoded; in the order of the detection."""
        return marks_of(self.detection, self.identities)


def marks_of(detection: Detection, identities: Ids) -> list[Mark]:
    """Make the marks of one image."""
    return [
        Mark(
            (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
            int(detection.categories[place]),
            float(detection.scores[place]),
            int(identities[place]),
            _cut(detection, place),
        )
        for place, box in enumerate(detection.boxes)
    ]


def _cut(detection: Detection, place: int) -> Cut | None:
    masks = detection.masks
    if isinstance(masks, PastedMasks):
        inside, top, left = masks.cut(place)
        return Cut(left, top, inside)
    return None if masks is None else cut_of(masks[place])


class Timeline:
    """Gives the marks of every frame, also of those between the frames looked at.

    Between two of these, what is in both (by its track) moves in a straight line, its mask along with the box. What
    is in one of them only is shown over the nearer half of the time. Frames are asked for in ascending order.

    Args:
        found: ascending; taken from as late as possible.
    """

    def __init__(self, found: Iterator[Found]) -> None:
        self._found = found
        self._before: Found | None = None
        self._after = next(found, None)

    def at(self, number: int) -> list[Mark]:
        """Give the marks of a frame."""
        while self._after is not None and self._after.number <= number:
            exact = self._after.number == number
            self._before, self._after = self._after, None if exact else next(self._found, None)
            if exact:
                return self._before.marks
        if self._after is None:
            self._after = next(self._found, None)
            if self._after is not None and self._after.number <= number:
                return self.at(number)
        if self._before is None:
            return []
        if self._after is None:
            return self._before.marks
        share = (number - self._before.number) / (self._after.number - self._before.number)
        return _between(self._before.marks, self._after.marks, share)


def _between(before: list[Mark], after: list[Mark], share: float) -> list[Mark]:
    later = {mark.identity: mark for mark in after if mark.identity != UNTRACKED}
    earlier = {mark.identity for mark in before}
    marks = [
        mark.towards(later[mark.identity], share) if mark.identity in later else mark
        for mark in before
        if mark.identity in later or share < 0.5
    ]
    return marks + [
        mark for mark in after if share >= 0.5 and (mark.identity == UNTRACKED or mark.identity not in earlier)
    ]
