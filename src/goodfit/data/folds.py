"""The folds of a cross-validation: nnU-Net's own, by group, or read from a splits_final.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from goodfit.data.balancing import divide
from goodfit.data.splits import Classed, Split, by_group, merge_groups, missing_classes, presence_table
from goodfit.data.wording import counted, some
from goodfit.errors import SplitError
from goodfit.files import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

FOLDS = 5
FOLD_SEED = 12345
"""nnU-Net: its five folds are shuffled with this seed."""
SPLITS_FILE = "splits_final.json"
"""nnU-Net: the name of the file that holds the folds."""
STOPPING_SHARE = 0.15
"""Share of a fold's training part that decides when to stop."""
FEWEST_STOPPING, MOST_STOPPING_SHARE = 2, 1 / 3
"""One case says little about when to stop; but most of the training part is there to be learned from."""
STOPPED_ON_FOLD = "the fold that is scored decided when to stop and which checkpoint is best"
TRAINED_ON_ALL = "every case was trained on, so the validation says nothing about new cases"


class Member(Protocol):
    """A case of a dataset of any kind."""

    @property
    def name(self) -> str:
        """Unique in the dataset."""
        ...

    @property
    def group(self) -> str:
        """What must not be divided."""
        ...


class Foldable(Classed, Protocol):
    """A dataset of any kind: volumes with labels, or frames with instances."""

    @property
    def root(self) -> Path:
        """Its folder."""
        ...

    @property
    def grouped(self) -> bool:
        """Whether groups were given, rather than one for each case."""
        ...

    @property
    def cases(self) -> Sequence[Member]:
        """The cases with labels."""
        ...

    def case(self, name: str) -> Member:
        """Find a case by name."""
        ...


