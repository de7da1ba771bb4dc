"""How much of validation and test a model has all but seen in training: neighbours in time, and look-alikes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from goodfit.data.instances.hashing import NEAR, near_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.data.instances.model import InstanceDataset
    from goodfit.data.splits import SetName, Split

WINDOW = 30
"""Frames within which a frame of the same video is a neighbour: about a second."""


@dataclass(frozen=True)
class Leak:
    """A frame that looks like a training frame.

    Attributes:
        frame: its name.
        set: validation or test.
        training: the training frame that looks most like it.
        distance: bits of 64 in which their hashes differ.
    """

    frame: str
    set: SetName
    training: str
    distance: int


def judge_split(dataset: InstanceDataset, split: Split, window: int = WINDOW) -> dict[SetName, float]:
    """Tell how much validation and test are like training by their place in time.

    Args:
        dataset: gives videos and frame numbers.
        split: the split, made or given.
        window: frames, as ``Frame.number`` counts them.

    Returns:
        validation and test, where they have frames -> share (0 to 1) of their frames that have a training frame of
        the same group and video at most ``window`` frames away.
    """
    training: dict[tuple[str, str], list[int]] = {}
    for name in split.train:
        frame = dataset.frame(name)
        training.setdefault((frame.group, frame.video), []).append(frame.number)
    numbers = {video: np.asarray(found) for video, found in training.items()}
    shares: dict[SetName, float] = {}
    for place, members in split.sets().items():
        if place == "train" or not members:
            continue
        near = 0
        for name in members:
            frame = dataset.frame(name)
            found = numbers.get((frame.group, frame.video))
            near += found is not None and bool((np.abs(found - frame.number) <= window).any())
        shares[place] = near / len(members)
    return shares


def near_duplicates(hashes: Mapping[str, int], split: Split, most: int = NEAR) -> list[Leak]:
    """List the validation and test frames that look like a training frame.

    Args:
        hashes: frame -> ``perceptual_hash`` (``InstanceCheck.hashes``); frames without one are passed over.
        split: the split, made or given.
        most: bits in which two hashes may differ.

    Returns:
        One entry for each such frame with the training frame nearest to it, in the order of the sets.
    """
    training = [name for name in split.train if name in hashes]
    leaks = []
    for place, members in split.apart().items():
        if place == "train":
            continue
        others = [name for name in members if name in hashes]
        pairs = near_pairs([hashes[name] for name in others], [hashes[name] for name in training], most)
        for index, near, distances in pairs:
            closest = int(distances.argmin())
            leaks.append(Leak(others[index], place, training[near[closest]], int(distances[closest])))
    return leaks
