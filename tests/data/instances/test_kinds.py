"""The kinds of problems: each is its own, says what to do, and is looked for somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import goodfit.data.instances
from goodfit.data.instances import kinds
from goodfit.data.instances.findings import Kind

LISTED = {name: value for name, value in vars(kinds).items() if isinstance(value, Kind)}


def test_every_kind_says_what_to_do() -> None:
    assert len(LISTED) > 40
    assert all(kind.remedy.endswith((".", "?")) for kind in LISTED.values())
    assert len({kind.what for kind in LISTED.values()}) == len(LISTED)


def test_a_count_may_stand_before_what_is_wrong() -> None:
    assert all(kind.what[0].islower() or kind.what.startswith("RLE") for kind in LISTED.values())


def test_no_kind_is_only_listed() -> None:
    folder = Path(goodfit.data.instances.__file__).parent
    code = "".join(file.read_text() for file in folder.glob("*.py") if file.name != "kinds.py")
    assert set(LISTED) <= set(re.findall(r"kinds\.([A-Z_]+)", code))
