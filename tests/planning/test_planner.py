"""Plans against those of nnU-Net 2.8.1 (nnunet_plans.json holds its answers for the same fingerprints)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from goodfit.data.dataset import Dataset, content_key, open_dataset
from goodfit.data.labels import Labels
from goodfit.errors import PlanError
from goodfit.planning.fingerprint import Fingerprint, measure
from goodfit.planning.plan import IntensityStatistics, load_plan, save_plan
from goodfit.planning.planner import make_plan

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("nnunet_plans.json").read_text())
REFERENCES: list[dict[str, Any]] = GOLDEN["references"]
INTENSITIES = IntensityStatistics(mean=0, median=0, std=1, minimum=-1, maximum=1, percentile_00_5=-1, percentile_99_5=1)


def dataset_of(reference: dict[str, Any]) -> Dataset:
    classes = {f"class {value}": (value,) for value in range(1, reference["labels"] + 1)}
    return Dataset(
        root=Path("dataset"),
        name=reference["name"],
        channels=tuple(reference["channels"]),
        labels=Labels(classes, ignore=reference["labels"] + 1 if reference["ignore"] else None),
        file_ending=".nii.gz",
        layout="nnunet",
        cases=(),
    )


def fingerprint_of(reference: dict[str, Any]) -> Fingerprint:
    shapes = reference["shapes"] * reference["repeat"]
    return Fingerprint(
        key="key",
        cases=[f"case{index}" for index in range(len(shapes))],
        spacings=reference["spacings"] * reference["repeat"],
        shapes_before_crop=shapes,
        shapes_after_crop=shapes,
        relative_size_after_crop=reference["relative"],
        intensities=[INTENSITIES] * len(reference["channels"]),
        class_voxels={},
    )


def reference_of(name: str) -> dict[str, Any]:
    return next(reference for reference in REFERENCES if reference["name"] == name)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        pytest.param(reference, plan, id=f"{reference['name']}-{plan['preset']}-{plan['gigabytes']}GB")
        for reference in REFERENCES
        for plan in reference["plans"]
    ],
)
def test_plan_is_nnunets(reference: dict[str, Any], expected: dict[str, Any]) -> None:
    plan = make_plan(
        dataset_of(reference),
        fingerprint_of(reference),
        memory=expected["gigabytes"] * 1e9,
        preset=expected["preset"],
        spacing=reference.get("given_spacing"),
    )
    assert plan.data.transpose == expected["transpose"]
    assert plan.data.normalisation == expected["normalisation"]
    assert plan.data.use_mask == expected["use_mask"]
    # The file leaves out the cascade, which nnU-Net writes as 3d_fullres with a previous stage.
    cascade = {"3d_cascade_fullres"} if "3d_lowres" in expected["configurations"] else set()
    assert set(plan.configurations) == {*expected["configurations"], *cascade}
    for name, wanted in expected["configurations"].items():
        configuration = plan.configurations[name]
        network, dims = configuration.network, configuration.dims
        assert configuration.batch_size == wanted["batch_size"]
        assert configuration.patch_size == wanted["patch_size"]
        assert configuration.spacing[-dims:] == pytest.approx(wanted["spacing"], rel=1e-12)
        assert configuration.median_shape[-dims:] == wanted["median"]
        assert configuration.batch_dice == wanted["batch_dice"]
        assert network.strides == wanted["strides"]
        assert network.kernel_sizes == wanted["kernels"]
        assert network.features == wanted["features"]
        assert network.encoder_blocks == wanted["blocks"]
        assert network.decoder_blocks == wanted["decoder"]


@pytest.mark.parametrize(("name", "batch_2d", "batch_3d"), [("hippocampus", 366, 9), ("hippocampus_200", 281, 7)])
def test_hippocampus(name: str, batch_2d: int, batch_3d: int) -> None:
    reference = reference_of(name)
    plan = make_plan(dataset_of(reference), fingerprint_of(reference))
    assert plan.memory == 8e9
    assert plan.configuration == "3d_fullres"
    assert (plan.configurations["2d"].batch_size, plan.configurations["2d"].patch_size) == (batch_2d, [56, 40])
    assert (plan.chosen.batch_size, plan.chosen.patch_size) == (batch_3d, [40, 56, 40])


@pytest.mark.parametrize("name", ["hippocampus", "ct_large", "retina"])
def test_every_derived_value_has_a_reason(name: str) -> None:
    reference = reference_of(name)
    plan = make_plan(dataset_of(reference), fingerprint_of(reference))
    assert {"memory", "configuration", "configurations"} <= set(plan.reasons)
    assert set(plan.data.reasons) == {"transpose", "normalisation", "use_mask", "intensities"}
    for configuration in plan.configurations.values():
        fields = set(type(configuration).model_fields) - {"reasons", "name", "network"}
        fields = {field for field in fields if getattr(configuration, field) is not None}
        assert set(configuration.reasons) == fields
        assert all(reason for reason in configuration.reasons.values())


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    reference = reference_of("ct_large")
    plan = make_plan(dataset_of(reference), fingerprint_of(reference))
    save_plan(plan, tmp_path / "plan.json")
    assert load_plan(tmp_path / "plan.json") == plan


def test_a_given_spacing_replaces_the_derived_one_everywhere() -> None:
    reference = reference_of("hippocampus")
    plan = make_plan(dataset_of(reference), fingerprint_of(reference), spacing=(1, 1, 4))
    assert plan.data.transpose == [2, 0, 1]
    assert plan.chosen.spacing == [4, 1, 1]
    assert plan.chosen.median_shape == [9, 36, 50]
    assert plan.chosen.reasons["spacing"] == "given on the command line"


def test_a_given_configuration_is_trained() -> None:
    reference = reference_of("hippocampus")
    plan = make_plan(dataset_of(reference), fingerprint_of(reference), configuration="2d")
    assert plan.configuration == "2d"
    assert set(plan.configurations) == {"2d", "3d_fullres"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"configuration": "3d_lowres"}, "configuration: there is no 3d_lowres"),
        ({"memory": 1e4}, "memory: .*too little"),
        ({"memory": -1.0}, "memory: .*positive"),
        ({"memory": float("nan")}, "memory: .*positive"),
        ({"spacing": (1, 1)}, "spacing: .*three positive lengths"),
        ({"spacing": (1, 1, 0)}, "spacing: .*three positive lengths"),
    ],
)
def test_what_cannot_be_is_refused_by_field(options: dict[str, Any], message: str) -> None:
    reference = reference_of("hippocampus")
    with pytest.raises(PlanError, match=message):
        make_plan(dataset_of(reference), fingerprint_of(reference), **options)


def test_a_fingerprint_of_other_channels_is_refused() -> None:
    hippocampus, brain = reference_of("hippocampus"), reference_of("brain_four_channels")
    with pytest.raises(PlanError, match="fingerprint has 4 channels, the dataset 1"):
        make_plan(dataset_of(hippocampus), fingerprint_of(brain))


def test_real_hippocampus(shared_data: Callable[[str], Path]) -> None:
    dataset = open_dataset(shared_data("Dataset004_Hippocampus"))
    plan = make_plan(dataset, measure(dataset, content_key(dataset), workers=2))
    assert plan.data.key == content_key(dataset)
    assert plan.data.classes == {"Anterior": [1], "Posterior": [2]}
    assert (plan.configurations["2d"].batch_size, plan.configurations["2d"].patch_size) == (281, [56, 40])
    assert (plan.chosen.batch_size, plan.chosen.patch_size) == (7, [40, 56, 40])


@pytest.mark.parametrize(
    ("folder", "transpose", "configuration", "patch", "batch"),
    [
        ("Dataset027_ACDC", [0, 1, 2], "3d_fullres", [20, 256, 224], 2),
        ("Dataset082_BRATS6", [0, 1, 2], "3d_fullres", [80, 96, 80], 2),
        ("Dataset101_CHASE", [0, 1, 2], "2d", [512, 512], 2),
        ("Dataset301_MouseBrainFVB", [0, 1, 2], "3d_fullres", [56, 128, 80], 2),
        ("Dataset401_CTfixture", [0, 1, 2], "3d_fullres", [80, 160, 192], 2),
    ],
)
def test_real_datasets_are_planned_as_nnunet_does(
    shared_data: Callable[[str], Path],
    folder: str,
    transpose: list[int],
    configuration: str,
    patch: list[int],
    batch: int,
) -> None:
    dataset = open_dataset(shared_data(folder))
    plan = make_plan(dataset, measure(dataset, "key", workers=2))
    assert plan.data.transpose == transpose
    assert (plan.configuration, plan.chosen.patch_size, plan.chosen.batch_size) == (configuration, patch, batch)


def test_the_table_has_every_kind_of_dataset_and_preset() -> None:
    assert GOLDEN["nnunetv2"] == "2.8.1"
    assert len(REFERENCES) >= 12
    for reference in REFERENCES:
        asked = {(plan["preset"], plan["gigabytes"]) for plan in reference["plans"]}
        assert asked >= {("plain", 8), ("resenc_m", 8), ("resenc_l", 24), ("resenc_xl", 40)}


def test_the_golden_plans_are_what_the_installed_nnunet_gives() -> None:
    pytest.importorskip("nnunetv2", reason="nnU-Net, the judge, is not installed")
    names = ["hippocampus", "cardiac_thick_slices", "retina", "given_spacing"]
    script = Path(__file__).with_name("plan_with_nnunet.py")
    asked = subprocess.run(
        [sys.executable, script, "--only", ",".join(names), "--print"], check=True, capture_output=True, text=True
    )
    assert json.loads(asked.stdout) == [reference_of(name) for name in names]
