"""Loss, sampling and augmentation: nnU-Net 2.8.1 on the same input."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from goodfit.data.labels import Labels
from goodfit.planning.plan import Configuration, NetworkPlan
from goodfit.preprocessing.locations import ANNOTATED
from goodfit.tasks.segmentation.augmentation.morphology import OPERATIONS
from goodfit.tasks.segmentation.augmentation.previous_stage import (
    Morphology,
    PreviousStageParameters,
    PreviousStageSettings,
    Removal,
    disturb,
)
from goodfit.tasks.segmentation.augmentation.settings import AugmentationSettings, augmentation_settings
from goodfit.tasks.segmentation.loss import SegmentationLoss
from goodfit.tasks.segmentation.positions import choose_start, is_foreground_position

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

STRIDES = [(1, 1, 1), (1, 2, 2), (2, 4, 4)]
LABELS = {
    "plain": Labels(classes={"a": (1,), "b": (2,), "c": (3,)}),
    "ignore": Labels(classes={"a": (1,), "b": (2,)}, ignore=3),
    "regions": Labels(classes={"whole": (1, 2, 3), "core": (2, 3), "rim": (3,)}, regions_order=(1, 2, 3)),
    "regions and ignore": Labels(classes={"whole": (1, 2), "core": (2,)}, ignore=3, regions_order=(1, 2)),
}
PATCHES = [
    (40, 56, 40),
    (128, 128, 128),
    (80, 160, 192),
    (20, 256, 224),
    (20, 60, 60),
    (20, 64, 60),
    (16, 48, 48),
    (16, 49, 48),
    (64, 16, 128),
    (4, 4, 4),
    (56, 40),
    (48, 32),
    (64, 32),
    (512, 512),
    (320, 256),
]
BATCHES = [*itertools.product([1, 2, 3, 4, 5, 7, 9, 12, 33], [0.33]), (2, 0.5), (2, 1.0), (2, 0.0), (5, 0.1)]
BOXES = {
    "anywhere": {"shape": [12, 20, 9], "size": [8, 11, 12], "final": [6, 8, 9], "forced": False},
    "foreground": {"shape": [12, 20, 9], "size": [8, 11, 12], "final": [6, 8, 9], "forced": True},
    "a slice": {"shape": [12, 20, 9], "size": [1, 11, 7], "final": [1, 8, 5], "forced": True},
    "sparse": {"shape": [12, 20, 9], "size": [8, 11, 12], "final": [6, 8, 9], "forced": False, "ignore": True},
    "sparse foreground": {"shape": [12, 20, 9], "size": [8, 8, 8], "final": [8, 8, 8], "forced": True, "ignore": True},
    "nothing there": {"shape": [12, 9, 9], "size": [8, 8, 8], "final": [8, 8, 8], "forced": True, "voxels": {}},
}
VOXELS = {1: [[0, 0, 0], [11, 19, 8], [5, 5, 5]], 2: [[6, 10, 4]], 3: []}
DRAWS = 4000


def nnunet_labels(labels: Labels) -> dict[str, Any]:
    found: dict[str, Any] = {"background": 0}
    found |= {name: values[0] if len(values) == 1 else list(values) for name, values in labels.classes.items()}
    return found if labels.ignore is None else {**found, "ignore": labels.ignore}


def loss_question(kind: str, batch_dice: bool) -> dict[str, Any]:
    labels, generator = LABELS[kind], torch.Generator().manual_seed(3)
    shapes = [[8 // step for step in stride] for stride in STRIDES]
    values = torch.tensor([-1, *labels.known_values])
    return {
        "labels": nnunet_labels(labels),
        "order": None if labels.regions_order is None else list(labels.regions_order),
        "batch_dice": batch_dice,
        "strides": STRIDES,
        "logits": [torch.randn(2, labels.outputs, *shape, generator=generator) * 2 for shape in shapes],
        "label": values[torch.randint(len(values), (2, 1, 8, 8, 8), generator=generator)].to(torch.int16),
    }


def box_question(name: str) -> dict[str, Any]:
    content = {"ignore": False, "voxels": VOXELS, **BOXES[name]}
    voxels = content.pop("voxels")
    locations: dict[Any, Any] = {key: np.array([[0, *one] for one in some]) for key, some in voxels.items()}
    if content["ignore"]:
        locations[(-1, 0, 1, 2)] = np.array([[0, 3, 3, 3], [0, 9, 9, 3]])
    return {**content, "locations": locations, "count": DRAWS}


def blobs(seed: int, size: int = 24) -> Tensor:
    """Three channels of zeros and ones that exclude each other: a large blob and some small ones."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, 4, size, size, size, generator=generator)
    smooth = torch.nn.functional.avg_pool3d(noise, 5, stride=1, padding=2)[0]
    best = smooth.argmax(0)
    return torch.stack([best == channel for channel in (1, 2, 3)]).float()


