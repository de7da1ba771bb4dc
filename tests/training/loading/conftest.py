"""The family of the process, without what was there before a test."""

from __future__ import annotations

import psutil
import pytest


@pytest.fixture(autouse=True)
def _only_new_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests may have left a helper of multiprocessing's in this process: it is none of the loader's."""
    there = set(psutil.Process().children(recursive=True))
    every = psutil.Process.children

    def children(process: psutil.Process, recursive: bool = False) -> list[psutil.Process]:
        return [child for child in every(process, recursive) if child not in there]

    monkeypatch.setattr(psutil.Process, "children", children)
