"""Prompts, chat templates and pairs of texts: what the model reads, which tokens are whose, and what is cut.

The reference writes the prompt by hand, with `str.format` or `apply_chat_template`, and tells the text's tokens by the
characters that they stand for.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from transformers import AutoModel, AutoTokenizer

from clvq.config import ExtractConfig
from clvq.corpus.parts import SEPARATOR, join_parts
from clvq.errors import ClvqError
from clvq.language_model.input_format import InputFormat
from clvq.language_model.loading import LoadedFiles
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.rows import PROMPT, SENTENCE, WORD, row_layout
from clvq.language_model.words import find_words

Folder = Callable[[str], Path]

DECODERS = (*tiny_models.DECODERS, "gemma")
TEXTS = [
    "The film wasn't good!",
    "",
    "Review: not at all good",
    '"quoted", slow',
    "  spaces  around \n",
    "her well-known story felt rather slow",
    "café ÀÉÎ 😀👨‍👩‍👧 世界",
]
PROMPTS = ["{text}\nReview:", "Text: {text}\nReview:", 'Judge "{text}" now:', "{text}", "A film. {text}\n\nIt was"]
LONG = "This movie felt rather slow, but charming " * 12


def loaded(folder: Path, side: str = "right", truncation_side: str = "right", **settings: Any) -> LanguageModel:
    config = ExtractConfig(model=str(folder), **settings)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side, tokenizer.truncation_side = side, truncation_side
    model = AutoModel.from_pretrained(folder)
    return LanguageModel(
        LoadedFiles(model, tokenizer), model_id=str(folder), input_format=InputFormat.of(config, tokenizer, folder.name)
    )


def chat_folder(name: str, model_folder: Folder, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(model_folder(name), tmp_path / name))
    return tiny_models.with_chat(folder, name)


def naive(tokenizer: Any, full: str, text: str, start: int, **options: Any) -> tuple[list[int], dict[Any, list[int]]]:
    """Ids of the whole prompt, and the tokens of each word of `text`, which stands at `start`: those whose visible
    characters are all in the text, by the word that holds the first of them."""
    encoded = tokenizer(full, return_offsets_mapping=True, verbose=False, **options)
    special = {*tokenizer.all_special_ids, *(n for n, t in tokenizer.added_tokens_decoder.items() if t.special)}
    blank = {number for token, number in tokenizer.get_vocab().items() if token and not token.strip("▁")}
    owners: dict[Any, list[int]] = {}
    for at, (token, (begin, end)) in enumerate(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)):
        visible = [place for place in range(begin, end) if not full[place].isspace()]
        if not visible or token in special - {tokenizer.unk_token_id} or token in blank:
            continue
        if all(start <= place < start + len(text) for place in visible):
            first = visible[0] - start
            word = next(span for span in find_words(text, "text") if span[0] <= first < span[1])
            owners.setdefault(word, []).append(at)
    return encoded["input_ids"], owners


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", DECODERS)
def test_words_of_the_text_alone_have_rows(name: str, side: str, model_folder: Folder) -> None:
    for prompt in PROMPTS:
        ours = loaded(model_folder(name), side, prompt=prompt)
        for text, sentence in zip(TEXTS, ours.tokenize(TEXTS), strict=True):
            full = prompt.replace("{text}", text)
            ids, owners = naive(ours.tokenizer, full, text, prompt.index("{text}"))
            assert sentence.input_ids == ids
            assert dict(zip(sentence.words, map(list, sentence.word_tokens), strict=True)) == owners
            assert not set(sentence.fixed_tokens) & {token for tokens in owners.values() for token in tokens}
            layout = row_layout(sentence, "mean")
            assert {token for row in layout.positions for token in row} <= {
                *(token for tokens in owners.values() for token in tokens),
                *([len(ids) - 1] if prompt == "{text}" else []),
            }
            assert not any(flag & PROMPT for flag in layout.flags)
            if owners:
                assert sum(flag & SENTENCE != 0 for flag in layout.flags) == 1


@pytest.mark.parametrize("name", DECODERS)
def test_states_are_those_of_the_hand_written_prompt(name: str, model_folder: Folder) -> None:
    prompt = "Text: {text}\nReview:"
    ours = loaded(model_folder(name), prompt=prompt)
    model = AutoModel.from_pretrained(model_folder(name)).eval()
    sentences = ours.tokenize(TEXTS)
    result = ours.run(sentences, [2])
    rows = result.hidden[2].split(result.row_counts)
    for text, sentence, of_sentence in zip(TEXTS, sentences, rows, strict=True):
        ids = ours.tokenizer(prompt.replace("{text}", text), return_tensors="pt")["input_ids"]
        with torch.no_grad():
            states = model(ids, output_hidden_states=True).hidden_states[2][0]
        positions = [row[-1] for row in row_layout(sentence, "last").positions]
        torch.testing.assert_close(of_sentence, states[positions], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("truncation_side", ["left", "right"])
@pytest.mark.parametrize("name", DECODERS)
def test_the_text_is_cut_and_never_the_prompt(name: str, truncation_side: str, model_folder: Folder) -> None:
    for prompt in PROMPTS:
        ours = loaded(model_folder(name), truncation_side=truncation_side, prompt=prompt)
        (sentence,) = ours.tokenize([LONG])
        full = prompt.replace("{text}", LONG)
        start = prompt.index("{text}")
        encoded = ours.tokenizer(full, return_offsets_mapping=True, verbose=False)
        spans = encoded["offset_mapping"]
        visible = [[at for at in range(*span) if not full[at].isspace()] or [*range(*span)] for span in spans]
        mine = [at for at, of in enumerate(visible) if of and all(start <= c < start + len(LONG) for c in of)]
        excess = len(spans) - 64
        cut = set(mine[:excess] if truncation_side == "left" else mine[len(mine) - excess :])
        assert sentence.input_ids == [token for at, token in enumerate(encoded["input_ids"]) if at not in cut]
        assert len(sentence.input_ids) == 64
        told = len(sentence.words) + sentence.dropped_words + sentence.truncated_words
        assert told == len(find_words(LONG, "text"))
        assert sentence.truncated_words > 0
        places = [token for tokens in sentence.word_tokens for token in tokens]
        assert places == sorted(places)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["qwen2", "gemma"])
def test_a_chat_template(name: str, side: str, model_folder: Folder, tmp_path: Path) -> None:
    prompt = "{text}\nGood or bad?" if name == "gemma" else "You judge films.\n---\n{text}"
    ours = loaded(chat_folder(name, model_folder, tmp_path), side, prompt=prompt, chat=True)
    texts = [*(text for text in TEXTS if text and text.isascii()), "  film  "]
    for text, sentence in zip(texts, ours.tokenize(texts), strict=True):
        if name == "gemma":
            messages = [{"role": "user", "content": f"{text}\nGood or bad?"}]
        else:
            messages = [{"role": "system", "content": "You judge films."}, {"role": "user", "content": text}]
        expected = ours.tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        assert sentence.input_ids == expected
        full = ours.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        shown = text.lstrip() if name == "gemma" else text
        start = full.index("user\n") + len("user\n")
        _, owners = naive(ours.tokenizer, full, shown, start, add_special_tokens=False)
        lead = len(text) - len(shown)
        shifted = {(first + lead, end + lead): tokens for (first, end), tokens in owners.items()}
        assert dict(zip(sentence.words, map(list, sentence.word_tokens), strict=True)) == shifted
        assert all(text[first:end].strip() for first, end in sentence.words)


def test_a_template_that_takes_no_system_message(model_folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(ClvqError, match=r"refuses the prompt: System role not supported\. Some templates take no"):
        loaded(chat_folder("gemma", model_folder, tmp_path), prompt="Judge.\n---\n{text}", chat=True)


def test_a_tokenizer_without_a_template(model_folder: Folder) -> None:
    with pytest.raises(ClvqError, match="has no chat template: leave out --chat"):
        loaded(model_folder("gpt2"), prompt="{text}", chat=True)


@pytest.mark.parametrize("unit", ["word", "token"])
def test_with_keep_prompt_its_words_have_rows_and_say_so(unit: str, model_folder: Folder) -> None:
    ours = loaded(model_folder("llama"), prompt="Text: {text}\nReview:", keep_prompt=True)
    shown = ours.input_format.shown("so good")
    (sentence,) = ours.tokenize([shown], unit)
    layout = row_layout(sentence, "last")
    words = [(shown[slice(*sentence.words[word])], flag) for word, flag in zip(layout.words, layout.flags, strict=True)]
    assert shown == f"Text: {SEPARATOR}so good{SEPARATOR}\nReview:"
    if unit == "word":
        assert words == [
            ("Text", WORD | PROMPT), (":", WORD | PROMPT), ("so", WORD), ("good", WORD), ("Review", WORD | PROMPT),
            (":", WORD | PROMPT | SENTENCE),
        ]  # fmt: skip
    texts = "".join(word for word, flag in words if not flag & PROMPT)
    assert texts.replace(" ", "") == "sogood"
    assert sentence.input_ids == ours.tokenizer("Text: so good\nReview:")["input_ids"]


def test_several_columns_in_a_prompt(model_folder: Folder) -> None:
    settings = {"prompt": "{title}: {text} ({year})\nReview:", "rows_from": "text"}
    ours = loaded(model_folder("llama"), **settings)
    text = join_parts(["A title", "the film was good", "1999"])
    assert ours.input_format.joined({"text": "the film was good", "year": "1999", "title": "A title"}) == text
    (sentence,) = ours.tokenize([text])
    assert sentence.input_ids == ours.tokenizer("A title: the film was good (1999)\nReview:")["input_ids"]
    assert [text[start:end] for start, end in sentence.words] == ["the", "film", "was", "good"]
    (sentence,) = loaded(model_folder("llama"), **{**settings, "rows_from": "title,text"}).tokenize([text])
    assert [text[start:end] for start, end in sentence.words] == ["A", "title", "the", "film", "was", "good"]
    long = join_parts([LONG, LONG, "1999"])
    (sentence,) = ours.tokenize([long])
    assert len(sentence.input_ids) == 64
    assert ours.tokenizer.decode(sentence.input_ids).endswith("(1999)\nReview:")


@pytest.mark.parametrize("name", ["bert", "roberta", "deberta"])
def test_pairs_are_read_as_the_tokenizer_reads_them(name: str, model_folder: Folder) -> None:
    ours = loaded(model_folder(name), text_pair_column="hypothesis")
    pairs = [("The film wasn't good!", "It was lifeless"), ("slow", ""), ("x", LONG), (LONG, "good"), (LONG, LONG[:99])]
    sentences = ours.tokenize([join_parts(pair) for pair in pairs])
    model = AutoModel.from_pretrained(model_folder(name)).eval()
    result = ours.run(sentences, [1])
    rows = result.hidden[1].split(result.row_counts)
    for pair, sentence, of_sentence in zip(pairs, sentences, rows, strict=True):
        expected = ours.tokenizer(*([part] for part in pair), truncation=True, max_length=64, return_tensors="pt")
        assert sentence.input_ids == expected["input_ids"][0].tolist()
        if "token_type_ids" in expected:
            assert list(sentence.token_types) == expected["token_type_ids"][0].tolist()
        text = join_parts(pair)
        assert not any(SEPARATOR in text[start:end] for start, end in sentence.words)
        first, second = ({text[s:e] for s, e in sentence.words if (e <= len(pair[0])) is own} for own in (True, False))
        assert first <= {pair[0][s:e] for s, e in find_words(pair[0], "text")}
        assert second <= {pair[1][s:e] for s, e in find_words(pair[1], "text")}
        with torch.no_grad():
            states = model(**expected, output_hidden_states=True).hidden_states[1][0]
        positions = [row[-1] for row in row_layout(sentence, "last").positions]
        torch.testing.assert_close(of_sentence, states[positions], rtol=1e-4, atol=1e-4)


def test_a_prompt_that_leaves_no_room(model_folder: Folder) -> None:
    prompt = "film " * 80 + "{text}"
    with pytest.raises(ClvqError, match=r"The prompt alone has \d+ tokens, and .* takes 64: nothing is left"):
        LanguageModel.load(
            str(model_folder("llama")),
            ModelOptions(device="cpu"),
            format_of=lambda tokenizer, name: InputFormat.of(ExtractConfig(prompt=prompt), tokenizer, name),
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompt": "{title} It was"}, r"--prompt has no \{text\}, only \{title\}"),
        ({"prompt": "{{text}} It was"}, r"--prompt has no \{text\}: it must say"),
        ({"prompt": "no-such-file"}, r"has no \{text\}, and there is no such file"),
        ({"prompt": "{text} {text}"}, r"\{text\} twice"),
        ({"prompt": "{text"}, "written twice"),
        ({"prompt": "{text!r}"}, "nothing else"),
        ({"prompt": "{text}{}"}, "nothing else"),
        ({"chat": True}, "--chat is for a --prompt"),
        ({"keep_prompt": True}, "--keep-prompt is for a --prompt"),
        ({"prompt": "{text}", "rows_from": "title"}, "--rows-from takes text"),
        ({"rows_from": ","}, "--rows-from takes text"),
        ({"prompt": "{text}", "text_pair_column": "b"}, r"no \{text_pair\}"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ClvqError, match=message):
        ExtractConfig(**settings)


def test_a_prompt_from_a_file_is_stored_itself(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("Film: {text}\nReview:\n", encoding="utf-8")
    config = ExtractConfig(prompt=str(tmp_path / "prompt.txt"))
    assert config.prompt == "Film: {text}\nReview:"
    assert ExtractConfig.from_json(config.as_json()) == config


def test_formats_survive_their_record(model_folder: Folder, tmp_path: Path) -> None:
    folder = chat_folder("gemma", model_folder, tmp_path)
    config = ExtractConfig(prompt="{title} {text}", chat=True, keep_prompt=True)
    made = InputFormat.of(config, AutoTokenizer.from_pretrained(folder), "gemma")
    assert InputFormat.from_json(made.as_json()) == made
    assert made.stripped == ((True, False), (False, True))
