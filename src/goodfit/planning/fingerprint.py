"""The fingerprint: what was measured of a dataset and all that the planner gets to see of it."""

from __future__ import annotations

import logging
import os
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from goodfit.errors import DatasetError
from goodfit.files import read_json, write_text
from goodfit.planning.measurement import CaseMeasurement, measure_case, values_per_case
from goodfit.planning.plan import IntensityStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from goodfit.data.dataset import Case, Dataset

logger = logging.getLogger(__name__)

FINGERPRINT_VERSION: Literal[1] = 1


class Fingerprint(BaseModel):
    """Measurements of the labelled cases; lists run over ``cases``, triples are (z, y, x)."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = FINGERPRINT_VERSION
    key: str
    """Digest of the dataset's content that was measured."""
    cases: list[str]
    spacings: list[tuple[PositiveFloat, PositiveFloat, PositiveFloat]]
    """In mm."""
    shapes_before_crop: list[tuple[PositiveInt, PositiveInt, PositiveInt]]
    shapes_after_crop: list[tuple[PositiveInt, PositiveInt, PositiveInt]]
    """Shape of the smallest box that holds all nonzero voxels."""
    relative_size_after_crop: float
    """Median over the cases of voxels after the crop / voxels before."""
    intensities: list[IntensityStatistics]
    """Foreground intensities of each channel, every case weighing the same."""
    class_voxels: dict[str, dict[int, NonNegativeInt]]
    """Case -> label value -> voxels, for values but 0 that occur."""


def combine(measurements: Iterable[CaseMeasurement], key: str) -> Fingerprint:
    """Put the measurements of all cases together; their order does not matter.

    Args:
        measurements: one per labelled case, all made with the same number of values.
        key: digest of the dataset's content.

    Raises:
        DatasetError: there are no cases, none has foreground, or they differ in the number of channels.
    """
    ordered = sorted(measurements, key=lambda measurement: measurement.case)
    if not ordered:
        raise DatasetError("the dataset has no labelled cases to measure.")
    labelled = [measurement for measurement in ordered if measurement.channels]
    if not labelled:
        raise DatasetError(
            "no case has a labelled voxel inside its image: every label file is empty. Check the labels."
        )
    channels = len(labelled[0].channels)
    for measurement in labelled:
        if len(measurement.channels) != channels:
            raise DatasetError(
                f"{measurement.case}: {len(measurement.channels)} channels where {labelled[0].case} has {channels}."
            )
    return Fingerprint(
        key=key,
        cases=[measurement.case for measurement in ordered],
        spacings=[measurement.spacing for measurement in ordered],
        shapes_before_crop=[measurement.shape_before_crop for measurement in ordered],
        shapes_after_crop=[measurement.shape_after_crop for measurement in ordered],
        relative_size_after_crop=float(np.median([measurement.relative_size for measurement in ordered])),
        intensities=[_combine_channel(labelled, channel) for channel in range(channels)],
        class_voxels={measurement.case: measurement.class_voxels for measurement in ordered},
    )


def _combine_channel(measurements: list[CaseMeasurement], channel: int) -> IntensityStatistics:
    """Statistics of the mixture in which every case weighs the same (as nnU-Net's equal samples per case do)."""
    parts = [measurement.channels[channel] for measurement in measurements]
    means = np.array([part.mean for part in parts])
    values = np.concatenate([part.values for part in parts])
    low, median, high = np.percentile(values, (0.5, 50, 99.5)).tolist()
    return IntensityStatistics(
        mean=float(means.mean()),
        median=median,
        std=float(np.sqrt(np.mean([part.variance for part in parts]) + means.var())),
        minimum=min(part.minimum for part in parts),
        maximum=max(part.maximum for part in parts),
        percentile_00_5=low,
        percentile_99_5=high,
    )


def measure(
    dataset: Dataset, key: str, *, workers: int | None = None, on_progress: Callable[[int, int], None] | None = None
) -> Fingerprint:
    """Read all labelled cases in threads, one case per worker in memory, and measure them.

    Args:
        dataset: its labelled cases are read.
        key: digest of the dataset's content, recorded in the fingerprint.
        workers: threads; None takes one per processor.
        on_progress: called with (cases done, cases) from the calling thread.

    Raises:
        DatasetError: a case cannot be read or measured; the remaining cases are not read.
    """
    cases = dataset.cases
    values = values_per_case(len(cases))
    measured: list[CaseMeasurement] = []
    pool = ThreadPoolExecutor(max_workers=workers or os.cpu_count() or 1, thread_name_prefix="fingerprint")
    try:
        pending: set[Future[CaseMeasurement]] = {
            pool.submit(_read_and_measure, case, len(dataset.channels), values) for case in cases
        }
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            measured.extend(future.result() for future in done)
            if on_progress is not None:
                on_progress(len(measured), len(cases))
    finally:
        pool.shutdown(cancel_futures=True)
    logger.debug("measured %d cases of %s", len(measured), dataset.name)
    return combine(measured, key)


def _read_and_measure(case: Case, channels: int, values: int) -> CaseMeasurement:
    from goodfit.data.readers import read_image, read_label

    assert case.label is not None  # a dataset's labelled cases have labels
    label, _ = read_label(case.label)
    return measure_case(case.name, read_image(case.images, channels), label, values=values)


def save_fingerprint(fingerprint: Fingerprint, path: Path) -> None:
    """Write the fingerprint atomically as JSON."""
    write_text(path, fingerprint.model_dump_json(indent=1) + "\n")


def load_fingerprint(path: Path) -> Fingerprint:
    """Read a fingerprint.

    Raises:
        DatasetError: the file is missing, is no JSON or no fingerprint of this version.
    """
    try:
        return Fingerprint.model_validate(read_json(path, DatasetError))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DatasetError(
            f"{path}: no valid fingerprint ({field}: {first['msg']}). Delete the file to measure anew."
        ) from error
