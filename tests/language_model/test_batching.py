"""Rows and predictions in batches are those of single, unpadded forwards, in any architecture."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from clvq.activations.extraction import extract
from clvq.activations.store import ActivationStore
from clvq.errors import ClvqError
from clvq.explanations.attribution import IntegratedAttribution
from clvq.language_model.batching import Sharing
from clvq.language_model.loading import LoadedFiles
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.tokenization import TokenizedSentence
from clvq.language_model.upper_layers import UpperLayers
from clvq.progress import Progress

Load = Callable[[str], LanguageModel]
Folder = Callable[[str], Path]

NAMES = (*tiny_models.BUILDERS, *tiny_models.PADDING_READERS, *tiny_models.OTHER_ENCODERS)
WORDS = [word for sentence in tiny_models.made_sentences()[::37] for word in sentence.split()]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), min_size=1, max_size=9)


@pytest.fixture(scope="module")
def plain_model(model_folder: Folder) -> Callable[[str], Any]:
    return cache(lambda name: AutoModelForSequenceClassification.from_pretrained(model_folder(name)).eval())


def states_and_logits(plain: Any, ids: list[int]) -> tuple[list[Tensor], Tensor]:
    """Of one unpadded sentence: the states `[T, D]` of every layer, and the logits."""
    with torch.no_grad():
        output = plain(input_ids=torch.tensor([ids]), output_hidden_states=True)
    return [state[0] for state in output.hidden_states], output.logits[0]


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    assert float((ours - theirs).abs().max()) <= 2e-5 * max(1.0, float(theirs.abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(texts=TEXTS, batch_tokens=st.integers(1, 200))
def test_rows_and_predictions_do_not_depend_on_the_batch(
    name: str, texts: list[str], batch_tokens: int, language_model: Load, plain_model: Callable[[str], Any]
) -> None:
    model, plain = language_model(name), plain_model(name)
    sentences = model.tokenize(texts, "token")
    batches = list(model.batches(sentences, batch_tokens))
    assert sorted(index for batch in batches for index in batch) == list(range(len(texts)))
    for batch in batches:
        lengths = [len(sentences[index].input_ids) for index in batch]
        assert len(batch) == 1 or len(batch) * max(lengths) <= batch_tokens
        result = model.run([sentences[index] for index in batch], [1, model.num_layers], predict=True)
        assert result.scores is not None
        first = 0
        for place, index in enumerate(batch):
            if not sentences[index].input_ids:
                continue
            states, logits = states_and_logits(plain, sentences[index].input_ids)
            assert_close(result.scores[place], logits)
            tokens = sorted(token for word in sentences[index].word_tokens for token in word)
            tokens = sorted({*tokens, sentences[index].sentence_token})
            for layer in (1, model.num_layers):
                assert_close(result.hidden[layer][first : first + len(tokens)], states[layer][tokens])
            first += len(tokens)


@pytest.mark.parametrize("name", NAMES)
def test_a_trial_finds_the_models_that_read_padding(name: str, language_model: Load, model_folder: Folder) -> None:
    expected = Sharing.EQUAL if name in tiny_models.PADDING_READERS else Sharing.ANY
    assert language_model(name).sharing is expected
    notes: list[Progress] = []
    LanguageModel.load(str(model_folder(name)), ModelOptions(device="cpu"), progress=notes.append)
    assert ["depend on padding" in str(note.note) for note in notes] == [True] * (expected is Sharing.EQUAL)


@pytest.mark.parametrize("name", tiny_models.PADDING_READERS)
def test_sentences_given_in_any_mixture_are_run_apart(
    name: str, language_model: Load, plain_model: Callable[[str], Any]
) -> None:
    model = language_model(name)
    sentences = model.tokenize(["The film wasn't good!", "slow", "", "boring", "My uncle's script felt slow"], "token")
    result = model.run(sentences, [2], predict=True)
    assert result.scores is not None
    for logits, sentence in zip(result.scores, sentences, strict=True):
        assert_close(logits, states_and_logits(plain_model(name), sentence.input_ids)[1])
    upper = UpperLayers(model, 1)
    with pytest.raises(ClvqError, match="equal length in one batch"):
        upper.inputs(sentences)


def with_change(folder: Path, change: Callable[[Any], None]) -> LanguageModel:
    """The model of a folder, changed before it is tried."""
    plain = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    change(plain)
    return LanguageModel(LoadedFiles(plain, AutoTokenizer.from_pretrained(folder)), model_id="changed")


def test_a_head_that_reads_padding_is_found_too(model_folder: Folder) -> None:
    def mean_of_all(plain: Any) -> None:
        plain.bert.pooler.forward = lambda states: states.mean(dim=1)

    assert with_change(model_folder("bert"), mean_of_all).sharing is Sharing.EQUAL


def test_where_even_equal_lengths_differ_sentences_go_one_by_one(model_folder: Folder) -> None:
    def mix(plain: Any) -> None:
        block = plain.bert.encoder.layer[1]
        block.register_forward_hook(lambda _m, _a, states: states + 0.1 * states.mean(dim=0, keepdim=True))

    model = with_change(model_folder("bert"), mix)
    assert model.sharing is Sharing.ALONE
    assert "one by one" in str(model.sharing.note("it"))
    sentences = model.tokenize(["a film", "a movie", "", "a slow film"])
    assert sorted(model.batches(sentences, 4096)) == [[0], [1], [2], [3]]
    together = model.run(sentences, [3], predict=True)
    alone = [model.run([sentence], [3], predict=True) for sentence in sentences]
    assert torch.equal(together.hidden[3], torch.cat([one.hidden[3] for one in alone]))
    assert together.row_counts == [one.row_counts[0] for one in alone]


def test_the_trial_needs_no_more_tokens_than_the_model_takes(model_folder: Folder) -> None:
    for length in (3, 5):
        model = LanguageModel.load(str(model_folder("fnet")), ModelOptions(device="cpu", max_length=length))
        assert model.sharing is Sharing.EQUAL


@pytest.mark.slow
def test_a_model_in_16_bits_shares_forwards(model_folder: Folder) -> None:
    for name in NAMES:
        if name == "fnet":
            continue  # no Fourier transform in 16 bits
        expected = Sharing.EQUAL if name in tiny_models.PADDING_READERS else Sharing.ANY
        for dtype in (torch.bfloat16, torch.float16):
            assert with_change(model_folder(name), lambda plain, dtype=dtype: plain.to(dtype)).sharing is expected


@pytest.mark.slow
@pytest.mark.parametrize("name", tiny_models.PADDING_READERS)
def test_an_extraction_stores_the_rows_of_unpadded_sentences(
    name: str, model_folder: Folder, corpus_file: Path, tmp_path: Path
) -> None:
    made: list[ActivationStore] = []
    for batch_tokens in (300, 1):
        notes: list[Progress] = []
        made.append(
            extract(
                tmp_path / str(batch_tokens), model=str(model_folder(name)), dataset=str(corpus_file), layers=(2,),
                device="cpu", batch_tokens=batch_tokens, progress=notes.append,
            )
        )  # fmt: skip
        assert sum("depend on padding" in str(note.note) for note in notes) == 1
    for file in made[0].path.glob("*.safetensors"):
        ours, theirs = (load_file(store.path / file.name)["hidden_states"] for store in made)
        assert_close(ours.float(), theirs.float())
    for one, other in zip(made[0].sentences("eval"), made[1].sentences("eval"), strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("in_config", [False, True])
def test_a_padding_id_that_the_embeddings_lack(name: str, in_config: bool, tmp_path: Path) -> None:
    """The tokenizer got a padding token; the embeddings were not made larger."""
    folder = tiny_models.BUILDERS[name](tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(folder)
    plain = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert tokenizer.pad_token_id == plain.config.vocab_size
    if in_config:
        settings_of_model = json.loads((folder / "config.json").read_text())
        settings_of_model["pad_token_id"] = tokenizer.pad_token_id
        (folder / "config.json").write_text(json.dumps(settings_of_model))
    model = LanguageModel.load(str(folder), ModelOptions(device="cpu"))
    assert model.tensors.filler_ids[0] == tokenizer.eos_token_id
    sentences = model.tokenize(["The film wasn't good!", "slow", "My uncle's script felt slow"])
    result = model.run(sentences, [1], predict=True)
    assert result.scores is not None
    for logits, sentence in zip(result.scores, sentences, strict=True):
        assert_close(logits, states_and_logits(plain, sentence.input_ids)[1])
    upper = UpperLayers(model, 1)
    attribution = IntegratedAttribution(
        upper, baseline="padding", steps=16, max_steps=16, completeness=1.0, batch_tokens=4096
    )
    batch = next(attribution.batches(sentences))
    for index, found in zip(batch, attribution.of_batch(sentences, batch), strict=True):
        assert found.confidence == pytest.approx(float(result.scores[index].softmax(0).max()), abs=1e-5)
        start = upper.states(upper.inputs([sentences[index]._replace(input_ids=filled(model, sentences[index]))]))
        logits = upper.scores(start, upper.inputs([sentences[index]]))[0]
        assert found.difference == pytest.approx(float((result.scores[index] - logits)[found.target]), abs=1e-4)


def filled(model: LanguageModel, sentence: TokenizedSentence) -> list[int]:
    """The sentence's ids with the end of text in place of all that is not special."""
    special, end = set(model.tokenizer.all_special_ids), model.tokenizer.eos_token_id
    return [number if number in special else end for number in sentence.input_ids]
