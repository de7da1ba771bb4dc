from __future__ import annotations

import csv
import io
import json
import math

import pytest

from goodfit.errors import RunError
from goodfit.tasks.instances.scores import (
    CategoryScores,
    Confusion,
    FrameScores,
    GroupScores,
    InstanceScores,
    KindScores,
    PartScores,
    apart,
    load_instance_scores,
    save_instance_scores,
)

NAN = math.nan


def frame(name, quality=0.5, group="v", number=0, **counts):
    values = {"instances": 2, "found": 1, "missed": 1, "false": 0, "confused": 0, "mean_iou": 0.8} | counts
    return FrameScores(name=name, group=group, number=number, quality=quality, **values)


def kind(ap):
    fields = [*KindScores.model_fields][:12]
    categories = {"ball": CategoryScores(instances=3, ap=ap, ap50=0.9, ap75=0.5)}
    categories["ghost"] = CategoryScores(instances=0, ap=NAN, ap50=NAN, ap75=NAN)
    return KindScores(**dict.fromkeys(fields, ap), categories=categories)


def made(**changed):
    parts = [PartScores(title="frames 0 to 9", frames=10, instances=2, ap=0.25, ap50=0.5)]
    values = {
        "set_name": "test",
        "optimistic": False,
        "frames": 3,
        "instances": 3,
        "kinds": {"mask": kind(0.4), "box": kind(0.6)},
        "groups": {"v": GroupScores(frames=3, instances=3, ap=0.4, ap50=0.7, parts=parts)},
        "confusion": Confusion(names=["ball", "background"], counts=[[1, 1], [0, 0]], iou=0.5, score=0.5),
        "per_frame": [frame("b", 0.2), frame("a", 0.2), frame("empty", NAN, mean_iou=NAN)],
    }
    return InstanceScores(**values | changed)


def test_the_way_to_the_disk_and_back_keeps_everything(tmp_path):
    scores = made(notes=["a note"])
    save_instance_scores(scores, tmp_path / "scores.json")
    loaded = load_instance_scores(tmp_path / "scores.json")
    assert loaded.model_dump_json() == scores.model_dump_json()
    assert math.isnan(loaded.kinds["mask"].categories["ghost"].ap)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "scores.csv").read_text())))
    assert [row["name"] for row in rows] == ["b", "a", "empty"]
    assert (rows[0]["set"], rows[0]["optimistic"], rows[0]["found"], rows[0]["mean_iou"]) == (
        "test",
        "false",
        "1",
        "0.8",
    )
    assert rows[2]["mean_iou"] == rows[2]["quality"] == ""


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "scores.json"
    with pytest.raises(RunError, match="no such file"):
        load_instance_scores(path)
    path.write_text(json.dumps({"version": 2}))
    with pytest.raises(RunError, match=r"no scores of this version \(version"):
        load_instance_scores(path)


def test_tables():
    scores = made()
    assert scores.rows() == [
        [*("category", "objects", "mask AP", "mask AP50", "mask AP75", "box AP", "box AP50", "box AP75")],
        ["ball", "3", "0.400", "0.900", "0.500", "0.600", "0.900", "0.500"],
        ["ghost", "0", *["–"] * 6],
        ["all", "3", *["0.400"] * 3, *["0.600"] * 3],
    ]
    coco = scores.coco_rows()
    assert coco[0] == ["", "mask", "box"]
    assert len(coco) == 13
    assert coco[9] == ["AR at 100", "0.400", "0.600"]
    assert scores.group_rows()[1] == ["v", "3", "3", "0.400", "0.700"]
    assert scores.part_rows()[1] == ["frames 0 to 9", "v", "10", "2", "0.250", "0.500"]


def test_boxes_decide_where_there_are_no_masks():
    assert made().main == "mask"
    boxes = made(kinds={"box": kind(0.6)})
    assert (boxes.main, boxes.numbers.ap) == ("box", 0.6)


def test_the_title_marks_optimistic_scores():
    assert made().title == "test, 3 frames"
    assert made(optimistic=True).title == "test, 3 frames, optimistic"


def test_the_worst_comes_first_and_empty_frames_are_left_out():
    assert [one.name for one in made().ranked()] == ["a", "b"]
    more = [frame("one", 0.0, missed=1), frame("many", 0.0, missed=5), frame("good", 1.0)]
    assert [one.name for one in made(per_frame=more).ranked()] == ["many", "one", "good"]


def test_neighbours_are_not_shown_again():
    video = [frame(f"f{at:02d}", at / 100, number=at) for at in range(60)]
    still = [frame("still", 0.015, group="other")]
    chosen = apart(sorted([*video, *still], key=lambda one: one.quality), [*video[::-1], *still], 4)
    assert [one.name for one in chosen] == ["f00", "still", "f04", "f08"]
    assert [one.name for one in apart(still, still, 3)] == ["still"]


def test_what_happened_in_words():
    assert frame("a").what == "1 of 2 objects found, mean overlap 0.80"
    empty = frame("a", 0, instances=0, found=0, missed=0, false=2, mean_iou=NAN)
    assert empty.what == "no object here, 2 false"
