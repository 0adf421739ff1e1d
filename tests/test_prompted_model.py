"""A small prompted language model on real corpora, where they lie beside the checkout; skipped elsewhere."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import clvq
from clvq.activations.store import ActivationStore

SHARED = Path(__file__).parents[2] / "shared"
MODEL, DATA = SHARED / "models" / "llama-prompted", SHARED / "data"
LABELS = {"movie": ("negative", "positive"), "agnews": ("World", "Sports", "Business", "Sci/Tech")}

pytestmark = [
    pytest.mark.skipif(not MODEL.exists() or not DATA.exists(), reason="needs ../shared"),
    pytest.mark.slow,
]


@pytest.mark.parametrize("corpus", LABELS)
def test_predictions_are_those_of_a_loop_over_unpadded_prompts(corpus: str, tmp_path: Path) -> None:
    prompt = json.loads((MODEL / "prompts.json").read_text())[corpus]
    with (DATA / f"{corpus}-train.jsonl").open() as lines:
        (tmp_path / "train.jsonl").write_text("".join(islice(lines, 20)))
    words = ",".join(f'{label}="{word}"' for label, word in zip(LABELS[corpus], prompt["label_words"], strict=True))
    store = clvq.extract(
        tmp_path / "activations",
        model=str(MODEL),
        dataset=str(tmp_path / "train.jsonl"),
        eval_dataset=str(DATA / f"{corpus}-dev.jsonl"),
        prompt=prompt["template"],
        label_words=words,
        layers=(4,),
        device="cpu",
    )
    assert store.label_names == list(LABELS[corpus])
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    ids = [tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in prompt["label_words"]]
    tail = len(tokenizer(prompt["template"].replace("{text}", ""), add_special_tokens=False)["input_ids"])
    right = []
    for line, sentence in zip((DATA / f"{corpus}-dev.jsonl").open(), store.sentences("eval"), strict=True):
        row = json.loads(line)
        tokens = tokenizer(prompt["template"].replace("{text}", row["text"]), verbose=False)["input_ids"]
        if len(tokens) > 256:  # what the model takes: the text is cut, and the prompt stays
            tokens = tokens[: 256 - tail] + tokens[len(tokens) - tail :]
        with torch.no_grad():
            scores = model(torch.tensor([tokens])).logits[0, -1].log_softmax(dim=0)[ids]
        assert sentence.text == row["text"]
        assert np.log(sentence.probabilities) == pytest.approx(scores.numpy(), abs=1e-5)
        assert sentence.prediction == int(scores.argmax())
        right.append(int(scores.argmax()) == row["label"])
    assert store.manifest.splits["eval"].figures.accuracy == np.mean(right) > 0.8
    assert store.manifest.splits["eval"].figures.label_words_share > 0.9
    _words_are_of_the_text(store)


def _words_are_of_the_text(store: ActivationStore) -> None:
    for sentence in store.sentences("eval"):
        assert all(
            0 <= start < end <= len(sentence.text) for start, end in zip(sentence.starts, sentence.ends, strict=True)
        )
