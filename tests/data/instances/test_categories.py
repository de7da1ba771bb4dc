from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.data.instances.categories import join_categories
from goodfit.data.instances.coco import RawFile, RawImage
from goodfit.data.instances.findings import Findings

LISTS = st.lists(
    st.dictionaries(st.integers(1, 9).map(str), st.sampled_from("abcdef"), min_size=1, max_size=5),
    min_size=1,
    max_size=4,
)


@pytest.fixture
def raw():
    return make_raw


def make_raw(categories, used=(), parents=(), shown="a.json"):
    image = RawImage("1", "a.png", {}, [{"category_id": int(identity)} for identity in used])
    return RawFile(None, shown, [image], dict(categories), frozenset(parents), {})


@given(LISTS)
def test_every_name_occurs_once_in_the_order_of_the_first_file(lists):
    names, notes = join_categories([make_raw(categories) for categories in lists], Findings())
    assert not notes
    assert set(names) == {name for categories in lists for name in categories.values()}
    assert len(set(names)) == len(names)
    first = list(dict.fromkeys(lists[0].values()))
    assert list(names[: len(first)]) == first


def test_numbers_that_mean_different_names_are_told(raw):
    findings = Findings()
    names, _ = join_categories([raw({"1": "cat", "2": "dog"}), raw({"1": "dog"}, shown="b.json")], findings)
    assert names == ("cat", "dog")
    (problem,) = findings.problems()
    assert (problem.severity, problem.file) == ("warning", "b.json")
    assert "1 is 'dog', in a.json 'cat'" in problem.what


def test_names_that_differ_in_spelling_only_are_told(raw):
    findings = Findings()
    names, _ = join_categories([raw({"1": "hand gun", "2": "Hand-Gun", "3": "hand"})], findings)
    assert len(names) == 3
    assert "'hand gun' and 'Hand-Gun'" in findings.problems()[0].what


def test_a_parent_without_objects_is_left_out(raw):
    listed = {"0": "objects", "1": "person"}
    names, notes = join_categories([raw(listed, ["1"], ["objects"])], Findings())
    assert names == ("person",)
    assert "'objects' is left out" in notes[0]
    assert join_categories([raw(listed, ["0", "1"], ["objects"])], Findings()) == (("objects", "person"), [])
