"""What the benchmarks share: where the measuring corpora are, a quiet store of them, and how results are printed."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

import torch

import clvq
from clvq.artifacts import ACTIVATIONS
from clvq.progress import Progress

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for demo/, which is not installed

T = TypeVar("T")
SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark takes; defaults are the movie classifier and corpus beside the checkout."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", default=str(SHARED / "models" / "minilm-l6-movie"))
    parser.add_argument("--dataset", default=str(SHARED / "data" / "movie-train.jsonl"))
    parser.add_argument("--eval-dataset", default=str(SHARED / "data" / "movie-dev.jsonl"))
    parser.add_argument("--input-layer", type=int, default=4)
    parser.add_argument("--output-layer", type=int, default=6)
    parser.add_argument("--run", type=Path, default=Path("benchmark-run"), help="run folder, made where it is missing")
    return parser


def store(options: argparse.Namespace) -> clvq.ActivationStore:
    """The activation store of the run folder, extracted the first time. Ends the benchmark where an input is absent."""
    if ACTIVATIONS.exists(options.run / "activations"):
        return clvq.ActivationStore(options.run / "activations")
    require(options.model, options.dataset, options.eval_dataset)
    return clvq.extract(
        path=options.run / "activations",
        model=options.model,
        dataset=options.dataset,
        eval_dataset=options.eval_dataset,
        layers=(options.input_layer, options.output_layer),
        progress=notes,
    )


def require(*inputs: str) -> None:
    """End with a message where a default input is not on this machine, since the measuring corpora are not shipped."""
    if absent := [name for name in inputs if name.startswith(str(SHARED)) and not Path(name).exists()]:
        sys.exit(
            f"{', '.join(Path(name).name for name in absent)}: the inputs that this benchmark takes by default are not "
            "shipped. Name others: a classifier with --model, and corpora with --dataset and --eval-dataset."
        )


def first_lines(corpus: str, count: int, path: Path) -> Path:
    """Write the first lines of a corpus in JSON lines to a file of its own.

    Where the corpus has fewer, it comes again and again, with the words of each text rotated by one place more: texts
    that occur twice are trained on once.
    """
    require(corpus)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = Path(corpus).read_text(encoding="utf-8").splitlines(keepends=True)
    again = (rotated(line, lap) for lap in range(1, count) for line in lines)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(islice(chain(lines, again), count))
    return path


def rotated(line: str, places: int) -> str:
    """Return a line whose text begins with its word number `places`, and ends with the words before that one."""
    row = json.loads(line)
    words = row["text"].split()
    first = places % max(len(words), 1)
    return json.dumps({**row, "text": " ".join(words[first:] + words[:first])}) + "\n"


def notes(progress: Progress) -> None:
    if progress.note:
        print(progress.note, file=sys.stderr)


def median(values: list[float]) -> float:
    return float(torch.tensor(values).median())


def cpu_seconds(work: Callable[[], T]) -> tuple[float, T]:
    """CPU seconds of this process that `work` takes, and what it gives; of use on a machine with other load."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def anonymous_memory(process: int) -> float:
    """Bytes of RssAnon of a process, which leaves the page cache and memory maps out; 0 once it has ended."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    lines = [line.split() for line in status.splitlines() if line.startswith("RssAnon")]
    return 1024.0 * int(lines[0][1]) if lines else 0.0


def print_table(title: str, rows: Sequence[Sequence[str]], columns: Sequence[str] = ("figure", "value")) -> None:
    """One Markdown table on stdout, so that docs/benchmarks.md holds what was printed."""
    print(f"\n{title} (torch {torch.__version__}, {torch.get_num_threads()} threads)\n")
    for row in [columns, ["---"] * len(columns), *rows]:
        print(f"| {' | '.join(row)} |")
