"""The files below a dataset folder, to be found by names that annotation tools wrote on another computer."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from goodfit.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VIDEO_ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm", ".mpg", ".mpeg")


class AmbiguousNameError(DatasetError):
    """A name fits several files equally well."""


def is_video_name(name: str) -> bool:
    """Whether a file name ends as a video's."""
    return name.lower().endswith(VIDEO_ENDINGS)


class Folder:
    """An index of the files below a folder; read at the first question that needs it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_name: dict[str, list[Path]] | None = None

    def image(self, name: str, base: Path, hint: str = "") -> Path | None:
        """Find an image.

        A relative path is found only where its folder fits too: frame 7 of a video that is missing must not become
        frame 7 of another.

        Args:
            name: as annotations name it: relative to ``base`` or the root or their images/, or a path of elsewhere
                whose end fits.
            base: folder that names are relative to in the first place.
            hint: text that decides between files of one name: the folder whose name it contains wins.

        Raises:
            AmbiguousNameError: several files fit.
        """
        parts = _parts(name)
        if not parts:
            return None
        relative = Path(*parts)
        for start in (base, base / "images", self.root, self.root / "images"):
            if (start / relative).is_file():
                return start / relative
        found = self._files().get(parts[-1].lower(), [])
        if len(parts) > 1 and not _is_foreign(name):
            found = [path for path in found if path.parent.name.lower() == parts[-2].lower()]
        return _best(found, parts, base, hint)

    def video(self, name: str) -> Path | None:
        """Find a video by path, name or stem.

        Raises:
            AmbiguousNameError: several files fit.
        """
        parts = _parts(name)
        if not parts:
            return None
        direct = self.root / Path(*parts)
        if is_video_name(parts[-1]) and direct.is_file():
            return direct
        endings = ("",) if is_video_name(parts[-1]) else VIDEO_ENDINGS
        found = [path for ending in endings for path in self._files().get(parts[-1].lower() + ending, [])]
        return _best(found, parts, self.root, "")

    def videos(self) -> list[Path]:
        """List all videos, by path."""
        found = [path for name, paths in self._files().items() if is_video_name(name) for path in paths]
        return sorted(found)

    def _files(self) -> dict[str, list[Path]]:
        if self._by_name is None:
            self._by_name = {}
            for path in _walk(self.root):
                self._by_name.setdefault(path.name.lower(), []).append(path)
        return self._by_name


def _walk(root: Path) -> Iterator[Path]:
    """List files, also behind links to folders, but each folder once."""
    seen = set()
    for here, folders, files in os.walk(root, followlinks=True):
        place = os.path.realpath(here)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(here, name)


def _parts(name: str) -> tuple[str, ...]:
    """Split a path of any system; drive, root and steps upwards are left out."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return tuple(part for part in parts if part not in ("/", "..", ".") and not part.endswith(":"))


def _is_foreign(name: str) -> bool:
    """Whether a path starts outside the dataset, so that its folders tell nothing."""
    return name.startswith(("/", "\\", "..")) or name[1:2] == ":"


def _best(found: Sequence[Path], parts: Sequence[str], base: Path, hint: str) -> Path | None:
    if len(found) <= 1:
        return found[0] if found else None

    def rank(path: Path) -> tuple[int, int, int]:
        below = path.is_relative_to(base)
        folders = path.relative_to(base).parts[:-1] if below else path.parts[:-1]
        hinted = max((len(folder) for folder in folders if hint and folder.lower() in hint.lower()), default=0)
        return (_shared_end(path.with_suffix("").parts, PurePosixPath(*parts).with_suffix("").parts), below, hinted)

    ranked = sorted(found, key=rank, reverse=True)
    if rank(ranked[0]) == rank(ranked[1]):
        raise AmbiguousNameError(f"{'/'.join(parts)} fits {ranked[0]} and {ranked[1]}")
    return ranked[0]


def _shared_end(path: Sequence[str], name: Sequence[str]) -> int:
    count = 0
    for one, other in zip(reversed(path), reversed(name), strict=False):
        if one.lower() != other.lower():
            break
        count += 1
    return count
