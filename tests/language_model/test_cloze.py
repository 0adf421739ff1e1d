"""Label words at the mask of a prompt, beside a loop over texts with plain transformers."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from attributions import by_index
from captum.attr import IntegratedGradients
from scipy.stats import spearmanr
from torch import Tensor
from transformers import AddedToken, AutoModelForMaskedLM, AutoTokenizer

from clvq.config import ExtractConfig
from clvq.errors import ClvqError
from clvq.explanations.attribution import IntegratedAttribution
from clvq.language_model.input_format import InputFormat
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.rows import PROMPT, SENTENCE, row_layout
from clvq.language_model.targets import Asked
from clvq.language_model.upper_layers import UpperLayers

pytestmark = pytest.mark.slow

Folder = Callable[[str], Path]

NAMES = ("bert", "roberta", "distilbert", "deberta", "modernbert")
TEXTS = ["The film wasn't good!", "", "slow", "her well-known story felt rather slow, but charming"]
WORDS = {"bad": " not", "good": " very", "none": " rather"}
LETTERS = {"bad": "e", "good": "o", "none": "t"}
"""What the smallest vocabulary has as one token."""


@pytest.fixture(scope="module")
def folder(model_folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A tiny masked language model with its head."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            copy = shutil.copytree(model_folder(name), tmp_path_factory.mktemp("masked") / name)
            made[name] = tiny_models.with_masks(Path(copy))
            if name == "roberta":  # as the published one, whose mask takes the space before it
                tokenizer = AutoTokenizer.from_pretrained(copy)
                tokenizer.add_special_tokens({"mask_token": AddedToken("<mask>", lstrip=True, special=True)})
                tokenizer.save_pretrained(copy)
        return made[name]

    return of


def loaded(
    folder: Path, words: dict[str, str] = WORDS, prompt: str | None = "{text} It was <mask>.", **settings: Any
) -> LanguageModel:
    config = ExtractConfig(model=str(folder), prompt=prompt, **settings)
    return LanguageModel.load(
        str(folder),
        ModelOptions(device="cpu", asked=Asked(label_words=tuple(words.items()))),
        format_of=lambda tokenizer, name: InputFormat.of(config, tokenizer, name),
    )


def words_of(name: str) -> dict[str, str]:
    return LETTERS if name == "deberta" else WORDS


def by_hand(folder: Path, text: str, words: dict[str, str]) -> Tensor:
    """One forward of one text, its last mask, and the word's token `[C]`."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
    encoded = tokenizer(f"{text} It was {tokenizer.mask_token}.", return_tensors="pt")
    at = (encoded["input_ids"][0] == tokenizer.mask_token_id).nonzero()[-1, 0]
    with torch.no_grad():
        chances = model(**encoded).logits[0, at].log_softmax(dim=0)
    numbers = [tokenizer(f":{word}", add_special_tokens=False)["input_ids"] for word in words.values()]
    return torch.stack([chances[found[-1]] for found in numbers])


