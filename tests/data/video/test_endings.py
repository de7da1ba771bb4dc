"""Videos are told by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from goodfit.data.video.endings import is_video


@pytest.mark.parametrize(("name", "known"), [("a.MP4", True), ("b.mkv", True), ("c.png", False), ("mp4", False)])
def test_the_ending_tells_a_video(name: str, known: bool) -> None:
    assert is_video(Path(name)) is known
