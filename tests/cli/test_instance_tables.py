from __future__ import annotations

from pathlib import Path

import numpy as np

from goodfit.cli import instance_tables, screen
from goodfit.data.instances.model import Frame, ImageSource, Instance
from goodfit.tasks.instances.detection import Detection
from goodfit.tasks.instances.evaluation import evaluate_instances


def scores(**told):
    frames, found = [], []
    for at in range(4):
        one = Instance(1, (0.0, 0.0, 40.0, 40.0), None, 1600.0)
        frames.append(Frame(f"f{at}", f"v{at % 2}", at, None, 50, 50, ImageSource(Path("f")), (one,)))
        count = int(at != 3)
        box = np.array([[0, 0, 40, 40]] * count, dtype=np.float32).reshape(-1, 4)
        found.append(Detection(box, np.full(count, 0.9, np.float32), np.ones(count, np.int64), None))
    return evaluate_instances(frames, found, ["person"], masks=False, **told)


def test_all_tables_are_printed(monkeypatch, capsys):
    monkeypatch.setattr(screen.console, "width", 120)
    instance_tables.show_instance_scores(scores(optimistic=True, notes=["Optimistic: [one] video."]))
    shown = " ".join(capsys.readouterr().out.split())
    for expected in (
        "test, 4 frames, optimistic",
        "AR at 100",
        "person",
        "by group",
        "v1",
        "Optimistic: [one] video.",
        "box AP 0.752 (optimistic); 3 of 4 objects found, 0 false (score at least 0.5)",
    ):
        assert expected in shown, expected
