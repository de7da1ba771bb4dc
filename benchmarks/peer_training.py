"""Runs inside nnU-Net's environment: a whole training of its trainer within a given time.

time_to_quality.py calls it with nnU-Net's python; it imports nothing of goodfit. The trainer is nnU-Net's own: network,
loss, optimizer, augmentation in processes of its own, polynomial schedule. What differs is the length: as many steps as
fit into the time, and the learning rate follows its schedule over these, step by step. Its pseudo-Dice on patches at
the end of each epoch and its validation at the very end are left out, which leaves it more time to train.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib import metadata
from pathlib import Path

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from peer_step import build_trainer, open_loader, save_model

MEASURED_STEPS = 4
"""Steps before the first estimate of how many will fit; the very first one does not count."""
SAVING_SECONDS = 2.0


class TimedTrainer(nnUNetTrainer):
    """nnU-Net's trainer, for a time in place of a number of epochs."""

    def train_for(self, seconds: float) -> dict[str, float | int]:
        """Train so that everything from starting the loaders to saving the weights takes ``seconds``.

        How many steps fit is told by the first ones and set right after each further one, so that the learning rate
        is near zero when the time is up, whatever else happens on the machine.
        """
        began = time.perf_counter()
        loader = open_loader(self)
        deadline = began + seconds - SAVING_SECONDS
        done, first_done = 0, 0.0
        while True:
            now = time.perf_counter()
            if done > 1:
                per_step = (now - first_done) / (done - 1)
                fitting = done + int(max(0.0, deadline - now) / per_step)
                if fitting <= done:
                    break
                if done >= MEASURED_STEPS:
                    self.lr_scheduler.max_steps = fitting
                    self.lr_scheduler.step(done)
            self.train_step(next(loader))
            done += 1
            first_done = time.perf_counter() if done == 1 else first_done
        trained = time.perf_counter()
        save_model(self)
        if hasattr(loader, "_finish"):
            loader._finish()
        return {
            "steps": done,
            "seconds": time.perf_counter() - began,
            "seconds_per_step": (trained - first_done) / max(1, done - 1),
            "last_learning_rate": self.optimizer.param_groups[0]["lr"],
        }


TimedTrainer.__name__ = nnUNetTrainer.__name__  # nnU-Net's prediction looks the trainer up by this name


def main() -> None:
    """Train, write what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", help="name: DatasetNNN_Name")
    parser.add_argument("configuration")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the weights at the beginning")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    trainer = build_trainer(options.dataset, options.configuration, TimedTrainer)
    result = trainer.train_for(60 * options.minutes)
    training, validation = trainer.do_split()
    settings = trainer.configuration_manager
    described = {
        "batch_size": trainer.batch_size,
        "patch_size": [int(size) for size in settings.patch_size],
        "features": list(settings.network_arch_init_kwargs["features_per_stage"]),
        "threads": torch.get_num_threads(),
        "training_cases": sorted(training),
        "validation_cases": sorted(validation),
        "versions": {name: metadata.version(name) for name in ("nnunetv2", "torch")},
    }
    options.out.write_text(json.dumps({**result, **described}))


if __name__ == "__main__":
    main()
