"""The commands of `clvq`, in the order in which they are run."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

import clvq
from clvq.cli.assign import assign
from clvq.cli.bench import bench
from clvq.cli.codebook import codebook
from clvq.cli.explain import explain
from clvq.cli.extract import extract
from clvq.cli.faithfulness import faithfulness
from clvq.cli.pull import pull
from clvq.cli.push import push
from clvq.cli.report import report
from clvq.cli.steer import steer
from clvq.cli.train import train

app = typer.Typer(
    name="clvq",
    help="Discrete concepts in language models: a codebook between two layers (CLVQ-VAE, arXiv 2506.20040).\n\n"
    "Run a command again and it continues where it stopped. Without a model and a corpus of your own, "
    "[bold]clvq train --input-layer 4 --output-layer 8[/] works on the bundled demo.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command()(extract)
app.command()(train)
app.command()(codebook)
app.command()(explain)
app.command()(assign)
app.command()(steer)
app.command()(faithfulness)
app.command()(bench)
app.command()(report)
app.command()(push)
app.command()(pull)


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


def main() -> None:
    """The console script. Typer ends the process: 2 for wrong usage, else what `errors.ended_well` decided."""
    # A stream that was closed before the start is None: what would go there goes nowhere.
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a corpus has characters that a terminal may not
    app(prog_name="clvq")
