"""Floating-point work per second of the training step as a share of what this CPU does in matrix products.

The matrix rate is the best of several sizes and repeats, with torch's default number of threads, before and after the
steps; the steps are those of goodfit's own loop, loading and augmentation included, with the network of nnU-Net's
plan. The second table says what a step's time goes to.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from common import HERE, make_parser, read_result, run_measured, show, work_folder, write_result
from step_time import prepare_goodfit

if TYPE_CHECKING:
    import argparse

SIZES = (1024, 2048, 4096)
REPEATS = 5
PRECISIONS = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def matrix_rate(kind: torch.dtype) -> float:
    """Floating-point operations per second of a square matrix product: the best of all sizes and repeats."""
    best = 0.0
    for size in SIZES:
        left, right = (torch.randn(size, size).to(kind) for _ in range(2))
        out = left @ right
        for _ in range(REPEATS):
            started = time.perf_counter()
            torch.mm(left, right, out=out)
            best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def matrix_rates(before: dict[str, float] | None = None) -> dict[str, float]:
    """The rate of each precision, or the one measured before where that was higher."""
    return {name: max(matrix_rate(kind), (before or {}).get(name, 0.0)) for name, kind in PRECISIONS.items()}


def run_script(name: str, options: argparse.Namespace, run: Path, out: Path) -> dict[str, Any]:
    """Run a script of the loop in a process of its own and read what it wrote."""
    counts = ["--warmup", str(options.warmup), "--steps", str(options.steps), "--out", str(out)]
    run_measured([sys.executable, HERE / name, options.dataset, run, *counts])
    value: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    out.unlink()
    return value


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure rates, steps and parts."""
    with work_folder(options.work) as work:
        run, out = work / f"goodfit-{options.configuration}", work / "measured.json"
        prepare_goodfit(options.dataset, options.configuration, run)
        rates = matrix_rates()
        timed = run_script("goodfit_step.py", options, run, out)
        rates = matrix_rates(rates)
        profiled = run_script("profile_step.py", options, run, out)
    seconds = statistics.mean(timed["seconds"])
    flops = profiled["flops"]
    return {
        **{key: profiled[key] for key in ("batch_size", "patch_size", "features", "precision", "threads")},
        "matrix_flops_per_second": rates,
        "flops_per_step": flops,
        "seconds_per_step": seconds,
        "bare_seconds_per_step": statistics.mean(timed["bare_seconds"]),
        "flops_per_second": flops / seconds,
        "share": {name: flops / seconds / rate for name, rate in rates.items()},
        "profiled_seconds_per_step": profiled["seconds_per_step"],
        "parts": profiled["parts"],
    }


def report(options: argparse.Namespace, value: dict[str, Any]) -> None:
    """Print both tables and write the result of this dataset and configuration beside those of others."""
    title = f"{options.dataset.name} {options.configuration}"
    flops = value["flops_per_step"]
    rows = [
        [f"matrix product, {name}", "", "", f"{rate / 1e9:.0f}", ""]
        for name, rate in value["matrix_flops_per_second"].items()
    ]
    for name, seconds in (("step", value["seconds_per_step"]), ("network alone", value["bare_seconds_per_step"])):
        rate = flops / seconds
        shares = " / ".join(f"{100 * rate / best:.0f} %" for best in value["matrix_flops_per_second"].values())
        rows.append(
            [f"{name}, {value['precision']}", f"{flops / 1e9:.0f}", f"{seconds:.3f}", f"{rate / 1e9:.0f}", shares]
        )
    columns = ["what", "GFLOP", "seconds", "GFLOP per second", f"share of {' / '.join(PRECISIONS)}"]
    detail = f"batch {value['batch_size']}, patch {value['patch_size']}, {value['threads']} threads"
    show(f"{title}: {detail}", columns, rows)
    whole, parts = value["profiled_seconds_per_step"], dict(value["parts"])
    parts["between operators"] = max(0.0, whole - sum(parts.values()))
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    show(
        f"{title}: what a step's time goes to, under the profiler",
        ["part", "seconds", "share"],
        [[name, f"{seconds:.4f}", f"{100 * seconds / whole:.1f} %"] for name, seconds in ordered],
    )
    measured = dict(read_result("machine_share").get("measured", {}))
    write_result("machine_share", {"measured": {**measured, title: {**value, "parts": dict(ordered)}}})


def main() -> None:
    """Measure and report."""
    parser = make_parser(__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="a folder DatasetNNN_Name")
    parser.add_argument("--configuration", choices=["3d_fullres", "2d"], default="3d_fullres")
    parser.add_argument("--steps", type=int, default=8, help="timed steps, and profiled ones")
    parser.add_argument("--warmup", type=int, default=3, help="steps before them")
    parser.add_argument("--work", type=Path, default=None, help="keep the preprocessed cases here")
    options = parser.parse_args()
    report(options, measure(options))


if __name__ == "__main__":
    main()
