"""The time of commands against the size of the corpus, and of a training against the number of codes.

    python benchmarks/scaling.py

CPU seconds, medians of --rounds. A straight line is fitted to each series by least squares; printed is the largest
distance of a measurement from its line, as a share of the line. `train` runs for one epoch. The corpora are the first
lines of --dataset; the evaluation corpus is the same for all.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import arguments, cpu_seconds, first_lines, median, print_table

import clvq

JOBS = ("extract", "train", "codebook", "report")


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, nargs="+", default=[1000, 2000, 4000, 8000])
    parser.add_argument("--evaluated", type=int, default=200, help="sentences of the evaluation corpus")
    parser.add_argument("--codebook-size", type=int, default=400, help="where the corpus varies")
    parser.add_argument("--codes", type=int, nargs="+", default=[400, 1600, 6400, 16384])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    timed_run(options, options.run / "warm-up", 200, 50)  # imports, and the first use of torch
    sizes = {count: medians(options, count, options.codebook_size) for count in options.sentences}
    columns = [f"{count:,} sentences" for count in sizes]
    rows = [line_of(name, list(sizes), [spent[name] for spent in sizes.values()]) for name in JOBS]
    print_table("CPU seconds against the corpus", rows, ("job", *columns, "largest departure (target: 10%)"))
    count = max(options.sentences)
    by_codes = [
        median([training_seconds(options, count, codes) for _ in range(options.rounds)]) for codes in options.codes
    ]
    print_table(
        f"CPU seconds of clvq train --epochs 1 against the number of codes, {count:,} sentences",
        [line_of("train", options.codes, by_codes)],
        ("job", *(f"{codes:,} codes" for codes in options.codes), "largest departure (target: 10%)"),
    )


def line_of(name: str, sizes: list[int], seconds: list[float]) -> tuple[str, ...]:
    """A row of a table: the seconds, and the largest relative departure from their straight line."""
    slope, start = np.polyfit(sizes, seconds, 1)
    line = slope * np.array(sizes) + start
    departure = np.abs(np.array(seconds) / line - 1).max()
    return name, *(f"{one:.1f}" for one in seconds), f"{departure:.1%}"


def medians(options: argparse.Namespace, count: int, codes: int) -> dict[str, float]:
    rounds = [timed_run(options, options.run / f"n{count}", count, codes) for _ in range(options.rounds)]
    return {name: median([one[name] for one in rounds]) for name in JOBS}


def timed_run(options: argparse.Namespace, run: Path, count: int, codes: int) -> dict[str, float]:
    """CPU seconds of each job over the first sentences of the corpus. Only the corpora and activations are kept."""
    train = first_lines(options.dataset, count, run / "train.jsonl")
    evaluation = first_lines(options.eval_dataset, options.evaluated, run / "eval.jsonl")
    layers = {"input_layer": options.input_layer, "output_layer": options.output_layer}
    checkpoint = run / "checkpoint"
    shutil.rmtree(checkpoint, ignore_errors=True)
    jobs: dict[str, Callable[[], object]] = {
        "extract": lambda: clvq.extract(
            run / "activations", overwrite=True, model=options.model, dataset=str(train), eval_dataset=str(evaluation),
            layers=tuple(layers.values()), device="cpu",
        ),
        "train": lambda: clvq.train(
            run / "activations", path=checkpoint, codebook_size=codes, epochs=1, metric="euclidean", device="cpu",
            **layers,
        ),
        "codebook": lambda: clvq.codebook(checkpoint),
        "report": lambda: clvq.report(checkpoint, run / "report.html"),
    }  # fmt: skip
    return {name: cpu_seconds(job)[0] for name, job in jobs.items()}


def training_seconds(options: argparse.Namespace, count: int, codes: int) -> float:
    """CPU seconds of a training over the activations of the first sentences."""
    run = options.run / f"n{count}"
    checkpoint = run / f"K{codes}"
    shutil.rmtree(checkpoint, ignore_errors=True)
    spent, _ = cpu_seconds(
        lambda: clvq.train(
            run / "activations", path=checkpoint, codebook_size=codes, epochs=1, metric="euclidean", device="cpu",
            input_layer=options.input_layer, output_layer=options.output_layer,
        )
    )  # fmt: skip
    return spent


if __name__ == "__main__":
    main()
