from __future__ import annotations

import pytest

from goodfit.planning.plan import load_plan
from goodfit.reporting.plan_words import DEFAULT, plan_groups, say


def test_every_value_of_the_chosen_configuration_is_there(finished_run):
    groups = plan_groups(load_plan(finished_run / "plan.json"))
    assert [group.title for group in groups] == [
        *("Resources", "Data", "Configuration 3d_fullres", "Network", "Budget", "Training")
    ]
    decisions = {decision.field: decision for group in groups for decision in group.decisions}
    spacing = decisions["configurations.3d_fullres.spacing"]
    assert (spacing.value, spacing.reason) == ("1 x 1 x 1 mm", "median spacing of the cases")
    assert decisions["configurations.3d_fullres.network.strides"].value == "1x1x1, 2x2x2"
    assert decisions["budget.epochs"].value == "20"
    assert decisions["budget.epochs"].reason == ""
    assert decisions["training.learning_rate"].reason == DEFAULT
    assert decisions["memory"].value == "8 GB"
    assert "data.key" not in decisions
    assert "12,346" in decisions["data.intensities"].value


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("time", 600.0, "10 min"),
        ("patience", None, "none"),
        ("use_mask", [True, False], "yes, no"),
        ("steps", 250000, "250,000"),
        ("weight_decay", 0.01, "0.01"),
        ("transpose", [1, 0, 2], "y z x"),
        ("classes", {"organ": [1], "all": [1, 2]}, "organ = 1, all = 1, 2"),
        ("patch_size", [56, 40], "56x40"),
    ],
)
def test_values_are_written_as_people_do(name, value, text):
    assert say(name, value) == text
