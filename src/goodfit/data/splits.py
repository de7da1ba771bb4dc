"""Which cases train, validate and test: made by group and seed, kept in splits.json, which a user may edit."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from goodfit.data.balancing import divide
from goodfit.data.wording import counted, some
from goodfit.errors import SplitError
from goodfit.files import read_json, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from goodfit.data.dataset import Case, Dataset

logger = logging.getLogger(__name__)

SPLIT_VERSION: Literal[1] = 1
SetName = Literal["train", "validation", "test"]
SET_NAMES: tuple[SetName, ...] = ("train", "validation", "test")


class Split(BaseModel):
    """All of splits.json."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = SPLIT_VERSION
    seed: int
    source: str
    """How the split was made, in words."""
    train: list[str]
    validation: list[str]
    """Decides when to stop and which checkpoint is best."""
    test: list[str]
    """Scored once, at the end."""
    groups: dict[str, str] = Field(default_factory=dict)
    """Case -> group, where groups were given."""
    warnings: list[str] = Field(default_factory=list)
    reasons: dict[str, str] = Field(default_factory=dict)
    optimistic: bool = False
    """The set that is scored also decides (or trains): validation may then equal test, or train with test empty."""
    optimistic_reason: str = ""
    """Why, in a sentence."""

    def sets(self) -> dict[SetName, list[str]]:
        """The three sets by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def set_of(self) -> dict[str, SetName]:
        """Case -> the set it is in; of two sets that an optimistic split lets coincide, the later one."""
        return {case: name for name, cases in self.sets().items() for case in cases}

    def apart(self) -> dict[SetName, list[str]]:
        """The sets that must have no case in common: all, but for what an optimistic split does on purpose."""
        if self.optimistic and not self.test and sorted(self.validation) == sorted(self.train):
            return {"train": self.train}
        if self.optimistic and sorted(self.validation) == sorted(self.test):
            return {"train": self.train, "test": self.test}
        return self.sets()


def make_split(
    dataset: Dataset,
    *,
    seed: int = 0,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    class_presence: Mapping[str, Mapping[int, int]] | None = None,
    identical: Sequence[Sequence[str]] = (),
) -> Split:
    """Divide the labelled cases into train, validation and test.

    Labelled test cases (imagesTs with labelsTs) are the test set where there are any; the rest is then divided
    between train and validation in the proportion of their fractions.

    Args:
        dataset: the dataset, with its groups.
        seed: equal seeds give equal splits.
        fractions: shares of the cases for train, validation and test, each above 0.
        class_presence: case -> label value -> voxels (``CheckResult.voxels``), to balance the classes.
        identical: cases that hold one and the same image (``CheckResult.identical``): their groups stay together.

    Raises:
        SplitError: there are too few groups, a group is in imagesTr and imagesTs, or a fraction is not above 0.
    """
    if min(fractions) <= 0:
        raise SplitError(f"fractions {fractions}: each of train, validation and test needs a share above 0.")
    given_test = [case for case in dataset.test_cases if case.label is not None]
    names: list[SetName] = ["train", "validation"] if given_test else list(SET_NAMES)
    group_of = merge_groups({case.name: case.group for case in dataset.cases}, identical)
    groups = by_group(group_of)
    _require_groups(dataset, groups, given_test, len(names))
    shares = [share / sum(fractions[: len(names)]) for share in fractions[: len(names)]]
    members = sorted(groups.items())
    presence, classes = presence_table([cases for _, cases in members], dataset, class_presence)
    rng = np.random.default_rng(seed)
    assigned = divide([len(cases) for _, cases in members], presence, shares, rng)
    sets: dict[SetName, list[str]] = {name: [] for name in SET_NAMES}
    for (_, cases), index in zip(members, assigned, strict=True):
        sets[names[index]] += cases
    sets["test"] += [case.name for case in given_test]
    group_counts = Counter({names[index]: int((assigned == index).sum()) for index in range(len(names))})
    told = {case.name: case.group for case in given_test} | group_of if dataset.grouped else group_of
    return Split(
        seed=seed,
        source=_source(dataset, shares, bool(given_test)),
        train=sorted(sets["train"]),
        validation=sorted(sets["validation"]),
        test=sorted(sets["test"]),
        groups={case: group for case, group in told.items() if dataset.grouped or group != case},
        warnings=missing_classes(presence, classes, assigned, names),
        reasons=_reasons(sets, group_counts, dataset, seed),
    )


def merge_groups(group_of: Mapping[str, str], identical: Sequence[Sequence[str]]) -> dict[str, str]:
    """Join the groups of cases that hold the same image.

    Args:
        group_of: case -> group.
        identical: lists of cases; names that ``group_of`` does not have are passed over.

    Returns:
        Case -> group; joined groups bear all their names ("a + b").
    """
    joined: dict[str, set[str]] = {group: {group} for group in group_of.values()}
    for names in identical:
        union = set().union(*(joined[group_of[name]] for name in names if name in group_of))
        for group in union:
            joined[group] = union
    return {case: " + ".join(sorted(joined[group])) for case, group in group_of.items()}


def by_group(group_of: Mapping[str, str]) -> dict[str, list[str]]:
    """Turn case -> group into group -> cases."""
    groups: dict[str, list[str]] = {}
    for case, group in group_of.items():
        groups.setdefault(group, []).append(case)
    return groups


def _require_groups(
    dataset: Dataset, groups: Mapping[str, Sequence[str]], given_test: Sequence[Case], needed: int
) -> None:
    shared = sorted({case.group for case in given_test} & {case.group for case in dataset.cases})
    if shared:
        raise SplitError(
            f"{dataset.root}: group {some(shared)} is in imagesTr and in imagesTs, so the test would not be on unseen "
            "groups. Move all its cases to one side, or correct the groups."
        )
    if len(groups) >= needed:
        return
    sets = "train and validation" if given_test else "train, validation and test"
    if dataset.grouped and len(dataset.cases) > len(groups):
        how = f"{len(dataset.cases)} cases in {counted(len(groups), 'group')}"
        ways = "Add cases of further groups, or correct groups.json (or --group-by) if the groups are finer than that"
    else:
        how = counted(len(groups), "labelled case")
        ways = "Add labelled cases"
    more = "" if given_test else "; with test cases in imagesTs and labelsTs two groups are enough"
    raise SplitError(f"{dataset.root}: {how}, at least {needed} groups are needed for {sets}. {ways}{more}.")


class Classed(Protocol):
    """A dataset of any kind, as far as its classes go."""

    @property
    def class_values(self) -> Mapping[str, Sequence[int]]:
        """Class -> the label values, or the number of the category, that it stands for."""
        ...


def presence_table(
    members: Sequence[Sequence[str]], dataset: Classed, voxels: Mapping[str, Mapping[int, int]] | None
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.int64]], list[str]]:
    """Count the cases of each group that hold each class, (G, K), and name the classes."""
    if voxels is None:
        return np.zeros((len(members), 0), dtype=np.int64), []
    classes = dataset.class_values
    table = np.zeros((len(members), len(classes)), dtype=np.int64)
    for row, cases in enumerate(members):
        for column, values in enumerate(classes.values()):
            table[row, column] = sum(any(voxels.get(case, {}).get(value, 0) for value in values) for case in cases)
    return table, list(classes)


def missing_classes(
    presence: np.ndarray[tuple[int, int], np.dtype[np.int64]],
    classes: Sequence[str],
    assigned: np.ndarray[tuple[int], np.dtype[np.int64]],
    names: Sequence[SetName],
) -> list[str]:
    """Name the classes that a set lacks, one sentence each.

    Args:
        presence: of ``presence_table``, (G, K).
        classes: their names, (K,).
        assigned: index of each group's set, (G,).
        names: of the sets.
    """
    warnings = []
    for column, label in enumerate(classes):
        lacking = [name for index, name in enumerate(names) if not presence[assigned == index, column].any()]
        if lacking:
            groups = int((presence[:, column] > 0).sum())
            warnings.append(
                f"class {label!r} does not occur in {' and '.join(lacking)}; it is in {counted(groups, 'group')}."
            )
    return warnings


def _source(dataset: Dataset, shares: Sequence[float], given_test: bool) -> str:
    percents = " / ".join(f"{100 * share:.0f}" for share in shares)
    unit = "group" if dataset.grouped else "case"
    if given_test:
        return f"{percents} train / validation by {unit}; test is imagesTs with labelsTs"
    return f"{percents} train / validation / test by {unit}"


def _reasons(
    sets: Mapping[SetName, Sequence[str]], group_counts: Mapping[SetName, int], dataset: Dataset, seed: int
) -> dict[str, str]:
    total = sum(len(cases) for cases in sets.values())
    reasons: dict[str, str] = {}
    for name, cases in sets.items():
        if name not in group_counts:
            reasons[name] = f"all {counted(len(cases), 'labelled case')} of imagesTs"
            continue
        of_groups = f" in {counted(group_counts[name], 'group')}" if dataset.grouped else ""
        reasons[name] = f"{len(cases)} of {counted(total, 'case')}{of_groups}, drawn with seed {seed}"
    return reasons


def save_split(split: Split, path: Path) -> None:
    """Write splits.json atomically."""
    write_text(path, split.model_dump_json(indent=2) + "\n")


def load_split(path: Path, dataset: Dataset) -> Split:
    """Read splits.json, which may have been edited, and check it against the dataset.

    Cases that are in no set are left out of the run; a log message says how many.

    Raises:
        SplitError: the file is missing or is no split, names cases that are not there or have no label, names a
            case twice, divides a group, or has an empty set.
    """
    try:
        split = Split.model_validate(read_json(path, SplitError))
    except ValidationError as error:
        fields = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'all'}: {item['msg']}" for item in error.errors())
        raise SplitError(
            f"{path}: not a split ({fields}). Mend the file, or delete it to have it made anew."
        ) from error
    _validate(split, path, dataset)
    left_out = len({case.name for case in dataset.cases} - split.set_of().keys())
    if left_out:
        logger.warning("%s: %d labelled cases are in no set and are not used", path, left_out)
    return split


def _validate(split: Split, path: Path, dataset: Dataset) -> None:
    cases = {case.name: case for case in (*dataset.test_cases, *dataset.cases)}
    for name, members in split.sets().items():
        if not members and name in split.apart():
            raise SplitError(f"{path}: {name} is empty. Put at least one case into it.")
        unknown = [case for case in members if case not in cases]
        if unknown:
            raise SplitError(f"{path}: {name} names cases that the dataset does not have: {some(unknown)}.")
        bare = [case for case in members if cases[case].label is None]
        if bare:
            raise SplitError(f"{path}: {name} names cases without a label: {some(bare)}.")
    places: dict[str, list[str]] = {}
    owners: dict[tuple[str, str], set[str]] = {}
    for name, members in split.apart().items():
        for case in members:
            places.setdefault(case, []).append(name)
            # The file keeps the groups it was made with; the dataset may have been given others since.
            owners.setdefault(("dataset", cases[case].group), set()).add(name)
            owners.setdefault(("split", split.groups.get(case, case)), set()).add(name)
    twice = [f"{case} ({' and '.join(names)})" for case, names in places.items() if len(names) > 1]
    if twice:
        raise SplitError(f"{path}: a case must be in one set only, and once: {some(twice)}.")
    divided = sorted(
        {f"{group} ({' and '.join(sorted(sets))})" for (_, group), sets in owners.items() if len(sets) > 1}
    )
    if divided:
        raise SplitError(f"{path}: a group must be in one set only: {some(divided)}. Move all its cases to one set.")
