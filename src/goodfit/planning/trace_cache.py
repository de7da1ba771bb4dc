"""Traces of earlier calls, kept in a file: what a step allocates depends on the code and the plan alone."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodfit.errors import PlanError
from goodfit.files import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

FILE = "memory.json"
MOST_ENTRIES = 100
_LIBRARIES = ("torch", "torchvision", "dynamic-network-architectures")

Lines = tuple[tuple[float, float], ...]


def trace_key(settings: object, modules: Iterable[ModuleType]) -> str:
    """Digest of what a trace depends on.

    Args:
        settings: network, patch, optimizer, precision and so on; its ``repr`` tells it all.
        modules: whose code is traced, or traces.
    """
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=12)
    for library in _LIBRARIES:
        digest.update(f"{library} {metadata.version(library)}".encode())
    for module in modules:
        assert module.__file__ is not None, f"{module.__name__} has no file"
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()


def remembered(folder: Path | None, key: str, trace: Callable[[], Lines]) -> Lines:
    """Give the lines of an earlier call, or trace now and keep them."""
    lines = recall(folder, key)
    if lines is None:
        lines = trace()
        keep(folder, key, lines)
    return lines


def recall(folder: Path | None, key: str) -> Lines | None:
    """Give the lines of an earlier call, or None."""
    if folder is None:
        return None
    found = _entries(folder).get(key)
    return None if found is None else tuple((float(fixed), float(each)) for fixed, each in found)


def keep(folder: Path | None, key: str, lines: Lines) -> None:
    """Add lines to the file; the oldest make room."""
    if folder is None:
        return
    entries = {**_entries(folder), key: [list(line) for line in lines]}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, dict(list(entries.items())[-MOST_ENTRIES:]))


def _entries(folder: Path) -> dict[str, Any]:
    """What the file holds; a file that was cut off or edited into something else counts as none."""
    try:
        value = read_json(folder / FILE, PlanError)
    except PlanError:
        return {}
    return value if isinstance(value, dict) else {}
