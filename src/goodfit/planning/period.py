"""A distance in time of a training, in steps or epochs."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

_PERIOD = re.compile(r"(\d+)\s*(steps?|epochs?)?$", re.IGNORECASE)


def parse_period(value: object) -> str:
    """Read "100 steps", "2epochs", or a plain number of steps, as Detectron2's EVAL_PERIOD is one.

    Returns:
        "1 step", "100 steps", "1 epoch" or "2 epochs".

    Raises:
        ValueError: the text is of another form, or the number is 0.
    """
    match = _PERIOD.match(str(value).strip())
    if match is None or int(match.group(1)) == 0:
        raise ValueError(f"{value!r} is no period; write it like 100 steps or 2 epochs (a plain number means steps)")
    count, unit = int(match.group(1)), (match.group(2) or "steps").lower().rstrip("s")
    return f"{count} {unit}{'' if count == 1 else 's'}"


Period = Annotated[str, BeforeValidator(parse_period)]


def steps_of(period: str, steps_per_epoch: int) -> int:
    """Give a period in steps."""
    count, unit = parse_period(period).split(" ")
    return int(count) * (steps_per_epoch if unit.startswith("epoch") else 1)
