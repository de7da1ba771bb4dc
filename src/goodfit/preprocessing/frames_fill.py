"""Filling a frame store: the threads, what is there already, what went wrong."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock

from goodfit.data.digests import Digests
from goodfit.data.instances.model import VideoSource
from goodfit.data.instances.pictures import read_picture
from goodfit.data.video.decode import VideoReader
from goodfit.data.video.index import open_video
from goodfit.data.wording import counted, some
from goodfit.errors import DatasetError, GoodfitError, ImageFileError, VideoError
from goodfit.files import require_disk_room
from goodfit.preprocessing.frames import FrameStore, resize, target_size
from goodfit.preprocessing.frames_file import KEY_BYTES, read_header, write_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from goodfit.data.instances.model import Frame
    from goodfit.data.video.index import VideoIndex

FRAMES_VERSION = 1
"""Raised whenever the same source and sizes would give other pixels."""

_IMAGES_PER_TASK = 16

_PACKED = 0.5
"""Share of the raw size that frames are expected to take on the disk."""


@dataclass(frozen=True)
class _Outcome:
    """A frame that is done, or why it is not."""

    name: str
    error: GoodfitError | None = None


class Filling:
    """One call of ``fill_frames``: what its threads share.

    A task is some images, or a video; a video's task looks what is missing of it and gives that to further tasks.
    Every frame ends in one outcome, which the caller's thread takes from a queue, as it does the tasks' ends.

    Args:
        store: to be filled.
        limits: of the shorter and of the longer side, in pixels.
        digests: of the sources.
        workers: threads; None takes one per core.
        on_progress: called with (frames done, frames in all).
    """

    def __init__(
        self,
        store: FrameStore,
        limits: tuple[int, int],
        digests: Digests,
        workers: int | None,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        self._store = store
        self._limits = limits
        self._workers = max(1, workers or _cores())
        self._on_progress = on_progress
        self._digests = digests
        self._queue: queue.SimpleQueue[_Outcome | Future[None]] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="frames")
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._tasks = 0
        self._parts_per_video = 1

    def run(self, frames: Sequence[Frame]) -> None:
        """Fill the store.

        Raises:
            DatasetError: some frames could not be read; all are named.
            ResourceError: the disk is full.
        """
        images = [frame for frame in frames if not isinstance(frame.source, VideoSource)]
        videos: dict[Path, list[tuple[int, Frame]]] = {}
        for frame in frames:
            if isinstance(frame.source, VideoSource):
                videos.setdefault(frame.source.path, []).append((frame.source.frame, frame))
        self._require_room(frames)
        self._parts_per_video = -(-self._workers // max(1, len(videos)))
        try:
            for path, wanted in videos.items():
                self._submit(self._fill_video, path, sorted(wanted, key=lambda pair: pair[0]))
            for start in range(0, len(images), _IMAGES_PER_TASK):
                self._submit(self._fill_images, images[start : start + _IMAGES_PER_TASK])
            failures = self._follow(len(frames))
        finally:
            # On Ctrl-C or an error the frames under way are finished, the others not begun.
            self._stopped.set()
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._digests.save()
        if failures:
            _report(failures, len(frames))

    def _follow(self, total: int) -> list[_Outcome]:
        """Take the outcomes as they come, until no task is left; give the failures."""
        failures = []
        done = 0
        if self._on_progress is not None:
            self._on_progress(0, total)
        while self._tasks:
            item = self._queue.get()
            if isinstance(item, Future):
                item.result()
                with self._lock:
                    self._tasks -= 1
                continue
            if item.error is not None:
                failures.append(item)
            done += 1
            if self._on_progress is not None:
                self._on_progress(done, total)
        return failures

    def _submit(self, task: Callable[..., None], *arguments: object) -> None:
        with self._lock:
            self._tasks += 1
        self._pool.submit(task, *arguments).add_done_callback(self._queue.put)

    def _fill_images(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            if self._stopped.is_set():
                return
            try:
                self._store_image(frame)
            except DatasetError as error:
                self._queue.put(_Outcome(frame.name, error))
            else:
                self._queue.put(_Outcome(frame.name))

    def _store_image(self, frame: Frame) -> None:
        path = frame.source.path
        try:
            key = self._key(frame, self._digests.of(path))
        except OSError as error:
            raise ImageFileError(f"{path}: cannot be read ({error.strerror}).") from error
        if not self._is_stored(frame, key):
            image = read_picture(path, frame.height, frame.width)
            self._write(frame, image, key)

    def _fill_video(self, path: Path, wanted: Sequence[tuple[int, Frame]]) -> None:
        """See what is missing of a video, and share that out where there are more threads than videos."""
        missing = list(wanted)
        reason: VideoError | None = None
        try:
            digest = self._digests.of(path)
            missing = [pair for pair in wanted if not self._is_stored(pair[1], self._key(pair[1], digest))]
            if missing:
                index = open_video(path)
                length = -(-len(missing) // self._parts_per_video)
                for start in range(0, len(missing), length):
                    self._submit(self._fill_part, index, digest, missing[start : start + length])
        except VideoError as error:
            reason = error
        except OSError as error:
            reason = VideoError(f"{path}: cannot be read ({error.strerror}).")
        unread = {frame.name for _, frame in missing}
        for _, frame in wanted:
            if frame.name not in unread or reason is not None:
                self._queue.put(_Outcome(frame.name, reason if frame.name in unread else None))

    def _fill_part(self, index: VideoIndex, digest: str, wanted: Sequence[tuple[int, Frame]]) -> None:
        with VideoReader(index, threads=max(1, _cores() // self._workers)) as reader:
            for number, frame in wanted:
                if self._stopped.is_set():
                    return
                try:
                    self._write(frame, reader.read(number), self._key(frame, digest))
                except (VideoError, DatasetError) as error:
                    self._queue.put(_Outcome(frame.name, error))
                else:
                    self._queue.put(_Outcome(frame.name))

    def _write(self, frame: Frame, image: npt.NDArray[np.uint8], key: bytes) -> None:
        original = (frame.height, frame.width)
        if image.shape[:2] != original:
            raise DatasetError(
                f"{frame.source.path}: the image is {image.shape[1]}x{image.shape[0]}, its annotation says "
                f"{frame.width}x{frame.height} (width x height). Annotate this file, or bring back the one that was."
            )
        write_frame(self._store.path(frame.name), resize(image, target_size(*original, *self._limits)), original, key)

    def _is_stored(self, frame: Frame, key: bytes) -> bool:
        header = read_header(self._store.path(frame.name))
        return header is not None and header.key == key

    def _key(self, frame: Frame, digest: str) -> bytes:
        number = frame.source.frame if isinstance(frame.source, VideoSource) else None
        parts = (FRAMES_VERSION, digest, number, frame.height, frame.width, *self._limits)
        return hashlib.blake2b(repr(parts).encode(), digest_size=KEY_BYTES).digest()

    def _require_room(self, frames: Sequence[Frame]) -> None:
        needed = 0
        for frame in frames:
            if not self._store.path(frame.name).exists():
                height, width = target_size(frame.height, frame.width, *self._limits)
                needed += height * width * 3
        require_disk_room(self._store.folder, round(_PACKED * needed), f"storing {counted(len(frames), 'frame')}")


def _report(failures: Sequence[_Outcome], total: int) -> None:
    """Raise one error for all frames; those that share their reason share a line."""
    names: dict[str, list[str]] = {}
    for failure in failures:
        names.setdefault(str(failure.error), []).append(failure.name)
    lines = sorted(f"  {some(sorted(found))}: {reason}" for reason, found in names.items())
    raise DatasetError(
        f"{len(failures)} of {counted(total, 'frame')} could not be read (the others are kept):\n" + "\n".join(lines)
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fill_frames(
    frames: Sequence[Frame],
    store_folder: Path,
    min_size: int,
    max_size: int,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    digests: Digests | None = None,
) -> FrameStore:
    """Decode, resize and store frames; those that are there already, from the same content, are kept.

    Args:
        frames: of an instance dataset.
        store_folder: made where it is missing; other frames in it are left alone.
        min_size: of the shorter side, in pixels; see ``target_size``.
        max_size: of the longer side, in pixels.
        workers: threads; None takes one per core.
        on_progress: called with (frames done, frames in all), in the caller's thread.
        digests: what is known of the sources; None: all are hashed.

    Returns:
        The store.

    Raises:
        DatasetError: some frames could not be read; all are named, and the others are kept.
        ResourceError: the disk is full.
    """
    store = FrameStore(store_folder)
    store_folder.mkdir(parents=True, exist_ok=True)
    with FileLock(store_folder / ".lock"):
        for leftover in store_folder.glob(".writing-*"):
            leftover.unlink(missing_ok=True)
        Filling(store, (min_size, max_size), digests or Digests(), workers, on_progress).run(frames)
    return store
