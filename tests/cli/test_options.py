"""Every option of the command line stands for a setting, and says its true default."""

from __future__ import annotations

import inspect
import typing

import pytest
import typer

from goodfit.cli import app as commands
from goodfit.cli import convert, options
from goodfit.planning.plan import Budget, Training
from goodfit.settings import SHORTCUTS, Settings, build_settings

NO_SETTINGS = {"dataset", "run", "fresh", "set_", "verbose", "configurations"}
OPTIONS = {name: value for name, value in vars(options).items() if typing.get_origin(value) is typing.Annotated}
COMMANDS = [one.callback for one in (*commands.app.registered_commands, *convert.app.registered_commands)]


def parameters(command: typing.Callable[..., None]) -> dict[str, typing.Any]:
    """Name and annotation of what a command takes; some annotations are text, in the names of the command's module."""
    signature = inspect.signature(command, eval_str=True)
    return {name: parameter.annotation for name, parameter in signature.parameters.items()}


@pytest.mark.parametrize("command", [commands.plan, commands.preprocess, commands.train], ids=lambda c: c.__name__)
def test_every_option_that_wishes_something_is_a_setting(command: typing.Callable[..., None]) -> None:
    wishes = set(parameters(command)) - NO_SETTINGS
    assert "memory" in wishes
    assert wishes <= set(SHORTCUTS)


def test_train_takes_every_shortcut() -> None:
    assert set(SHORTCUTS) == set(parameters(commands.train)) - NO_SETTINGS


def test_cross_validate_takes_every_shortcut_and_its_own() -> None:
    own = {"folds", "splits", "stop_on_fold", "parallel", "probabilities"}
    every = set(SHORTCUTS) - {"fold"}  # of which a cross-validation has all
    assert every == set(parameters(commands.cross_validate)) - NO_SETTINGS - own


def test_resume_takes_what_may_change_between_sittings() -> None:
    wishes = set(parameters(commands.resume)) - NO_SETTINGS
    assert {SHORTCUTS[name].partition(".")[0] for name in wishes} == {"machine", "prediction"}
    changeable = {name for name, field in SHORTCUTS.items() if field.startswith(("machine.", "prediction."))}
    assert wishes == changeable - {"force"}, "a batch is refused when the run is planned"


def test_a_flag_is_written_like_the_setting_it_stands_for() -> None:
    typed = typer.main.get_command(commands.app).commands["train"].params
    flags = {parameter.name: parameter.opts for parameter in typed if parameter.name in SHORTCUTS}
    assert set(flags) == set(SHORTCUTS)
    for name, written in flags.items():
        assert "--" + name.replace("_", "-") in written


def test_no_option_lies_unused() -> None:
    used = [annotation for command in COMMANDS for annotation in parameters(command).values()]
    assert [name for name, option in OPTIONS.items() if option not in used] == []


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_has_its_sentence(name: str) -> None:
    (info,) = OPTIONS[name].__metadata__
    assert isinstance(info, typer.models.ParameterInfo)
    assert info.help
    assert info.help.rstrip(".")[0:1].strip()
    assert info.help.endswith(".")


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("Epochs", f"(default {Budget().epochs})"),
        ("StepsPerEpoch", f"(default {Budget().steps_per_epoch})"),
        ("Patience", f"(default {Training().patience}, or a quarter of the run)"),
        ("MinDelta", f"(default {Training().min_delta})"),
        ("CooldownOption", f"(default {Training().cooldown})"),
        ("Monitor", f"{Training().monitor.removeprefix('val_')} (default)"),
        ("ValidateEvery", f"(default {Training().validate_every.replace(' ', '')})"),
        ("CooldownShape", f"{Training().cooldown_shape} (default)"),
        ("Seed", f"(default {Training().seed})"),
        ("Optimizer", f"{Training().optimizer} (default)"),
        ("Schedule", f"{Training().schedule} (warm-up, stable, cooldown; default)"),
        ("Network", f"{Settings().plan.network} (default)"),
        ("StepSize", f"({Settings().prediction.step_size})"),
    ],
)
def test_the_help_says_the_default_that_is_used(name: str, default: str) -> None:
    assert default in OPTIONS[name].__metadata__[0].help


@pytest.mark.parametrize(
    ("option", "setting", "values"),
    [
        ("ConfigurationOption", "plan.configuration", ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")),
        ("Network", "plan.network", ("plain", "resenc", "resenc_m", "resenc_l", "resenc_xl")),
        ("Optimizer", "training.optimizer", ("adamw", "sgd")),
        ("Schedule", "training.schedule", ("wsd", "poly")),
        ("Precision", "training.precision", ("bfloat16", "float32")),
        ("CooldownShape", "training.cooldown_shape", ("linear", "1-sqrt")),
        ("Monitor", "training.monitor", ("dice", "val_loss")),
        ("ValidateEvery", "training.validate_every", ("2epochs", "100steps")),
        ("Grace", "machine.grace", ("60s",)),
        ("Log", "machine.log", ("tensorboard", "mlflow", "tensorboard,mlflow")),
        ("Backbone", "model.backbone", ("mobilenet_v2", "mobilenet_v3", "resnet50", "resnet50_v2")),
        ("Planner", "plan.planner", ("nnunet",)),
        ("Patience", "training.patience", ("off",)),
    ],
)
def test_the_help_names_values_that_are_taken(option: str, setting: str, values: tuple[str, ...]) -> None:
    text = OPTIONS[option].__metadata__[0].help
    for value in values:
        assert value in text
        build_settings({setting: value})
