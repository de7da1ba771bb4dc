"""Label maps and scores: nnU-Net 2.8.1 on the same input."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from goodfit.data.geometry import Geometry
from goodfit.data.labels import Labels
from goodfit.data.readers import read_label, write_label
from goodfit.interop.nnunet.plans_out import nnunet_dataset_json, nnunet_plans_of
from goodfit.preprocessing.properties import CaseProperties
from goodfit.preprocessing.resample import new_shape
from goodfit.tasks.segmentation.cascade.stage import next_stage_labels
from goodfit.tasks.segmentation.evaluation import evaluate_folders
from goodfit.tasks.segmentation.metrics import dice_counts, dice_of_counts
from goodfit.tasks.segmentation.restore import restore

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.planning.plan import Plan

LABELS = {
    "plain": Labels(classes={"a": (1,), "b": (2,), "c": (3,)}),
    "ignore": Labels(classes={"a": (1,), "b": (2,)}, ignore=3),
    "regions": Labels(classes={"whole": (1, 2, 3), "core": (2, 3), "rim": (3,)}, regions_order=(1, 2, 3)),
    "regions and ignore": Labels(classes={"whole": (1, 2), "core": (2,)}, ignore=3, regions_order=(1, 2)),
}
PLACE = Geometry((2.0, 1.0, 1.5), (3.0, 2.0, 1.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), 3)


def restored_case(labels: Labels, tiny_plan: Callable[..., Plan]) -> dict[str, Any]:
    """A case that was turned, cropped and resampled, with its logits, as both sides describe it."""
    classes = {name: list(values) for name, values in labels.classes.items()}
    data = {"classes": classes, "ignore": labels.ignore, "transpose": [1, 0, 2]}
    data["regions_order"] = None if labels.regions_order is None else list(labels.regions_order)
    plan = tiny_plan(data=data, configuration={"spacing": [1.5, 2.5, 1.0]})
    box, cropped = ((1, 11), (0, 7), (2, 14)), (10, 7, 12)
    shape = new_shape(cropped, (1.0, 2.0, 1.5), plan.chosen.spacing)
    properties = CaseProperties(
        geometry=PLACE,
        transpose=(1, 0, 2),
        shape_before_crop=(13, 8, 15),
        bbox=box,
        shape_after_crop=cropped,
        shape=shape,
        spacing=(1.5, 2.5, 1.0),
    )
    logits = torch.randn(labels.outputs, *shape, generator=torch.Generator().manual_seed(5)) * 2
    question = {
        "plans": nnunet_plans_of(plan),
        "dataset_json": nnunet_dataset_json(plan, 3),
        "properties": {
            "spacing": list(PLACE.spacing),
            "shape_before_cropping": (13, 8, 15),
            "bbox_used_for_cropping": [list(ends) for ends in box],
            "shape_after_cropping_and_before_resampling": cropped,
        },
        "logits": logits,
    }
    return {"question": question, "properties": properties, "logits": logits}


LOWRES_SPACINGS = {"isotropic": [3.0, 2.0, 2.0], "thick slices": [9.0, 2.0, 2.0]}


def lowres_case(name: str, tiny_plan: Callable[..., Plan], folder: Path) -> dict[str, Any]:
    spacing = LOWRES_SPACINGS[name]
    plan = tiny_plan(configuration={"spacing": [2.0, 1.0, 1.0]})
    lowres = plan.chosen.model_copy(update={"name": "3d_lowres", "spacing": spacing})
    plan = plan.model_copy(update={"configurations": {"3d_fullres": plan.chosen, "3d_lowres": lowres}})
    full, low = (12, 21, 18), new_shape((12, 21, 18), (2.0, 1.0, 1.0), spacing)
    logits = torch.randn(3, *low, generator=torch.Generator().manual_seed(6)) * 2
    question = {
        "plans": nnunet_plans_of(plan),
        "dataset_json": nnunet_dataset_json(plan, 3),
        "properties": {"spacing": [2.0, 1.0, 1.0], "shape_after_cropping_and_before_resampling": full},
        "shape": list(full),
        "folder": str(folder),
        "logits": logits,
    }
    z, y, x = spacing
    properties = CaseProperties(PLACE, (0, 1, 2), full, ((0, 12), (0, 21), (0, 18)), full, low, (z, y, x))
    return {"question": question, "properties": properties, "logits": logits, "shape": full, "labels": plan.data.labels}


def written_labels(kind: str, folder: Path) -> tuple[Path, Path]:
    """Label files of three cases and of predictions; a class is missing from one case in both."""
    labels, generator = LABELS[kind], np.random.default_rng(4)
    for case in range(3):
        values = [value for value in labels.known_values if value != 2 or case != 1]
        plain = [value for value in values if value != labels.ignore]
        for part, some in (("references", values), ("predictions", plain)):
            (folder / part).mkdir(exist_ok=True)
            write_label(folder / part / f"case_{case}.nii.gz", generator.choice(some, (6, 7, 8)).astype("int16"), PLACE)
    return folder / "references", folder / "predictions"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the label files are."""
    return tmp_path_factory.mktemp("judge")


