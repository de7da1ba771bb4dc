"""Commands that look at a dataset and prepare it: check, plan, preprocess."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from goodfit.cli import options as o
from goodfit.cli.shared import PLANNING, SPLIT, with_settings


def check(
    dataset: o.Dataset,
    group_by: o.GroupBy = None,
    workers: o.Workers = None,
    verbose: o.Verbose = False,
) -> None:
    """Look for every problem of a dataset and list them all in one table.

    Unreadable files, missing labels, mismatched shapes and spacings, unknown label values, NaN, duplicates, rare
    classes. Of instances: ids, boxes, polygons, masks, categories, videos, and frames that leak between the sets.
    Leaves with 1 when there is an error, with 0 when there are only warnings or none.
    """
    from goodfit.cli.screen import Screen, console, show_logs, show_table
    from goodfit.commands.inspect import check as run_check
    from goodfit.data.instances.checks import InstanceCheck
    from goodfit.data.wording import counted

    show_logs(verbose)
    with Screen() as screen:
        result = run_check(dataset, group_by=group_by, workers=workers, observer=screen)
    if result.problems:
        columns: dict[str, list[str]] = {
            "severity": [p.severity for p in result.problems],
            "case": [p.case for p in result.problems],
            "file": [p.file for p in result.problems],
            "what": [p.what for p in result.problems],
            "what to do": [p.remedy for p in result.problems],
        }
        told = {name: cells for name, cells in columns.items() if any(cells)}  # what is empty takes room from the rest
        title = f"{dataset}: {counted(len(result.problems), 'problem')}"
        show_table(title, list(told), list(zip(*told.values(), strict=True)))
    if not result.ok:
        raise typer.Exit(1)
    said = f"{result.frames_checked} frames" if isinstance(result, InstanceCheck) else f"{result.cases_checked} cases"
    console.print(f"{said} checked, no errors. Next: goodfit train {dataset}", soft_wrap=True)


@with_settings(PLANNING, SPLIT)
def plan(
    dataset: o.Dataset,
    run: o.RunOption = None,
    fresh: o.Fresh = False,
    *,
    set_: o.Set = None,
    verbose: o.Verbose = False,
    **wishes: Any,
) -> None:
    """Show what would be trained, and why: spacing, patch (or size of frames, anchors), batch size, network, memory, hours.

    Writes plan.json and splits.json into the run folder; edit them, then call [bold]goodfit train[/bold] with the
    same folder.
    """
    from goodfit.cli.plan_tables import show_instance_plan, show_plan
    from goodfit.cli.screen import Screen, console, show_logs
    from goodfit.commands.plan import Prepared
    from goodfit.commands.plan import plan as run_plan
    from goodfit.settings import parse_assignments

    show_logs(verbose)
    with Screen() as screen:
        prepared = run_plan(
            dataset,
            run=run,
            fresh=fresh,
            settings=parse_assignments(set_ or []),
            observer=screen,
            **wishes,
        )
    if isinstance(prepared, Prepared):
        show_plan(prepared)
    else:
        show_instance_plan(prepared)
    console.print(f"\nThe plan is {prepared.run.plan}: edit it if you like. Next:", soft_wrap=True)
    console.print(f"  goodfit train {dataset} --run {prepared.run.path}", soft_wrap=True)


def preprocess(
    dataset: o.Dataset,
    run: o.RunOption = None,
    fresh: o.Fresh = False,
    configurations: Annotated[
        str | None,
        typer.Option(
            "--configurations", "-c", help="Which of the plan's, like 2d,3d_fullres. Default: the chosen one."
        ),
    ] = None,
    memory: o.Memory = None,
    plans: o.Plans = None,
    group_by: o.GroupBy = None,
    set_: o.Set = None,
    verbose: o.Verbose = False,
) -> None:
    """Crop, normalise and resample every case into the store that training reads.

    Plans first where there is no plan. Stopped with Ctrl-C, it goes on from the cases that are finished.
    """
    from goodfit.cli.screen import Screen, console, show_logs
    from goodfit.commands.preprocess import preprocess as run_preprocess
    from goodfit.settings import parse_assignments

    show_logs(verbose)
    with Screen() as screen:
        folders = run_preprocess(
            dataset,
            run=run,
            fresh=fresh,
            configurations=None if configurations is None else configurations.split(","),
            settings=parse_assignments(set_ or []),
            observer=screen,
            memory=memory,
            plans=plans,
            group_by=group_by,
        )
    for name, folder in folders.items():
        console.print(f"{name}: {folder}", soft_wrap=True)
    console.print(f"Next: goodfit train {dataset}" + (f" --run {run}" if run else ""), soft_wrap=True)
