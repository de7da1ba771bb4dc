from __future__ import annotations

import csv
import threading
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.data.video.decode import iterate_decoded, iterate_frames
from goodfit.data.video.index import open_video
from goodfit.data.video.write import VideoWriter
from goodfit.errors import SettingsError, VideoError
from goodfit.files import read_json
from goodfit.tasks.instances.detection import Detection
from goodfit.tasks.instances.tracking import TrackingSettings
from goodfit.tasks.instances.video_prediction import predict_video
from goodfit.tasks.instances.video_prediction import video as module
from goodfit.tasks.instances.video_prediction.video import frames_waiting
from goodfit.tasks.instances.video_prediction.workers import StageCrashError, StageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from goodfit.data.video.index import VideoIndex

    Detect = Callable[[list[np.ndarray]], list[Detection]]

CATEGORIES = ["person"]
REGULAR = [number / 25 for number in range(40)]
# Steps of 1/90000 s, which the writer takes, as a phone records: 15 to 60 ms.
VARIABLE = [round(step * 90000) / 90000 for step in np.cumsum([0, *np.random.default_rng(0).uniform(0.015, 0.06, 39)])]


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("times", [REGULAR, VARIABLE], ids=["regular", "variable"])
def test_every_frame_is_kept_at_its_time_with_its_square_tracked(
    tmp_path: Path, write_video: Callable[..., Path], find_squares: Detect, times: list[float]
) -> None:
    source = write_video(tmp_path / "in.mp4", times)
    result = predict_video(find_squares, source, tmp_path / "out.mp4", categories=CATEGORIES)
    assert (result.frames, result.looked_at, list(result.tracks)) == (40, 40, [1])
    track = result.tracks[1]
    assert (track.category, track.frames) == (1, 40)
    assert (track.first, track.last) == pytest.approx((times[0], times[-1]), abs=1e-4)
    written = open_video(result.video)
    assert written.times == pytest.approx(open_video(source).times, abs=1e-4)
    assert written.variable_rate == (times is VARIABLE)
    rows = rows_of(result.tables["csv"])
    assert [int(row["frame"]) for row in rows] == list(range(40))
    assert [float(row["time"]) for row in rows] == pytest.approx(times, abs=1e-4)
    assert {row["id"] for row in rows} == {"1"}
    assert [float(row["x"]) for row in rows] == pytest.approx([4 + number for number in range(40)], abs=1)


def test_overlay_lies_on_the_square_of_the_same_frame(
    tmp_path: Path, write_video: Callable[..., Path], find_squares: Detect
) -> None:
    source = write_video(tmp_path / "in.mp4", REGULAR)
    result = predict_video(find_squares, source, tmp_path / "out.mp4", categories=CATEGORIES)
    for number, _, image in iterate_frames(result.video):
        inside = image[26:38, 4 + number + 4 : 4 + number + 16].reshape(-1, 3).astype(int)
        assert np.ptp(inside, axis=1).mean() > 25, "tinted"
        below = image[50:, :].reshape(-1, 3).astype(int)
        assert np.ptp(below, axis=1).mean() < 10


def test_stride_looks_at_some_frames_and_moves_the_marks_in_between(
    tmp_path: Path, write_video: Callable[..., Path], find_squares: Detect
) -> None:
    source = write_video(tmp_path / "in.mp4", REGULAR)
    given = []

    def detect(images: list[np.ndarray]) -> list[Detection]:
        given.append(len(images))
        return find_squares(images)

    result = predict_video(detect, source, tmp_path / "out.mp4", categories=CATEGORIES, stride=4, batch=3)
    assert given == [3, 3, 3, 1]
    assert result.looked_at == 10
    assert [int(row["frame"]) for row in rows_of(result.tables["csv"])] == list(range(0, 40, 4))
    frames = list(iterate_frames(result.video))
    assert len(frames) == 40
    for number, _, image in frames[:37]:
        inside = image[26:38, 4 + number + 4 : 4 + number + 16].reshape(-1, 3).astype(int)
        assert np.ptp(inside, axis=1).mean() > 25, f"frame {number}"


