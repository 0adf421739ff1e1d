"""What the codes know of the demo's planted classes, beside word identity and k-means codes of the same size.

python benchmarks/demo_concepts.py --run RUN      # RUN/L4-L8 is trained on the demo where it is missing

Two questions, on the words of the evaluation split:

- Contextual polarity of denied words ("not good"): each code is read as the majority class of its training words, and a
  word as the class of its code. Word identity reads a word as the majority class of its type, codes left aside. k-means
  codes are those that a training starts from: of the input layer itself, with no encoder.
- Adjusted mutual information between codes and planted classes. The ceiling is what a codebook of the same number of
  codes would reach that never mixes two classes and knows nothing else: each class dealt at random over its share.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from common import notes, print_table
from sklearn.metrics import adjusted_mutual_info_score

import clvq
from clvq.demo import DemoWord, corpus
from clvq.language_model.rows import WORD
from clvq.models.clvq_vae import ClvqVae
from clvq.models.distances import nearest
from clvq.training.frozen_codes import kmeans_codes
from clvq.training.rows import LayerPair, pair_rows, split_by_text
from demo.measure import denied

CLASSES: dict[str, Callable[[DemoWord], str]] = {
    "polarity": lambda word: word.polarity,
    "aspect": lambda word: word.aspect or "none",
    "domain": lambda word: word.domain or "none",
    "all three": lambda word: f"{word.polarity} {word.aspect} {word.domain}",
}


class Words(NamedTuple):
    """The words of a split, in the order of its rows."""

    planted: list[DemoWord]
    denied: np.ndarray
    """[N] bool."""
    states: torch.Tensor
    """[N, D] at the input layer, scaled."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("demo-run"), help="run folder, made where it is missing")
    parser.add_argument("--model", default="demo", help="another build of the demo model")
    parser.add_argument("--metric", default="mixed", help="metric of the codes")
    options = parser.parse_args()
    store = clvq.extract(
        options.run / "activations", model=options.model, dataset="demo", layers=(4, 8), progress=notes
    )
    checkpoint = clvq.train(
        store, input_layer=4, output_layer=8, metric=options.metric, path=options.run / "L4-L8", progress=notes
    )
    model = checkpoint.load()
    assert isinstance(model, ClvqVae)
    scale = float(model.input_scale)
    train, evaluation = (words_of(store, split, scale) for split in ("train", "eval"))
    training, _ = split_by_text(store, "train")
    start = pair_rows(store, "train", LayerPair((4, 8), (scale, 1.0)), sentences=training)
    codes = kmeans_codes(start, checkpoint.settings.codebook_size, checkpoint.settings.seed)
    readings: dict[str, tuple[list[Hashable], list[Hashable]]] = {"word identity": (texts(train), texts(evaluation))}
    with torch.no_grad():
        for name, assign in {
            "k-means codes": lambda states: nearest(states, codes),
            "clvq": lambda states: model.nearest(model.encoder(states)),
        }.items():
            readings[name] = (assign(train.states).tolist(), assign(evaluation.states).tolist())
    names = ["clvq", "k-means codes", "word identity"]
    polarity = [[name, *map(str, polarity_figures(train, evaluation, *readings[name]))] for name in names]
    count = f"{int(evaluation.denied.sum())} denied words, {len(evaluation.planted)} words"
    print_table(
        f"Contextual polarity on the demo's evaluation split, {count}", polarity, ("codes", "denied", "judging", "all")
    )
    rows = []
    for name in names:
        figures = [adjusted(planted(evaluation, class_of), readings[name][1]) for class_of in CLASSES.values()]
        rows.append([name, *(f"{figure:.3f}" for figure in figures)])
    dealt = [
        adjusted(planted(evaluation, class_of), deal(planted(evaluation, class_of), readings["clvq"][1]))
        for class_of in CLASSES.values()
    ]
    rows.append(["ceiling: as many codes, none mixed", *(f"{figure:.3f}" for figure in dealt)])
    print_table("Adjusted mutual information with planted classes, the same words", rows, ("codes", *CLASSES))


def words_of(store: clvq.ActivationStore, split: str, scale: float) -> Words:
    """Every word row of a split with what the grammar planted there."""
    reviews = {review.text: review for review in corpus("train" if split == "train" else "eval")}
    words: list[DemoWord] = []
    flags: list[bool] = []
    for sentence in store.sentences(split):
        review = reviews[sentence.text]
        there = {(word.start, word.end): (word, flag) for word, flag in zip(review.words, denied(review), strict=True)}
        for start, end, flag in zip(sentence.starts, sentence.ends, sentence.flags, strict=True):
            if flag & WORD:
                word, is_denied = there[start, end]
                words.append(word)
                flags.append(is_denied)
    states = torch.cat([rows for _, rows in store.rows(split, 4).shards()])
    is_word = torch.from_numpy((store.flags(split) & WORD) != 0)
    return Words(words, np.array(flags), states[is_word].float() * scale)


def polarity_figures(
    train: Words, evaluation: Words, seen: Sequence[Hashable], unseen: Sequence[Hashable]
) -> list[str]:
    """Share of denied, of judging and of all words whose polarity is the majority class of their group in training."""
    groups: dict[Hashable, Counter[str]] = {}
    for word, group in zip(train.planted, seen, strict=True):
        groups.setdefault(group, Counter())[word.polarity] += 1
    usual = {group: classes.most_common(1)[0][0] for group, classes in groups.items()}
    right = np.array(
        [usual.get(group, "neutral") == w.polarity for w, group in zip(evaluation.planted, unseen, strict=True)]
    )
    judging = np.array([word.polarity != "neutral" for word in evaluation.planted])
    return [f"{right[evaluation.denied].mean():.3f}", f"{right[judging].mean():.3f}", f"{right.mean():.3f}"]


def deal(classes: Sequence[str], codes: Sequence[Hashable]) -> list[str]:
    """Codes of one class each, as many in all as in `codes`, in proportion to the classes."""
    generator = np.random.default_rng(0)
    size, counts = len(set(codes)), Counter(classes)
    shares = {name: max(1, round(size * count / len(classes))) for name, count in counts.items()}
    return [f"{name} {generator.integers(shares[name])}" for name in classes]


def planted(words: Words, class_of: Callable[[DemoWord], str]) -> list[str]:
    return [class_of(word) for word in words.planted]


def texts(words: Words) -> list[Hashable]:
    return [word.text for word in words.planted]


def adjusted(classes: Sequence[str], codes: Sequence[Hashable]) -> float:
    numbers = np.unique(np.array([str(code) for code in codes]), return_inverse=True)[1]
    return float(adjusted_mutual_info_score(classes, numbers))


if __name__ == "__main__":
    main()
