"""`clvq extract` against bare forward passes over the same sentences, on a corpus as it is and on a long-tailed one.

    python benchmarks/extraction.py

CPU seconds; the ways alternate. The bare passes run the transformers model alone, on ready tensors, in batches of
sentences of like length out of the whole split, with several sizes of a batch; the fastest is the yardstick. The
long-tailed corpus is made of the same texts: one in --one-long-in is a chain of many. There the yardstick is batches in
the order of the file, padded to the longest.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from common import arguments, cpu_seconds, first_lines, median, print_table, require

import clvq
from clvq.corpus.splits import SPLITS
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.tokenization import TokenizedSentence

BATCH_TOKENS = (4096, 2048, 1024, 512)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=3000, help="the first of each split")
    parser.add_argument("--tail-sentences", type=int, default=400, help="of each split of the long-tailed corpus")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one-long-in", type=int, default=50, help="sentences of the long-tailed corpus")
    parser.add_argument("--joined", type=int, default=15, help="texts in a long sentence of that corpus")
    parser.add_argument("--file-batch", type=int, default=32, help="sentences in a batch in the order of the file")
    options = parser.parse_args()
    require(options.model, options.dataset, options.eval_dataset)
    model = LanguageModel.load(options.model, ModelOptions(device="cpu"))
    with tempfile.TemporaryDirectory() as folder:
        plain(model, options, Path(folder))
        long_tailed(model, options, Path(folder))


def plain(model: LanguageModel, options: argparse.Namespace, folder: Path) -> None:
    """The corpus as it is, and the size of its store."""
    train, evaluation = (
        str(first_lines(corpus, options.sentences, folder / f"{split}.jsonl"))
        for split, corpus in (("train", options.dataset), ("eval", options.eval_dataset))
    )
    _, store = extracted(options, folder, train, evaluation)
    splits = [tokenized(model, store, split) for split in SPLITS]
    ways = {
        f"{size:,}": [[split[i] for i in batch] for split in splits for batch in model.batches(split, size)]
        for size in BATCH_TOKENS
    }
    seconds = alternated(
        {"clvq": lambda: extracted(options, folder, train, evaluation)[0]}
        | {name: lambda batches=batches: bare(model, batches) for name, batches in ways.items()},
        options.rounds,
    )
    words = sum(store.manifest.splits[split].counts["words"] for split in SPLITS)
    best = min(ways, key=seconds.__getitem__)
    print_table(
        "Extraction",
        [
            ("words", f"{words:,}"),
            ("clvq extract, words per CPU second", f"{words / seconds['clvq']:,.0f}"),
            *(
                (
                    f"bare forward passes, {name} tokens a batch ({padding(ways[name]):.0%} padding), words per second",
                    f"{words / seconds[name]:,.0f}",
                )
                for name in ways
            ),
            (f"ratio to {best} tokens a batch (target: at least 0.95)", f"{seconds[best] / seconds['clvq']:.3f}"),
        ],
    )
    print_table("The store on the disk", disk(store))


def long_tailed(model: LanguageModel, options: argparse.Namespace, folder: Path) -> None:
    """A corpus with a few long sentences."""
    corpora = []
    for split, dataset in (("train", options.dataset), ("eval", options.eval_dataset)):
        corpora.append(folder / f"long-tailed-{split}.jsonl")
        made = long_tail(Path(dataset), options)
        corpora[-1].write_text("".join(json.dumps(line) + "\n" for line in made), encoding="utf-8")
    train, evaluation = map(str, corpora)
    _, store = extracted(options, folder, train, evaluation)
    splits = [tokenized(model, store, split) for split in SPLITS]
    size = options.file_batch
    in_order = [split[start : start + size] for split in splits for start in range(0, len(split), size)]
    seconds = alternated(
        {
            "clvq": lambda: extracted(options, folder, train, evaluation)[0],
            "order": lambda: bare(model, in_order),
        },
        options.rounds,
    )
    lengths = [len(sentence.input_ids) for split in splits for sentence in split]
    print_table(
        "Extraction of a long-tailed corpus",
        [
            ("sentences", f"{len(lengths):,}"),
            ("tokens of a sentence, median and most", f"{median(list(map(float, lengths))):.0f} and {max(lengths)}"),
            (
                f"bare forward passes in the order of the file, {size} sentences a batch, CPU seconds",
                f"{seconds['order']:.1f} ({padding(in_order):.0%} padding)",
            ),
            ("clvq extract, CPU seconds", f"{seconds['clvq']:.1f}"),
            ("times faster (target: at least 2)", f"{seconds['order'] / seconds['clvq']:.2f}"),
        ],
    )


def alternated(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Medians of the seconds that each way gives, where all take their turn in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            seconds[name].append(way())
    return {name: median(values) for name, values in seconds.items()}


def extracted(
    options: argparse.Namespace, folder: Path, dataset: str, evaluation: str
) -> tuple[float, clvq.ActivationStore]:
    """CPU seconds of an extraction, counted from when the model is loaded and the corpus read; and the store."""
    marks: list[float] = []
    store = clvq.extract(
        path=folder / "activations",
        overwrite=True,
        model=options.model,
        dataset=dataset,
        eval_dataset=evaluation,
        layers=(options.input_layer, options.output_layer),
        device="cpu",
        progress=lambda report: marks.append(time.process_time()),  # the first note says what columns are read
    )
    return time.process_time() - marks[0], store


def tokenized(model: LanguageModel, store: clvq.ActivationStore, split: str) -> list[TokenizedSentence]:
    return model.tokenize([sentence.text for sentence in store.sentences(split)])


@torch.inference_mode()
def bare(model: LanguageModel, batches: list[list[TokenizedSentence]]) -> float:
    """CPU seconds of the transformers model alone, on ready tensors."""
    inputs = [model.tensors.of(batch, 0) for batch in batches]
    return cpu_seconds(lambda: [model.model(**given) for given in inputs])[0]


def padding(batches: list[list[TokenizedSentence]]) -> float:
    """The share of padding among the tokens of all batches."""
    lengths = [[len(sentence.input_ids) for sentence in batch] for batch in batches]
    return 1 - sum(map(sum, lengths)) / sum(len(batch) * max(batch) for batch in lengths)


def long_tail(dataset: Path, options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """As many texts of the corpus as are asked for, with every so many a chain of texts in place of one."""
    lines = [json.loads(line) for line in dataset.read_text(encoding="utf-8").splitlines()]
    for number, line in enumerate(lines[: options.tail_sentences]):
        if number % options.one_long_in == 0:
            chain = [lines[(number + step) % len(lines)]["text"] for step in range(options.joined)]
            line = {**line, "text": " ".join(chain)}
        yield line


def disk(store: clvq.ActivationStore) -> list[tuple[str, str]]:
    """Bytes of the store against those of the numbers in it."""
    counts = [store.manifest.splits[split].counts for split in SPLITS]
    rows, words = (sum(count[name] for count in counts) for name in ("rows", "words"))
    total = sum(file.stat().st_size for file in store.path.iterdir())
    numbers = 4 * sum(store.layer(layer).width for layer in store.layers)
    return [
        ("rows (words and sentence rows), and layers", f"{rows:,} and {len(store.layers)}"),
        ("bytes of all files", f"{total:,}"),
        ("bytes a row and layer / (width x 4 bytes) (target: at most 1.02)", f"{total / rows / numbers:.4f}"),
        ("the same by words alone, where sentence rows count as overhead", f"{total / words / numbers:.4f}"),
    ]


if __name__ == "__main__":
    main()
