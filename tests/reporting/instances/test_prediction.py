from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.reporting.instances.prediction import clock, write_images_page, write_video_page
from goodfit.tasks.instances.video_prediction.images import PredictedImages
from goodfit.tasks.instances.video_prediction.tables import Track
from goodfit.tasks.instances.video_prediction.unusual import FrameLog
from goodfit.tasks.instances.video_prediction.video import PredictedVideo


def log_of(distances: list[float | None], unusual_from: float | None) -> FrameLog:
    log = FrameLog(unusual_from)
    for place, distance in enumerate(distances):
        log.add(place, place / 10, place % 4, distance)
    return log


def video_of(log: FrameLog, tracks: dict[int, Track]) -> PredictedVideo:
    tables = {"csv": Path("out/film.tracks.csv"), "frames": Path("out/film.frames.csv")}
    return PredictedVideo(3 * len(log), len(log), tracks, Path("out/film.mp4"), tables, log)


def figures_of(page: str) -> dict[str, object]:
    data = re.search(r'<script id="figures" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    return json.loads(data[1])


def text_of(page: str) -> str:
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", bare).split())


def test_page_of_a_video_shows_curves_ranges_and_tracks(tmp_path: Path) -> None:
    log = log_of([1.0] * 20 + [4.0, 6.0, 5.0] + [1.0] * 20, 2.0)
    tracks = {1: Track(1, 0.0, 1.5, 12), 2: Track(2, 65.0, 3725.25, 40)}
    path = write_video_page(tmp_path / "film.html", "<film>.mp4", video_of(log, tracks), ["person", "blanket"])
    page = path.read_text()
    text = text_of(page)
    for expected in (
        "&lt;film&gt;.mp4",
        "43 frames looked at, 3 of them unlike the training frames",
        "0:02.0 to 0:02.3",
        "6.00",
        "person 1",
        "blanket 2",
        "1:02:05.2",
        "film.tracks.csv",
    ):
        assert expected in text, expected
    figures = figures_of(page)
    assert figures.keys() == {"distance", "instances"}
    assert all(f'id="plot-{name}"' in page for name in figures)
    assert page.count("plotly.js v") == 1
    outside = re.findall(r'<(?:img|script|link)[^>]+(?:src|href)="([^"]*)"', page)
    assert all(source.startswith("data:") for source in outside)


def test_distances_that_were_not_measured_are_not_drawn(tmp_path: Path) -> None:
    page = write_video_page(
        tmp_path / "film.html", "film", video_of(log_of([None] * 5, None), {}), ["person"]
    ).read_text()
    assert figures_of(page).keys() == {"instances"}
    assert 'id="plot-distance"' not in page
    assert "were not measured" in page


def test_nothing_unusual_is_said(tmp_path: Path) -> None:
    page = write_video_page(
        tmp_path / "film.html", "film", video_of(log_of([1.0] * 5, 2.0), {}), ["person"]
    ).read_text()
    assert "No frame is unusual." in page
    assert "5 frames looked at, none of them unlike the training frames." in page


def test_page_of_images_lists_the_most_distant_first(tmp_path: Path) -> None:
    log = log_of([3.0, 1.0, 9.0], 2.0)
    done = PredictedImages(3, 7, Path("predictions.json"), ["a.png", "b.png", "c&d.png"], log, Path("frames.csv"))
    page = write_images_page(tmp_path / "report.html", "folder", done).read_text()
    assert page.index("c&amp;d.png") < page.index(">a.png<")
    assert ">b.png<" not in page
    assert "3 images looked at, 2 of them unlike the training frames" in page


@given(st.floats(0, 1e6))
def test_times_are_written_as_players_show_them(seconds: float) -> None:
    parts = [float(part) for part in clock(seconds).split(":")]
    assert sum(part * 60**place for place, part in enumerate(reversed(parts))) == pytest.approx(seconds, abs=0.0501)
    assert parts[-1] < 60
    assert len(parts) == (3 if round(10 * seconds) >= 36000 else 2)
