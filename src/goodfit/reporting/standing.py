"""Where a run stands, and how well it fits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from goodfit.planning.watched import larger_is_better
from goodfit.reporting.plotting import PHASE_NAMES
from goodfit.training.fit.verdict import Curves, judge

if TYPE_CHECKING:
    from goodfit.reporting.content import RunContent
    from goodfit.training.fit.verdict import Verdict

_WHERE = r"^(epoch|step) [\d,]+: "  # the event tells when, anyway
_BEGINS = r"[:;] (cooldown of .* begins|no cooldown|the end, without a cooldown)$"  # and what


def fit(content: RunContent) -> Verdict | None:
    """Judge the curves of a run by its watched metric; None before its first row."""
    if not content.rows:
        return None
    curves = Curves.from_rows(content.rows, content.monitor, larger_is_better(content.monitor))
    turn = _turn(content)
    return judge(curves, _ended(content), None if turn is None else turn[2])


def progress(content: RunContent) -> str:
    """How far the run has come, in a sentence or two."""
    if not content.rows:
        return "No epoch is finished yet."
    last = content.rows[-1]
    epochs, steps = int(last["epoch"]), int(float(last.get("step") or 0))
    done = f"{epochs:,} {'epoch' if epochs == 1 else 'epochs'} ({steps:,} steps)"
    turn, why = _turn(content), ""
    if turn is not None:
        phase, epoch, reason = turn
        why = f" {'The cooldown began' if phase == 'cooldown' else 'It ended'} after epoch {epoch}: {reason}."
    if _ended(content):
        return f"Training is finished after {done}.{why}"
    if content.record.get("status") == "interrupted":
        return f"Training was interrupted after {done}; the next call goes on from there.{why}"
    phase = PHASE_NAMES.get(last.get("phase", ""), last.get("phase", ""))
    return f"Training has done {done} and is in the phase {phase}.{why}"


def _ended(content: RunContent) -> bool:
    return bool(content.events) and content.events[-1].get("phase") == "done"


def _turn(content: RunContent) -> tuple[str, str, str] | None:
    """Phase, epoch and reason of the cooldown, or of the end without one; the reason in the controller's own words."""
    turns = [event for event in content.events if event.get("phase") in {"cooldown", "done"}]
    if not turns:
        return None
    first = turns[0]
    reason = re.sub(_BEGINS, "", re.sub(_WHERE, "", str(first.get("reason", ""))))
    return str(first["phase"]), str(first.get("epoch")), reason
