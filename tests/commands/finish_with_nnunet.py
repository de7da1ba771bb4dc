"""Let nnU-Net do what comes after training, for the tests: ``python finish_with_nnunet.py JOBS.json``.

Each job names a function below and its arguments.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PLANS = {"image_reader_writer": "SimpleITKIO", "label_manager": "LabelManager", "plans_name": "nnUNetPlans"}


def determine(predictions: str, references: str, dataset_json: dict[str, Any]) -> None:
    """Decide the postprocessing; writes postprocessing.json and the folder postprocessed among the predictions."""
    from nnunetv2.postprocessing.remove_connected_components import determine_postprocessing

    determine_postprocessing(predictions, references, PLANS, dataset_json, 1, True)


def ensemble(folders: list[str], output: str, dataset_json: dict[str, Any]) -> None:
    """Average folders of probabilities."""
    from nnunetv2.ensembling.ensemble import ensemble_folders

    ensemble_folders(folders, output, True, 1, dataset_json, PLANS)


def predict(model: str, folds: list[str], images: list[str], output: str, mirror: bool, step_size: float) -> None:
    """Predict with the mean of folds, keeping probabilities."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(
        tile_step_size=step_size,
        use_mirroring=mirror,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    predictor.initialize_from_trained_model_folder(model, folds, "checkpoint_final.pth")
    names = [Path(image).name.removesuffix("_0000.nii.gz") for image in images]
    targets = [str(Path(output) / name) for name in names]
    Path(output).mkdir(parents=True)
    predictor.predict_from_files_sequential([[image] for image in images], targets, save_probabilities=True)


def convert_msd(source: str) -> None:
    """Convert a decathlon dataset into nnUNet_raw."""
    from nnunetv2.dataset_conversion.convert_MSD_dataset import convert_msd_dataset

    convert_msd_dataset(source, None, 1)


if __name__ == "__main__":
    # Processes that each import nnU-Net would take most of the time; what they compute is the same in threads.
    multiprocessing.get_context = lambda _=None: SimpleNamespace(Pool=ThreadPool)
    jobs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for job in jobs:
        globals()[job["call"]](**job["arguments"])
