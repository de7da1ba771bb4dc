from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from goodfit.data.geometry import Geometry
from goodfit.data.readers import read_image, read_label, write_label
from goodfit.errors import DatasetError, ResourceError, SettingsError
from goodfit.planning.plan import Configuration, Data, IntensityStatistics, NetworkPlan, Plan
from goodfit.preprocessing.case import preprocess_case
from goodfit.preprocessing.resample import resample_logits
from goodfit.tasks.segmentation import model as model_module
from goodfit.tasks.segmentation import predict as module
from goodfit.tasks.segmentation.inference import SlidingWindow
from goodfit.tasks.segmentation.model import Effort, Model, predict_image
from goodfit.tasks.segmentation.network import build_network, deep_supervision_enabled
from goodfit.tasks.segmentation.predict import predict_cases

CPU = torch.device("cpu")
SLANTED = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def plan(*, dims: int = 3, transpose: tuple[int, int, int] = (0, 1, 2), ending: str = ".nii.gz") -> Plan:
    network = NetworkPlan(
        architecture="plain_unet",
        features=[4, 6],
        kernel_sizes=[[3] * dims] * 2,
        strides=[[1] * dims, [2] * dims],
        encoder_blocks=[1, 1],
        decoder_blocks=[1],
    )
    name = "2d" if dims == 2 else "3d_fullres"
    configuration = Configuration(
        name=name,
        spacing=[1.5, 1, 1],
        median_shape=[10, 12, 12],
        patch_size=[8] * dims,
        batch_size=2,
        batch_dice=False,
        network=network,
    )
    statistics = IntensityStatistics(
        mean=0, median=0, std=1, minimum=0, maximum=1, percentile_00_5=0, percentile_99_5=1
    )
    data = Data(
        name="test",
        key="0",
        channels=["mr"],
        file_ending=ending,
        classes={"a": [1], "b": [5]},
        transpose=list(transpose),
        normalisation=["zscore"],
        use_mask=[False],
        intensities=[statistics],
    )
    return Plan(goodfit_version="0", memory=1e9, data=data, configuration=name, configurations={name: configuration})


def network(of: Plan) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network(of.chosen.network, 1, 3, of.chosen.dims)


def models(of: Plan) -> list[Model]:
    return [Model(network(of), of, CPU, "float32")]


def image_file(folder: Path, name: str, seed: int = 0, shape: tuple[int, int, int] = (9, 14, 12)) -> Path:
    """An image with a border of zeros, on a slanted, anisotropic grid."""
    values = np.zeros(shape, dtype=np.uint8)
    inner = tuple(size - 3 for size in shape)
    values[1:-2, 2:-1, 1:-2] = np.random.default_rng(seed).integers(1, 200, inner)
    file = folder / f"{name}_0000.nii.gz"
    write_label(file, values, Geometry((2.0, 0.9, 1.1), (-3.0, 4.5, 60.0), SLANTED, 3))
    return file


def expected_labels(model: torch.nn.Module, of: Plan, file: Path) -> np.ndarray:
    """The same steps on whole arrays."""
    image, _, properties = preprocess_case(read_image([file]), None, of.data, of.chosen)
    logits = SlidingWindow(tuple(of.chosen.patch_size)).logits(model, torch.from_numpy(image))
    back = resample_logits(logits, properties.shape_after_crop, properties.spacing, properties.spacing_before)
    whole = np.zeros(properties.shape_before_crop, dtype=np.uint8)
    whole[tuple(slice(*ends) for ends in properties.bbox)] = np.array([0, 1, 5])[back.argmax(0).numpy()]
    return whole.transpose(np.argsort(of.data.transpose))


