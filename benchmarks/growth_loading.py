"""Times a pass of goodfit's loader over every training case, in a process of its own; growth.py calls it.

A pass and not an epoch: an epoch is a fixed number of steps, whatever the size of the dataset.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

from goodfit.commands.preprocess import fill_store
from goodfit.observer import Observer
from goodfit.tasks.segmentation.augmentation import augmentation_settings
from goodfit.tasks.segmentation.sampling import PatchDataset
from goodfit_step import open_prepared


def main() -> None:
    """Cut every case's patch, write the seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--keep-bytes", type=int, required=True, help="memory for decompressed cases")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    prepared = open_prepared(options.dataset, options.run)
    plan, train = prepared.plan, prepared.split.train
    store = fill_store(prepared, Observer(), [plan.configuration])[plan.configuration]
    patches = PatchDataset(
        store,
        train,
        plan.chosen,
        seed=0,
        augmentation=augmentation_settings(plan.chosen, plan.data.use_mask, plan.data.labels.foreground_values),
        oversample=plan.training.oversample_foreground,
        keep_bytes=options.keep_bytes,
    )
    steps = math.ceil(len(train) / patches.batch_size)
    started = time.perf_counter()
    for step in range(steps):
        patches[step]
    options.out.write_text(json.dumps({"seconds": time.perf_counter() - started, "cases": len(train), "steps": steps}))


if __name__ == "__main__":
    main()
