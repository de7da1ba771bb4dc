"""How many folds fit on a machine."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from goodfit.commands.side_by_side import CONTEXT_BYTES, Machine, choose_slots, look_at_machine
from goodfit.errors import SettingsError

GIB = float(2**30)


def test_two_cores_train_one_fold_at_a_time_and_say_why() -> None:
    slots = choose_slots("auto", 5, 2 * GIB, Machine(cores=2, memory=16 * GIB))
    assert slots.devices == ("cpu",)
    assert slots.threads is None
    assert slots.reason == "1 fold at a time: 2 cores, of which one training uses 8"


def test_a_large_machine_divides_its_cores() -> None:
    slots = choose_slots("auto", 5, 2 * GIB, Machine(cores=32, memory=200 * GIB))
    assert (slots.count, slots.threads) == (4, 8)
    assert choose_slots("auto", 5, 2 * GIB, Machine(cores=64, memory=200 * GIB)).reason == (
        "5 folds at a time: there are 5 folds to train"
    )


def test_memory_limits_the_folds_on_a_cpu() -> None:
    slots = choose_slots("auto", 5, 7 * GIB, Machine(cores=64, memory=20 * GIB))
    assert slots.count == 2
    assert slots.reason == "2 folds at a time: 20.0 GiB are free and one training needs 8.0 GiB"


def test_every_gpu_gets_one_before_any_gets_two() -> None:
    machine = Machine(64, 500 * GIB, (("cuda:0", 40 * GIB), ("cuda:1", 25 * GIB), ("cuda:2", 5 * GIB)))
    slots = choose_slots("auto", 5, 10 * GIB, machine)
    assert slots.devices == ("cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0")
    assert choose_slots("auto", 2, 10 * GIB, machine).devices == ("cuda:0", "cuda:1")


def test_a_gpu_that_is_too_small_still_gets_its_one() -> None:
    slots = choose_slots("auto", 5, 30 * GIB, Machine(64, 500 * GIB, (("cuda:0", 8 * GIB),)))
    assert slots.devices == ("cuda:0",)
    assert "cuda:0 has 8.0 GiB free, and one training needs 31.0 GiB" in slots.reason


def test_a_number_is_obeyed_with_a_warning_where_memory_is_short() -> None:
    machine = Machine(2, 4 * GIB)
    slots = choose_slots(3, 5, 3 * GIB, machine)
    assert (slots.count, slots.threads) == (3, 1)
    assert slots.reason == (
        "3 folds at a time, as asked; warning: they are predicted to need 12.0 GiB and the machine has 4.0 GiB free"
    )
    assert choose_slots("9", 2, 0.1 * GIB, machine).reason == "2 folds at a time, as asked"
    gpus = Machine(2, 4 * GIB, (("cuda:0", 4 * GIB), ("cuda:1", 4 * GIB)))
    assert choose_slots(3, 5, GIB, gpus).devices == ("cuda:0", "cuda:1", "cuda:0")
    assert "a GPU has 4.0 GiB free" in choose_slots(3, 5, GIB, gpus).reason


@pytest.mark.parametrize("asked", ["many", 0, -1, "", "1.5"])
def test_what_is_no_number_is_refused(asked: int | str) -> None:
    with pytest.raises(SettingsError, match="--parallel"):
        choose_slots(asked, 5, GIB, Machine(2, GIB))


@given(
    st.integers(1, 8),
    st.integers(1, 128),
    st.floats(0, 100),
    st.floats(0.1, 500),
    st.lists(st.floats(0, 80), max_size=4),
)
def test_automatic_slots_fit(folds: int, cores: int, needed: float, memory: float, gpus: list[float]) -> None:
    names = tuple((f"cuda:{index}", free * GIB) for index, free in enumerate(gpus))
    slots = choose_slots("auto", folds, needed * GIB, Machine(cores, memory * GIB, names))
    assert 1 <= slots.count <= folds
    each = needed * GIB + CONTEXT_BYTES
    if slots.count > 1:
        for name, free in names or (("cpu", memory * GIB),):
            assert slots.devices.count(name) * each <= free


def test_this_machine_is_looked_at() -> None:
    machine = look_at_machine(torch.device("cpu"), every_gpu=True)
    assert machine.cores >= 1
    assert machine.memory > 2**20
    assert machine.gpus == ()
