"""Rows, predictions and places of layers against plain, unbatched, unpadded Hugging Face forwards.

Both sides compute in 32 bits. Padding changes the shapes that the kernels see, and with them the order of
sums, so numbers agree to a few roundings: TOLERANCE, relative to the largest number compared, or to 1 where
that is larger (a logit near zero is a sum of larger terms).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AlbertConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer, T5Config

from clvq.errors import ClvqError
from clvq.language_model.loading import LoadedFiles
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.rows import FIRST, SENTENCE, WORD, row_layout
from clvq.language_model.sites import find_sites
from clvq.language_model.words import find_words

TOLERANCE = 1e-5
NAMES = tuple(tiny_models.BUILDERS)
ENCODERS = tuple(name for name in NAMES if name not in tiny_models.DECODERS)
SPECIAL = {"[PAD]", "[CLS]", "[SEP]", "[MASK]", "<s>", "</s>", "<pad>", "<mask>", "<|endoftext|>"}
TEXTS = [
    "The film wasn't good!",
    "",
    "Her well-known acting is unbelievably boring; truly...",
    "  leading,  double   and trailing spaces \n",
    " \t\n ",
    "NUL\0 inside \0 and alone",
    "café cafe\u0301 naïve \u0301 ÀÉÎ",
    "zero\u200bwidth \u200b and \ufeff marks",
    "emoji 😀👨‍👩‍👧 ❤️ and 🇩🇪",
    "שלום עולם مرحبا 世界 我喜歡",
    "half a pair \ud83d alone",
    "a [SEP] b </s> c <|endoftext|>",
    "▁ lower ▁one",
    "unbreakable" * 12 + " word",
    "This movie felt rather slow, but charming " * 8,
    "x",
]

Load = Callable[[str], LanguageModel]
Folder = Callable[[str], Path]


class NaiveRow(NamedTuple):
    flags: int
    span: tuple[int, int] | None
    states: list[Tensor]


class NaiveSentence(NamedTuple):
    ids: list[int]
    rows: list[NaiveRow]
    dropped: int
    truncated: int
    logits: Tensor | None


def naive(model: Any, tokenizer: Any, text: str, *, pooling: str, decoder: bool) -> NaiveSentence:
    """One sentence by the rules of the method page, in plain loops around a plain forward."""
    text = text.replace("\ud83d", "\ufffd")
    whole = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
    ids = tokenizer(text, truncation=True, max_length=64)["input_ids"]
    tokens = tokenizer.convert_ids_to_tokens(whole["input_ids"])
    added = whole["special_tokens_mask"]
    head = next((at for at, mark in enumerate(added) if not mark), len(added))
    inside = head + len(ids) - sum(added)  # tokens of the text end here in the cut sentence

    if not ids:
        return NaiveSentence([], [], len(find_words(text, "text")), 0, None)
    with torch.no_grad():
        output = model(torch.tensor([ids]), output_hidden_states=True)
    logits = getattr(output, "logits", None)

    def pooled(members: list[int]) -> list[Tensor]:
        members = {"last": members[-1:], "first": members[:1], "mean": members}[pooling]
        return [state[0, members].mean(0) for state in output.hidden_states]

    rows: list[tuple[list[int], NaiveRow]] = []
    dropped = truncated = 0
    for start, end in find_words(text, "text"):
        members = []
        for at, (first, last) in enumerate(whole["offset_mapping"]):
            visible = [place for place in range(first, last) if text[place].strip()]
            blank = set(tokens[at]) == {"▁"} and "▁" not in text[first:last]
            if visible and start <= visible[0] < end and not added[at] and not blank and tokens[at] not in SPECIAL:
                members.append(at)
        if not members:
            dropped += 1
        elif members[-1] >= inside:
            truncated += 1
        else:
            used = {"last": members[-1:], "first": members[:1], "mean": members}[pooling]
            flags = WORD | (FIRST if decoder and 0 in used else 0)
            rows.append((used, NaiveRow(flags, (start, end), pooled(members))))
    if not decoder:
        return NaiveSentence(
            ids, [NaiveRow(SENTENCE, None, pooled([0])), *(r for _, r in rows)], dropped, truncated, logits
        )
    last = len(ids) - 1
    if rows and rows[-1][0] == [last]:
        used, row = rows[-1]
        rows[-1] = (used, row._replace(flags=row.flags | SENTENCE))
    else:
        rows.append(([last], NaiveRow(SENTENCE | (FIRST if last == 0 else 0), None, pooled([last]))))
    return NaiveSentence(ids, [row for _, row in rows], dropped, truncated, logits)


def plain(folder: Path, head: bool = True) -> tuple[Any, Any]:
    auto = AutoModelForSequenceClassification if head else AutoModel
    return auto.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    scale = max(1.0, float(theirs.abs().max()))
    assert float((ours - theirs).abs().max()) <= TOLERANCE * scale


def assert_as_naive(ours: LanguageModel, model: Any, tokenizer: Any, texts: list[str], pooling: str) -> None:
    layers = range(ours.num_layers + 1)
    sentences = ours.tokenize(texts, "word", "text")
    result = ours.run(sentences, layers, pooling, predict=ours.label_names is not None)
    expected = [naive(model, tokenizer, text, pooling=pooling, decoder=ours.is_decoder) for text in texts]
    assert result.row_counts == [len(item.rows) for item in expected]
    for sentence, item in zip(sentences, expected, strict=True):
        layout = row_layout(sentence, pooling)
        assert sentence.input_ids == item.ids
        assert layout.flags == [row.flags for row in item.rows]
        spans = [sentence.words[word] if word >= 0 else None for word in layout.words]
        assert spans == [row.span for row in item.rows]
        assert (sentence.dropped_words, sentence.truncated_words) == (item.dropped, item.truncated)
    rows = [row for item in expected for row in item.rows]
    for layer in layers:
        assert_close(result.hidden[layer], torch.stack([row.states[layer] for row in rows]))
    if result.scores is not None:
        for logits, item in zip(result.scores, expected, strict=True):
            if item.logits is None:
                assert logits.isnan().all()
            else:
                assert_close(logits, item.logits[0])


@pytest.mark.parametrize("pooling", ["last", "mean", "first"])
@pytest.mark.parametrize("name", NAMES)
def test_rows_and_predictions_are_those_of_plain_forwards(
    name: str, pooling: str, language_model: Load, model_folder: Folder
) -> None:
    ours = language_model(name)
    assert ours.is_decoder == (name in tiny_models.DECODERS)
    assert_as_naive(ours, *plain(model_folder(name)), TEXTS, pooling)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", NAMES)
def test_the_tokenizers_side_of_padding_changes_nothing(
    name: str, side: str, language_model: Load, model_folder: Folder
) -> None:
    model, tokenizer = plain(model_folder(name))
    tokenizer.padding_side = side
    ours = LanguageModel(LoadedFiles(model, tokenizer), model_id=name)
    reference = language_model(name)
    layers = [0, ours.num_layers]
    result = ours.run(ours.tokenize(TEXTS), layers, predict=True)
    expected = reference.run(reference.tokenize(TEXTS), layers, predict=True)
    assert result.row_counts == expected.row_counts
    for layer in layers:
        assert torch.equal(result.hidden[layer], expected.hidden[layer])
    assert torch.equal(result.scores.nan_to_num(), expected.scores.nan_to_num())  # type: ignore[union-attr]


@pytest.mark.parametrize("unit", ["word", "token"])
@pytest.mark.parametrize("name", NAMES)
def test_a_tokenizer_that_truncates_on_the_left_keeps_the_last_words(
    name: str, unit: str, model_folder: Folder
) -> None:
    model, tokenizer = plain(model_folder(name))
    tokenizer.truncation_side = "left"
    ours = LanguageModel(LoadedFiles(model, tokenizer), model_id=name)
    for text in ("good " * 300 + "unbelievably lifeless directors", TEXTS[14] * 3, "unbreakable" * 40, "short"):
        (sentence,) = ours.tokenize([text], unit)
        assert sentence.input_ids == tokenizer(text, truncation=True, max_length=64)["input_ids"]
        lost = len(offsets_of(ours, text)) - len(sentence.input_ids)
        if unit == "word":
            starts = {
                start + len(text[start:end]) - len(text[start:end].lstrip()) for start, end in offsets_of(ours, text)
            }
            expected = [(start, end) for start, end in find_words(text, "text") if starts & {*range(start, end)}]
            assert sentence.words == expected[len(expected) - len(sentence.words) :]
            assert sentence.truncated_words + len(sentence.words) == len(expected)
        assert (sentence.truncated_words > 0) == (lost > 0)
        own = [at for at, mark in enumerate(special_mask(tokenizer, text)) if not mark]
        for span, tokens in zip(sentence.words, sentence.word_tokens, strict=True):
            for token in tokens:
                offsets = offsets_of(ours, text)[token + lost if token >= own[0] else token]
                assert offsets[0] < span[1] and offsets[1] > span[0]
    assert_as_rows_of_plain_forwards(ours, model, "good " * 300 + "unbelievably lifeless directors")


def offsets_of(ours: LanguageModel, text: str) -> list[tuple[int, int]]:
    return ours.tokenizer(text, return_offsets_mapping=True, verbose=False)["offset_mapping"]


def special_mask(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, return_special_tokens_mask=True, verbose=False)["special_tokens_mask"]


def assert_as_rows_of_plain_forwards(ours: LanguageModel, model: Any, text: str) -> None:
    """Of one sentence: its rows are the states of its words' last tokens in the cut sentence."""
    (sentence,) = ours.tokenize([text])
    with torch.no_grad():
        states = model(torch.tensor([sentence.input_ids]), output_hidden_states=True).hidden_states[1][0]
    rows = [row[-1] for row in row_layout(sentence, "last").positions]
    assert_close(ours.run([sentence], [1]).hidden[1], states[rows])


