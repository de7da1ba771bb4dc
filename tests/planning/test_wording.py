from __future__ import annotations

from goodfit.planning import wording


def test_sizes_and_spacings() -> None:
    assert wording.size((36, 50.5, 35.0)) == "36x50.5x35"
    assert wording.millimetres((1.25, 0.78125, 0.78125)) == "1.25 x 0.7812 x 0.7812 mm"
    assert wording.axis(0) == "z"


def test_numbers() -> None:
    assert wording.count(59_400_000) == "59.4 M"
    assert wording.count(1.12e9) == "1.12 G"
    assert wording.count(2500) == "2.5 k"
    assert wording.count(999) == "999"
    assert wording.gigabytes(8e9) == "8 GB"


def test_shares_and_plurals() -> None:
    assert wording.percent(0.134) == "13 %"
    assert wording.percent(0.0042) == "0.42 %"
    assert [wording.counted(number, "patch") for number in (0, 1, 2)] == ["0 patches", "1 patch", "2 patches"]
    assert wording.counted(2, "step") == "2 steps"
