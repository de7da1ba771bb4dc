from __future__ import annotations

import re
from pathlib import Path

import pytest

from goodfit.errors import SettingsError
from goodfit.interop.detectron2.config import translate_config
from goodfit.planning.instances.plan import InstanceData, InstancePlan
from goodfit.planning.instances.wishes import wished_values

BASE = """
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  BACKBONE: {NAME: "build_resnet_fpn_backbone", FREEZE_AT: 2}
  RESNETS: {OUT_FEATURES: ["res2", "res3", "res4", "res5"], DEPTH: 50}
  ANCHOR_GENERATOR:
    SIZES: [[32], [64], [128], [256], [512]]
    ASPECT_RATIOS: [[0.5, 1.0, 2.0]]
  RPN: {PRE_NMS_TOPK_TRAIN: 2000, POST_NMS_TOPK_TRAIN: 1000, IN_FEATURES: ["p2", "p3", "p4", "p5", "p6"]}
  ROI_BOX_HEAD: {NAME: FastRCNNConvFCHead, NUM_FC: 2, POOLER_TYPE: ROIAlignV2}
SOLVER: {IMS_PER_BATCH: 16, BASE_LR: 0.02, STEPS: "(60000, 80000)", MAX_ITER: 90000}
INPUT:
  MIN_SIZE_TRAIN: (640, 672, 704, 736, 768, 800)
VERSION: 2
"""
OWN = """
_BASE_: base.yaml
MODEL:
  WEIGHTS: "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
  MASK_ON: True
  ROI_HEADS: {NUM_CLASSES: 3, BATCH_SIZE_PER_IMAGE: 128}
DATASETS:
  TRAIN: ("clinic_train",)
  TEST: ("clinic_val",)
SOLVER: {IMS_PER_BATCH: 2, BASE_LR: 0.00025, MAX_ITER: 5000, STEPS: "()", CHECKPOINT_PERIOD: 500}
TEST: {EVAL_PERIOD: 100}
OUTPUT_DIR: ./output
WARD: 7
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "own.yaml").write_text(OWN)
    return tmp_path / "own.yaml"


def test_a_config_over_a_base(own: Path) -> None:
    settings = translate_config(own).settings
    assert settings == {
        "plan.batch_size": 2,
        "training.learning_rate": 0.00025,
        "training.optimizer": "sgd",
        "training.schedule": "wsd",
        "training.cooldown": 0.0,
        "training.validate_every": "100 steps",
        "budget.epochs": 20,
        "budget.steps_per_epoch": 250,
        "model.weights": "imagenet",
        "model.backbone": "resnet50",
        "model.frozen_stages": 2,
        "model.masks": True,
        "model.regions_per_image": 128,
        "model.rpn_candidates_train": 2000,
        "model.rpn_proposals_train": 1000,
        "model.anchor_sizes": [[32], [64], [128], [256], [512]],
        "model.anchor_ratios": [0.5, 1.0, 2.0],
        "model.image_min_size": 800,
        "augmentation.scale_range": [0.8, 1.0],
    }


def test_every_key_is_either_honoured_or_ignored_with_a_reason(own: Path) -> None:
    translation = translate_config(own)
    keys = [key for key, _, _ in (*translation.honoured, *translation.ignored)]
    assert len(keys) == len(set(keys)) == 29
    assert all(words for _, _, words in (*translation.honoured, *translation.ignored))
    assert {key for key, _, _ in translation.ignored} == {
        "DATASETS.TRAIN",
        "DATASETS.TEST",
        "SOLVER.CHECKPOINT_PERIOD",
        "MODEL.ROI_BOX_HEAD.POOLER_TYPE",
        "OUTPUT_DIR",
        "WARD",
    }


def test_a_plan_takes_all_settings(own: Path) -> None:
    data = InstanceData(name="made", key="key", categories=["a"], has_masks=True)
    settings = translate_config(own).settings
    assert wished_values(data, settings) == settings


def test_datasets_and_categories_are_told(own: Path) -> None:
    translation = translate_config(own)
    assert translation.datasets == {"train": ["clinic_train"], "test": ["clinic_val"]}
    assert translation.categories == 3
    assert translation.mismatch(["a", "b", "c"]) is None
    assert "the dataset has 1: a" in str(translation.mismatch(["a"]))


def test_a_config_without_categories_matches_any(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("SEED: 1\n")
    assert translate_config(tmp_path / "a.yaml").mismatch(["a"]) is None


def test_a_wrong_type_names_file_and_key(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("SOLVER: {IMS_PER_BATCH: many}\n")
    with pytest.raises(SettingsError, match=r"a\.yaml: SOLVER\.IMS_PER_BATCH is 'many'"):
        translate_config(tmp_path / "a.yaml")


def test_the_page_for_newcomers_names_settings_that_exist() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "from-detectron2.md"
    sections = {"model", "training", "budget", "augmentation", "sampling", "data"}
    names = set(re.findall(r"`(\w+)\.(\w+)(?: = [^`]*)?`", page.read_text(encoding="utf-8")))
    found = {(section, field) for section, field in names if section in sections and field != "field"}
    assert len(found) > 25
    for section, field in found:
        annotation = InstancePlan.model_fields[section].annotation
        assert annotation is not None
        assert field in annotation.model_fields, f"{section}.{field}"


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SettingsError, match=r"none\.yaml"):
        translate_config(Path("none.yaml"))