@dataclass(frozen=True)
class Fold:
    """Names of the cases that a fold trains on and of those it is scored on, each sorted."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


@dataclass(frozen=True)
class Folds:
    """All folds of a cross-validation.

    Attributes:
        source: how they were made, in words.
        folds: fold 0 and so on.
        warnings: what the user should know of them, a sentence each.
    """

    source: str
    folds: tuple[Fold, ...]
    warnings: tuple[str, ...] = ()


def make_folds(dataset: Foldable, count: int = FOLDS) -> Folds:
    """Divide the labelled cases into folds; each case is in the validation part of one.

    nnU-Net: the sorted case names are shuffled with seed 12345 and cut into five parts of equal size, the first ones
    a case larger where that does not come out even (scikit-learn's ``KFold``). Without groups the folds are exactly
    these. Where groups are given, the groups are shuffled with that seed and cut where the parts have that many
    cases; with one case in each group that gives the same folds.

    Args:
        dataset: with its groups.
        count: number of folds; nnU-Net's are five.

    Raises:
        SplitError: there are fewer groups than folds.
    """
    names = sorted(case.name for case in dataset.cases)
    groups = list(by_group({name: dataset.case(name).group for name in names}).values())
    if len(groups) < count:
        what = counted(len(groups), "group" if dataset.grouped else "labelled case")
        raise SplitError(
            f"{dataset.root}: {what}, too few for {count} folds. Add cases, or hand in folds of your own with --splits FILE "
            f'(a list of {{"train": [...], "val": [...]}}).'
        )
    whole = _cut(groups, len(names), count)
    source = f"nnU-Net's folds: {count} parts of the sorted case names, shuffled with seed {FOLD_SEED}"
    if len(groups) < len(names):
        source = (
            f"{count} folds by group: {len(names)} cases in {len(groups)} groups, shuffled with seed {FOLD_SEED}. nnU-Net's "
            "own folds take no heed of groups, so these differ from them"
        )
    return Folds(
        source,
        tuple(Fold(tuple(name for name in names if name not in part), tuple(sorted(part))) for part in whole),
    )


def _cut(groups: Sequence[Sequence[str]], cases: int, count: int) -> list[set[str]]:
    """Shuffle groups and cut them into folds: each goes to the part in which its middle case falls."""
    order = np.arange(len(groups))
    np.random.RandomState(FOLD_SEED).shuffle(order)  # nnU-Net's folds come of this older generator
    ends = np.cumsum([cases // count + (part < cases % count) for part in range(count)])
    sizes = np.array([len(groups[index]) for index in order.tolist()])
    middles = np.cumsum(sizes) - sizes / 2
    chosen = np.searchsorted(ends, middles, side="right")
    if len(set(chosen.tolist())) < count:  # a group larger than a fold has left one empty: count groups, not cases
        chosen = np.arange(len(groups)) * count // len(groups)
    parts: list[set[str]] = [set() for _ in range(count)]
    for index, part in zip(order.tolist(), chosen.tolist(), strict=True):
        parts[part].update(groups[index])
    return parts


def find_splits(dataset: Foldable) -> Path | None:
    """Find a splits_final.json: in the dataset's folder, or where nnU-Net keeps its preprocessed data beside it."""
    name = dataset.root.name
    parents = [dataset.root.parent, *dataset.root.parent.parents[:1]]
    places = [dataset.root, *(parent / "nnUNet_preprocessed" / name for parent in parents)]
    return next((place / SPLITS_FILE for place in places if (place / SPLITS_FILE).is_file()), None)


def save_folds(folds: Folds, path: Path) -> None:
    """Write folds atomically, in nnU-Net's format."""
    write_json(path, [{"train": list(fold.train), "val": list(fold.validation)} for fold in folds.folds])


def load_folds(path: Path, dataset: Foldable) -> Folds:
    """Read nnU-Net's splits_final.json: a list of ``{"train": [...], "val": [...]}``.

    Cases that no fold, or more than one, is scored on are warned about.

    Raises:
        SplitError: the file is missing or something else, names cases that are not there or a case twice, has an
            empty part, or trains and scores a fold on the same case or group.
    """
    content = read_json(path, SplitError)
    if not isinstance(content, list) or not content:
        raise SplitError(f'{path}: these are no folds; a list of {{"train": [...], "val": [...]}} is expected.')
    folds = tuple(_parse(entry, f"{path}: fold {number}") for number, entry in enumerate(content))
    known = {case.name for case in dataset.cases}
    for number, fold in enumerate(folds):
        _require_honest(fold, known, dataset, f"{path}: fold {number}")
    return Folds(f"{counted(len(folds), 'fold')} of {path}", folds, tuple(_remarks(folds, known, path)))


def _parse(entry: object, place: str) -> Fold:
    value: dict[str, Any] = entry if isinstance(entry, dict) else {}
    parts = []
    for key in ("train", "val"):
        names = value.get(key)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise SplitError(f"{place}: {key} should be a list of case names.")
        if not names:
            raise SplitError(f"{place}: {key} is empty. Put at least one case into it.")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SplitError(f"{place}: {key} names {some(twice)} more than once.")
        parts.append(tuple(sorted(names)))
    return Fold(*parts)


def _require_honest(fold: Fold, known: set[str], dataset: Foldable, place: str) -> None:
    unknown = sorted({*fold.train, *fold.validation} - known)
    if unknown:
        raise SplitError(
            f"{place}: names cases that are not among the labelled ones of {dataset.root}: {some(unknown)}."
        )
    both = sorted({*fold.train} & {*fold.validation})
    if both:
        raise SplitError(f"{place}: {some(both)} in train and in val. To train on every case, write --folds all.")
    divided = sorted(
        {dataset.case(name).group for name in fold.train} & {dataset.case(name).group for name in fold.validation}
    )
    if divided:
        raise SplitError(
            f"{place}: divides the group {some(divided)} between train and val, so the score would not be of unseen groups. "
            "Move all its cases to one side, or remove the file to have folds made by group."
        )


def _remarks(folds: Sequence[Fold], known: Iterable[str], path: Path) -> Iterator[str]:
    names = sorted(known)
    times = {name: sum(name in fold.validation for fold in folds) for name in names}
    never = [name for name in names if times[name] == 0]
    often = [name for name in names if times[name] > 1]
    if never:
        yield f"{path}: {counted(len(never), 'case')} never scored, being in the val of no fold: {some(never)}."
    if often:
        yield f"{path}: {counted(len(often), 'case')} in the val of more than one fold, scored in each: {some(often)}."
    for number, fold in enumerate(folds):
        idle = [name for name in names if name not in fold.train and name not in fold.validation]
        if idle:
            yield f"{path}: fold {number} leaves {counted(len(idle), 'case')} unused: {some(idle)}."


def fold_split(
    folds: Folds,
    fold: int,
    dataset: Foldable,
    *,
    seed: int = 0,
    share: float = STOPPING_SHARE,
    class_presence: Mapping[str, Mapping[int, int]] | None = None,
    identical: Sequence[Sequence[str]] = (),
    stop_on_fold: bool = False,
) -> Split:
    """Make the split that trains a fold: the test set is the fold, untouched until it is scored.

    The stopping set (validation) is carved out of the fold's training part, by group and with the classes balanced:
    the share given, but two cases where that leaves twice as many to learn from.

    Args:
        folds: of the cross-validation.
        fold: which of them, from 0.
        dataset: the dataset, with its groups.
        seed: equal seeds carve equal stopping sets.
        share: of the training part for the stopping set, in (0, 1).
        class_presence: case -> label value -> voxels (``CheckResult.voxels``), to balance the classes.
        identical: cases that hold one and the same image (``CheckResult.identical``): copies of the fold's cases are
            left out of its training.
        stop_on_fold: take the fold itself as stopping set, as a marked, optimistic split.

    Raises:
        SplitError: there is no such fold, or its training part is a single group.
    """
    if not 0 <= fold < len(folds.folds):
        raise SplitError(f"there is no fold {fold}; there are 0 to {len(folds.folds) - 1}.")
    test = folds.folds[fold].validation
    copies = {name: same for same in identical for name in same if not {*same}.isdisjoint(test)}
    train = [name for name in folds.folds[fold].train if name not in copies]
    warnings = [
        f"{name} is the same image as {some([case for case in copies[name] if case in test])} of fold {fold} and is left "
        "out of its training."
        for name in folds.folds[fold].train
        if name in copies
    ]
    source = f"fold {fold} of {len(folds.folds)}; {folds.source}"
    reasons = {"test": f"the {counted(len(test), 'case')} of fold {fold}"}
    used = [*train, *test]
    groups = {name: dataset.case(name).group for name in used} if dataset.grouped else {}
    if stop_on_fold:
        if not train:
            raise SplitError(f"fold {fold}: no case is left to train on.")
        return Split(
            seed=seed,
            source=source,
            train=train,
            validation=list(test),
            test=list(test),
            groups=groups,
            warnings=warnings,
            reasons={"validation": "the fold itself, as asked for with --stop-on-fold", **reasons},
            optimistic=True,
            optimistic_reason=STOPPED_ON_FOLD,
        )
    merged = merge_groups({name: dataset.case(name).group for name in train}, identical)
    members = sorted(by_group(merged).items())
    if len(members) < 2:
        raise SplitError(
            f"fold {fold}: the training part is {counted(len(members), 'group')}, from which no stopping set can be taken. "
            "Add cases, or use --stop-on-fold, which marks the scores as optimistic."
        )
    wanted = max(share, min(FEWEST_STOPPING / len(train), MOST_STOPPING_SHARE))
    presence, classes = presence_table([cases for _, cases in members], dataset, class_presence)
    rng = np.random.default_rng([seed, fold])
    assigned = divide([len(cases) for _, cases in members], presence, [1 - wanted, wanted], rng)
    parts: tuple[list[str], list[str]] = ([], [])
    for (_, cases), part in zip(members, assigned, strict=True):
        parts[part].extend(cases)
    learned, stopping = (sorted(part) for part in parts)
    reasons["validation"] = (
        f"{len(stopping)} of the {counted(len(train), 'case')} outside the fold, drawn with seed {seed}: they decide when to "
        "stop, so that the fold does not"
    )
    return Split(
        seed=seed,
        source=source,
        train=learned,
        validation=stopping,
        test=list(test),
        groups=groups | {name: group for name, group in merged.items() if group != name},
        warnings=[*warnings, *missing_classes(presence, classes, assigned, ["train", "validation"])],
        reasons=reasons,
    )


def all_split(dataset: Foldable, *, seed: int = 0) -> Split:
    """Train on every labelled case (nnU-Net: the fold "all"); the same cases validate, and none is left for a test."""
    names = [case.name for case in dataset.cases]
    return Split(
        seed=seed,
        source=f"all {counted(len(names), 'case')}, as nnU-Net's fold all",
        train=names,
        validation=list(names),
        test=[],
        groups={case.name: case.group for case in dataset.cases} if dataset.grouped else {},
        reasons={"validation": "the training cases again: they show that the network learns, not how good it is"},
        optimistic=True,
        optimistic_reason=TRAINED_ON_ALL,
    )
