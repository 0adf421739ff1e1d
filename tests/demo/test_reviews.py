"""The shipped reviews are those of the grammar, to the byte."""

from __future__ import annotations

import lzma

import pytest

from clvq.demo import EVAL_SIZE, REVIEWS_PATH, TRAIN_SIZE, corpus
from demo.grammar import generate
from demo.reviews import CORPUS_SEED, compressed, lines

pytestmark = pytest.mark.slow


def test_the_grammar_gives_the_shipped_file() -> None:
    """The compressed bytes follow from the version of liblzma, so they are compared by what they hold and by size."""
    shipped = REVIEWS_PATH.read_bytes()
    assert lzma.decompress(shipped) == lines()
    again = compressed()
    assert again == compressed()
    assert lzma.decompress(again) == lines()
    assert len(shipped) < 250_000


def test_the_reader_gives_what_the_grammar_planted() -> None:
    assert corpus("train") + corpus("eval") == generate(TRAIN_SIZE + EVAL_SIZE, CORPUS_SEED)
