"""Plans files of both forms; what cannot be is refused with file and field."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from goodfit.errors import PlanError
from goodfit.interop.nnunet.plans_file import parse_nnunet_plans, read_nnunet_plans
from goodfit.interop.nnunet.plans_out import nnunet_plans_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Plan


@pytest.fixture
def values(tiny_plan: Callable[..., Plan]) -> dict[str, Any]:
    return nnunet_plans_of(tiny_plan(), name="Dataset001_Tiny")


def flat(values: dict[str, Any]) -> dict[str, Any]:
    """The same in the form of nnU-Net before 2.4."""
    older = deepcopy(values)
    configuration = older["configurations"]["3d_fullres"]
    arguments = configuration.pop("architecture")["arch_kwargs"]
    configuration |= {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 4,
        "unet_max_num_features": 320,
        "n_conv_per_stage_encoder": arguments["n_conv_per_stage"],
        "n_conv_per_stage_decoder": arguments["n_conv_per_stage_decoder"],
        "num_pool_per_axis": [1, 1, 1],
        "pool_op_kernel_sizes": arguments["strides"],
        "conv_kernel_sizes": arguments["kernel_sizes"],
    }
    older["foreground_intensity_properties_by_modality"] = older.pop("foreground_intensity_properties_per_channel")
    return older


def test_both_forms_say_the_same(values: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "nnUNetPlans.json"
    file.write_text(json.dumps(values))
    configuration, architecture = read_nnunet_plans(file).configuration("3d_fullres")
    older = parse_nnunet_plans(flat(values), "older.json")
    assert older.configuration("3d_fullres") == (configuration, architecture)
    assert older.content.foreground_intensity_properties_per_channel["0"].percentile_99_5 == 90
    assert configuration.patch_size == [8, 8, 8]
    assert configuration.dims == 3
    assert architecture.features == [4, 8]
    assert architecture.strides == [[1, 1, 1], [2, 2, 2]]


def test_a_configuration_inherits_and_its_own_values_go_first(values: dict[str, Any]) -> None:
    values["configurations"] |= {
        "bigger": {"inherits_from": "3d_fullres", "batch_size": 9},
        "biggest": {"inherits_from": "bigger", "patch_size": [16, 16, 16]},
    }
    plans = parse_nnunet_plans(values, "plans.json")
    found, _ = plans.configuration("biggest")
    assert (found.batch_size, found.patch_size) == (9, [16, 16, 16])
    assert plans.configuration("3d_fullres")[0].batch_size == 2
    assert plans.names == ("3d_fullres", "bigger", "biggest")


def change(values: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Set or (with a value of ...) remove what a dotted path names."""
    changed = deepcopy(values)
    *parents, last = path.split(".")
    table = changed
    for name in parents:
        table = table[name]
    if value is ...:
        del table[last]
    else:
        table[last] = value
    return changed


FULL = "configurations.3d_fullres"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("dataset_name", ..., "dataset_name: Field required"),
        ("transpose_forward", [0, 0, 1], "transpose_forward [0, 0, 1] is no order"),
        ("transpose_forward", [0, 1, 3], "transpose_forward.2"),
        ("image_reader_writer", "os.system", "image_reader_writer: Input should be 'SimpleITKIO'"),
        ("label_manager", "MyLabels", "label_manager"),
        ("configurations", {}, "configurations"),
        ("foreground_intensity_properties_per_channel.0.std", -1, "foreground_intensity_properties_per_channel.0.std"),
        (
            f"{FULL}.inherits_from",
            "nowhere",
            "configurations.3d_fullres.inherits_from: there is no configuration 'nowhere'",
        ),
        (f"{FULL}.inherits_from", "3d_fullres", "leads back to itself (3d_fullres -> 3d_fullres)"),
        (f"{FULL}.inherits_from", 3, "inherits_from: 3 is no name"),
        (f"{FULL}.patch_size", ..., "configurations.3d_fullres.patch_size: Field required"),
        (f"{FULL}.spacing", [1.0, 1.0], "spacing has 2 axes, patch_size has 3"),
        (f"{FULL}.batch_size", 0, "configurations.3d_fullres.batch_size"),
        (f"{FULL}.normalization_schemes", ["Mine"], "configurations.3d_fullres.normalization_schemes.0"),
        (f"{FULL}.use_mask_for_norm", [True, False], "differ in length"),
        (f"{FULL}.preprocessor_name", "Evil", "configurations.3d_fullres.preprocessor_name"),
        (f"{FULL}.resampling_fn_data", "resample_torch", "resampling_fn_data: 'resample_torch' is not on the list"),
        (
            f"{FULL}.resampling_fn_seg_kwargs",
            {"order": 0},
            "resampling_fn_seg_kwargs.order: 0 is not what goodfit does (1)",
        ),
        (f"{FULL}.architecture", ..., "configurations.3d_fullres.architecture: missing"),
    ],
)
def test_what_cannot_be_is_refused_by_file_and_field(
    values: dict[str, Any], path: str, value: object, said: str
) -> None:
    with pytest.raises(PlanError) as caught:
        parse_nnunet_plans(change(values, path, value), "folder/plans.json").configuration("3d_fullres")
    assert str(caught.value).startswith("folder/plans.json")
    assert said in str(caught.value)


def test_a_circle_of_several_is_named(values: dict[str, Any]) -> None:
    values["configurations"] |= {"a": {"inherits_from": "b"}, "b": {"inherits_from": "c"}, "c": {"inherits_from": "b"}}
    with pytest.raises(PlanError, match=r"configurations\.c\.inherits_from: leads back to itself \(a -> b -> c -> b\)"):
        parse_nnunet_plans(values, "plans.json").configuration("a")


def test_an_unknown_configuration_is_answered_with_those_there(values: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match="there is no '2d'; there are 3d_fullres"):
        parse_nnunet_plans(values, "plans.json").configuration("2d")


@pytest.mark.parametrize("value", [[], "text", None, 3])
def test_anything_but_an_object_is_refused(value: object) -> None:
    with pytest.raises(PlanError, match=r"plans\.json: should hold a JSON object"):
        parse_nnunet_plans(value, "plans.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="there is no such file"):
        read_nnunet_plans(tmp_path / "plans.json")
