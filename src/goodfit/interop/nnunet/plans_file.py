"""Reading nnU-Net's plans file (nnUNetPlans.json, plans.json) into typed values, in nnU-Net's own words.

Both forms of version 2 are read: that of 2.4 and later with ``architecture``, and the older one with flat keys such as
``UNet_class_name``. A configuration may inherit from another one. ``plan_in`` makes a goodfit plan of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from goodfit.errors import PlanError
from goodfit.files import read_json
from goodfit.interop.nnunet.architecture import Architecture, read_architecture

if TYPE_CHECKING:
    from pathlib import Path

Scheme = Literal[
    "CTNormalization", "ZScoreNormalization", "NoNormalization", "RescaleTo01Normalization", "RGBTo01Normalization"
]
Reader = Literal["SimpleITKIO", "NibabelIO", "NaturalImage2DIO", "Tiff3DIO"]
"""Readers that give the axes as they are in the file; those that turn the image are not among them."""
Axis = Literal[0, 1, 2]
_RESAMPLING = "resample_data_or_seg_to_shape"
_ORDERS = {"data": 3, "seg": 1, "probabilities": 1}
_OLD_INTENSITIES, _INTENSITIES = (
    "foreground_intensity_properties_by_modality",
    "foreground_intensity_properties_per_channel",
)


class _Lenient(BaseModel):
    """Keys that goodfit has no use for are passed over: planners write many of them."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Intensities(_Lenient):
    """Foreground intensities of one channel."""

    max: float
    mean: float
    median: float
    min: float
    percentile_00_5: float
    percentile_99_5: float
    std: NonNegativeFloat


class Configuration(_Lenient):
    """A configuration with all that it inherits; axes in transposed order."""

    data_identifier: str
    preprocessor_name: Literal["DefaultPreprocessor"]
    batch_size: PositiveInt
    patch_size: list[PositiveInt] = Field(min_length=2, max_length=3)
    median_image_size_in_voxels: list[PositiveFloat] = Field(min_length=2, max_length=3)
    spacing: list[PositiveFloat] = Field(min_length=2, max_length=3)
    normalization_schemes: list[Scheme] = Field(min_length=1)
    use_mask_for_norm: list[bool] = Field(min_length=1)
    batch_dice: bool
    previous_stage: str | None = None
    """Configuration whose prediction is a further input, in a cascade."""
    next_stage: str | list[str] | None = None

    @property
    def dims(self) -> int:
        """Axes of the patch."""
        return len(self.patch_size)

    @model_validator(mode="after")
    def _axes_agree(self) -> Configuration:
        for name in ("median_image_size_in_voxels", "spacing"):
            if len(getattr(self, name)) != self.dims:
                raise ValueError(f"{name} has {len(getattr(self, name))} axes, patch_size has {self.dims}")
        if len(self.normalization_schemes) != len(self.use_mask_for_norm):
            raise ValueError("normalization_schemes and use_mask_for_norm differ in length")
        return self


class _Content(_Lenient):
    """The file's outermost keys."""

    dataset_name: str
    plans_name: str
    original_median_spacing_after_transp: list[PositiveFloat] = Field(min_length=3, max_length=3)
    original_median_shape_after_transp: list[PositiveFloat] = Field(min_length=3, max_length=3)
    image_reader_writer: Reader
    transpose_forward: list[Axis] = Field(min_length=3, max_length=3)
    experiment_planner_used: str = ""
    label_manager: Literal["LabelManager"] = "LabelManager"
    configurations: dict[str, dict[str, Any]] = Field(min_length=1)
    foreground_intensity_properties_per_channel: dict[str, Intensities]

    @model_validator(mode="after")
    def _is_permutation(self) -> _Content:
        if sorted(self.transpose_forward) != [0, 1, 2]:
            raise ValueError(f"transpose_forward {self.transpose_forward} is no order of the axes 0, 1 and 2")
        return self


