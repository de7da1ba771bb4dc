"""Drawing what happens to each sample of a batch, as plain values that can be recorded and replayed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goodfit.tasks.segmentation.augmentation.previous_stage import PreviousStageParameters, draw_previous
from goodfit.tasks.streams import Purpose, stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.tasks.segmentation.augmentation.settings import AugmentationSettings

_NOISE_SEEDS = 2**48


@dataclass(frozen=True)
class Noise:
    """Gaussian noise: its standard deviation, and the seed of the generator that makes it."""

    deviation: float
    seed: int


@dataclass(frozen=True)
class SampleParameters:
    """What happens to one sample; None (or no axis) where nothing does.

    Attributes:
        rotation: radians about each of three axes, or one angle in the plane.
        scale: distance between sampled points in voxels.
        noise: the noise added to all channels.
        blur: per channel, one sigma per axis in voxels, or None.
        brightness: per channel, a factor.
        contrast: per channel, a factor.
        low_resolution: per channel, the share of voxels kept along an axis, or None.
        gamma_inverted: per channel, an exponent.
        gamma: per channel, an exponent.
        mirror: spatial axes to flip.
        previous: of a cascade, what happens to the previous stage's labels.
    """

    rotation: tuple[float, ...] | None = None
    scale: float | None = None
    noise: Noise | None = None
    blur: tuple[tuple[float, ...] | None, ...] | None = None
    brightness: tuple[float, ...] | None = None
    contrast: tuple[float, ...] | None = None
    low_resolution: tuple[float | None, ...] | None = None
    gamma_inverted: tuple[float, ...] | None = None
    gamma: tuple[float, ...] | None = None
    mirror: tuple[int, ...] = ()
    previous: PreviousStageParameters | None = None

    @property
    def moves(self) -> bool:
        """Whether the sample is rotated or scaled, and so needs the margin of the initial patch."""
        return self.rotation is not None or self.scale is not None


@dataclass(frozen=True)
class Parameters:
    """What happens to a batch: what all samples share, and one entry per sample.

    Of a cascade, ``previous_values`` are the label values of the previous stage that become channels of the image.
    """

    patch_size: tuple[int, ...]
    in_plane: bool
    masked_channels: tuple[int, ...]
    samples: tuple[SampleParameters, ...]
    previous_values: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values only; ``json`` writes and reads them without loss."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Parameters:
        """Undo :meth:`to_dict`, also after a way through JSON, which knows no tuples."""
        samples = []
        for sample in value["samples"]:
            fields = {name: _tuples(entry) for name, entry in sample.items() if name not in ("noise", "previous")}
            noise = None if sample["noise"] is None else Noise(**sample["noise"])
            found = sample.get("previous")
            previous = None if found is None else PreviousStageParameters.from_dict(found)
            samples.append(SampleParameters(noise=noise, previous=previous, **fields))
        return cls(
            patch_size=_tuples(value["patch_size"]),
            in_plane=value["in_plane"],
            masked_channels=_tuples(value["masked_channels"]),
            samples=tuple(samples),
            previous_values=_tuples(value.get("previous_values", ())),
        )


def _tuples(value: Any) -> Any:
    return tuple(_tuples(entry) for entry in value) if isinstance(value, list | tuple) else value


class _Uniforms:
    """The uniform numbers of one sample, taken one after the other."""

    def __init__(self, numbers: list[float]) -> None:
        self._numbers = iter(numbers)

    def take(self) -> float:
        return next(self._numbers)

    def happens(self, probability: float) -> bool:
        return self.take() < probability

    def between(self, bounds: tuple[float, float]) -> float:
        return bounds[0] + self.take() * (bounds[1] - bounds[0])

    def factor(self, bounds: tuple[float, float]) -> float:
        """A factor below 1 or above 1 with equal probability, uniform on its side (nnU-Net: BGContrast)."""
        below = self.happens(0.5)
        return self.between((bounds[0], 1.0) if below else (1.0, bounds[1]))

    def factors(self, channels: int, bounds: tuple[float, float]) -> tuple[float, ...]:
        return tuple(self.factor(bounds) for _ in range(channels))


def draw(settings: AugmentationSettings, seed: int, step: int, batch_size: int, channels: int) -> Parameters:
    """Draw the parameters of one batch, a pure function of the arguments.

    A sample's parameters depend on its position in the batch, not on the size of the batch.

    Args:
        settings: ranges and probabilities.
        seed: seed of the run, not negative.
        step: optimizer step, not negative.
        batch_size: number of samples.
        channels: number of image channels.
    """
    # The most that _draw_sample takes: gates, angles, scale, noise and mirrors, then what each channel needs.
    width = 12 + 2 * settings.dims + channels * (11 + settings.dims)
    rows = stream(Purpose.AUGMENTATION, seed, step).random((batch_size, width)).tolist()
    samples = [_draw_sample(settings, _Uniforms(row), channels) for row in rows]
    if settings.previous is not None:
        more = stream(Purpose.PREVIOUS_STAGE, seed, step).random((batch_size, settings.previous.numbers)).tolist()
        samples = [
            dataclasses.replace(sample, previous=draw_previous(settings.previous, row))
            for sample, row in zip(samples, more, strict=True)
        ]
    return Parameters(
        patch_size=settings.patch_size,
        in_plane=settings.in_plane,
        masked_channels=settings.masked_channels,
        samples=tuple(samples),
        previous_values=() if settings.previous is None else settings.previous.values,
    )


def _draw_sample(settings: AugmentationSettings, uniforms: _Uniforms, channels: int) -> SampleParameters:
    angles = 1 if settings.in_plane or settings.dims == 2 else 3
    rotation = scale = noise = brightness = contrast = gamma_inverted = gamma = None
    if uniforms.happens(settings.p_rotation):
        rotation = tuple(uniforms.between(settings.rotation) for _ in range(angles))
    if uniforms.happens(settings.p_scaling):
        scale = uniforms.between(settings.scaling)
    if uniforms.happens(settings.p_noise):
        noise = Noise(uniforms.between(settings.noise), int(uniforms.take() * _NOISE_SEEDS))
    blur = _draw_blur(settings, uniforms, channels)
    if uniforms.happens(settings.p_brightness):
        brightness = uniforms.factors(channels, settings.brightness)
    if uniforms.happens(settings.p_contrast):
        contrast = uniforms.factors(channels, settings.contrast)
    low_resolution = _draw_low_resolution(settings, uniforms, channels)
    if uniforms.happens(settings.p_gamma_inverted):
        gamma_inverted = uniforms.factors(channels, settings.gamma)
    if uniforms.happens(settings.p_gamma):
        gamma = uniforms.factors(channels, settings.gamma)
    return SampleParameters(
        rotation=rotation,
        scale=scale,
        noise=noise,
        blur=blur,
        brightness=brightness,
        contrast=contrast,
        low_resolution=low_resolution,
        gamma_inverted=gamma_inverted,
        gamma=gamma,
        mirror=tuple(axis for axis in settings.mirror_axes if uniforms.happens(settings.p_mirror)),
    )


def _draw_blur(
    settings: AugmentationSettings, uniforms: _Uniforms, channels: int
) -> tuple[tuple[float, ...] | None, ...] | None:
    if not uniforms.happens(settings.p_blur):
        return None
    sigmas: list[tuple[float, ...] | None] = []
    for _ in range(channels):
        chosen = uniforms.happens(settings.p_blur_channel)
        sigmas.append(tuple(uniforms.between(settings.blur) for _ in range(settings.dims)) if chosen else None)
    return tuple(sigmas) if any(sigmas) else None


def _draw_low_resolution(
    settings: AugmentationSettings, uniforms: _Uniforms, channels: int
) -> tuple[float | None, ...] | None:
    if not uniforms.happens(settings.p_low_resolution):
        return None
    shares: list[float | None] = []
    for _ in range(channels):
        chosen = uniforms.happens(settings.p_low_resolution_channel)
        shares.append(uniforms.between(settings.low_resolution) if chosen else None)
    return tuple(shares) if any(shares) else None
