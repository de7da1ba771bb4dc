from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from goodfit.commands.inspect import check, inspect
from goodfit.data.dataset import open_dataset
from goodfit.interop.nnunet import inspect_arrays as module
from goodfit.interop.nnunet.inspect_arrays import inspect_arrays
from goodfit.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.filterwarnings("error")
def test_the_classes_of_each_case_are_known(preprocess: Callable[..., Path], tmp_path: Path) -> None:
    dataset = open_dataset(preprocess())
    result = inspect_arrays(dataset, tmp_path / "cache", Observer())
    assert result.ok
    assert result.cases_checked == 6
    for counts in result.voxels.values():
        assert counts.keys() == {1, 2}
        assert min(counts.values()) > 0


def test_a_result_is_recalled_while_the_files_stay_the_same(
    preprocess: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = preprocess()
    dataset, cache = open_dataset(folder), tmp_path / "cache"
    first = inspect_arrays(dataset, cache, Observer())
    with monkeypatch.context() as patches:
        patches.setattr(module, "read_case_file", lambda _: pytest.fail("read again"))
        assert inspect_arrays(dataset, cache, Observer()) == first
        with pytest.raises(pytest.fail.Exception):
            inspect_arrays(dataset, cache, Observer(), fresh=True)
    next(folder.rglob("*.pkl")).write_bytes(b"broken")
    assert not inspect_arrays(dataset, cache, Observer()).ok


def test_notes_with_code_in_them_are_errors_of_their_cases(preprocess: Callable[..., Path], tmp_path: Path) -> None:
    folder = preprocess()
    (folder / "nnUNetPlans_3d_fullres" / "c2.pkl").write_bytes(b"cos\nsystem\n(S'touch executed'\ntR.")
    result, fingerprint = inspect(open_dataset(folder), tmp_path / "cache", Observer())
    assert fingerprint is None
    assert [problem.case for problem in result.errors] == ["c2"]
    assert "asks for os.system" in result.errors[0].what
    assert not (tmp_path / "cache").exists()
    assert check(folder) == result
