"""Which frames train, validate and test: whole videos where there are enough, stretches of time where not."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from goodfit.data.balancing import divide
from goodfit.data.instances.leakage import WINDOW, Leak, judge_split, near_duplicates
from goodfit.data.instances.stretches import GAP_SHARE, cut
from goodfit.data.splits import SET_NAMES, SetName, Split, merge_groups
from goodfit.data.wording import counted, some
from goodfit.errors import SplitError
from goodfit.files import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from goodfit.data.instances.model import Frame, InstanceDataset

logger = logging.getLogger(__name__)

_MOST_DIVISIONS = 20

__all__ = ["WINDOW", "Leak", "judge_split", "load_instance_split", "make_instance_split", "near_duplicates"]


def make_instance_split(
    dataset: InstanceDataset,
    *,
    seed: int = 0,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    identical: Sequence[Sequence[str]] = (),
    follow_given: bool = True,
) -> Split:
    """Divide the frames into train, validation and test, by group.

    A split that came with the dataset (``given_split``) is followed; a set it lacks is taken from its training
    groups. With fewer groups than sets, each group is cut into stretches of time with a guard gap between them
    (``stretches.cut``), and the split is marked as optimistic; so is a given one that divides groups.

    Args:
        dataset: the dataset, with its groups.
        seed: equal seeds give equal splits.
        fractions: shares of the frames for train, validation and test, each above 0.
        identical: names of frames with one and the same image (``InstanceCheck.identical``): their groups stay
            together, unless too few groups would be left.
        follow_given: False: divide anew, whatever came with the dataset.

    Raises:
        SplitError: there are too few frames, or a fraction is not above 0.
    """
    if min(fractions) <= 0:
        raise SplitError(f"fractions {fractions}: each of train, validation and test needs a share above 0.")
    rng = np.random.default_rng(seed)
    given = dataset.given_split if follow_given else None
    sets: dict[SetName, list[str]] = {name: [] for name in SET_NAMES}
    for name, place in (given or {}).items():
        sets[place].append(name)
    wanted: list[SetName] = [name for name in SET_NAMES if given is None or name == "train" or not sets[name]]
    split = Split(seed=seed, source="as the folders of the dataset tell", **sets)
    if len(wanted) > 1:
        frames = [frame for frame in dataset.frames if given is None or given[frame.name] == "train"]
        portion = {name: share for name, share in zip(SET_NAMES, fractions, strict=True) if name in wanted}
        shares = [share / sum(portion.values()) for share in portion.values()]
        made = _divide(dataset, frames, wanted, shares, rng, identical)
        sets |= made.sets
        how = f"{' / '.join(f'{100 * share:.0f}' for share in shares)} {' / '.join(wanted)} {made.how}"
        split.source = f"{how}; the rest as the folders of the dataset tell" if given else how
        split.optimistic, split.optimistic_reason = bool(made.reason), made.reason
    split.train, split.validation, split.test = (sorted(sets[name]) for name in SET_NAMES)
    split.groups = {frame.name: frame.group for frame in dataset.frames if frame.group != frame.name}
    if given is not None:
        _judge_given(dataset, split)
    split.reasons = _reasons(dataset, split, wanted, given is not None)
    split.warnings = [*([split.optimistic_reason] if split.optimistic else []), *_missing_categories(dataset, split)]
    return split


@dataclass(frozen=True)
class _Made:
    sets: dict[SetName, list[str]]
    how: str
    reason: str = ""
    """Why it is optimistic; "" where it is not."""


def _divide(
    dataset: InstanceDataset,
    frames: Sequence[Frame],
    names: Sequence[SetName],
    shares: Sequence[float],
    rng: np.random.Generator,
    identical: Sequence[Sequence[str]],
) -> _Made:
    """Divide frames by group, or by time where there are too few groups."""
    group_of = {frame.name: frame.group for frame in frames}
    groups = _by_group(frames, merge_groups(group_of, identical))
    if len(groups) < len(names):
        groups = _by_group(frames, group_of)
    unit = "group" if dataset.grouped else "frame"
    if len(groups) >= len(names):
        members = sorted(groups.items())
        presence = np.zeros((len(members), len(dataset.categories)), dtype=np.int64)
        for row, (_, inside) in enumerate(members):
            for frame in inside:
                presence[row, sorted({one.category - 1 for one in frame.instances})] += 1
        assigned = _assign([len(inside) for _, inside in members], presence, shares, rng)
        sets: dict[SetName, list[str]] = {name: [] for name in names}
        for (_, inside), index in zip(members, assigned, strict=True):
            sets[names[index]] += [frame.name for frame in inside]
        return _Made(sets, f"by {unit}")
    made = cut(groups, names, shares, rng) if dataset.grouped else None
    if made is None:
        raise SplitError(
            f"{dataset.root}: {counted(len(frames), 'frame')} in {counted(len(groups), unit)} cannot be divided into "
            f"{', '.join(names)}. Annotate more videos, or {2 * len(names) - 1} moments of one at least."
        )
    lengths = some([f"{counted(gap, 'annotated moment')} in {group}" for group, gap in made.gaps.items()])
    between = "gap" if len(names) == 2 else "gaps"
    reason = (
        f"{', '.join(names[:-1])} and {names[-1]} are stretches of time of the same videos ({some(list(groups))}): "
        f"fewer groups than sets, so the scores are optimistic for other videos. Guard {between} between the sets: "
        f"{lengths}; {counted(len(made.left_out), 'frame')} in no set."
    )
    return _Made(made.sets, f"by stretches of time with guard gaps of {100 * GAP_SHARE:.0f} %", reason)


def _assign(
    sizes: Sequence[int], presence: npt.NDArray[np.int64], shares: Sequence[float], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Divide groups, again and again while a set holds what training does not; the division with least of it wins.

    Args:
        sizes: frames of each group, (G,).
        presence: frames of each group that show each category, (G, K).
        shares: of training first, then of the other sets.
        rng: source of all randomness.

    Returns:
        The set of each group, (G,).
    """
    best: npt.NDArray[np.int64] | None = None
    least = np.inf
    for _ in range(_MOST_DIVISIONS):
        assigned = divide(sizes, presence, shares, rng)
        trained = presence[assigned == 0].any(axis=0)
        untrained = float(presence[assigned != 0][:, ~trained].sum())
        if untrained < least:
            best, least = assigned, untrained
        if not untrained:
            break
    assert best is not None
    return best


