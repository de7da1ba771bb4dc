from __future__ import annotations

from typing import Any

import pytest

from goodfit.errors import SettingsError
from goodfit.interop.detectron2.config_ledger import Ledger
from goodfit.interop.detectron2.config_rest import ignore_rest, translate_data


def _translate(values: dict[str, Any]) -> Ledger:
    ledger = Ledger("a.yaml", values)
    translate_data(ledger)
    ignore_rest(ledger)
    return ledger


def test_training_sizes_become_a_range_about_the_size_of_testing() -> None:
    settings = _translate({"INPUT.MIN_SIZE_TRAIN": [640, 800], "INPUT.MIN_SIZE_TEST": 800}).settings
    assert settings == {"model.image_min_size": 800, "augmentation.scale_range": [0.8, 1.0]}
    assert _translate({"INPUT.MIN_SIZE_TRAIN": [400]}).settings["augmentation.scale_range"] == [0.5, 0.5]


def test_the_largest_size_is_that_of_testing() -> None:
    both = _translate({"INPUT.MAX_SIZE_TRAIN": 1000, "INPUT.MAX_SIZE_TEST": 1333})
    assert both.settings == {"model.image_max_size": 1333}
    assert [key for key, _, _ in both.ignored] == ["INPUT.MAX_SIZE_TRAIN"]
    assert _translate({"INPUT.MAX_SIZE_TRAIN": 1000}).settings == {"model.image_max_size": 1000}


def test_a_size_of_zero_is_left_to_the_plan() -> None:
    ledger = _translate({"INPUT.MIN_SIZE_TEST": 0, "INPUT.MIN_SIZE_TRAIN": [0]})
    assert ledger.settings == {}
    assert len(ledger.ignored) == 2


@pytest.mark.parametrize(("flip", "shares"), [("horizontal", (0.5, 0)), ("vertical", (0, 0.5)), ("none", (0, 0))])
def test_flips(flip: str, shares: tuple[float, float]) -> None:
    settings = _translate({"INPUT.RANDOM_FLIP": flip}).settings
    assert (settings["augmentation.flip_horizontal"], settings["augmentation.flip_vertical"]) == shares
    assert settings["augmentation.quarter_turns"] == 0


def test_an_unknown_flip_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"INPUT\.RANDOM_FLIP"):
        _translate({"INPUT.RANDOM_FLIP": "diagonal"})


def test_names_of_datasets_are_given_back() -> None:
    ledger = Ledger("a.yaml", {"DATASETS.TRAIN": ["clinic_train"], "DATASETS.TEST": "clinic_val"})
    assert translate_data(ledger) == {"train": ["clinic_train"], "test": ["clinic_val"]}
    assert len(ledger.ignored) == 2


def test_sampling() -> None:
    factors = {"DATALOADER.SAMPLER_TRAIN": "RepeatFactorTrainingSampler", "DATALOADER.REPEAT_THRESHOLD": 0.001}
    assert _translate(factors).settings == {"sampling.repeat_threshold": 0.001}
    plain = _translate({"DATALOADER.SAMPLER_TRAIN": "TrainingSampler", "DATALOADER.REPEAT_THRESHOLD": 0.001})
    assert plain.settings == {}
    assert len(plain.ignored) == 2
    assert _translate({"DATALOADER.FILTER_EMPTY_ANNOTATIONS": True}).settings == {"sampling.empty_share": 0.0}
    assert _translate({"DATALOADER.FILTER_EMPTY_ANNOTATIONS": False}).settings == {}


def test_seed() -> None:
    assert _translate({"SEED": 42}).settings == {"training.seed": 42}
    assert _translate({"SEED": -1}).settings == {}


def test_what_is_so_here_is_honoured_and_said_where_it_differs() -> None:
    same = _translate({"MODEL.ROI_MASK_HEAD.NUM_CONV": 4, "MODEL.KEYPOINT_ON": False, "VERSION": 2})
    assert same.ignored == []
    other = _translate({"MODEL.ROI_MASK_HEAD.NUM_CONV": 8, "MODEL.KEYPOINT_ON": 0})
    assert [key for key, _, _ in other.ignored] == ["MODEL.ROI_MASK_HEAD.NUM_CONV", "MODEL.KEYPOINT_ON"]
    assert "here it is 4" in other.ignored[0][2]


def test_unknown_keys_are_said_to_be_unknown() -> None:
    ledger = _translate({"CLINIC.BEDS": 5, "OUTPUT_DIR": "./out"})
    assert "not one of Detectron2's own" in ledger.ignored[0][2]
    assert "--run" in ledger.ignored[1][2]
