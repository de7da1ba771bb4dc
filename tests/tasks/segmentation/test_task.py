"""Segmentation as the loop sees it: pure functions of the step, and validation without side effects."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from goodfit.data.geometry import Geometry
from goodfit.data.labels import Labels
from goodfit.planning.lowres import plan_cascade
from goodfit.preprocessing.locations import find_locations
from goodfit.preprocessing.properties import CaseProperties
from goodfit.preprocessing.store import Store, write_case
from goodfit.tasks.segmentation.cascade.inputs import CascadePatches, PreviousStageInputs
from goodfit.tasks.segmentation.task import SegmentationTask, fixed_count
from goodfit.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Plan
    from goodfit.preprocessing.store import StoredCase

LABELS = Labels({"left": (1,), "right": (2,)})
SHAPE = (10, 14, 12)
TRAIN = [f"train_{number}" for number in range(4)]
VALIDATION = [f"valid_{number}" for number in range(3)]
CPU = torch.device("cpu")
GOLDEN_LOSS, GOLDEN_VALIDATION_LOSS = 0.84093, 0.75821


class Recording(Store):
    """Remembers which cases were opened."""

    def case(self, name: str) -> StoredCase:
        opened.append(name)
        return super().case(name)


opened: list[str] = []


class Oracle(torch.nn.Module):
    """Reads the class off the noise-free image, whose value is the label."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([-((images - value) ** 2) for value in range(3)], dim=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two boxes; images of validation cases are the labels themselves; one of them lacks the second class."""
    folder = tmp_path_factory.mktemp("store")
    random = np.random.default_rng(0)
    for number, name in enumerate(TRAIN + VALIDATION):
        label = np.zeros((1, *SHAPE), dtype=np.int8)
        label[0, 2:8, 2 + number % 3 : 7, 2:6] = 1
        if name != VALIDATION[0]:
            label[0, 2:8, 2:7, 7:10] = 2
        image = label.astype(np.float32)
        if name in TRAIN:
            image += random.normal(0, 0.3, label.shape).astype(np.float32)
        properties = CaseProperties(
            geometry=Geometry((2.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), 3),
            transpose=(0, 1, 2),
            shape_before_crop=SHAPE,
            bbox=((0, 10), (0, 14), (0, 12)),
            shape_after_crop=SHAPE,
            shape=SHAPE,
            spacing=(2.0, 1.0, 1.0),
        )
        locations = find_locations(label, LABELS, name)
        write_case(
            folder,
            name,
            image,
            label,
            properties=properties,
            locations=locations,
            labels=LABELS,
            patch_size=(8, 8, 8),
        )
    return Recording(folder)


@pytest.fixture
def make_task(store: Store, tiny_plan: Callable[..., Plan]) -> Callable[..., SegmentationTask]:
    def build(train: list[str] = TRAIN, validation: list[str] = VALIDATION, **training: object) -> SegmentationTask:
        plan = tiny_plan(training={"precision": "float32", **training})
        return SegmentationTask(plan, store, train, validation, CPU, workers=0)

    return build


def first_loss(task: SegmentationTask, step: int = 0) -> torch.Tensor:
    (batch,) = task.batches(step, step + 1)
    return task.loss(task.network, batch, step).total


def validation_loss(task: SegmentationTask, network: torch.nn.Module) -> float:
    return task.fixed_loss(network, "validation")["total"]


def test_batches_depend_on_seed_and_step_only(make_task: Callable[..., SegmentationTask]) -> None:
    whole = list(make_task().batches(0, 6))
    assert [batch.step for batch in whole] == list(range(6))
    resumed = list(make_task().batches(3, 6))
    for one, other in zip(whole[3:], resumed, strict=True):
        assert (one.step, one.cases, one.parameters) == (other.step, other.cases, other.parameters)
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
    (reseeded,) = make_task(seed=1).batches(0, 1)
    assert not torch.equal(reseeded.images, whole[0].images)
    assert {name for batch in whole for name in batch.cases} == set(TRAIN)


def test_a_loss_is_finite_and_the_same_bits_for_the_same_seed(make_task: Callable[..., SegmentationTask]) -> None:
    task = make_task()
    loss = first_loss(task)
    assert loss.shape == ()
    assert loss.dtype == torch.float32
    assert math.isfinite(loss.item())
    assert first_loss(task).item() == loss.item()
    assert first_loss(make_task()).item() == loss.item()
    assert first_loss(task, step=1).item() != loss.item()
    assert first_loss(make_task(seed=1)).item() != loss.item()


