"""How a command that fails ends: every exception becomes one message on stderr and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from clvq.cli.interruption import Interruption
from clvq.cli.output import say
from clvq.errors import ClvqError

CLOSED_PIPE = 141
"""Exit code that a shell reports for a program that a closed pipe ended (128 + SIGPIPE)."""


class UsageError(typer.BadParameter):
    """Wrong usage that Typer cannot detect by itself: exit code 2, with Typer's frame around the message."""

    def format_message(self) -> str:
        return self.message


@contextmanager
def ended_well(debug: bool) -> Iterator[Interruption]:
    """Run a command's body. Signals and exceptions in the body become `typer.Exit` with the right code."""
    with Interruption() as interruption:
        try:
            yield interruption
            interruption.raise_if_pending()
        except (typer.Exit, UsageError):
            raise
        except BaseException as error:
            if isinstance(error, SystemExit):
                raise
            raise typer.Exit(_explain(error, interruption, debug)) from None


def _explain(error: BaseException, interruption: Interruption, debug: bool) -> int:
    """Print what happened, and return the exit code."""
    if interruption.signal is not None or isinstance(error, KeyboardInterrupt):
        kept = " What was done is kept: the same command continues from there." if interruption.continues else ""
        say(f"Interrupted.{kept}")
        return interruption.exit_code
    if isinstance(error, BrokenPipeError):
        _forget_closed_pipes()
        return CLOSED_PIPE
    if debug:
        say("".join(traceback.format_exception(error)))
    say(_message(error), label="Error:")
    return 1


def _message(error: BaseException) -> str:
    if isinstance(error, ClvqError):
        return str(error)
    if isinstance(error, MemoryError) or _is_torch_out_of_memory(error):
        return (
            "Out of memory. Use a smaller --batch-tokens (extract) or --batch-sentences (train), another --device, "
            "or fewer --max-sentences; what was done is kept."
        )
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}."
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first}\nThis is a bug in clvq. Run the command again with --debug to see where."


def _is_torch_out_of_memory(error: BaseException) -> bool:
    """Return whether torch ran out of memory, judged by the error's name and text: importing torch would be slow."""
    said = str(error)
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in said or said == "std::bad_alloc"


def _forget_closed_pipes() -> None:
    """Redirect the closed stream to the null device; otherwise Python's flush at exit would print an error."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with open(os.devnull, "w") as nothing:  # noqa: PTH123
                os.dup2(nothing.fileno(), stream.fileno())
