"""How cost grows: preprocessing and loading against the number of cases, prediction against the size of a volume.

Cases are goodfit's phantoms (24x52x52), volumes are generated; nothing is downloaded. Every figure is of a whole
process, start-up included, but for loading, where the clock runs for one pass over the training cases. A straight
line is fitted to the seconds; what memory does is shown as its range. Writes docs/growth.svg, too.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from common import GOODFIT, HERE, gib, make_parser, run_measured, show, work_folder, write_result
from goodfit.files import read_json, replacing, write_json
from volumes import write_dataset, write_volume

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

CASES = (50, 200, 800)
SIDES = (64, 128, 192, 256, 320, 384)
NARROW = (8, 16, 32, 64, 64, 64, 64, 64)
"""Channels of the network that predicts: what is asked is how cost grows, not what it is."""
PATCH = 64
KEPT_BYTES = 512 * 2**20
"""What goodfit's loader may keep decompressed, as in a training."""


class Line(NamedTuple):
    """A straight line through measured points, and how well it describes them."""

    slope: float
    intercept: float
    r_squared: float


class Series(NamedTuple):
    """One cost against one size."""

    name: str
    unit: str
    per: float
    """Sizes that the slope is given for."""
    sizes: list[int]
    seconds: list[float]
    peak_bytes: list[int]


def fit_line(sizes: Sequence[float], seconds: Sequence[float]) -> Line:
    """Fit by least squares."""
    x, y = np.array(sizes, dtype=float), np.array(seconds, dtype=float)
    slope, intercept = np.polyfit(x, y, 1)
    left = y - (slope * x + intercept)
    spread = ((y - y.mean()) ** 2).sum()
    return Line(float(slope), float(intercept), float(1 - (left**2).sum() / spread) if spread else 1.0)


def write_cases(work: Path, counts: Sequence[int]) -> dict[int, Path]:
    """Generate the largest dataset, and smaller ones of links to its first cases."""
    from goodfit.phantoms.dataset import write_phantoms

    print(f"generating {max(counts)} phantoms (not timed)", flush=True)
    whole = write_phantoms(work / "phantoms", max(counts))
    folders = {}
    for count in counts:
        folder = work / f"Dataset{count % 1000:03d}_Phantoms"
        shutil.rmtree(folder, ignore_errors=True)
        for kind in ("imagesTr", "labelsTr"):
            (folder / kind).mkdir(parents=True)
            for file in sorted((whole / kind).iterdir())[:count]:
                (folder / kind / file.name).symlink_to(file.resolve())
        write_json(folder / "dataset.json", {**read_json(whole / "dataset.json"), "numTraining": count})
        folders[count] = folder
    return folders


def grow_cases(work: Path, counts: Sequence[int]) -> list[Series]:
    """Preprocess datasets of several sizes, and pass over their training cases."""
    preprocessing = Series("preprocessing", "cases", 1, [], [], [])
    loading = Series("loading, nothing kept", "training cases", 1, [], [], [])
    kept = Series("loading, kept in memory", "training cases", 1, [], [], [])
    for count, dataset in write_cases(work, counts).items():
        run, out = work / f"run-{count}", work / "loading.json"
        shutil.rmtree(run, ignore_errors=True)
        measured = run_measured([GOODFIT, "preprocess", dataset, "--run", run, "-c", "3d_fullres"])
        _add(preprocessing, count, measured.seconds, measured.peak_bytes)
        for series, keep in ((loading, 0), (kept, KEPT_BYTES)):
            script = [sys.executable, HERE / "growth_loading.py", dataset, run]
            measured = run_measured([*script, "--keep-bytes", str(keep), "--out", out])
            told = json.loads(out.read_text(encoding="utf-8"))
            _add(series, told["cases"], told["seconds"], measured.peak_bytes)
    return [preprocessing, loading, kept]


def make_narrow_run(work: Path) -> Path:
    """Make a run of a narrow network that has learnt nothing, for isotropic volumes of 1 mm."""
    import torch

    from goodfit import plan
    from goodfit.planning.plan import save_plan
    from goodfit.tasks.segmentation.network import build_network
    from goodfit.training.checkpoint import Checkpoint, save_checkpoint
    from goodfit.training.weights import weights_of

    dataset = write_dataset(work / "Dataset904_Isotropic", (PATCH, PATCH, PATCH), [(1.0, 1.0, 1.0)] * 3)
    run = work / "run-narrow"
    shutil.rmtree(run, ignore_errors=True)
    prepared = plan(
        dataset, run=run, configuration="3d_fullres", planner="nnunet", patch_size="x".join([str(PATCH)] * 3)
    )
    changed = prepared.plan.model_copy(deep=True)
    chosen, data = changed.chosen, changed.data
    chosen.network.features = list(NARROW[: len(chosen.network.features)])
    save_plan(changed, prepared.run.plan)
    torch.manual_seed(0)
    network = build_network(chosen.network, len(data.channels), data.labels.outputs, chosen.dims)
    save_checkpoint(prepared.run.best, Checkpoint({"network": weights_of(network)}, {}))
    return run


