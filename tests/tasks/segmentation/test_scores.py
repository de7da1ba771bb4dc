from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest

from goodfit.data.labels import Labels
from goodfit.errors import RunError
from goodfit.tasks.segmentation.metrics import case_metrics
from goodfit.tasks.segmentation.scores import OPTIMISTIC, gather, load_scores, save_scores, save_scores_csv

LABELS = Labels({"organ": (1,), "lesion": (2,)})


def case(prediction, reference):
    return case_metrics(
        np.array([[prediction]]),
        np.array([[reference]]),
        LABELS,
        spacing=(1.0, 1.0, 1.0),
        voxel_volume=1.0,
        tolerance=0.5,
    )


def scores_of(cases, **changes):
    settings = {"set_name": "test", "optimistic": False, "tolerance": 0.5, "volume_unit": "ml"}
    settings |= changes
    return gather(cases, LABELS.names, distance_unit="mm", spacing_known=True, **settings)


@pytest.fixture
def three():
    return {
        "b": case([1, 1, 0, 0], [1, 1, 0, 0]),  # organ 1, no lesion anywhere
        "a": case([1, 0, 2, 0], [1, 1, 2, 2]),  # both 2/3
        "c": case([0, 0, 0, 2], [1, 0, 0, 0]),  # organ missed, lesion made up
    }


def test_means_are_over_counted_cases_then_classes(three):
    scores = scores_of(three)
    organ, lesion = scores.classes["organ"], scores.classes["lesion"]
    assert organ.dice.mean == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert organ.dice.median == pytest.approx(2 / 3)
    assert organ.dice.std == pytest.approx(np.std([1, 2 / 3, 0]))
    assert (organ.cases, organ.missed, organ.spurious) == (3, 1, 0)
    assert lesion.dice.mean == pytest.approx(1 / 3)
    assert (lesion.cases, lesion.missed, lesion.spurious) == (2, 0, 1)
    assert scores.mean_dice == pytest.approx((5 / 9 + 1 / 3) / 2)


def test_cases_are_sorted_and_ranked(three):
    scores = scores_of(three)
    assert list(scores.cases) == ["a", "b", "c"]
    assert scores.ranked() == ["c", "a", "b"]
    assert scores.case_dice("b") == 1


def test_case_without_any_class_has_no_rank(three):
    scores = scores_of({**three, "empty": case([0, 0], [0, 0])})
    assert "empty" not in scores.ranked()
    assert math.isnan(scores.case_dice("empty"))


def test_class_that_never_occurs_is_left_out_of_the_mean(three):
    scores = scores_of({"b": three["b"]})
    assert scores.mean_dice == 1
    assert scores.classes["lesion"].cases == 0
    assert scores.rows()[2][2] == "–"


def test_json_round_trip(three, tmp_path):
    scores = scores_of(three, optimistic=True, set_name="validation")
    save_scores(scores, tmp_path / "scores.json")
    text = (tmp_path / "scores.json").read_text()
    assert "NaN" not in text
    back = load_scores(tmp_path / "scores.json")
    assert back.model_dump_json() == scores.model_dump_json()
    assert back.optimistic
    assert math.isnan(back.cases["b"]["lesion"].dice)


def test_optimistic_scores_are_marked_in_every_table(three):
    honest, optimistic = scores_of(three), scores_of(three, optimistic=True)
    assert OPTIMISTIC in optimistic.title
    assert OPTIMISTIC not in honest.title
    lines = list(csv.DictReader(io.StringIO(optimistic.to_csv())))
    assert {line["optimistic"] for line in lines} == {"true"}


def test_csv_has_a_line_per_case_and_class(three, tmp_path):
    save_scores_csv(scores_of(three, volume_unit="mm²"), tmp_path / "scores.csv")
    lines = list(csv.DictReader(io.StringIO((tmp_path / "scores.csv").read_text())))
    assert len(lines) == 6
    by_key = {(line["case"], line["class"]): line for line in lines}
    assert by_key["b", "lesion"]["dice"] == ""
    assert float(by_key["a", "organ"]["dice"]) == pytest.approx(2 / 3)
    assert float(by_key["a", "organ"]["volume_difference_mm2"]) == -1


def test_table_states_units(three):
    rows = scores_of(three).rows()
    assert rows[0][5:] == ["HD95 (mm)", "surface Dice (0.5 mm)", "volume difference (ml)"]
    assert [row[0] for row in rows[1:]] == ["organ", "lesion", "mean"]
    assert len({len(row) for row in rows}) == 1


def test_other_content_is_refused(tmp_path):
    (tmp_path / "scores.json").write_text('{"version": 7}')
    with pytest.raises(RunError, match=r"scores\.json.*version"):
        load_scores(tmp_path / "scores.json")
    with pytest.raises(RunError, match="no such file"):
        load_scores(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("difference", "text"),
    [(0.0123, "+0.0123 ± 0.0000"), (-48.04, "-48.0 ± 0.0"), (0.0, "+0 ± 0"), (1234.5, "+1234 ± 0")],
)
def test_volumes_are_written_by_their_size(three, difference, text):
    changed = {"organ": three["b"]["organ"].model_copy(update={"volume_difference": difference})}
    scores = scores_of({"b": {**three["b"], **changed}})
    assert scores.rows()[1][-1] == text
