"""Peak memory of the five commands, on a corpus, on three times and on ten times as many sentences of it.

    python benchmarks/memory.py

Each command runs to its end in a process of its own. The peak of RssAnon is read, which leaves the page cache and
memory maps out. The training corpus of the smallest run has --sentences, its evaluation corpus --evaluated; `explain`
and `faithfulness` go over the latter.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from common import anonymous_memory, arguments, first_lines, print_table

COMMANDS = ("extract", "train", "codebook", "explain", "faithfulness")
TIMES = (1, 3, 10)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=500)
    parser.add_argument("--evaluated", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--codebook-size", type=int, default=400)
    parser.add_argument("--commands", nargs="+", default=COMMANDS, choices=COMMANDS, help="each needs those before it")
    options = parser.parse_args()
    peaks: dict[str, list[float]] = {command: [] for command in options.commands}
    for times in TIMES:
        for command, given in commands_of(options, times).items():
            if command in options.commands:
                peaks[command].append(peak(given))
    print_table(
        f"Peak anonymous memory, {options.sentences} training and {options.evaluated} evaluation sentences and more",
        [
            (command, *(f"{value / 1e6:.0f} MB" for value in values), f"{values[-1] / values[0]:.3f}")
            for command, values in peaks.items()
        ],
        ("command", *(f"{times}x" for times in TIMES), "growth (target: at most 1.1)"),
    )


def commands_of(options: argparse.Namespace, times: int) -> dict[str, list[str]]:
    """The command lines of a run over so many times the sentences."""
    run = options.run / f"x{times}"
    train = first_lines(options.dataset, options.sentences * times, run / "train.jsonl")
    evaluation = first_lines(options.eval_dataset, options.evaluated * times, run / "eval.jsonl")
    layers = (options.input_layer, options.output_layer)
    corpus = ["--model", options.model, "--dataset", str(train), "--eval-dataset", str(evaluation)]
    given = {
        "extract": [*corpus, "--layers", ",".join(map(str, layers))],
        "train": [
            "--input-layer",
            str(layers[0]),
            "--output-layer",
            str(layers[1]),
            "--epochs",
            str(options.epochs),
            "--codebook-size",
            str(options.codebook_size),
            "--metric",
            "euclidean",
        ],
        "codebook": [],
        "explain": [],
        "faithfulness": [],
    }
    program = [sys.executable, "-m", "clvq"]
    return {name: [*program, name, *more, "--run", str(run), "--overwrite"] for name, more in given.items()}


def peak(command: list[str]) -> float:
    """Peak of RssAnon of a command in bytes."""
    environment = {"CUDA_VISIBLE_DEVICES": "", **os.environ}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        most = 0.0
        while process.poll() is None:
            most = max(most, anonymous_memory(process.pid))
            time.sleep(0.02)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed.")
    return most


if __name__ == "__main__":
    main()
