"""SOLVER and TEST.EVAL_PERIOD: batch, optimiser, schedule, budget."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goodfit.interop.detectron2.config_ledger import Ledger

MAX_ITER, FIRST_DROP = 40_000, 30_000
"""Detectron2's defaults, for values that mean nothing without."""
STEPS_PER_EPOCH = 250
SHORTEST_EPOCH, LONGEST_EPOCH = 100, 500


def translate_solver(ledger: Ledger) -> None:
    """Book SOLVER.* and TEST.EVAL_PERIOD."""
    _optimizer(ledger)
    _budget(ledger)
    _schedule(ledger)
    _gradient(ledger)
    if "TEST.EVAL_PERIOD" in ledger:
        period = ledger.whole("TEST.EVAL_PERIOD")
        if period:
            ledger.put("TEST.EVAL_PERIOD", "training.validate_every", f"{period} step{'' if period == 1 else 's'}")
        else:
            ledger.ignore("TEST.EVAL_PERIOD", "0 means never during the training, but validation decides when to stop")
    ledger.ignore_all(
        {
            "SOLVER.CHECKPOINT_PERIOD": "checkpoints are written after every epoch: best, last and the one before the "
            "cooldown",
            "SOLVER.REFERENCE_WORLD_SIZE": "the batch size is that of all processes together, and stays",
            "SOLVER.BIAS_LR_FACTOR": "one learning rate holds for all parameters",
            "SOLVER.WEIGHT_DECAY_NORM": "one weight decay holds for all parameters that are decayed",
            "SOLVER.WEIGHT_DECAY_BIAS": "one weight decay holds for all parameters that are decayed",
        }
    )


def epoch_length(steps: int) -> int:
    """Give the divisor of a number of steps that is nearest to 250, or 250 where none is between 100 and 500."""
    if steps < SHORTEST_EPOCH:
        return max(1, steps)
    divisors = [length for length in range(SHORTEST_EPOCH, LONGEST_EPOCH + 1) if steps % length == 0]
    return min(divisors, key=lambda length: abs(math.log(length / STEPS_PER_EPOCH)), default=STEPS_PER_EPOCH)


def _optimizer(ledger: Ledger) -> None:
    if "SOLVER.IMS_PER_BATCH" in ledger:
        ledger.put("SOLVER.IMS_PER_BATCH", "plan.batch_size", ledger.whole("SOLVER.IMS_PER_BATCH", least=1))
    sgd = {"training.optimizer": "sgd"}
    for key, name in (
        ("SOLVER.BASE_LR", "training.learning_rate"),
        ("SOLVER.WEIGHT_DECAY", "training.weight_decay"),
        ("SOLVER.MOMENTUM", "training.momentum"),
    ):
        if key in ledger:
            value = ledger.number(key, least=0)
            ledger.honour(key, f"{name}, with training.optimizer = sgd, which it is made for", {name: value, **sgd})
    if "SOLVER.NESTEROV" in ledger:
        ledger.ignore("SOLVER.NESTEROV", "the form of the momentum is not a setting")
    if "SOLVER.AMP.ENABLED" in ledger:
        precision = "bfloat16" if ledger.flag("SOLVER.AMP.ENABLED") else "float32"
        ledger.put("SOLVER.AMP.ENABLED", "training.precision", precision)


def _budget(ledger: Ledger) -> None:
    key = "SOLVER.MAX_ITER"
    if key not in ledger:
        return
    steps = ledger.whole(key, least=1)
    length = epoch_length(steps)
    epochs = math.ceil(steps / length)
    more = f", {epochs * length - steps} steps more" if epochs * length > steps else ""
    ledger.honour(
        key,
        f"budget.epochs = {epochs} of budget.steps_per_epoch = {length}{more}; the patience may end it before",
        {"budget.epochs": epochs, "budget.steps_per_epoch": length},
    )


def _schedule(ledger: Ledger) -> None:
    steps = ledger.whole("SOLVER.MAX_ITER", MAX_ITER, least=1)
    if "SOLVER.STEPS" in ledger:
        drops = [step for step in ledger.numbers("SOLVER.STEPS") if 0 < step < steps]
        share = round((steps - min(drops)) / min(drops), 4) if drops else 0.0
        where = (
            f"training.cooldown = {share:g}: it begins where the first drop was, and falls to 0 in a line"
            if drops
            else "training.cooldown = 0: there is no drop"
        )
        ledger.honour("SOLVER.STEPS", where, {"training.cooldown": share, "training.schedule": "wsd"})
    if "SOLVER.WARMUP_ITERS" in ledger:
        share = round(min(1.0, ledger.whole("SOLVER.WARMUP_ITERS") / steps), 6)
        ledger.put("SOLVER.WARMUP_ITERS", "training.warmup", share)
    key = "SOLVER.WARMUP_METHOD"
    if key in ledger:
        if ledger.text(key) == "linear":
            ledger.honour(key, "the warm-up always rises in a line")
        else:
            ledger.ignore(key, "the warm-up always rises in a line")
    key = "SOLVER.LR_SCHEDULER_NAME"
    if key in ledger:
        if ledger.text(key) == "WarmupMultiStepLR":
            ledger.honour(key, "training.schedule = wsd, the nearest to it", {"training.schedule": "wsd"})
        else:
            ledger.ignore(key, "there are wsd (warm-up, stable, cooldown) and poly")
    cooldown = "the cooldown falls to 0 in a line (or as training.cooldown_shape says), not in drops"
    ledger.ignore_all(
        {
            "SOLVER.GAMMA": cooldown,
            "SOLVER.NUM_DECAYS": cooldown,
            "SOLVER.BASE_LR_END": cooldown,
            "SOLVER.RESCALE_INTERVAL": cooldown,
            "SOLVER.WARMUP_FACTOR": "the warm-up begins at one step's share of the learning rate",
        }
    )


def _gradient(ledger: Ledger) -> None:
    prefix = "SOLVER.CLIP_GRADIENTS."
    kind = ledger.values.get(prefix + "CLIP_TYPE", "value")
    on = prefix + "ENABLED" in ledger and ledger.flag(prefix + "ENABLED")
    by_norm = on and kind in ("norm", "full_model") and prefix + "CLIP_VALUE" in ledger
    for part in ("ENABLED", "CLIP_TYPE", "CLIP_VALUE", "NORM_TYPE"):
        key = prefix + part
        if key not in ledger:
            continue
        if not by_norm or part == "NORM_TYPE":
            ledger.ignore(key, "the norm (2) of the whole gradient is always held to training.gradient_clip")
        elif part == "CLIP_VALUE":
            ledger.put(key, "training.gradient_clip", ledger.number(key, least=0))
        else:
            ledger.honour(key, "the norm of the whole gradient is held to training.gradient_clip")
