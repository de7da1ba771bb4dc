"""Opening a folder of nnUNet_preprocessed as a dataset: its cases are arrays, not images."""

from __future__ import annotations

from pathlib import Path

from goodfit.data.description import read_description
from goodfit.data.formats import list_images, stem_of
from goodfit.data.layouts import CaseFiles
from goodfit.data.problems import Problem
from goodfit.errors import DatasetError

REFERENCES = "gt_segmentations"
"""Folder of the label files in their original geometry."""
_LABEL = "_seg"


def is_preprocessed(root: Path) -> bool:
    """Whether a folder is one of nnUNet_preprocessed: dataset.json and gt_segmentations/ without images."""
    root = Path(root).expanduser()
    if not (root / "dataset.json").is_file() or (root / "imagesTr").exists():
        return False
    return (root / REFERENCES).is_dir() or bool(data_folders(root))


def data_folders(root: Path) -> list[Path]:
    """The folders of preprocessed arrays in it, by name."""
    return sorted(
        folder for folder in root.iterdir() if folder.is_dir() and next(folder.glob("*.b2nd"), None) is not None
    )


def preprocessed_cases(root: Path) -> tuple[dict[str, CaseFiles], list[Problem]]:
    """List the cases: names from the arrays of all configurations, labels from gt_segmentations.

    Returns:
        The cases, whose images are their arrays in each data folder, and a problem for each without a label file.

    Raises:
        DatasetError: there are no arrays, or only such as older releases of nnU-Net wrote.
    """
    folders = data_folders(root)
    if not folders:
        old = any(next(folder.glob("*.np[yz]"), None) for folder in root.iterdir() if folder.is_dir())
        what = "the arrays are .npz, of a release before 2.6" if old else "there are no preprocessed arrays (.b2nd)"
        raise DatasetError(f"{root}: {what}. Run nnUNetv2_preprocess of nnU-Net 2.6 or later, or give the raw dataset.")
    ending = read_description(root / "dataset.json").file_ending
    references = root / REFERENCES
    labels = {stem_of(file.name, ending): file for file in (list_images(references) if references.is_dir() else [])}
    arrays: dict[str, list[Path]] = {}
    for folder in folders:
        for file in sorted(folder.glob("*.b2nd")):
            name = file.name.removesuffix(".b2nd")
            # CASE_seg.b2nd is the label of CASE, unless no such image is there.
            if not (name.endswith(_LABEL) and (folder / f"{name.removesuffix(_LABEL)}.b2nd").is_file()):
                arrays.setdefault(name, []).append(file)
    found, problems = {}, []
    for name, files in sorted(arrays.items()):
        if name in labels:
            found[name] = CaseFiles(tuple(files), labels[name])
        else:
            what, remedy = f"{REFERENCES} has no label file of this case", "Copy it from labelsTr of the raw dataset."
            problems.append(Problem("error", name, str(files[0].relative_to(root)), what, remedy))
    return found, problems
