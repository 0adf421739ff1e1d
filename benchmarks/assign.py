"""`clvq assign` beside the forward passes that it needs, its memory on a corpus ten times as large, and what a
checkpoint takes on the disk.

    clvq train --run RUN --input-layer 4 --output-layer 6
    python benchmarks/assign.py --run RUN --checkpoint L4-L6

Time is CPU seconds of this process, medians of rounds in which both ways take turns. The yardstick makes the rows of
the same sentences in the same batches, looks for no codes and writes nothing. Memory is the peak of the command, which
is started anew for each corpus.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from common import arguments, cpu_seconds, median, print_table, require

import clvq
from clvq.activations.new_text import new_rows, tokenize
from clvq.artifacts import ASSIGNMENTS_NAME, CARD_NAME, CHECKPOINT, CODEBOOK, CONCEPT_SPACE, WEIGHTS_NAME
from clvq.concepts.assign import TEXTS_AT_ONCE, Assigner
from clvq.concepts.assigned_files import write_assigned
from clvq.device import Runtime

CATALOGUE = (ASSIGNMENTS_NAME, str(CODEBOOK.records), CODEBOOK.name, CONCEPT_SPACE.name)
"""What `train` leaves beside the weights, for the other commands."""


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="name in the run folder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--times", type=int, default=10, help="memory is that of so small a part, and of the whole")
    options = parser.parse_args()
    require(options.dataset)
    torch.set_num_threads(1)
    texts = [json.loads(line)["text"] for line in Path(options.dataset).read_text(encoding="utf-8").splitlines()]
    checkpoint = clvq.read_checkpoint(options.run / options.checkpoint)
    size_table(checkpoint)
    time_table(Assigner(checkpoint, Runtime()), texts, options.rounds)
    memory_table(checkpoint, texts, options.times)


def time_table(assigner: Assigner, texts: list[str], rounds: int) -> None:
    bare, whole = [], []
    for _ in range(rounds):
        bare.append(cpu_seconds(lambda: forward(assigner, texts))[0])
        whole.append(cpu_seconds(lambda: written(assigner, texts))[0])
    print_table(
        f"Codes of {len(texts):,} texts",
        [
            ("rows alone, CPU seconds", f"{median(bare):.1f}"),
            ("clvq assign, CPU seconds", f"{median(whole):.1f}"),
            ("ratio (target: at most 1.15)", f"{median(whole) / median(bare):.3f}"),
        ],
    )


@torch.no_grad()
def forward(assigner: Assigner, texts: list[str]) -> None:
    """Make the rows of the texts, as an extraction does before it writes them."""
    model, described = assigner.model, assigner.description
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        sentences = tokenize(model, described, texts[start : start + TEXTS_AT_ONCE])
        for batch in model.batches(sentences, assigner.batch_tokens):
            new_rows(model, described, [sentences[index] for index in batch], assigner.layers)


def written(assigner: Assigner, texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_assigned(assigner.assigned(texts), assigner.book.figures.codebook_size, words=Path(folder) / "w.parquet")


def memory_table(checkpoint: clvq.Checkpoint, texts: list[str], times: int) -> None:
    part = texts[: len(texts) // times]
    peaks = [peak(checkpoint, some) for some in (part, texts)]
    print_table(
        "Peak memory of clvq assign",
        [
            (f"{len(part):,} texts", f"{peaks[0] / 1e6:.0f} MB"),
            (f"{len(texts):,} texts", f"{peaks[1] / 1e6:.0f} MB"),
            ("ratio (target: at most 1.10)", f"{peaks[1] / peaks[0]:.3f}"),
        ],
    )


def peak(checkpoint: clvq.Checkpoint, texts: list[str]) -> float:
    """Return the most memory in bytes that the command had, memory maps of files among it."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.jsonl"
        corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        command = [
            "assign",
            "--file",
            str(corpus),
            "--run",
            str(checkpoint.path.parent),
            "--checkpoint",
            checkpoint.path.name,
        ]
        command += ["--output", f"{folder}/words.parquet"]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen([sys.executable, "-m", "clvq", *command], stdout=quiet, stderr=quiet)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit("clvq assign failed.")
        return 1024.0 * used.ru_maxrss


def size_table(checkpoint: clvq.Checkpoint) -> None:
    def size(*names: str) -> int:
        return sum((checkpoint.path / name).stat().st_size for name in names)

    weights, trained = size(WEIGHTS_NAME), size(WEIGHTS_NAME, CHECKPOINT.name, CARD_NAME, *CATALOGUE)
    print_table(
        f"A checkpoint of {checkpoint.size:,} codes on the disk",
        [
            ("weights", f"{weights / 1e6:.1f} MB"),
            ("with what the other commands need", f"{trained / 1e6:.1f} MB"),
            ("ratio (target at 400 codes: under 3)", f"{trained / weights:.2f}"),
        ],
    )


if __name__ == "__main__":
    main()
