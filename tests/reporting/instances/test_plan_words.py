from __future__ import annotations

from goodfit.planning.instances.plan import load_instance_plan
from goodfit.reporting.instances.plan_words import instance_plan_groups
from goodfit.reporting.plan_words import DEFAULT


def test_every_section_is_there(instance_run):
    groups = instance_plan_groups(load_instance_plan(instance_run / "plan.json"))
    assert [group.title for group in groups] == [
        *("Resources", "Data", "Detector", "Sampling of frames", "Augmentation", "Budget", "Training")
    ]
    decisions = {decision.field: decision for group in groups for decision in group.decisions}
    size = decisions["model.image_min_size"]
    assert (size.value, size.reason) == ("96", "half of the <median> frame")
    assert decisions["model.anchor_sizes"].value == "16, 32, 64, 128, 256"
    assert decisions["model.anchor_ratios"].reason == DEFAULT
    assert decisions["batch_size"].value == "4"
    assert decisions["data.categories"].value == "person, blanket"
    assert {"sampling.novelty", "augmentation.hue", "training.monitor"} <= decisions.keys()
    assert not {"training.oversample_foreground", "data.key", "kind"} & decisions.keys()
