"""Keeping only the largest component, and deciding whether it helps."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from goodfit.data.geometry import Geometry
from goodfit.data.labels import Labels
from goodfit.data.readers import write_label
from goodfit.errors import DatasetError, SettingsError
from goodfit.tasks.segmentation.evaluation import Pair
from goodfit.tasks.segmentation.postprocessing import (
    ALL_CLASSES,
    Postprocessing,
    Trial,
    class_dice,
    determine,
    keep_largest,
    load_postprocessing,
    mean_dice,
    save_postprocessing,
)

if TYPE_CHECKING:
    from pathlib import Path

LABELS = Labels({"a": (1,), "b": (2,)})
PLACE = Geometry((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), 3)


@given(arrays(np.uint8, (4, 5, 6), elements=st.integers(0, 3)), st.sets(st.integers(1, 3), min_size=1))
def test_what_stays_are_the_largest_components(labels: np.ndarray, values: set[int]) -> None:
    before = labels.copy()
    kept = keep_largest(labels, sorted(values))
    mask = np.isin(labels, list(values))
    components, count = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = ndimage.sum_labels(mask, components, range(1, count + 1))
    largest = np.isin(components, [index + 1 for index, size in enumerate(sizes) if size == max(sizes)])
    assert np.array_equal(kept, np.where(mask & ~largest, 0, labels))
    assert np.array_equal(labels, before)
    assert np.array_equal(keep_largest(kept, sorted(values)), kept)


def write(folder: Path, case: str, prediction: np.ndarray, reference: np.ndarray) -> Pair:
    pair = Pair(folder / "predictions" / f"{case}.nii.gz", folder / "references" / f"{case}.nii.gz")
    write_label(pair.prediction, prediction, PLACE)
    write_label(pair.reference, reference, PLACE)
    return pair


def scene(*boxes: tuple[int, int, int]) -> np.ndarray:
    """Boxes as (label, first plane, planes), one beside the other along x."""
    labels = np.zeros((12, 4, 16), np.uint8)
    for index, (value, start, depth) in enumerate(boxes):
        labels[start : start + depth, :, 4 * index : 4 * index + 2] = value
    return labels


def test_spurious_islands_are_removed_and_the_scores_say_so(tmp_path: Path) -> None:
    truth = scene((1, 0, 8))
    pairs = {"x": write(tmp_path, "x", scene((1, 0, 8), (1, 0, 2)), truth)}
    found = determine(pairs, Labels({"a": (1,)}))
    (trial,) = found.trials
    assert (trial.name, trial.helps, trial.values) == (ALL_CLASSES, True, [1])
    assert trial.dice_before == pytest.approx(16 / 18)
    assert trial.dice_after == 1
    assert np.array_equal(found.apply(scene((1, 0, 8), (1, 0, 2))), truth)


def test_a_class_that_would_get_worse_stops_all_together_but_not_the_others(tmp_path: Path) -> None:
    truth = scene((1, 0, 8), (2, 0, 4))
    pairs = {"x": write(tmp_path, "x", scene((1, 0, 8), (2, 0, 4), (1, 0, 6)), truth)}
    steps: list[tuple[int, int]] = []
    found = determine(pairs, LABELS, on_progress=lambda *progress: steps.append(progress))
    together, a, b = found.trials
    assert not together.helps
    assert (a.name, a.helps, a.dice_after) == ("a", True, 1)
    assert (b.helps, b.reason) == (False, "the Dice does not rise")
    assert [trial.name for trial in found.steps] == ["a"]
    assert steps == [(1, 2), (2, 2)]


def test_the_mean_may_rise_while_a_class_falls(tmp_path: Path) -> None:
    # Class b lies apart and is removed with everything that is not the largest; class a gains more than b loses.
    truth = {"x": scene((1, 0, 8)), "y": scene((1, 0, 8), (2, 0, 1))}
    guess = {"x": scene((1, 0, 8), (1, 0, 7)), "y": scene((1, 0, 8), (2, 3, 1), (1, 0, 7))}
    guess["y"][0, 0, 4] = 2
    pairs = {case: write(tmp_path, case, guess[case], truth[case]) for case in truth}
    together = determine(pairs, LABELS).trials[0]
    assert not together.helps
    assert together.dice_after > together.dice_before
    assert "but b would get worse" in together.reason


def test_overlapping_regions_are_tried_one_after_the_other(tmp_path: Path) -> None:
    labels = Labels({"whole": (1, 2), "core": (2,)}, regions_order=(1, 2))
    truth = scene((1, 0, 8))
    truth[2:6, :, 0:1] = 2
    guess = truth.copy()
    guess[0:2, 0:1, 8] = 2
    steps: list[tuple[int, int]] = []
    found = determine({"x": write(tmp_path, "x", guess, truth)}, labels, on_progress=lambda *done: steps.append(done))
    assert [trial.helps for trial in found.trials] == [True, False, False]
    assert found.trials[0].values == [1, 2]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert np.array_equal(found.apply(guess), truth)


def test_dice_leaves_out_the_ignore_label_and_absent_classes() -> None:
    reference = np.array([[[1, 1, 0, 9]]])
    prediction = np.array([[[1, 0, 0, 1]]])
    assert class_dice(prediction, reference, [1], 9) == pytest.approx(2 / 3)
    assert math.isnan(class_dice(prediction, reference, [4], 9))


def test_shapes_that_differ_are_named(tmp_path: Path) -> None:
    pair = write(tmp_path, "x", scene((1, 0, 2)), scene((1, 0, 2))[:-1])
    with pytest.raises(DatasetError, match=r"x\.nii\.gz: shape \(12, 4, 16\) differs"):
        mean_dice({"x": pair}, LABELS)


def test_a_decision_is_written_and_read(tmp_path: Path) -> None:
    decision = Postprocessing(
        trials=[Trial(name="a", values=[1], helps=True), Trial(name="b", values=[2], helps=False)]
    )
    save_postprocessing(decision, tmp_path / "one.json")
    assert load_postprocessing(tmp_path / "one.json").steps[0].name == "a"
    selection = {"other": 1, "postprocessing": json.loads((tmp_path / "one.json").read_text())}
    (tmp_path / "selection.json").write_text(json.dumps(selection))
    assert [trial.name for trial in load_postprocessing(tmp_path / "selection.json").trials] == ["a", "b"]


def test_nnunets_json_is_read_and_its_pickle_is_not(tmp_path: Path) -> None:
    name = "remove_all_but_largest_component_from_segmentation"
    content = {
        "postprocessing_fns": [name, name, name],
        "postprocessing_kwargs": [
            {"labels_or_regions": [1, 2]},
            {"labels_or_regions": 2},
            {"labels_or_regions": [[1, 2]]},
        ],
    }
    file = tmp_path / "postprocessing.json"
    file.write_text(json.dumps(content))
    assert [step.values for step in load_postprocessing(file).steps] == [[1, 2], [2], [1, 2]]
    file.write_text(json.dumps({**content, "postprocessing_fns": [name, "os.system", name]}))
    with pytest.raises(SettingsError, match=r"os\.system is no postprocessing"):
        load_postprocessing(file)
    file.write_text(json.dumps({**content, "postprocessing_kwargs": [{}, {}, {}]}))
    with pytest.raises(SettingsError, match="names no labels"):
        load_postprocessing(file)
    with pytest.raises(SettingsError, match=r"a pickle can execute code.*postprocessing\.json"):
        load_postprocessing(tmp_path / "postprocessing.pkl")


@pytest.mark.parametrize("text", ["[1]", '{"trials": [{"name": 3}]}', '{"trial": []}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(SettingsError, match="holds no postprocessing"):
        load_postprocessing(tmp_path / "x.json")
