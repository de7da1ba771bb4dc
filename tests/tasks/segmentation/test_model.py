"""Combining models of several configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from goodfit.data.geometry import Geometry, Image
from goodfit.errors import DatasetError, SettingsError
from goodfit.preprocessing.resample import resample_logits
from goodfit.tasks.segmentation.inference import SlidingWindow
from goodfit.tasks.segmentation.model import Effort, Model, predict_image, require_alike
from goodfit.tasks.segmentation.network import build_network
from goodfit.tasks.segmentation.restore import labels_of_probabilities

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.planning.plan import Plan

CPU = torch.device("cpu")
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def model(plan: Plan, seed: int) -> Model:
    torch.manual_seed(seed)
    network = build_network(plan.chosen.network, 1, plan.data.labels.outputs, 3).eval()
    return Model(network, plan, CPU, "float32", f"model {seed}")


@pytest.fixture
def image() -> Image:
    """With a border of zeros, which preprocessing crops."""
    array = np.zeros((1, 11, 15, 13), np.float32)
    array[:, 1:-2, 2:-1, 1:-1] = np.random.default_rng(0).normal(100, 20, (1, 8, 12, 11))
    return Image(array, Geometry((2.5, 0.9, 1.1), (0.0, 0.0, 0.0), IDENTITY, 3))


def whole_probabilities(one: Model, image: Image) -> np.ndarray:
    """The same steps on whole arrays, in the order of the file."""
    prepared, properties, *_ = one.prepare(image)
    logits = SlidingWindow((8, 8, 8)).logits(one.network, prepared)
    back = resample_logits(logits, properties.shape_after_crop, properties.spacing, properties.spacing_before)
    labels = one.plan.data.labels
    result = np.zeros((labels.outputs, *properties.shape_before_crop), np.float32)
    if not labels.has_regions:
        result[0] = 1
    box = tuple(slice(*ends) for ends in properties.bbox)
    result[(slice(None), *box)] = (back.sigmoid() if labels.has_regions else back.softmax(0)).numpy()
    return result.transpose(0, *(1 + axis for axis in np.argsort(one.plan.data.transpose)))


REGIONS = {"classes": {"whole": [1, 2], "core": [2]}, "regions_order": [1, 2]}


@pytest.mark.parametrize("data", [{}, REGIONS])
def test_configurations_are_averaged_as_probabilities_whatever_their_axes_and_spacing(
    tiny_plan: Callable[..., Plan], image: Image, data: dict[str, Any]
) -> None:
    first = model(tiny_plan(data=data), 1)
    second = model(tiny_plan(data={**data, "transpose": [2, 0, 1]}, configuration={"spacing": [1.0, 1.4, 1.2]}), 2)
    expected = (whole_probabilities(first, image) + whole_probabilities(second, image)) / 2
    labels, probabilities = predict_image([first, second], image, Effort(), with_probabilities=True)
    assert probabilities is not None
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)
    sure = (np.abs(expected - 0.5).min(0) if data else np.diff(np.sort(expected, 0), axis=0)[-1]) > 1e-3
    assert np.array_equal(labels[sure], labels_of_probabilities(expected, first.plan.data.labels)[sure])
    assert predict_image([first, second], image, Effort()).probabilities is None


def test_twice_the_same_model_is_that_model(tiny_plan: Callable[..., Plan], image: Image) -> None:
    one = model(tiny_plan(), 1)
    once = predict_image([one], image, Effort(), with_probabilities=True)
    twice = predict_image([one, one], image, Effort(), with_probabilities=True)
    assert once.probabilities is not None
    assert twice.probabilities is not None
    np.testing.assert_array_equal(once.probabilities, twice.probabilities)
    assert np.array_equal(once.labels, twice.labels)


def test_what_does_not_go_together_is_refused(tiny_plan: Callable[..., Plan], image: Image) -> None:
    one = model(tiny_plan(), 1)
    other = model(tiny_plan(data={"classes": {"left": [1]}}), 2)
    with pytest.raises(SettingsError, match="model 1 and model 2 have different classes"):
        require_alike([one, other])
    require_alike([one, one])
    with pytest.raises(DatasetError, match=r"has 2 channels, the network expects 1 \(MRI\)"):
        predict_image([one], Image(np.repeat(image.array, 2, 0), image.geometry), Effort())
    with pytest.raises(SettingsError, match="step_size"):
        one.window(Effort(0.0))


def test_only_the_plans_axes_are_mirrored(tiny_plan: Callable[..., Plan]) -> None:
    assert model(tiny_plan(), 1).window(Effort(mirror=True)).mirror_axes == (0, 1, 2)
    assert model(tiny_plan(configuration={"mirror_axes": [1]}), 1).window(Effort(mirror=True)).mirror_axes == (1,)
    assert model(tiny_plan(), 1).window(Effort()).mirror_axes == ()
