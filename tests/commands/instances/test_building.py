"""Store and task of a run on instances, built from a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import goodfit
from goodfit.commands.instances.building import fill_store, frames_of_first_steps, make_task, store_folder
from goodfit.commands.instances.prepare import PreparedInstances
from goodfit.training.recipe import Recipe


@pytest.fixture(scope="module")
def prepared(
    frames: Path, quick_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> PreparedInstances:
    found = goodfit.plan(frames, run=tmp_path_factory.mktemp("building") / "run", settings=quick_settings)
    assert isinstance(found, PreparedInstances)
    return found


def test_every_size_of_frames_has_its_folder(prepared: PreparedInstances) -> None:
    plan = prepared.plan
    assert store_folder(Path("cache"), plan) == Path("cache/frames/64x96")
    other = plan.model_copy(update={"model": plan.model.model_copy(update={"image_max_size": 128})})
    assert store_folder(Path("cache"), other) == Path("cache/frames/64x128")


def test_every_frame_is_decoded_once_and_the_record_says_where(prepared: PreparedInstances, listener: Any) -> None:
    store = fill_store(prepared, listener)
    assert len(store.names()) == 15
    assert listener.stages == ["decode frames"]
    assert prepared.run.read_record()["frames"] == str(store_folder(prepared.cache, prepared.plan).resolve())
    before = {file: file.stat().st_mtime_ns for file in store.folder.rglob("*") if file.is_file()}
    fill_store(prepared, listener)
    assert {file: file.stat().st_mtime_ns for file in store.folder.rglob("*") if file.is_file()} == before


def test_the_task_draws_the_frames_that_are_decoded_for_timing(prepared: PreparedInstances, listener: Any) -> None:
    store = fill_store(prepared, listener)
    task = make_task(prepared, store, Recipe(), pretrained=False, workers=0)
    drawn = {name for batch in task.batches(0, 3) for name in batch.cases}
    task.close()
    assert drawn == set(frames_of_first_steps(prepared, 3))
    assert drawn <= set(prepared.split.train)
    assert len(frames_of_first_steps(prepared, 1)) <= prepared.plan.batch_size


def test_a_recipes_network_is_trained(prepared: PreparedInstances, listener: Any) -> None:
    made: list[object] = []

    class Own(Recipe):
        def build_network(self, plan: Any, default: Any) -> Any:
            made.append(plan)
            return default()

    task = make_task(prepared, fill_store(prepared, listener), Own(), pretrained=False, workers=0)
    task.close()
    assert made == [prepared.plan]
    assert next(task.network.parameters()).device.type == "cpu"