@pytest.mark.parametrize("kept_bytes", [0, 2**28], ids=["decoded twice", "decoded once"])
@pytest.mark.parametrize(("stride", "batch"), [(1, 1), (1, 5), (7, 2), (50, 4)])
def test_decoding_once_or_twice_gives_the_same(
    tmp_path: Path,
    write_video: Callable[..., Path],
    find_squares: Detect,
    monkeypatch: pytest.MonkeyPatch,
    kept_bytes: int,
    stride: int,
    batch: int,
) -> None:
    source = write_video(tmp_path / "in.mp4", REGULAR)
    monkeypatch.setattr(module, "KEPT_BYTES", kept_bytes)
    decoded = []

    def count(index: VideoIndex) -> Iterator[tuple[int, float, av.VideoFrame]]:
        decoded.append(1)
        return iterate_decoded(index)

    monkeypatch.setattr(module, "iterate_decoded", count)
    result = predict_video(
        find_squares,
        source,
        tmp_path / "out.mp4",
        categories=CATEGORIES,
        stride=stride,
        batch=batch,
        tracking=TrackingSettings(confirmations=1),
    )
    assert len(decoded) == (1 if kept_bytes else 2)
    assert result.looked_at == len(range(0, 40, stride))
    frames = [image for _, _, image in iterate_frames(result.video)]
    assert len(frames) == 40
    if result.looked_at > 1:
        for number, image in enumerate(frames[: (result.looked_at - 1) * stride + 1]):
            inside = image[26:38, 8 + number : 20 + number].astype(int)
            assert np.ptp(inside, axis=2).mean() > 25, f"frame {number}"


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 5))
def test_enough_frames_are_kept_for_the_batch_that_the_first_of_them_waits_for(
    stride: int, batch: int, confirmations: int
) -> None:
    tracking = TrackingSettings(confirmations=confirmations) if confirmations else None
    lag = confirmations
    kept = frames_waiting(stride, batch, tracking)
    for number in range(3 * stride * batch):
        # Between frames looked at, the next one must be known; the tracker lags behind, and batches come whole.
        needed = -(-number // stride) + lag + 1
        last_of_batch = (needed // batch + 1) * batch - 1
        assert last_of_batch * stride - number < kept


def test_what_prepare_makes_is_given_to_the_network(
    tmp_path: Path, write_video: Callable[..., Path], find_squares: Detect
) -> None:
    source = write_video(tmp_path / "in.mp4", REGULAR[:8])
    threads = set()

    def prepare(image: np.ndarray) -> tuple[str, np.ndarray]:
        threads.add(threading.current_thread().name)
        return "small", image[::2, ::2]

    def detect(items: list[tuple[str, np.ndarray]]) -> list[Detection]:
        assert all(name == "small" and image.shape == (32, 48, 3) for name, image in items)
        return find_squares([np.repeat(np.repeat(image, 2, 0), 2, 1) for _, image in items])

    result = predict_video(detect, source, tmp_path / "out.mp4", categories=CATEGORIES, prepare=prepare)
    assert list(result.tracks) == [1]
    assert threads == {"decoding"}


def test_distances_are_in_every_table(tmp_path: Path, write_video: Callable[..., Path], find_squares: Detect) -> None:
    source = write_video(tmp_path / "in.mp4", REGULAR[:10])
    numbers = iter(range(10))

    def detect(images: list[np.ndarray]) -> list[Detection]:
        return [replace(one, distance=5.0 if 4 <= next(numbers) < 7 else 1.0) for one in find_squares(images)]

    result = predict_video(detect, source, tmp_path / "out.mp4", categories=CATEGORIES, unusual_from=2.0)
    expected = [5.0 if 4 <= number < 7 else 1.0 for number in range(10)]
    assert [float(row["distance"]) for row in rows_of(result.tables["csv"])] == expected
    frames = rows_of(result.tables["frames"])
    assert [float(row["distance"]) for row in frames] == expected
    assert [int(row["unusual"]) for row in frames] == [int(value > 2) for value in expected]
    assert [image["distance"] for image in read_json(result.tables["json"])["images"]] == expected
    assert result.log.unusual.tolist() == [value > 2 for value in expected]


def test_without_tracking_scores_decide(tmp_path: Path, write_video: Callable[..., Path], find_squares: Detect) -> None:
    source = write_video(tmp_path / "in.mp4", REGULAR[:6])
    for score, count in ((0.5, 6), (0.95, 0)):
        result = predict_video(
            find_squares, source, tmp_path / "out.mp4", categories=CATEGORIES, tracking=None, score=score
        )
        rows = rows_of(result.tables["csv"])
        assert len(rows) == count
        assert all(row["id"] == "" for row in rows)
        assert result.tracks == {}


def test_progress_and_findings_are_told_in_order(
    tmp_path: Path, write_video: Callable[..., Path], find_squares: Detect
) -> None:
    source = write_video(tmp_path / "in.mp4", REGULAR)
    progress: list[tuple[int, int]] = []
    found: list[int] = []
    predict_video(
        find_squares,
        source,
        tmp_path / "out.mp4",
        categories=CATEGORIES,
        stride=2,
        on_found=lambda entry: found.append(entry.number),
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert progress == [(done, 40) for done in range(1, 41)]
    assert found == list(range(0, 40, 2))


def test_sound_comes_along(tmp_path: Path, find_squares: Detect) -> None:
    source = tmp_path / "sound.mp4"
    with av.open(str(source), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio = output.add_stream("aac", rate=48000, layout="mono")
        for _ in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 20, np.uint8), format="rgb24")
            output.mux(video.encode(frame))
        tone = np.sin(np.arange(48000) * 0.05).astype(np.float32)[None]
        sound = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        sound.rate, sound.pts, sound.time_base = 48000, 0, Fraction(1, 48000)
        output.mux(audio.encode(sound))
        for stream in (video, audio):
            output.mux(stream.encode(None))
    result = predict_video(find_squares, source, tmp_path / "out.mp4", categories=CATEGORIES)

    def samples(path: Path) -> np.ndarray:
        with av.open(str(path)) as container:
            return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])

    assert np.array_equal(samples(source), samples(result.video))


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_error_of_the_network_leaves_nothing(
    tmp_path: Path, write_video: Callable[..., Path], find_squares: Detect
) -> None:
    source = write_video(tmp_path / "in.mp4", REGULAR)
    threads = threading.active_count()
    calls = []

    def broken(images: list[np.ndarray]) -> list[Detection]:
        calls.append(1)
        if len(calls) == 5:
            raise RuntimeError("no memory")
        return find_squares(images)

    with pytest.raises(StageCrashError, match=r"the network failed: RuntimeError: no memory"):
        predict_video(broken, source, tmp_path / "out.mp4", categories=CATEGORIES)
    assert left_over(tmp_path) == ["in.mp4"]
    assert threading.active_count() == threads


