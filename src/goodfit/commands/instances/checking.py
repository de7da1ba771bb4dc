"""The check of a dataset of frames, remembered while the dataset stays the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from goodfit.commands.places import known_digests
from goodfit.data.instances.checks import InstanceCheck, check_key, check_opened
from goodfit.data.instances.leakage import near_duplicates
from goodfit.data.wording import counted
from goodfit.errors import DatasetError
from goodfit.files import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from goodfit.data.digests import Digests
    from goodfit.data.instances.dataset import InstanceDataset
    from goodfit.data.instances.leakage import Leak
    from goodfit.data.splits import Split
    from goodfit.observer import Observer

_MOST_LEAKS = 5
_MOST_ERRORS = 5


def checked(dataset: InstanceDataset, cache: Path, observer: Observer, *, fresh: bool) -> InstanceCheck:
    """Check a dataset, or recall the result of an earlier call while nothing has changed.

    Raises:
        DatasetError: there are errors; shows the first and names the command that lists them all.
    """
    with known_digests(cache) as digests:
        result = _recall_or_check(dataset, cache / "check.json", observer, digests, fresh=fresh)
    if result.errors:
        first = "\n".join(f"  {error.sentence}" for error in result.errors[:_MOST_ERRORS])
        left = len(result.errors) - _MOST_ERRORS
        more = f"\n  ... and {left} more" if left > 0 else ""
        raise DatasetError(
            f"{dataset.root}: {counted(len(result.errors), 'problem')} to be mended first (`goodfit check {dataset.root}` "
            f"lists all):\n{first}{more}"
        )
    return result


def _recall_or_check(
    dataset: InstanceDataset, file: Path, observer: Observer, digests: Digests, *, fresh: bool
) -> InstanceCheck:
    if file.is_file() and not fresh:
        recalled = InstanceCheck.from_dict(read_json(file, DatasetError))
        if recalled.key == check_key(dataset, digests):
            observer.note(f"check of {counted(len(dataset.frames), 'frame')}: as before, the dataset has not changed")
            return recalled
    observer.stage("check")
    result = check_opened(dataset, on_progress=observer.advance)
    if result.ok:
        result = replace(result, key=check_key(dataset, digests))
        write_json(file, result.to_dict())
    return result


def _advice(groups: Mapping[str, str], leak: Leak) -> str:
    """Say what would help: nothing, where both are of one video that had to be cut."""
    known = groups.get(leak.frame)
    return "" if known is not None and known == groups.get(leak.training) else " Put both into one group."


def leaks(result: InstanceCheck, split: Split) -> list[str]:
    """Say which frames of validation and test look like a training frame: the first ones, and how many more."""
    found = near_duplicates(result.hashes, split)
    lines = [
        f"warning: {leak.frame} ({leak.set}) looks like the training frame {leak.training} ({leak.distance} of 64 bits "
        f"differ): its score says little about new videos.{_advice(split.groups, leak)}"
        for leak in found[:_MOST_LEAKS]
    ]
    if len(found) > _MOST_LEAKS:
        lines.append(f"warning: so do {len(found) - _MOST_LEAKS} more frames of validation and test.")
    return lines
