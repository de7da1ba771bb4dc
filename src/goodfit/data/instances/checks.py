"""``goodfit check`` for frames with instances: everything that is wrong, in one table."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from goodfit.data.instances import kinds
from goodfit.data.instances.content import Contents, read_contents
from goodfit.data.instances.dataset import content_key, open_instances
from goodfit.data.instances.findings import Findings
from goodfit.data.instances.hashing import near_pairs
from goodfit.data.instances.leakage import WINDOW, judge_split, near_duplicates
from goodfit.data.instances.polygons import touches_itself
from goodfit.data.problems import Problem, ProblemTable
from goodfit.data.splits import SET_NAMES, SetName, Split
from goodfit.data.wording import counted, some
from goodfit.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from goodfit.data.digests import Digests
    from goodfit.data.instances.content import Visitor
    from goodfit.data.instances.findings import Kind
    from goodfit.data.instances.model import InstanceDataset

_CONTRADICTIONS = 0.1
"""Share of validation and test frames near a training frame from which a split is worth a warning."""


@dataclass
class InstanceCheck(ProblemTable):
    """What a check found.

    Attributes:
        problems: errors first.
        frames_checked: number of frames whose pixels were read.
        hashes: frame -> perceptual hash, for ``near_duplicates``.
        identical: names of frames with one and the same image, a list for each; for ``make_instance_split``.
        neighbours: set -> share of its frames with a training frame of the same video within ``WINDOW`` frames, for
            the split that came with the dataset; empty where none came.
        key: ``check_key`` of what was checked, where the result is kept.
    """

    frames_checked: int = 0
    hashes: dict[str, int] = field(default_factory=dict)
    identical: list[list[str]] = field(default_factory=list)
    neighbours: dict[SetName, float] = field(default_factory=dict)
    key: str = ""

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> InstanceCheck:
        """Rebuild a result from ``to_dict``'s result."""
        return cls(**{**value, "problems": [Problem(**problem) for problem in value["problems"]]})


def check_key(dataset: InstanceDataset, digests: Digests | None = None) -> str:
    """Digest all that a check depends on, to tell whether an earlier result still holds.

    Args:
        dataset: that was checked.
        digests: what is known of its files; None: all are hashed.

    Raises:
        DatasetError: a file cannot be read.
    """
    frames = [[frame.name, frame.group, frame.video, frame.number] for frame in dataset.frames]
    sets = [sorted((split or {}).items()) for split in (dataset.given_split, dataset.declared_split)]
    parts = [content_key(dataset, digests), frames, sets, [asdict(problem) for problem in dataset.problems]]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()


