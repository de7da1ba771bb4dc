from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from goodfit.data.dataset import open_dataset
from goodfit.errors import DatasetError, PlanError, ResourceError
from goodfit.planning.lowres import plan_cascade
from goodfit.preprocessing import pipeline as module
from goodfit.preprocessing.pipeline import preprocess_dataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Plan

NAMES = ["case_0", "case_1", "case_2"]


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the cases that are worked on, as they are."""
    names: list[str] = []
    real = module._preprocess_one

    def count(case: object, *rest: object) -> None:
        names.append(case.name)
        real(case, *rest)

    monkeypatch.setattr(module, "_preprocess_one", count)
    return names


def test_every_case_of_every_configuration_is_stored(
    make_dataset: Callable[..., Path], make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []

    stores = preprocess_dataset(
        open_dataset(make_dataset()),
        make_plan(),
        tmp_path / "out",
        on_progress=lambda *counts: seen.append(counts),
    )

    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert sorted(stores) == ["2d", "3d_fullres"]
    assert (tmp_path / "out" / "dataset.json").is_file()
    for name, store in stores.items():
        assert store.folder == tmp_path / "out" / f"nnUNetPlans_{name}"
        assert store.names() == NAMES
        case = store.case("case_1")
        # The first two rows of the generated images are zero.
        assert case.image.shape == (1, 13, 18, 18)
        assert abs(case.image[:].mean()) < 1e-5
        assert np.all(case.label[:][(0, *case.locations[2].T)] == 2)


def test_equal_arrays_are_stored_once(
    make_dataset: Callable[..., Path], make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    dataset = open_dataset(make_dataset())

    stores = preprocess_dataset(dataset, make_plan(), tmp_path / "native")
    coarse = preprocess_dataset(dataset, make_plan((2, 1, 1)), tmp_path / "coarse")

    assert all(
        (stores["2d"].folder / f"{name}.b2nd").samefile(stores["3d_fullres"].folder / f"{name}.b2nd") for name in NAMES
    )
    assert coarse["2d"].case("case_0").image.shape == (1, 12, 18, 18)
    assert coarse["3d_fullres"].case("case_0").image.shape == (1, 6, 18, 18)


def test_the_cascade_has_the_arrays_of_the_full_resolution(
    make_dataset: Callable[..., Path], make_plan: Callable[..., Plan], tmp_path: Path, computed: list[str]
) -> None:
    plan = make_plan()
    fullres = plan.configurations["3d_fullres"]
    lowres = fullres.model_copy(update={"name": "3d_lowres"})
    both = {**plan.configurations, "3d_lowres": lowres, "3d_cascade_fullres": plan_cascade(fullres)}
    plan = plan.model_copy(update={"configurations": both})
    dataset = open_dataset(make_dataset())

    stores = preprocess_dataset(dataset, plan, tmp_path, configurations=["3d_cascade_fullres", "3d_fullres"])
    again = preprocess_dataset(dataset, plan, tmp_path, configurations=["3d_cascade_fullres"])

    assert stores["3d_cascade_fullres"].folder == stores["3d_fullres"].folder == tmp_path / "nnUNetPlans_3d_fullres"
    assert again["3d_cascade_fullres"].names() == NAMES
    assert sorted(computed) == NAMES


def test_large_equal_arrays_get_chunks_of_their_own(
    make_dataset: Callable[..., Path],
    make_plan: Callable[..., Plan],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LINK_BYTES", 0)

    stores = preprocess_dataset(open_dataset(make_dataset(1)), make_plan(), tmp_path / "out")

    flat, solid = (stores[name].case("case_0").image for name in ("2d", "3d_fullres"))
    assert np.array_equal(flat[:], solid[:])
    assert flat.blocks[1] == 1
    assert solid.blocks[1] > 1


def test_a_second_call_keeps_what_is_there_and_mends_what_is_not(
    make_dataset: Callable[..., Path], make_plan: Callable[..., Plan], tmp_path: Path, computed: list[str]
) -> None:
    dataset, plan = open_dataset(make_dataset()), make_plan()
    stores = preprocess_dataset(dataset, plan, tmp_path / "out")
    computed.clear()

    preprocess_dataset(dataset, plan, tmp_path / "out")
    assert computed == []

    (stores["2d"].folder / "case_1.b2nd").unlink()
    preprocess_dataset(dataset, plan, tmp_path / "out")
    assert computed == ["case_1"]
    assert stores["2d"].is_complete("case_1")


def test_another_plan_starts_anew_where_it_differs(
    make_dataset: Callable[..., Path], make_plan: Callable[..., Plan], tmp_path: Path, computed: list[str]
) -> None:
    dataset = open_dataset(make_dataset())
    preprocess_dataset(dataset, make_plan(), tmp_path / "out")
    computed.clear()

    stores = preprocess_dataset(
        dataset, make_plan(normalisation=["rescale"]), tmp_path / "out", configurations=["3d_fullres"]
    )

    assert sorted(computed) == NAMES
    assert stores["3d_fullres"].case("case_0").image[:].min() == 0


def test_chosen_cases_only(make_dataset: Callable[..., Path], make_plan: Callable[..., Plan], tmp_path: Path) -> None:
    stores = preprocess_dataset(
        open_dataset(make_dataset()), make_plan(), tmp_path / "out", cases=["case_2"], configurations=["2d"]
    )

    assert list(stores) == ["2d"]
    assert stores["2d"].names() == ["case_2"]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_nothing(
    make_dataset: Callable[..., Path], make_plan: Callable[..., Plan], tmp_path: Path, workers: int
) -> None:
    dataset, plan = open_dataset(make_dataset()), make_plan((1.5, 0.8, 1.2))

    first = preprocess_dataset(dataset, plan, tmp_path / "first", workers=2)["3d_fullres"]
    other = preprocess_dataset(dataset, plan, tmp_path / "other", workers=workers)["3d_fullres"]

    for name in NAMES:
        for suffix in (".b2nd", "_seg.b2nd", ".pkl"):
            assert (first.folder / (name + suffix)).read_bytes() == (other.folder / (name + suffix)).read_bytes()


def test_failing_cases_are_named_together_and_the_others_kept(
    make_dataset: Callable[..., Path], make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    root = make_dataset()
    for name in ("case_0", "case_2"):
        (root / "imagesTr" / f"{name}_0000.nii.gz").write_bytes(b"no image")

    with pytest.raises(DatasetError, match="2 of 3 cases could not be preprocessed") as caught:
        preprocess_dataset(open_dataset(root), make_plan(), tmp_path / "out")

    message = str(caught.value)
    assert "  case_0: " in message
    assert "  case_2: " in message
    assert "case_1" not in message
    assert module.Store(tmp_path / "out" / "nnUNetPlans_2d").names() == ["case_1"]


def test_an_interruption_leaves_a_state_that_the_next_call_continues(
    make_dataset: Callable[..., Path],
    make_plan: Callable[..., Plan],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset, plan = open_dataset(make_dataset()), make_plan()

    def interrupt(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preprocess_dataset(dataset, plan, tmp_path / "out", workers=1, on_progress=interrupt)

    store = module.Store(tmp_path / "out" / "nnUNetPlans_3d_fullres")
    assert "case_0" in store.names()
    assert all(store.is_complete(name) for name in store.names())
    assert not list((tmp_path / "out").rglob(".writing-*"))
    assert preprocess_dataset(dataset, plan, tmp_path / "out")["3d_fullres"].names() == NAMES


def test_a_disk_without_room_is_refused_before_anything_is_written(
    make_dataset: Callable[..., Path], make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    plan = make_plan()
    plan.configurations["3d_fullres"].median_shape = [1e6, 1e6, 1e6]

    with pytest.raises(ResourceError, match="the preprocessed data needs about"):
        preprocess_dataset(open_dataset(make_dataset()), plan, tmp_path / "out")

    assert not list((tmp_path / "out").rglob("*.b2nd"))


def test_an_unknown_configuration_is_refused(
    make_dataset: Callable[..., Path], make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match="'3d_lowres' is not in this plan, which has: 2d, 3d_fullres"):
        preprocess_dataset(open_dataset(make_dataset()), make_plan(), tmp_path / "out", configurations=["3d_lowres"])


def test_names_that_would_share_a_file_are_refused(
    make_dataset: Callable[..., Path], make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="case_0 and case_0_seg would be written to the same file"):
        preprocess_dataset(open_dataset(make_dataset()), make_plan(), tmp_path / "out", cases=["case_0", "case_0_seg"])


def test_a_case_too_large_for_the_memory_is_named(
    make_dataset: Callable[..., Path],
    make_plan: Callable[..., Plan],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def exhaust(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "crop_and_normalise", exhaust)

    with pytest.raises(ResourceError, match="case case_0: not enough memory"):
        preprocess_dataset(open_dataset(make_dataset(1)), make_plan(), tmp_path / "out")
