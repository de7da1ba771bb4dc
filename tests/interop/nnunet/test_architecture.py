"""Networks of plans files: those of nnU-Net's planners, and no others."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from goodfit.errors import PlanError
from goodfit.interop.nnunet.architecture import read_architecture

RESIDUAL = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
    "arch_kwargs": {
        "n_stages": 3,
        "features_per_stage": [32, 64, 128],
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "kernel_sizes": 3,
        "strides": [1, 2, [2, 1]],
        "n_blocks_per_stage": [1, 3, 4],
        "n_conv_per_stage_decoder": 1,
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}
FLAT = {
    "UNet_class_name": "ResidualEncoderUNet",
    "UNet_base_num_features": 32,
    "unet_max_num_features": 100,
    "n_conv_per_stage_encoder": [1, 3, 4],
    "n_conv_per_stage_decoder": [1, 1],
    "pool_op_kernel_sizes": [[1, 1], [2, 2], [2, 2]],
    "conv_kernel_sizes": [[3, 3], [3, 3], [3, 3]],
}


def test_single_numbers_stand_for_every_stage_and_axis() -> None:
    found = read_architecture({"architecture": RESIDUAL}, 2, "plans.json: configurations.2d")
    assert found.kind == "residual_unet"
    assert found.kernel_sizes == [[3, 3], [3, 3], [3, 3]]
    assert found.strides == [[1, 1], [2, 2], [2, 1]]
    assert (found.features, found.encoder_blocks, found.decoder_blocks) == ([32, 64, 128], [1, 3, 4], [1, 1])


def test_flat_keys_double_the_features_up_to_the_largest() -> None:
    found = read_architecture(FLAT, 2, "plans.json: configurations.2d")
    assert (found.kind, found.features) == ("residual_unet", [32, 64, 100])


def test_older_homes_of_a_class_are_known() -> None:
    name = "dynamic_network_architectures.architectures.residual_unet.ResidualEncoderUNet"
    assert read_architecture({"architecture": {**RESIDUAL, "network_class_name": name}}, 2, "x").kind == "residual_unet"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("network_class_name", "os.system", "architecture.network_class_name: 'os.system' is not on the list"),
        ("network_class_name", "evil.PlainConvUNet", "architecture.network_class_name: 'evil.PlainConvUNet'"),
        ("network_class_name", 3, "architecture.network_class_name: 3"),
        ("network_class_name", ..., "architecture.network_class_name: missing"),
        ("arch_kwargs", [], "architecture.arch_kwargs: [] is no JSON object"),
        ("conv_op", "torch.nn.modules.conv.Conv3d", "arch_kwargs.conv_op"),
        ("conv_op", "evil.Conv2d", "arch_kwargs.conv_op: 'evil.Conv2d'"),
        ("norm_op", "torch.nn.modules.batchnorm.BatchNorm2d", "arch_kwargs.norm_op"),
        ("norm_op_kwargs", {"eps": 1e-3, "affine": True}, "arch_kwargs.norm_op_kwargs.eps: 0.001"),
        ("nonlin", "torch.nn.ReLU", "arch_kwargs.nonlin"),
        ("nonlin_kwargs", {"negative_slope": 0.2}, "arch_kwargs.nonlin_kwargs.negative_slope: 0.2"),
        ("conv_bias", False, "arch_kwargs.conv_bias: False"),
        ("dropout_op", "torch.nn.Dropout", "arch_kwargs.dropout_op: 'torch.nn.Dropout'"),
        ("n_stages", "many", "has no stages that could be counted"),
        ("features_per_stage", [32, 64], "features_per_stage: [32, 64] should be 3 whole numbers"),
        ("features_per_stage", [32, 64, -1], "features_per_stage"),
        ("features_per_stage", [32, 64, 1.5], "features_per_stage"),
        ("strides", [[1, 1], [2, 2]], "strides: should have 3 entries"),
        ("kernel_sizes", [[3, 3], [3, 3], [3, 3, 3]], "kernel_sizes[2]"),
        ("n_conv_per_stage_decoder", ..., "arch_kwargs.n_conv_per_stage_decoder: missing"),
    ],
)
def test_what_goodfit_does_not_build_is_refused(key: str, value: object, said: str) -> None:
    architecture: dict[str, Any] = deepcopy(RESIDUAL)
    table = architecture if key in architecture else architecture["arch_kwargs"]
    if value is ...:
        del table[key]
    else:
        table[key] = value
    with pytest.raises(PlanError) as caught:
        read_architecture({"architecture": architecture}, 2, "plans.json: configurations.2d")
    assert str(caught.value).startswith("plans.json: configurations.2d.architecture")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("UNet_class_name", "Primus"), ("n_conv_per_stage_encoder", ...), ("UNet_base_num_features", "x")],
)
def test_flat_keys_are_checked_alike(key: str, value: object) -> None:
    changed = {name: entry for name, entry in FLAT.items() if name != key} | ({} if value is ... else {key: value})
    with pytest.raises(PlanError, match=rf"^plans\.json: configurations\.2d\.{key}"):
        read_architecture(changed, 2, "plans.json: configurations.2d")