STEPS = {
    f"{operation} {radius}": [(channel, operation, radius) for channel in (2, 0)]
    for operation in OPERATIONS
    for radius in (1.0, 1.3, 1.7, 2.0, 2.5, 3.1, 4.6, 7.9)
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, ask_nnunet: Callable[..., dict[Any, Any]]) -> dict[Any, Any]:
    """What nnU-Net says to all questions of this file."""
    questions: dict[Any, tuple[str, dict[str, Any]]] = {
        "transforms": ("transforms", {"size": [40, 40, 40], "in_plane": False, "values": [1, 2, 3]})
    }
    for kind, batch_dice in itertools.product(LABELS, (False, True)):
        questions["loss", kind, batch_dice] = ("loss", loss_question(kind, batch_dice))
    for size in PATCHES:
        questions["patch", size] = ("patch", {"size": list(size)})
    for batch_size, share in BATCHES:
        questions["foreground", batch_size, share] = ("foreground", {"batch_size": batch_size, "share": share})
    for name in BOXES:
        questions["boxes", name] = ("boxes", box_question(name))
    for name, steps in STEPS.items():
        questions["morphology", name] = ("morphology", {"channels": blobs(1), "steps": steps})
    for seed in (1, 2, 3):
        questions["removal", seed] = ("removal", {"channels": blobs(seed), "channel": 1, "count": 800})
    return ask_nnunet(tmp_path_factory.mktemp("judge"), questions)


@pytest.mark.parametrize("batch_dice", [False, True])
@pytest.mark.parametrize("kind", LABELS)
def test_the_loss_is_nnunets(answers: dict[Any, Any], kind: str, batch_dice: bool) -> None:
    question, answer = loss_question(kind, batch_dice), answers["loss", kind, batch_dice]
    labels = LABELS[kind]
    loss = SegmentationLoss(labels, batch_dice, STRIDES, sum_regions=labels.ignore is not None)
    outputs = [one.clone().requires_grad_() for one in question["logits"]]
    value = loss(outputs, question["label"])
    value.backward()
    assert value.item() == pytest.approx(answer["value"], abs=1e-5)
    for ours, theirs in zip(outputs[:-1], answer["gradients"][:-1], strict=True):
        torch.testing.assert_close(ours.grad, theirs, rtol=1e-4, atol=1e-7)
    assert loss.weights == pytest.approx(answer["weights"])
    assert outputs[-1].grad is None


def test_beside_an_ignore_label_regions_are_averaged_unless_asked_for(answers: dict[Any, Any]) -> None:
    question = loss_question("regions and ignore", True)
    mean, total = (
        SegmentationLoss(LABELS["regions and ignore"], True, STRIDES, sum_regions=sums)(
            question["logits"], question["label"]
        ).item()
        for sums in (False, True)
    )
    # Two regions: the sum has twice the cross-entropy and the same Dice.
    assert 0 < mean + 1 < total + 1


@pytest.mark.parametrize("size", PATCHES)
def test_patches_are_rotated_and_mirrored_as_by_nnunet(answers: dict[Any, Any], size: tuple[int, ...]) -> None:
    settings, answer = augmentation_settings(configuration(size)), answers["patch", size]
    assert settings.rotation == pytest.approx(answer["rotation"])
    assert settings.in_plane == answer["in_plane"]
    assert list(settings.initial_patch_size) == answer["initial"]
    assert settings.mirror_axes == answer["mirror"]


def configuration(patch: tuple[int, ...]) -> Configuration:
    network = NetworkPlan(
        architecture="plain_unet",
        features=[8],
        kernel_sizes=[[3] * len(patch)],
        strides=[[1] * len(patch)],
        encoder_blocks=[2],
        decoder_blocks=[],
    )
    return Configuration(
        name="2d" if len(patch) == 2 else "3d_fullres",
        spacing=[1.0, 1.0, 1.0],
        median_shape=[40.0, 40.0, 40.0],
        patch_size=list(patch),
        batch_size=2,
        batch_dice=False,
        network=network,
    )


def test_probabilities_and_ranges_are_nnunets(answers: dict[Any, Any]) -> None:
    by_name: dict[str, list[dict[str, Any]]] = {}
    for transform in answers["transforms"]:
        by_name.setdefault(transform["name"], []).append(transform)
    settings = AugmentationSettings((40,) * 3, (60,) * 3, (-0.5, 0.5), False, (0, 1, 2))
    spatial = by_name["SpatialTransform"][0]
    assert (spatial["p_rotation"], spatial["p_scaling"]) == (settings.p_rotation, settings.p_scaling)
    assert tuple(spatial["scaling"]) == settings.scaling
    noise, blur = by_name["GaussianNoiseTransform"][0], by_name["GaussianBlurTransform"][0]
    assert (noise["p"], tuple(noise["noise_variance"])) == (settings.p_noise, settings.noise)
    assert (blur["p"], blur["p_per_channel"], tuple(blur["blur_sigma"])) == (
        settings.p_blur,
        settings.p_blur_channel,
        settings.blur,
    )
    brightness, contrast = by_name["MultiplicativeBrightnessTransform"][0], by_name["ContrastTransform"][0]
    assert (brightness["p"], tuple(brightness["multiplier_range"])) == (settings.p_brightness, settings.brightness)
    assert (contrast["p"], tuple(contrast["contrast_range"])) == (settings.p_contrast, settings.contrast)
    low = by_name["SimulateLowResolutionTransform"][0]
    assert (low["p"], low["p_per_channel"], tuple(low["scale"])) == (
        settings.p_low_resolution,
        settings.p_low_resolution_channel,
        settings.low_resolution,
    )
    gammas = by_name["GammaTransform"]
    assert [one["p"] for one in gammas] == [settings.p_gamma_inverted, settings.p_gamma]
    assert all(tuple(one["gamma"]) == settings.gamma for one in gammas)
    previous = PreviousStageSettings((1, 2, 3))
    binary = by_name["ApplyRandomBinaryOperatorTransform"][0]
    assert (binary["p"], binary["p_per_label"]) == (previous.p_morphology, previous.p_morphology_label)
    assert tuple(binary["strel_size"]) == previous.radius
    removal = by_name["RemoveRandomConnectedComponentFromOneHotEncodingTransform"][0]
    assert (removal["p"], removal["p_per_label"]) == (previous.p_removal, previous.p_removal_label)
    assert removal["dont_do_if_covers_more_than_x_percent"] == previous.largest_removed
    assert removal["fill_with_other_class_p"] == 0  # so there is nothing of the kind here


