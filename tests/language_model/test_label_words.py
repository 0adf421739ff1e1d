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
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, Llama4ForCausalLM, Llama4TextConfig

from clvq.config import ExtractConfig
from clvq.errors import ClvqError
from clvq.explanations.attribution import IntegratedAttribution
from clvq.language_model.continuations import continuations_of
from clvq.language_model.input_format import InputFormat
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.targets import Asked
from clvq.language_model.tokenization import TokenizedSentence
from clvq.language_model.upper_layers import UpperLayers
from clvq.language_model.word_targets import LabelWordTarget, word_tokens

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize("kind", ["several tokens", "a shared prefix"])
def test_a_token_is_predicted_behind_those_before_it_alone(kind: str, folder: Folder, tmp_path: Path) -> None:
    """The positions of this model change where a text has more than 16 tokens, padding and label word included."""
    long = Path(shutil.copytree(folder("llama"), tmp_path / "long"))
    config = AutoConfig.from_pretrained(long)
    half = config.hidden_size // config.num_attention_heads // 2
    config.rope_parameters = {
        "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 16,
        "short_factor": [1.0] * half, "long_factor": [9.0] * half,
    }  # fmt: skip
    config.save_pretrained(long)
    model = loaded(long, WORDS[kind])
    texts = ["slow " * count for count in range(1, 9)]
    sentences = model.tokenize(texts)
    lengths = [len(sentence.input_ids) for sentence in sentences]
    assert min(lengths) < 16 < max(lengths)
    scores = model.run(sentences, [], predict=True).scores
    assert scores is not None

    plain, tokenizer = AutoModelForCausalLM.from_pretrained(long).eval(), AutoTokenizer.from_pretrained(long)

    def chance(ids: list[int], token: int) -> float:
        with torch.no_grad():
            return float(plain(torch.tensor([ids])).logits[0, -1].log_softmax(dim=0)[token])

    def by_steps(sentence: TokenizedSentence, tokens: tuple[int, ...]) -> float:
        return sum(chance([*sentence.input_ids, *tokens[:step]], token) for step, token in enumerate(tokens))

    words = [tuple(word_tokens(tokenizer, word)) for word in WORDS[kind].values()]
    expected = torch.tensor([[by_steps(sentence, tokens) for tokens in words] for sentence in sentences])
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-4)
    upper = UpperLayers(model, 1)
    most = max(map(len, words)) - 1
    unchanged = [number for number, length in enumerate(lengths) if length > 16 or length + most <= 16]
    assert unchanged, "texts that are so short or so long that no label word changes a position"
    for number in unchanged:
        inputs = upper.inputs([sentences[number]])
        ours = upper.scores(upper.states(inputs), inputs)
        torch.testing.assert_close(ours, expected[number][None], rtol=0, atol=1e-4)


def test_a_head_above_a_part_that_has_another_name(folder: Folder, tmp_path: Path) -> None:
    """The class of Llama 4 calls its part below the head by a name that it does not have."""
    whole = tmp_path / "llama4"
    tokenizer = AutoTokenizer.from_pretrained(folder("llama"))
    config = Llama4TextConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        head_dim=8, intermediate_size=48, intermediate_size_mlp=48, num_local_experts=2, attention_chunk_size=64,
        max_position_embeddings=64, initializer_range=0.2, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Llama4ForCausalLM(config).save_pretrained(whole)
    tokenizer.save_pretrained(whole)
    words = WORDS["a shared prefix"]
    model = loaded(whole, words)
    texts = [text for text in TEXTS if text]
    sentences = model.tokenize(texts)
    scores = model.run(sentences, [], predict=True).scores
    expected = torch.stack([by_hand(whole, words, text, "right") for text in texts])
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-4)
    upper = UpperLayers(model, 1)
    inputs = upper.inputs(sentences)
    torch.testing.assert_close(upper.scores(upper.states(inputs), inputs), expected, rtol=0, atol=1e-4)


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