def test_the_loss_has_its_golden_value(make_task: Callable[..., SegmentationTask]) -> None:
    """Another number means that weights, data order, augmentation or loss have changed."""
    task = make_task()
    assert first_loss(task).item() == pytest.approx(GOLDEN_LOSS, rel=1e-3)
    assert validation_loss(task, task.network) == pytest.approx(GOLDEN_VALIDATION_LOSS, rel=1e-3)


def test_the_loss_can_be_learnt_from(make_task: Callable[..., SegmentationTask]) -> None:
    task = make_task()
    before = validation_loss(task, task.network)
    optimizer = torch.optim.SGD(task.network.parameters(), lr=0.05, momentum=0.9)
    for batch in task.batches(0, 15):
        optimizer.zero_grad()
        task.loss(task.network, batch, batch.step).total.backward()
        optimizer.step()
    assert validation_loss(task, task.network) < before - 0.2


def test_bfloat16_gives_nearly_the_same_loss_as_float32(make_task: Callable[..., SegmentationTask]) -> None:
    exact, rounded = first_loss(make_task()), first_loss(make_task(precision="bfloat16"))
    assert rounded.dtype == torch.float32
    assert rounded.item() != exact.item()
    assert rounded.item() == pytest.approx(exact.item(), abs=0.05)


def test_validating_changes_nothing(make_task: Callable[..., SegmentationTask]) -> None:
    task = make_task()
    task.network.train()
    weights = {name: value.clone() for name, value in task.network.state_dict().items()}
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002 (the global state is what must not move)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    with torch.no_grad():
        losses = [validation_loss(task, task.network) for _ in range(2)]
    results = [task.validate(task.network, 3, lambda: None) for _ in range(2)]
    assert losses[0] == losses[1]
    assert dict(results[0].metrics) == pytest.approx(dict(results[1].metrics), abs=0, nan_ok=True)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert task.network.training
    assert all(torch.equal(value, weights[name]) for name, value in task.network.state_dict().items())
    (batch,) = task.batches(0, 1)
    assert isinstance(task.network(batch.images), list), "deep supervision is on again"


def test_validation_loss_is_the_same_for_two_tasks(make_task: Callable[..., SegmentationTask]) -> None:
    one, other = make_task(), make_task()
    assert validation_loss(one, one.network) == validation_loss(other, other.network)
    # The fixed patches are those of the validation cases, whatever is trained on.
    fewer = make_task(train=TRAIN[:1])
    assert validation_loss(fewer, one.network) == validation_loss(one, one.network)
    assert validation_loss(make_task(validation=VALIDATION[:1]), one.network) != validation_loss(one, one.network)


def test_fixed_losses_are_means_over_patches_of_their_own_cases(
    make_task: Callable[..., SegmentationTask], tiny_plan: Callable[..., Plan]
) -> None:
    task = make_task()
    for subset, cases in (("train", TRAIN), ("validation", VALIDATION)):
        batches = task._fixed[subset]
        assert sum(len(batch) for batch in batches) == fixed_count(tiny_plan())
        assert {name for batch in batches for name in batch.cases} == set(cases)


def test_columns_name_every_class(make_task: Callable[..., SegmentationTask]) -> None:
    task = make_task()
    assert task.metric_columns == ("val_dice", "val_dice_left", "val_dice_right")
    assert tuple(task.validate(task.network, 1, lambda: None).metrics) == task.metric_columns


def test_dice_is_one_where_every_voxel_is_right(make_task: Callable[..., SegmentationTask]) -> None:
    result = make_task().validate(Oracle(), 3, lambda: None)
    assert result.cases == 3
    assert result.seconds > 0
    assert dict(result.metrics) == {"val_dice": 1, "val_dice_left": 1, "val_dice_right": 1}


def test_a_class_that_no_case_has_is_nan_and_left_out_of_the_mean(make_task: Callable[..., SegmentationTask]) -> None:
    metrics = make_task(validation=VALIDATION[:1]).validate(Oracle(), 1, lambda: None).metrics
    assert math.isnan(metrics["val_dice_right"])
    assert metrics["val_dice_left"] == metrics["val_dice"] == 1


