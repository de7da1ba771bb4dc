"""A number of a score file, which may be missing."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BeforeValidator


def _nan_for_null(value: Any) -> Any:
    return math.nan if value is None else value


Number = Annotated[float, BeforeValidator(_nan_for_null)]
"""A float that may be NaN; NaN is null in JSON."""
