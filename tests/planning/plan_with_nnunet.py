"""Ask nnU-Net itself for the plans of made-up fingerprints, and write them into nnunet_plans.json.

``python tests/planning/plan_with_nnunet.py`` (with nnunetv2 2.8.1, as ``make install`` brings it) makes the answers anew for
the fingerprints in that file; ``--only hippocampus,tiny --print`` prints some of them and leaves the file alone. To add
a fingerprint, add an entry without "plans" and run it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FILE = HERE / "nnunet_plans.json"
COMMAND = "python tests/planning/plan_with_nnunet.py"
PRESETS = {
    "plain": ("ExperimentPlanner", 8),
    "resenc_m": ("nnUNetPlannerResEncM", 8),
    "resenc_l": ("nnUNetPlannerResEncL", 24),
    "resenc_xl": ("nnUNetPlannerResEncXL", 40),
    "resenc": ("ResEncUNetPlanner", 8),
}
"""Preset of goodfit -> planner of nnU-Net, and the gigabytes it is made for."""
ALWAYS = ("plain", "resenc_m", "resenc_l", "resenc_xl")
NORMALISATIONS = {
    "CTNormalization": "ct",
    "ZScoreNormalization": "zscore",
    "NoNormalization": "none",
    "RescaleTo01Normalization": "rescale",
    "RGBTo01Normalization": "rgb",
}


def main() -> None:
    """Make the answers anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="names of fingerprints, with commas between them")
    parser.add_argument("--print", action="store_true", help="print the answers instead of writing the file")
    arguments = parser.parse_args()
    references = json.loads(FILE.read_text(encoding="utf-8"))["references"]
    wanted = None if arguments.only is None else arguments.only.split(",")
    with tempfile.TemporaryDirectory() as folder:
        # Its paths are read when it is imported.
        os.environ.update({f"nnUNet_{name}": str(Path(folder) / name) for name in ("raw", "preprocessed", "results")})
        for reference in references:
            if wanted is None or reference["name"] in wanted:
                sys.stderr.write(reference["name"] + "\n")
                reference["plans"] = [ask(reference, *one, Path(folder)) for one in asked_of(reference)]
    if arguments.print:
        asked = [reference for reference in references if wanted is None or reference["name"] in wanted]
        sys.stdout.write(json.dumps(asked) + "\n")
        return
    head = f'{{"made_with": "{COMMAND}",\n"nnunetv2": "{version("nnunetv2")}",\n"references": [\n'
    FILE.write_text(head + ",\n".join(json.dumps(reference) for reference in references) + "\n]}\n", encoding="utf-8")


def asked_of(reference: dict[str, Any]) -> list[tuple[str, float]]:
    """Preset and gigabytes of each plan: those of the file, and every preset at what it is made for."""
    asked = [(plan["preset"], plan["gigabytes"]) for plan in reference.get("plans", [])]
    return list(dict.fromkeys([*asked, *((preset, PRESETS[preset][1]) for preset in ALWAYS)]))


def ask(reference: dict[str, Any], preset: str, gigabytes: float, folder: Path) -> dict[str, Any]:
    """Let nnU-Net plan one fingerprint."""
    import torch
    from nnunetv2.experiment_planning.experiment_planners import default_experiment_planner, resencUNet_planner
    from nnunetv2.experiment_planning.experiment_planners.residual_unets import residual_encoder_unet_planners

    name = PRESETS[preset][0]
    modules = (default_experiment_planner, resencUNet_planner, residual_encoder_unet_planners)
    planner = next(getattr(module, name) for module in reversed(modules) if hasattr(module, name))
    write_dataset(reference, folder)
    given = reference.get("given_spacing")
    # Only the shapes of the weights are looked at; on the device "meta" they take no memory and no time.
    with contextlib.redirect_stdout(io.StringIO()), torch.device("meta"):
        content = planner(
            "Dataset001_Asked", gpu_memory_target_in_gb=gigabytes, overwrite_target_spacing=given
        ).plan_experiment()
    plain = json.loads(json.dumps(content, default=lambda value: value.tolist()))
    configurations = {
        name: answer(configuration)
        for name, configuration in plain["configurations"].items()
        if "inherits_from" not in configuration
    }
    one = next(iter(plain["configurations"].values()))
    return {
        "preset": preset,
        "gigabytes": gigabytes,
        "transpose": plain["transpose_forward"],
        "normalisation": [NORMALISATIONS[name] for name in one["normalization_schemes"]],
        "use_mask": [bool(used) for used in one["use_mask_for_norm"]],
        "configurations": configurations,
    }


def answer(configuration: dict[str, Any]) -> dict[str, Any]:
    """Take what is compared out of a configuration."""
    network = configuration["architecture"]["arch_kwargs"]
    return {
        "batch_size": configuration["batch_size"],
        "patch_size": configuration["patch_size"],
        "median": configuration["median_image_size_in_voxels"],
        "spacing": configuration["spacing"],
        "strides": network["strides"],
        "kernels": network["kernel_sizes"],
        "features": network["features_per_stage"],
        "blocks": network.get("n_conv_per_stage") or network["n_blocks_per_stage"],
        "decoder": network["n_conv_per_stage_decoder"],
        "batch_dice": configuration["batch_dice"],
    }


def write_dataset(reference: dict[str, Any], folder: Path) -> None:
    """Write the two files that the planners read."""
    channels, shapes = reference["channels"], reference["shapes"] * reference["repeat"]
    labels = {"background": 0, **{f"class {value}": value for value in range(1, reference["labels"] + 1)}}
    if reference["ignore"]:
        labels["ignore"] = reference["labels"] + 1
    content = {
        "channel_names": {str(index): name for index, name in enumerate(channels)},
        "labels": labels,
        "numTraining": len(shapes),
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",  # or it would look for one by reading a file
        "dataset": {"case": {"images": ["case_0000.nii.gz"], "label": "case.nii.gz"}},
    }
    statistics = {"mean": 0, "median": 0, "std": 1, "min": -1, "max": 1, "percentile_00_5": -1, "percentile_99_5": 1}
    fingerprint = {
        "spacings": reference["spacings"] * reference["repeat"],
        "shapes_after_crop": shapes,
        "median_relative_size_after_cropping": reference["relative"],
        "foreground_intensity_properties_per_channel": {str(index): statistics for index in range(len(channels))},
    }
    for part, file, value in (
        ("raw", "dataset.json", content),
        ("preprocessed", "dataset_fingerprint.json", fingerprint),
    ):
        place = folder / part / "Dataset001_Asked"
        shutil.rmtree(place, ignore_errors=True)  # configurations of a plans file that is there would be kept
        place.mkdir(parents=True)
        (place / file).write_text(json.dumps(value), encoding="utf-8")


if __name__ == "__main__":
    main()