@pytest.mark.parametrize("written", ["<mask>", "[MASK]"])
@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_a_loop(name: str, written: str, folder: Folder) -> None:
    model = loaded(folder(name), words_of(name), "{text} It was " + written + ".")
    # A text may hold the mask token; it is not the one of the prompt.
    texts = [*TEXTS, f"The {model.tokenizer.mask_token} film"]
    sentences = model.tokenize(texts)
    result = model.run(sentences, [1, 2], predict=True)
    assert result.scores is not None and model.target is not None
    expected = torch.stack([by_hand(folder(name), text, words_of(name)) for text in texts])
    torch.testing.assert_close(result.scores, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.target.stored(result.scores), expected.exp(), rtol=1e-4, atol=1e-7)
    upper = UpperLayers(model, 1)
    inputs = upper.inputs(sentences)
    torch.testing.assert_close(upper.scores(upper.states(inputs), inputs), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_state_of_the_mask_is_the_sentence_row(name: str, folder: Folder) -> None:
    model = loaded(folder(name), words_of(name))
    sentences = model.tokenize(TEXTS)
    result = model.run(sentences, [2])
    plain = AutoModelForMaskedLM.from_pretrained(folder(name), dtype=torch.float32).eval()
    start = 0
    for sentence, count in zip(sentences, result.row_counts, strict=True):
        with torch.no_grad():
            states = plain(torch.tensor([sentence.input_ids]), output_hidden_states=True).hidden_states[2][0]
        flags = row_layout(sentence, "last").flags
        assert not any(flag & PROMPT for flag in flags) and count == len(sentence.words) + 1
        (own,) = (row for row, flag in enumerate(flags) if flag & SENTENCE)
        mask = sentence.input_ids.index(model.tokenizer.mask_token_id)
        torch.testing.assert_close(result.hidden[2][start + own], states[mask], rtol=1e-4, atol=1e-5)
        start += count


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_a_mask_in_a_text_is_not_that_of_the_prompt(name: str, folder: Folder) -> None:
    """RoBERTa's mask takes the space before it, here that of the prompt."""
    if name == "roberta":
        assert AutoTokenizer.from_pretrained(folder(name)).added_tokens_decoder[4].lstrip
    model = loaded(folder(name), prompt="It was <mask>: {text}")
    own = model.tokenizer.mask_token
    (sentence,) = model.tokenize([f"{own} was {own}"])
    masks = [at for at, token in enumerate(sentence.input_ids) if token == model.tokenizer.mask_token_id]
    assert len(masks) == 3 and sentence.sentence_token == masks[0]
    model = loaded(folder(name), prompt="It was {text} <mask>")
    (sentence,) = model.tokenize([f"{own} was {own}"])
    masks = [at for at, token in enumerate(sentence.input_ids) if token == model.tokenizer.mask_token_id]
    assert len(masks) == 3 and sentence.sentence_token == masks[2]


def test_a_long_text_is_cut_and_the_mask_stays(folder: Folder) -> None:
    model = loaded(folder("bert"))
    (sentence,) = model.tokenize(["slow " * 100])
    assert len(sentence.input_ids) == 64 and sentence.truncated_words
    assert sentence.input_ids[sentence.sentence_token] == model.tokenizer.mask_token_id


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_attributions_add_up_and_rank_tokens_as_captum_does(name: str, folder: Folder) -> None:
    model = loaded(folder(name))
    upper, target = UpperLayers(model, 1), model.target
    assert target is not None and upper.reads_one_position
    ours = IntegratedAttribution(
        upper, baseline="padding", steps=8, max_steps=512, completeness=0.05, batch_tokens=4096
    )
    sentences = model.tokenize([text for text in TEXTS if text])
    found = by_index(ours, sentences)
    assert len(found) == len(sentences)
    for number, one in found.items():
        inputs = upper.inputs([sentences[number]])
        states = upper.states(inputs)
        kept = torch.isin(inputs.input_ids[0], torch.tensor(model.tokenizer.all_special_ids))
        kept[list(sentences[number].fixed_tokens)] = True
        assert int(inputs.input_ids[0, sentences[number].sentence_token]) == model.tokenizer.mask_token_id
        blank = inputs.input_ids.where(kept, ours._filler)
        baseline = upper.states(inputs._replace(input_ids=blank))
        answer = target.answers(upper.scores(states, inputs))

        def score(given: Tensor) -> Tensor:
            scores = torch.cat([upper.scores(state[None], inputs) for state in given])  # noqa: B023
            return target.explained(scores, answer.expand(len(scores)))  # noqa: B023

        theirs = IntegratedGradients(score).attribute(states, baseline, n_steps=100, internal_batch_size=50)
        assert one.completeness_error < 0.05
        assert sum(one.tokens) == pytest.approx(float((score(states) - score(baseline))[0]), rel=0.051)
        assert spearmanr(one.tokens, theirs[0].sum(dim=1).detach().numpy()).statistic >= 0.98


@pytest.mark.parametrize(
    ("prompt", "words", "message"),
    [
        ("{text} It was", WORDS, "--prompt has no mask"),
        (None, WORDS, "there is no --prompt"),
        ("{text} It was <mask> [MASK].", WORDS, "--prompt has 2 masks"),
        ("{text} It was <mask>.", {"bad": " unbelievably lifeless", "good": " very"}, "A mask stands for one token"),
        ("{text} It was <mask>.", {"bad": " very", "good": "very"}, "Two labels have the same label word"),
        ("{text} It was <mask>.", {"bad": " 世界", "good": " very"}, "does not know ' 世界'"),
    ],
)
def test_what_cannot_be_asked_at_a_mask(
    prompt: str | None, words: dict[str, str], message: str, folder: Folder
) -> None:
    with pytest.raises(ClvqError, match=re.escape(message)):
        loaded(folder("bert"), words, prompt)


def test_one_token_is_not_asked_of_a_masked_model(folder: Folder) -> None:
    with pytest.raises(ClvqError, match="gives no next token"):
        LanguageModel.load(str(folder("bert")), ModelOptions(device="cpu", asked=Asked(token=" very")))


def test_without_label_words_a_masked_model_predicts_nothing(folder: Folder) -> None:
    model = LanguageModel.load(str(folder("bert")), ModelOptions(device="cpu", next_token=True))
    assert model.target is None and model.model is model.base
