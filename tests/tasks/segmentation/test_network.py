from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file, save_file

from goodfit.planning.plan import NetworkPlan
from goodfit.tasks.segmentation.network import (
    build_network,
    deep_supervision_enabled,
    deep_supervision_strides,
    inferring,
    set_deep_supervision,
)
from goodfit.training.weights import put_weights, weights_of


def plan(
    architecture: str, strides: list[list[int]], features: list[int], kernels: list[list[int]] | None = None
) -> NetworkPlan:
    stages, dims = len(features), len(strides[0])
    residual = architecture == "residual_unet"
    return NetworkPlan(
        architecture=architecture,
        features=features,
        kernel_sizes=kernels or [[3] * dims] * stages,
        strides=strides,
        encoder_blocks=[1, 2, 2, 2][:stages] if residual else [2] * stages,
        decoder_blocks=[1] * (stages - 1) if residual else [2] * (stages - 1),
    )


@dataclass(frozen=True)
class Example:
    plan: NetworkPlan
    channels: int
    outputs: int
    shape: tuple[int, ...]
    """Sizes that are odd multiples of the strides."""

    def build(self) -> torch.nn.Module:
        torch.manual_seed(0)
        return build_network(self.plan, self.channels, self.outputs, len(self.shape))

    def input(self, batch: int = 2) -> torch.Tensor:
        return torch.randn(batch, self.channels, *self.shape, generator=torch.Generator().manual_seed(1))


EXAMPLES = {
    "plain 2d": Example(plan("plain_unet", [[1, 1], [2, 2], [2, 1]], [4, 6, 8]), 3, 2, (12, 14)),
    "plain 3d": Example(plan("plain_unet", [[1] * 3, [2] * 3, [2] * 3], [4, 6, 8]), 1, 4, (12, 20, 12)),
    "plain anisotropic": Example(
        plan(
            "plain_unet",
            [[1] * 3, [1, 2, 2], [1, 3, 2]],
            [4, 6, 8],
            [[1, 3, 3], [1, 3, 3], [3, 3, 3]],
        ),
        2,
        3,
        (5, 18, 20),
    ),
    "residual 2d": Example(plan("residual_unet", [[1, 1], [2, 2], [2, 2]], [4, 6, 8]), 3, 2, (12, 20)),
    "residual 3d": Example(plan("residual_unet", [[1] * 3, [1, 2, 2], [2] * 3], [4, 6, 8]), 2, 3, (6, 12, 20)),
}


@pytest.fixture(params=EXAMPLES, ids=lambda name: name.replace(" ", "-"))
def example(request: pytest.FixtureRequest) -> Example:
    return EXAMPLES[request.param]


