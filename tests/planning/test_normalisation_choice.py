from __future__ import annotations

import pytest

from goodfit.planning.normalisation_choice import choose_normalisation


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("CT", "ct"),
        ("ct", "ct"),
        ("T1w", "zscore"),
        ("zscore", "zscore"),
        ("R", "zscore"),
        ("noNorm", "none"),
        ("rescale_to_0_1", "rescale"),
        ("rgb_to_0_1", "rgb"),
    ],
)
def test_channel_name_decides(channel: str, expected: str) -> None:
    assert choose_normalisation([channel], 1.0).names == [expected]


def test_mask_is_for_zscores_and_only_where_cropping_removes_much() -> None:
    assert choose_normalisation(["T1", "CT"], 0.58).use_mask == [True, False]
    assert choose_normalisation(["T1", "CT"], 0.75).use_mask == [False, False]


def test_reasons_name_channels_and_share() -> None:
    choice = choose_normalisation(["T1", "CT"], 0.58)
    assert "T1: zscore, CT: ct" in choice.names_reason
    assert "58 %" in choice.mask_reason
