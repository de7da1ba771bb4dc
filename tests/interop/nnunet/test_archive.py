"""Archives are unpacked into their folder and nowhere else."""

from __future__ import annotations

import stat
import zipfile
from typing import TYPE_CHECKING

import pytest

from goodfit.errors import ResourceError, RunError
from goodfit.interop.nnunet.archive import unpack_models

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "Dataset001_Tiny/nnUNetTrainer__nnUNetPlans__3d_fullres"


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    folder = tmp_path / "outer" / "inside"
    folder.mkdir(parents=True)
    return folder


def archive(folder: Path, *more: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    file = folder / "model.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr(f"{MODEL}/plans.json", b"{}")
        for name, content in more:
            target.writestr(name, content)
    return file


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_what_a_model_consists_of_is_unpacked(tmp_path: Path, inside: Path) -> None:
    wanted = [f"{MODEL}/fold_0/checkpoint_final.pth", f"{MODEL}/dataset.json"]
    others = [f"{MODEL}/fold_0/progress.png", f"{MODEL}/postprocessing.pkl", "inference_information.json"]
    unpack_models(archive(tmp_path, *((name, name.encode()) for name in (*wanted, *others))), inside)
    assert everything(inside) == {f"{MODEL}/plans.json", *wanted}
    assert (inside / wanted[0]).read_bytes() == wanted[0].encode()


def link() -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(f"{MODEL}/dataset.json")
    member.create_system = 3
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../plans.json", "leads out of the folder"),
        ("a/../../plans.json", "leads out of the folder"),
        ("/tmp/plans.json", "leads out of the folder"),
        ("..\\plans.json", "leads out of the folder"),
        ("C:/plans.json", "leads out of the folder"),
        ("../other.txt", "leads out of the folder"),
        (link(), "is a link"),
        (f"{MODEL}/PLANS.json", "occurs twice"),
    ],
)
def test_members_that_lead_elsewhere_are_refused_before_anything_is_written(
    tmp_path: Path, inside: Path, name: str | zipfile.ZipInfo, said: str
) -> None:
    file = archive(tmp_path, (name, b"{}"))
    before = everything(tmp_path)
    with pytest.raises(RunError, match=rf"model\.zip: the member .* {said}.*Nothing was unpacked"):
        unpack_models(file, inside)
    assert everything(tmp_path) == before


def test_bombs_are_refused(tmp_path: Path, inside: Path) -> None:
    file = archive(tmp_path, (f"{MODEL}/fold_0/checkpoint_final.pth", bytes(2**24)))
    with pytest.raises(RunError, match=r"grows from \d+ to 16777216 bytes"):
        unpack_models(file, inside)
    assert not everything(inside)


def test_a_full_disk_is_known_before(tmp_path: Path, inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _place: type("Usage", (), {"free": 1}))
    with pytest.raises(ResourceError, match=r"unpacking model\.zip"):
        unpack_models(archive(tmp_path), inside)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_truncated_archives_are_refused(tmp_path: Path, inside: Path, share: float) -> None:
    file = archive(tmp_path, (f"{MODEL}/dataset.json", bytes(range(256)) * 8))
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(RunError, match=r"model\.zip: this zip file is cut off or damaged"):
        unpack_models(file, inside)


def test_a_damaged_member_is_found(tmp_path: Path, inside: Path) -> None:
    file = archive(tmp_path, (zipfile.ZipInfo(f"{MODEL}/dataset.json"), b"x" * 500))
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"x" * 500, b"x" * 499 + b"y"))
    with pytest.raises(RunError, match="cut off or damaged"):
        unpack_models(file, inside)
