"""A small generated world: coloured rectangles and ellipses on noise, with exact masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from goodfit.data.instances.masks import encode_mask
from goodfit.data.instances.model import Frame, ImageSource, Instance
from goodfit.planning.instances.plan import InstancePlan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

CATEGORIES = ["box", "ball"]


class Memory:
    """Frames kept in a dict."""

    def __init__(self, images: dict[str, npt.NDArray[np.uint8]]) -> None:
        self.images = images

    def get(self, name: str) -> npt.NDArray[np.uint8]:
        return self.images[name]


class World:
    """Makes frames and remembers their pixels."""

    def __init__(self) -> None:
        self.images: dict[str, npt.NDArray[np.uint8]] = {}
        self.store = Memory(self.images)

    def frame(
        self,
        name: str,
        height: int = 96,
        width: int = 128,
        objects: int = 3,
        *,
        masks: bool = True,
        group: str | None = None,
        seed: int = 0,
    ) -> Frame:
        rng = np.random.default_rng([seed, *name.encode()])
        image = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
        rows, columns = np.mgrid[:height, :width]
        instances = []
        for _ in range(objects):
            category = int(rng.integers(1, 3))
            h, w = rng.uniform(0.25, 0.5, 2) * (height, width)
            y, x = rng.uniform(0, (height - h, width - w))
            if category == 1:
                mask = (rows >= round(y)) & (rows < round(y + h)) & (columns >= round(x)) & (columns < round(x + w))
            else:
                mask = ((rows + 0.5 - y - h / 2) / (h / 2)) ** 2 + ((columns + 0.5 - x - w / 2) / (w / 2)) ** 2 <= 1
            image[mask] = (220, 60, 40) if category == 1 else (40, 90, 230)
            ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            box = (float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1))
            code = encode_mask(mask) if masks else None
            instances.append(Instance(category, box, code, float(mask.sum())))
        self.images[name] = image
        source = ImageSource(Path(f"{name}.png"))
        return Frame(name, group or name, 0, None, height, width, source, tuple(instances))


@pytest.fixture
def world() -> World:
    return World()


def _plan(**sections: Any) -> InstancePlan:
    model = {
        "backbone": "mobilenet_v2",
        "weights": "none",
        "normalisation": "group",
        "image_min_size": 96,
        "image_max_size": 128,
        "rpn_candidates_train": 100,
        "rpn_proposals_train": 50,
        "rpn_candidates_test": 100,
        "rpn_proposals_test": 20,
        "rpn_batch_per_image": 64,
        "regions_per_image": 8,
        "detections_per_image": 5,
    }
    data = {"name": "shapes", "key": "key", "categories": CATEGORIES, "has_masks": True}
    values: dict[str, Any] = {
        "goodfit_version": "0",
        "memory": 1e9,
        "data": data | sections.pop("data", {}),
        "model": model | sections.pop("model", {}),
        **sections,
    }
    return InstancePlan.model_validate(values)


@pytest.fixture
def make_plan() -> Callable[..., InstancePlan]:
    """Make the plan of a small detector; keyword arguments change its sections."""
    return _plan


@pytest.fixture(autouse=True)
def _few_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
