from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.errors import SettingsError
from goodfit.interop.detectron2.config_file import read_config

if TYPE_CHECKING:
    from pathlib import Path


def _write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_sections_become_full_keys(tmp_path: Path) -> None:
    file = _write(tmp_path, "a.yaml", "MODEL:\n  RPN:\n    NMS_THRESH: 0.6\n  MASK_ON: true\nSEED: 3\nEMPTY: {}\n")
    assert read_config(file) == {"MODEL.RPN.NMS_THRESH": 0.6, "MODEL.MASK_ON": True, "SEED": 3}


def test_a_file_wins_over_its_bases_and_they_over_theirs(tmp_path: Path) -> None:
    _write(tmp_path, "root.yaml", 'SOLVER: {MAX_ITER: 1, STEPS: "(10, 20)", GAMMA: 0.5}\nSEED: 1\n')
    _write(tmp_path, "set/base.yaml", '_BASE_: "../root.yaml"\nSOLVER: {MAX_ITER: 2, STEPS: "(30, )"}\n')
    file = _write(tmp_path, "set/sub/own.yaml", "_BASE_: ../base.yaml\nSOLVER: {MAX_ITER: 3}\n")
    assert read_config(file) == {"SOLVER.MAX_ITER": 3, "SOLVER.STEPS": [30], "SOLVER.GAMMA": 0.5, "SEED": 1}


def test_several_bases_are_read_in_their_order(tmp_path: Path) -> None:
    _write(tmp_path, "one.yaml", "A: 1\nB: 1\n")
    _write(tmp_path, "two.yaml", "B: 2\nC: 2\n")
    assert read_config(_write(tmp_path, "own.yaml", "_BASE_: [one.yaml, two.yaml]\nC: 3\n")) == {"A": 1, "B": 2, "C": 3}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(60000, 80000)", [60000, 80000]),
        ("1e-3", 0.001),
        ("[[32], [64]]", [[32], [64]]),
        ("('a', 'b')", ["a", "b"]),
        ("horizontal", "horizontal"),
        ("''", ""),
        ("null", None),
        ("[(1, 2), '0.5']", ["(1", "2)", 0.5]),
    ],
)
def test_texts_that_are_literals_are_read(tmp_path: Path, text: str, value: object) -> None:
    assert read_config(_write(tmp_path, "a.yaml", f"KEY: {text}\n"))["KEY"] == value


def test_a_chain_in_a_circle_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, "a.yaml", "_BASE_: b.yaml\n")
    file = _write(tmp_path, "b.yaml", "_BASE_: ./a.yaml\n")
    with pytest.raises(SettingsError, match=r"b\.yaml -> a\.yaml -> b\.yaml"):
        read_config(file)


def test_an_endless_chain_is_refused(tmp_path: Path) -> None:
    for number in range(30):
        _write(tmp_path, f"{number}.yaml", f"_BASE_: {number + 1}.yaml\n")
    with pytest.raises(SettingsError, match="longer than 20"):
        read_config(tmp_path / "0.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "A: !!python/object/apply:os.system ['touch pwned']\n",
        "A: !!python/tuple [1, 2]\n",
        "A: !!python/name:os.system\n",
        "A: !custom 3\n",
        "A: [1, 2\n",
        "A: 1\n---\nB: 2\n",
    ],
)
def test_tags_and_broken_yaml_are_refused(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"a\.yaml: this is no plain YAML"):
        read_config(_write(tmp_path, "a.yaml", text))
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A: &x {B: 1}\nC: *x\n", "aliases"),
        ("- 1\n- 2\n", "a config is a mapping"),
        ("1: 2\n", "1 is no name"),
        ("_BASE_: 5\n", "must name a file"),
        ("_BASE_: detectron2://base.yaml\n", "Download it"),
        ("_BASE_: missing.yaml\n", "missing.yaml"),
        ("A: " + "[" * 20_000 + "]" * 20_000, "nested too deeply"),
    ],
)
def test_what_is_no_config_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read_config(_write(tmp_path, "a.yaml", text))


def test_a_section_in_place_of_a_value_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, "base.yaml", "SOLVER: {STEPS: 1}\n")
    with pytest.raises(SettingsError, match=r"SOLVER\.STEPS is a section in one file"):
        read_config(_write(tmp_path, "a.yaml", "_BASE_: base.yaml\nSOLVER: {STEPS: {A: 1}}\n"))


def test_programs_and_large_files_are_not_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LazyConfig"):
        read_config(_write(tmp_path, "a.py", "raise SystemExit\n"))
    with pytest.raises(SettingsError, match="too large"):
        read_config(_write(tmp_path, "a.yaml", "#" * (2**17 + 1)))
    (tmp_path / "bytes.yaml").write_bytes(b"A: \xff\n")
    with pytest.raises(SettingsError, match="cannot be read"):
        read_config(tmp_path / "bytes.yaml")


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert read_config(_write(tmp_path, "a.yaml", "# nothing\n")) == {}


@given(text=st.text(max_size=200))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(text.encode("utf-8", "replace"))
    try:
        values = read_config(file)
    except SettingsError:
        return
    assert all(isinstance(key, str) for key in values)