def test_the_order_of_transforms_is_nnunets(answers: dict[Any, Any]) -> None:
    # ``pipeline.apply`` follows it line by line.
    assert [transform["name"] for transform in answers["transforms"]] == [
        "SpatialTransform",
        "GaussianNoiseTransform",
        "GaussianBlurTransform",
        "MultiplicativeBrightnessTransform",
        "ContrastTransform",
        "SimulateLowResolutionTransform",
        "GammaTransform",
        "GammaTransform",
        "MirrorTransform",
        "MaskImageTransform",
        "RemoveLabelTransform",
        "MoveSegAsOneHotToDataTransform",
        "ApplyRandomBinaryOperatorTransform",
        "RemoveRandomConnectedComponentFromOneHotEncodingTransform",
        "DownsampleSegForDSTransform",
    ]


@pytest.mark.parametrize(("batch_size", "share"), BATCHES)
def test_the_same_positions_are_forced_to_show_foreground(
    answers: dict[Any, Any], batch_size: int, share: float
) -> None:
    ours = [is_foreground_position(position, batch_size, share) for position in range(batch_size)]
    assert ours == answers["foreground", batch_size, share]


@pytest.mark.parametrize("name", BOXES)
def test_patches_lie_where_nnunets_do(answers: dict[Any, Any], name: str) -> None:
    question = box_question(name)
    locations = {
        key if isinstance(key, int) else ANNOTATED: voxels.reshape(-1, 4)[:, 1:] if len(voxels) else voxels
        for key, voxels in question["locations"].items()
    }
    if not question["forced"]:
        locations = {ANNOTATED: locations[ANNOTATED]} if question["ignore"] else {}
    generator = np.random.default_rng(0)
    shape, size, final = question["shape"], question["size"], question["final"]
    ours = Counter(choose_start(generator, shape, size, final, locations) for _ in range(DRAWS))
    theirs = Counter(tuple(start) for start in answers["boxes", name].tolist())
    axes = zip(*ours, strict=True), zip(*theirs, strict=True)
    assert [set(starts) for starts in axes[0]] == [set(starts) for starts in axes[1]]
    if len(theirs) > 100:  # anywhere: too many places to compare one by one
        for axis in range(3):
            compare(*(Counter({(): 0}) + along(counts, axis) for counts in (ours, theirs)))
    else:
        compare(ours, theirs)


def along(counts: Counter[tuple[int, ...]], axis: int) -> Counter[tuple[int, ...]]:
    total: Counter[tuple[int, ...]] = Counter()
    for start, count in counts.items():
        total[(start[axis],)] += count
    return total


def compare(ours: Counter[tuple[int, ...]], theirs: Counter[tuple[int, ...]]) -> None:
    """Two samples of one distribution differ by a few standard deviations at most."""
    assert set(ours) == set(theirs)
    for key in ours:
        share = (ours[key] + theirs[key]) / (2 * DRAWS)
        assert abs(ours[key] - theirs[key]) <= 5 * math.sqrt(2 * DRAWS * share * (1 - share)) + 1


@pytest.mark.parametrize("name", STEPS)
def test_morphology_is_nnunets(answers: dict[Any, Any], name: str) -> None:
    channels = blobs(1)[None]
    steps = tuple(Morphology(*step) for step in STEPS[name])
    disturb(channels, [PreviousStageParameters(steps, (), 0.15)])
    assert torch.equal(channels[0], answers["morphology", name])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_components_that_may_go_are_nnunets(answers: dict[Any, Any], seed: int) -> None:
    outcomes = answers["removal", seed]
    found = []
    for pick in np.linspace(0, 1, 200, endpoint=False):
        channels = blobs(seed)[None]
        disturb(channels, [PreviousStageParameters((), (Removal(1, float(pick)),), 0.15)])
        if not any(torch.equal(channels[0], other) for other in found):
            found.append(channels[0])
    assert len(found) == len(outcomes)
    assert all(any(torch.equal(one, other) for other in outcomes) for one in found)
