"""Targets: scores beside those of the plain model, what a flip and a divergence are, words as tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_models
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from clvq.errors import ClvqError
from clvq.language_model.head_targets import ClassTarget
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.targets import Asked
from clvq.language_model.word_targets import LabelWordTarget, TokenTarget, token_id, word_tokens

TEXTS = ["The film wasn't good!", "slow", "My uncle's script felt slow"]
WORDS = (("bad", " not"), ("good", " very"))


@pytest.fixture(params=tiny_models.DECODERS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A tiny causal language model with its head for the next token."""
    return tiny_models.with_next_token(tiny_models.BUILDERS[request.param](tmp_path))


def next_logits(folder: Path, model: LanguageModel) -> Tensor:
    """Of the plain model, text by text without padding `[B, V]`."""
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        ids = [sentence.input_ids for sentence in model.tokenize(TEXTS)]
        return torch.stack([plain(input_ids=torch.tensor([row])).logits[0, -1] for row in ids])


def scores(model: LanguageModel) -> Tensor:
    found = model.run(model.tokenize(TEXTS), [], predict=True).scores
    assert found is not None
    return found


def test_label_words_are_scored_by_their_log_probabilities(folder: Path) -> None:
    model = LanguageModel.load(str(folder), ModelOptions(device="cpu", asked=Asked(label_words=WORDS)))
    expected = next_logits(folder, model).log_softmax(dim=1)[:, [token_id(model.tokenizer, word) for _, word in WORDS]]
    assert torch.allclose(scores(model), expected, atol=1e-5)
    assert model.label_names == ["bad", "good"]
    assert model.target is not None and model.target.as_json() == {"kind": "label word", "words": dict(WORDS)}
    assert torch.allclose(model.target.stored(expected), expected.exp())
    assert torch.allclose(model.target.compared(expected).exp().sum(dim=1), torch.ones(len(TEXTS)))


@pytest.mark.parametrize("against", [None, " very"])
def test_a_token_is_scored_by_its_logit(folder: Path, against: str | None) -> None:
    model = LanguageModel.load(str(folder), ModelOptions(device="cpu", asked=Asked(" not", against)))
    logits = next_logits(folder, model)
    expected = logits[:, token_id(model.tokenizer, " not")]
    if against is not None:
        expected = expected - logits[:, token_id(model.tokenizer, against)]
    assert torch.allclose(scores(model), expected[:, None], atol=1e-4)
    assert model.label_names is None


def test_a_word_has_the_tokens_that_it_has_inside_a_text(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for word in (" not", " good", "ly", "Qz"):
        whole = tokenizer(f"so:{word}", add_special_tokens=False)["input_ids"]
        ids = word_tokens(tokenizer, word)
        assert whole[-len(ids) :] == ids
        assert tokenizer.decode(whole[: -len(ids)]).strip() == "so:"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Asked(" notvery"), "' notvery' is not one token of this model: its tokenizer gives .*'"),
        (Asked("Qz"), r"'Qz' is not one token of this model.* mostly begin with a space: ' Qz'\."),
        (Asked(" "), "' ' is not a word"),
        (Asked(""), "'' is not a word"),
        (Asked(" not", " not"), "--target and --against are the same token"),
        (Asked(label_words=(("bad", " not"), ("good", " not"))), "Two labels have the same label word"),
    ],
)
def test_what_is_no_token_is_refused(asked: Asked, says: str, tmp_path: Path) -> None:
    folder = tiny_models.with_next_token(tiny_models.tiny_gpt2(tmp_path))
    with pytest.raises(ClvqError, match=says):
        LanguageModel.load(str(folder), ModelOptions(device="cpu", asked=asked))


@pytest.mark.parametrize("head", [True, False])
def test_a_model_without_a_next_token_is_not_asked_for_it(head: bool, tmp_path: Path) -> None:
    folder = tiny_models.tiny_bert(tmp_path, layers=1, head=head)
    with pytest.raises(ClvqError, match=r"gives no next token .*: --target needs a causal language"):
        LanguageModel.load(str(folder), ModelOptions(device="cpu", asked=Asked(" not")))


def test_a_changed_score_is_measured_in_deviations_of_the_clean_ones() -> None:
    target = TokenTarget(" a", 0).scaled(2.0)
    clean, changed = (target.compared(torch.tensor(values)) for values in ([[1.0], [1.0], [1.0]], [[2.9], [3.1], [-5]]))
    assert target.flipped(clean, changed).tolist() == [False, True, True]
    assert target.divergence(clean, changed).tolist() == pytest.approx([0.95**2, 1.05**2, 9.0])
    assert target.fall(clean, changed).tolist() == pytest.approx([-0.95, -1.05, 3.0])
    assert target.correct(changed, torch.tensor([0, 1, -1])).isnan().all()
    with pytest.raises(ClvqError, match="clean scores of ' a' do not differ"):
        target.scaled(0.0).compared(torch.ones(1, 1))


@pytest.mark.parametrize("target", [ClassTarget(("a", "b", "c")), LabelWordTarget((("a", "x"), ("b", "y")), (0, 1))])
def test_a_changed_choice_is_measured_in_probabilities(target: ClassTarget | LabelWordTarget) -> None:
    torch.manual_seed(0)
    scores, others = torch.randn(50, target.count), torch.randn(50, target.count)
    labels = torch.randint(-1, target.count, (50,))
    clean, changed = target.compared(scores), target.compared(others)
    p, q = scores.softmax(dim=1).numpy(), others.softmax(dim=1).numpy()
    for number, label in enumerate(labels.tolist()):
        answer = p[number].argmax()
        assert target.flipped(clean, changed)[number] == (q[number].argmax() != answer)
        kl = sum(x * torch.tensor(x / y).log().item() for x, y in zip(p[number], q[number], strict=True))
        assert float(target.divergence(clean, changed)[number]) == pytest.approx(kl, abs=1e-5)
        gap = p[number, answer] - q[number, answer]
        assert float(target.fall(clean, changed)[number]) == pytest.approx(gap, abs=1e-6)
        right, loss = target.correct(changed, labels)[number], target.label_loss(changed, labels)[number]
        assert right.isnan() == loss.isnan() == (label < 0)
        if label >= 0:
            assert float(right) == (q[number].argmax() == label)
            assert float(loss) == pytest.approx(-torch.tensor(q[number, label]).log().item(), abs=1e-5)