def test_interrupt_leaves_nothing_and_an_older_result_stays(
    tmp_path: Path, write_video: Callable[..., Path], find_squares: Detect
) -> None:
    source = write_video(tmp_path / "in.mp4", REGULAR)
    predict_video(find_squares, source, tmp_path / "out.mp4", categories=CATEGORIES)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    threads = threading.active_count()
    calls = []

    def interrupted(images: list[np.ndarray]) -> list[Detection]:
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return find_squares(images)

    with pytest.raises(KeyboardInterrupt):
        predict_video(interrupted, source, tmp_path / "out.mp4", categories=CATEGORIES, batch=1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert threading.active_count() == threads


@pytest.mark.parametrize("stage", ["decoding", "drawing", "encoding", "tracking"])
def test_error_of_any_stage_names_it(
    tmp_path: Path,
    write_video: Callable[..., Path],
    find_squares: Detect,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    source = write_video(tmp_path / "in.mp4", REGULAR)

    def fail(*_: object) -> None:
        raise VideoError("something is wrong.")

    target, name = {
        "decoding": (module, "iterate_decoded"),
        "drawing": (module.Artist, "draw"),
        "encoding": (module.VideoWriter, "add"),
        "tracking": (module.TrackTables, "add"),
    }[stage]
    monkeypatch.setattr(target, name, fail)
    with pytest.raises(StageError, match=f"{stage}: something is wrong"):
        predict_video(find_squares, source, tmp_path / "out.mp4", categories=CATEGORIES)
    assert left_over(tmp_path) == ["in.mp4"]


def test_wrong_number_of_results_is_noticed(
    tmp_path: Path, write_video: Callable[..., Path], find_squares: Detect
) -> None:
    source = write_video(tmp_path / "in.mp4", REGULAR)
    with pytest.raises(StageCrashError, match="3 results for 4 images"):
        predict_video(
            lambda images: find_squares(images)[1:], source, tmp_path / "out.mp4", categories=CATEGORIES, batch=4
        )


def test_senseless_requests_are_refused(tmp_path: Path, write_video: Callable[..., Path], find_squares: Detect) -> None:
    source = write_video(tmp_path / "in.mp4", REGULAR[:4])
    with pytest.raises(SettingsError, match="whole numbers from 1"):
        predict_video(find_squares, source, tmp_path / "out.mp4", categories=CATEGORIES, stride=0)
    with pytest.raises(SettingsError, match="the video itself"):
        predict_video(find_squares, source, source, categories=CATEGORIES)
    with pytest.raises(VideoError, match=r"ends in \.mp4"):
        predict_video(find_squares, source, tmp_path / "out.gif", categories=CATEGORIES)
    with pytest.raises(VideoError, match="no such file"):
        predict_video(find_squares, tmp_path / "none.mp4", tmp_path / "out.mp4", categories=CATEGORIES)
    assert left_over(tmp_path) == ["in.mp4"]


def test_figure_that_is_lost_for_a_moment_keeps_its_number(
    tmp_path: Path, write_video: Callable[..., Path], find_squares: Detect
) -> None:
    source = write_video(tmp_path / "in.mp4", REGULAR)
    seen = []

    def sometimes(images: list[np.ndarray]) -> list[Detection]:
        found = find_squares(images)
        for place, detection in enumerate(found):
            seen.append(1)
            if 15 <= len(seen) < 22:
                values = (detection.boxes, detection.scores, detection.categories)
                found[place] = Detection(values[0][:0], values[1][:0], values[2][:0], [])
        return found

    result = predict_video(
        sometimes, source, tmp_path / "out.mp4", categories=CATEGORIES, tracking=TrackingSettings("ocsort")
    )
    assert list(result.tracks) == [1]
    assert len(read_json(result.tables["json"])["annotations"]) == 33


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_the_video(tmp_path: Path, find_squares: Detect) -> None:
    """10,000 frames of 128 x 96, of which 369 MB of pixels pass through."""
    count, width, height = 10_000, 128, 96
    source = tmp_path / "long.mp4"
    background = np.full((height, width, 3), 20, np.uint8)
    with VideoWriter(source, width, height, fps=25) as writer:
        for number in range(count):
            image = background.copy()
            x = number % (width - 20)
            image[30:50, x : x + 20] = 230
            writer.add(image, number / 25)
    process, memory = psutil.Process(), []

    def watch(done: int, total: int) -> None:
        if done % 500 == 0:
            memory.append(process.memory_info().rss)

    result = predict_video(find_squares, source, tmp_path / "out.mp4", categories=CATEGORIES, on_progress=watch)
    assert result.frames == result.looked_at == count
    assert open_video(result.video).frame_count == count
    assert max(memory[4:]) - memory[3] < 60e6
