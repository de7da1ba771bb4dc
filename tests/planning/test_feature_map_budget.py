from __future__ import annotations

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet

from goodfit.data.labels import Labels
from goodfit.planning.feature_map_budget import PRESETS, Basis, feature_map_values, network_plan
from goodfit.planning.topology import derive_topology

PATCHES = [
    ((1.0, 1.0, 1.0), (128, 128, 128)),
    ((10.0, 1.5, 1.5), (16, 256, 224)),
    ((1.0, 1.0, 1.0), (40, 56, 40)),
    ((1.0, 1.0), (512, 512)),
    ((1.0, 3.0), (64, 20)),
]


@pytest.mark.parametrize("outputs", [2, 5])
@pytest.mark.parametrize(("spacing", "patch"), PATCHES)
@pytest.mark.parametrize("preset", ["plain", "resenc"])
def test_count_is_that_of_the_library(
    preset: str, spacing: tuple[float, ...], patch: tuple[int, ...], outputs: int
) -> None:
    topology = derive_topology(spacing, patch)
    plan = network_plan(topology, PRESETS[preset])
    dims = len(patch)
    arguments = {
        "input_channels": 1,
        "n_stages": topology.stages,
        "features_per_stage": plan.features,
        "conv_op": {2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[dims],
        "kernel_sizes": plan.kernel_sizes,
        "strides": plan.strides,
        "num_classes": outputs,
        "n_conv_per_stage_decoder": plan.decoder_blocks,
    }
    with torch.device("meta"):
        if plan.architecture == "plain_unet":
            network = PlainConvUNet(n_conv_per_stage=plan.encoder_blocks, **arguments)
        else:
            network = ResidualEncoderUNet(n_blocks_per_stage=plan.encoder_blocks, **arguments)
    assert feature_map_values(plan, topology.patch_size, outputs) == network.compute_conv_feature_map_size(
        topology.patch_size
    )


def test_channels_double_up_to_the_limit_of_their_dimensions() -> None:
    cube = derive_topology((1, 1, 1), (128, 128, 128))
    square = derive_topology((1, 1), (512, 512))
    assert network_plan(cube, PRESETS["plain"]).features == [32, 64, 128, 256, 320, 320]
    assert network_plan(square, PRESETS["plain"]).features == [32, 64, 128, 256, 512, 512, 512, 512]
    assert network_plan(cube, PRESETS["plain"], base_features=16).features == [16, 32, 64, 128, 160, 160]


def test_residual_encoders_have_nnunets_depth() -> None:
    plan = network_plan(derive_topology((1, 1, 1), (128, 128, 128)), PRESETS["resenc"])
    assert plan.architecture == "residual_unet"
    assert plan.encoder_blocks == [1, 3, 4, 6, 6, 6]
    assert plan.decoder_blocks == [1] * 5


def test_every_network_value_has_its_reason() -> None:
    plan = network_plan(derive_topology((1, 1, 1), (32, 32, 32)), PRESETS["plain"])
    assert set(plan.reasons) == set(type(plan).model_fields) - {"reasons"}


def test_budget_grows_with_the_memory() -> None:
    labels = Labels(classes={"a": (1,), "b": (2,)}, ignore=3)
    basis = Basis.of(labels, cases=10)
    assert basis.outputs == 4
    assert (basis.memory, basis.budget(2), basis.budget(3)) == (8e9, 85e6, 560e6)
    assert Basis.of(labels, 10, memory=16e9).budget(3) == 1120e6
    assert Basis.of(labels, 10, preset="resenc_l").memory == 24e9
