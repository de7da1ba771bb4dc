"""How much memory a U-Net takes, counted as values of its convolutions' outputs, and how much it may take.

nnU-Net does not predict bytes: it counts the values that all convolutions produce for one patch and compares
them with the count of a network known to train in 8 GB. ``goodfit.planning.memory`` predicts bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from goodfit.planning.plan import NetworkPlan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.data.labels import Labels
    from goodfit.planning.plan import Configuration
    from goodfit.planning.topology import Topology

GB = 1e9
BASE_FEATURES = 32
"""Channels of the first stage; each further stage doubles them (nnU-Net: UNet_base_num_features)."""
MAX_FEATURES = {2: 512, 3: 320}
"""Most channels of a stage (nnU-Net: UNet_max_features_2d, UNet_max_features_3d)."""
REFERENCE_BATCH = {2: 12, 3: 2}
"""Batch size that the budgets were measured with (nnU-Net: UNet_reference_val_corresp_bs_2d, _3d)."""

PresetName = Literal["plain", "resenc", "resenc_m", "resenc_l", "resenc_xl"]


@dataclass(frozen=True)
class Preset:
    """One of nnU-Net's families of networks with its budget.

    Attributes:
        name: as it is asked for.
        architecture: which U-Net.
        encoder_blocks: convolutions or residual blocks of the first stages; the last number repeats.
        decoder_blocks: convolutions in each decoder stage.
        memory: bytes that the budgets belong to.
        budgets: by number of dimensions: feature-map values of one patch that train in ``memory`` bytes with
            the reference batch size.
        fitting_batch: by number of dimensions: batch size that must fit before the patch stops shrinking.
        largest_share: part of the dataset's voxels that one batch may cover, as a guard against overfitting.
    """

    name: PresetName
    architecture: Literal["plain_unet", "residual_unet"]
    encoder_blocks: tuple[int, ...]
    decoder_blocks: int
    memory: float
    budgets: Mapping[int, int]
    fitting_batch: Mapping[int, int]
    largest_share: float


def _residual(name: PresetName, gigabytes: int, budget_2d: int, budget_3d: int, share: float) -> Preset:
    return Preset(
        name=name,
        architecture="residual_unet",
        encoder_blocks=(1, 3, 4, 6),
        decoder_blocks=1,
        memory=gigabytes * GB,
        budgets={2: budget_2d, 3: budget_3d},
        # nnU-Net's residual planners compare one patch with the whole budget, i.e. with the reference batch.
        fitting_batch=REFERENCE_BATCH,
        largest_share=share,
    )


PRESETS: Mapping[PresetName, Preset] = {
    # nnU-Net: ExperimentPlanner
    "plain": Preset(
        name="plain",
        architecture="plain_unet",
        encoder_blocks=(2,),
        decoder_blocks=2,
        memory=8 * GB,
        budgets={2: 85_000_000, 3: 560_000_000},
        fitting_batch={2: 2, 3: 2},
        largest_share=0.05,
    ),
    # nnU-Net: ResEncUNetPlanner, nnUNetPlannerResEncM, L and XL
    "resenc": _residual("resenc", 8, 135_000_000, 680_000_000, 0.05),
    "resenc_m": _residual("resenc_m", 8, 135_000_000, 680_000_000, 1.0),
    "resenc_l": _residual("resenc_l", 24, 380_000_000, 2_100_000_000, 1.0),
    "resenc_xl": _residual("resenc_xl", 40, 560_000_000, 3_600_000_000, 1.0),
}
assert set(PRESETS) == set(get_args(PresetName))


@dataclass(frozen=True)
class Basis:
    """What every configuration of a plan is derived from, besides its spacing and median shape.

    Attributes:
        preset: the family of networks.
        memory: bytes that the training may use.
        outputs: classes that nnU-Net counts for the last convolution: background, every named class (or
            region) and the ignore label.
        cases: labelled cases of the dataset.
    """

    preset: Preset
    memory: float
    outputs: int
    cases: int

    @classmethod
    def of(cls, labels: Labels, cases: int, memory: float | None = None, preset: PresetName = "plain") -> Basis:
        """Collect the basis of a dataset; ``memory`` None stands for what the preset was made for."""
        outputs = 1 + len(labels.classes) + (labels.ignore is not None)
        return cls(PRESETS[preset], PRESETS[preset].memory if memory is None else memory, outputs, cases)

    def budget(self, dims: int) -> float:
        """Feature-map values that one patch may take with the reference batch size."""
        return self.preset.budgets[dims] * (self.memory / self.preset.memory)


def network_plan(topology: Topology, preset: Preset, base_features: int = BASE_FEATURES) -> NetworkPlan:
    """Build the network of a topology with the preset's depth.

    Args:
        topology: strides and kernels.
        preset: number of convolutions or blocks.
        base_features: channels of the first stage; the limit scales with them.
    """
    stages = topology.stages
    dims = len(topology.patch_size)
    blocks = [preset.encoder_blocks[min(stage, len(preset.encoder_blocks) - 1)] for stage in range(stages)]
    block = "convolutions" if preset.architecture == "plain_unet" else "residual blocks"
    most = max(base_features, MAX_FEATURES[dims] * base_features // BASE_FEATURES)
    return NetworkPlan(
        architecture=preset.architecture,
        features=[min(most, base_features * 2**stage) for stage in range(stages)],
        kernel_sizes=[list(kernel) for kernel in topology.kernel_sizes],
        strides=[list(stride) for stride in topology.strides],
        encoder_blocks=blocks,
        decoder_blocks=[preset.decoder_blocks] * (stages - 1),
        reasons={
            "architecture": f"preset {preset.name}",
            "features": f"{base_features}, doubled in each stage up to {most} ({dims}d)",
            "strides": "each stage halves the axes that are at least 8 long and less than twice as coarse as "
            "the finest of them; a lone axis must be 12 long",
            "kernel_sizes": "3 along an axis once its voxels are less than twice as coarse as the finest, 1 before",
            "encoder_blocks": f"{block} per stage of preset {preset.name}",
            "decoder_blocks": f"convolutions per stage of preset {preset.name}",
            "deep_supervision": "losses on all decoder resolutions, as nnU-Net trains",
        },
    )


def feature_map_values(network: NetworkPlan, patch_size: Sequence[int], outputs: int) -> int:
    """Count the values that all convolutions of the network put out for one patch.

    nnU-Net: compute_conv_feature_map_size of dynamic-network-architectures, without deep supervision: stem,
    encoder, decoder, transposed convolutions and the last segmentation layer.
    """
    stages: list[tuple[int, int]] = []  # voxels and channels of each encoder stage
    edges = list(patch_size)
    for stride, features in zip(network.strides, network.features, strict=True):
        edges = [edge // step for edge, step in zip(edges, stride, strict=True)]
        stages.append((math.prod(edges), features))
    total = _encoder_values(network, stages)
    for (voxels, features), convolutions in zip(stages[:-1], reversed(network.decoder_blocks), strict=True):
        total += voxels * features * (convolutions + 1)  # and the transposed convolution
    return total + math.prod(patch_size) * outputs


def estimated_memory(configuration: Configuration, basis: Basis) -> float:
    """Give the bytes that nnU-Net's rule expects of a training: the share of its budget that the batch takes."""
    dims = configuration.dims
    values = feature_map_values(configuration.network, configuration.patch_size, basis.outputs)
    share = values * configuration.batch_size / (basis.preset.budgets[dims] * REFERENCE_BATCH[dims])
    return share * basis.preset.memory


def _encoder_values(network: NetworkPlan, stages: Sequence[tuple[int, int]]) -> int:
    if network.architecture == "plain_unet":
        return sum(
            voxels * features * count for (voxels, features), count in zip(stages, network.encoder_blocks, strict=True)
        )
    voxels, before = stages[0]
    total = voxels * before  # the stem
    for (voxels, features), stride, count in zip(stages, network.strides, network.encoder_blocks, strict=True):
        projected = features != before or max(stride) > 1  # then the skip connection is a convolution too
        total += voxels * features * (2 * count + projected)
        before = features
    return total
