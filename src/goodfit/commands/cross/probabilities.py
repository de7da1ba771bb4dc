"""Probabilities of a finished fold's cases, made afterwards without training anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.commands.plan import Prepared
from goodfit.commands.predict import predict_set
from goodfit.commands.trained import trained_plan
from goodfit.data.splits import load_split
from goodfit.planning.plan import Plan

if TYPE_CHECKING:
    from goodfit.commands.cross.kind import Subject
    from goodfit.observer import Observer
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.training.run_folder import RunFolder


def add_probabilities(subject: Subject, plan: Plan | InstancePlan, run: RunFolder, observer: Observer) -> None:
    """Predict the cases of a finished fold again where probabilities are asked for and are not all there.

    The labels come out as they were. A run on instances has no probabilities.

    Args:
        subject: of the cross-validation.
        plan: of all folds.
        run: of the fold.
        observer: told about the progress.
    """
    if not subject.settings.prediction.probabilities or not isinstance(plan, Plan):
        return
    split = load_split(run.splits, subject.dataset)
    if all((run.predictions / f"{name}.npz").is_file() for name in split.test):
        return
    observer.note(f"{run.path.name}: its cases are predicted again, for their probabilities")
    prepared = Prepared(subject.dataset, subject.settings, run, subject.cache, trained_plan(run) or plan, split)
    predict_set(prepared, split.test, observer, continue_=True)