class TestEveryNetwork:
    """What each network must do, whatever its architecture."""

    def test_outputs_are_finest_first_and_have_the_shapes_of_their_strides(self, example: Example) -> None:
        outputs = example.build()(example.input())
        strides = deep_supervision_strides(example.plan)
        assert len(outputs) == len(strides) == len(example.plan.features) - 1
        for output, stride in zip(outputs, strides, strict=True):
            shape = tuple(size // step for size, step in zip(example.shape, stride, strict=True))
            assert output.shape == (2, example.outputs, *shape)

    def test_gradient_reaches_every_parameter(self, example: Example) -> None:
        network = example.build()
        torch.stack([output.square().sum() for output in network(example.input())]).sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
        assert sum(parameter.grad.abs().sum().item() for parameter in network.parameters()) > 0

    def test_without_deep_supervision_the_finest_output_is_the_same(self, example: Example) -> None:
        network = example.build().eval()
        with torch.no_grad():
            several = network(example.input())
            set_deep_supervision(network, False)
            single = network(example.input())
        assert torch.equal(several[0], single)

    def test_evaluation_equals_training_mode_and_does_not_depend_on_the_batch(self, example: Example) -> None:
        network = example.build()
        with torch.no_grad():
            training = network(example.input())[0]
            with inferring(network):
                one = network(example.input()[1:])
        torch.testing.assert_close(one, training[1:], rtol=1e-4, atol=1e-4)

    def test_weights_survive_a_safetensors_file(self, example: Example, tmp_path_factory) -> None:
        network = example.build()
        file = tmp_path_factory.mktemp("weights") / "weights.safetensors"
        save_file(weights_of(network), file)
        torch.manual_seed(5)
        other = build_network(example.plan, example.channels, example.outputs, len(example.shape))
        assert not torch.equal(other(example.input())[0], network(example.input())[0])
        put_weights(other, load_file(file), str(file))
        assert torch.equal(other(example.input())[0], network(example.input())[0])

    def test_export_gives_the_same_outputs(self, example: Example) -> None:
        network = example.build()
        with inferring(network), torch.no_grad():
            exported = torch.export.export(network, (example.input(1),), strict=False).module()
            torch.testing.assert_close(exported(example.input(1)), network(example.input(1)))


def test_inferring_restores_mode_and_supervision_even_after_an_error() -> None:
    network = EXAMPLES["plain 2d"].build()

    def fail_inside() -> None:
        with inferring(network):
            assert not network.training
            assert not deep_supervision_enabled(network)
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert network.training
    assert deep_supervision_enabled(network)
    network.eval()
    set_deep_supervision(network, False)
    with inferring(network):
        pass
    assert not network.training
    assert not deep_supervision_enabled(network)


def test_inferring_finds_a_module_that_alone_is_in_training_mode() -> None:
    network = EXAMPLES["plain 2d"].build().eval()
    set_deep_supervision(network, False)
    next(network.children()).train()
    with inferring(network):
        assert not any(module.training for module in network.modules())


def test_inferring_within_inferring_changes_nothing() -> None:
    network = EXAMPLES["plain 2d"].build()
    with inferring(network):
        with inferring(network):
            pass
        assert not any(module.training for module in network.modules())
        assert not deep_supervision_enabled(network)
    assert all(module.training for module in network.modules())
    assert deep_supervision_enabled(network)


def test_deep_supervision_is_found_inside_a_wrapper() -> None:
    network = EXAMPLES["plain 2d"].build()
    wrapped = torch.nn.Sequential(network)
    set_deep_supervision(wrapped, False)
    assert isinstance(wrapped(EXAMPLES["plain 2d"].input()), torch.Tensor)


def test_strides_accumulate_and_leave_the_bottleneck_out() -> None:
    example = plan("plain_unet", [[1] * 3, [1, 2, 2], [2] * 3, [2] * 3], [4, 4, 4, 4])
    assert deep_supervision_strides(example) == [(1, 1, 1), (1, 2, 2), (2, 4, 4)]
    assert deep_supervision_strides(example.model_copy(update={"deep_supervision": False})) == [(1, 1, 1)]


# Parameter counts, and sums of the outputs for weights drawn after manual_seed(0) and an input drawn after
# manual_seed(1), as nnU-Net 2.8.1's get_network_from_plans gives them for the same settings.
@pytest.mark.parametrize(
    ("example", "count", "sums"),
    [
        (  # 3d_fullres of the hippocampus
            Example(plan("plain_unet", [[1] * 3] + [[2] * 3] * 3, [32, 64, 128, 256]), 1, 3, (8, 16, 24)),
            5_603_177,
            [-4095.6023, -69.3953, -30.6075],
        ),
        (
            Example(plan("plain_unet", [[1] * 3, [1, 2, 2], [2] * 3], [4, 8, 8]), 2, 3, (8, 16, 24)),
            14_062,
            [-5603.9577, -3610.2663],
        ),
        (
            Example(plan("residual_unet", [[1] * 3, [1, 2, 2], [2] * 3], [4, 8, 8]), 2, 3, (8, 16, 24)),
            19_366,
            [8844.6408, 1810.9571],
        ),
    ],
    ids=["hippocampus", "plain", "residual"],
)
def test_golden_numbers_of_nnunet(example: Example, count: int, sums: list[float]) -> None:
    network = example.build()
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    torch.manual_seed(1)
    with torch.no_grad():
        outputs = network(torch.randn(2, example.channels, *example.shape))
    assert [output.double().sum().item() for output in outputs] == pytest.approx(sums, rel=1e-3, abs=0.5)
