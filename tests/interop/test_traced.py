"""Networks as ONNX and torch.export files: the same logits for any batch size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from goodfit.errors import RunError, SettingsError
from goodfit.interop import traced
from goodfit.interop.traced import INPUT, OUTPUT, PLAN, TOLERANCE, write_onnx, write_torch_export
from goodfit.tasks.segmentation.cascade.one_hot import WithPreviousStage
from goodfit.tasks.segmentation.network import build_network, deep_supervision_enabled, inferring

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Plan


@pytest.fixture
def network(tiny_plan: Callable[..., Plan]) -> nn.Module:
    torch.manual_seed(0)
    return build_network(tiny_plan().chosen.network, 1, 3, 3)


def test_onnx_gives_the_networks_logits_for_any_batch(
    network: nn.Module, tiny_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    file = tmp_path / "model.onnx"
    assert write_onnx(file, network, tiny_plan()) <= TOLERANCE
    assert deep_supervision_enabled(network)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    patches = torch.randn(4, 1, 8, 8, 8)
    with torch.no_grad(), inferring(network):
        expected = network(patches)
    found = torch.from_numpy(session.run([OUTPUT], {INPUT: patches.numpy()})[0])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    kept = {entry.key: entry.value for entry in onnx.load(str(file)).metadata_props}
    assert json.loads(kept[PLAN]) == tiny_plan().model_dump(mode="json")


def test_torch_export_gives_the_networks_logits_for_any_batch(
    network: nn.Module, tiny_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    file = tmp_path / "model.pt2"
    assert write_torch_export(file, network, tiny_plan()) <= TOLERANCE
    extra = {PLAN: ""}
    program = torch.export.load(file, extra_files=extra)
    patches = torch.randn(4, 1, 8, 8, 8)
    with torch.no_grad(), inferring(network):
        torch.testing.assert_close(program.module()(patches), network(patches), atol=1e-5, rtol=1e-4)
    assert json.loads(extra[PLAN]) == tiny_plan().model_dump(mode="json")


def test_a_file_that_gives_other_logits_is_not_kept(
    network: nn.Module, tiny_plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = torch.export.load

    class Off:
        def __init__(self, file: Path) -> None:
            self.program = load(file)

        def module(self) -> Callable[[torch.Tensor], torch.Tensor]:
            return lambda patches: self.program.module()(patches) * 1.01

    monkeypatch.setattr(torch.export, "load", Off)
    with pytest.raises(RunError, match=r"model\.pt2: gives other logits than the network.*It was not written"):
        write_torch_export(tmp_path / "model.pt2", network, tiny_plan())
    assert not list(tmp_path.iterdir())


def test_without_the_extra_the_error_names_it(
    network: nn.Module, tiny_plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traced, "find_spec", lambda name: None if name == "onnxscript" else True)
    with pytest.raises(SettingsError, match=r'onnxscript, which is not installed.*pip install "goodfit\[export\]"'):
        write_onnx(tmp_path / "model.onnx", network, tiny_plan())


def test_a_cascade_takes_the_label_map_as_one_more_channel(tiny_plan: Callable[..., Plan], tmp_path: Path) -> None:
    plan = tiny_plan()
    lowres = plan.chosen.model_copy(update={"name": "3d_lowres"})
    second = plan.chosen.model_copy(update={"name": "3d_cascade_fullres", "previous_stage": "3d_lowres"})
    cascade = plan.model_copy(
        update={
            "configuration": "3d_cascade_fullres",
            "configurations": {"3d_lowres": lowres, "3d_cascade_fullres": second},
        }
    )
    network = WithPreviousStage(build_network(second.network, 3, 3, 3), (1, 2))
    assert write_torch_export(tmp_path / "model.pt2", network, cascade) <= TOLERANCE
    patches = torch.cat([torch.randn(2, 1, 8, 8, 8), torch.randint(0, 3, (2, 1, 8, 8, 8)).float()], 1)
    with torch.no_grad(), inferring(network):
        expected = network(patches)
    torch.testing.assert_close(
        torch.export.load(tmp_path / "model.pt2").module()(patches), expected, atol=1e-5, rtol=1e-4
    )
