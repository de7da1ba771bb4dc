"""The demo: phantoms, then a training like any other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from goodfit.commands import demo as module
from goodfit.commands.demo import demo
from goodfit.data.splits import Split, save_split
from goodfit.errors import DatasetError, SettingsError
from goodfit.phantoms import write_phantoms
from goodfit.phantoms.rooms import write_rooms
from goodfit.training.run_folder import RunFolder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any, dict[str, Any]]]:
    made: list[tuple[str, Any, dict[str, Any]]] = []

    def write(folder: Path, **options: Any) -> Path:
        options.pop("on_progress")(3, 24)
        made.append(("write", folder, options))
        return folder

    def train(dataset: Path, **options: Any) -> str:
        made.append(("train", dataset, options))
        return "the result"

    monkeypatch.setattr(module, "write_phantoms", write)
    monkeypatch.setattr(module, "train", train)
    return made


def test_phantoms_are_written_and_trained_on(calls: list[Any], tmp_path: Path, listener: Any) -> None:
    wishes = {"training.seed": 4}
    assert demo(tmp_path, time="90s", seed=7, fresh=True, settings=wishes, observer=listener) == "the result"
    dataset = tmp_path / "Dataset900_Phantoms"
    wanted = {"run": tmp_path / "run", "fresh": True, "settings": wishes, "observer": listener, "time": "90s"}
    assert calls == [("write", dataset, {"seed": 7}), ("train", dataset, wanted)]
    assert listener.stages == ["generate phantoms"]
    assert listener.progress == [(3, 24)]


def test_without_arguments_everything_lies_in_demo(calls: list[Any]) -> None:
    demo()
    (_, dataset, written), (_, _, trained) = calls
    assert dataset == Path("demo/Dataset900_Phantoms")
    assert written == {"seed": 0}
    assert (trained["run"], trained["time"], trained["fresh"]) == (Path("demo/run"), "2m30s", False)


def test_phantoms_of_another_seed_are_not_trained_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "train", lambda *_, **__: pytest.fail("trained"))
    write_phantoms(tmp_path / "Dataset900_Phantoms", cases=1, seed=0)
    with pytest.raises(DatasetError, match="another dataset"):
        demo(tmp_path, seed=1)


class FinishedRun:
    """What a training of rooms leaves, as far as the demo looks at it."""

    finished = True

    def __init__(self, folder: Path) -> None:
        self.run = RunFolder(folder)
        self.run.best.parent.mkdir(parents=True, exist_ok=True)
        self.run.best.write_bytes(b"weights")
        names = [f"room_00{video}_000000" for video in range(2)]
        save_split(Split(seed=0, source="", train=names[:1], validation=[], test=names[1:]), self.run.splits)


@pytest.fixture
def rooms(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    made: list[tuple[Any, ...]] = []

    def train(dataset: Path, **options: Any) -> FinishedRun:
        made.append(("train", dataset, options))
        return FinishedRun(options["run"])

    def predict(run: Path, video: Path, output: Path, **_: Any) -> None:
        made.append(("predict", run, video, output))
        output.write_bytes(b"video")

    def write(folder: Path, **options: Any) -> Path:
        return write_rooms(folder, videos=2, frames=4, **options)

    monkeypatch.setattr(module, "train", train)
    monkeypatch.setattr("goodfit.commands.predict.predict", predict)
    monkeypatch.setattr("goodfit.phantoms.rooms.write_rooms", write)
    return made


def test_rooms_are_trained_from_scratch_and_a_test_video_gets_an_overlay(
    rooms: list[tuple[Any, ...]], tmp_path: Path, listener: Any
) -> None:
    result = demo(tmp_path, task="instances", settings={"training.learning_rate": 0.5}, observer=listener)
    (_, dataset, options), predicted = rooms
    assert dataset == tmp_path / "rooms"
    assert options["settings"] == {**module.ROOM_WISHES, "training.learning_rate": 0.5}
    assert options["settings"]["model.weights"] == "none"
    assert options["time"] == "3m30s"
    run = tmp_path / "run-instances"
    assert predicted == ("predict", run, tmp_path / "rooms" / "videos" / "room_001.mp4", tmp_path / "overlay.mp4")
    assert result.run.path == run
    assert any("overlay of a test video" in note for note in listener.notes)


def test_the_overlay_is_made_anew_only_with_new_weights(rooms: list[tuple[Any, ...]], tmp_path: Path) -> None:
    demo(tmp_path, task="instances")
    later = (tmp_path / "run-instances" / "checkpoints" / "best.safetensors").stat().st_mtime + 100
    os.utime(tmp_path / "overlay.mp4", (later, later))
    demo(tmp_path, task="instances")
    assert [made[0] for made in rooms] == ["train", "predict", "train"]
    os.utime(tmp_path / "overlay.mp4", (0, 0))
    demo(tmp_path, task="instances")
    assert [made[0] for made in rooms][3:] == ["train", "predict"]


def test_there_are_two_demos(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="write segmentation or instances"):
        demo(tmp_path, task="audio")