@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("dims", [2, 3])
def test_files_hold_the_prediction_in_the_geometry_of_the_image(
    tmp_path: Path, dims: int, transpose: tuple[int, int, int]
) -> None:
    used = plan(dims=dims, transpose=transpose)
    model = network(used)
    files = {name: image_file(tmp_path, name, seed) for seed, name in enumerate(["one", "two", "three"])}
    progress: list[tuple[int, int]] = []
    written = predict_cases(
        [Model(model, used, CPU, "float32")],
        [(name, [file]) for name, file in files.items()],
        tmp_path / "out",
        Effort(),
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert written == [tmp_path / "out" / f"{name}.nii.gz" for name in files]
    assert progress == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert model.training
    assert deep_supervision_enabled(model)
    for (_, file), result in zip(files.items(), written, strict=True):
        label, geometry = read_label(result)
        original = read_image([file]).geometry
        assert geometry.dims == original.dims
        for field in ("spacing", "origin", "direction"):
            assert getattr(geometry, field) == pytest.approx(getattr(original, field), abs=1e-5), field
        expected = expected_labels(model, used, file)
        assert np.array_equal(label, expected)
        assert len(np.unique(label)) > 1


def test_probabilities_agree_with_the_labels(tmp_path: Path) -> None:
    used = plan()
    inputs = [("one", [image_file(tmp_path, "one")])]
    arguments = {"probabilities": True}
    (written,) = predict_cases(models(used), inputs, tmp_path / "out", Effort(), **arguments)
    with np.load(tmp_path / "out" / "one.npz") as content:
        probabilities = content["probabilities"].astype(np.float32)
    label, _ = read_label(written)
    assert probabilities.shape == (3, *label.shape)
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=3e-3)
    sure = np.sort(probabilities, 0)[-1] - np.sort(probabilities, 0)[-2] > 1e-2
    assert np.array_equal(np.array([0, 1, 5])[probabilities.argmax(0)][sure], label[sure])


def test_a_failing_case_is_named_and_the_others_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = plan()
    broken = tmp_path / "broken_0000.nii.gz"
    broken.write_bytes(b"no image")
    inputs = [(name, [image_file(tmp_path, name)]) for name in ("first", "huge", "last")]
    inputs.insert(1, ("broken", [broken]))
    progress: list[int] = []
    real = model_module.restore

    def restore(slabs, properties, labels, **more):
        if len(progress) < 4 and restore.calls == 1:
            restore.calls += 1
            raise torch.OutOfMemoryError("out of memory")
        restore.calls += 1
        return real(slabs, properties, labels, **more)

    restore.calls = 0
    monkeypatch.setattr(model_module, "restore", restore)
    with pytest.raises(DatasetError, match="2 of 4 cases could not be predicted") as caught:
        predict_cases(
            models(used),
            inputs,
            tmp_path / "out",
            Effort(),
            on_progress=lambda done, _: progress.append(done),
        )
    assert "broken: " in str(caught.value)
    assert str(broken) in str(caught.value)
    assert "huge: there is not enough memory" in str(caught.value)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["first.nii.gz", "last.nii.gz"]
    assert progress == [0, 1, 2, 3, 4]


def test_a_full_disk_ends_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = plan()

    def full(*_: object) -> None:
        raise ResourceError("no room left")

    monkeypatch.setattr(module, "write_label", full)
    inputs = [("one", [image_file(tmp_path, "one")])]
    with pytest.raises(ResourceError, match="no room left"):
        predict_cases(models(used), inputs, tmp_path / "out", Effort())


def test_continue_leaves_finished_cases_alone(tmp_path: Path) -> None:
    used = plan()
    model = network(used)
    inputs = [(name, [image_file(tmp_path, name)]) for name in ("one", "two")]
    out = tmp_path / "out"
    out.mkdir()
    (out / "one.nii.gz").write_bytes(b"finished")
    progress: list[int] = []
    arguments = {"continue_": True}
    written = predict_cases(
        [Model(model, used, CPU, "float32")],
        inputs,
        out,
        Effort(),
        **arguments,
        on_progress=lambda done, _: progress.append(done),
    )
    assert written == [out / "two.nii.gz"]
    assert (out / "one.nii.gz").read_bytes() == b"finished"
    assert progress == [1, 2]
    # Without its probabilities a case is not finished.
    written = predict_cases(
        [Model(model, used, CPU, "float32")], inputs, out, Effort(), **arguments, probabilities=True
    )
    assert len(written) == 2
    assert (out / "one.npz").is_file()


