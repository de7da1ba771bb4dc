"""Which normalisation each channel gets, by its name in dataset.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from goodfit.planning import wording

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.planning.plan import NormalisationName

BY_CHANNEL_NAME: Mapping[str, NormalisationName] = {
    "ct": "ct",
    "nonorm": "none",
    "zscore": "zscore",
    "rescale_to_0_1": "rescale",
    "rgb_to_0_1": "rgb",
}
"""Channel name in lower case -> normalisation (nnU-Net: channel_name_to_normalization_mapping)."""
MASK_BELOW = 0.75
"""Median share of the voxels left by the crop below which z-scores are taken inside the mask (nnU-Net: 3/4)."""


class NormalisationChoice(NamedTuple):
    """Normalisation and use of the nonzero mask per channel, with the reasons for both."""

    names: list[NormalisationName]
    use_mask: list[bool]
    names_reason: str
    mask_reason: str


def choose_normalisation(channels: Sequence[str], relative_size: float) -> NormalisationChoice:
    """Choose by channel name; every other name means z-score, as for MRI.

    Args:
        channels: names as dataset.json has them; case does not matter.
        relative_size: median over the cases of voxels after the crop / voxels before.
    """
    names: list[NormalisationName] = [BY_CHANNEL_NAME.get(channel.casefold(), "zscore") for channel in channels]
    masked = relative_size < MASK_BELOW
    how = ", ".join(f"{channel}: {name}" for channel, name in zip(channels, names, strict=True))
    share = f"the crop to nonzero voxels leaves {wording.percent(relative_size)} of the median case"
    if masked:
        mask_reason = f"{share}, less than 75 %: z-scores are taken inside the nonzero mask"
    else:
        mask_reason = f"{share}, not less than 75 %: statistics are taken over the whole image"
    return NormalisationChoice(
        names, [masked and name == "zscore" for name in names], f"by channel name ({how})", mask_reason
    )