def test_byte_level_words_by_counting_bytes(language_model: Load) -> None:
    """The alignment once more, from the tokens' own bytes instead of the tokenizer's offsets."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    ours = language_model("gpt2")
    byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
    for text in ["The film wasn't good! 😀 naïve 世界", " a  b\n c", "e\u0301 ❤️ x"]:
        (sentence,) = ours.tokenize([text])
        start = 0
        owners: dict[tuple[int, int], list[int]] = {}
        for at, token in enumerate(ours.tokenizer.convert_ids_to_tokens(sentence.input_ids)):
            own = bytes(byte_of[character] for character in token)
            first = start + len(own) - len(own.lstrip())
            start += len(own)
            character = len(text.encode()[:first].decode(errors="ignore"))
            span = next((span for span in find_words(text, "text") if span[0] <= character < span[1]), None)
            if own.strip() and span:
                owners.setdefault(span, []).append(at)
        assert start == len(text.encode())
        assert dict(zip(sentence.words, map(list, sentence.word_tokens), strict=True)) == owners


@pytest.mark.parametrize("name", NAMES)
def test_locate_gives_the_hidden_states_of_every_layer(name: str, language_model: Load, model_folder: Folder) -> None:
    ours = language_model(name)
    ids = torch.tensor([ours.tokenize(["Her acting remains very good!"])[0].input_ids])
    seen: dict[int, Tensor] = {}
    handles = []
    for layer in range(ours.num_layers + 1):
        module, side = ours.locate(layer)

        def note(state: Any, layer: int = layer) -> None:
            seen[layer] = (state[0] if isinstance(state, tuple) else state).clone()

        if side == "input":
            handles.append(module.register_forward_pre_hook(lambda _m, args, note=note: note(args[0])))
        else:
            handles.append(module.register_forward_hook(lambda _m, _a, output, note=note: note(output)))
    with torch.no_grad():
        states = ours.base(ids, output_hidden_states=True).hidden_states
    for handle in handles:
        handle.remove()
    assert len(states) == ours.num_layers + 1
    for layer, state in enumerate(states):
        assert torch.equal(seen[layer], state)
        assert ours.width(layer) == state.shape[-1]


@pytest.mark.parametrize("name", ["bert", "llama"])
@pytest.mark.parametrize("highest", [0, 2])
def test_blocks_above_the_highest_layer_do_not_run(name: str, highest: int, language_model: Load) -> None:
    ours = language_model(name)
    called: list[int] = []
    blocks = [ours.locate(layer).module for layer in range(1, ours.num_layers)]
    handles = [
        block.register_forward_hook(lambda *_, number=number: called.append(number))
        for number, block in enumerate(blocks, start=1)
    ]
    sentences = ours.tokenize(TEXTS[:3])
    ours.run(sentences, [0, highest])
    early, called[:] = list(called), []
    ours.run(sentences, [0, highest], predict=True)
    for handle in handles:
        handle.remove()
    assert early == list(range(1, highest + 1))
    assert called == list(range(1, ours.num_layers))
    assert not any(module._forward_pre_hooks for module in ours.model.modules())


def test_a_layer_between_two_blocks_is_found(tmp_path: Path) -> None:
    """DeBERTa v2 may have a convolution after its first block, which hidden_states[1] includes."""
    folder = tiny_models.tiny_deberta(tmp_path, conv_kernel_size=3, conv_act="gelu")
    ours = LanguageModel.load(str(folder), ModelOptions(device="cpu"))
    assert ours.locate(1).side == "input"
    assert_as_naive(ours, *plain(folder), TEXTS, "last")


class NormTwice(torch.nn.Module):
    """A stack whose one norm stands below and above the blocks, so that its output names no single layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(9, 4)
        self.blocks = torch.nn.ModuleList([torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)])
        self.norm = torch.nn.LayerNorm(4)

    def forward(self, input_ids: Tensor, **_: Any) -> SimpleNamespace:
        states = [self.norm(self.embedding(input_ids))]
        for block in self.blocks:
            states.append(block(states[-1]))
        return SimpleNamespace(hidden_states=states, last_hidden_state=self.norm(states[-1]))


