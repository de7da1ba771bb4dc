"""What became of each key of a config: a setting, or a reason why not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from goodfit.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Ledger:
    """Books every key once, as honoured or as ignored.

    Attributes:
        file: named in errors.
        values: the config's values by full key.
        settings: "section.field" -> value.
        honoured: key, value, where it went.
        ignored: key, value, why.
    """

    file: str
    values: Mapping[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    honoured: list[tuple[str, Any, str]] = field(default_factory=list)
    ignored: list[tuple[str, Any, str]] = field(default_factory=list)

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def open_keys(self) -> list[str]:
        """Keys not booked yet, in the order of the config."""
        booked = {key for key, _, _ in (*self.honoured, *self.ignored)}
        return [key for key in self.values if key not in booked]

    def honour(self, key: str, where: str, settings: Mapping[str, Any] | None = None) -> None:
        """Book a key as honoured, with the settings that it gives."""
        self.settings.update(settings or {})
        self.honoured.append((key, self.values[key], where))

    def put(self, key: str, name: str, value: Any) -> None:
        """Book a key as one setting."""
        self.honour(key, name, {name: value})

    def ignore(self, key: str, why: str) -> None:
        """Book a key as ignored."""
        self.ignored.append((key, self.values[key], why))

    def ignore_all(self, keys: Mapping[str, str]) -> None:
        """Book as ignored those of the keys that the config has; key -> why."""
        for key, why in keys.items():
            if key in self:
                self.ignore(key, why)

    def number(self, key: str, default: float | None = None, *, least: float = -math.inf) -> float:
        """Give a number.

        Args:
            key: full key.
            default: where the config does not have it.
            least: a smaller number is refused.

        Raises:
            SettingsError: it is no finite number, or too small; names file and key.
        """
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < least:
            raise self.error(key, "a number" + ("" if least == -math.inf else f" of {least:g} or more"))
        return float(value)

    def whole(self, key: str, default: int | None = None, *, least: int = 0) -> int:
        """Give a whole number.

        Raises:
            SettingsError: it is none, or too small; names file and key.
        """
        value = self.number(key, default, least=least)
        if value != int(value):
            raise self.error(key, "a whole number")
        return int(value)

    def flag(self, key: str) -> bool:
        """Give a truth value.

        Raises:
            SettingsError: it is none; names file and key.
        """
        value = self.values.get(key)
        if not isinstance(value, bool):
            raise self.error(key, "True or False")
        return value

    def text(self, key: str) -> str:
        """Give a text.

        Raises:
            SettingsError: it is none; names file and key.
        """
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self.error(key, "a text")
        return value

    def numbers(self, key: str) -> list[float]:
        """Give a list of numbers; a single number is a list of one.

        Raises:
            SettingsError: it is none; names file and key.
        """
        value = self.values.get(key)
        numbers = []
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, bool) or not isinstance(one, int | float) or not math.isfinite(one):
                raise self.error(key, "a list of numbers")
            numbers.append(float(one))
        return numbers

    def lists(self, key: str) -> list[list[float]]:
        """Give a list of lists of numbers.

        Raises:
            SettingsError: it is none; names file and key.
        """
        value = self.values.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(one, list) and one for one in value):
            raise self.error(key, "a list of lists of numbers")
        return [Ledger(self.file, {key: one}).numbers(key) for one in value]

    def error(self, key: str, wanted: str) -> SettingsError:
        """Make the error for a value that cannot be."""
        return SettingsError(f"{self.file}: {key} is {self.values.get(key)!r}; it must be {wanted}.")
