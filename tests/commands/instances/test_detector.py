from __future__ import annotations

import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from goodfit.commands.instances.detector import NOVELTY, _asked_for, open_detector
from goodfit.errors import RunError, SettingsError
from goodfit.planning.instances.plan import load_instance_plan
from goodfit.planning.instances.regions import choose_nms_threshold
from goodfit.planning.instances.wishes import ASKED
from goodfit.tasks.instances.inference import detect
from goodfit.tasks.instances.novelty import NoveltyModel
from goodfit.tasks.instances.thresholds import THRESHOLDS, load_thresholds, save_thresholds
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    from goodfit.commands.fitting import TrainResult

CPU = torch.device("cpu")


@pytest.fixture
def run(finished: TrainResult, tmp_path: Path) -> RunFolder:
    """A copy of a finished run, to be changed."""
    return RunFolder(shutil.copytree(finished.run.path, tmp_path / "copy"))


def test_thresholds_of_the_run_are_used_and_the_plan_stays(run: RunFolder) -> None:
    thresholds = load_thresholds(run.path / THRESHOLDS)
    assert thresholds.frames == 3
    assert set(thresholds.reasons) == {"nms_threshold", "score"}
    planned = run.plan.read_bytes()
    save_thresholds(thresholds.model_copy(update={"nms_threshold": 0.33}), run.path / THRESHOLDS)
    detector = open_detector(run, "best", CPU)
    assert detector.network.roi_heads.nms_thresh == 0.33
    assert run.plan.read_bytes() == planned


def test_a_run_without_thresholds_uses_the_plans(run: RunFolder) -> None:
    (run.path / THRESHOLDS).unlink()
    detector = open_detector(run, "best", CPU)
    assert detector.thresholds.nms_threshold == load_instance_plan(run.plan).model.nms_threshold
    assert detector.thresholds.score == 0.5
    assert "no others were chosen" in detector.thresholds.reasons["score"]


def test_bfloat16_is_not_imitated_where_a_detector_goes_to_a_lesser_machine(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = load_instance_plan(run.plan)
    half = plan.model_copy(update={"training": plan.training.model_copy(update={"precision": "bfloat16"})})
    monkeypatch.setattr("goodfit.commands.instances.detector.trained_instance_plan", lambda _run: half)
    for flags, precision in (({"avx512_bf16": True}, "bfloat16"), ({"avx2": True}, "float32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda flags=flags: flags)
        assert open_detector(run, "best", CPU).plan.training.precision == precision


def test_distances_belong_to_the_weights_they_were_learnt_with(run: RunFolder) -> None:
    detector = open_detector(run, "best", CPU)
    assert detector.novelty is not None
    known = detector.novelty
    NoveltyModel(known.mean, known.whitening, known.threshold, known.videos, "others").save(run.path / NOVELTY)
    other = open_detector(run, "best", CPU)
    assert other.novelty is None
    assert "made with other weights than those of the checkpoint best" in other.no_novelty
    (run.path / NOVELTY).unlink()
    assert "is missing" in open_detector(run, "best", CPU).no_novelty
    (run.path / NOVELTY).write_bytes(b"nothing")
    with pytest.raises(RunError, match="damaged"):
        open_detector(run, "best", CPU)


def test_a_detector_finds_what_its_network_finds(run: RunFolder) -> None:
    detector = open_detector(run, "best", CPU)
    images = [np.random.default_rng(seed).integers(0, 255, (64, 80, 3), dtype=np.uint8) for seed in range(2)]
    found = detector.look([detector.prepare(image) for image in images])
    expected = detect(detector.network, images, detector.plan, CPU, detector.novelty)
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.boxes, other.boxes)
        assert one.distance == pytest.approx(other.distance)
        assert one.masks is not None
        assert list(one.masks) == other.masks


def test_unknown_checkpoints_are_refused(run: RunFolder) -> None:
    with pytest.raises(SettingsError, match="there is no 'newest'"):
        open_detector(run, "newest", CPU)


@pytest.mark.parametrize(
    ("overlap", "changed", "reason", "asked"),
    [
        (0.2, 0.0, "99 % of the objects", False),
        (0.2, 0.07, "99 % of the objects", True),
        (0.2, 0.0, ASKED, True),
    ],
)
def test_an_overlap_that_was_asked_for_or_edited_is_the_users(
    run: RunFolder, overlap: float, changed: float, reason: str, asked: bool
) -> None:
    plan = load_instance_plan(run.plan)
    derived = choose_nms_threshold(overlap).value
    model = plan.model.model_copy(
        update={"nms_threshold": derived + changed, "reasons": {**plan.model.reasons, "nms_threshold": reason}}
    )
    assert _asked_for(plan.model_copy(update={"model": model}), SimpleNamespace(overlap_99=overlap)) == asked
