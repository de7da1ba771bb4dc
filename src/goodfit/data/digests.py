"""Digests of source files, remembered by size and time so that nothing is hashed twice."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from goodfit.errors import DatasetError
from goodfit.files import write_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_BLOCK = 1 << 20
_DIGEST_BYTES = 16


def digest_file(path: Path) -> str:
    """Hex digest of the content of a file."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


class Digests:
    """Which content a file had when it was last looked at; may be used by several threads.

    The file that remembers it only saves time: where it is missing or damaged, sources are hashed again.

    As a context, it is saved at the end, whatever happened.

    Args:
        path: of that file; None: remembered by this object alone.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._changed = False
        self._known: dict[str, tuple[int, int, str]] = {}
        if path is None:
            return
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            self._known = {name: (int(size), int(time), str(digest)) for name, (size, time, digest) in content.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            self._known = {}

    def __enter__(self) -> Digests:
        return self

    def __exit__(self, *_: object) -> None:
        self.save()

    def of(self, path: Path) -> str:
        """Hex digest of the content of a file, hashed only where its size or time have changed.

        Raises:
            OSError: the file cannot be read.
        """
        status = path.stat()
        name = str(path.absolute())
        size, time, digest = self._known.get(name, (-1, -1, ""))
        if (size, time) != (status.st_size, status.st_mtime_ns):
            digest = digest_file(path)
            with self._lock:
                self._known[name] = (status.st_size, status.st_mtime_ns, digest)
                self._changed = True
        return digest

    def require(self, path: Path) -> str:
        """Hex digest of the content of a file, as ``of`` gives it.

        Raises:
            DatasetError: the file cannot be read.
        """
        try:
            return self.of(path)
        except OSError as error:
            raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from error

    def of_all(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Hex digest of each of many files; several threads hash them.

        Raises:
            DatasetError: a file cannot be read.
        """
        distinct = list(dict.fromkeys(paths))
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="digest") as pool:
            return dict(zip(distinct, pool.map(self.require, distinct), strict=True))

    def save(self) -> None:
        """Write what is new to the disk."""
        with self._lock:
            if self._changed and self._path is not None:
                write_text(self._path, json.dumps(self._known, separators=(",", ":")))
                self._changed = False
