from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.image import imread

from goodfit.data.geometry import Geometry, Image
from goodfit.data.labels import Labels
from goodfit.reporting.slices import View, case_slices, choose_views

LABELS = Labels({"organ": (1,), "lesion": (2,)})
STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def volume_image(shape=(20, 30, 24), spacing=(1.0, 1.0, 1.0), direction=STRAIGHT):
    rng = np.random.default_rng(0)
    array = rng.normal(size=(1, *shape)).astype(np.float32)
    return Image(array, Geometry(spacing, (0.0, 0.0, 0.0), direction, 3))


def label(shape=(20, 30, 24)):
    array = np.zeros(shape, dtype=np.int16)
    array[4:12, 6:20, 5:15] = 1
    array[8:10, 8:12, 7:10] = 2
    return array


def pixels(drawn):
    return imread(io.BytesIO(drawn.png))


def test_volume_gives_three_planes_at_their_largest_area():
    seen = label() > 0
    assert [view.axis for view in choose_views(seen, (1, 1, 1))] == [0, 1, 2]
    assert all(seen.take(view.index, view.axis).any() for view in choose_views(seen, (1, 1, 1)))
    assert choose_views(seen * False, (1, 1, 1)) == [View(0, 10), View(1, 15), View(2, 12)]


def test_coarse_axis_and_slab_are_cut_along_one_axis():
    assert [view.axis for view in choose_views(label() > 0, (5.0, 1.0, 1.0))] == [0, 0, 0]
    thin = np.zeros((40, 6, 40), dtype=bool)
    thin[10:20, 1:4, 5:9] = True
    assert choose_views(thin, (1.0, 1.0, 1.0)) == [View(1, 1), View(1, 2), View(1, 3)]
    assert choose_views(thin * False, (1.0, 1.0, 1.0)) == [View(1, 3)]


def test_captions_name_the_plane_by_the_direction_of_the_file():
    captions = [drawn.caption for drawn in case_slices(volume_image(), label(), label(), LABELS)]
    assert [caption.split(",")[0] for caption in captions] == ["axial", "coronal", "sagittal"]
    assert captions[0].endswith("of 20")
    turned = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # array axis z runs along the patient's x
    captions = [drawn.caption for drawn in case_slices(volume_image(direction=turned), label(), label(), LABELS)]
    assert [caption.split(",")[0] for caption in captions] == ["sagittal", "axial", "coronal"]


def test_size_follows_the_voxel_size():
    seen = np.zeros((20, 20, 20), dtype=np.int16)
    seen[2:18, 2:18, 2:18] = 1
    drawn = case_slices(volume_image((20, 20, 20), (3.0, 2.0, 1.0)), seen, seen, LABELS)
    assert len(drawn) == 3
    assert drawn[0].height == pytest.approx(2 * drawn[0].width, abs=2)
    assert pixels(drawn[0]).shape[:2] == (drawn[0].height, drawn[0].width)


def test_outlines_are_drawn_and_differ():
    image = Image(np.zeros((1, 1, 40, 40), np.float32), Geometry((999.0, 1.0, 1.0), (0.0, 0.0), (1.0, 0, 0, 1), 2))
    reference = np.zeros((1, 40, 40), dtype=np.int16)
    reference[0, 10:30, 10:30] = 1
    empty = reference * 0

    def coloured(expected, predicted):
        (drawn,) = case_slices(image, expected, predicted, LABELS)
        assert drawn.caption == ""
        rgb = pixels(drawn)[..., :3]
        return int((np.ptp(rgb, axis=-1) > 0.1).sum())

    solid, dashed = coloured(reference, empty), coloured(empty, reference)
    assert coloured(empty, empty) == 0
    assert 0 < dashed < solid


def test_head_is_up_and_left_on_the_right():
    """A bright corner at the patient's right, front and foot must come out left, up (axial) and down (coronal)."""
    image = volume_image((20, 20, 20))
    image.array[:] = 0
    image.array[0, :6, :6, :6] = 100
    whole = np.ones((20, 20, 20), dtype=np.int16)
    axial, coronal, _ = case_slices(image, whole * 0, whole * 0, LABELS)
    assert axial.caption == "axial, slice 11 of 20"
    image.array[0, 10, :6, :6] = 100
    image.array[0, :6, 10, :6] = 100
    axial, coronal, _ = case_slices(image, whole * 0, whole * 0, LABELS)

    def quarter(drawn):
        grey = pixels(drawn)[..., 0]
        rows, columns = (size // 2 for size in grey.shape)
        means = {
            "up left": grey[:rows, :columns].mean(),
            "up right": grey[:rows, columns:].mean(),
            "down left": grey[rows:, :columns].mean(),
            "down right": grey[rows:, columns:].mean(),
        }
        return max(means, key=means.__getitem__)

    assert quarter(axial) == "up left"
    assert quarter(coronal) == "down left"


def test_colour_image_keeps_its_colours():
    array = np.zeros((3, 1, 30, 30), np.float32)
    array[0] = 255
    image = Image(array, Geometry((999.0, 1.0, 1.0), (0.0, 0.0), (1.0, 0, 0, 1), 2))
    empty = np.zeros((1, 30, 30), dtype=np.int16)
    (drawn,) = case_slices(image, empty, empty, LABELS)
    np.testing.assert_allclose(pixels(drawn)[..., :3].mean(axis=(0, 1)), (1, 0, 0), atol=0.01)


def test_constant_and_undefined_images_are_drawn():
    image = volume_image()
    image.array[:] = np.nan
    assert len(case_slices(image, label(), label(), LABELS)) == 3
