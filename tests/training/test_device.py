"""Choosing device and precision."""

from __future__ import annotations

import pytest
import torch

from goodfit.errors import SettingsError
from goodfit.training.device import choose_device, choose_precision, emulates, inference_precision


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


def test_a_model_trained_in_bfloat16_predicts_in_float32_where_that_is_imitated(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    with caplog.at_level("INFO"):
        assert inference_precision("bfloat16", cpu) == "float32"
    assert "trained in bfloat16, predicts in float32" in caplog.text
    assert inference_precision("float32", cpu) == "float32"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert inference_precision("bfloat16", cpu) == "bfloat16"


def test_only_what_a_device_lacks_is_imitated(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert emulates("float32", cpu) is None
    assert "neither" in str(emulates("bfloat16", cpu))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert emulates("bfloat16", cpu) is None
