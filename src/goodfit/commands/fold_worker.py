"""The child of ``fold_process``: trains one fold, as its standard input says."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodfit.commands.train import train
from goodfit.data.instances.dataset import is_instance_dataset
from goodfit.data.splits import Split
from goodfit.errors import GoodfitError
from goodfit.observer import Observer
from goodfit.planning.instances.plan import parse_instance_plan
from goodfit.planning.plan import parse_plan

if TYPE_CHECKING:
    from typing import TextIO

    from goodfit.training.progress import Report

_SUMMARIES = {"val_dice": "Dice", "val_ap": "AP"}


class Teller(Observer):
    """Writes what it is told as JSON lines.

    Args:
        stream: where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._heard = True

    def tell(self, **event: Any) -> None:
        """Write one event; once nobody reads any more, none."""
        if not self._heard:
            return
        try:
            self._stream.write(json.dumps(event) + "\n")
            self._stream.flush()
        except BrokenPipeError:
            self._heard = False  # the parent is gone: what is left is to save and leave

    def note(self, text: str) -> None:
        """Pass a sentence on."""
        self.tell(note=text)

    def trained(self, report: Report) -> None:
        """Pass the step on, and a row as a sentence."""
        control = report.progress.control
        if report.row is not None:
            row = report.row
            parts = [f"epoch {row['epoch']}", str(row["phase"]), f"loss {row['train_loss']:.4f}"]
            parts += [f"{said} {row[name]:.4f}" for name, said in _SUMMARIES.items() if row.get(name) is not None]
            self.note(", ".join(parts))
        self.tell(step=control.step, expected=max(report.expected_steps, control.step))


def main() -> None:
    """Train the fold of the first line of standard input."""
    # What libraries print must not come between the events.
    with suppress(BrokenPipeError), os.fdopen(os.dup(1), "w", encoding="utf-8") as stream:
        os.dup2(2, 1)
        spec = json.loads(sys.stdin.readline())
        threading.Thread(target=_leave_with_parent, daemon=True).start()
        teller = Teller(stream)
        dataset = Path(spec["dataset"])
        parse: Any = parse_instance_plan if is_instance_dataset(dataset) else parse_plan
        try:
            result = train(
                dataset,
                run=spec["run"],
                settings=spec["settings"],
                recipe=spec["recipe"],
                split=Split.model_validate(spec["split"]),
                plan=parse(spec["plan"], "the cross-validation's plan"),
                observer=teller,
            )
        except GoodfitError as error:
            teller.tell(outcome="failed", error=str(error))
        except KeyboardInterrupt:
            teller.tell(outcome="interrupted")
        else:
            teller.tell(outcome="finished" if result.finished else "interrupted")


def _leave_with_parent() -> None:
    """Save and leave once the parent is gone: the second signal says at once."""
    while sys.stdin.readline():
        pass
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)


if __name__ == "__main__":
    main()
