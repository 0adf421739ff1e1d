"""`clvq extract` against the bare forward passes of the same batches, in turns in one run.

python benchmarks/extraction.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from common import arguments, median, print_table, require

import clvq
from clvq.language_model.model import LanguageModel
from clvq.language_model.tokenization import TokenizedSentence


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=3000, help="of each split at most")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    layers = (options.input_layer, options.output_layer)
    whole, bare, words = [], [], 0
    require(options.model, options.dataset)
    model = LanguageModel.load(options.model)
    for _ in range(options.rounds):
        batches: list[list[TokenizedSentence]] = []
        with tempfile.TemporaryDirectory() as folder, recorded_batches(batches):
            marks: list[float] = []
            store = clvq.extract(
                path=Path(folder) / "activations",
                model=options.model,
                dataset=options.dataset,
                eval_dataset=options.eval_dataset,
                layers=layers,
                max_sentences=options.sentences,
                # The clock starts when the model is loaded and the corpus is read: the first note states the size.
                progress=lambda report, marks=marks: marks.append(time.perf_counter()),
            )
            whole.append(time.perf_counter() - marks[0])
            words = sum(store.manifest["splits"][split]["counts"]["words"] for split in ("train", "eval"))
        bare.append(bare_seconds(model, batches))
    print_table(
        "Extraction",
        [
            ("words", f"{words}"),
            ("clvq extract, words per second", f"{words / median(whole):.0f}"),
            ("bare forward passes of the same batches, words per second", f"{words / median(bare):.0f}"),
            ("ratio (target: at least 0.87)", f"{median(bare) / median(whole):.3f}"),
        ],
    )


class recorded_batches:
    """Notes what `LanguageModel.run` is given, so that the yardstick runs exactly the same batches."""

    def __init__(self, batches: list[list[TokenizedSentence]]) -> None:
        self.batches = batches
        self.run = LanguageModel.run

    def __enter__(self) -> None:
        recorder, run = self.batches, self.run

        def noted(model: LanguageModel, sentences: Sequence[TokenizedSentence], *args: Any, **named: Any) -> Any:
            recorder.append(list(sentences))
            return run(model, sentences, *args, **named)

        LanguageModel.run = noted  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        LanguageModel.run = self.run  # type: ignore[method-assign]


def bare_seconds(model: LanguageModel, batches: list[list[TokenizedSentence]]) -> float:
    """The transformers model alone, on ready tensors."""
    inputs = []
    for batch in batches:
        longest = max(len(sentence.input_ids) for sentence in batch)
        ids = torch.zeros(len(batch), longest, dtype=torch.int64)
        mask = torch.zeros(len(batch), longest, dtype=torch.int64)
        for row, sentence in enumerate(batch):
            ids[row, : len(sentence.input_ids)] = torch.tensor(sentence.input_ids)
            mask[row, : len(sentence.input_ids)] = 1
        inputs.append({"input_ids": ids, "attention_mask": mask})
    with torch.inference_mode():
        model.model(**inputs[0])
        started = time.perf_counter()
        for batch_inputs in inputs:
            model.model(**batch_inputs)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
