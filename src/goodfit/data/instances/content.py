"""Reading the pixels of every frame once: whether they can be read, their size, and what they look like."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from goodfit.data.instances import kinds
from goodfit.data.instances.hashing import perceptual_hash
from goodfit.data.instances.model import ImageSource, VideoSource
from goodfit.data.instances.pictures import read_picture
from goodfit.data.layouts import relative
from goodfit.errors import GoodfitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from goodfit.data.instances.findings import Findings, Kind
    from goodfit.data.instances.model import Frame, InstanceDataset

    Visitor = Callable[[Frame, npt.NDArray[np.uint8]], None]

_BATCH = 16
"""Image files read by one task: progress moves on, and tasks cost little."""


@dataclass
class Contents:
    """What the pixels showed.

    Attributes:
        hashes: frame -> perceptual hash, for the frames that could be read.
        digests: frame -> digest of the pixels.
    """

    hashes: dict[str, int] = field(default_factory=dict)
    digests: dict[str, bytes] = field(default_factory=dict)


@dataclass
class _Part:
    """What one task found."""

    frames: int
    hashes: dict[str, int] = field(default_factory=dict)
    digests: dict[str, bytes] = field(default_factory=dict)
    found: list[tuple[Kind, str, str, str]] = field(default_factory=list)


def read_contents(
    dataset: InstanceDataset,
    findings: Findings,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    visitor: Visitor | None = None,
) -> Contents:
    """Read every frame, in threads: some image files, or the frames of one video, at a time.

    Args:
        dataset: the frames.
        findings: takes the problems.
        workers: threads; None: one per processor, 8 at most.
        on_progress: called with the number of frames done and of all frames.
        visitor: called as ``visitor(frame, image)`` for each frame that is as it should be, from the thread that
            read it, with an image (H, W, 3).
    """
    tasks = _tasks(dataset)
    done, contents = 0, Contents()
    threads = workers or min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads, thread_name_prefix="check") as pool:
        waiting = [pool.submit(_read_part, frames, dataset.root, visitor) for frames in tasks]
        try:
            for future in as_completed(waiting):
                part = future.result()
                contents.hashes |= part.hashes
                contents.digests |= part.digests
                done += part.frames
                if on_progress is not None:
                    on_progress(done, len(dataset.frames))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    # In the order of the dataset, whichever thread was first.
    for future in waiting:
        for kind, file, example, name in future.result().found:
            findings.add(kind, file, example, name)
    return contents


def _tasks(dataset: InstanceDataset) -> list[list[Frame]]:
    """Gather the frames of each video, and batches of image files; videos first, since they take longest."""
    videos: dict[Path, list[Frame]] = {}
    images = []
    for frame in dataset.frames:
        if isinstance(frame.source, VideoSource):
            videos.setdefault(frame.source.path, []).append(frame)
        else:
            images.append(frame)
    return [*videos.values(), *(images[start : start + _BATCH] for start in range(0, len(images), _BATCH))]


def _read_part(frames: list[Frame], root: Path, visitor: Visitor | None) -> _Part:
    part = _Part(len(frames))
    for frame, image in _images(frames, root, part):
        if image.shape[:2] != (frame.height, frame.width):
            given = f"annotations {frame.width} x {frame.height}"
            example = f"{frame.name} (file {image.shape[1]} x {image.shape[0]}, {given})"
            part.found.append((kinds.WRONG_SIZE, _shown_folder(frame, root), example, frame.name))
        elif visitor is not None:
            visitor(frame, image)
        part.hashes[frame.name] = perceptual_hash(image)
        part.digests[frame.name] = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
    return part


def _images(frames: list[Frame], root: Path, part: _Part) -> Iterator[tuple[Frame, npt.NDArray[np.uint8]]]:
    """Read images one by one, or the frames of one video in one pass; what cannot be read is noted."""
    if isinstance(frames[0].source, VideoSource):
        yield from _video_frames(frames, root, part)
        return
    for frame in frames:
        assert isinstance(frame.source, ImageSource)
        try:
            image = read_picture(frame.source.path, frame.height, frame.width)
        except GoodfitError as error:
            what = str(error).removeprefix(f"{frame.source.path}: ")
            example = f"{relative(root, frame.source.path)} ({what.split('. ')[0]})"
            part.found.append((kinds.UNREADABLE_FILE, _shown_folder(frame, root), example, frame.name))
            continue
        yield frame, image


def _video_frames(frames: list[Frame], root: Path, part: _Part) -> Iterator[tuple[Frame, npt.NDArray[np.uint8]]]:
    # PyAV is loaded only where there are videos.
    from goodfit.data.video.decode import read_frames
    from goodfit.data.video.index import open_video

    path = frames[0].source.path
    shown = relative(root, path)
    by_number = {frame.source.frame: frame for frame in frames if isinstance(frame.source, VideoSource)}
    try:
        index = open_video(path)
        for number in sorted(by_number):
            if number >= index.frame_count:
                example = f"frame {number} of {index.frame_count} (0 to {index.frame_count - 1})"
                part.found.append((kinds.FRAME_BEYOND_END, shown, example, by_number[number].name))
        for number, image in read_frames(index, [n for n in by_number if n < index.frame_count], threads=1):
            yield by_number[number], image
    except GoodfitError as error:
        part.found.append((kinds.UNREADABLE_FILE, shown, str(error).removeprefix(f"{path}: "), ""))


def _shown_folder(frame: Frame, root: Path) -> str:
    """The folder of an image: problems of one kind are gathered by it."""
    return relative(root, frame.source.path.parent)
