"""The command line: parse, call the function of the same name, print."""

from __future__ import annotations

import os
import sys

from goodfit.errors import GoodfitError

__all__ = ["main"]


def main() -> None:
    """Run the command line; user errors end with one message and no traceback."""
    # OpenMP threads that spin long while they wait for each other make torch several times slower once anything else
    # runs on the machine; this short spin costs nothing on a quiet one. It is read when torch is loaded, later on.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    from goodfit.cli.app import app
    from goodfit.cli.screen import show_error

    try:
        app()
    except GoodfitError as error:
        show_error(str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        # Folders that cannot be written, disks that vanish: the user's world, not our bug.
        show_error(f"{error.filename or 'a file'}: {error.strerror or error}.")
        sys.exit(1)
    except KeyboardInterrupt:
        show_error("Interrupted. The same command goes on from what is finished.")
        sys.exit(130)
