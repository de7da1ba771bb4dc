"""What TensorBoard reads back from the files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from goodfit.errors import SettingsError
from goodfit.training.loggers.tensorboard import TensorBoardLogger

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.training.hooks import Context


def scalars(context: Context) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(context.run.path / "tensorboard"))
    read.Reload()
    return {tag: [(one.step, round(one.value, 5)) for one in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_the_curves_are_there_by_column_and_step(context: Context, epochs: Callable[..., Any]) -> None:
    epochs(TensorBoardLogger(), 1, 3)
    assert scalars(context) == {
        "val_loss": [(10, 1.0), (20, 0.5), (30, 0.33333)],
        "train_loss": [(10, 2.0), (20, 1.0), (30, 0.66667)],
        "lr": [(10, 0.1), (20, 0.1), (30, 0.1)],
        "val_dice_left (big)": [(20, 0.2), (30, 0.3)],
    }


def test_what_was_logged_after_the_checkpoint_is_not_there_twice(context: Context, epochs: Callable[..., Any]) -> None:
    state = epochs(TensorBoardLogger(), 1, 4, saved_after=2, done=False)
    again = TensorBoardLogger()
    again.load_state_dict(state)
    epochs(again, 3, 5)
    curves = scalars(context)
    assert [step for step, _ in curves["val_loss"]] == [10, 20, 30, 40, 50]
    assert [step for step, _ in curves["train_loss"]] == [10, 20, 30, 40, 50]


def test_a_run_that_goes_on_without_new_rows_loses_none(context: Context, epochs: Callable[..., Any]) -> None:
    state = epochs(TensorBoardLogger(), 1, 2, saved_after=2)
    again = TensorBoardLogger()
    again.load_state_dict(state)
    epochs(again, 3, 2)
    assert [step for step, _ in scalars(context)["val_loss"]] == [10, 20]


def test_leaving_before_the_first_step_is_no_error(context: Context) -> None:
    TensorBoardLogger().after_train(context)


@pytest.mark.parametrize("package", ["tensorboard", "torch.utils.tensorboard"])
def test_a_missing_package_is_named_with_its_extra(
    without: Callable[[str], None], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if package == "tensorboard":
        monkeypatch.delitem(__import__("sys").modules, "torch.utils.tensorboard", raising=False)
    without(package)
    with pytest.raises(SettingsError, match=r"--log tensorboard: install it with `pip install goodfit\[tensorboard\]`"):
        TensorBoardLogger()
