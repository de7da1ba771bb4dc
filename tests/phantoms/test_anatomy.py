from __future__ import annotations

import numpy as np
import pytest

from goodfit.phantoms.anatomy import AIR, CLASSES, FAT, Anatomy, Part, draw_anatomy, render


def points(*places: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    z, y, x = np.array(places, np.float32).T
    return z.reshape(-1, 1, 1), y.reshape(-1, 1, 1), x.reshape(-1, 1, 1)


def test_occupancy_is_full_inside_half_at_the_surface_and_nothing_outside() -> None:
    part = Part((1, 2, 3), (10, 20, 30), 0)
    inside, surface, outside = part.occupancy(points((1, 2, 3), (1, 2, 33), (1, 26, 3))).ravel()
    assert inside == 1
    assert outside == 0
    assert surface == pytest.approx(0.5, abs=1e-3)


def test_infinite_axis_makes_a_tube() -> None:
    tube = Part((0, 0, 0), (float("inf"), 5, 5), 0)
    assert tube.occupancy(points((-500, 0, 0), (500, 3, 0))).ravel().tolist() == [1, 1]


def test_later_parts_cover_earlier_ones_and_take_their_share() -> None:
    below = Part((0, 0, 0), (10, 10, 10), 100, label=1)
    above = Part((0, 0, 0), (5, 5, 5), 200, label=2)
    image, shares = render(Anatomy((below, above)), points((0, 0, 0), (0, 8, 0)))
    assert image.ravel() == pytest.approx([200, 100])
    assert shares[:, :, 0, 0].T.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_part_within_a_class_is_drawn_nowhere_else() -> None:
    organ = Part((0, -10, 0), (8, 8, 8), 100, label=1)
    lesion = Part((0, 0, 0), (30, 30, 30), 50, label=3, within=1)
    image, shares = render(Anatomy((organ, lesion)), points((0, -10, 0), (0, 10, 0)))
    assert image.ravel()[0] == pytest.approx(50)
    assert shares[2].ravel().tolist() == [1, 0]


def test_body_has_a_rim_of_fat_and_air_around_it() -> None:
    image, shares = render(Anatomy(()), points((0, 0, 45), (0, 0, 60)))
    assert image.ravel() == pytest.approx([FAT, AIR])
    assert shares.sum() == 0


def test_shares_never_exceed_one() -> None:
    axes = np.meshgrid(*[np.linspace(-50, 50, 25, dtype=np.float32)] * 3, indexing="ij")
    _, shares = render(draw_anatomy(np.random.default_rng(1)), (axes[0], axes[1], axes[2]))
    assert shares.min() >= 0
    assert shares.sum(0).max() <= 1 + 1e-5
    assert all(shares[value - 1].max() == pytest.approx(1, abs=1e-3) for value in CLASSES.values())


def test_each_labelled_structure_has_a_look_alike() -> None:
    """Unlabelled soft tissue with nearly the same intensity as each class, on every draw."""
    for seed in range(5):
        parts = draw_anatomy(np.random.default_rng(seed)).parts
        for name, value in CLASSES.items():
            own = next(part.value for part in parts if part.label == value)
            others = [part.value for part in parts if part.label == 0]
            assert min(abs(own - other) for other in others) < 30, name
