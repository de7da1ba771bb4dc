"""The network of an nnU-Net configuration, from either form in which plans files describe it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from goodfit.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["plain_unet", "residual_unet"]

_HOME = "dynamic_network_architectures.architectures."
_KINDS: dict[str, Kind] = {"PlainConvUNet": "plain_unet", "ResidualEncoderUNet": "residual_unet"}
"""The classes that are known; a plans file that names another one is refused, and no name is ever imported."""
_BLOCKS = {"plain_unet": "n_conv_per_stage", "residual_unet": "n_blocks_per_stage"}
_SHAPE_KEYS = {
    "n_stages",
    "features_per_stage",
    "kernel_sizes",
    "strides",
    "n_conv_per_stage_decoder",
    "deep_supervision",
    *_BLOCKS.values(),
}
_LAYERS = {2: ("Conv2d", "InstanceNorm2d"), 3: ("Conv3d", "InstanceNorm3d")}
_UNUSED: tuple[object, ...] = (None, False, {}, [])
"""Values by which a plans file says that it does without a thing."""
FLAT_CLASS = "UNet_class_name"
"""Key by which an older plans file is known."""


@dataclass(frozen=True)
class Architecture:
    """A U-Net, one entry per stage, finest first.

    Attributes:
        kind: plain or with residual blocks in the encoder.
        features: channels.
        kernel_sizes: per stage, one entry per axis.
        strides: per stage, one entry per axis; the first is all ones.
        encoder_blocks: convolutions or residual blocks.
        decoder_blocks: convolutions; one entry fewer.
    """

    kind: Kind
    features: list[int]
    kernel_sizes: list[list[int]]
    strides: list[list[int]]
    encoder_blocks: list[int]
    decoder_blocks: list[int]


def read_architecture(configuration: Mapping[str, Any], dims: int, where: str) -> Architecture:
    """Read ``architecture`` (nnU-Net 2.4 and later) or the flat keys of older plans.

    Args:
        configuration: of the plans file, with everything it inherits.
        dims: axes of its patch.
        where: file and configuration, for messages.

    Raises:
        PlanError: a key is missing or cannot be, or the network is none that goodfit builds; names the field.
    """
    if "architecture" in configuration:
        return _nested(_table(configuration, "architecture", where), dims, where)
    if FLAT_CLASS in configuration:
        return _flat(configuration, dims, where)
    raise PlanError(
        f"{where}.architecture: missing, and so is {FLAT_CLASS} of older plans files. This is no configuration of "
        "nnU-Net v2; plan the dataset anew with nnUNetv2_plan_experiment."
    )


def _nested(architecture: Mapping[str, Any], dims: int, where: str) -> Architecture:
    where = f"{where}.architecture"
    name = _required(architecture, "network_class_name", where)
    kind = _KINDS.get(str(name).removeprefix(_HOME).rpartition(".")[2]) if str(name).startswith(_HOME) else None
    if kind is None:
        raise _unlisted(f"{where}.network_class_name", name)
    arguments = _table(architecture, "arch_kwargs", where)
    where = f"{where}.arch_kwargs"
    _require_our_layers(arguments, dims, where)
    stages = _required(arguments, "n_stages", where)
    return _build(
        kind,
        stages=stages if isinstance(stages, int) else -1,
        features=_required(arguments, "features_per_stage", where),
        kernels=_required(arguments, "kernel_sizes", where),
        strides=_required(arguments, "strides", where),
        encoder=_required(arguments, _BLOCKS[kind], where),
        decoder=_required(arguments, "n_conv_per_stage_decoder", where),
        dims=dims,
        where=where,
        names=("features_per_stage", "kernel_sizes", "strides", _BLOCKS[kind], "n_conv_per_stage_decoder"),
    )


def _flat(configuration: Mapping[str, Any], dims: int, where: str) -> Architecture:
    kind = _KINDS.get(str(configuration[FLAT_CLASS]))
    if kind is None:
        raise _unlisted(f"{where}.{FLAT_CLASS}", configuration[FLAT_CLASS])
    blocks = _required(configuration, "n_conv_per_stage_encoder", where)
    stages = len(blocks) if isinstance(blocks, list) else -1
    base, most = (_count(configuration, key, where) for key in ("UNet_base_num_features", "unet_max_num_features"))
    return _build(
        kind,
        stages=stages,
        features=[min(base * 2**stage, most) for stage in range(stages)],
        kernels=_required(configuration, "conv_kernel_sizes", where),
        strides=_required(configuration, "pool_op_kernel_sizes", where),
        encoder=blocks,
        decoder=_required(configuration, "n_conv_per_stage_decoder", where),
        dims=dims,
        where=where,
        names=(
            "UNet_base_num_features",
            "conv_kernel_sizes",
            "pool_op_kernel_sizes",
            "n_conv_per_stage_encoder",
            "n_conv_per_stage_decoder",
        ),
    )


def _build(
    kind: Kind,
    *,
    stages: int,
    features: object,
    kernels: object,
    strides: object,
    encoder: object,
    decoder: object,
    dims: int,
    where: str,
    names: tuple[str, str, str, str, str],
) -> Architecture:
    """Check lengths and numbers; a single number stands for each stage, or for each axis."""
    if stages < 2:
        raise PlanError(f"{where}: the network has no stages that could be counted (n_stages, {names[3]}).")
    places = [f"{where}.{name}" for name in names]
    return Architecture(
        kind=kind,
        features=_numbers(features, stages, places[0]),
        kernel_sizes=_per_axis(kernels, stages, dims, places[1]),
        strides=_per_axis(strides, stages, dims, places[2]),
        encoder_blocks=_numbers(encoder, stages, places[3]),
        decoder_blocks=_numbers(decoder, stages - 1, places[4]),
    )


def _require_our_layers(arguments: Mapping[str, Any], dims: int, where: str) -> None:
    """Refuse what goodfit's networks do not have: they are those of nnU-Net's own planners."""
    convolution, norm = _LAYERS[dims]
    for key, wanted in (("conv_op", convolution), ("norm_op", norm), ("nonlin", "LeakyReLU")):
        found = str(_required(arguments, key, where))
        if not found.startswith("torch.nn.") or found.rpartition(".")[2] != wanted:
            raise _unlisted(f"{where}.{key}", found, f"torch's {wanted}")
    norm_arguments = _table(arguments, "norm_op_kwargs", where)
    slope = (arguments.get("nonlin_kwargs") or {}).get("negative_slope", 0.01)
    for key, value, expected in (
        ("conv_bias", arguments.get("conv_bias", False), True),
        ("norm_op_kwargs.affine", norm_arguments.get("affine", False), True),
        ("norm_op_kwargs.eps", norm_arguments.get("eps", 1e-5), 1e-5),
        ("nonlin_kwargs.negative_slope", slope, 0.01),
    ):
        if value != expected:
            raise _unlisted(f"{where}.{key}", value, str(expected))
    known = {"conv_op", "norm_op", "norm_op_kwargs", "nonlin", "nonlin_kwargs", "conv_bias"} | _SHAPE_KEYS
    for key in arguments.keys() - known:
        if arguments[key] not in _UNUSED:
            raise _unlisted(f"{where}.{key}", arguments[key], "networks without it")


def _unlisted(field: str, found: object, known: str = "") -> PlanError:
    return PlanError(
        f"{field}: {found!r} is not on the list of what goodfit builds ({known or ', '.join(_KINDS)}). Only the networks "
        "of nnU-Net's own planners can be taken over; names in a file are never imported."
    )


def _required(table: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in table:
        raise PlanError(f"{where}.{key}: missing. The plans file was edited or damaged; plan the dataset anew.")
    return table[key]


def _table(table: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = _required(table, key, where)
    if not isinstance(value, dict):
        raise PlanError(f"{where}.{key}: {value!r} is no JSON object.")
    return value


def _count(table: Mapping[str, Any], key: str, where: str) -> int:
    return _numbers([_required(table, key, where)], 1, f"{where}.{key}")[0]


def _numbers(value: object, length: int, where: str) -> list[int]:
    values = [value] * length if isinstance(value, int) else value
    if not isinstance(values, list) or len(values) != length or not all(_positive(item) for item in values):
        raise PlanError(f"{where}: {value!r} should be {length} whole numbers above 0.")
    return [int(item) for item in values]


def _per_axis(value: object, stages: int, dims: int, where: str) -> list[list[int]]:
    values = [value] * stages if isinstance(value, int) else value
    if not isinstance(values, list) or len(values) != stages:
        raise PlanError(f"{where}: should have {stages} entries, one per stage, and is {value!r}.")
    return [_numbers(item, dims, f"{where}[{stage}]") for stage, item in enumerate(values)]


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0 and int(value) == value
