"""How often each training frame is drawn: by video, by novelty, by the categories it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from goodfit.errors import PlanError
from goodfit.planning import wording
from goodfit.planning.instances.decision import Decision
from goodfit.planning.instances.fingerprint import bits_apart, hash_array
from goodfit.planning.instances.plan import FrameSampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from goodfit.planning.instances.fingerprint import InstanceFingerprint

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

VIDEO_EXPONENT = 0.5
NOVELTY = 0.5
DUPLICATE_DISTANCE = 6
"""Of 64 bits; neighbouring frames of real video sets differ in 4 to 8 (``data.instances.hashing``)."""
MOST_EMPTY = 0.25
LARGEST_THRESHOLD = 0.1
"""A category in a tenth of the frames is seen often enough."""


def choose_sampling(fingerprint: InstanceFingerprint, train: Sequence[str]) -> FrameSampling:
    """Choose the parameters of the rule; ``frame_weights`` follows it.

    Args:
        fingerprint: of the dataset.
        train: names of the training frames.
    """
    categories = len(fingerprint.categories)
    novelty = _novelty(fingerprint)
    threshold = _repeat_threshold(categories)
    empty = _empty_share(fingerprint, train)
    return FrameSampling(
        video_exponent=VIDEO_EXPONENT,
        novelty=novelty.value,
        duplicate_distance=DUPLICATE_DISTANCE,
        repeat_threshold=threshold.value,
        empty_share=empty.value,
        reasons={
            "video_exponent": "between every video the same and every frame the same: long videos show more, but "
            "their frames repeat each other",
            "novelty": novelty.reason,
            "duplicate_distance": "neighbouring frames of a video differ in 4 to 8 of the 64 bits, unlike ones in about 32",
            "repeat_threshold": threshold.reason,
            "empty_share": empty.reason,
        },
    )


def frame_weights(fingerprint: InstanceFingerprint, sampling: FrameSampling, train: Sequence[str]) -> Floats:
    """Give the probability of each training frame at every draw: above 0, sum 1, in the order of ``train``.

    A frame counts ``1 / n ** novelty`` with ``n`` the frames of its video that look like it (of all frames where each
    is its own video); a video gets the sum of
    its frames to the power of ``video_exponent``, and its frames share that by what they count. Then comes the repeat
    factor of the rarest category in the frame (``repeat_factors``); last, frames without objects are held to their
    share where there are others.

    Raises:
        PlanError: there is no training frame, or one that the fingerprint does not have.
    """
    rows = _rows(fingerprint, train)
    table = fingerprint.frames
    videos = np.unique(np.asarray(table.videos)[rows], return_inverse=True)[1]
    counts: Floats = np.ones(len(rows))
    if table.hashes is not None and sampling.novelty > 0:
        within = videos if videos.max() + 1 < len(rows) else np.zeros_like(videos)
        alike = look_alikes(hash_array([table.hashes[row] for row in rows]), within, sampling.duplicate_distance)
        counts = np.asarray(np.bincount(alike)[alike] ** -sampling.novelty, np.float64)
    sums = np.bincount(videos, weights=counts)
    weights = counts * (sums ** (sampling.video_exponent - 1))[videos]
    shown = [table.categories[row] for row in rows]
    weights = weights * repeat_factors(shown, len(fingerprint.categories), sampling.repeat_threshold)
    return _limit_empty(weights, np.asarray([not numbers for numbers in shown]), sampling.empty_share)


def repeat_factors(shown: Sequence[Sequence[int]], categories: int, threshold: float) -> Floats:
    """Repeat factors of frames (Gupta et al. 2019, LVIS): the largest ``max(1, sqrt(threshold / f))`` in the frame.

    Args:
        shown: categories (1 to ``categories``) of the objects of each frame; repeated ones count once.
        categories: number of categories.
        threshold: share of frames below which a category is drawn more often; ``f`` is its share.
    """
    present = np.zeros((len(shown), categories + 1), bool)
    for row, numbers in enumerate(shown):
        present[row, list(numbers)] = True
    share = np.maximum(present.mean(axis=0), 1 / max(1, len(shown)))
    factors = np.maximum(1.0, np.sqrt(threshold / share))
    return np.asarray(np.where(present, factors, 1.0).max(axis=1), np.float64)


def look_alikes(hashes: npt.NDArray[np.uint64], groups: Integers, distance: int) -> Integers:
    """Gather frames that look alike: each goes with the first earlier frame of its group that is near enough.

    Only the first frame of a gathering is compared with, so that a slow change does not chain a whole video together.

    Args:
        hashes: one per frame (n,), in the order of time.
        groups: number of each frame's group (n,).
        distance: largest number of bits that differ.

    Returns:
        The number of each frame's gathering (n,), counted from 0 without gaps.
    """
    gathering = np.full(len(hashes), -1, np.int64)
    found = 0
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        while len(rows):
            near = bits_apart(hashes[rows], hashes[rows[:1]]) <= distance
            gathering[rows[near]] = found
            rows = rows[~near]
            found += 1
    return gathering


def _novelty(fingerprint: InstanceFingerprint) -> Decision[float]:
    if fingerprint.frames.hashes is None:
        return Decision(0.0, "no perceptual hashes were made, so it is not known which frames look alike")
    stated = ""
    if fingerprint.redundancy:
        near = sum(distance <= DUPLICATE_DISTANCE for distance in fingerprint.redundancy.values())
        stated = f"; in {near} of {len(fingerprint.redundancy)} videos most frames look like the one before"
    why = "n frames that look alike count as the square root of n: they repeat the room, not always what is done in it"
    return Decision(NOVELTY, why + stated)


def _repeat_threshold(categories: int) -> Decision[float]:
    if categories == 1:
        return Decision(0.0, "there is one category only")
    threshold = round(min(LARGEST_THRESHOLD, 1 / categories), 4)
    why = f"a category in fewer of the frames is drawn more often: 1 / {categories} categories, at most a tenth"
    return Decision(threshold, f"{why} (LVIS: 0.001 for 1203)")


def _empty_share(fingerprint: InstanceFingerprint, train: Sequence[str]) -> Decision[float]:
    rows = _rows(fingerprint, train)
    empty = sum(not fingerprint.frames.categories[row] for row in rows) / len(rows)
    if empty <= MOST_EMPTY:
        return Decision(
            MOST_EMPTY, f"{wording.percent(empty)} of the training frames have no object: all are drawn as they come"
        )
    return Decision(
        MOST_EMPTY, f"{wording.percent(empty)} of the training frames have no object; the background needs fewer draws"
    )


def _limit_empty(weights: Floats, empty: npt.NDArray[np.bool_], most: float) -> Floats:
    """Normalise to sum 1, frames without objects to ``most`` at most; a share of 0 leaves them a trace."""
    share = weights[empty].sum() / weights.sum()
    if not empty.all() and share > most:
        allowed = max(most, 1e-9)
        weights = np.where(empty, weights * allowed / share, weights * (1 - allowed) / (1 - share))
    return np.asarray(weights / weights.sum(), np.float64)


def _rows(fingerprint: InstanceFingerprint, train: Sequence[str]) -> list[int]:
    """Places of frames in the fingerprint's table."""
    if not train:
        raise PlanError("There is no training frame to draw from.")
    places = {name: row for row, name in enumerate(fingerprint.frames.names)}
    unknown = [name for name in train if name not in places]
    if unknown:
        raise PlanError(
            f"Training frame {unknown[0]!r} is not in the fingerprint ({len(unknown)} in all): measure it anew."
        )
    return [places[name] for name in train]
