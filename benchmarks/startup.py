"""How long commands take to start, beside the libraries that they cannot do without.

python benchmarks/startup.py --run RUN

CPU seconds of whole processes, medians of --rounds in which all take their turn. RUN holds one checkpoint; its concepts
are made first. The help page of a Typer application with one empty command is a yardstick too, since Typer imports more
to print it than to be imported.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

from common import median, print_table

EMPTY = "import typer; app = typer.Typer(); app.command()(lambda: None); app()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("clvq-run"))
    parser.add_argument("--checkpoint", default="L4-L8")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    program = [sys.executable, "-m", "clvq"]
    read = [*program, "codebook", "--code", "0", "--run", str(options.run), "--checkpoint", options.checkpoint]
    commands = {
        "import typer, rich": [sys.executable, "-c", "import typer, rich"],
        "an empty Typer application's --help": [sys.executable, "-c", EMPTY, "--help"],
        "import torch": [sys.executable, "-c", "import torch"],
        "clvq --version": [*program, "--version"],
        "clvq --help": [*program, "--help"],
        "clvq train --help": [*program, "train", "--help"],
        "clvq codebook --code 0": read,
    }
    subprocess.run(read, check=True, capture_output=True)
    spent: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            spent[name].append(process_seconds(command))
    seconds = {name: median(values) for name, values in spent.items()}
    rows = [
        (name, f"{seconds[name]:.2f}", yardstick, f"{seconds[name] / seconds[yardstick]:.2f}", target)
        for name, yardstick, target in (
            ("clvq --version", "import typer, rich", "2"),
            ("clvq --help", "import typer, rich", "2"),
            ("clvq --help", "an empty Typer application's --help", "2"),
            ("clvq train --help", "an empty Typer application's --help", ""),
            ("clvq codebook --code 0", "import torch", "1.2"),
        )
    ]
    print_table("Start-up", rows, ("command", "CPU seconds", "yardstick", "ratio", "target: at most"))


def process_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    main()
