from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from goodfit.tasks.instances.tracking import UNTRACKED
from goodfit.tasks.instances.video_prediction.drawing import Artist, Style, colour_of, palette
from goodfit.tasks.instances.video_prediction.marks import Cut, Mark

ARTIST = Artist(["person", "naïve Katze"], Style(line=1, font=10))


def grey() -> np.ndarray:
    return np.full((60, 80, 3), 100, np.uint8)


def mark(x: int = 20, y: int = 25, side: int = 20, identity: int = 4, cut: bool = True) -> Mark:
    inside = np.ones((side, side), bool)
    return Mark((x, y, x + side, y + side), 1, 0.87, identity, Cut(x, y, inside) if cut else None)


def test_inside_is_tinted_edges_have_the_full_colour_and_the_rest_stays() -> None:
    image = grey()
    ARTIST.draw(image, [mark()])
    colour = np.array(colour_of(mark()))
    assert image[35, 30] == pytest.approx(100 * 0.6 + colour * 0.4, abs=2)
    assert image[25, 25].tolist() == colour.tolist()
    assert image[44, 30].tolist() == colour.tolist()
    assert (image[46:] == 100).all()
    assert (image[25:, 42:] == 100).all()


def test_outline_follows_the_mask_not_the_box() -> None:
    image = grey()
    inside = np.zeros((20, 20), bool)
    inside[5:15, 5:15] = True
    ARTIST.draw(image, [Mark((20, 25, 40, 45), 1, 0.5, 4, Cut(20, 25, inside))])
    colour = list(palette(4))
    assert image[30, 25].tolist() == colour
    assert image[31, 27].tolist() != colour
    assert image[28, 27].tolist() == [100] * 3


def test_without_a_mask_there_is_a_box() -> None:
    image = grey()
    ARTIST.draw(image, [mark(cut=False)])
    assert image[44, 30].tolist() == list(palette(4))
    assert image[35, 30].tolist() == [100] * 3


def test_label_tells_name_number_and_score() -> None:
    assert ARTIST.text(mark()) == ("person 4", "0.87")
    assert ARTIST.text(mark(identity=UNTRACKED)) == ("person", "0.87")
    image = grey()
    ARTIST.draw(image, [mark()])
    label = image[14:24, 20:60].reshape(-1, 3)
    assert len(np.unique(label, axis=0)) > 3, "letters on their ground"


def test_letters_beyond_ascii_are_written() -> None:
    plain, accented = grey(), grey()
    Artist(["naive"], Style(1, 14)).draw(plain, [mark()])
    Artist(["naïve"], Style(1, 14)).draw(accented, [mark()])
    assert not np.array_equal(plain, accented)


@pytest.mark.parametrize(("x", "y"), [(-15, 25), (70, 25), (20, -10), (20, 50), (-50, -50), (200, 200)])
def test_marks_over_the_edge_are_cut_off(x: int, y: int) -> None:
    image = grey()
    ARTIST.draw(image, [mark(x, y)])
    assert image.shape == (60, 80, 3)
    if -20 < x < 80 and -20 < y < 60:
        assert (image != 100).any()


def test_label_wider_than_the_image() -> None:
    image = np.zeros((8, 12, 3), np.uint8)
    Artist(["a very long name of a thing"], Style(1, 12)).draw(image, [Mark((1, 1, 5, 5), 1, 0.5)])
    assert image.any()


def test_small_marks_lie_on_top_of_large_ones() -> None:
    large, small = mark(10, 20, 40, identity=1), mark(20, 30, 10, identity=2)
    one, other = grey(), grey()
    ARTIST.draw(one, [large, small])
    ARTIST.draw(other, [small, large])
    assert np.array_equal(one, other)
    assert one[39, 25].tolist() == list(palette(2))


def test_colours_of_neighbouring_numbers_differ() -> None:
    colours = [np.array(palette(number), int) for number in range(1, 40)]
    assert min(np.abs(one - two).sum() for one, two in pairwise(colours)) > 100
    assert colour_of(mark(identity=UNTRACKED)) == palette(1)


def test_sizes_follow_the_image() -> None:
    assert Style.for_size(240, 320).line == 1
    assert Style.for_size(1080, 1920).line == 3
    assert Style.for_size(1080, 1920).font > 2 * Style.for_size(240, 320).font