def test_a_module_that_runs_twice_is_no_place_of_a_layer() -> None:
    with pytest.raises(ClvqError, match="layer 2 pass no known place"):
        find_sites(NormTwice(), 2, {"input_ids": torch.arange(5)[None]})


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_decoders_prediction_is_that_of_its_last_token(name: str, pad: bool, tmp_path: Path) -> None:
    """Ids 0 and EOS stand at the ends of texts: neither is taken for padding unless the model itself does."""
    folder = tiny_models.BUILDERS[name](tmp_path, pad=pad, labels=3)
    ours = LanguageModel.load(str(folder), ModelOptions(device="cpu"))
    model, _ = plain(folder)
    assert model.config.pad_token_id == (ours.tokenizer.eos_token_id if pad else None)
    end = ours.tokenizer.eos_token_id
    bodies = [[5, 9, 7], [5], [5, 9, end], [5, 0], [0, 5, 9, 7, 8], [end, 5, 0, 0], [0]]
    sentences = [ours.tokenize([""])[0]._replace(input_ids=ids, sentence_token=len(ids) - 1) for ids in bodies]
    for batch in (sentences, sentences[3:4]):
        logits = ours.run(batch, [], predict=True).scores
        assert logits is not None
        for row, sentence in zip(logits, batch, strict=True):
            with torch.no_grad():
                assert_close(row, model(torch.tensor([sentence.input_ids])).logits[0])
    assert ours.config.pad_token_id == model.config.pad_token_id


