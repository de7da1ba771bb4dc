"""Taking a Detectron2 config into a plan: what it asks for, where that goes, and what cannot be honoured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from goodfit.interop.detectron2.config_file import read_config
from goodfit.interop.detectron2.config_ledger import Ledger
from goodfit.interop.detectron2.config_model import translate_model
from goodfit.interop.detectron2.config_rest import ignore_rest, translate_data
from goodfit.interop.detectron2.config_solver import translate_solver

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Translation:
    """What became of a config; every key of it is either honoured or ignored.

    Attributes:
        settings: "section.field" -> value, as ``make_instance_plan`` takes wishes.
        honoured: key, value, where it went.
        ignored: key, value, why.
        datasets: names of registered datasets: "train" and "test".
        categories: number of categories that the config expects, or None.
    """

    settings: dict[str, Any]
    honoured: list[tuple[str, Any, str]]
    ignored: list[tuple[str, Any, str]]
    datasets: dict[str, list[str]] = field(default_factory=dict)
    categories: int | None = None

    def mismatch(self, categories: Sequence[str]) -> str | None:
        """Say that the dataset has another number of categories than the config expects, or give None."""
        if self.categories is None or self.categories == len(categories):
            return None
        return (
            f"MODEL.ROI_HEADS.NUM_CLASSES is {self.categories}, the dataset has {len(categories)}: "
            f"{', '.join(categories)}. The dataset's are taken."
        )


def translate_config(file: Path) -> Translation:
    """Translate a Detectron2 config with its bases.

    Only what the files say is translated: where they are silent the plan follows from the data rather than from
    Detectron2's defaults, unless a value is of no use without one (SOLVER.STEPS without MAX_ITER, for instance).

    Raises:
        SettingsError: a file cannot be read, or a value is of the wrong type; names file and key.
    """
    ledger = Ledger(str(file), read_config(file))
    translate_solver(ledger)
    translate_model(ledger)
    datasets = translate_data(ledger)
    categories = None
    key = "MODEL.ROI_HEADS.NUM_CLASSES"
    if key in ledger:
        categories = ledger.whole(key, least=1)
        ledger.honour(key, "compared with the dataset's categories, which decide")
    ignore_rest(ledger)
    return Translation(ledger.settings, ledger.honoured, ledger.ignored, datasets, categories)
