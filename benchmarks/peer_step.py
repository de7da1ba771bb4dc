"""Runs inside nnU-Net's environment: times steps of its own trainer, or leaves a model to predict with.

The benchmarks call it with nnU-Net's python; it imports nothing of goodfit.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

if TYPE_CHECKING:
    from collections.abc import Iterator

TrainerT = TypeVar("TrainerT", bound=nnUNetTrainer)

LONGEST_FILLING = 180.0
"""Seconds to wait for the loader's queues."""
SETTLING = 5.0
"""Seconds that full queues must stay so; by then each loader process also holds its next batch."""


def build_trainer(dataset: str, configuration: str, kind: type[TrainerT] = nnUNetTrainer) -> TrainerT:
    """Make nnU-Net's trainer, or one derived from it, on the CPU with its plan as it is."""
    folder = Path(str(nnUNet_preprocessed)) / dataset
    plans = json.loads((folder / "nnUNetPlans.json").read_text())
    plans["continue_training"] = False
    description = json.loads((folder / "dataset.json").read_text())
    trainer = kind(plans, configuration, 0, description, torch.device("cpu"))
    trainer.initialize()
    return trainer


def open_loader(trainer: nnUNetTrainer) -> Iterator[dict[str, Any]]:
    """Start nnU-Net's loaders; end the one for validation, which would only take time from the timed steps."""
    training, validation = trainer.get_dataloaders()
    if hasattr(validation, "_finish"):
        validation._finish()
    trainer.set_deep_supervision_enabled(trainer.enable_deep_supervision)
    trainer.network.train()
    return training


def wait_until_filled(loader: Any) -> bool:
    """Wait until the loader's queues are full, as they are in a long training with enough loader processes.

    Without this, the first steps would share the cores with more loading than one batch per step.
    """
    began = full_since = time.monotonic()
    while time.monotonic() - full_since < SETTLING:
        if time.monotonic() - began > LONGEST_FILLING:
            return False
        time.sleep(0.2)
        if not (loader._queue.full() and loader.results_loop_queue.full()):
            full_since = time.monotonic()
    return True


def time_steps(trainer: nnUNetTrainer, loader: Iterator[dict[str, Any]], steps: int) -> list[float]:
    """Seconds of each step: waiting for its batch, forward, backward and update."""
    seconds = []
    for _ in range(steps):
        started = time.perf_counter()
        trainer.train_step(next(loader))
        seconds.append(time.perf_counter() - started)
    return seconds


def save_model(trainer: nnUNetTrainer) -> None:
    """Leave what nnU-Net's prediction reads."""
    base = Path(trainer.output_folder_base)
    (base / "plans.json").write_text(json.dumps(trainer.plans_manager.plans))
    (base / "dataset.json").write_text(json.dumps(trainer.dataset_json))
    trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))


def main() -> None:
    """Warm up, time, write; with --model save a model after the steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", help="name: DatasetNNN_Name")
    parser.add_argument("configuration")
    parser.add_argument("--warmup", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--model", action="store_true")
    options = parser.parse_args()
    trainer = build_trainer(options.dataset, options.configuration)
    loader = open_loader(trainer)
    time_steps(trainer, loader, options.warmup)
    filled = wait_until_filled(loader) if options.out and hasattr(loader, "_queue") else None
    seconds = time_steps(trainer, loader, options.steps)
    if options.model:
        save_model(trainer)
    if options.out:
        settings = trainer.configuration_manager
        result = {
            "seconds": seconds,
            "batch_size": trainer.batch_size,
            "patch_size": [int(size) for size in settings.patch_size],
            "features": list(settings.network_arch_init_kwargs["features_per_stage"]),
            "parameters": sum(p.numel() for p in trainer.network.parameters()),
            "precision": "float32",
            "threads": torch.get_num_threads(),
            "loader_processes": getattr(loader, "num_processes", 0),
            "queues_filled": filled,
            "versions": {name: metadata.version(name) for name in ("nnunetv2", "torch")},
        }
        options.out.write_text(json.dumps(result))
    if hasattr(loader, "_finish"):
        loader._finish()


if __name__ == "__main__":
    main()
