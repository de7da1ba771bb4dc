from __future__ import annotations

import json
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


def test_unusual_time_ranges_are_listed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(screen.console, "width", 120)
    stretch = {"start": 2.0, "end": 3.5, "first_frame": 20, "last_frame": 34, "frames": 12}
    content = {"source": "film.mp4", "unusual_from": 2.346, "looked_at": 99, "unusual": 12}
    file = tmp_path / "unusual.json"
    file.write_text(json.dumps({**content, "ranges": [{**stretch, "largest_distance": 7.25, "largest_at": 2.5}]}))
    instance_tables.show_unusual(file)
    shown = capsys.readouterr().out
    assert "film.mp4: 12 of 99 are unusual (distance above 2.35)" in " ".join(shown.split())
    for cell in ("2.00", "3.50", "20 to 34", "7.25", "2.50"):
        assert cell in shown
    file.write_text(json.dumps({**content, "images": [{"file_name": "[b]a.png", "distance": 3.0}]}))
    instance_tables.show_unusual(file)
    assert "[b]a.png" in capsys.readouterr().out
    file.write_text(json.dumps({**content, "unusual": 0, "ranges": []}))
    instance_tables.show_unusual(file)
    assert "none of 99 is unusual" in " ".join(capsys.readouterr().out.split())
