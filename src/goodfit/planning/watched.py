"""Which column of metrics.csv a training may watch, and which way it improves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.data.labels import Labels

LOSSES = ("train_eval_loss", "val_loss")


def segmentation_metrics(labels: Labels) -> tuple[str, ...]:
    """Columns of the metrics of a segmentation: mean Dice, then the Dice of each class."""
    return ("val_dice", *(f"val_dice_{name}" for name in labels.names))


def instance_metrics(categories: Sequence[str], *, masks: bool) -> tuple[str, ...]:
    """Columns of the metrics of instances: precision of masks where there are any, of boxes, of each category."""
    boxes = ("val_box_ap", "val_box_ap50") if masks else ()
    return ("val_ap", "val_ap50", "val_ap75", *boxes, *(f"val_ap_{name}" for name in categories))


def watchable(metrics: Sequence[str], loss_parts: Sequence[str] = ()) -> list[str]:
    """Columns that every validation fills."""
    return [*metrics, *LOSSES, *(f"val_loss_{part}" for part in loss_parts)]


def refuse_unknown_monitor(monitor: str, metrics: Sequence[str], loss_parts: Sequence[str] = ()) -> None:
    """Refuse to watch a column that no validation fills: such a training would not stop before its budget ends.

    Raises:
        PlanError: names the columns that can be watched.
    """
    known = watchable(metrics, loss_parts)
    if monitor not in known:
        raise PlanError(
            f"training.monitor {monitor!r} is no column that a validation fills. There are: {', '.join(known)}. A hook may "
            "record further ones."
        )


def larger_is_better(monitor: str) -> bool:
    """Whether a watched column rises as the fit gets better: all but losses do.

    A loss is known by the word: val_loss, val_loss_mask, or what a hook records as my_loss. Names of classes have no
    part in it.
    """
    metric = monitor.startswith(("val_dice", "val_ap", "val_box_ap"))
    return metric or "loss" not in monitor.lower().split("_")
