"""Choosing device and precision."""

from __future__ import annotations

import pytest
import torch

from goodfit.errors import SettingsError
from goodfit.training.device import choose_device, choose_precision


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    ("asked", "said"), [("gpu", "is no device"), ("cuda:97", "is not there"), ("meta", "not supported")]
)
def test_a_device_that_cannot_be_is_named(asked: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        choose_device(asked)


@pytest.mark.parametrize(
    ("flags", "precision", "why"),
    [
        ({"avx512_bf16": True}, "bfloat16", "AVX512-BF16"),
        ({"amx_bf16": True}, "bfloat16", "AMX"),
        ({"avx2": True}, "float32", "neither"),
    ],
)
def test_bfloat16_where_the_cpu_has_it(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, bool], precision: str, why: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    chosen, reason = choose_precision(torch.device("cpu"))
    assert chosen == precision
    assert why in reason
