"""The page of a run that has not got far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from goodfit.commands.report import report
from goodfit.errors import RunError
from goodfit.planning.plan import save_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.commands.plan import Prepared


def test_a_planned_run_has_a_page(prepare_run: Callable[..., Prepared], listener: Any) -> None:
    prepared = prepare_run()
    prepared.run.update_record(dataset=str(prepared.dataset.root), settings={}, status="planned")
    save_plan(prepared.plan, prepared.run.plan)
    page = report(prepared.run.path, observer=listener)
    assert page == prepared.run.report
    assert "Tiny" in page.read_text(encoding="utf-8")
    assert listener.stages == ["report"]


def test_any_other_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run folder"):
        report(tmp_path)
    assert list(tmp_path.iterdir()) == []