def test_the_first_cases_are_a_fixed_shuffled_subset(make_task: Callable[..., SegmentationTask]) -> None:
    def validated(task: SegmentationTask, cases: int) -> list[str]:
        opened.clear()
        assert task.validate(Oracle(), cases, lambda: None).cases == cases
        return list(opened)

    task = make_task()
    assert task.validation_cases == 3
    everything = validated(task, 3)
    assert sorted(everything) == VALIDATION
    assert validated(task, 2) == everything[:2]
    assert validated(make_task(), 2) == everything[:2]
    assert {validated(make_task(seed=seed), 1)[0] for seed in range(8)} != {everything[0]}


def test_building_a_task_seeds_the_weights(make_task: Callable[..., SegmentationTask]) -> None:
    torch.manual_seed(1234)
    one, other = make_task().network.state_dict(), make_task(seed=1).network.state_dict()
    again = make_task().network.state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


class PreviousOracle(torch.nn.Module):
    """Believes the previous stage, whose labels are the channels after the image."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        background = 1 - images[:, 1:].sum(1, keepdim=True)
        return torch.cat([background, images[:, 1:]], dim=1) * 9


def test_a_cascade_trains_and_validates_with_the_previous_stage(
    store: Store, tmp_path: Path, tiny_plan: Callable[..., Plan]
) -> None:
    base = tiny_plan(training={"precision": "float32"})
    cascade = plan_cascade(base.chosen)
    plan = base.model_copy(update={"configurations": {cascade.name: cascade}, "configuration": cascade.name})
    inputs = PreviousStageInputs(tmp_path)
    for name in TRAIN + VALIDATION:
        label = np.asarray(store.case(name).label[...])[0].clip(0)
        if name == VALIDATION[1]:
            label[label == 2] = 0
        inputs.write(name, label.astype(np.uint8), (8, 8, 8))
    task = SegmentationTask(plan, CascadePatches(store, inputs), TRAIN, VALIDATION, CPU, workers=0)
    assert next(task.network.parameters()).shape[1] == 1 + 2
    (batch,) = task.batches(0, 1)
    loss = task.loss(task.network, batch, 0).total
    loss.backward()
    assert torch.isfinite(loss)
    # What the previous stage says is right but for one class of one case.
    result = task.validate(PreviousOracle(), 3, lambda: None)
    assert result.metrics["val_dice_left"] == pytest.approx(1)
    assert result.metrics["val_dice_right"] == pytest.approx(0.5)
    assert task.fixed_loss(PreviousOracle(), "train")["total"] < -0.9


def test_patches_grow_as_planned_with_the_recipes_augmentation(store: Store, tiny_plan: Callable[..., Plan]) -> None:
    class Still(Recipe):
        def build_augmentation(self, plan: Any, default: Callable[[], Any]) -> Any:
            asked.append(tuple(plan.chosen.patch_size))
            return default()

    asked: list[tuple[int, ...]] = []
    stages = [{"until_step": 2, "patch_size": [4, 4, 4], "batch_size": 3}]
    plan = tiny_plan(training={"precision": "float32"}, configuration={"growth": stages})
    task = SegmentationTask(plan, store, TRAIN, VALIDATION, CPU, workers=0, recipe=Still())
    whole = tuple(plan.chosen.patch_size)
    assert asked == [whole, (4, 4, 4)]
    share = 3 * 4**3 / (plan.chosen.batch_size * math.prod(whole))
    assert [task.step_size(step) for step in range(4)] == [share, share, 1.0, 1.0]
    batches = list(task.batches(0, 4))
    assert [len(batch) for batch in batches] == [3, 3, 2, 2]
    shapes = [batch.parameters.patch_size for batch in batches if batch.parameters is not None]
    assert shapes == [(4, 4, 4)] * 2 + [whole] * 2
    for step, batch in enumerate(batches):
        assert math.isfinite(task.loss(task.network, batch, step).total.item())
    fixed = make_fixed(task)
    assert fixed == {whole}, "losses are compared on patches of one size"


def make_fixed(task: SegmentationTask) -> set[tuple[int, ...]]:
    """Sizes of the fixed patches."""
    return {tuple(batch.images.shape[2:]) for batches in task._fixed.values() for batch in batches}
