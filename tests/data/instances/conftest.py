"""Small generated COCO datasets."""

from __future__ import annotations

import json
from fractions import Fraction
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

SIZE = (24, 32)


def picture(seed: int, size: tuple[int, int] = SIZE) -> Any:
    """Give an image (H, W, 3) of coarse random blocks: unlike any with another seed."""
    blocks = np.random.default_rng(seed).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(blocks).resize(size[::-1], Image.Resampling.BICUBIC))


def save_picture(path: Path, array: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def image(number: int, name: str | None = None, **fields: Any) -> dict[str, Any]:
    """An entry of "images"."""
    named = {"file_name": name} if name is not None else {}
    return {"id": number, **named, "width": SIZE[1], "height": SIZE[0], **fields}


def thing(number: int, image_id: int, category: int = 1, box: Any = (4, 5, 10, 8), **fields: Any) -> dict[str, Any]:
    """An entry of "annotations" with the polygon of its box."""
    x, y, w, h = box
    polygon = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    entry = {"id": number, "image_id": image_id, "category_id": category, "bbox": list(box), "iscrowd": 0}
    return entry | {"segmentation": polygon, "area": w * h} | fields


def coco(
    images: Iterable[dict[str, Any]],
    annotations: Iterable[dict[str, Any]],
    categories: Iterable[str | dict[str, Any]] = ("person",),
    **more: Any,
) -> dict[str, Any]:
    listed = [{"id": n, "name": c} if isinstance(c, str) else c for n, c in enumerate(categories, start=1)]
    return {"images": list(images), "annotations": list(annotations), "categories": listed, **more}


def save_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_video(path: Path, frames: int, size: tuple[int, int] = (48, 64)) -> Path:
    """Write a video whose frame n is a picture of its own (seed n)."""
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture
def kit() -> SimpleNamespace:
    """Give the functions above, for the tests to write datasets of their own."""
    functions = (picture, save_picture, image, thing, coco, save_json, write_video)
    return SimpleNamespace(**{function.__name__: function for function in functions}, size=SIZE)


@pytest.fixture
def make_videos(tmp_path: Path) -> Callable[..., Path]:
    """Write annotations.json and images/ of several videos, a person in each frame."""

    def make(lengths: tuple[int, ...] = (4, 4, 4), *, save: bool = True, step: int = 1) -> Path:
        root = tmp_path / "clinic"
        images, things = [], []
        for video, length in enumerate(lengths):
            for frame in range(length):
                number = len(images) + 1
                name = f"images/v{video}_{frame:04d}.png"
                images.append(image(number, name, video_id=f"v{video}", frame_index=frame * step))
                things.append(thing(number, number))
                if save:
                    save_picture(root / name, picture(number))
        save_json(root / "annotations.json", coco(images, things))
        return root

    return make
