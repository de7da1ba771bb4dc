"""``goodfit convert``: datasets of other forms become ones that can be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Turn datasets of other forms into ones that goodfit reads.")


@app.callback()
def convert() -> None:
    """Turn datasets of other forms into ones that goodfit reads."""


@app.command()
def masks(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder with images/ and masks/ (PNG of equal names; 0 is background, each other value an object).",
            show_default=False,
        ),
    ],
    destination: Annotated[
        Path,
        typer.Argument(
            help="Folder that gets annotations.json and the images; may be the same folder.", show_default=False
        ),
    ],
    category: Annotated[
        str, typer.Option("--category", help="Name of the objects, unless masks/ has a folder for each category.")
    ] = "object",
) -> None:
    """Turn masks with instance ids into a COCO dataset."""
    from goodfit.cli.screen import Screen, console
    from goodfit.data.instances.convert import masks_to_coco
    from goodfit.data.wording import counted

    with Screen() as screen:
        screen.stage("convert")
        done = masks_to_coco(source, destination, category=category, on_progress=screen.advance)
    for note in done.notes:
        console.print(f"note: {note}.", markup=False)
    names = ", ".join(done.categories)
    console.print(
        f"{done.file}: {counted(done.images, 'image')} ({done.empty} without an object), "
        f"{counted(done.instances, 'object')} of {names}",
        markup=False,
        soft_wrap=True,
    )


@app.command()
def msd(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder of a dataset of the Medical Segmentation Decathlon, Task04_Hippocampus.", show_default=False
        ),
    ],
    target: Annotated[
        Path, typer.Argument(help="Dataset folder to make, like Dataset004_Hippocampus.", show_default=False)
    ],
) -> None:
    """Turn a dataset of the Medical Segmentation Decathlon (4D files) into nnU-Net's raw layout, which goodfit reads."""
    from goodfit.cli.screen import Screen, console
    from goodfit.data.msd import convert_msd
    from goodfit.data.wording import counted

    with Screen() as screen:
        screen.stage("convert")
        done = convert_msd(source, target, on_progress=screen.advance)
    for note in done.notes:
        console.print(f"note: {note}.", markup=False, soft_wrap=True)
    console.print(
        f"{done.folder}: {counted(done.training, 'labelled case')}, {counted(done.test, 'test case')}, channels "
        f"{', '.join(done.channels)}. Next: goodfit check {done.folder}",
        markup=False,
        soft_wrap=True,
    )
