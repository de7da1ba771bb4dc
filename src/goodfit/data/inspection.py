"""Reading one case and saying everything that is wrong with it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.data.geometry import Geometry, Image, geometry_differences
from goodfit.data.layouts import relative
from goodfit.data.problems import Problem
from goodfit.data.readers import read_channels, read_label
from goodfit.errors import DatasetError, ImageFileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from goodfit.data.dataset import Case, Dataset
    from goodfit.data.labels import Labels

    Array = npt.NDArray[Any]

_HEADERS = "If the voxels lie on each other, copy the image's header to this file; otherwise resample it to the image."


@dataclass
class Inspected:
    """One case, read.

    Attributes:
        image: None where it could not be read.
        label: (Z, Y, X), None where there is none or it could not be read.
        problems: what is wrong.
        voxels: label value -> number of voxels, background included.
        image_digest: digest of the image's values; None for an image that holds one value throughout.
        label_digest: digest of the label's values.
    """

    image: Image | None = None
    label: Array | None = None
    problems: list[Problem] = field(default_factory=list)
    voxels: dict[int, int] = field(default_factory=dict)
    image_digest: str | None = None
    label_digest: str | None = None

    @property
    def usable(self) -> bool:
        """Whether nothing but warnings was found."""
        return not any(problem.severity == "error" for problem in self.problems)


def inspect_case(case: Case, dataset: Dataset) -> Inspected:
    """Read a case and check its files one by one and against each other."""
    result = Inspected()
    try:
        array, geometries = read_channels(case.images, len(dataset.channels))
    except DatasetError as error:
        result.problems.append(_from_error(error, case, case.images, dataset.root))
    else:
        result.image = Image(array, geometries[0])
        result.problems += _image_problems(result, geometries, case, dataset.root)
    if case.label is None:
        return result
    try:
        result.label, geometry = read_label(case.label)
    except ImageFileError as error:
        result.problems.append(_from_error(error, case, (case.label,), dataset.root))
        return result
    result.voxels = count_values(result.label)
    result.label_digest = _digest(result.label)
    name = relative(dataset.root, case.label)
    result.problems += _value_problems(result.voxels, dataset.labels, case.name, name)
    if result.image is not None:
        result.problems += _mismatches(result.image, result.label, geometry, case.name, name)
    return result


def count_values(label: Array) -> dict[int, int]:
    """Count the voxels of each value that a label holds."""
    low, high = (int(label.min()), int(label.max())) if label.size else (0, 0)
    if low < 0 or high - low > 255:
        values, counts = np.unique(label, return_counts=True)
        return {int(value): int(count) for value, count in zip(values, counts, strict=True)}
    totals = np.zeros(high + 1, dtype=np.int64)
    flat = label.reshape(-1)
    for start in range(0, flat.size, 1 << 20):  # bincount widens to 64 bits: piece by piece keeps that small
        totals += np.bincount(flat[start : start + (1 << 20)], minlength=high + 1)
    return {value: int(count) for value, count in enumerate(totals) if count}


def _image_problems(result: Inspected, geometries: Sequence[Geometry], case: Case, root: Path) -> list[Problem]:
    assert result.image is not None
    array = result.image.array
    problems = []
    for file, geometry in zip(case.images[1:], geometries[1:], strict=True):
        for difference in geometry_differences(geometry, geometries[0]):
            what = f"differs from {case.images[0].name} in {difference}"
            problems.append(Problem("error", case.name, relative(root, file), what, _HEADERS))
    for index, channel in enumerate(array):
        file = case.images[index if len(case.images) > 1 else 0]
        low, high = (float(channel.min()), float(channel.max())) if channel.size else (0.0, 0.0)
        # The minimum and maximum of an array with a NaN are NaN.
        if not (np.isfinite(low) and np.isfinite(high)):
            count = int(np.count_nonzero(~np.isfinite(channel)))
            what = f"{count} of {channel.size} voxels are NaN or infinite"
            remedy = "Replace them, for example by the background's intensity."
            problems.append(Problem("error", case.name, relative(root, file), what, remedy))
        elif low == high:
            which = f"channel {index} holds" if len(array) > 1 else "the image holds"
            what = f"{which} the value {low:g} throughout"
            problems.append(Problem("warning", case.name, relative(root, file), what, "Look at the file."))
    if array.size and not bool((array == array.flat[0]).all()):
        result.image_digest = _digest(array)
    return problems


def _value_problems(voxels: dict[int, int], labels: Labels, case: str, file: str) -> list[Problem]:
    problems = []
    unknown = {value: count for value, count in voxels.items() if value not in labels.known_values}
    if unknown:
        listed = ", ".join(f"{value} ({count} voxels)" for value, count in list(unknown.items())[:8])
        more = f" and {len(unknown) - 8} other values" if len(unknown) > 8 else ""
        known = ", ".join(str(value) for value in labels.known_values)
        what = f"holds the value {listed}{more}; dataset.json knows {known}"
        remedy = "Correct the label, or add the value to labels in dataset.json."
        problems.append(Problem("error", case, file, what, remedy))
    if not set(voxels) - {0, labels.ignore}:
        what = "the label is empty: it holds no class"
        remedy = "Right if there is nothing to find here; otherwise label the case or remove it."
        problems.append(Problem("warning", case, file, what, remedy))
    return problems


def _mismatches(image: Image, label: Array, geometry: Geometry, case: str, file: str) -> list[Problem]:
    problems = []
    if image.array.shape[1:] != label.shape:
        what = f"shape {_sizes(label)} differs from {_sizes(image.array[0])} of the image"
        remedy = "Resample the label to the image's grid with nearest neighbour."
        problems.append(Problem("error", case, file, what, remedy))
    return problems + [
        Problem("error", case, file, f"differs from the image in {difference}", _HEADERS)
        for difference in geometry_differences(geometry, image.geometry)
    ]


def _from_error(error: DatasetError, case: Case, files: Sequence[Path], root: Path) -> Problem:
    """Turn "FILE: what. Remedy." into a row of the table."""
    text = str(error)
    file = next((file for file in files if text.startswith(f"{file}: ")), files[0])
    what, _, remedy = text.removeprefix(f"{file}: ").partition(". ")
    return Problem("error", case.name, relative(root, file), what.rstrip("."), remedy or "Correct the file.")


def _digest(array: Array) -> str:
    digest = hashlib.blake2b(str(array.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _sizes(array: Array) -> str:
    return "x".join(str(size) for size in array.shape)
