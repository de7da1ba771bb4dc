"""Which plan a data folder was made for, so that a stale one is never trained on."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

from goodfit.errors import DatasetError
from goodfit.files import read_json, write_json
from goodfit.preprocessing.store import OURS

if TYPE_CHECKING:
    from pathlib import Path

    from goodfit.planning.plan import Configuration, Data

STORE_VERSION = 2
"""Raised whenever the same dataset and plan would give other files."""


def store_digest(data: Data, configuration: Configuration) -> str:
    """Digest of all that decides the content of a configuration's data folder.

    The patch is not part of it: it only shapes the chunks, and any chunks can be read.
    """
    flat = configuration.dims == 2
    content: dict[str, Any] = {
        "version": STORE_VERSION,
        "data": data.model_dump(mode="json", exclude={"reasons", "name", "file_ending"}),
        "spacing": configuration.spacing[1:] if flat else configuration.spacing,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def prepare_folder(folder: Path, digest: str) -> None:
    """Make a data folder ready for cases of this digest, removing what was made for another.

    Raises:
        DatasetError: the folder holds files that goodfit did not write; nothing is touched.
    """
    record = folder / OURS / "preprocessing.json"
    if record.is_file():
        found = read_json(record, DatasetError)
        if isinstance(found, dict) and found.get("digest") == digest:
            for leftover in (*folder.glob(".writing-*"), *(folder / OURS).rglob(".writing-*")):
                leftover.unlink(missing_ok=True)
            return
        # The record goes last: an interrupted removal is taken up again by the next call.
        for path in (*folder.iterdir(), *(folder / OURS).iterdir()):
            if path.is_dir() and path.name != OURS:
                shutil.rmtree(path)
            elif path.is_file() and path != record:
                path.unlink()
    elif folder.is_dir() and any(folder.iterdir()):
        raise DatasetError(
            f"{folder}: this folder holds files that goodfit did not write. "
            "Move them away or choose another folder for the preprocessed data."
        )
    write_json(record, {"version": STORE_VERSION, "digest": digest})
