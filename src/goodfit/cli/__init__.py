"""The command line: parse, call the function of the same name, print."""

from __future__ import annotations

import sys

from goodfit.errors import GoodfitError

__all__ = ["main"]


def main() -> None:
    """Run the command line; user errors end with one message and no traceback."""
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
