from __future__ import annotations

import numpy as np
import pytest

from goodfit.planning.instances.boxes import frame_scale, relative_sizes, scaled_boxes


def test_the_shorter_side_is_met_unless_the_longer_grows_too_long() -> None:
    assert frame_scale([480, 1080, 100], [640, 1920, 400], 240, 320) == pytest.approx([0.5, 1 / 6, 0.8])


def test_boxes_shrink_with_their_frames() -> None:
    boxes = np.asarray([[30.0, 60, 0, 0, 200, 100]])
    assert scaled_boxes(boxes, 50, 1000).tolist() == [[15, 30]]


def test_relative_size_is_of_the_shorter_side() -> None:
    assert relative_sizes(np.asarray([[20.0, 80, 0, 0, 200, 100]])).tolist() == [0.4]
