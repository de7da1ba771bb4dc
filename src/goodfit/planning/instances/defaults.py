"""How a detector trains unless told otherwise, with the reason of each value."""

from __future__ import annotations

from typing import Literal

from goodfit.planning.instances.learning_rate import WEIGHT_DECAY, choose_learning_rate
from goodfit.planning.instances.plan import InstanceTraining
from goodfit.planning.plan import Budget

EPOCHS = 200
GRADIENT_CLIP = 10.0


def default_instance_training(
    optimizer: Literal["sgd", "adamw"] = "adamw", *, batch_size: int = 4, masks: bool = True
) -> InstanceTraining:
    """Give the training section for an optimizer and a batch size.

    Args:
        optimizer: each has its own learning rate and weight decay.
        batch_size: frames of a step; the learning rate is in proportion to it.
        masks: whether the average precision is that of masks.
    """
    rate = choose_learning_rate(optimizer, batch_size)
    return InstanceTraining(
        optimizer=optimizer,
        learning_rate=rate.value,
        weight_decay=WEIGHT_DECAY[optimizer],
        gradient_clip=GRADIENT_CLIP,
        reasons={
            "optimizer": "as for segmentation, where it is far ahead of SGD under short budgets"
            if optimizer == "adamw"
            else "given",
            "learning_rate": rate.reason,
            "weight_decay": "published together with the learning rate",
            "gradient_clip": "losses of a step sum to a few units; this stops only what would throw the weights off",
            "schedule": "warm-up, stable, cooldown needs no fixed end, so a run can stop when the fit is good "
            "(Hägele et al. 2024)",
            "warmup": "a fiftieth of the expected steps",
            "cooldown": "share of the steps before it: a long one that begins early beat a short one that begins late "
            "(benchmarks/stopping.py)",
            "cooldown_shape": "falls linearly to zero",
            "patience": "epochs without improvement before the cooldown begins",
            "patience_share": "or so long a part of the run, if that is more: the longer a run, the slower it gains "
            "(benchmarks/stopping.py)",
            "momentum": "of SGD; Detectron2's and torchvision's",
            "smoothing": "weight of the past per epoch, as in nnU-Net's running Dice: one lucky value is no improvement",
            "validate_every": "once an epoch",
            "checkpoint_seconds": "a killed process loses ten minutes at most",
            "min_delta": "a smaller rise of the smoothed metric within the patience is left to the cooldown "
            "(benchmarks/stopping.py)",
            "monitor": f"COCO's average precision of {'masks' if masks else 'boxes'} on whole validation frames, "
            "of the averaged weights",
            "ema": "weights averaged over 5 % of the steps so far (Karras et al. 2024): suits any length of training",
            "validation_share": "validation may take a tenth of the training time; a fixed subset is used where all "
            "frames take more",
        },
    )


def default_instance_budget() -> Budget:
    """Give the largest budget: 200 epochs of 250 steps; the patience usually ends a training before."""
    return Budget(
        epochs=EPOCHS,
        reasons={
            "epochs": f"{EPOCHS * 250:,} steps, the longest that detectors of such sets are usually given; patience or "
            "the time end a training before",
            "steps_per_epoch": "an epoch is 250 steps whatever the size of the dataset",
        },
    )