def check_instances(
    root: Path,
    *,
    group_by: str | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> InstanceCheck:
    """Open a dataset, read every frame and report every problem.

    Nothing that is wrong with the data raises an exception: a dataset that cannot be opened gives one error.

    Raises:
        SettingsError: ``group_by`` is no regular expression.
    """
    try:
        dataset = open_instances(root, group_by=group_by)
    except DatasetError as error:
        return InstanceCheck([Problem("error", "", "", str(error), "Mend this first: nothing else was checked.")])
    return check_opened(dataset, workers=workers, on_progress=on_progress)


def check_opened(
    dataset: InstanceDataset,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    visitor: Visitor | None = None,
) -> InstanceCheck:
    """Read every frame of an open dataset and report every problem, those of opening it included.

    Args:
        dataset: as ``open_instances`` gave it.
        workers: threads; None: one per processor, 8 at most.
        on_progress: called with the number of frames done and of all frames.
        visitor: called as ``visitor(frame, image)`` from the reading threads, so that others need not read again.
    """
    findings = Findings()
    contents = read_contents(dataset, findings, workers=workers, on_progress=on_progress, visitor=visitor)
    _look_at_polygons(dataset, findings)
    _look_at_categories(dataset, findings)
    _look_at_groups(dataset, findings)
    identical = _identical(dataset, contents)
    given = _as_split(dataset.given_split, "the folders of the dataset tell")
    declared = _as_split(dataset.declared_split, "a field of its images tells, which is not followed")
    _look_at_copies(dataset, contents, identical, given, findings)
    neighbours: dict[SetName, float] = {}
    for split in (given, declared):
        if split is not None:
            neighbours = neighbours or judge_split(dataset, split)
            _judge(dataset, split, findings)
    problems = sorted([*dataset.problems, *findings.problems()], key=lambda problem: problem.severity != "error")
    return InstanceCheck(problems, len(contents.hashes), contents.hashes, identical, neighbours)


def _look_at_polygons(dataset: InstanceDataset, findings: Findings) -> None:
    for frame in dataset.frames:
        for one in frame.instances:
            if isinstance(one.segmentation, list) and any(touches_itself(flat) for flat in one.segmentation):
                findings.add(
                    kinds.POLYGON_TOUCHES, "", f"{frame.name} ({_category(dataset, one.category)})", frame.name
                )


def _look_at_categories(dataset: InstanceDataset, findings: Findings) -> None:
    groups: dict[int, set[str]] = {}
    for frame in dataset.frames:
        for one in frame.instances:
            groups.setdefault(one.category, set()).add(frame.group)
    for category, name in enumerate(dataset.categories, start=1):
        found = len(groups.get(category, ()))
        if not found:
            findings.add(kinds.CATEGORY_EMPTY, "", repr(name))
        elif found < len(SET_NAMES) <= len(dataset.groups()):
            unit = "group" if dataset.grouped else "image"
            findings.add(kinds.RARE_CATEGORY, "", f"{name!r} in {counted(found, unit)}")


def _look_at_groups(dataset: InstanceDataset, findings: Findings) -> None:
    groups = dataset.groups()
    if dataset.given_split is None and len(groups) < len(SET_NAMES):
        findings.add(kinds.FEW_GROUPS, "", f"{counted(len(dataset.frames), 'frame')} of {some(list(groups))}")


def _identical(dataset: InstanceDataset, contents: Contents) -> list[list[str]]:
    same: dict[bytes, list[str]] = {}
    for frame in dataset.frames:
        if frame.name in contents.digests:
            same.setdefault(contents.digests[frame.name], []).append(frame.name)
    return [names for names in same.values() if len(names) > 1]


def _as_split(sets: Mapping[str, SetName] | None, source: str) -> Split | None:
    """Take sets that came with a dataset for a split; None where there is nothing to compare."""
    found: dict[SetName, list[str]] = {name: [] for name in SET_NAMES}
    for frame, place in (sets or {}).items():
        found[place].append(frame)
    others = found["validation"] or found["test"]
    return Split(seed=0, source=source, **found) if found["train"] and others else None


def _look_at_copies(
    dataset: InstanceDataset, contents: Contents, identical: list[list[str]], given: Split | None, findings: Findings
) -> None:
    """Name images that occur twice, and frames that look alike where no group keeps them in one set."""
    places = given.set_of() if given is not None else {}
    for first, *others in identical:
        for other in others:
            sets = {places.get(first, ""), places.get(other, "")}
            if "train" in sets and len(sets) > 1:
                findings.add(kinds.SAME_IN_TWO_SETS, "", f"{other} is {first}", other)
            elif dataset.frame(first).video != dataset.frame(other).video or not dataset.frame(other).video:
                # A video may well show the same picture twice.
                findings.add(kinds.SAME_IMAGE, "", f"{other} is {first}", other)
    if given is not None:
        _look_for_leaks(contents.hashes, given, kinds.ALIKE_IN_TWO_SETS, findings)
        return
    names = [frame.name for frame in dataset.frames if frame.name in contents.hashes]
    group_of = {frame.name: frame.group for frame in dataset.frames}
    hashes = [contents.hashes[name] for name in names]
    for index, near, _ in near_pairs(hashes, hashes):
        strangers = [names[other] for other in near if group_of[names[other]] != group_of[names[index]]]
        later = [name for name in strangers if name > names[index]]
        if later and contents.digests[later[0]] != contents.digests[names[index]]:
            findings.add(kinds.ALIKE_IN_TWO_GROUPS, "", f"{names[index]} and {later[0]}", names[index])


def _judge(dataset: InstanceDataset, split: Split, findings: Findings) -> None:
    """Judge a split that came with the dataset by neighbours in time; only where videos are known."""
    if not dataset.grouped:
        return
    for place, share in judge_split(dataset, split).items():
        if share >= _CONTRADICTIONS:
            example = f"{place}, {100 * share:.0f} % of its frames within {WINDOW} frames of one in training"
            findings.add(kinds.NEIGHBOURS_IN_TRAINING, "", f"{example} (as {split.source})")


def _look_for_leaks(hashes: Mapping[str, int], split: Split, kind: Kind, findings: Findings) -> None:
    for leak in near_duplicates(hashes, split):
        findings.add(kind, "", f"{leak.frame} in {leak.set} is like {leak.training}", leak.frame)


def _category(dataset: InstanceDataset, category: int) -> str:
    return dataset.categories[category - 1]
