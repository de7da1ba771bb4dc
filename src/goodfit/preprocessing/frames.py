"""The frames of an instance dataset, decoded and resized once, for quick reading in any order.

A folder holds NAME.frame for each frame (see ``frames_file``) and sources.json. A stored frame carries a digest of
all that decides its pixels: the content of its image or video, its number, the sizes asked for. A frame whose
digest still fits is kept, so the work can be interrupted anywhere, and a source that was touched or moved but not
changed costs no more than hashing it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock

from goodfit.errors import DatasetError
from goodfit.preprocessing.frames_file import FrameHeader, read_frame, read_header

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from goodfit.data.instances.model import Frame

_ENDING = ".frame"


def target_size(height: int, width: int, min_size: int, max_size: int) -> tuple[int, int]:
    """Give the size a frame is stored at: torchvision's rule for detectors.

    The shorter side becomes ``min_size``, unless the longer one would then be above ``max_size``: that one becomes
    ``max_size``. The other side is rounded down. A smaller frame is enlarged to ``min_size``, and never beyond.
    (Whole-number arithmetic: torchvision's own, in floating point, is at times one pixel short.)

    Returns:
        Height and width, at least 1.
    """
    short, long = min(height, width), max(height, width)
    goal, side = (min_size, short) if long * min_size <= max_size * short else (max_size, long)
    return max(1, height * goal // side), max(1, width * goal // side)


def resize(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resize a frame as the store does; prediction should do the same, since the network was trained on it.

    Bilinear; what gets smaller is averaged (antialiased).

    Args:
        image: (H, W, 3) uint8.
        size: height and width, see ``target_size``.

    Returns:
        An array of that size, or ``image`` itself where it has it already.
    """
    from PIL import Image

    if image.shape[:2] == size:
        return image
    return np.array(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR), dtype=np.uint8)


@dataclass(frozen=True)
class FrameStore:
    """Stored frames. Keeps nothing open, so it may be used by any process or thread and sent to others.

    Attributes:
        folder: where they are.
    """

    folder: Path

    def names(self) -> list[str]:
        """Names of the stored frames, sorted."""
        found = (path.name for path in self.folder.glob(f"*{_ENDING}"))
        return sorted(name.removesuffix(_ENDING) for name in found if not name.startswith(".writing-"))

    def get(self, name: str) -> npt.NDArray[np.uint8]:
        """Read a frame: (H, W, 3) uint8 RGB, as stored, an array of its own.

        Raises:
            DatasetError: it is not stored, or its file is damaged.
        """
        return read_frame(self.path(name))

    def size(self, name: str) -> tuple[int, int]:
        """Height and width of a stored frame, in pixels.

        Raises:
            DatasetError: it is not stored, or its file is damaged.
        """
        header = self._header(name)
        return header.height, header.width

    def scale(self, name: str) -> tuple[float, float]:
        """Stored pixels per pixel of the annotated frame, along x and y (they differ by rounding).

        Raises:
            DatasetError: it is not stored, or its file is damaged.
        """
        header = self._header(name)
        return header.width / header.original_width, header.height / header.original_height

    def path(self, name: str) -> Path:
        """Give the file of a frame."""
        return self.folder / f"{name}{_ENDING}"

    def _header(self, name: str) -> FrameHeader:
        header = read_header(self.path(name))
        if header is None:
            raise DatasetError(
                f"{self.path(name)}: this frame is not preprocessed, or its file is damaged. "
                "Run `goodfit preprocess` again."
            )
        return header


def fill_frames(
    frames: Sequence[Frame],
    store_folder: Path,
    min_size: int,
    max_size: int,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> FrameStore:
    """Decode, resize and store frames; those that are there already, from the same content, are kept.

    Args:
        frames: of an instance dataset.
        store_folder: made where it is missing; other frames in it are left alone.
        min_size: of the shorter side, in pixels; see ``target_size``.
        max_size: of the longer side, in pixels.
        workers: threads; None takes one per core.
        on_progress: called with (frames done, frames in all), in the caller's thread.

    Returns:
        The store.

    Raises:
        DatasetError: some frames could not be read; all are named, and the others are kept.
        ResourceError: the disk is full.
    """
    from goodfit.preprocessing.frames_fill import Filling

    store = FrameStore(store_folder)
    store_folder.mkdir(parents=True, exist_ok=True)
    with FileLock(store_folder / ".lock"):
        for leftover in store_folder.glob(".writing-*"):
            leftover.unlink(missing_ok=True)
        Filling(store, (min_size, max_size), workers, on_progress).run(frames)
    return store