def test_a_batch_that_uses_every_id_is_predicted_one_by_one(language_model: Load, model_folder: Folder) -> None:
    ours = language_model("gpt2")
    model, _ = plain(model_folder("gpt2"))
    size = model.config.vocab_size
    parts = [list(range(start, min(size, start + 60))) for start in range(0, size, 60)]
    blank = ours.tokenize([""])[0]
    sentences = [blank, *(blank._replace(input_ids=ids, sentence_token=len(ids) - 1) for ids in parts)]
    result = ours.run(sentences, [1], predict=True)
    assert result.row_counts == [0] + [1] * len(parts)
    assert result.scores is not None and result.scores[0].isnan().all()
    for logits, state, ids in zip(result.scores[1:], result.hidden[1], parts, strict=True):
        with torch.no_grad():
            output = model(torch.tensor([ids]), output_hidden_states=True)
        assert_close(logits, output.logits[0])
        assert_close(state, output.hidden_states[1][0, -1])


@pytest.mark.parametrize("name", NAMES)
def test_sentences_without_rows_are_skipped(name: str, language_model: Load) -> None:
    ours = language_model(name)
    sentences = ours.tokenize(["", "   "])
    result = ours.run(sentences[:1], [1], predict=True)
    assert result.scores is not None and result.scores.shape == (1, 2)
    rows = 0 if name in ("gpt2", "qwen2") else 1
    assert result.row_counts == [rows] and result.hidden[1].shape == (rows, ours.width(1))
    assert bool(result.scores.isnan().all()) == (rows == 0)
    nothing = ours.run([], [1], predict=True)
    assert nothing.hidden[1].shape == (0, ours.width(1)) and nothing.row_counts == []
    assert all(row_layout(sentence, "last").words in ([], [-1]) for sentence in sentences)


