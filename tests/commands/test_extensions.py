"""A user's own code among the settings of a run, and back from there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from goodfit.commands.extensions import find_extensions, with_extensions
from goodfit.errors import SettingsError
from goodfit.settings import build_settings
from goodfit.training.hooks import Hook, name_of
from goodfit.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODULE = """
import goodfit

class One(goodfit.Hook):
    pass

class Two(goodfit.Hook):
    pass

class Patient(goodfit.Recipe):
    epochs = 400
    patience = 30
    hooks = (Two,)
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module of the user in the folder where goodfit is called."""
    (tmp_path / "their_module.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield __import__("their_module")
    sys.modules.pop("their_module", None)


class Local(Hook):
    """Handed in as an object."""


class Mine(Recipe):
    """Handed in as a class."""

    epochs = 7
    seed = 3


def test_without_code_the_settings_are_what_was_asked_for() -> None:
    assert with_extensions({"training.seed": 3}, {"epochs": 5}, (), None) == {"training.seed": 3, "budget.epochs": 5}


def test_hooks_are_recorded_by_name_in_their_order() -> None:
    given = with_extensions({}, {"hook": ["their_module:One"]}, [Local(), Local()], None)
    assert given == {"training.hooks": ["their_module:One", name_of(Local), name_of(Local)]}


def test_a_hook_that_is_recorded_and_handed_in_again_is_one() -> None:
    recorded = {"training.hooks": [name_of(Local), "their_module:One", name_of(Local)]}
    assert with_extensions(recorded, {}, [Local(), Local()], None) == recorded
    further = with_extensions(recorded, {}, [Local(), Local(), Local()], None)
    assert further["training.hooks"] == [*recorded["training.hooks"], name_of(Local)]


def test_no_hook_leaves_no_trace() -> None:
    assert with_extensions({}, {"hook": None}, (), None) == {}


@pytest.mark.parametrize(
    ("settings", "options", "by_class"),
    [
        ({}, {"recipe": "their_module:Patient"}, False),
        ({"training.recipe": "their_module:Patient"}, {}, False),
        ({}, {}, True),
        ({}, {"recipe": "their_module:Patient"}, True),
    ],
)
def test_attributes_of_a_recipe_are_recorded_however_it_is_given(
    module: Any, settings: dict[str, Any], options: dict[str, Any], by_class: bool
) -> None:
    assert with_extensions(settings, options, (), module.Patient if by_class else None) == {
        "training.recipe": "their_module:Patient",
        "budget.epochs": 400,
        "training.patience": 30,
    }


def test_a_recipe_by_name_in_place_of_the_class(module: Any) -> None:
    assert with_extensions({}, {}, (), "their_module:Patient") == with_extensions({}, {}, (), module.Patient)


def test_options_go_before_attributes() -> None:
    given = with_extensions({"training.seed": 1}, {"epochs": 5}, (), Mine)
    assert given == {"training.recipe": name_of(Mine), "budget.epochs": 5, "training.seed": 1}


def test_two_recipes_are_one_too_many() -> None:
    with pytest.raises(SettingsError, match=r"recipe is given twice, as their_module:Patient and as .*Mine"):
        with_extensions({}, {"recipe": "their_module:Patient"}, (), Mine)


@pytest.mark.parametrize("as_option", [True, False])
@pytest.mark.parametrize("name", ["their_module:One", "their_module:Missing", "no_such_module:X", "their_module"])
def test_a_recipe_that_cannot_be_is_refused(name: str, as_option: bool) -> None:
    with pytest.raises(SettingsError, match=r"^--recipe "):
        with_extensions({}, {"recipe": name} if as_option else {}, (), None if as_option else name)


def test_an_attribute_that_cannot_be_is_named() -> None:
    with pytest.raises(SettingsError, match=r"budget\.epochs=-1"):
        with_extensions({}, {}, (), type("Wrong", (Recipe,), {"epochs": -1}))


def training(**values: Any) -> Any:
    return build_settings({f"training.{name}": value for name, value in values.items()}).training


def test_nothing_asked_for_is_nothing_found() -> None:
    found = find_extensions(training())
    assert found.hooks == ()
    assert type(found.recipe) is Recipe


def test_names_are_imported_and_objects_taken_where_their_name_is_due(module: Any) -> None:
    first, second = Local(), Local()
    names = [name_of(Local), "their_module:One", name_of(Local)]
    found = find_extensions(training(hooks=names), [first, second])
    assert [type(hook) for hook in found.hooks] == [Local, module.One, Local]
    assert found.hooks[0] is first
    assert found.hooks[2] is second


def test_a_recipe_brings_its_hooks_behind_the_others(module: Any) -> None:
    found = find_extensions(training(hooks=["their_module:One"], recipe="their_module:Patient"))
    assert [type(hook) for hook in found.hooks] == [module.One, module.Two]
    assert type(found.recipe) is module.Patient


def test_a_recipe_handed_in_is_taken_where_it_is_the_one_recorded(module: Any) -> None:
    assert type(find_extensions(training(recipe=name_of(Mine)), recipe=Mine).recipe) is Mine
    assert type(find_extensions(training(recipe="their_module:Patient"), recipe=Mine).recipe) is module.Patient
    by_name = find_extensions(training(recipe="their_module:Patient"), recipe="their_module:Patient")
    assert type(by_name.recipe) is module.Patient


def test_what_is_recorded_and_gone_is_named() -> None:
    with pytest.raises(SettingsError, match=r"--hook gone_module:Gone: the module cannot be imported"):
        find_extensions(training(hooks=["gone_module:Gone"]))
    with pytest.raises(SettingsError, match=r"--recipe gone_module:Gone: the module cannot be imported"):
        find_extensions(training(recipe="gone_module:Gone"))


def test_a_class_within_a_function_must_be_handed_in_again() -> None:
    class Inner(Hook):
        pass

    assert find_extensions(training(hooks=[name_of(Inner)]), [Inner()]).hooks
    with pytest.raises(SettingsError, match="write module:Class"):
        find_extensions(training(hooks=[name_of(Inner)]))
