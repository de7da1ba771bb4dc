"""Everything a user may ask of `goodfit train`, in sections; None means: derive it.

Each option of the command line is a field here, so that ``--set section.field=value`` reaches all of them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from goodfit.errors import SettingsError
from goodfit.planning.period import Period

if TYPE_CHECKING:
    from collections.abc import Mapping

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?$")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB|KIB|MIB|GIB|TIB)?$", re.IGNORECASE)
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", start=1)
}


def parse_duration(value: object) -> object:
    """Turn "90s", "10m", "2h30m" or a number of seconds into seconds."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    match = _DURATION.match(text)
    if match and any(match.groups()):
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return 3600 * hours + 60 * minutes + seconds
    if text.replace(".", "", 1).isdigit():
        return float(text)
    raise ValueError(f"{value!r} is no duration; write it like 90s, 10m or 2h30m")


def parse_size(value: object) -> object:
    """Turn "8GB", "500MiB" or a number of bytes into bytes."""
    if not isinstance(value, str):
        return value
    match = _SIZE.match(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is no amount of memory; write it like 8GB or 500MiB")
    return float(match.group(1)) * _UNITS[(match.group(2) or "").upper()]


def parse_numbers(value: object) -> object:
    """Turn "40x56x40" or "40,56,40" into a list."""
    return re.split(r"[x,\s]+", value.strip()) if isinstance(value, str) else value


def parse_patience(value: object) -> object:
    """Turn "off" into 0, which stands for no patience."""
    return 0 if isinstance(value, str) and value.strip().lower() == "off" else value


def parse_monitor(value: object) -> object:
    """Let dice and ap stand for their columns."""
    return {"dice": "val_dice", "ap": "val_ap"}.get(value, value) if isinstance(value, str) else value


def parse_place(value: object) -> object:
    """Make a path absolute, so that it means the same from any folder."""
    return str(Path(value).expanduser().absolute()) if isinstance(value, str) and value else value


def parse_json(value: object) -> object:
    """Read numbers, lists and true or false as typed on a command line; any other text stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def parse_file(value: object) -> object:
    """Make the path of a file that is there absolute, so that it holds wherever the run goes on."""
    return str(Path(value).absolute()) if isinstance(value, str | Path) and Path(value).is_file() else value


def parse_names(value: object) -> object:
    """Turn "a,b" into a list."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


Duration = Annotated[PositiveFloat, BeforeValidator(parse_duration)]
Memory = Annotated[PositiveFloat, BeforeValidator(parse_size)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A group of settings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid")


class DataSettings(Section):
    """What is read and how it is split."""

    group_by: str | None = None
    """Regular expression on the case name; its first group (or the whole match) is the group."""
    fractions: Annotated[tuple[PositiveFloat, PositiveFloat, PositiveFloat], BeforeValidator(parse_numbers)] = (
        0.6,
        0.2,
        0.2,
    )
    """Shares of train, validation and test."""
    split_seed: int = 0
    fold: Annotated[int, Field(ge=0)] | Literal["all"] | None = None
    """Train and score as this fold of a cross-validation; all: train on every case."""
    detectron2_config: str | None = None
    """Of instances: a Detectron2 config (.yaml) whose values go into the plan where no option says otherwise."""


class PlanSettings(Section):
    """Overrides of what the planner derives."""

    planner: Literal["measured", "nnunet"] = "measured"
    """measured: nnU-Net's rules, then the batch (and patch) whose predicted memory fits; nnunet: its rules alone."""
    plans: Annotated[str, BeforeValidator(parse_file)] | None = None
    """A plans file of nnU-Net's (nnUNetPlans.json), taken in place of planning."""
    configuration: str | None = None
    """2d, 3d_fullres, 3d_lowres or 3d_cascade_fullres; with ``plans`` the name of any configuration in that file."""
    previous_stage: Annotated[str, BeforeValidator(parse_place)] | None = None
    """Of a cascade: a run or a cross-validation of 3d_lowres, in place of training one."""
    previous_folds: Annotated[int, Field(ge=2)] = 3
    """Of a cascade that trains 3d_lowres itself: so many networks, each on the cases but a part that it predicts."""
    network: Literal["plain", "resenc", "resenc_m", "resenc_l", "resenc_xl"] = "plain"
    """Plain or residual-encoder U-Net; m, l and xl are made for 8, 24 and 40 GB."""
    batch_size: PositiveInt | None = None
    patch_size: Annotated[list[int], BeforeValidator(parse_numbers)] | None = None
    growth: bool = True
    """Begin with smaller patches where the time is limited; off: one size all along."""
    spacing: Annotated[list[PositiveFloat], BeforeValidator(parse_numbers)] | None = None
    """Target spacing in mm, in the order z, y, x of the file."""
    memory: Memory | None = None
    """What the training may use, resident in the process or on the GPU; None: what is free."""


class InstanceSection(BaseModel):
    """Settings of instance datasets, by their names in plan.json, which validates them."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _read_texts(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {name: parse_json(value) for name, value in values.items()}


class BudgetSettings(Section):
    """How long to train."""

    epochs: PositiveInt | None = None
    steps_per_epoch: PositiveInt | None = None
    time: Duration | None = None


class TrainingSettings(Section):
    """Optimiser, schedule and stopping."""

    optimizer: Literal["sgd", "adamw"] | None = None
    learning_rate: PositiveFloat | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Of SGD."""
    gradient_clip: PositiveFloat | None = None
    schedule: Literal["wsd", "poly"] | None = None
    warmup: Share | None = None
    cooldown: Annotated[float, Field(ge=0)] | None = None
    cooldown_shape: Literal["linear", "1-sqrt"] | None = None
    patience: Annotated[int, Field(ge=0), BeforeValidator(parse_patience)] | None = None
    """Epochs; 0 or off: never stop on a plateau. Where it is given, ``patience_share`` is 0 unless that is given, too."""
    patience_share: Share | None = None
    min_delta: Annotated[float, Field(ge=0)] | None = None
    smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    monitor: Annotated[str, BeforeValidator(parse_monitor)] | None = None
    validate_every: Period | None = None
    """Like "2 epochs" or "100 steps"; a plain number means steps."""
    checkpoint_seconds: Annotated[PositiveFloat, BeforeValidator(parse_duration)] | None = None
    """A checkpoint is written after this time at the latest; 90s, 10m."""
    hooks: Annotated[list[str], BeforeValidator(parse_names)] | None = None
    """Hooks to call, each module:Class."""
    recipe: str | None = None
    """Subclass of goodfit.Recipe, module:Class."""
    initialise_from: Annotated[str, BeforeValidator(parse_place)] | None = None
    """Run, model folder of nnU-Net or checkpoint whose weights the training begins with."""
    ema: Annotated[float, Field(ge=0, le=0.25)] | None = None
    oversample_foreground: Share | None = None
    precision: Literal["bfloat16", "float32"] | None = None
    validation_share: Share | None = None
    seed: int | None = None


class MachineSettings(Section):
    """Where the work runs."""

    device: str | None = None
    """cpu, cuda or cuda:1; the first GPU when there is one."""
    force: bool = False
    """Train even where the predicted memory does not fit."""
    workers: Annotated[int, Field(ge=0)] | None = None
    """Loader processes."""
    grace: Duration | None = None
    """Time between a scheduler's SIGTERM and its kill: SIGTERM then saves and leaves instead of cooling down."""
    log: Annotated[list[Literal["tensorboard", "mlflow"]], BeforeValidator(parse_names)] | None = None
    """Where else to log, beside metrics.csv."""


class PredictionSettings(Section):
    """How whole cases are predicted."""

    tta: bool = False
    """Average over mirrored copies."""
    step_size: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Distance of neighbouring tiles as a share of the patch."""
    checkpoint: Literal["best", "last"] = "best"
    probabilities: bool = False


class Settings(Section):
    """All sections."""

    data: DataSettings = Field(default_factory=DataSettings)
    plan: PlanSettings = Field(default_factory=PlanSettings)
    model: InstanceSection = Field(default_factory=InstanceSection)
    sampling: InstanceSection = Field(default_factory=InstanceSection)
    augmentation: InstanceSection = Field(default_factory=InstanceSection)
    budget: BudgetSettings = Field(default_factory=BudgetSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    machine: MachineSettings = Field(default_factory=MachineSettings)
    prediction: PredictionSettings = Field(default_factory=PredictionSettings)


def build_settings(values: dict[str, Any]) -> Settings:
    """Build settings from ``{"section.field": value}``; values may be text as typed by a user.

    Raises:
        SettingsError: names each unknown or impossible field.
    """
    nested: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, dot, field = name.partition(".")
        if not dot or section not in Settings.model_fields:
            known = ", ".join(Settings.model_fields)
            raise SettingsError(f"--set {name}: write section.field=value; the sections are {known}.")
        nested.setdefault(section, {})[field] = value
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            place = ".".join(str(part) for part in item["loc"])
            hint = ""
            if item["type"] == "extra_forbidden":
                section = str(item["loc"][0])
                annotation = Settings.model_fields[section].annotation
                assert annotation is not None
                hint = f" ({section} has: {', '.join(annotation.model_fields)})"
                lines.append(f"{place}: there is no such setting{hint}")
            else:
                lines.append(f"{place}={item['input']}: {item['msg'].removeprefix('Value error, ')}")
        raise SettingsError("These settings cannot be used:\n  " + "\n  ".join(lines)) from error


def parse_assignments(texts: list[str]) -> dict[str, str]:
    """Split ``section.field=value`` texts.

    Raises:
        SettingsError: a text has no equals sign.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f"--set {text}: write section.field=value, for example training.seed=1.")
        pairs[name.strip()] = value.strip()
    return pairs


SHORTCUTS = {
    "group_by": "data.group_by",
    "fold": "data.fold",
    "planner": "plan.planner",
    "plans": "plan.plans",
    "configuration": "plan.configuration",
    "previous_stage": "plan.previous_stage",
    "network": "plan.network",
    "backbone": "model.backbone",
    "weights": "model.weights",
    "image_size": "model.image_min_size",
    "detectron2_config": "data.detectron2_config",
    "batch_size": "plan.batch_size",
    "patch_size": "plan.patch_size",
    "spacing": "plan.spacing",
    "memory": "plan.memory",
    "epochs": "budget.epochs",
    "steps_per_epoch": "budget.steps_per_epoch",
    "time": "budget.time",
    "optimizer": "training.optimizer",
    "learning_rate": "training.learning_rate",
    "schedule": "training.schedule",
    "cooldown": "training.cooldown",
    "patience": "training.patience",
    "min_delta": "training.min_delta",
    "monitor": "training.monitor",
    "validate_every": "training.validate_every",
    "hook": "training.hooks",
    "recipe": "training.recipe",
    "initialise_from": "training.initialise_from",
    "cooldown_shape": "training.cooldown_shape",
    "grace": "machine.grace",
    "log": "machine.log",
    "precision": "training.precision",
    "seed": "training.seed",
    "device": "machine.device",
    "force": "machine.force",
    "workers": "machine.workers",
    "tta": "prediction.tta",
    "step_size": "prediction.step_size",
}
"""Options and keyword arguments that stand for a setting."""


def explicit_settings(settings: Mapping[str, Any] | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Join ``{"section.field": value}`` and keyword shortcuts into what the user explicitly asked for.

    Returns:
        Validated, JSON-able values of the fields that were given, by "section.field".

    Raises:
        SettingsError: a name is unknown, a value impossible, or both forms contradict each other.
    """
    given = dict(settings or {})
    for name, value in options.items():
        if value is None:
            continue
        if name not in SHORTCUTS:
            raise SettingsError(f"{name}: there is no such option. There are: {', '.join(SHORTCUTS)}.")
        field = SHORTCUTS[name]
        if field in given and str(given[field]) != str(value):
            raise SettingsError(f"{field} is given twice, as {given[field]} and as {value}.")
        given[field] = value
    built = build_settings(given).model_dump(mode="json", exclude_unset=True)
    return {f"{section}.{field}": value for section, fields in built.items() for field, value in fields.items()}
