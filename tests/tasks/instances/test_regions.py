from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

from goodfit.tasks.instances.regions import Anchors, ImageIntake, RegionPooler

STRIDES = (4, 8, 16, 32, 64)
SIZES = [[8.0, 13.0], [16.0, 21.0], [32.0, 45.0], [64.0, 90.0], [128.0, 180.0]]
RATIOS = [0.5, 1.0, 2.0]


def _maps(height: int, width: int) -> list[torch.Tensor]:
    return [torch.zeros(1, 1, -(-height // stride), -(-width // stride)) for stride in STRIDES]


def test_rounded_anchors_are_torchvisions() -> None:
    images = ImageList(torch.zeros(2, 3, 128, 192), [(128, 192), (100, 180)])
    maps = _maps(128, 192)
    expected = AnchorGenerator(tuple(map(tuple, SIZES)), (tuple(RATIOS),) * 5)(images, maps)
    own = Anchors(SIZES, RATIOS, STRIDES, rounded=True)(images, maps)
    assert len(own) == 2
    torch.testing.assert_close(own[0], expected[0])


def test_unrounded_anchors_have_the_area_and_ratio_asked_for() -> None:
    maps = [torch.zeros(1, 1, 1, 1)] * 5
    (anchors,) = Anchors(SIZES, RATIOS, STRIDES, rounded=False)(ImageList(torch.zeros(1, 3, 8, 8), [(8, 8)]), maps)
    width, height = (anchors[:, 2:] - anchors[:, :2]).T
    per_level = anchors.reshape(5, 3, 2, 4)
    assert per_level.shape[0] == 5
    torch.testing.assert_close(
        torch.sqrt(width * height).reshape(5, 3, 2), torch.tensor(SIZES)[:, None].expand(5, 3, 2)
    )
    torch.testing.assert_close((height / width).reshape(5, 3, 2)[0, :, 0], torch.tensor(RATIOS))


def test_anchors_stay_float32_and_know_strides_that_do_not_divide() -> None:
    maps = [m.bfloat16() for m in _maps(96, 96)]
    (anchors,) = Anchors([[8.0]] * 5, [1.0], STRIDES, rounded=False)(
        ImageList(torch.zeros(1, 3, 96, 96), [(96, 96)]), maps
    )
    assert anchors.dtype == torch.float32
    coarsest = anchors[-4:]  # 2 x 2 positions of stride 64, where torchvision takes 48
    assert float(coarsest[1, 0] - coarsest[0, 0]) == 64


@pytest.mark.parametrize("side", [7, 14])
def test_pooling_is_torchvisions_where_that_is_right(side) -> None:
    torch.manual_seed(0)
    names = ["0", "1", "2", "3"]
    maps = OrderedDict((name, torch.randn(2, 5, 256 // s, 256 // s)) for name, s in zip(names, STRIDES, strict=False))
    corner = torch.rand(40, 2) * 120
    boxes = torch.cat((corner, corner + torch.rand(40, 2) * 130 + 1), 1)
    shapes = [(256, 256)] * 2
    given = [boxes[:13], boxes[13:]]
    expected = MultiScaleRoIAlign(names, side, 2)(maps, given, shapes)
    own = RegionPooler(side, STRIDES[:4], aligned=False)(maps, given, shapes)
    torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-4)


def test_pooling_without_regions() -> None:
    maps = {str(level): torch.zeros(1, 5, 8, 8) for level in range(4)}
    pooled = RegionPooler(7, STRIDES[:4], aligned=False)(maps, [torch.zeros(0, 4)], [(32, 32)])
    assert pooled.shape == (0, 5, 7, 7)


def test_intake_is_torchvisions_without_its_resize() -> None:
    torch.manual_seed(0)
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.3, 0.1]
    images = [torch.rand(3, 33, 70), torch.rand(3, 64, 20)]
    theirs = GeneralizedRCNNTransform(1, 1, mean, std, _skip_resize=True)
    expected, _ = theirs([image.clone() for image in images])
    own, _ = ImageIntake(mean, std)(images)
    torch.testing.assert_close(own.tensors, expected.tensors)
    assert own.image_sizes == [(33, 70), (64, 20)]
    assert own.tensors.shape == (2, 3, 64, 96)