def _by_group(frames: Sequence[Frame], group_of: Mapping[str, str]) -> dict[str, list[Frame]]:
    groups: dict[str, list[Frame]] = {}
    for frame in frames:
        groups.setdefault(group_of[frame.name], []).append(frame)
    return groups


def _judge_given(dataset: InstanceDataset, split: Split) -> None:
    """Mark a given split as optimistic where it divides groups."""
    divided = _divided_groups(split, {frame.name: frame.group for frame in dataset.frames})
    if not divided or not dataset.grouped:
        return
    shares = judge_split(dataset, split)
    near = " and ".join(f"{100 * share:.0f} % of the {name} frames" for name, share in shares.items())
    added = f"{split.optimistic_reason} " if split.optimistic_reason else ""
    split.optimistic = True
    split.optimistic_reason = (
        f"{added}The split that came with the dataset divides {counted(len(divided), 'group')} ({some(divided, 3)}): "
        f"{near} have a training frame of the same video within {WINDOW} frames."
    )


def _divided_groups(split: Split, group_of: Mapping[str, str]) -> list[str]:
    places: dict[str, set[str]] = {}
    for name, members in split.apart().items():
        for frame in members:
            if frame in group_of:
                places.setdefault(group_of[frame], set()).add(name)
    return sorted(group for group, sets in places.items() if len(sets) > 1)


def _missing_categories(dataset: InstanceDataset, split: Split) -> list[str]:
    """Name the categories that some set has no object of, though the dataset has."""
    shown: dict[int, set[str]] = {}
    groups: dict[int, set[str]] = {}
    places = split.set_of()
    for frame in dataset.frames:
        for one in frame.instances:
            shown.setdefault(one.category, set()).add(places.get(frame.name, ""))
            groups.setdefault(one.category, set()).add(frame.group)
    warnings = []
    for category in sorted(shown):
        lacking = [name for name in SET_NAMES if name not in shown[category]]
        if lacking:
            number = counted(len(groups[category]), "group" if dataset.grouped else "frame")
            name = dataset.categories[category - 1]
            warnings.append(f"category {name!r} does not occur in {' and '.join(lacking)}; it is in {number}.")
    return warnings


def _reasons(dataset: InstanceDataset, split: Split, made: Sequence[SetName], given: bool) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for name, members in split.sets().items():
        objects = sum(len(dataset.frame(frame).instances) for frame in members)
        groups = len({dataset.frame(frame).group for frame in members})
        inside = f" in {counted(groups, 'group')}" if dataset.grouped else ""
        how = f"drawn with seed {split.seed}" if name in made and (len(made) > 1 or not given) else "as given"
        what = f"{len(members)} of {counted(len(dataset.frames), 'frame')}{inside} with {counted(objects, 'object')}"
        reasons[name] = f"{what}, {how}"
    return reasons


def load_instance_split(path: Path, dataset: InstanceDataset) -> Split:
    """Read splits.json, which may have been edited, and check it against the dataset.

    Frames that are in no set are left out of the run.

    Raises:
        SplitError: the file is missing or is no split, names frames that are not there, names a frame twice, divides
            a group without being marked as optimistic, or has an empty set.
    """
    try:
        split = Split.model_validate(read_json(path, SplitError))
    except ValidationError as error:
        fields = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'all'}: {item['msg']}" for item in error.errors())
        raise SplitError(
            f"{path}: not a split ({fields}). Mend the file, or delete it to have it made anew."
        ) from error
    known = {frame.name: frame.group for frame in dataset.frames}
    places: dict[str, list[str]] = {}
    for name, members in split.sets().items():
        unknown = [frame for frame in members if frame not in known]
        if unknown:
            raise SplitError(f"{path}: {name} names frames that the dataset does not have: {some(unknown)}.")
    for name, members in split.apart().items():
        if not members:
            raise SplitError(f"{path}: {name} is empty. Put at least one frame into it.")
        for frame in members:
            places.setdefault(frame, []).append(name)
    twice = [f"{frame} ({' and '.join(names)})" for frame, names in places.items() if len(names) > 1]
    if twice:
        raise SplitError(f"{path}: a frame must be in one set only, and once: {some(twice)}.")
    divided = _divided_groups(split, known)
    if divided and not split.optimistic:
        raise SplitError(
            f"{path}: a group must be in one set only: {some(divided)}. Move all its frames to one set, or set "
            '"optimistic" to true, which marks every score.'
        )
    left_out = len(known.keys() - split.set_of().keys())
    if left_out:
        logger.info("%s: %d annotated frames are in no set and are not used", path, left_out)
    return split
