from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from goodfit.errors import DatasetError
from goodfit.preprocessing.keys import prepare_folder, store_digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Configuration, Data


@pytest.mark.parametrize(
    "change",
    [
        {"key": "1"},
        {"transpose": [1, 0, 2]},
        {"normalisation": ["ct"]},
        {"use_mask": [True]},
        {"classes": {"organ": [1]}},
        {"ignore": 3},
    ],
)
def test_what_decides_the_content_decides_the_digest(
    change: dict[str, Any], make_data: Callable[..., Data], make_configuration: Callable[..., Configuration]
) -> None:
    configuration = make_configuration("3d_fullres", (1, 1, 1))

    assert store_digest(make_data(**change), configuration) != store_digest(make_data(), configuration)


def test_the_spacing_decides_and_the_patch_does_not(
    make_data: Callable[..., Data], make_configuration: Callable[..., Configuration]
) -> None:
    digest = store_digest(make_data(), make_configuration("3d_fullres", (1, 1, 1)))

    assert store_digest(make_data(), make_configuration("3d_fullres", (1, 1, 1), 32)) == digest
    assert store_digest(make_data(), make_configuration("3d_fullres", (2, 1, 1))) != digest


def test_the_first_spacing_of_a_2d_configuration_does_not_decide(
    make_data: Callable[..., Data], make_configuration: Callable[..., Configuration]
) -> None:
    digest = store_digest(make_data(), make_configuration("2d", (1, 1, 1)))

    assert store_digest(make_data(), make_configuration("2d", (5, 1, 1))) == digest
    assert store_digest(make_data(), make_configuration("2d", (1, 2, 1))) != digest


def test_a_folder_of_the_same_digest_is_kept_but_for_leftovers(tmp_path: Path) -> None:
    prepare_folder(tmp_path, "aaa")
    for name in ("case.b2nd", ".writing-x.b2nd", "goodfit/cases/.writing-y.json", "goodfit/cases/case.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    prepare_folder(tmp_path, "aaa")

    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"case.b2nd", "goodfit/cases/case.json", "goodfit/preprocessing.json"}


def test_a_folder_of_another_digest_is_emptied(tmp_path: Path) -> None:
    prepare_folder(tmp_path, "aaa")
    (tmp_path / "goodfit" / "cases").mkdir()
    for name in ("case.b2nd", "goodfit/cases/case.json"):
        (tmp_path / name).touch()

    prepare_folder(tmp_path, "bbb")

    left = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]
    assert left == ["goodfit/preprocessing.json"]
    assert "bbb" in (tmp_path / left[0]).read_text()


def test_a_folder_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()

    with pytest.raises(DatasetError, match="files that goodfit did not write"):
        prepare_folder(tmp_path, "aaa")

    assert (tmp_path / "thesis.txt").exists()
