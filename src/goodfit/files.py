"""Writing files so that a killed process or a full disk never costs a finished result.

Every write goes to a temporary file in the target's folder, is flushed to disk and then renamed, which POSIX
and NTFS do atomically: a reader sees the old file or the new one, never a half.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodfit.errors import GoodfitError, ResourceError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success flush it and rename it to ``path``.

    The temporary name keeps the file's suffixes, since image writers choose the format by them.

    Raises:
        ResourceError: the disk has no room left; ``path`` is as it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".writing-", suffix="".join(path.suffixes[-2:]), dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes the file private; give it what an ordinary new file would have had.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(f"{path}: no room left on the disk. Free some space and run again.") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` atomically as indented JSON, keys in the order given."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path, error: type[GoodfitError] = GoodfitError) -> Any:
    """Read a JSON file.

    Raises:
        GoodfitError: (as the class ``error``) the file is missing or is no JSON; names file, line and column.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as reason:
        raise error(f"{path}: there is no such file.") from reason
    except (json.JSONDecodeError, UnicodeDecodeError) as reason:
        where = f" (line {reason.lineno}, column {reason.colno})" if isinstance(reason, json.JSONDecodeError) else ""
        raise error(f"{path}: not valid JSON{where}. Mend the file or write it anew.") from reason
    except OSError as reason:
        raise error(f"{path}: cannot be read ({reason.strerror}).") from reason


def require_disk_room(folder: Path, needed_bytes: int, purpose: str) -> None:
    """Refuse to start writing what will not fit.

    Raises:
        ResourceError: the file system of ``folder`` has less than ``needed_bytes`` free.
    """
    existing = folder
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise ResourceError(
            f"{folder}: {purpose} needs about {needed_bytes / 2**20:.1f} MiB, the disk has {free / 2**20:.1f} MiB free. "
            "Free some space or choose another folder."
        )
