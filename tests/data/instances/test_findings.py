from __future__ import annotations

from goodfit.data.instances import kinds
from goodfit.data.instances.findings import Findings


def test_a_row_for_each_kind_and_file_with_the_first_examples():
    findings = Findings()
    for number in range(9):
        findings.add(kinds.BOX_EMPTY, "a.json", f"annotation {number}", f"frame {number}")
    findings.add(kinds.BOX_EMPTY, "b.json", "annotation 7", "frame 7")
    findings.add(kinds.MISSING_IMAGE, "a.json", "x.png")
    error, many, one = findings.problems()
    assert (error.severity, error.file, error.case) == ("error", "a.json", "")
    assert many.what == ("9 boxes without width or height: annotation 0, annotation 1, annotation 2 and 6 more")
    assert (many.case, one.case) == ("", "frame 7")
    assert one.what == "boxes without width or height: annotation 7"
    assert many.remedy == kinds.BOX_EMPTY.remedy


def test_equal_examples_are_shown_once():
    findings = Findings()
    for _ in range(3):
        findings.add(kinds.UNKNOWN_CATEGORY, "a.json", "category_id 9")
    assert findings.problems()[0].what == "3 objects of an unknown category: category_id 9"