@pytest.mark.parametrize("name", NAMES)
def test_unit_token_makes_every_visible_token_a_word(name: str, language_model: Load) -> None:
    ours = language_model(name)
    text = " The film  wasn't 😀\n"
    (sentence,) = ours.tokenize([text], "token")
    spans = [text[start:end] for start, end in sentence.words]
    assert all(span and not span[0].isspace() for span in spans)
    assert all(len(tokens) == 1 for tokens in sentence.word_tokens)
    assert sentence.dropped_words == sentence.truncated_words == 0
    (by_word,) = ours.tokenize([text], "word")
    assert sorted(chain(*by_word.word_tokens)) == list(chain(*sentence.word_tokens))
    (cut,) = ours.tokenize(["good " * 100], "token")
    assert cut.truncated_words > 0 and len(cut.input_ids) == ours.max_length


@pytest.mark.parametrize("name", NAMES)
def test_counts(name: str, language_model: Load) -> None:
    ours = language_model(name)
    (sentence,) = ours.tokenize(["so... a\0 \u0301 "])
    total = len(find_words("so... a\0 \u0301 ", "text"))
    assert len(sentence.words) + sentence.dropped_words == total
    special = {"gpt2": 0, "qwen2": 0}.get(name, 1)  # [SEP] or </s>; a decoder's BOS
    assert sentence.left_out_tokens == special
    assert sentence.first_token == (0 if ours.is_decoder else -1)


def test_what_a_model_is_follows_what_it_does(tmp_path: Path) -> None:
    """A BERT that is configured as a decoder is one: the sentence row is its last token."""
    ours = LanguageModel.load(str(tiny_models.tiny_bert(tmp_path, is_decoder=True)), ModelOptions(device="cpu"))
    (sentence,) = ours.tokenize(["good"])
    assert ours.is_decoder
    assert row_layout(sentence, "last").flags == [WORD, SENTENCE]


def test_states_keep_the_models_type(model_folder: Folder) -> None:
    model, tokenizer = plain(model_folder("llama"))
    ours = LanguageModel(LoadedFiles(model.to(torch.bfloat16), tokenizer), model_id="bf16")
    result = ours.run(ours.tokenize(TEXTS), [0, 4], "mean", predict=True)
    assert ours.is_decoder and result.scores is not None and result.scores.dtype == torch.float32
    assert {state.dtype for state in result.hidden.values()} == {torch.bfloat16}


def test_special_tokens_in_the_text_have_no_row(language_model: Load) -> None:
    (sentence,) = language_model("bert").tokenize(["a [SEP] b"])
    assert [sentence.words, sentence.dropped_words, sentence.left_out_tokens] == [[(0, 1), (8, 9)], 3, 2]


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_max_length(name: str, model_folder: Folder) -> None:
    folder = str(model_folder(name))
    ours = LanguageModel.load(folder, ModelOptions(device="cpu", max_length=8))
    assert ours.max_length == 8
    (sentence,) = ours.tokenize(["unbelievably charming and rather lifeless directors"])
    assert len(sentence.input_ids) == 8 and sentence.truncated_words > 0
    assert max(chain(*sentence.word_tokens), default=0) < 8
    with pytest.raises(ClvqError, match="at most 64"):
        LanguageModel.load(folder, ModelOptions(max_length=65))
    with pytest.raises(ClvqError, match="at least"):
        LanguageModel.load(folder, ModelOptions(max_length=0))


