"""The bundled demo: a small classifier of reviews, and a corpus whose truth is known.

The corpus is made on the spot by `grammar`; the model in `MODEL_PATH` was trained by `python -m
clvq.demo.build`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

from clvq.demo.grammar import DemoSentence, generate

__all__ = ["CORPUS_SEED", "EVAL_SIZE", "MODEL_PATH", "TRAIN_SIZE", "corpus"]

MODEL_PATH = Path(__file__).parent / "model"
CORPUS_SEED = 20040
TRAIN_SIZE = 3200
EVAL_SIZE = 800


def corpus(split: Literal["train", "eval"]) -> list[DemoSentence]:
    """The fixed reviews of a split; no text is in both."""
    if split not in ("train", "eval"):
        raise ValueError(f"unknown split {split!r} of the demo corpus: choose train or eval")
    reviews = _reviews()
    return list(reviews[:TRAIN_SIZE] if split == "train" else reviews[TRAIN_SIZE:])


@lru_cache(maxsize=1)
def _reviews() -> tuple[DemoSentence, ...]:
    return tuple(generate(TRAIN_SIZE + EVAL_SIZE, CORPUS_SEED))
