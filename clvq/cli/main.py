"""The commands of `clvq`, in the order in which they are run."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import clvq

SUMMARIES = {
    "extract": "Run a language model over a corpus and store the hidden states of the words.",
    "train": "Train a codebook between two layers, or a method to compare it with.",
    "sweep": "Train every combination of settings on one extraction, and compare them.",
    "codebook": "Show the concepts of a checkpoint.",
    "explain": "Explain predictions of the language model by words and their concepts.",
    "assign": "Give every word of new texts its concept.",
    "steer": "Show what the model predicts with concepts taken out of a text and others put in.",
    "faithfulness": "Edit concepts inside the model and compare the effects with controls.",
    "bench": "Score what the concepts say against effects that are known.",
    "report": "Write all results of a checkpoint to one HTML file that needs no network.",
    "push": "Put a checkpoint on the hub, with its concepts and a model card.",
    "pull": "Fetch a checkpoint of the hub into the run folder.",
}
"""The first sentence of each command's help, in the order in which the commands are run. The sentences are repeated
here so that `clvq --help` need not import the commands."""


class Commands(TyperGroup):
    """The commands, each imported from its module when it is run."""

    def __init__(self, **settings: Any) -> None:
        """Prepare the list of commands from SUMMARIES, without importing the commands."""
        shown = {name: TyperCommand(name, help=summary) for name, summary in SUMMARIES.items()}
        super().__init__(**{**settings, "commands": shown})

    def list_commands(self, ctx: Any) -> list[str]:
        return list(SUMMARIES)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is to be run, or that shell completion asks about."""
        name, known, rest = super().resolve_command(ctx, args)
        return name, known if name is None or known is None else loaded(name), rest


class Command(TyperCommand):
    """A command whose messages on wrong values do not begin with the kind of error, as those of pydantic do."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return the arguments that are left; BadParameter for a value that does not fit."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


def loaded(name: str) -> Any:
    """Import the module of a command, and return the command."""
    one = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False, add_completion=False)
    function = getattr(import_module(f"clvq.cli.{name}"), name)
    one.command(name, cls=Command, context_settings=_SETTINGS, epilog=_WORDS)(function)
    return typer.main.get_command(one)


_SETTINGS: dict[Any, Any] = {"help_option_names": ["--help", "-h"]}
_WORDS = (
    "Words such as code, FVU, q and selectivity are explained in docs/glossary.md, and at the end of what "
    "[bold]clvq report[/] writes."
)
app = typer.Typer(
    name="clvq",
    cls=Commands,
    help="Discrete concepts in language models: a codebook between two layers (CLVQ-VAE, arXiv 2506.20040).\n\n"
    "Run a command again and it continues where it stopped. Without a model and a corpus of your own, "
    "[bold]clvq train --input-layer 4 --output-layer 8[/] works on the bundled demo.",
    epilog=_WORDS,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings=_SETTINGS,
)


def _version(asked: bool) -> None:
    if asked:
        print(f"clvq {clvq.__version__}")
        raise typer.Exit


@app.callback()
def _clvq(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def _end(number: int, _frame: FrameType | None) -> None:
    """End the process at once, on a signal."""
    with suppress(Exception):  # a stream that is being written to, or is closed
        sys.stdout.flush()
        print("Interrupted.", file=sys.stderr, flush=True)
    os._exit(128 + number)


def main() -> None:
    """Run the console script. Typer ends the process: with 2 for wrong usage, else as `errors.ended_well` decided."""
    # While a command runs, `interruption.Interruption` takes these. Before and after, Python would print where it was.
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    # By default Python looks for garbage after every 700 new objects. Libraries and commands make hundreds of thousands
    # of objects that stay; going through them took a seventh of the time of importing torch and transformers.
    gc.set_threshold(50_000, 20, 100)
    # A stream that was closed before the start is None: output to that stream is discarded.
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a corpus may have characters that the terminal cannot show
    app(prog_name="clvq")
