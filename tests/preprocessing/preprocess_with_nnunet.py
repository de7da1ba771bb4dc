"""Let nnU-Net preprocess cases, for the tests: ``python preprocess_with_nnunet.py FOLDER ...`` writes FOLDER/CASE.npz.

Each folder has a job.json with "plans" (of nnUNetPlans.json), "dataset_json", "configuration" and "cases", name ->
{"images", "label"}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np


def preprocess(folder: Path) -> None:
    """Preprocess every case of a job."""
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    plans = PlansManager(job["plans"])
    configuration = plans.get_configuration(job["configuration"])
    preprocessor = DefaultPreprocessor(verbose=False)
    for name, files in job["cases"].items():
        image, label, properties = preprocessor.run_case(
            files["images"], files["label"], plans, configuration, job["dataset_json"]
        )
        np.savez(
            folder / f"{name}.npz",
            image=np.asarray(image, dtype=np.float32),
            label=np.asarray(label),
            box=np.asarray(properties["bbox_used_for_cropping"]),
            shape_before=np.asarray(properties["shape_before_cropping"]),
            shape_after=np.asarray(properties["shape_after_cropping_and_before_resampling"]),
            counts=np.asarray([[key, len(found)] for key, found in properties["class_locations"].items()]),
        )


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        preprocess(Path(argument))