def test_length_limits(language_model: Load, tmp_path: Path) -> None:
    assert {name: language_model(name).max_length for name in NAMES} == dict.fromkeys(NAMES, 64)
    folder = tiny_models.tiny_bert(tmp_path, layers=1)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 20}))
    assert LanguageModel.load(str(folder), ModelOptions(device="cpu")).max_length == 20
    assert LanguageModel.load(str(folder), ModelOptions(device="cpu", max_length=30)).max_length == 30


def test_layers_out_of_range_and_unknown_words_of_settings(language_model: Load) -> None:
    ours = language_model("bert")
    for wrong in (-1, 5):
        with pytest.raises(ClvqError, match=rf"no layer {wrong}.*0 \(embeddings\) to 4"):
            ours.run(ours.tokenize(["a"]), [1, wrong])
    for call in (
        lambda: ours.tokenize(["a"], "letter"),
        lambda: ours.tokenize(["a"], "word", "letters"),
        lambda: ours.run(ours.tokenize(["a"]), [1], "max"),
    ):
        with pytest.raises(ClvqError, match="unknown"):
            call()


def test_results_can_take_part_in_training(language_model: Load) -> None:
    ours = language_model("bert")
    result = ours.run(ours.tokenize(TEXTS[:3]), [2], predict=True)
    linear = torch.nn.Linear(32, 1)
    linear(result.hidden[2]).sum().backward()
    assert linear.weight.grad is not None and not ours.model.training


class TestHead:
    def test_names_follow_id2label(self, tmp_path: Path) -> None:
        names = {2: "neutral", 0: "bad", 1: "good"}
        folder = tiny_models.tiny_bert(tmp_path, layers=1, labels=3, id2label=names)
        ours = LanguageModel.load(str(folder), ModelOptions(device="cpu"))
        assert ours.label_names == ["bad", "good", "neutral"] and ours.no_head_reason is None
        assert ours.architecture == "BertForSequenceClassification"

    @pytest.mark.parametrize(("name", "weight"), [("bert", "classifier.weight"), ("gpt2", "score.weight")])
    def test_missing_head_weights_are_no_head(
        self, name: str, weight: str, model_folder: Folder, tmp_path: Path
    ) -> None:
        ours = LanguageModel.load(
            str(without_weight(model_folder(name), tmp_path / "m", weight)), ModelOptions(device="cpu")
        )
        assert ours.label_names is None and weight in str(ours.no_head_reason)
        sentences = ours.tokenize(TEXTS)
        with pytest.raises(ClvqError, match=weight):
            ours.run(sentences, [1], predict=True)
        assert_as_naive(ours, *plain(model_folder(name)), TEXTS, "last")

    def test_missing_pooler_spoils_the_head_alone(self, model_folder: Folder, tmp_path: Path) -> None:
        folder = without_weight(model_folder("bert"), tmp_path / "m", "bert.pooler.dense.weight")
        assert "pooler" in str(LanguageModel.load(str(folder), ModelOptions(device="cpu")).no_head_reason)
        base = tiny_models.tiny_bert(tmp_path / "base", layers=1, head=False)
        ours = LanguageModel.load(
            str(without_weight(base, tmp_path / "n", "pooler.dense.weight")), ModelOptions(device="cpu")
        )
        assert "BertModel" in str(ours.no_head_reason)

    def test_missing_base_weights_are_an_error(self, model_folder: Folder, tmp_path: Path) -> None:
        weight = "bert.encoder.layer.1.output.dense.weight"
        with pytest.raises(ClvqError, match=r"incomplete.*layer\.1"):
            LanguageModel.load(str(without_weight(model_folder("bert"), tmp_path / "m", weight)))

    @pytest.mark.parametrize(
        ("settings", "kind"),
        [
            ({}, "class"), ({"labels": 1}, "score"), ({"labels": 1, "problem_type": "regression"}, "score"),
            ({"problem_type": "multi_label_classification"}, "label"),
        ],
    )  # fmt: skip
    def test_a_head_says_what_it_is_asked(self, settings: dict[str, Any], kind: str, tmp_path: Path) -> None:
        ours = LanguageModel.load(
            str(tiny_models.tiny_bert(tmp_path, layers=1, **settings)), ModelOptions(device="cpu")
        )
        assert ours.target is not None and ours.target.kind == kind and ours.no_head_reason is None

    def test_a_head_for_several_numbers_is_no_head(self, tmp_path: Path) -> None:
        folder = tiny_models.tiny_bert(tmp_path, layers=1, labels=3, problem_type="regression")
        assert "gives 3 numbers at once" in str(
            LanguageModel.load(str(folder), ModelOptions(device="cpu")).no_head_reason
        )

    @pytest.mark.parametrize("name", ["bert", "roberta", "gpt2", "qwen2"])
    def test_base_models(self, name: str, tmp_path: Path) -> None:
        folder = tiny_models.BUILDERS[name](tmp_path, layers=2, head=False)
        ours = LanguageModel.load(str(folder), ModelOptions(device="cpu"))
        assert ours.label_names is None and ours.num_layers == 2
        assert_as_naive(ours, *plain(folder, head=False), TEXTS, "last")


