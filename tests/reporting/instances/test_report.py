from __future__ import annotations

import csv
import json
import re
import shutil

import pytest

from goodfit.errors import RunError
from goodfit.reporting.report import write_report
from goodfit.tasks.instances.scores import load_instance_scores, save_instance_scores
from goodfit.tasks.instances.thresholds import Thresholds, save_thresholds


def figures_of(page):
    data = re.search(r'<script id="figures" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    return json.loads(data[1])


def text_of(page):
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", bare).split())


def pictures(page):
    return re.findall(r'<img src="(data:image/jpeg;base64,[^"]+)"', page)


def test_page_shows_every_part(instance_run):
    path = write_report(instance_run)
    assert path == instance_run / "report.html"
    page = path.read_text()
    text = text_of(page)
    for expected in (
        "Ward",
        "Mask R-CNN",
        "Training is finished after 12 epochs",
        "Still improving (stopped by the user): AP rose by",
        "half of the &lt;median&gt; frame",
        "few videos",
        "test mask AP",
        "AR at 100",
        "Video by video",
        "What was taken for what",
        "Worst",
        "Median",
        "Best",
        "anchor sizes",
        "environment device",
    ):
        assert expected in text, expected
    assert len(pictures(page)) == 12
    assert figures_of(page).keys() >= {
        *("loss", "parts", "rate", "ap", "precision", "precision75", "confusion", "machine-use", "machine-speed")
    }
    assert "oversample" not in text


def test_page_loads_nothing_from_elsewhere(instance_run):
    page = write_report(instance_run).read_text()
    assert all(
        source.startswith("data:") for source in re.findall(r'<(?:img|script|link)[^>]+(?:src|href)="([^"]*)"', page)
    )
    assert page.count("plotly.js v") == 1


def test_curves_of_the_categories(instance_run):
    figures = figures_of(write_report(instance_run).read_text())
    assert [trace["name"] for trace in figures["ap"]["data"]] == ["person", "blanket", "AP50", "mean", "highest mean"]
    assert [trace["name"] for trace in figures["parts"]["data"]][::2] == [
        "rpn_objectness",
        "rpn_box",
        "class",
        "box",
        "mask",
    ]


def test_boxes_alone(box_run):
    page = write_report(box_run).read_text()
    assert "Faster R-CNN" in page
    assert "test box AP" in page
    assert "mask AP" not in text_of(page)
    assert len(pictures(page)) == 12


def test_a_run_on_the_way(instance_run):
    for name in ("scores.json", "events.json"):
        (instance_run / name).unlink()
    shutil.rmtree(instance_run / "predictions")
    text = text_of(write_report(instance_run).read_text())
    assert "There are no scores yet: the test frames" in text
    assert "not scored yet" in text
    assert "Worst" not in text


def test_a_run_that_only_began(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"kind": "instances"}))
    text = text_of(write_report(tmp_path).read_text())
    for expected in ("No epoch is finished yet", "There is no plan yet", "The frames have not been split yet"):
        assert expected in text


def test_scores_stay_when_the_dataset_has_gone(instance_run):
    shutil.rmtree(instance_run.parent / "Ward")
    page = write_report(instance_run).read_text()
    assert "The frames cannot be shown." in page
    assert "AR at 100" in page
    assert not pictures(page)


def test_optimistic_scores_are_marked(instance_run):
    path = instance_run / "scores.json"
    changed = {"optimistic": True, "notes": ["Optimistic: one video."]}
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    text = text_of(write_report(instance_run).read_text())
    # In the tiles, the sentence, the warning, its note, and above the tables.
    assert text.lower().count("optimistic") >= 7


def test_scores_of_another_task_are_refused(instance_run):
    (instance_run / "scores.json").write_text('{"version": 1, "set": "test"}')
    with pytest.raises(RunError, match="no scores of this version"):
        write_report(instance_run)


def test_names_cannot_break_the_page(instance_run):
    metrics = instance_run / "metrics.csv"
    metrics.write_text(metrics.read_text().replace("val_ap_person", "val_ap_</script><b>&"))
    page = write_report(instance_run).read_text()
    assert "</script><b>&" in [trace["name"] for trace in figures_of(page)["ap"]["data"]]


def test_every_frame_is_in_the_table_beside_the_scores(instance_run):
    with (instance_run / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert {row["group"] for row in rows} == {"v1", "v2"}


SORT = """<script>
const heading = document.querySelectorAll("#group-table thead button")[3];
const order = () => [...document.querySelectorAll("#group-table tbody th")].map((cell) => cell.textContent).join(" ");
document.body.dataset.first = order();
heading.click();
document.body.dataset.turned = order();
document.querySelector('button[data-figure="precision75"]').click();
document.body.dataset.lines = document.querySelectorAll("#plot-precision .scatterlayer .trace").length;
</script>"""


def test_browser_draws_and_sorts(instance_run, chromium, tmp_path):
    page = write_report(instance_run)
    page.write_text(page.read_text().replace("</body>", SORT + "</body>"))
    dom = chromium(page, tmp_path / "profile")
    # plotly layers three main-svg elements in each plot: loss, ap, rate, three of the machine, precision, confusion.
    assert dom.count('class="main-svg"') == 3 * 8
    first, turned = (re.search(rf'data-{name}="([^"]*)"', dom)[1] for name in ("first", "turned"))
    assert sorted(first.split()) == ["v1", "v2"]
    assert turned.split() == first.split()[::-1]
    assert re.search(r'data-lines="([^"]*)"', dom)[1] == "2"


def test_thresholds_and_distances_are_shown_where_they_are_known(instance_run):
    before = write_report(instance_run).read_text()
    assert "Thresholds chosen after the training" not in before
    assert "Distance from the training frames" not in before
    reasons = {"nms_threshold": "in place of 0.7, since <it> is better", "score": "the usual one"}
    thresholds = Thresholds(nms_threshold=0.35, score=0.5, frames=8, reasons=reasons)
    save_thresholds(thresholds, instance_run / "thresholds.json")
    scores = load_instance_scores(instance_run / "scores.json")
    scores.per_frame = [frame.model_copy(update={"distance": 1.5}) for frame in scores.per_frame]
    scores.unusual_from = 2.5
    save_instance_scores(scores, instance_run / "scores.json")
    page = write_report(instance_run).read_text()
    text = text_of(page)
    assert "overlap of two detections 0.35 in place of 0.7, since &lt;it&gt; is better" in text
    assert 'id="plot-distance"' in page
    assert figures_of(page)["distance"]["layout"]["shapes"][0]["y0"] == 2.5


def test_pictures_show_detections_from_the_score_of_the_confusion_matrix(instance_run):
    every = pictures(write_report(instance_run).read_text())
    scores = load_instance_scores(instance_run / "scores.json")
    scores.confusion = scores.confusion.model_copy(update={"score": 0.999})
    save_instance_scores(scores, instance_run / "scores.json")
    page = write_report(instance_run).read_text()
    assert "Drawn are detections with a score of 0.999 or more" in text_of(page)
    assert pictures(page) != every
