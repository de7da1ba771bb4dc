"""Tests of the cases held open and in memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from goodfit.tasks.segmentation.case_cache import CaseCache

NAMES = ("a", "b", "c", "d")
CASE_BYTES = 100 * 4 + 50 * 2 + 12


@dataclass(frozen=True)
class Case:
    image: np.ndarray
    label: np.ndarray
    locations: dict[int, np.ndarray]


@dataclass
class Store:
    opened: Counter[str] = field(default_factory=Counter)

    def case(self, name: str) -> Case:
        self.opened[name] += 1
        image = np.full((2, 5, 5, 2), NAMES.index(name), dtype=np.float32)
        return Case(image, image[:1].astype(np.int8), {1: np.zeros((1, 3), dtype=np.int32)})


def visit(cache: CaseCache, names: tuple[str, ...]) -> None:
    for name in names:
        case = cache.case(name)
        assert (case.image[...] == NAMES.index(name)).all()
        assert (case.label[...] == NAMES.index(name)).all()
        assert case.locations[1].shape == (1, 3)


def test_all_cases_fit() -> None:
    store = Store()
    cache = CaseCache(store, keep_bytes=4 * CASE_BYTES, open_cases=1)
    visit(cache, NAMES * 2)
    assert store.opened == dict.fromkeys(NAMES, 1)
    assert cache.case("a").label[...].dtype == np.int16


def test_what_does_not_fit_is_opened_again() -> None:
    store = Store()
    cache = CaseCache(store, keep_bytes=2 * CASE_BYTES - 1, open_cases=2)
    visit(cache, NAMES * 2)
    assert store.opened == {"a": 1, "b": 2, "c": 2, "d": 2}


def test_the_cases_used_last_stay_open() -> None:
    store = Store()
    cache = CaseCache(store, keep_bytes=0, open_cases=2)
    visit(cache, ("a", "b", "a", "c", "a", "b"))
    assert store.opened == {"a": 1, "b": 2, "c": 1}
