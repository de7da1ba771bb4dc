"""dataset.json: channel names, classes and the other things it says (nnU-Net v2, and v1's older forms)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goodfit.data.labels import Labels
from goodfit.errors import DatasetError
from goodfit.files import read_json

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Description:
    """What dataset.json says.

    Attributes:
        name: of the dataset, or None.
        channels: channel names in file order.
        labels: the classes.
        file_ending: with its leading dot, or None.
        files: case name -> (image paths, label path), as written, or None where the folders are to be listed.
    """

    name: str | None
    channels: tuple[str, ...]
    labels: Labels
    file_ending: str | None
    files: dict[str, tuple[tuple[str, ...], str | None]] | None


def read_description(path: Path) -> Description:
    """Read and check dataset.json; keys it does not need are passed over.

    Raises:
        DatasetError: the file is no JSON, or a field is missing or cannot be; names the field.
    """
    content = read_json(path, DatasetError)
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: should hold a JSON object with channel_names, labels and file_ending.")
    name = content.get("name")
    ending = content.get("file_ending")
    if ending is not None and (not isinstance(ending, str) or not ending.strip(". ")):
        raise DatasetError(f'{path}: file_ending is {ending!r}; write for example ".nii.gz".')
    return Description(
        name=name if isinstance(name, str) and name else None,
        channels=_channels(content, path),
        labels=parse_labels(content.get("labels"), content.get("regions_class_order"), f"{path}: labels"),
        file_ending=None if ending is None else "." + ending.strip().lstrip("."),
        files=_files(content.get("dataset"), path),
    )


def _channels(content: dict[str, Any], path: Path) -> tuple[str, ...]:
    field = "channel_names" if "channel_names" in content else "modality"
    value = content.get(field)
    if isinstance(value, list) and value:
        return tuple(str(name) for name in value)
    if not isinstance(value, dict) or not value:
        raise DatasetError(f'{path}: channel_names is missing. Name the channels: "channel_names": {{"0": "CT"}}.')
    by_index: dict[int, str] = {}
    for key, name in value.items():
        index, text = (name, key) if isinstance(name, int) and not key.isdigit() else (key, name)
        if not str(index).isdigit():
            raise DatasetError(f'{path}: {field} has the key {key!r}; keys are channel numbers: {{"0": "CT"}}.')
        by_index[int(index)] = str(text)
    if sorted(by_index) != list(range(len(value))):
        found = ", ".join(value)
        raise DatasetError(f"{path}: {field} must number the channels 0, 1, ... without a gap; found {found}.")
    return tuple(by_index[index] for index in range(len(by_index)))


def parse_labels(value: object, order: object, where: str) -> Labels:
    """Turn dataset.json's labels and regions_class_order into classes.

    Args:
        value: name -> value or list of values; or value -> name, as nnU-Net v1 wrote it.
        order: regions_class_order: the value to write for each region.
        where: file and field, for messages.

    Raises:
        DatasetError: the labels are missing or contradict themselves.
    """
    if not isinstance(value, dict) or not value:
        raise DatasetError(f'{where}: missing. Name the classes: {{"background": 0, "liver": 1}}.')
    entries = {name: _values(name, item, where) for name, item in _by_name(value, where).items()}
    ignore = _take_ignore(entries, where)
    background = [name for name in entries if name.lower() == "background"]
    for name in background:
        if entries.pop(name) != (0,):
            raise DatasetError(f"{where}: {name!r} must be 0.")
    for name, values in entries.items():
        if 0 in values:
            raise DatasetError(f'{where}: {name!r} holds the value 0, which is the background. Name it "background".')
        if ignore in values:
            raise DatasetError(f"{where}: {name!r} holds the value {ignore} of the ignore label.")
    if not entries:
        raise DatasetError(f"{where}: there is no class besides the background.")
    if not any(len(values) > 1 for values in entries.values()):
        _require_distinct(entries, where)
        return Labels(classes=dict(sorted(entries.items(), key=lambda item: item[1])), ignore=ignore)
    return Labels(classes=entries, ignore=ignore, regions_order=_regions_order(order, entries, where))


def _by_name(value: dict[str, Any], where: str) -> dict[str, Any]:
    legacy = all(isinstance(name, str) and key.lstrip("-").isdigit() for key, name in value.items())
    if not legacy or all(name.isdigit() for name in value.values()):
        return value
    names = [str(name) for name in value.values()]
    if len(set(names)) < len(names):
        raise DatasetError(f"{where}: a class name occurs twice.")
    return {name: int(key) for key, name in value.items()}


def _values(name: str, item: object, where: str) -> tuple[int, ...]:
    parts = item if isinstance(item, list) else [item]
    values = []
    for part in parts:
        number = int(part) if isinstance(part, str) and part.isdigit() else part
        if isinstance(number, float) and number.is_integer():
            number = int(number)
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise DatasetError(f"{where}: {name!r} is {item!r}; a class has an integer from 0 up, or a list of such.")
        values.append(number)
    if not values:
        raise DatasetError(f"{where}: {name!r} is an empty list.")
    return tuple(sorted(set(values)))


def _take_ignore(entries: dict[str, tuple[int, ...]], where: str) -> int | None:
    values = entries.pop("ignore", None)
    if values is None:
        return None
    if len(values) != 1 or values[0] == 0:
        raise DatasetError(f'{where}: "ignore" must be one value above 0.')
    return values[0]


def _require_distinct(entries: dict[str, tuple[int, ...]], where: str) -> None:
    owner: dict[int, str] = {}
    for name, values in entries.items():
        if values[0] in owner:
            raise DatasetError(f"{where}: {owner[values[0]]!r} and {name!r} both have the value {values[0]}.")
        owner[values[0]] = name


def _regions_order(order: object, entries: dict[str, tuple[int, ...]], where: str) -> tuple[int, ...]:
    where = where.replace(": labels", "") + ": regions_class_order"
    if not isinstance(order, list) or not all(isinstance(item, int) for item in order):
        raise DatasetError(f"{where} is missing. With regions, list the value to write for each of {list(entries)}.")
    if len(order) != len(entries):
        raise DatasetError(f"{where} has {len(order)} values for {len(entries)} regions ({', '.join(entries)}).")
    for value, (name, values) in zip(order, entries.items(), strict=True):
        if value not in values:
            raise DatasetError(f"{where}: {value} stands for {name!r}, which consists of {list(values)}.")
    return tuple(order)


def _files(value: object, path: Path) -> dict[str, tuple[tuple[str, ...], str | None]] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not value:
        raise DatasetError(f"{path}: dataset must map each case to its images and label.")
    files = {}
    for case, entry in value.items():
        images = entry.get("images") if isinstance(entry, dict) else None
        if isinstance(images, str):
            images = [images]
        label = entry.get("label") if isinstance(entry, dict) else None
        usable = isinstance(images, list) and images and all(isinstance(image, str) for image in images)
        if not usable or not (label is None or isinstance(label, str)):
            raise DatasetError(
                f'{path}: dataset, case {case!r}: write {{"images": ["path", ...], "label": "path"}}, '
                "paths relative to the dataset folder."
            )
        files[case] = (tuple(images or ()), label)
    return files
