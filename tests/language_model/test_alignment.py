"""What must hold of tokens and words for any text at all, with tokenizers of four families."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clvq.corpus.scan import encodable
from clvq.language_model.model import LanguageModel
from clvq.language_model.words import WORD_METHODS, find_words

pytestmark = pytest.mark.slow

ODD = st.sampled_from([
    "a", "b", "film", "not", " ", "  ", "\n", "\t", "'", "’", "-", ".", "!!", "<s>", "[SEP]", "</s>", "[MASK]", "<unk>",
    "▁", "Ġ", "##ing", "\0", "\x1c", "\x85", "\u00a0", "\u00ad", "\u0301", "\u200b", "\u200d", "\u2028", "\u3000",
    "\ufe0f", "\ufeff", "\ufffd", "é", "ß", "İ", "ﬁ", "½", "²", "Ω", "ש", "م", "\u202e", "世", "界", "ｱ", "ก", "각",
    "\U0001f600", "🇩🇪", "👨‍👩‍👧", "\U000e0041", "\U0010ffff", "\ud800",
])  # fmt: skip
TEXTS = st.one_of(st.lists(ODD, max_size=12).map("".join), st.text(max_size=20)).map(encodable)


@pytest.mark.parametrize("method", WORD_METHODS)
@pytest.mark.parametrize("name", ["bert", "deberta", "gpt2", "llama"])
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(text=TEXTS)
def test_words_have_tokens_of_their_own_and_counts_add_up(
    name: str, method: str, text: str, language_model: Callable[[str], LanguageModel]
) -> None:
    model = language_model(name)
    (sentence,) = model.tokenize([text], "word", method)
    expected = find_words(text, method)
    spans = [tuple(span) for span in sentence.words]
    assert set(spans) <= set(expected) and spans == sorted(spans)
    assert len(spans) + sentence.dropped_words + sentence.truncated_words == len(expected)
    owned = [token for tokens in sentence.word_tokens for token in tokens]
    assert len(sentence.word_tokens) == len(spans) and all(sentence.word_tokens)
    assert owned == sorted(set(owned))  # each is one word's, and words stand in the order of their tokens
    assert all(0 <= token < len(sentence.input_ids) for token in owned)
    assert len(sentence.input_ids) <= model.max_length
    alone = model.tokenizer(text, verbose=False, truncation=True, max_length=model.max_length)
    assert sentence.input_ids in ([], alone["input_ids"])
    special = (
        {place for place, is_own in enumerate(alone.word_ids()) if is_own is None} if sentence.input_ids else set()
    )
    assert not special & set(owned)
    if sentence.input_ids:
        offsets = model.tokenizer(
            text, verbose=False, truncation=True, max_length=model.max_length, return_offsets_mapping=True
        )["offset_mapping"]
        for (start, end), tokens in zip(spans, sentence.word_tokens, strict=True):
            for token in tokens:  # a token may take the space before a word, and not the word before that
                first, last = offsets[token]
                assert text[max(first, 0) : start].strip() == "" or first >= start, (text, (start, end), (first, last))


@pytest.mark.parametrize("name", ["bert", "deberta", "gpt2", "llama"])
@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_a_text_is_read_the_same_among_others(
    name: str, texts: list[str], language_model: Callable[[str], LanguageModel]
) -> None:
    model = language_model(name)
    assert model.tokenize(texts) == [model.tokenize([text])[0] for text in texts]
