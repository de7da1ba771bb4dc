"""Groups from a file or an expression cover every case, or say which they do not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from goodfit.data.groups import assign_groups
from goodfit.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

CASES = ["p1_a", "p1_b", "p2_a"]
EXPECTED = {"p1_a": "p1", "p1_b": "p1", "p2_a": "p2"}


def test_without_groups_each_case_is_its_own(tmp_path: Path) -> None:
    groups = assign_groups(tmp_path, CASES, ["t"], None)
    assert groups.of_case == {name: name for name in (*CASES, "t")}
    assert not groups.given


@pytest.mark.parametrize("content", [EXPECTED, {"p1": ["p1_a", "p1_b"], "p2": ["p2_a"]}])
def test_json(tmp_path: Path, content: dict[str, Any]) -> None:
    (tmp_path / "groups.json").write_text(json.dumps(content))
    groups = assign_groups(tmp_path, CASES, [], None)
    assert groups.of_case == EXPECTED
    assert groups.given


@pytest.mark.parametrize(
    "text",
    [
        "case,group\np1_a,p1\np1_b,p1\np2_a,p2\n",
        "p1_a,p1\np1_b,p1\n\np2_a,p2",
        "\ufeffCase;Patient\r\np1_a;p1\r\np1_b;p1\r\np2_a;p2\r\n",
        'p1_a\tp1\np1_b\t"p1"\np2_a\tp2\textra\n',
    ],
)
def test_csv(tmp_path: Path, text: str) -> None:
    (tmp_path / "groups.csv").write_text(text, encoding="utf-8")
    assert assign_groups(tmp_path, CASES, [], None).of_case == EXPECTED


def test_numbers_as_groups(tmp_path: Path) -> None:
    (tmp_path / "groups.json").write_text('{"p1_a": 1, "p1_b": 1, "p2_a": 2}')
    assert set(assign_groups(tmp_path, CASES, [], None).of_case.values()) == {"1", "2"}


@pytest.mark.parametrize("expression", [r"p\d", r"(p\d)_", r"^(p\d)_[ab]$"])
def test_expression_wins_over_a_file(tmp_path: Path, expression: str) -> None:
    (tmp_path / "groups.json").write_text('{"p1_a": "other"}')
    assert assign_groups(tmp_path, CASES, [], expression).of_case == EXPECTED


def test_expression_that_does_not_match_or_parse(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="p2_a"):
        assign_groups(tmp_path, CASES, [], "p1")
    with pytest.raises(DatasetError, match="not a regular expression"):
        assign_groups(tmp_path, CASES, [], "(p1")
    with pytest.raises(DatasetError, match="p1_a, p1_b, p2_a"):
        assign_groups(tmp_path, CASES, [], "(x)?p")


def test_case_without_group_is_refused_and_unknown_case_is_told(tmp_path: Path) -> None:
    (tmp_path / "groups.json").write_text('{"p1_a": "p1", "gone": "p9"}')
    with pytest.raises(DatasetError, match=r"groups\.json: p1_b, p2_a have no group"):
        assign_groups(tmp_path, CASES, [], None)
    groups = assign_groups(tmp_path, ["p1_a"], ["t"], None)
    assert groups.of_case == {"p1_a": "p1", "t": "t"}
    assert [(problem.case, problem.severity) for problem in groups.problems] == [("gone", "warning")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("groups.json", "[1]", "should map cases to groups"),
        ("groups.json", '{"p1_a": null}', "neither case -> group"),
        ("groups.json", '{"p1": ["p1_a"], "p2": ["p1_a"]}', "two groups"),
        ("groups.csv", "p1_a\n", "line 1 should hold"),
        ("groups.csv", "case,group\n", "holds no groups"),
        ("groups.csv", "p1_a,p1\np1_a,p2\n", "two groups"),
    ],
)
def test_wrong_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=message) as caught:
        assign_groups(tmp_path, CASES, [], None)
    assert name in str(caught.value)


def test_two_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "groups.json").write_text("{}")
    (tmp_path / "groups.csv").write_text("")
    with pytest.raises(DatasetError, match="Remove one"):
        assign_groups(tmp_path, CASES, [], None)