def test_cases_overlap_but_never_more_than_one_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = plan()
    inputs = [(f"case{number}", [image_file(tmp_path, f"case{number}")]) for number in range(4)]
    started, second_read = [], threading.Event()
    real = module._prepare

    def prepare(models, files):
        started.append(files)
        if len(started) == 2:
            second_read.set()
        return real(models, files)

    def restore(slabs, properties, labels, **more):
        assert second_read.wait(30), "the second case should be read while the first one is predicted"
        reached.append(len(started))
        return original(slabs, properties, labels, **more)

    reached: list[int] = []
    original = model_module.restore
    monkeypatch.setattr(module, "_prepare", prepare)
    monkeypatch.setattr(model_module, "restore", restore)
    predict_cases(models(used), inputs, tmp_path / "out", Effort())
    assert all(seen <= case + 2 for case, seen in enumerate(reached))


def test_arrays_are_predicted_like_files(tmp_path: Path) -> None:
    used = plan()
    model = network(used)
    file = image_file(tmp_path, "one")
    image = read_image([file])
    before = image.array.copy()
    predicted = predict_image([Model(model, used, CPU, "float32")], image, Effort()).labels
    assert np.array_equal(predicted, expected_labels(model, used, file))
    assert np.array_equal(image.array, before)


def test_an_output_never_replaces_an_input(tmp_path: Path) -> None:
    used = plan()
    file = image_file(tmp_path, "one").rename(tmp_path / "one.nii.gz")
    content = file.read_bytes()
    with pytest.raises(SettingsError, match=r"one\.nii\.gz: is an input"):
        predict_cases(models(used), [("one", [file])], tmp_path, Effort())
    assert file.read_bytes() == content


@pytest.mark.parametrize("step_size", [0, 1.5, float("nan")])
def test_impossible_steps_are_refused(tmp_path: Path, step_size: float) -> None:
    used = plan()
    with pytest.raises(SettingsError, match="step_size"):
        predict_cases(models(used), [], tmp_path, Effort(step_size))


def test_photographs_get_png_labels(tmp_path: Path) -> None:
    used = plan(dims=2, ending=".jpg")
    file = tmp_path / "one.png"
    values = np.random.default_rng(0).integers(1, 200, (1, 17, 20)).astype(np.uint8)
    write_label(file, values, Geometry((999.0, 1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0), 2))
    (written,) = predict_cases(models(used), [("one", [file])], tmp_path / "out", Effort())
    assert written.name == "one.png"
    assert read_label(written)[0].shape == (1, 17, 20)


def peak_of_a_large_volume(folder: Path) -> float:
    """GiB that predicting 512 x 512 x 600 voxels with 4 classes takes at most, the network's own layers left out."""
    import resource

    used = plan()
    used.data.classes = {"a": [1], "b": [2], "c": [3]}
    used.chosen.patch_size = [128, 128, 128]
    used.chosen.spacing = [1.2, 0.75, 0.75]
    values = np.ones((600, 512, 512), dtype=np.uint8)
    values[:, 100:400, 100:400] = np.random.default_rng(0).integers(2, 99, (300, 300))
    file = folder / "large_0000.nii.gz"
    write_label(file, values, Geometry((1.0, 0.8, 0.8), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), 3))
    pointwise = torch.nn.Conv3d(1, 4, 1)
    predict_cases([Model(pointwise, used, CPU, "float32")], [("large", [file])], folder / "out", Effort())
    assert read_label(folder / "out" / "large.nii.gz")[0].shape == (600, 512, 512)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
def test_a_large_volume_leaves_half_of_8_gib_to_the_network(tmp_path: Path) -> None:
    # A process of its own: the peak of this one may have been earlier.
    finished = subprocess.run(
        [sys.executable, __file__, str(tmp_path)], capture_output=True, text=True, check=True, timeout=500
    )
    assert float(finished.stdout) < 4


if __name__ == "__main__":
    sys.stdout.write(str(peak_of_a_large_volume(Path(sys.argv[1]))))
