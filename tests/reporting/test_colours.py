from __future__ import annotations

import re

from goodfit.reporting.colours import PALETTE, class_colours


def test_each_class_has_a_colour_in_order():
    names = [f"class {index}" for index in range(len(PALETTE) + 2)]
    colours = class_colours(names)
    assert list(colours) == names
    assert len({colours[name] for name in names[: len(PALETTE)]}) == len(PALETTE)
    assert colours[names[len(PALETTE)]] == colours[names[0]]
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours.values())
