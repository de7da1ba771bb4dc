"""What MLflow's local store holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from goodfit.errors import SettingsError
from goodfit.training.loggers.mlflow import LONGEST_VALUE, MOST_PARAMETERS, MLflowLogger, name_there

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.training.hooks import Context

# Of the packages that MLflow itself needs.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PARAMETERS = {
    "training.learning_rate": 0.002,
    "data.classes.left (big)": [1, 2],
    "long": "x" * 1000,
    **{f"network.{n}": n for n in range(MOST_PARAMETERS)},
}


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Look into the store that MLflow takes by default, in a folder of the test."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    import mlflow

    return mlflow.MlflowClient()


def runs(client: Any) -> list[Any]:
    experiment = client.get_experiment_by_name("goodfit")
    return list(client.search_runs([experiment.experiment_id]))


def history(client: Any, run: Any, name: str) -> list[tuple[int, float]]:
    return sorted((one.step, one.value) for one in client.get_metric_history(run.info.run_id, name))


def test_parameters_metrics_and_artifacts_are_in_the_default_store(
    client: Any, context: Context, epochs: Callable[..., Any], tmp_path: Path
) -> None:
    epochs(MLflowLogger("run one", PARAMETERS), 1, 3)
    (run,) = runs(client)
    assert run.info.run_name == "run one"
    assert run.info.status == "FINISHED"
    assert len(run.data.params) == len(PARAMETERS)
    assert run.data.params["training.learning_rate"] == "0.002"
    assert run.data.params["data.classes.left _big_"] == "[1, 2]"
    assert run.data.params["long"] == "x" * LONGEST_VALUE
    assert history(client, run, "val_loss") == [(10, 1.0), (20, 0.5), (30, 1 / 3)]
    assert history(client, run, "train_loss") == [(10, 2.0), (20, 1.0), (30, 2 / 3)]
    assert history(client, run, "val_dice_left _big_") == [(20, 0.2), (30, 0.3)]
    assert "phase" not in run.data.metrics
    assert {one.path for one in client.list_artifacts(run.info.run_id)} == {"plan.json", "metrics.csv"}
    assert (tmp_path / "mlflow.db").is_file() or (tmp_path / "mlruns").is_dir()


def test_a_resumed_run_goes_on_with_the_same_one_and_logs_nothing_twice(
    client: Any, context: Context, epochs: Callable[..., Any]
) -> None:
    state = epochs(MLflowLogger("run", {}), 1, 4, saved_after=2, done=False)
    (run,) = runs(client)
    assert run.info.status == "KILLED"
    again = MLflowLogger("run", {"other": 1})
    again.load_state_dict(state)
    epochs(again, 3, 5)
    (same,) = runs(client)
    assert same.info.run_id == run.info.run_id
    assert same.info.status == "FINISHED"
    assert same.data.params == {}
    for name in ("val_loss", "train_loss"):
        assert [step for step, _ in history(client, same, name)] == [10, 20, 30, 40, 50]


def test_an_extension_begins_a_run_of_its_own(client: Any, context: Context, epochs: Callable[..., Any]) -> None:
    state = epochs(MLflowLogger("run", {}), 1, 2, saved_after=2)
    longer = MLflowLogger("run-extended", {})
    longer.load_state_dict(state)
    context.phase = "stable"
    epochs(longer, 3, 4)
    found = {run.info.run_name: run for run in runs(client)}
    assert set(found) == {"run", "run-extended"}
    assert [step for step, _ in history(client, found["run"], "val_loss")] == [10, 20]
    assert [step for step, _ in history(client, found["run-extended"], "val_loss")] == [30, 40]


def test_a_logger_that_has_not_begun_has_no_state(client: Any) -> None:
    logger = MLflowLogger("run", {})
    assert logger.state_dict() == {}
    logger.load_state_dict({})
    assert logger.state_dict() == {}


@pytest.mark.parametrize(
    ("name", "there"),
    [("val_dice_vena cava", "val_dice_vena cava"), ("a(b)+c,d:e#", "a_b__c_d_e_"), ("Lappen-1/x.y", "Lappen-1/x.y")],
)
def test_classes_may_have_any_name(name: str, there: str) -> None:
    assert name_there(name) == there


def test_a_missing_package_is_named_with_its_extra(without: Callable[[str], None]) -> None:
    without("mlflow")
    with pytest.raises(SettingsError, match=r"--log mlflow: install it with `pip install goodfit\[mlflow\]`"):
        MLflowLogger("run", {})
