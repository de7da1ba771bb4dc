"""Which network of a cascade's first stage predicts which case: one that has not seen it, wherever there is one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from goodfit.commands.models import find_runs, in_cascade, model_of
from goodfit.commands.places import PREVIOUS_STAGE
from goodfit.data.wording import counted, some
from goodfit.errors import RunError
from goodfit.files import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from goodfit.tasks.segmentation.model import Model
    from goodfit.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

Acquaintance = Literal["unseen", "stopped on", "trained on"]
"""How well the best network for a case knows it: not at all; it chose when to stop; its weights come of it."""


@dataclass(frozen=True)
class Choice:
    """The networks that predict some cases.

    Attributes:
        members: their runs.
        acquaintance: how well they know the cases.
        cases: names.
    """

    members: tuple[RunFolder, ...]
    acquaintance: Acquaintance
    cases: tuple[str, ...]


@dataclass(frozen=True)
class PreviousStage:
    """The runs of the first stage, of one plan."""

    runs: tuple[RunFolder, ...]

    @classmethod
    def of(cls, run: RunFolder) -> PreviousStage:
        """Find the first stage in the folder of a cascade's run.

        Raises:
            RunError: it is not there, or not trained to its end.
        """
        return cls(tuple(find_runs(run.path / PREVIOUS_STAGE)))

    def choose(self, cases: Sequence[str]) -> list[Choice]:
        """Choose for each case the networks that know it least; several are averaged.

        nnU-Net predicts each training case with the fold that has not seen it. Of a cross-validation this gives the
        same; cases outside it (the test set) are predicted by all folds.
        """
        known = [_sets_of(run) for run in self.runs]
        groups: dict[tuple[tuple[int, ...], Acquaintance], list[str]] = {}
        for case in cases:
            groups.setdefault(_least_known(case, known), []).append(case)
        return [
            Choice(tuple(self.runs[index] for index in members), acquaintance, tuple(names))
            for (members, acquaintance), names in groups.items()
        ]

    def model(self, members: Sequence[RunFolder], device: torch.device) -> Model:
        """Load the mean of some of the runs."""
        return model_of(members, str(self.runs[0].path.parent), device=device)


def scoring_models(model: Model, run: RunFolder, cases: Sequence[str]) -> list[tuple[Model, list[str]]]:
    """Say which model predicts which of the cases that a run is scored on.

    Args:
        model: the run's network; of a cascade without its first stage.
        run: its folder.
        cases: names.

    Returns:
        Models and the cases of each. Only of a cascade there may be several: a case is not shown to networks of the
        first stage that have seen it.

    Raises:
        RunError: every network of the first stage was trained on some of the cases.
    """
    if model.plan.chosen.previous_stage is None:
        return [(model, list(cases))]
    choices = PreviousStage.of(run).choose(cases)
    seen = [case for choice in choices if choice.acquaintance == "trained on" for case in choice.cases]
    if seen:
        raise RunError(
            f"{run.path / PREVIOUS_STAGE}: every network of the first stage was trained on {counted(len(seen), 'test case')} "
            f"({some(seen)}), so the scores would not be of unseen cases. Leave --previous-stage out, or name a "
            "cross-validation of 3d_lowres, or a run of it with this split."
        )
    stopped = [case for choice in choices if choice.acquaintance == "stopped on" for case in choice.cases]
    if stopped:
        logger.warning("%s: the first stage stopped on the test cases %s", run.path / PREVIOUS_STAGE, some(stopped))
    return [(in_cascade(model, choice.members), list(choice.cases)) for choice in choices]


def _sets_of(run: RunFolder) -> Mapping[str, set[str]]:
    """The cases that a run has trained on and stopped on, as noted when it began.

    Raises:
        RunError: that is not known.
    """
    noted = read_json(run.trained, RunError) if run.trained.is_file() else {}
    split = noted.get("split") or {}
    if not split.get("train"):
        raise RunError(
            f"{run.path}: it is not known which cases this run was trained on, so it cannot be told which it may predict "
            "for the next stage. Train the first stage with goodfit."
        )
    return {name: set(cases) for name, cases in split.items()}


def _least_known(case: str, known: Sequence[Mapping[str, set[str]]]) -> tuple[tuple[int, ...], Acquaintance]:
    """Give the indices of the runs that know a case least, and how well that is."""
    everything = range(len(known))
    not_trained = [index for index in everything if case not in known[index]["train"]]
    unseen = [index for index in not_trained if case not in known[index].get("validation", set())]
    if unseen:
        return tuple(unseen), "unseen"
    if not_trained:
        return tuple(not_trained), "stopped on"
    return tuple(everything), "trained on"
