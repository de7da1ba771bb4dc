from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser

import pytest

from goodfit.errors import RunError
from goodfit.reporting.report import write_report

SORT_TWICE = """<script>
const heading = document.querySelectorAll("#case-table thead button")[%d];
heading.click();
document.body.dataset.once = order();
heading.click();
document.body.dataset.twice = order();
function order() { return [...document.querySelectorAll("#case-table tbody th")].map((cell) => cell.textContent).join(" "); }
</script>"""


class Elements(HTMLParser):
    """Collects what a browser would load, and the text outside scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.loaded, self.text, self._inside = [], [], []
        self.feed(page)
        self.text = " ".join(" ".join(self.text).split())

    def handle_starttag(self, tag, attrs):
        self._inside.append(tag)
        if tag in {"script", "link", "img", "iframe", "object", "source", "video", "audio"}:
            self.loaded += [value for name, value in attrs if name in {"src", "href", "data", "srcset"}]

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if self._inside and self._inside[-1] not in {"script", "style"}:
            self.text.append(data)


def test_page_shows_every_part(finished_run):
    page = write_report(finished_run)
    assert page == finished_run / "report.html"
    elements = Elements(page.read_text())
    for expected in (
        "Blobs",
        "Training is finished after 10 epochs",
        "median spacing of the cases",
        "a <small> network & no more",
        "few cases",
        "epoch 7: the user asked to stop",
        "Best: case_1",
        "Worst: case_10",
        "environment packages torch",
        "HD95 (mm)",
    ):
        assert expected in elements.text
    assert sum(source.startswith("data:image/png;base64,") for source in elements.loaded) == 9


def test_page_loads_nothing_from_elsewhere(finished_run):
    page = write_report(finished_run).read_text()
    assert all(source.startswith("data:") for source in Elements(page).loaded)
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert page.count("plotly.js v") == 1


def test_names_cannot_break_the_page(finished_run):
    metrics = finished_run / "metrics.csv"
    metrics.write_text(metrics.read_text().replace("val_dice_organ", "val_dice_</script><b>&"))
    page = write_report(finished_run).read_text()
    assert "</script><b>&" in [trace["name"] for trace in figures_of(page)["dice"]["data"]]


def add_columns(run, columns):
    """Give metrics.csv more columns: name -> function of the row's number."""
    path = run / "metrics.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for at, row in enumerate(rows):
        row |= {name: value(at) for name, value in columns.items()}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


FULL = {
    "train_eval_loss": lambda at: 1 / (at + 1),
    "val_loss_dice": lambda at: 0.5,
    "val_loss_ce": lambda at: 0.4,
    "cpu_percent": lambda at: 90 + at,
    "memory_bytes": lambda at: 2**30,
    "samples_per_second": lambda at: 20,
}


def figures_of(page):
    data = re.search(r'<script id="figures" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    return json.loads(data[1])


def test_the_verdict_stands_over_the_curves(finished_run):
    page = write_report(finished_run).read_text()
    text = Elements(page).text
    said = "Still improving (stopped by the user): validation loss fell by"
    assert text.index("Training is finished") < text.index(said) < text.index("Loss Validation uses")
    assert page.count('class="fit still-improving"') == 1


def test_overfitting_is_marked_in_the_plot(finished_run):
    dice = {"val_dice": lambda at: 0.1 if at == 0 else 0.5}
    add_columns(finished_run, {**FULL, **dice, "val_loss": lambda at: 0.5 + 0.1 * abs(at - 2)})
    page = write_report(finished_run).read_text()
    found = re.search(r"<b>Overfitting</b> since epoch (\d+)", page)
    assert found is not None
    assert figures_of(page)["loss"]["layout"]["annotations"][0]["text"] == f"overfitting since epoch {found[1]}"


def test_machine_and_parts_are_shown_where_they_were_measured(finished_run):
    page = write_report(finished_run).read_text()
    assert 'id="machine"' not in page
    assert 'data-figure="parts"' not in page
    add_columns(finished_run, FULL)
    page = write_report(finished_run).read_text()
    assert "measured alike" in page
    assert 'data-figure="parts"' in page
    assert {"machine-use", "machine-memory", "machine-speed", "parts"} <= figures_of(page).keys()


def test_run_without_scores_says_so(finished_run):
    for name in ("scores.json", "events.json"):
        (finished_run / name).unlink()
    text = Elements(write_report(finished_run).read_text()).text
    assert "There are no scores yet" in text
    assert "not scored yet" in text


def test_empty_run_folder_gives_a_page(tmp_path):
    text = Elements(write_report(tmp_path).read_text()).text
    for expected in (
        "No epoch is finished yet",
        "There is no plan yet",
        "have not been split",
        "run.json is not there",
    ):
        assert expected in text


def test_optimistic_scores_are_marked(finished_run):
    path = finished_run / "scores.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "set": "validation", "optimistic": True}))
    text = Elements(write_report(finished_run).read_text()).text
    # In the tile, the sentence, the warning and above both tables.
    assert text.count("optimistic") >= 5


def test_missing_run(tmp_path):
    with pytest.raises(RunError, match="no such run folder"):
        write_report(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("column", "once", "twice"),
    [
        (0, "case_1 case_2 case_3 case_4 case_10", "case_10 case_4 case_3 case_2 case_1"),
        (1, "case_1 case_2 case_3 case_4 case_10", "case_10 case_4 case_3 case_2 case_1"),
    ],
    ids=["name", "dice"],
)
def test_browser_draws_plots_and_sorts(finished_run, chromium, tmp_path, column, once, twice):
    page = write_report(finished_run)
    page.write_text(page.read_text().replace("</body>", SORT_TWICE % column + "</body>"))
    dom = chromium(page, tmp_path / "profile")
    assert [len(re.findall(f'id="plot-{name}"', dom)) for name in ("loss", "dice", "rate", "cases")] == [1] * 4
    # plotly layers three main-svg elements in each plot.
    assert dom.count('class="main-svg"') == 3 * 4
    assert re.search(r'data-once="([^"]*)"', dom)[1] == once
    assert re.search(r'data-twice="([^"]*)"', dom)[1] == twice


def test_browser_shows_an_unfinished_run(finished_run, chromium, tmp_path):
    (finished_run / "scores.json").unlink()
    dom = chromium(write_report(finished_run), tmp_path / "profile")
    assert dom.count('class="main-svg"') == 3 * 3


CHOOSE_PARTS = """<script>
document.querySelector('button[data-figure="parts"]').click();
const names = () => [...document.querySelectorAll("#plot-loss .legendtext")].map((cell) => cell.textContent).join(" ");
document.body.dataset.parts = names();
document.querySelector('button[data-figure="loss"]').click();
document.body.dataset.total = names();
</script>"""


def test_browser_changes_between_the_loss_and_its_parts(finished_run, chromium, tmp_path):
    add_columns(finished_run, FULL)
    page = write_report(finished_run)
    page.write_text(page.read_text().replace("</body>", CHOOSE_PARTS + "</body>"))
    dom = chromium(page, tmp_path / "profile")
    assert dom.count('class="main-svg"') == 3 * (4 + 3)
    assert re.search(r'data-parts="([^"]*)"', dom)[1] == "dice ce"
    assert re.search(r'data-total="([^"]*)"', dom)[1] == "training, while learning training validation"
