"""MLflow: parameters, metrics and artifacts of a run, by default in MLflow's local store."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from goodfit.errors import SettingsError
from goodfit.training.hooks import Context, Hook
from goodfit.training.loggers.numbers import NewNumbers

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_VALUE = 500  # MLflow's limit for a parameter
MOST_PARAMETERS = 100  # and for those of one request
_NOT_IN_NAMES = re.compile(r"[^\w\-. /]")


class MLflowLogger(Hook):
    """Logs to the tracking server that MLflow is set up for; without one, to its local store.

    Args:
        title: name of the run there; the experiment is "goodfit".
        parameters: plain values by dotted name.
    """

    def __init__(self, title: str, parameters: Mapping[str, Any]) -> None:
        try:
            import mlflow
        except ImportError as error:
            raise SettingsError("--log mlflow: install it with `pip install goodfit[mlflow]`.") from error
        self._client = mlflow.MlflowClient()
        self._title, self._parameters = title, parameters
        self._run_id: str | None = None
        self._numbers = NewNumbers()

    def before_train(self, context: Context) -> None:
        """Begin a run there, or go on with the one of the checkpoint."""
        if self._run_id is not None:
            self._remember_logged(self._run_id)
            self._client.update_run(self._run_id, status="RUNNING")
            return
        from mlflow.entities import Param

        experiment = self._client.get_experiment_by_name("goodfit")
        key = self._client.create_experiment("goodfit") if experiment is None else experiment.experiment_id
        self._run_id = self._client.create_run(key, run_name=self._title).info.run_id
        given = [Param(name_there(name), str(value)[:LONGEST_VALUE]) for name, value in self._parameters.items()]
        for first in range(0, len(given), MOST_PARAMETERS):
            self._client.log_batch(self._run_id, params=given[first : first + MOST_PARAMETERS])

    def after_validation(self, context: Context) -> None:
        """Log a validation; the row of an epoch's end follows with ``after_epoch``."""
        self._log(context)

    def after_epoch(self, context: Context) -> None:
        """Log the row."""
        self._log(context)

    def after_train(self, context: Context) -> None:
        """Store plan, split and curves; end the run there when the training is done."""
        assert self._run_id is not None, "before_train comes first"
        for file in (context.run.plan, context.run.splits, context.run.metrics, context.run.events):
            if file.is_file():
                self._client.log_artifact(self._run_id, str(file))
        self._client.set_terminated(self._run_id, "FINISHED" if context.phase == "done" else "KILLED")

    def state_dict(self) -> dict[str, Any]:
        """Remember the run there."""
        return {} if self._run_id is None else {"run_id": self._run_id, "title": self._title}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the same run there; a run that extends another begins its own."""
        if state.get("title") == self._title:
            self._run_id = state["run_id"]

    def _remember_logged(self, run_id: str) -> None:
        """Find out what was logged after the checkpoint, by steps that are made anew: nothing is logged twice."""
        for name in self._client.get_run(run_id).data.metrics:
            history = self._client.get_metric_history(run_id, name)
            self._numbers.newest[name] = max(metric.step for metric in history)

    def _log(self, context: Context) -> None:
        assert self._run_id is not None, "before_train comes first"
        from mlflow.entities import Metric

        row = {name_there(name): value for name, value in context.row.items()}
        now = int(1000 * time.time())
        new = self._numbers.of(row, context.step)
        metrics = [Metric(name, value, now, context.step) for name, value in new.items()]
        self._client.log_batch(self._run_id, metrics=metrics)


def name_there(name: str) -> str:
    """Give a name that MLflow takes: classes may have any characters in theirs."""
    return _NOT_IN_NAMES.sub("_", name)
