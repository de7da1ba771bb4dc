from __future__ import annotations

from typing import TYPE_CHECKING

from goodfit.interop.nnunet.ledger import not_followed
from goodfit.interop.nnunet.plans_file import parse_nnunet_plans
from goodfit.interop.nnunet.plans_out import nnunet_plans_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.planning.plan import Plan


def test_what_goodfit_writes_it_follows(tiny_plan: Callable[..., Plan]) -> None:
    plans = parse_nnunet_plans(nnunet_plans_of(tiny_plan()), "nnUNetPlans.json")
    assert list(not_followed(plans, "3d_fullres")) == []


def test_unknown_keys_are_named_with_their_place(tiny_plan: Callable[..., Plan]) -> None:
    content = nnunet_plans_of(tiny_plan())
    content["mood"] = "good"
    content["configurations"]["3d_fullres"]["speed"] = 3
    content["configurations"]["mine"] = {"inherits_from": "3d_fullres", "batch_size": 7, "colour": "red"}
    said = list(not_followed(parse_nnunet_plans(content, "plans.json"), "mine"))
    assert [line.split(": goodfit")[0] for line in said] == [
        "plans.json: mood",
        "plans.json: configurations.mine.colour",
        "plans.json: configurations.3d_fullres.speed",
    ]
