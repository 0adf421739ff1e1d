"""A real classifier on a real corpus, where they lie beside the checkout; skipped elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

import clvq
from clvq.language_model.rows import WORD

SHARED = Path(__file__).parents[2] / "shared"
MODEL, DATA = SHARED / "models" / "minilm-l6-movie", SHARED / "data"

pytestmark = pytest.mark.skipif(not MODEL.exists() or not DATA.exists(), reason="needs ../shared")


def test_movie_sentences_through_a_real_classifier(tmp_path: Path) -> None:
    store = clvq.extract(
        tmp_path / "activations",
        model=str(MODEL),
        dataset=str(DATA / "movie-train.jsonl"),
        eval_dataset=str(DATA / "movie-dev.jsonl"),
        layers=(4, 6),
        words="whitespace",
        max_sentences=150,
        device="cpu",
    )
    assert store.manifest.splits["eval"].figures.accuracy > 0.85
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    model = AutoModel.from_pretrained(MODEL, dtype=torch.float32).eval()
    ends = np.cumsum(store.row_counts("eval"))
    for number, sentence in zip(range(5), store.sentences("eval"), strict=False):
        words = sentence.text.split()
        encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        with torch.no_grad():
            states = model(**encoded, output_hidden_states=True).hidden_states
        last = {word: place for place, word in enumerate(encoded.word_ids()) if word is not None}
        rows = [0, *(last[word] for word in range(len(words)))]
        assert [flag & WORD for flag in sentence.flags] == [0] + [WORD] * len(words)
        for layer in (4, 6):
            (stored,) = store.rows("eval", layer).slices([ends[number] - len(rows)], [ends[number]])
            torch.testing.assert_close(stored, states[layer][0, rows], atol=1e-4, rtol=1e-4)
    checkpoint = clvq.train(
        store, path=tmp_path / "c", input_layer=4, output_layer=6, codebook_size=50, epochs=3, device="cpu"
    )
    figures = checkpoint.results.evaluation
    assert figures.fvu < checkpoint.results.yardsticks.copy
    assert figures.fvu < figures.fvu_codes_shuffled
