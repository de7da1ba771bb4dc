"""Anchors, cutting regions out of feature maps, and the way in: the parts around torchvision's detector.

torchvision's own guess strides and scales from the sizes of images and maps, which goes wrong for sizes that the
strides do not divide (an image of 33 pixels is padded to 64, and its regions are cut at twice their place). These know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import roi_align

from goodfit.tasks.instances.align import POINTS, align_by_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    Target = Mapping[str, Tensor]

_CANONICAL_SIDE = 224
_CANONICAL_LEVEL = 4  # Lin et al. 2017, "Feature Pyramid Networks", eq. 1: a region of 224 pixels belongs to P4


class Anchors(nn.Module):
    """Anchors of all levels, computed once for each size of the maps.

    Args:
        sizes: for each level the square roots of the anchors' areas, in pixels.
        ratios: height / width.
        strides: pixels between positions of each level.
        rounded: corners at whole pixels, as torchvision's; Detectron2 does not round.
    """

    def __init__(
        self, sizes: Sequence[Sequence[float]], ratios: Sequence[float], strides: Sequence[int], *, rounded: bool
    ) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.rounded = rounded
        self.cells = [self._cell(level, ratios) for level in sizes]
        self._made: dict[tuple[object, ...], Tensor] = {}

    def _cell(self, sizes: Sequence[float], ratios: Sequence[float]) -> Tensor:
        """Anchors (A, 4) about the origin, ratio by ratio."""
        roots = torch.tensor(ratios, dtype=torch.float32).sqrt()[:, None]
        sides = torch.tensor(sizes, dtype=torch.float32)
        half_width, half_height = (sides / roots).flatten() / 2, (sides * roots).flatten() / 2
        cell = torch.stack((-half_width, -half_height, half_width, half_height), dim=1)
        return cell.round() if self.rounded else cell

    def forward(self, images: ImageList, features: Sequence[Tensor]) -> list[Tensor]:
        """Give the anchors (N, 4) of every image, float32: position by position, level by level."""
        shapes = tuple((feature.shape[-2], feature.shape[-1]) for feature in features)
        key = (shapes, features[0].device)
        if key not in self._made:
            levels = zip(self.cells, shapes, self.strides, strict=True)
            self._made = {key: torch.cat([_grid(*level) for level in levels]).to(features[0].device)}
        return [self._made[key]] * len(images.image_sizes)


def _grid(cell: Tensor, shape: tuple[int, int], stride: int) -> Tensor:
    y, x = torch.meshgrid(*(torch.arange(length) * float(stride) for length in shape), indexing="ij")
    shifts = torch.stack((x, y, x, y), dim=-1).reshape(-1, 1, 4)
    return (shifts + cell).reshape(-1, 4)


class RegionPooler(nn.Module):
    """RoIAlign on the level that fits each region's size.

    Args:
        side: samples along each side of the output.
        strides: of the levels "0", "1", ...
        aligned: Detectron2's ROIAlignV2, which shifts by half a pixel and takes as many points as a region needs;
            else torchvision's default.
    """

    def __init__(self, side: int, strides: Sequence[int], *, aligned: bool) -> None:
        super().__init__()
        self.output_size = (side, side)
        self.strides = tuple(strides)
        self.aligned = aligned

    def forward(
        self, features: Mapping[str, Tensor], boxes: Sequence[Tensor], shapes: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Cut the regions.

        Args:
            features: maps (B, C, H, W) by name.
            boxes: for each image (N, 4) in pixels.
            shapes: unused, the strides tell the scale.

        Returns:
            (sum of N, C, side, side), image by image.
        """
        levels = [features[str(level)] for level in range(len(self.strides))]
        numbers = torch.cat([torch.full_like(box[:, :1], number) for number, box in enumerate(boxes)])
        regions = torch.cat((numbers, torch.cat(list(boxes))), dim=1)
        sides = ((regions[:, 3] - regions[:, 1]) * (regions[:, 4] - regions[:, 2])).sqrt()
        chosen = torch.floor(_CANONICAL_LEVEL + torch.log2(sides / _CANONICAL_SIDE) + 1e-6)
        chosen = (chosen - 2).clamp(0, len(levels) - 1)
        if levels[0].device.type == "cpu" and not self.aligned:
            return align_by_rows(levels, regions, chosen.long(), self.strides, self.output_size[0])
        cuts, places = [], []
        for number, (level, stride) in enumerate(zip(levels, self.strides, strict=True)):
            (place,) = torch.where(chosen == number)
            points = 0 if self.aligned else POINTS
            cuts.append(roi_align(level, regions[place], self.output_size, 1 / stride, points, self.aligned))
            places.append(place)
        return torch.cat(cuts)[torch.cat(places).argsort()]


class ImageIntake(nn.Module):
    """Scales pixel values and puts images of different sizes into one tensor; never resizes, unlike torchvision's.

    Args:
        mean: per channel, of pixels in [0, 1].
        std: per channel.
        divisible: height and width of the tensor are multiples of this.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], divisible: int = 32) -> None:
        super().__init__()
        self.divisible = divisible
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(3, 1, 1), persistent=False)

    def forward(
        self, images: Sequence[Tensor], targets: list[Target] | None = None
    ) -> tuple[ImageList, list[Target] | None]:
        """Batch images (3, H, W) in [0, 1]; beyond an image's right and lower edge lies 0, the mean."""
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        height, width = (-(-max(side) // self.divisible) * self.divisible for side in zip(*sizes, strict=True))
        scaled = [(image - self.mean) / self.std for image in images]
        padded = [
            functional.pad(image, (0, width - w, 0, height - h)) for image, (h, w) in zip(scaled, sizes, strict=True)
        ]
        return ImageList(torch.stack(padded), sizes), targets

    def postprocess(
        self, result: list[dict[str, Tensor]], shapes: object, original_shapes: object
    ) -> list[dict[str, Tensor]]:
        """Leave boxes in the pixels of the images as given, and masks in their boxes, as (N, 1, 28, 28)."""
        return result
