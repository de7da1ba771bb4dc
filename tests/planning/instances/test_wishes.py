from __future__ import annotations

import pytest

from goodfit.errors import PlanError
from goodfit.planning.instances.plan import InstanceData, InstancePlan
from goodfit.planning.instances.wishes import ASKED, apply_instance_wishes, wished_values

DATA = InstanceData(name="made", key="key", categories=["x"], has_masks=True)
PLAN = InstancePlan(goodfit_version="0", memory=1e9, data=DATA)


def test_wishes_replace_values_and_say_so() -> None:
    wished = apply_instance_wishes(PLAN, {"plan.batch_size": 7, "model.score_threshold": 0.2, "training.seed": 3})
    assert (wished.batch_size, wished.model.score_threshold, wished.training.seed) == (7, 0.2, 3)
    assert wished.reasons["batch_size"] == wished.model.reasons["score_threshold"] == ASKED
    assert PLAN.batch_size != 7
    assert PLAN.reasons == {}


def test_texts_are_read_as_their_fields_ask() -> None:
    assert wished_values(DATA, {"model.image_min_size": "800", "plan.batch_size": "3"}) == {
        "model.image_min_size": 800,
        "plan.batch_size": 3,
    }


def test_one_wished_side_does_not_clash_with_the_others_default() -> None:
    assert wished_values(DATA, {"model.image_min_size": 2000}) == {"model.image_min_size": 2000}
    assert wished_values(DATA, {"model.image_max_size": 100}) == {"model.image_max_size": 100}


@pytest.mark.parametrize(
    "name",
    ["model.depth", "batch_size", "plan.version", "data.categories", "model.reasons", "training.oversample_foreground"],
)
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(PlanError, match="no such setting") as caught:
        apply_instance_wishes(PLAN, {name: 1})
    assert name in str(caught.value)


def test_impossible_values_are_refused_by_name() -> None:
    with pytest.raises(PlanError, match=r"model\.nms_threshold") as caught:
        apply_instance_wishes(PLAN, {"model.nms_threshold": 2, "plan.batch_size": 0})
    assert "batch_size" in str(caught.value)
