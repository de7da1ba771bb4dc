"""Files are hashed when they change, and not again otherwise."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from goodfit.data import digests as module
from goodfit.data.digests import Digests, digest_file
from goodfit.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were hashed."""
    names: list[str] = []

    def counting(path: Path) -> str:
        names.append(path.name)
        return digest_file(path)

    monkeypatch.setattr(module, "digest_file", counting)
    return names


def test_a_file_is_hashed_once_and_again_after_a_change(tmp_path: Path, hashed: list[str]) -> None:
    source = tmp_path / "video.mp4"
    source.write_bytes(b"one")
    digests = Digests(tmp_path / "sources.json")
    first = digests.of(source)
    assert digests.of(source) == first == digest_file(source)
    digests.save()
    assert Digests(tmp_path / "sources.json").of(source) == first
    assert hashed == ["video.mp4"]
    source.write_bytes(b"two")
    os.utime(source, ns=(1, 1))
    assert Digests(tmp_path / "sources.json").of(source) != first
    assert hashed == ["video.mp4"] * 2


def test_the_digest_is_of_the_content_alone(tmp_path: Path) -> None:
    for name, content in (("a", b"x" * 3_000_000), ("b", b"x" * 3_000_000), ("c", b"y" * 3_000_000)):
        (tmp_path / name).write_bytes(content)
    assert digest_file(tmp_path / "a") == digest_file(tmp_path / "b") != digest_file(tmp_path / "c")


@pytest.mark.parametrize("content", ["", "no json", "[]", '{"a": 3}', '{"a": [1, 2]}', '{"a": ["x", "y", "z"]}'])
def test_a_damaged_memory_is_forgotten(tmp_path: Path, content: str) -> None:
    (tmp_path / "sources.json").write_text(content)
    (tmp_path / "a").write_bytes(b"one")
    digests = Digests(tmp_path / "sources.json")
    assert digests.of(tmp_path / "a") == digest_file(tmp_path / "a")
    digests.save()
    assert Digests(tmp_path / "sources.json").of(tmp_path / "a") == digest_file(tmp_path / "a")


def test_many_files_are_hashed_once_each(tmp_path: Path, hashed: list[str]) -> None:
    files = [tmp_path / f"{number}.mp4" for number in range(20)]
    for file in files:
        file.write_bytes(file.name.encode())
    digests = Digests()
    found = digests.of_all([*files, *files])
    assert sorted(hashed) == sorted(file.name for file in files)
    assert found == {file: digest_file(file) for file in files}
    files[3].unlink()
    with pytest.raises(DatasetError, match=r"3\.mp4: cannot be read \(No such file"):
        digests.of_all(files)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Digests(tmp_path / "sources.json").of(tmp_path / "none")
