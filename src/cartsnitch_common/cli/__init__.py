"""The command `cartsnitch`: one module a group of commands.

Exit codes: 0 done, 1 failed or "no" to a check, 2 bad input or usage, 3 a
setting or a server is wrong, 130 interrupted. `db check` says "no" by 4 for a
database that is behind, 5 for one that is ahead and 6 for one that differs; `events lag
--max-seconds` by 4.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Final

from cartsnitch_common.errors import CartsnitchError, InputError, SetupError
from cartsnitch_common.values.texts import one_line

__all__ = ["main"]

_FAILED: Final = 1
_BAD_INPUT: Final = 2
_BAD_SETUP: Final = 3
_INTERRUPTED: Final = 130
_LONGEST: Final = 1000


def main() -> None:
    """Run the command of the process's arguments and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; a foreseen error becomes one line on stderr.

    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A receipt may hold what the terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _run(arguments: list[str]) -> int:
    try:
        from cartsnitch_common.cli.app import app  # noqa: PLC0415 - its extra may be missing
    except ModuleNotFoundError as error:
        # The console script exists whichever extras are installed.
        needs = "pip install 'cartsnitch-common[cli]'"
        _say(f"the command needs {error.name}, which is not installed: {needs}")
        return _BAD_SETUP
    try:
        app(args=arguments, prog_name="cartsnitch")
    except SystemExit as end:  # how Typer ends, also after a usage error
        return end.code if isinstance(end.code, int) else _FAILED
    except CartsnitchError as error:
        _say(str(error))
        return _exit_code(error)
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does: no reason to complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    return 0


def _exit_code(error: CartsnitchError) -> int:
    match error:
        case SetupError():
            return _BAD_SETUP
        case InputError():
            return _BAD_INPUT
        case _:
            return _FAILED


def _say(message: str) -> None:
    print(f"error: {one_line(message, longest=_LONGEST)}", file=sys.stderr)  # noqa: T201 - the one place that prints errors
