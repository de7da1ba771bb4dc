"""The command line: parse, call the function of the same name, print."""

from __future__ import annotations

import os
import sys

from goodfit.errors import GoodfitError

__all__ = ["main"]


def main() -> None:
    """Run the command line; user errors end with one message and no traceback."""
    # Threads that wait for each other by spinning make torch several times slower once anything else runs on the
    # machine. OpenMP reads this when torch is loaded, which is after this line.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from goodfit.cli.app import app
    from goodfit.cli.screen import show_error

    try:
        app()
    except GoodfitError as error:
        show_error(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        show_error("Interrupted. The same command goes on from what is finished.")
        sys.exit(130)
