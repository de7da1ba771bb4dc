from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from goodfit.data.instances.masks import encode_mask
from goodfit.data.instances.model import Frame, ImageSource, Instance
from goodfit.reporting.colours import class_colours
from goodfit.reporting.instances.drawing import FOUND, MISSED, draw_frame
from goodfit.tasks.instances.detection import Detection

H, W = 60, 80
NAMES = ["person"]


def rgb(colour):
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])


def square(x, y, side=20):
    mask = np.zeros((H, W), dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


def frame_of(*corners, masks=True, crowd=False):
    made = [
        Instance(1, (x, y, x + 20.0, y + 20.0), encode_mask(square(x, y)) if masks else None, 400.0, crowd)
        for x, y in corners
    ]
    return Frame("f", "f", 0, None, H, W, ImageSource(Path("f")), tuple(made))


def found(*corners, score=0.9, masks=True):
    boxes = np.array([(x, y, x + 20, y + 20) for x, y in corners], dtype=np.float32).reshape(-1, 4)
    codes = [encode_mask(square(x, y)) for x, y in corners] if masks else None
    return Detection(boxes, np.full(len(corners), score, np.float32), np.ones(len(corners), np.int64), codes)


def drawn(frame, detection, *, masks=True, size=(H, W)):
    grey = np.full((*size, 3), 100, dtype=np.uint8)
    jpeg, width, height = draw_frame(grey, frame, detection, NAMES, masks=masks, longer_side=480)
    picture = np.asarray(Image.open(io.BytesIO(jpeg))).astype(int)
    assert picture.shape == (height, width, 3) == (360, 480, 3)
    return picture


def close(pixel, colour, most=60):
    return np.abs(pixel - rgb(colour)).sum() < most


@pytest.mark.parametrize("size", [(H, W), (30, 40)])
def test_found_is_outlined_in_white_and_filled(size):
    picture = drawn(frame_of((30, 30)), found((30, 30)), size=size)
    assert close(picture[240, 180 + 1], FOUND, 250)  # left edge, 6 times as large
    filled = 0.55 * 100 + 0.45 * rgb(class_colours(NAMES)["person"])
    assert np.abs(picture[240, 240] - filled).sum() < 20
    assert np.abs(picture[30, 30] - 100).sum() < 10


def test_missed_is_outlined_in_red_and_crowds_are_not_drawn():
    picture = drawn(frame_of((30, 30)), found())
    assert picture[240, 181, 0] - picture[240, 181, 1] > 80
    assert rgb(MISSED)[0] > rgb(MISSED)[1]
    assert np.abs(picture[240, 240] - 100).sum() < 10
    assert np.abs(drawn(frame_of((30, 30), crowd=True), found()) - 100).max() < 10


def test_unsure_detections_are_not_drawn():
    assert np.abs(drawn(frame_of(), found((30, 30), score=0.4)) - 100).max() < 10
    assert np.abs(drawn(frame_of(), found((30, 30), score=0.6)) - 100).max() > 50


def test_boxes_alone():
    picture = drawn(frame_of((30, 30), masks=False), found((30, 30), masks=False), masks=False)
    assert np.abs(picture[240, 240] - 100).sum() < 10
    assert np.abs(picture[240, 178:186] - 100).max() > 50


def test_objects_and_names_at_the_border_stay_within():
    corners = ((0, 0), (60, 0), (0, 40), (60, 40))
    picture = drawn(frame_of(*corners), found(*corners))
    assert close(picture[359 - 1, 240], "#646464")
