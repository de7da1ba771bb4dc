from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from goodfit.data.labels import Labels
from goodfit.errors import PlanError
from goodfit.planning.choice import choose_configuration
from goodfit.planning.configuration_rules import plan_configuration
from goodfit.planning.feature_map_budget import Basis

if TYPE_CHECKING:
    from goodfit.planning.plan import Configuration, ConfigurationName

BASIS = Basis.of(Labels(classes={"a": (1,)}), cases=40)


def configurations_of(
    shape: tuple[int, ...], names: tuple[ConfigurationName, ...] = ("2d", "3d_fullres")
) -> dict[ConfigurationName, Configuration]:
    return {
        name: plan_configuration(name, spacing=(8, 1, 1), median_shape=shape, basis=BASIS, reasons={}) for name in names
    }


def test_3d_data_gets_3d_fullres() -> None:
    choice = choose_configuration(configurations_of((16, 200, 200)))
    assert choice.name == "3d_fullres"
    assert "the data is 3D" in choice.reason


def test_2d_data_gets_2d() -> None:
    assert choose_configuration(configurations_of((1, 200, 200), ("2d",))) == ("2d", "the data is 2D")


@pytest.mark.parametrize(("slices", "expected"), [(3, "2d"), (4, "2d"), (5, "3d_fullres")])
def test_a_few_slices_are_no_third_dimension(slices: int, expected: str) -> None:
    choice = choose_configuration(configurations_of((slices, 200, 200)))
    assert choice.name == expected
    assert ("only" in choice.reason) == (expected == "2d")


def test_what_is_asked_for_is_taken() -> None:
    assert choose_configuration(configurations_of((16, 200, 200)), "2d") == ("2d", "asked for")


@pytest.mark.parametrize(
    ("names", "wanted", "why"),
    [(("2d",), "3d_fullres", "the data is 2D"), (("2d", "3d_fullres"), "3d_lowres", "a patch covers 61 %")],
)
def test_what_is_not_there_is_refused(names: tuple[ConfigurationName, ...], wanted: str, why: str) -> None:
    with pytest.raises(PlanError, match=rf"no {wanted} .*{why}.*Choose one of: {', '.join(names)}"):
        choose_configuration(configurations_of((16, 200, 200), names), wanted, "a patch covers 61 %")
