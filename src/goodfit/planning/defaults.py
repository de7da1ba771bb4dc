"""How a plan trains unless told otherwise, with the reason of each value."""

from __future__ import annotations

from typing import Literal

from goodfit.planning.plan import Budget, Training

_SHARED = {
    "momentum": "nnU-Net's for SGD, with Nesterov's correction; AdamW has its own",
    "gradient_clip": "nnU-Net clips the gradient's norm at 12",
    "schedule": "warm-up, stable, cooldown needs no fixed end, so a run can stop when the fit is good (Hägele et al. 2024)",
    "warmup": "a fiftieth of the expected steps, 1000 at most",
    "cooldown_shape": "falls linearly to zero",
    "patience": "epochs without improvement before the cooldown begins",
    "patience_share": "or so large a part of the run: the longer it is, the slower it gains (benchmarks/stopping.py)",
    "min_delta": "a smaller rise of the smoothed metric within the patience is left to the cooldown (benchmarks/stopping.py)",
    "smoothing": "weight of the past per epoch, as in nnU-Net's running Dice: one lucky value is no improvement",
    "validate_every": "once an epoch",
    "checkpoint_seconds": "a killed process loses ten minutes at most",
    "monitor": "Dice of whole validation cases, of the averaged weights",
    "ema": "weights averaged over 5 % of the steps so far (Karras et al. 2024): suits any length of training",
    "oversample_foreground": "nnU-Net centres a third of each batch on foreground",
    "validation_share": "validation may take a tenth of the training time; a fixed subset is used where all cases take more",
    "cooldown": "share of the steps before it: a long one begun early beat a short one begun late (benchmarks/stopping.py)",
}


def default_training(optimizer: Literal["sgd", "adamw"] = "adamw") -> Training:
    """Give the training section for an optimizer; each optimizer has its own learning rate and weight decay."""
    if optimizer == "sgd":
        return Training(
            optimizer="sgd",
            learning_rate=1e-2,
            weight_decay=3e-5,
            reasons={
                **_SHARED,
                "learning_rate": "nnU-Net's for SGD with Nesterov momentum 0.99",
                "weight_decay": "nnU-Net's for SGD",
            },
        )
    return Training(
        reasons={
            **_SHARED,
            "optimizer": "far ahead of SGD under short budgets (docs/log.md, benchmarks/optimizers.py)",
            "learning_rate": "the peak that AdamW was measured with",
            "weight_decay": "on convolutions alone; torch's default for AdamW",
        }
    )


def default_budget() -> Budget:
    """Give nnU-Net's budget: 1000 epochs of 250 steps; the patience usually ends a training before."""
    return Budget(
        reasons={
            "epochs": "nnU-Net's number, as the largest; patience or the time end a training before",
            "steps_per_epoch": "an epoch is 250 steps whatever the size of the dataset (nnU-Net)",
        }
    )
