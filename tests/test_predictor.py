"""Prediction from Python, on arrays."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import goodfit
from goodfit.data.geometry import Geometry
from goodfit.data.readers import read_image, read_label, write_label
from goodfit.data.splits import Split, save_split
from goodfit.errors import DatasetError, RunError, SettingsError
from goodfit.planning.plan import Plan, save_plan
from goodfit.tasks.segmentation.network import build_network, deep_supervision_enabled
from goodfit.training.checkpoint import Checkpoint, save_checkpoint
from goodfit.training.run_folder import RunFolder
from goodfit.training.weights import weights_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def write_run(path: Path, plan: Plan, seed: int) -> Path:
    run = RunFolder(path)
    run.update_record(dataset="x", settings={}, status="finished")
    save_plan(plan, run.plan)
    save_split(Split(seed=0, source="by hand", train=["a"], validation=["b"], test=[]), run.splits)
    torch.manual_seed(seed)
    network = build_network(plan.chosen.network, 1, plan.data.labels.outputs, plan.chosen.dims)
    save_checkpoint(run.best, Checkpoint({"network": weights_of(network)}, {}))
    return path


@pytest.fixture
def folds(tmp_path: Path, tiny_plan: Callable[..., Plan]) -> Path:
    for seed in range(2):
        write_run(tmp_path / "cv" / f"fold_{seed}", tiny_plan(), seed)
    return tmp_path / "cv"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for seed in range(4):
        values = np.zeros((9 + seed, 14, 12), np.uint8)
        values[1:-1, 1:-2, 2:] = np.random.default_rng(seed).integers(1, 200, (7 + seed, 11, 10))
        write_label(
            tmp_path / "images" / f"i{seed}_0000.nii.gz", values, Geometry((2.0, 0.9, 1.1), (1.0, 2, 3), IDENTITY, 3)
        )
    return tmp_path / "images"


def test_arrays_give_what_the_command_writes_bit_for_bit(folds: Path, images: Path, tmp_path: Path) -> None:
    single = write_run(tmp_path / "single", Plan.model_validate(goodfit_plan(folds)), 5)
    for places in ([folds], [folds / "fold_1"], [folds, single]):
        out = tmp_path / f"out{len(places)}{places[0].name}"
        written = goodfit.predict(
            places[0], images, out, with_=places[1:], tta=True, step_size=0.7, probabilities=True, device="cpu"
        )
        model = goodfit.load_model(*places, tta=True, step_size=0.7, device="cpu")
        assert len(written) == 4
        for file in written:
            image = read_image([images / f"{file.name.removesuffix('.nii.gz')}_0000.nii.gz"])
            labels, probabilities = model.predict_probabilities(image.array, image.geometry.spacing)
            assert np.array_equal(labels, read_label(file)[0])
            with np.load(file.with_name(file.name.replace(".nii.gz", ".npz"))) as content:
                assert np.array_equal(probabilities, content["probabilities"])
            assert np.array_equal(model.predict(image.array.astype(np.uint8), image.geometry.spacing), labels)


def goodfit_plan(folds: Path) -> Any:
    import json

    return json.loads((folds / "fold_0" / "plan.json").read_text())


def test_threads_may_share_a_model(folds: Path, images: Path) -> None:
    model = goodfit.load_model(folds, device="cpu")
    pictures = [read_image([file]) for file in sorted(images.iterdir())]
    alone = [model.predict(image.array, image.geometry.spacing) for image in pictures]
    found: dict[tuple[int, int], np.ndarray] = {}

    def call(turn: int, index: int) -> None:
        found[turn, index] = model.predict(pictures[index].array, pictures[index].geometry.spacing)

    threads = [threading.Thread(target=call, args=(turn, index)) for turn in range(3) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert all(np.array_equal(labels, alone[index]) for (_, index), labels in found.items())
    assert not model.opened.models[0].network.training
    assert not deep_supervision_enabled(model.opened.models[0].network)


def test_a_script_needs_no_main_guard_and_starts_no_process(folds: Path, tmp_path: Path) -> None:
    script = tmp_path / "service.py"
    script.write_text(
        "import numpy, multiprocessing, goodfit\n"
        f"model = goodfit.load_model({str(folds)!r}, device='cpu')\n"
        "labels = model.predict(numpy.random.default_rng(0).random((1, 9, 12, 10)), spacing=(2.0, 1.0, 1.0))\n"
        "print(labels.shape, labels.dtype, multiprocessing.active_children())\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "(9, 12, 10) uint8 []"


def test_flat_images_have_two_axes(tmp_path: Path, plan_values: dict[str, Any]) -> None:
    configuration = plan_values["configurations"].pop("3d_fullres")
    for field in ("kernel_sizes", "strides"):
        configuration["network"][field] = [one[:2] for one in configuration["network"][field]]
    configuration |= {"name": "2d", "patch_size": [8, 8], "spacing": [999.0, 1.0, 1.0]}
    plan_values |= {"configuration": "2d", "configurations": {"2d": configuration}}
    plan_values["data"]["file_ending"] = ".png"
    run = write_run(tmp_path / "flat", Plan.model_validate(plan_values), 1)
    values = np.random.default_rng(0).integers(0, 200, (1, 17, 13)).astype(np.uint8)
    write_label(tmp_path / "images" / "a.png", values, Geometry((999.0, 1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0), 2))
    (file,) = goodfit.predict(run, tmp_path / "images", tmp_path / "out", device="cpu")
    model = goodfit.load_model(run, device="cpu")
    labels, probabilities = model.predict_probabilities(values, (1.0, 1.0))
    assert labels.shape == (17, 13)
    assert probabilities.shape == (3, 17, 13)
    assert np.array_equal(labels, read_label(file)[0][0])
    assert np.array_equal(model.predict(values, (5.0, 1.0, 1.0)), labels)


def test_a_call_can_be_watched_and_broken_off(folds: Path) -> None:
    model = goodfit.load_model(folds, device="cpu")
    image = np.random.default_rng(0).random((1, 20, 20, 20))
    seen: list[tuple[int, int]] = []
    model.predict(image, (2.0, 1.0, 1.0), on_tiles=lambda *step: seen.append(step))
    assert seen[-1][0] == seen[-1][1]

    def stop(done: int, total: int) -> None:
        raise TimeoutError(f"{done} of {total}")

    with pytest.raises(TimeoutError):
        model.predict(image, (2.0, 1.0, 1.0), on_tiles=stop)


def test_the_model_says_what_it_expects(folds: Path) -> None:
    model = goodfit.load_model(folds, device="cpu")
    assert model.channels == ("MRI",)
    assert model.labels.classes == {"left": (1,), "right": (2,)}


@pytest.mark.parametrize(
    ("shape", "spacing", "message"),
    [
        ((9, 9), (1, 1), "image: shape"),
        ((1, 0, 9, 9), (1, 1, 1), "image: shape"),
        ((2, 9, 9, 9), (1, 1, 1), "has 2 channels, the network expects 1"),
        ((1, 9, 9, 9), (1, 1), r"spacing: .* \(z, y, x\)"),
        ((1, 9, 9, 9), (1, 0, 1), "spacing"),
        ((1, 9, 9, 9), (1, 1, float("nan")), "spacing"),
        ((1, 9, 9), (1,), r"spacing: .* \(y, x\)"),
    ],
)
def test_other_arrays_are_refused(folds: Path, shape: Any, spacing: Any, message: str) -> None:
    model = goodfit.load_model(folds / "fold_0", device="cpu")
    with pytest.raises(DatasetError, match=message):
        model.predict(np.ones(shape), spacing)


def test_values_that_are_no_numbers_are_refused(folds: Path) -> None:
    model = goodfit.load_model(folds / "fold_0", device="cpu")
    image = np.ones((1, 9, 9, 9))
    image[0, 1, 2, 3] = np.nan
    with pytest.raises(DatasetError, match="not finite"):
        model.predict(image, (1, 1, 1))
    with pytest.raises(DatasetError, match="expected numbers"):
        model.predict(np.full((1, 9, 9, 9), "x"), (1, 1, 1))


def test_what_cannot_be_loaded_is_refused_at_once(folds: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="step_size"):
        goodfit.load_model(folds, step_size=2, device="cpu")
    RunFolder(tmp_path / "boxes").update_record(kind="instances")
    with pytest.raises(RunError, match="finds instances"):
        goodfit.load_model(tmp_path / "boxes")
