"""A terminal whose text can be read."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from goodfit.cli import plan_tables, score_tables, screen

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the command line's modules print, on a wide terminal without colours."""
    text = io.StringIO()
    console = Console(file=text, width=200, highlight=False)
    for module in (screen, plan_tables, score_tables):
        monkeypatch.setattr(module, "console", console)
    return text


@pytest.fixture(autouse=True)
def logger() -> Iterator[logging.Logger]:
    """Commands direct the library's log to the terminal; put it back as it was."""
    own = logging.getLogger("goodfit")
    handlers, level = own.handlers, own.level
    yield own
    own.handlers = handlers
    own.setLevel(level)
