"""What a training says of the machine before its first step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from goodfit.commands.fitting import loader_workers
from goodfit.commands.machine_words import describe_cases, describe_loading
from goodfit.commands.memory import bytes_of_cases
from goodfit.tasks.segmentation.sampling import room_for_cases

if TYPE_CHECKING:
    from collections.abc import Callable

    from goodfit.commands.plan import Prepared


def test_a_network_on_the_cpu_keeps_its_cores() -> None:
    said = describe_loading(torch.device("cpu"), None)
    threads = torch.get_num_threads()
    assert said.startswith(
        f"device: cpu, {threads} thread{'' if threads == 1 else 's'}; batches come from the training's own"
    )
    assert "(others would take the cores that the network computes on)" in said


@pytest.mark.parametrize(
    ("asked", "words"),
    [(0, "from the training's own process (as"), (1, "from 1 loader process (as"), (3, "from 3 loader processes (as")],
)
def test_what_was_asked_for_is_said_to_be_so(asked: int, words: str) -> None:
    assert f"{words} asked for with --workers)" in describe_loading(torch.device("cpu"), asked)


def test_a_gpu_has_loaders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    device = torch.device("cuda", 1)
    assert loader_workers(device, None) == 5
    assert describe_loading(device, None) == (
        "device: cuda:1; batches come from 5 loader processes (one for each core but one, 8 at most)"
    )


def test_cases_stay_in_memory_where_there_is_room(prepare_run: Callable[..., Prepared]) -> None:
    plan = prepare_run().plan.model_copy(update={"memory": 2**34})
    one = bytes_of_cases(plan, 1)
    room = room_for_cases(plan.memory) // one
    assert describe_cases(plan, room).startswith(f"cases: all {room} stay in memory")
    said = describe_cases(plan, room + 1)
    assert said.startswith("cases: 1.00 GiB of about 1.00 GiB stay")
    assert "only the patches that are asked for are read" in said