@dataclass(frozen=True)
class NnunetPlans:
    """A plans file.

    Attributes:
        source: the file, for messages.
        content: its typed outermost keys; configurations are read by ``configuration``.
        raw: the whole file as it is.
    """

    source: str
    content: _Content
    raw: dict[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """The configurations of the file."""
        return tuple(self.content.configurations)

    def configuration(self, name: str) -> tuple[Configuration, Architecture]:
        """Read one configuration and its network.

        Raises:
            PlanError: there is no such configuration, what it inherits from is missing or leads back to it, or a key
                is missing or cannot be; names the field.
        """
        where = f"{self.source}: configurations.{name}"
        values = self._inherited(name)
        values.setdefault("data_identifier", f"{self.content.plans_name}_{name}")
        _require_known_resampling(values, where)
        try:
            configuration = Configuration.model_validate(values)
        except ValidationError as error:
            raise _error(error, f"{self.source}: this plans file cannot be used.", f"configurations.{name}") from error
        return configuration, read_architecture(values, configuration.dims, where)

    def _inherited(self, name: str) -> dict[str, Any]:
        """Join a configuration with what it inherits; its own values go first."""
        chain: list[str] = []
        current: str | None = name
        while current is not None:
            if current not in self.content.configurations:
                known = ", ".join(self.names)
                if not chain:
                    raise PlanError(f"{self.source}: configurations: there is no {current!r}; there are {known}.")
                raise PlanError(
                    f"{self.source}: configurations.{chain[-1]}.inherits_from: there is no configuration {current!r}; "
                    f"there are {known}."
                )
            if current in chain:
                circle = " -> ".join([*chain, current])
                raise PlanError(
                    f"{self.source}: configurations.{chain[-1]}.inherits_from: leads back to itself ({circle}). "
                    "Take one of these entries out."
                )
            chain.append(current)
            parent = self.content.configurations[current].get("inherits_from")
            if parent is not None and not isinstance(parent, str):
                raise PlanError(
                    f"{self.source}: configurations.{current}.inherits_from: {parent!r} is no name of a configuration."
                )
            current = parent
        joined: dict[str, Any] = {}
        for ancestor in reversed(chain):
            joined |= self.content.configurations[ancestor]
        return joined


def read_nnunet_plans(path: Path) -> NnunetPlans:
    """Read a plans file.

    Raises:
        PlanError: the file is missing, is no JSON, or a key is missing or cannot be; names each.
    """
    return parse_nnunet_plans(read_json(path, PlanError), str(path))


def parse_nnunet_plans(value: object, source: str) -> NnunetPlans:
    """Validate the content of a plans file.

    Args:
        value: the file's JSON.
        source: where it is from, for messages.

    Raises:
        PlanError: names each key that is missing or cannot be.
    """
    if not isinstance(value, dict):
        raise PlanError(f"{source}: should hold a JSON object, as nnUNetv2_plan_experiment writes it.")
    renamed = dict(value)
    if _OLD_INTENSITIES in value and _INTENSITIES not in value:
        renamed[_INTENSITIES] = value[_OLD_INTENSITIES]
    try:
        return NnunetPlans(source, _Content.model_validate(renamed), value)
    except ValidationError as error:
        raise _error(error, f"{source}: this plans file cannot be used.") from error


def _require_known_resampling(values: dict[str, Any], where: str) -> None:
    """Refuse ways of resampling other than that of nnU-Net's default planners."""
    for kind, order in _ORDERS.items():
        key = f"resampling_fn_{kind}"
        function, arguments = values.get(key, _RESAMPLING), values.get(f"{key}_kwargs", {})
        if function != _RESAMPLING:
            raise PlanError(
                f"{where}.{key}: {function!r} is not on the list of what goodfit does ({_RESAMPLING}). Plan the dataset "
                "with one of nnU-Net's planners that resample by splines."
            )
        wanted = {"is_seg": kind == "seg", "order": order, "order_z": 0, "force_separate_z": None}
        for name, value in arguments.items():
            if name not in wanted or value != wanted[name]:
                raise PlanError(
                    f"{where}.{key}_kwargs.{name}: {value!r} is not what goodfit does "
                    f"({wanted.get(name, 'there is no such argument')})."
                )


def _error(error: ValidationError, head: str, prefix: str = "") -> PlanError:
    lines = []
    for item in error.errors():
        place = ".".join(str(part) for part in (*((prefix,) if prefix else ()), *item["loc"]))
        lines.append(f"  {place or 'plans'}: {item['msg'].removeprefix('Value error, ')}")
    return PlanError("\n".join([head, *lines]))
