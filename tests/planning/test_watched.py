"""Which column a training may watch."""

from __future__ import annotations

import pytest

from goodfit.data.labels import Labels
from goodfit.errors import PlanError
from goodfit.planning.plan import Training
from goodfit.planning.watched import (
    instance_metrics,
    larger_is_better,
    refuse_unknown_monitor,
    segmentation_metrics,
    watchable,
)
from goodfit.training.rows import columns_of

LABELS = Labels(classes={"left": (1,), "right": (2,)})


def test_metrics_of_a_segmentation() -> None:
    assert segmentation_metrics(LABELS) == ("val_dice", "val_dice_left", "val_dice_right")


@pytest.mark.parametrize(("masks", "boxes"), [(True, ("val_box_ap", "val_box_ap50")), (False, ())])
def test_metrics_of_instances(masks: bool, boxes: tuple[str, ...]) -> None:
    expected = ("val_ap", "val_ap50", "val_ap75", *boxes, "val_ap_clip", "val_ap_hook")
    assert instance_metrics(["clip", "hook"], masks=masks) == expected


@pytest.mark.parametrize("metrics", [segmentation_metrics(LABELS), instance_metrics(["clip"], masks=True)])
def test_what_can_be_watched_is_a_column_and_the_default_can(metrics: tuple[str, ...]) -> None:
    parts = ("box", "mask")
    known = watchable(metrics, parts)
    assert set(known) <= set(columns_of(metrics, parts))
    assert {"val_loss", "val_loss_box", "val_loss_mask", "train_eval_loss"} <= set(known)
    for monitor in known:
        refuse_unknown_monitor(monitor, metrics, parts)


def test_the_default_of_a_plan_can_be_watched() -> None:
    refuse_unknown_monitor(Training().monitor, segmentation_metrics(LABELS))


@pytest.mark.parametrize(
    "monitor", ["foo", "dice", "val_dice_liver", "train_loss", "val_ap", "val_loss_box", "epoch", ""]
)
def test_any_other_is_refused_with_those_that_can(monitor: str) -> None:
    with pytest.raises(PlanError) as raised:
        refuse_unknown_monitor(monitor, segmentation_metrics(LABELS))
    said = str(raised.value)
    assert f"training.monitor {monitor!r} is no column" in said
    assert "val_dice, val_dice_left, val_dice_right, train_eval_loss, val_loss" in said


@pytest.mark.parametrize(
    ("monitor", "rises"),
    [
        ("val_dice", True),
        ("val_dice_left", True),
        ("val_dice_glossopharyngeal nerve", True),
        ("val_dice_hair_loss", True),
        ("val_ap", True),
        ("val_box_ap50", True),
        ("val_loss", False),
        ("val_loss_mask", False),
        ("train_eval_loss", False),
        ("my_Loss", False),
        ("surface_dice", True),
        ("glossiness", True),
    ],
)
def test_all_but_losses_rise(monitor: str, rises: bool) -> None:
    assert larger_is_better(monitor) == rises