@pytest.fixture(scope="module")
def answers(folder: Path, tiny_plan: Callable[..., Plan], ask_nnunet: Callable[..., dict[Any, Any]]) -> dict[Any, Any]:
    """What nnU-Net says to all questions of this file."""
    questions: dict[Any, tuple[str, dict[str, Any]]] = {}
    for kind, labels in LABELS.items():
        questions["export", kind] = ("export", restored_case(labels, tiny_plan)["question"])
        (folder / kind).mkdir()
        references, predictions = written_labels(kind, folder / kind)
        classes = [values if labels.has_regions else values[0] for values in labels.classes.values()]
        files = {"references": str(references), "predictions": str(predictions)}
        questions["scores", kind] = ("scores", {**files, "classes": classes, "ignore": labels.ignore})
    for name in LOWRES_SPACINGS:
        questions["next stage", name] = ("next_stage", lowres_case(name, tiny_plan, folder)["question"])
    return ask_nnunet(folder, questions)


@pytest.mark.parametrize("kind", LABELS)
def test_label_maps_are_nnunets(answers: dict[Any, Any], kind: str, tiny_plan: Callable[..., Plan]) -> None:
    case = restored_case(LABELS[kind], tiny_plan)
    ours = restore([(0, case["logits"].clone())], case["properties"], LABELS[kind]).labels
    theirs = answers["export", kind]
    assert ours.shape == theirs.shape
    assert len(np.unique(ours)) > 1
    assert np.mean(ours != theirs) <= 2e-3  # logits that are equal but for the last bits


@pytest.mark.parametrize("name", LOWRES_SPACINGS)
def test_the_input_of_the_next_stage_is_nnunets(
    answers: dict[Any, Any], name: str, tiny_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    case = lowres_case(name, tiny_plan, tmp_path)
    ours = next_stage_labels([(0, case["logits"].clone())], case["properties"], case["shape"], case["labels"]).numpy()
    theirs = answers["next stage", name]
    assert ours.shape == theirs.shape == case["shape"]
    assert np.mean(ours != theirs) <= 2e-3


@pytest.mark.parametrize("kind", LABELS)
def test_scores_are_those_of_nnunets_summary(answers: dict[Any, Any], folder: Path, kind: str) -> None:
    labels, summary = LABELS[kind], answers["scores", kind]
    ours = evaluate_folders(folder / kind / "predictions", folder / kind / "references", labels)
    keys = [values if labels.has_regions else values[0] for values in labels.classes.values()]
    for entry in summary["metric_per_case"]:
        name = Path(entry["reference_file"]).name.removesuffix(".nii.gz")
        for label, key in zip(labels.names, keys, strict=True):
            theirs, found = entry["metrics"][key], ours.cases[name][label]
            assert found.dice == pytest.approx(theirs["Dice"], nan_ok=True)
            assert found.iou == pytest.approx(theirs["IoU"], nan_ok=True)
    for label, key in zip(labels.names, keys, strict=True):
        assert ours.classes[label].dice.mean == pytest.approx(summary["mean"][key]["Dice"])
    assert ours.mean["dice"] == pytest.approx(summary["foreground_mean"]["Dice"])


@pytest.mark.parametrize("kind", LABELS)
def test_the_counts_of_the_validation_are_those_of_the_summary(
    answers: dict[Any, Any], folder: Path, kind: str
) -> None:
    labels = LABELS[kind]
    keys = [values if labels.has_regions else values[0] for values in labels.classes.values()]
    for entry in answers["scores", kind]["metric_per_case"]:
        prediction, _ = read_label(Path(entry["prediction_file"]))
        reference, _ = read_label(Path(entry["reference_file"]))
        counts = dice_counts(prediction, reference, labels)
        for index, key in enumerate(keys):
            theirs = entry["metrics"][key]
            assert tuple(int(part[index]) for part in counts) == (theirs["TP"], theirs["FP"], theirs["FN"])
        dices = [entry["metrics"][key]["Dice"] for key in keys]
        assert dice_of_counts(counts) == pytest.approx(dices, nan_ok=True)
