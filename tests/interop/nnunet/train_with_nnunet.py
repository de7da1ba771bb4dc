"""Let nnU-Net train two steps on a folder of preprocessed cases and score a fold, for the tests.

``python train_with_nnunet.py DATASET CONFIGURATION FOLD`` with nnU-Net's three environment variables set.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch


def main(dataset: str, configuration: str, fold: int) -> None:
    """Train, validate and print the mean loss and the summary of the scores."""
    from nnunetv2.paths import nnUNet_preprocessed
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    class Short(nnUNetTrainer):
        """Two steps."""

        def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict, device: torch.device):
            super().__init__(plans, configuration, fold, dataset_json, device)
            self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 1, 2, 1

    place = Path(nnUNet_preprocessed) / dataset
    plans, dataset_json = (json.loads((place / name).read_text()) for name in ("nnUNetPlans.json", "dataset.json"))
    plans["continue_training"] = False  # as nnUNetv2_train adds it
    trainer = Short(plans, configuration, fold, dataset_json, device=torch.device("cpu"))
    trainer.run_training()
    trainer.perform_actual_validation(False)
    summary = json.loads((Path(trainer.output_folder) / "validation" / "summary.json").read_text())
    cases = sorted(Path(case["prediction_file"]).name for case in summary["metric_per_case"])
    Path("trained.json").write_text(json.dumps({"cases": cases, "steps": 2}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
