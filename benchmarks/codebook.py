"""The pass behind `clvq codebook`, with words counted, against a bare nearest-code pass over the same rows.

    python benchmarks/codebook.py --run RUN

The bare pass reads every row of the split, encodes it and takes the nearest code in plain torch: nothing else.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import arguments, median, notes, print_table, store

import clvq
from clvq.concepts.assignments import assign, load_model, read_text
from clvq.concepts.words import count_words, rank_words


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    activations = store(options)
    layers = (options.input_layer, options.output_layer)
    path = options.run / f"L{layers[0]}-L{layers[1]}"
    checkpoint = clvq.train(
        activations, path=path, input_layer=layers[0], output_layer=layers[1], metric="euclidean", progress=notes
    )
    model = load_model(checkpoint)

    def counted() -> None:
        """Codes and distances of every row, words, and each concept's words ranked."""
        codes = assign(model, activations, "train", layers).codes
        text = read_text(activations, "train")
        words = (codes >= 0) & (text.types >= 0)
        counts = count_words(codes[words], text.types[words], len(model.codebook), len(text.vocabulary))
        rank_words(counts, text.vocabulary, 20)

    @torch.no_grad()
    def bare() -> None:
        for _, shard in activations.rows("train", layers[0]).shards():
            for rows in shard.split(16384):
                z_e = model.encoder(rows.to(model.codebook.device, torch.float32) * model.input_scale)
                torch.cdist(z_e, model.codebook).argmin(dim=1)

    counted()  # warms up the page cache
    both = [(seconds(counted), seconds(bare)) for _ in range(options.repeats)]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "activations").symlink_to(activations.path.resolve())
        copy = Path(folder) / path.name
        copy.mkdir()
        for file in ("config.json", "model.safetensors"):
            shutil.copy(path / file, copy)
        whole = seconds(lambda: clvq.codebook(copy))
    rows = sum(len(shard) for _, shard in activations.rows("train", layers[0]).shards())
    print_table(
        f"clvq codebook, {rows:,} training rows, {len(model.codebook)} codes",
        [
            ("the pass with words counted and ranked, seconds", f"{median([pair[0] for pair in both]):.1f}"),
            ("nearest codes in plain torch, seconds", f"{median([pair[1] for pair in both]):.1f}"),
            ("ratio", f"{median([pair[0] / pair[1] for pair in both]):.2f}"),
            ("clvq codebook with figures, tests and map, both splits, seconds (target: under 60)", f"{whole:.1f}"),
        ],
    )


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
