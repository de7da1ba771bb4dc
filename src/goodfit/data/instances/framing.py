"""The last step of reading: frames get their names, groups and places in time."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.data.instances import kinds
from goodfit.data.instances.model import Frame, VideoSource
from goodfit.data.splits import merge_groups
from goodfit.data.wording import some

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.data.instances.coco import RawFile
    from goodfit.data.instances.findings import Findings
    from goodfit.data.instances.reading import Draft

_LONGEST_NAME = 150
_NUMBERS = re.compile(r"(\d+)")
_FEWEST_IN_SEQUENCE = 5
_FEWEST_FILES = 3


def numbered_apart(files: Sequence[RawFile]) -> bool:
    """Whether several files number their videos each by itself; sets of one dataset number them together."""
    return len(files) > 1 and any(file.file.given_set is None for file in files)


def make_frames(
    drafts: Sequence[Draft], root: Path, files: Sequence[RawFile], findings: Findings, *, by_expression: bool
) -> tuple[list[Frame], bool, list[str]]:
    """Make the frames, in the order of the drafts.

    Args:
        drafts: each with a source and a size.
        root: the dataset's folder.
        files: the files that list them.
        findings: takes the problems.
        by_expression: the groups come from ``--group-by``.

    Returns:
        The frames, whether they have groups, and notes.
    """
    notes = []
    names = _names(drafts, root)
    groups: list[str | None] = [draft.place.group for draft in drafts]
    if not any(groups) and not by_expression and _file_per_video(drafts, files):
        places = {file.shown: file.place for file in files}
        groups = [places[draft.shown] for draft in drafts]
        told = some(sorted(set(places.values())))
        notes.append(f"nothing names a video: the frames of one annotation file are one group ({told})")
    grouped = any(groups)
    for draft, group in zip(drafts, groups, strict=True):
        if grouped and not group and not by_expression:
            findings.add(kinds.NO_GROUP, draft.shown, draft.label)
    group_of = {name: group or name for name, group in zip(names, groups, strict=True)}
    group_of = _with_whole_videos(group_of, drafts, names, findings)
    numbers = _numbers(drafts, [group_of[name] for name in names])
    if not grouped:
        _look_for_sequences(drafts, findings)
    frames = []
    for draft, name, number in zip(drafts, names, numbers, strict=True):
        place, size = draft.place, draft.size
        assert place.source is not None
        assert size is not None
        instances, time = tuple(draft.instances), place.time
        frames.append(Frame(name, group_of[name], number, time, *size, place.source, instances, place.video))
    return frames, grouped, notes


def _file_per_video(drafts: Sequence[Draft], files: Sequence[RawFile]) -> bool:
    """Whether files seem to be of one video each: in folders of their own, or several, and with no image in common."""
    if len(files) < 2 or not numbered_apart(files) or any(draft.shared for draft in drafts):
        return False
    return len(files) >= _FEWEST_FILES or len({file.file.base for file in files}) == len(files)


def _names(drafts: Sequence[Draft], root: Path) -> list[str]:
    """Name the frames by their files, without a leading images/; the same name again gets a number."""
    names: list[str] = []
    taken: set[str] = set()
    for draft in drafts:
        source = draft.place.source
        assert source is not None
        below = source.path.is_relative_to(root)
        parts = source.path.relative_to(root).with_suffix("").parts if below else (source.path.stem,)
        parts = parts[1:] if len(parts) > 1 and parts[0].lower() in ("images", "videos") else parts
        name = re.sub(r"[^\w.\-]+", "_", "_".join(parts))
        if len(name) > _LONGEST_NAME:
            digest = hashlib.blake2b("/".join(parts).encode(), digest_size=4).hexdigest()
            name = f"{name[-_LONGEST_NAME:]}_{digest}"
        if isinstance(source, VideoSource):
            name = f"{name}_{source.frame:06d}"
        unique, count = name, 1
        while unique.lower() in taken:
            count += 1
            unique = f"{name}_{count}"
        taken.add(unique.lower())
        names.append(unique)
    return names


def _with_whole_videos(
    group_of: dict[str, str], drafts: Sequence[Draft], names: Sequence[str], findings: Findings
) -> dict[str, str]:
    """Join groups that share a video, and those whose frames come from one video file."""
    videos: dict[str, list[int]] = {}
    for index, draft in enumerate(drafts):
        source = draft.place.source
        if draft.place.video:
            videos.setdefault(f"name {draft.place.video}", []).append(index)
        if isinstance(source, VideoSource):
            videos.setdefault(f"file {source.path}", []).append(index)
    together = []
    for members in videos.values():
        groups = sorted({group_of[names[index]] for index in members})
        if len(groups) > 1:
            draft = drafts[members[0]]
            example = f"{draft.place.video} in {some(groups, 3)}"
            findings.add(kinds.VIDEO_IN_TWO_GROUPS, draft.shown, example)
            together.append([names[index] for index in members])
    return merge_groups(group_of, together) if together else group_of


def _numbers(drafts: Sequence[Draft], groups: Sequence[str]) -> list[int]:
    """Give each frame its number in its video; without one, its place in the natural order of names."""
    numbers = [draft.place.number for draft in drafts]
    members: dict[tuple[str, str], list[int]] = {}
    for index, draft in enumerate(drafts):
        members.setdefault((groups[index], draft.place.video), []).append(index)
    for indices in members.values():
        if any(numbers[index] is None for index in indices):
            for number, index in enumerate(sorted(indices, key=lambda index: _natural(drafts[index].label))):
                numbers[index] = number
    return [number or 0 for number in numbers]


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that takes runs of digits as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _NUMBERS.split(name)]


def _look_for_sequences(drafts: Sequence[Draft], findings: Findings) -> None:
    """Note names like patient3_0001 ... patient3_0200 where nothing says that they are one video."""
    starts = Counter(re.sub(r"\d+$", "", Path(draft.label).with_suffix("").as_posix()) for draft in drafts)
    sequences = sorted(start for start, count in starts.items() if count >= _FEWEST_IN_SEQUENCE and start[-1:] in "_-.")
    covered = sum(starts[start] for start in sequences)
    if len(sequences) > 1 and covered > len(drafts) / 2:
        findings.add(kinds.LOOKS_LIKE_VIDEO, drafts[0].shown, some([f"{start}*" for start in sequences], 3))
