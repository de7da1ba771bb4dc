"""Datasets of the Medical Segmentation Decathlon as nnU-Net's raw layout, which goodfit reads.

The decathlon keeps the channels of a case as the fourth axis of one file, names them ``modality`` and maps label values
to names. The raw layout has a file for each channel and maps names to values (nnU-Net: convert_MSD_dataset).
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from goodfit.data.formats import ending_of, list_images, stem_of
from goodfit.data.nifti import require_whole_nifti
from goodfit.errors import DatasetError, ImageFileError
from goodfit.files import read_json, replacing, write_json

if TYPE_CHECKING:
    from collections.abc import Callable

    import SimpleITK

ENDING = ".nii.gz"
_SHOWN = 5


@dataclass(frozen=True)
class Converted:
    """What a conversion made.

    Attributes:
        folder: the dataset.
        channels: names, in file order.
        training: labelled cases.
        test: cases without a label.
        notes: what the user should know.
    """

    folder: Path
    channels: tuple[str, ...]
    training: int
    test: int
    notes: list[str] = field(default_factory=list)


def convert_msd(source: Path, target: Path, *, on_progress: Callable[[int, int], None] | None = None) -> Converted:
    """Turn a decathlon dataset into nnU-Net's raw layout.

    ``dataset.json`` is written last: what was interrupted is no dataset yet, and the same call does it again.

    Args:
        source: folder with dataset.json, imagesTr, labelsTr and maybe imagesTs. Hidden files (``._x``) are passed over.
        target: the dataset to make; by nnU-Net's custom named like Dataset004_Hippocampus.
        on_progress: called with (files done, all files).

    Raises:
        DatasetError: the source is no decathlon dataset, files are missing or damaged, or the target is a dataset already.
    """
    description = _read(source)
    if (target / "dataset.json").exists():
        raise DatasetError(f"{target}: there is a dataset already. Choose another folder, or remove it first.")
    if target.resolve() == source.resolve():
        raise DatasetError(f"{target}: is the source itself, which stays as it is. Choose another folder.")
    channels, notes = _channels(description, source), []
    training = {stem_of(file.name): file for file in _files(source / "imagesTr")}
    labels = {stem_of(file.name): file for file in _files(source / "labelsTr")}
    test = {stem_of(file.name): file for file in _files(source / "imagesTs")} if (source / "imagesTs").is_dir() else {}
    _require_listed(description, source, training, labels)
    _require(
        not training.keys() ^ labels.keys(), source, training.keys() ^ labels.keys(), "have image or label, not both"
    )
    if not (source / "imagesTs").is_dir():
        notes.append(f"{source}: there is no imagesTs, so there are no test images")
    jobs: list[tuple[Path, Path, str | None]] = []
    jobs += [(file, target / "imagesTr", name) for name, file in training.items()]
    jobs += [(file, target / "imagesTs", name) for name, file in test.items()]
    jobs += [(file, target / "labelsTr", None) for file in labels.values()]
    _convert_files(jobs, len(channels), on_progress)
    kept = {key: value for key, value in description.items() if key not in ("modality", "training", "test")}
    names = {str(name): int(value) for value, name in description["labels"].items()}
    numbered = {str(index): name for index, name in enumerate(channels)}
    kept |= {"labels": names, "file_ending": ENDING, "channel_names": numbered}
    write_json(target / "dataset.json", kept)
    return Converted(target, channels, len(training), len(test), notes)


def _read(source: Path) -> dict[str, Any]:
    if not source.is_dir():
        raise DatasetError(f"{source}: there is no such folder.")
    for name in ("imagesTr", "labelsTr"):
        if not (source / name).is_dir():
            raise DatasetError(
                f"{source}: the folder {name} is not there. Give a dataset of the decathlon, like Task04_X."
            )
    content = read_json(source / "dataset.json", DatasetError)
    if not isinstance(content, dict) or "modality" not in content:
        raise DatasetError(
            f"{source / 'dataset.json'}: has no modality, so this is no decathlon dataset. One in nnU-Net's raw layout needs "
            "no conversion."
        )
    labels = content.get("labels")
    if not isinstance(labels, dict) or not all(str(value).isdigit() for value in labels):
        raise DatasetError(f'{source / "dataset.json"}: labels should map values to names: {{"0": "background", ...}}.')
    if len(set(labels.values())) < len(labels):
        raise DatasetError(f"{source / 'dataset.json'}: labels: a name occurs twice.")
    return content


def _channels(description: dict[str, Any], source: Path) -> tuple[str, ...]:
    modality = description["modality"]
    if not isinstance(modality, dict) or sorted(modality) != sorted(str(index) for index in range(len(modality))):
        raise DatasetError(f'{source / "dataset.json"}: modality should number the channels: {{"0": "T1", "1": "T2"}}.')
    return tuple(str(modality[str(index)]) for index in range(len(modality)))


def _files(folder: Path) -> list[Path]:
    """The images of a folder; those that a Mac leaves beside them (``._x``) are none."""
    return [file for file in list_images(folder, ENDING) if not file.name.startswith("_")]


def _require_listed(
    description: dict[str, Any], source: Path, training: dict[str, Path], labels: dict[str, Path]
) -> None:
    """Refuse a folder that lacks what its list names."""
    listed = description.get("training", [])
    pairs = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    for field_name, there in (("image", training), ("label", labels)):
        names = {stem_of(PurePosixPath(str(entry.get(field_name))).name) for entry in pairs if entry.get(field_name)}
        _require(
            names <= there.keys(),
            source,
            names - there.keys(),
            f"are listed with a file in {field_name}sTr that is not there",
        )


def _require(holds: bool, source: Path, names: set[str], what: str) -> None:
    if not holds:
        some = ", ".join(sorted(names)[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        raise DatasetError(f"{source}: these cases {what}: {some}. Copy the dataset anew, or remove them.")


def _convert_files(
    jobs: list[tuple[Path, Path, str | None]], channels: int, on_progress: Callable[[int, int], None] | None
) -> None:
    """Copy or take apart each file; all that fail are named together."""
    for folder in {folder for _, folder, _ in jobs}:
        folder.mkdir(parents=True, exist_ok=True)
    problems = []
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(_convert_file, *job, channels) for job in jobs]
        for done, future in enumerate(futures, start=1):
            try:
                future.result()
            except DatasetError as error:
                problems.append(f"  {error}")
            if on_progress is not None:
                on_progress(done, len(jobs))
    if problems:
        more = [f"  and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise DatasetError("\n".join([f"{len(problems)} files cannot be converted:", *problems[:_SHOWN], *more]))


def _convert_file(file: Path, folder: Path, case: str | None, channels: int) -> None:
    """Copy a label or a 3D image; write a file for each channel of a 4D image, in its own number type."""
    import SimpleITK

    require_whole_nifti(file)
    if case is None:
        _copy(file, folder / file.name)
        return
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
        found = reader.GetSize()[3] if reader.GetDimension() == 4 else 1
        if reader.GetDimension() not in (3, 4) or found != channels:
            raise ImageFileError(
                f"{file}: {reader.GetDimension()} axes with {found} channels; dataset.json names {channels}."
            )
        if reader.GetDimension() == 3:
            _copy(file, folder / f"{case}_0000{ending_of(file.name)}")
            return
        image = reader.Execute()
    except RuntimeError as error:
        raise ImageFileError(f"{file}: ITK cannot read it. Copy it anew from its source.") from error
    for channel in range(channels):
        with replacing(folder / f"{case}_{channel:04d}{ENDING}") as temporary:
            SimpleITK.WriteImage(_channel(image, channel), str(temporary), useCompression=True)


def _channel(image: SimpleITK.Image, channel: int) -> SimpleITK.Image:
    """One volume of a 4D image, with the first three axes of its geometry."""
    import numpy as np
    import SimpleITK

    volume = SimpleITK.GetImageFromArray(SimpleITK.GetArrayViewFromImage(image)[channel])
    volume.SetSpacing(image.GetSpacing()[:3])
    volume.SetOrigin(image.GetOrigin()[:3])
    volume.SetDirection(np.asarray(image.GetDirection()).reshape(4, 4)[:3, :3].ravel().tolist())
    return volume


def _copy(source: Path, target: Path) -> None:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