def grow_volume(work: Path, sides: Sequence[int]) -> Series:
    """Predict one volume of each size."""
    run, inputs, output = make_narrow_run(work), work / "inputs", work / "predicted"
    series = Series("prediction", "voxels", 1e6, [], [], [])
    for side in sides:
        shutil.rmtree(inputs, ignore_errors=True)
        shutil.rmtree(output, ignore_errors=True)
        write_volume(inputs / "volume_0000.nii.gz", None, (side, side, side), (1.0, 1.0, 1.0), seed=side)
        measured = run_measured([GOODFIT, "predict", run, inputs, output, "--device", "cpu"])
        _add(series, side**3, measured.seconds, measured.peak_bytes)
    return series


def _add(series: Series, size: int, seconds: float, peak_bytes: int) -> None:
    series.sizes.append(size)
    series.seconds.append(seconds)
    series.peak_bytes.append(peak_bytes)
    print(f"{series.name}: {size} {series.unit} {seconds:.2f} s, {gib(peak_bytes)}", flush=True)


def say_slope(series: Series, line: Line) -> str:
    """Say the slope with its unit."""
    per = series.unit.rstrip("s") if series.per == 1 else f"million {series.unit}"
    return f"{1000 * line.slope * series.per:.1f} ms per {per}"


def plot(all_series: Sequence[Series], path: Path) -> None:
    """Draw seconds with their lines above, memory below."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(all_series), 5.2), layout="constrained")
    axes = figure.subplots(2, len(all_series), squeeze=False, sharex="col")
    for column, series in enumerate(all_series):
        line, sizes = fit_line(series.sizes, series.seconds), np.array(series.sizes) / series.per
        above, below = axes[0][column], axes[1][column]
        above.plot(sizes, series.seconds, "o", color="C0")
        above.plot(sizes, np.array(series.sizes) * line.slope + line.intercept, "-", color="C0", alpha=0.5)
        above.set_title(f"{series.name}\n{say_slope(series, line)}, R² {line.r_squared:.3f}", fontsize=9)
        below.plot(sizes, [size / 2**30 for size in series.peak_bytes], "o-", color="C1")
        below.set_xlabel(series.unit if series.per == 1 else f"million {series.unit}")
        for axis in (above, below):
            axis.set_ylim(bottom=0)
            axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("seconds")
    axes[1][0].set_ylabel("peak memory, GiB")
    # The same figures give the same file: neither a date nor random names in it.
    with matplotlib.rc_context({"svg.hashsalt": "growth", "svg.fonttype": "none"}), replacing(path) as temporary:
        FigureCanvasSVG(figure).print_svg(str(temporary), metadata={"Date": None})
    print(f"written: {path}")


def report(all_series: Sequence[Series], options: argparse.Namespace) -> None:
    """Print the lines, write the figures and the plot."""
    rows, kept = [], {}
    for series in all_series:
        line = fit_line(series.sizes, series.seconds)
        low, high = min(series.peak_bytes), max(series.peak_bytes)
        sizes = f"{min(series.sizes)} to {max(series.sizes)} {series.unit}"
        rows.append(
            [series.name, sizes, say_slope(series, line), f"{line.r_squared:.4f}", f"{gib(low)} to {gib(high)}"]
        )
        kept[series.name] = {**series._asdict(), **line._asdict()}
    show("how cost grows", ["what", "sizes", "slope", "R²", "peak memory"], rows)
    value: dict[str, Any] = {"phantom_shape": [24, 52, 52], "patch_of_prediction": PATCH, "series": kept}
    write_result("growth", value)
    plot(all_series, options.plot)


def main() -> None:
    """Measure, report."""
    parser = make_parser(__doc__)
    parser.add_argument("--cases", type=int, nargs="+", default=CASES)
    parser.add_argument(
        "--sides", type=int, nargs="+", default=SIDES, help="of the cubes that are predicted, in voxels"
    )
    parser.add_argument("--plot", type=Path, default=HERE.parent / "docs" / "growth.svg")
    parser.add_argument("--work", type=Path, default=None, help="keep the generated cases here")
    options = parser.parse_args()
    with work_folder(options.work) as work:
        all_series = [*grow_cases(work, options.cases), grow_volume(work, options.sides)]
    report(all_series, options)


if __name__ == "__main__":
    main()
