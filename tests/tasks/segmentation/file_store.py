"""A store of blosc2 files, in a module that worker processes can import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import blosc2

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


@dataclass(frozen=True)
class FileCase:
    image: Any
    label: Any
    locations: dict[int, np.ndarray]


@dataclass(frozen=True)
class FileStore:
    folder: Path
    locations: dict[str, dict[int, np.ndarray]]

    def case(self, name: str) -> FileCase:
        paths = [self.folder / f"{name}{ending}.b2nd" for ending in ("", "_seg")]
        image, label = (blosc2.open(str(path), mode="r", mmap_mode="r") for path in paths)
        return FileCase(image, label, self.locations[name])
