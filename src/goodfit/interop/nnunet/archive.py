"""A zip file with trained models (nnUNetv2_export_model_to_zip), unpacked with care.

All names are looked at before anything is written. Of the members only those are unpacked that a model consists of.
"""

from __future__ import annotations

import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from goodfit.errors import RunError
from goodfit.files import require_disk_room

_WANTED = re.compile(r"(plans|dataset|dataset_fingerprint)\.json$|checkpoint_(final|best|latest)\.pth$")
_LARGEST_JSON = 2**28
_MOST_MEMBERS = 100_000
_LARGEST_RATIO = 50
"""Packed weights shrink by a tenth; what shrinks this much was made to fill the disk."""
_UNPACKED_FREELY = 2**20
"""Members of at most this many bytes may shrink by any factor."""


def unpack_models(file: Path, folder: Path) -> None:
    """Unpack plans, dataset.json and checkpoints of an archive into a folder, in their places.

    Args:
        file: the archive.
        folder: exists and is empty.

    Raises:
        RunError: the file is no sound zip file; or a member leads out of the folder, is a link, encrypted, or grows out
            of all proportion. Nothing is written then.
        ResourceError: the disk has no room for it.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _require_harmless(file, members)
            wanted = [one for one in members if not one.is_dir() and _WANTED.search(PurePosixPath(one.filename).name)]
            require_disk_room(folder, sum(one.file_size for one in wanted), f"unpacking {file.name}")
            for member in wanted:
                target = folder / PurePosixPath(member.filename)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, target.open("xb") as unpacked:
                    shutil.copyfileobj(packed, unpacked, 2**20)
    except FileNotFoundError as error:
        raise RunError(f"{file}: there is no such file.") from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        FileExistsError,
        NotADirectoryError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise RunError(
            f"{file}: this zip file is cut off or damaged ({error}). Copy it again from where it was made."
        ) from error


def _require_harmless(file: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > _MOST_MEMBERS:
        raise RunError(f"{file}: has {len(members)} members; an exported model has a few dozen.")
    seen: set[str] = set()
    for member in members:
        name, reason = member.filename, None
        parts = name.replace("\\", "/").split("/")
        if (
            ".." in parts
            or name.startswith(("/", "\\"))
            or "\\" in name
            or ":" in parts[0]
            or "\0" in member.orig_filename
        ):
            reason = "leads out of the folder that it is unpacked into"
        elif stat.S_ISLNK(member.external_attr >> 16):
            reason = "is a link"
        elif member.flag_bits & 1:
            reason = "is encrypted"
        elif name.casefold() in seen:
            reason = "occurs twice"
        elif name.endswith(".json") and member.file_size > _LARGEST_JSON:
            reason = f"is {member.file_size} bytes large"
        elif member.file_size > max(_UNPACKED_FREELY, _LARGEST_RATIO * member.compress_size):
            reason = f"grows from {member.compress_size} to {member.file_size} bytes"
        if reason is not None:
            raise RunError(
                f"{file}: the member {name!r} {reason}. Nothing was unpacked; no archive of nnUNetv2_export_model_to_zip "
                "has such members."
            )
        seen.add(name.casefold())
