"""The demo: phantoms, then a training like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from goodfit.commands import demo as module
from goodfit.commands.demo import demo
from goodfit.errors import DatasetError
from goodfit.phantoms import write_phantoms


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
