from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from goodfit.data.dataset import open_dataset
from goodfit.errors import DatasetError
from goodfit.planning.fingerprint import combine, load_fingerprint, measure, save_fingerprint
from goodfit.planning.measurement import CaseMeasurement, ChannelMeasurement

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def channel_of(values: np.ndarray) -> ChannelMeasurement:
    ordered = np.sort(values).astype(np.float32)
    return ChannelMeasurement(
        float(values.mean()), float(values.var()), float(values.min()), float(values.max()), ordered
    )


def case_of(name: str, values: np.ndarray | None, after: int = 8) -> CaseMeasurement:
    channels = () if values is None else (channel_of(values),)
    return CaseMeasurement(name, (1.0, 1.0, 1.0), (10, 10, 10), (after, 10, 10), channels, {1: 5} if channels else {})


def test_statistics_are_those_of_the_pooled_values() -> None:
    rng = np.random.default_rng(0)
    values = [rng.normal(mean, 5, 10_000) for mean in (0, 50, 120)]
    fingerprint = combine([case_of(f"case{i}", part) for i, part in enumerate(values)], "key")
    pooled = np.concatenate(values)
    statistics = fingerprint.intensities[0]
    assert statistics.mean == pytest.approx(pooled.mean())
    assert statistics.std == pytest.approx(pooled.std())
    assert statistics.minimum == pytest.approx(pooled.min())
    assert statistics.maximum == pytest.approx(pooled.max())
    low, median, high = np.percentile(pooled, (0.5, 50, 99.5))
    assert statistics.percentile_00_5 == pytest.approx(low, abs=1e-4)
    assert statistics.median == pytest.approx(median, abs=1e-4)
    assert statistics.percentile_99_5 == pytest.approx(high, abs=1e-4)


def test_order_of_the_measurements_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    cases = [case_of(name, rng.normal(10, 2, 300), after) for name, after in (("a", 4), ("b", 6), ("c", 10))]
    expected = combine(cases, "key")
    assert expected.cases == ["a", "b", "c"]
    assert expected.relative_size_after_crop == pytest.approx(0.6)
    for order in itertools.permutations(cases):
        assert combine(order, "key") == expected


def test_cases_without_foreground_count_for_shapes_alone() -> None:
    values = np.arange(300.0)
    fingerprint = combine([case_of("a", values), case_of("b", None)], "key")
    assert fingerprint.cases == ["a", "b"]
    assert fingerprint.intensities[0].mean == pytest.approx(values.mean())
    assert fingerprint.class_voxels == {"a": {1: 5}, "b": {}}


def test_a_dataset_without_labels_is_refused() -> None:
    with pytest.raises(DatasetError, match="no case has a labelled voxel"):
        combine([case_of("a", None)], "key")
    with pytest.raises(DatasetError, match="no labelled cases"):
        combine([], "key")


def test_it_survives_the_file(tmp_path: Path) -> None:
    fingerprint = combine([case_of("a", np.arange(300.0))], "key")
    save_fingerprint(fingerprint, tmp_path / "fingerprint.json")
    assert load_fingerprint(tmp_path / "fingerprint.json") == fingerprint


@pytest.mark.parametrize("content", ["{", '{"version": 1}', '{"version": 2}'])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "fingerprint.json"
    path.write_text(content)
    with pytest.raises(DatasetError, match=r"fingerprint\.json"):
        load_fingerprint(path)


def test_real_cardiac_cases_as_nnunet_measures_them(shared_data: Callable[[str], Path]) -> None:
    """Expected values: nnU-Net 2.8.1, DatasetFingerprintExtractor."""
    seen: list[tuple[int, int]] = []
    fingerprint = measure(
        open_dataset(shared_data("Dataset027_ACDC")),
        "key",
        workers=2,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    statistics = fingerprint.intensities[0]
    assert fingerprint.relative_size_after_crop == 1
    assert len(fingerprint.cases) == 30
    assert statistics.mean == pytest.approx(666.668, rel=0.005)
    assert statistics.median == pytest.approx(265, abs=2)
    assert statistics.std == pytest.approx(764.353, rel=0.005)
    assert statistics.percentile_00_5 == pytest.approx(41, abs=2)
    assert statistics.percentile_99_5 == pytest.approx(3112, rel=0.005)
    assert (statistics.minimum, statistics.maximum) == (0, 4095)
    assert seen[-1] == (30, 30)


def test_an_unreadable_case_stops_the_measuring(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    source = shared_data("Dataset401_CTfixture")
    for path in source.rglob("*"):
        if path.is_file():
            target = tmp_path / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    broken = sorted((tmp_path / "imagesTr").iterdir())[0]
    broken.write_bytes(broken.read_bytes()[:1000])
    with pytest.raises(DatasetError, match=re.escape(broken.name)):
        measure(open_dataset(tmp_path), "key", workers=2)
