from __future__ import annotations

from pathlib import Path

import pytest

from goodfit.data.instances.model import Frame, ImageSource, InstanceDataset
from goodfit.errors import DatasetError


def test_frames_by_name_and_by_group():
    frames = tuple(
        Frame(f"{group}{number}", group, number, None, 4, 5, ImageSource(Path("a.png")), ())
        for group in "ab"
        for number in range(2)
    )
    dataset = InstanceDataset(Path("set"), "set", ("person",), frames, True, True)
    assert dataset.frame("b1") is frames[3]
    assert dataset.groups() == {"a": list(frames[:2]), "b": list(frames[2:])}
    with pytest.raises(DatasetError, match="no frame 'c0'"):
        dataset.frame("c0")
