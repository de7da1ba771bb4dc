"""Reading Detectron2's YAML configs with their ``_BASE_`` chains; nothing in a file is ever executed."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path
from typing import Any

import yaml

from goodfit.errors import SettingsError

BASE_KEY = "_BASE_"
LONGEST_CHAIN = 20
LARGEST_FILE = 2**17
"""Bytes; a config with every key has ten thousand."""
DEEPEST = 20
"""Lists and sections within each other."""
LONGEST_LITERAL = 10_000
"""Characters of a text that is read as a Python literal."""


def read_config(file: Path) -> dict[str, Any]:
    """Read a config and its bases, and give all values by their full key ("SOLVER.MAX_ITER").

    As in Detectron2 a base is named relative to the file that names it, what a file says wins over its base, and texts
    that are Python literals, like ``(60000, 80000)`` or ``1e-3``, are taken for what they stand for.

    Raises:
        SettingsError: a file is missing or no YAML mapping, names a base on a server, or itself through its bases;
            or it holds tags that would make objects. Names the file.
    """
    return _flattened(_merged(file, ()), "")


def _merged(file: Path, chain: tuple[Path, ...]) -> dict[str, Any]:
    """Read one file over its bases; ``chain`` holds the files that led to it."""
    place = file.expanduser().resolve()
    if place in chain:
        names = " -> ".join(one.name for one in (*chain, place))
        raise SettingsError(f"{file}: the chain of {BASE_KEY} comes back to the same file: {names}.")
    if len(chain) >= LONGEST_CHAIN:
        raise SettingsError(f"{file}: the chain of {BASE_KEY} is longer than {LONGEST_CHAIN} files.")
    values = _load(place)
    bases = values.pop(BASE_KEY, [])
    merged: dict[str, Any] = {}
    for base in bases if isinstance(bases, list) else [bases]:
        if not isinstance(base, str):
            raise SettingsError(f"{file}: {BASE_KEY} is {base!r}; it must name a file.")
        if "://" in base:
            raise SettingsError(f"{file}: {BASE_KEY} {base} is no file here. Download it and name the copy.")
        _update(merged, _merged(place.parent / Path(base).expanduser(), (*chain, place)), str(file), "")
    _update(merged, values, str(file), "")
    return merged


def _load(file: Path) -> dict[str, Any]:
    """Parse one file."""
    if file.suffix == ".py":
        raise SettingsError(
            f"{file}: this is a Python program (LazyConfig), which is not run here. Give a YAML config; `cfg.dump()` "
            "writes one."
        )
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise SettingsError(f"{file}: too large for a config ({file.stat().st_size} bytes).")
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: this config cannot be read: {error}.") from error
    try:
        _check_shape(text, file)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{file}: this is no plain YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"{file}: a config is a mapping of keys; this is a {type(values).__name__}.")
    return values


def _check_shape(text: str, file: Path) -> None:
    """Refuse what would take long to read although it is short: aliases of aliases, deep nesting."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise SettingsError(f"{file}: aliases (*name) are not read. Write the value out.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise SettingsError(f"{file}: this config is nested too deeply.")


def _update(target: dict[str, Any], values: dict[str, Any], file: str, prefix: str) -> None:
    """Put values over those of the bases, section by section."""
    for key, value in values.items():
        if not isinstance(key, str):
            raise SettingsError(f"{file}: {prefix}{key!r} is no name of a key.")
        known = target.get(key)
        if key in target and isinstance(known, dict) != isinstance(value, dict):
            raise SettingsError(f"{file}: {prefix}{key} is a section in one file and a value in another.")
        if isinstance(value, dict):
            section = target.setdefault(key, {})
            _update(section, value, file, f"{prefix}{key}.")
        else:
            target[key] = value


def _flattened(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flattened(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = _literal(value)
    return flat


def _literal(value: Any) -> Any:
    """Read a text that is a Python literal; tuples become lists."""
    if isinstance(value, str) and len(value) <= LONGEST_LITERAL:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the parser, about texts that only look like Python
                value = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return value
    return _listed(value)


def _listed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_literal(one) if isinstance(one, str) else _listed(one) for one in value]
    return value