def without_weight(source: Path, target: Path, weight: str) -> Path:
    shutil.copytree(source, target)
    tensors = load_file(target / "model.safetensors")
    del tensors[weight]
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    return target


class TestLoading:
    def test_fingerprint_follows_the_files(self, model_folder: Folder, tmp_path: Path) -> None:
        folder = shutil.copytree(model_folder("bert"), tmp_path / "m")
        first = LanguageModel.load(str(folder), ModelOptions(device="cpu"))
        (folder / "README.md").write_text("not part of it")
        assert LanguageModel.load(str(folder), ModelOptions(device="cpu")).fingerprint == first.fingerprint
        tensors = load_file(folder / "model.safetensors")
        tensors["classifier.bias"] += 1
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        assert LanguageModel.load(str(folder), ModelOptions(device="cpu")).fingerprint != first.fingerprint
        assert first.revision is None and first.dtype == torch.float32 and first.device.type == "cpu"

    def test_half_precision_files_are_computed_in_32_bits_on_a_cpu(self, model_folder: Folder, tmp_path: Path) -> None:
        model, tokenizer = plain(model_folder("llama"))
        model.to(torch.bfloat16).save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        ours = LanguageModel.load(str(tmp_path), ModelOptions(device="cpu"))
        assert ours.dtype == torch.float32
        assert ours.run(ours.tokenize(["a"]), [1]).hidden[1].dtype == torch.float32

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            ("", "no name"),
            ("./nowhere/model", "no folder"),
            ("/nowhere/at/all", "no folder"),
            ("a/b/c", "no folder"),
            ("two@one", "two revisions"),
            ("not a valid id!", "not found"),
        ],
    )
    def test_names(self, model: str, message: str) -> None:
        with pytest.raises(ClvqError, match=message):
            LanguageModel.load(model, ModelOptions(revision="other" if "@" in model else None))

    def test_a_folder_name_may_hold_an_at_sign(self, model_folder: Folder, tmp_path: Path) -> None:
        folder = shutil.copytree(model_folder("bert"), tmp_path / "m@v1")
        assert LanguageModel.load(str(folder), ModelOptions(device="cpu")).num_layers == 4
        with pytest.raises(ClvqError, match="local folder"):
            LanguageModel.load(str(folder), ModelOptions(revision="v1"))

    def test_damaged_folders(self, model_folder: Folder, tmp_path: Path) -> None:
        def broken(name: str, change: Callable[[Path], object]) -> str:
            folder = shutil.copytree(model_folder("bert"), tmp_path / name)
            change(folder)
            with pytest.raises(ClvqError) as caught:
                LanguageModel.load(str(folder), ModelOptions(device="cpu"))
            assert name in str(caught.value)
            return str(caught.value)

        weights, config = "model.safetensors", "config.json"
        assert "no config.json" in broken("m1", lambda f: (f / config).unlink())
        assert "cannot be loaded" in broken("m2", lambda f: (f / config).write_text("{"))
        assert "model_type" in broken("m3", lambda f: (f / config).write_text("{}"))
        assert "no weights" in broken("m4", lambda f: (f / weights).unlink())
        assert "pickled" in broken("m5", lambda f: (f / weights).rename(f / "pytorch_model.bin"))
        assert "corrupt" in broken("m6", lambda f: os.truncate(f / weights, 2000))
        assert "corrupt" in broken("m7", lambda f: (f / weights).write_bytes(b"junk" * 9))
        assert "tokenizer" in broken("m8", lambda f: [path.unlink() for path in f.glob("tokenizer*")])
        own_code = {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}}
        assert "--trust-remote-code" in broken("m9", lambda f: (f / config).write_text(json.dumps(own_code)))
        with pytest.raises(ClvqError, match="is a file"):
            LanguageModel.load(str(model_folder("bert") / weights))

    def test_devices(self, model_folder: Folder) -> None:
        for device in ("tpu-of-mine", "cuda:99"):
            with pytest.raises(ClvqError, match=device):
                LanguageModel.load(str(model_folder("bert")), ModelOptions(device=device))

    def test_unsupported_models_are_refused_clearly(self, tmp_path: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(tiny_models.tiny_bert(tmp_path / "bert", layers=1))
        size = {"vocab_size": len(tokenizer), "num_hidden_layers": 3}
        shared = AlbertConfig(**size, hidden_size=32, embedding_size=16, intermediate_size=64, num_attention_heads=4)
        for name, config, message in (
            ("shared", shared, "not supported"),
            ("two-sided", T5Config(vocab_size=len(tokenizer), d_model=32, num_layers=1), "encoder-decoder"),
        ):
            AutoModel.from_config(config).save_pretrained(tmp_path / name)
            tokenizer.save_pretrained(tmp_path / name)
            with pytest.raises(ClvqError, match=message):
                LanguageModel.load(str(tmp_path / name), ModelOptions(device="cpu"))

    def test_a_tokenizer_of_another_model(self, model_folder: Folder, tmp_path: Path) -> None:
        folder = tiny_models.tiny_bert(tmp_path / "m", layers=1)
        AutoTokenizer.from_pretrained(model_folder("llama")).save_pretrained(folder)
        ours = LanguageModel.load(str(folder), ModelOptions(device="cpu"))
        with pytest.raises(ClvqError, match="from the same model"):
            ours.tokenize(["wonderful lifeless charming"])

    @pytest.mark.slow
    def test_from_the_hubs_cache_without_network(self, model_folder: Folder, tmp_path: Path) -> None:
        """A cached snapshot gives its commit; nothing reaches the output; one that is not cached says so."""
        commit = "0123456789abcdef0123456789abcdef01234567"
        cached = tmp_path / "hub" / "models--user--tiny"
        shutil.copytree(model_folder("bert"), cached / "snapshots" / commit)
        (cached / "refs").mkdir()
        for name in ("main", "v1"):
            (cached / "refs" / name).write_text(commit)
        code = (
            "import sys\n"
            "from clvq.errors import ClvqError\n"
            "from clvq.language_model.model import LanguageModel\n"
            "from clvq.language_model.options import ModelOptions\n"
            "for name in ('user/tiny', 'user/tiny@v1', 'user/other', 'user/tiny@v2'):\n"
            "    try:\n"
            "        model = LanguageModel.load(name, ModelOptions(device='cpu'))\n"
            "        said = f'{model.model_id} {model.revision} {model.fingerprint}'\n"
            "    except ClvqError as error:\n"
            "        said = str(error)\n"
            "    open(sys.argv[1], 'a').write(said + '\\n')\n"
        )
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")}
        said = tmp_path / "said"
        command = [sys.executable, "-c", code, str(said)]
        root = Path(__file__).parents[2]
        done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True)
        first, second, other, v2 = said.read_text().splitlines()
        assert first == second and first.startswith(f"user/tiny {commit} ")
        assert "cannot be reached" in other and "cannot be reached" in v2
        assert done.stdout == "" and "it/s" not in done.stderr and "LOAD REPORT" not in done.stderr
