"""Label words of one and of several tokens: scores beside a loop over texts and words."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_models
import torch
from attributions import by_index
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from clvq.config import ExtractConfig
from clvq.errors import ClvqError
from clvq.explanations.attribution import IntegratedAttribution
from clvq.language_model.continuations import continuations_of
from clvq.language_model.input_format import InputFormat
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.targets import Asked
from clvq.language_model.upper_layers import UpperLayers
from clvq.language_model.word_targets import LabelWordTarget

Folder = Callable[[str], Path]

NAMES = (*tiny_models.DECODERS, "gemma")
TEXTS = ["The film wasn't good!", "", "slow", "her well-known story felt rather slow, but charming"]
PROMPT = "{text}\nReview:"
WORDS = {
    "one token": {"bad": " not", "good": " was"},
    "several tokens": {"bad": " lifeless and boring", "good": " unbelievably wonderful", "none": " so"},
    "a shared prefix": {"bad": " charming director", "good": " charming story", "more": " charming"},
    "no leading space": {"bad": "lifeless", "good": " lifeless"},
}


@pytest.fixture(scope="module")
def folder(model_folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A tiny causal language model with its head for the next token."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            copy = shutil.copytree(model_folder(name), tmp_path_factory.mktemp("causal") / name)
            made[name] = tiny_models.with_next_token(Path(copy))
        return made[name]

    return of


def loaded(folder: Path, words: dict[str, str], prompt: str | None = PROMPT) -> LanguageModel:
    config = ExtractConfig(model=str(folder), prompt=prompt)
    return LanguageModel.load(
        str(folder),
        ModelOptions(device="cpu", asked=Asked(label_words=tuple(words.items()))),
        format_of=lambda tokenizer, name: InputFormat.of(config, tokenizer, name),
    )


def by_hand(folder: Path, words: dict[str, str], text: str, side: str) -> Tensor:
    """One unpadded forward a word, and the sum over its tokens `[C]`."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side=side)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompt = tokenizer(PROMPT.replace("{text}", text))["input_ids"]
    found = []
    for word in words.values():
        whole = tokenizer(PROMPT.replace("{text}", text) + word)["input_ids"]
        assert whole[: len(prompt)] == prompt
        with torch.no_grad():
            chances = model(torch.tensor([whole])).logits[0].log_softmax(dim=1)
        found.append(sum(chances[at - 1, whole[at]] for at in range(len(prompt), len(whole))))
    return torch.stack(found)  # type: ignore[arg-type]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", WORDS)
@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_a_loop(name: str, kind: str, side: str, folder: Folder) -> None:
    model = loaded(folder(name), WORDS[kind])
    assert model.target is not None
    sentences = model.tokenize(TEXTS)
    result = model.run(sentences, [1, 2], predict=True)
    expected = torch.stack([by_hand(folder(name), WORDS[kind], text, side) for text in TEXTS])
    assert result.scores is not None
    torch.testing.assert_close(result.scores, expected, rtol=0, atol=1e-5)
    plain = model.run(sentences, [1, 2])
    for layer in (1, 2):
        torch.testing.assert_close(result.hidden[layer], plain.hidden[layer], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.target.stored(result.scores), expected.exp(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", WORDS)
@pytest.mark.parametrize("name", NAMES)
def test_the_upper_layers_give_the_same_scores(name: str, kind: str, folder: Folder) -> None:
    model = loaded(folder(name), WORDS[kind])
    sentences = model.tokenize([text for text in TEXTS if text])
    upper = UpperLayers(model, 1)
    inputs = upper.inputs(sentences)
    states = upper.states(inputs)
    expected = model.run(sentences, [], predict=True).scores
    torch.testing.assert_close(upper.scores(states, inputs), expected, rtol=0, atol=2e-5)
    states.requires_grad_(True)
    upper.scores(states, inputs).sum().backward()
    assert states.grad is not None
    size = states.grad.norm(dim=2)
    assert (size[inputs.attention_mask == 0] == 0).all()
    assert (size[inputs.attention_mask == 1] > 0).float().mean() > 0.9


@pytest.mark.parametrize("kind", ["one token", "a shared prefix"])
def test_attributions_sum_to_the_difference(kind: str, folder: Folder) -> None:
    model = loaded(folder("llama"), WORDS[kind])
    attribution = IntegratedAttribution(
        UpperLayers(model, 1), baseline="padding", steps=8, max_steps=512, completeness=0.02, batch_tokens=4096
    )
    sentences = model.tokenize([text for text in TEXTS if text])
    for number, one in by_index(attribution, sentences).items():
        assert sum(one.tokens) == pytest.approx(one.difference, rel=0.05, abs=1e-3)
        # The prompt before the text is the same in the baseline, and the padding text differs from the text.
        assert len(one.tokens) == len(sentences[number].input_ids)


def test_a_text_leaves_room_for_what_stands_behind_it(folder: Folder) -> None:
    """A model with 64 learned positions is asked for words of several tokens behind a text that is too long."""
    model = loaded(folder("gpt2"), WORDS["several tokens"])
    (sentence,) = model.tokenize(["slow " * 100])
    scores = model.run([sentence], [], predict=True).scores
    assert scores is not None
    assert torch.isfinite(scores).all()
    most = max(len(word) for word in model.target.tokens) - 1  # type: ignore[union-attr]
    assert len(sentence.input_ids) == 64 - most


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([(5,), (7,)], ((),)),
        ([(5,), (7, 8), (7, 9, 4)], ((7, 9),)),
        ([(1, 2, 3), (1, 5), (6, 7)], ((1, 2), (6,))),
    ],
)
def test_each_beginning_is_read_once(words: list[tuple[int, ...]], expected: tuple[tuple[int, ...], ...]) -> None:
    assert continuations_of(words) == expected


def test_a_word_that_the_tokenizer_does_not_know(model_folder: Folder) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder("bert"))
    with pytest.raises(ClvqError, match=r"does not know ' 世界'"):
        LabelWordTarget.of({"bad": " 世界", "good": " good"}, tokenizer)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a=" x"', "two or more"),
        ("a= x,a= y", "names the label 'a' twice"),
        ('a=" x",b=" x"', "'a' and 'b' have the same word"),
        ("a=,b= x", "word of 'a' is empty"),
        ('a=" ",b=" x"', "word of 'a' is empty"),
        ("a,b", "separated by commas"),
        ('a=" x"y,b=" z"', "separated by commas"),
    ],
)
def test_label_words_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ClvqError, match=message):
        ExtractConfig(label_words=text)


@pytest.mark.parametrize("text", ['negative=" bad",positive=" good, so"', 'negative= bad,positive=" good, so"'])
def test_label_words_have_one_form_with_and_without_quotes(text: str) -> None:
    config = ExtractConfig(label_words=text)
    assert config.label_words == 'negative=" bad",positive=" good, so"'
    assert Asked.of_settings(config).label_words == (("negative", " bad"), ("positive", " good, so"))
    assert ExtractConfig.from_json(config.as_json()) == config
