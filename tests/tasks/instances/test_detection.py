"""What a detector found in an image."""

from __future__ import annotations

import numpy as np

from goodfit.tasks.instances.detection import Detection


def found(count: int) -> Detection:
    return Detection(
        boxes=np.zeros((count, 4), np.float32),
        scores=np.linspace(1, 0.5, count, dtype=np.float32),
        categories=np.ones(count, np.int64),
        masks=None,
    )


def test_its_length_is_the_number_of_instances() -> None:
    assert [len(found(count)) for count in (0, 1, 3)] == [0, 1, 3]


def test_the_distance_is_unknown_unless_it_was_measured() -> None:
    assert found(1).distance is None
