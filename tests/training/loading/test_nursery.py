"""Tests of what workers report; the processes are in test_loader_crew.py."""

from __future__ import annotations

from goodfit.training.loading.nursery import failure_of


class CustomError(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def caught(error: Exception) -> Exception:
    try:
        raise error
    except Exception as raised:
        return raised


def test_a_failure_has_the_exception_and_its_traceback() -> None:
    error = caught(ValueError("odd"))
    failure = failure_of(error)
    assert failure.error is error
    assert failure.trace.startswith("Traceback")
    assert "test_nursery.py" in failure.trace
    assert failure.trace.endswith("ValueError: odd\n")


def test_an_exception_that_cannot_be_copied_is_told_by_its_traceback() -> None:
    for error in (CustomError(1, 2), ValueError(lambda: None)):
        failure = failure_of(caught(error))
        assert failure.error is None
        assert "Error" in failure.trace or "1 and 2" in failure.trace
