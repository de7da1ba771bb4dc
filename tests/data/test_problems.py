"""A problem is a value: it can be counted, sorted out and kept."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest

from goodfit.data.problems import Problem, ProblemTable

PROBLEM = Problem("error", "case_1", "imagesTr/case_1_0000.nii.gz", "The file is truncated.", "Copy it again.")


def test_equal_problems_are_one() -> None:
    assert {PROBLEM, Problem(**asdict(PROBLEM))} == {PROBLEM}


def test_a_problem_is_not_changed_later() -> None:
    with pytest.raises(FrozenInstanceError):
        PROBLEM.severity = "warning"


def test_its_fields_are_the_columns_of_the_table() -> None:
    assert [field.name for field in fields(Problem)] == ["severity", "case", "file", "what", "remedy"]


@pytest.mark.parametrize(("case", "file", "beginning"), [("a", "b.nii", "a: "), ("", "b.nii", "b.nii: "), ("", "", "")])
def test_a_problem_is_a_sentence_with_its_place_if_it_has_one(case: str, file: str, beginning: str) -> None:
    assert Problem("warning", case, file, "Too few.", "Add more.").sentence == f"{beginning}Too few. Add more."


def test_a_table_is_fit_for_training_without_errors() -> None:
    error, warning = PROBLEM, replace(PROBLEM, severity="warning")
    table = ProblemTable([error, warning])
    assert (table.ok, table.errors, table.warnings) == (False, [error], [warning])
    assert ProblemTable([warning]).ok
    assert table.to_dict()["problems"][1]["severity"] == "warning"
