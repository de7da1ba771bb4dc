"""A user's own code in a run: hooks and a recipe, by object or by name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goodfit.errors import SettingsError
from goodfit.settings import SHORTCUTS, explicit_settings
from goodfit.training.hooks import Hook, import_class, name_of
from goodfit.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.settings import TrainingSettings


@dataclass(frozen=True)
class Extensions:
    """The user's code, ready to be called."""

    hooks: tuple[Hook, ...]
    recipe: Recipe


def with_extensions(
    settings: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    hooks: Sequence[Hook],
    recipe: type[Recipe] | str | None,
) -> dict[str, Any]:
    """Put hooks, recipe and the recipe's attributes among the settings, so that a run records them.

    What the user gives as a setting or an option goes before an attribute of the recipe. A hook that is named among the
    settings and handed in as an object, as for a run that goes on, is one hook.

    Raises:
        SettingsError: the recipe is named in two ways, or cannot be imported.
    """
    given = dict(explicit_settings(settings, options))
    if isinstance(recipe, str):
        recipe = import_class(recipe, Recipe, "--recipe")
    if hooks:
        named = list(given.get("training.hooks", ()))
        given["training.hooks"] = [*named, *(Counter(map(name_of, hooks)) - Counter(named)).elements()]
    if recipe is not None:
        if given.get("training.recipe", name_of(recipe)) != name_of(recipe):
            raise SettingsError(f"recipe is given twice, as {given['training.recipe']} and as {name_of(recipe)}.")
        given["training.recipe"] = name_of(recipe)
    elif "training.recipe" in given:
        recipe = import_class(given["training.recipe"], Recipe, "--recipe")
    if recipe is not None:
        given = {**explicit_settings({SHORTCUTS[name]: value for name, value in recipe.options().items()}, {}), **given}
    return given


def find_extensions(
    settings: TrainingSettings, hooks: Sequence[Hook] = (), recipe: type[Recipe] | str | None = None
) -> Extensions:
    """Give the objects that a run's settings name: those handed in, and what can be imported.

    Raises:
        SettingsError: a name is neither among those handed in nor importable.
    """
    handed = {name_of(hook): [other for other in hooks if name_of(other) == name_of(hook)] for hook in hooks}
    found = [
        handed[name].pop(0) if handed.get(name) else import_class(name, Hook, "--hook")()
        for name in settings.hooks or ()
    ]
    chosen = find_recipe(settings, recipe)
    return Extensions((*found, *(hook() for hook in chosen.hooks)), chosen())


def find_recipe(settings: TrainingSettings, recipe: type[Recipe] | str | None = None) -> type[Recipe]:
    """Give the recipe that a run's settings name: the one handed in, an imported one, or the plain one.

    Raises:
        SettingsError: its name is neither that of the one handed in nor importable.
    """
    if settings.recipe is None:
        return Recipe
    if isinstance(recipe, type) and name_of(recipe) == settings.recipe:
        return recipe
    return import_class(settings.recipe, Recipe, "--recipe")
