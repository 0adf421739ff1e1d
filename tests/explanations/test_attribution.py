"""Running on from a layer, and integrated gradients, against the plain transformers model and captum one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from attributions import by_index
from captum.attr import IntegratedGradients, LayerIntegratedGradients
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from clvq.errors import ClvqError
from clvq.explanations.attribution import Attribution, IntegratedAttribution
from clvq.language_model.inputs import Inputs
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.upper_layers import UpperLayers

pytestmark = pytest.mark.slow

Load = Callable[[str], LanguageModel]
Folder = Callable[[str], Path]

TEXTS = [
    "The film wasn't good!",
    "My uncle's script felt unbelievably slow, but charming",
    "boring",
    "A director remains rather wonderful? not at all lifeless...",
]
CAPTUM_KNOWS = ("bert", "roberta", "distilbert", "modernbert")
"""Others give a tuple out of a block, or their head finds the last token by its id, which a baseline of ids lacks."""
EVERY_MODEL = pytest.mark.parametrize("name", sorted(tiny_models.BUILDERS))


def attributed(upper: UpperLayers, texts: list[str], **settings: Any) -> list[Attribution]:
    given = {"baseline": "padding", "steps": 8, "max_steps": 512, "completeness": 0.05, "batch_tokens": 4096}
    attribution = IntegratedAttribution(upper, **{**given, **settings})
    found = by_index(attribution, upper.model.tokenize(texts))
    return [found[index] for index in range(len(texts))]


def all_layers(model: LanguageModel) -> list[UpperLayers]:
    return [UpperLayers(model, layer) for layer in range(model.num_layers + 1)]


@EVERY_MODEL
def test_a_layers_own_states_give_the_models_own_logits(name: str, language_model: Load) -> None:
    model = language_model(name)
    sentences = model.tokenize(TEXTS)
    for upper in all_layers(model):
        inputs = upper.inputs(sentences)
        states = upper.states(inputs)
        assert states.shape == (*inputs.input_ids.shape, model.width(upper.layer))
        with torch.no_grad():
            logits = upper.scores(states, inputs)
        own = model.run(sentences, [], predict=True).scores
        assert own is not None
        if upper.reads_one_position:
            assert torch.allclose(logits, own, rtol=1e-4, atol=1e-6)
        else:
            assert torch.equal(logits, own)
        assert upper.skips_below == (upper.layer > 0)
        assert upper.skips_embeddings


@EVERY_MODEL
def test_edited_states_give_what_the_whole_model_gives_with_the_same_edit(
    name: str, language_model: Load, model_folder: Folder
) -> None:
    """Naively: a hook on the plain transformers model, one unpadded text at a time."""
    model = language_model(name)
    plain = AutoModelForSequenceClassification.from_pretrained(model_folder(name), dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(model_folder(name))
    upper = UpperLayers(model, 1)
    block = next(m for m in plain.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == model.num_layers)[1]
    inputs = upper.inputs(model.tokenize(TEXTS))
    logits = upper.scores(0.5 * upper.states(inputs) + 0.1, inputs)
    for text, ours in zip(TEXTS, logits, strict=True):
        handle = block.register_forward_pre_hook(lambda _, args: (0.5 * args[0] + 0.1, *args[1:]))
        theirs = plain(input_ids=tokenizer(text, return_tensors="pt")["input_ids"]).logits[0]
        handle.remove()
        assert torch.allclose(ours, theirs, atol=1e-5), text


def test_gradients_reach_the_states_and_stop_at_padding(language_model: Load) -> None:
    upper = UpperLayers(language_model("bert"), 2)
    inputs = upper.inputs(upper.model.tokenize(TEXTS))
    states = upper.states(inputs).requires_grad_()
    upper.scores(states, inputs)[:, 0].sum().backward()
    size = states.grad.abs().sum(dim=2)
    assert (size[inputs.attention_mask == 1] > 0).all()
    assert (size[inputs.attention_mask == 0] == 0).all()
    assert all(parameter.grad is None for parameter in upper.model.model.parameters())


@pytest.mark.parametrize("read", ["block", "embeddings"])
def test_what_cannot_be_passed_over_runs(tmp_path: Path, read: str) -> None:
    """An upper block that also reads what the embeddings or a lower block made: passing these over would change the
    logits."""
    model = LanguageModel.load(str(tiny_models.tiny_bert(tmp_path, layers=3)), ModelOptions(device="cpu"))
    seen: list[torch.Tensor] = []
    source = model.locate(1).module.intermediate if read == "block" else model.base.embeddings.word_embeddings
    source.register_forward_hook(lambda _m, _a, output: seen.append(output))
    model.locate(3).module.register_forward_hook(lambda _m, _a, output: output + seen.pop().mean())
    upper = UpperLayers(model, 2)
    assert (upper.skips_below, upper.skips_embeddings) == (read == "embeddings", False)
    sentences = model.tokenize(TEXTS)
    inputs = upper.inputs(sentences)
    states, expected = upper.states(inputs), model.run(sentences, [], predict=True).scores
    assert expected is not None
    assert torch.allclose(upper.scores(states, inputs), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", sorted({**tiny_models.BUILDERS, **tiny_models.PADDING_READERS}))
def test_attributions_are_those_of_captum_text_by_text(name: str, language_model: Load, model_folder: Folder) -> None:
    """Captum over unpadded texts: of the plain model where it can be asked for that layer, else of ours run on."""
    model = language_model(name)
    plain = AutoModelForSequenceClassification.from_pretrained(model_folder(name), dtype=torch.float32).eval()
    plain.requires_grad_(False)
    upper = UpperLayers(model, 1)
    found = attributed(upper, TEXTS, steps=32, max_steps=32)
    first = next(m for m in plain.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == model.num_layers)[0]
    pad, end = model.tokenizer.pad_token_id, model.tokenizer.eos_token_id
    for sentence, ours in zip(model.tokenize(TEXTS), found, strict=True):
        special = {*model.tokenizer.all_special_ids}
        filled = [number if number in special else end if pad is None else pad for number in sentence.input_ids]
        ids, other = torch.tensor([sentence.input_ids]), torch.tensor([filled])
        if name in CAPTUM_KNOWS:
            gradients = LayerIntegratedGradients(lambda given: plain(input_ids=given).logits, first)
            values = gradients.attribute(ids, other, target=ours.target, n_steps=32)
        else:
            states, baseline = (
                plain.base_model(input_ids=given, output_hidden_states=True).hidden_states[1] for given in (ids, other)
            )
            inputs = upper.inputs([sentence])

            def run_on(given: torch.Tensor, inputs: Inputs = inputs) -> torch.Tensor:
                return torch.cat([upper.scores(state[None], inputs) for state in given])

            values = IntegratedGradients(run_on).attribute(states, baseline, target=ours.target, n_steps=32)
        expected = values.float().sum(dim=2)[0]
        assert torch.allclose(torch.tensor(ours.tokens), expected, atol=2e-4 * float(expected.abs().max()))
        logits = plain(input_ids=ids).logits[0]
        assert ours.target == int(logits.argmax())
        assert ours.confidence == pytest.approx(float(logits.softmax(0).max()), abs=1e-4)


def test_of_a_linear_model_the_attributions_are_known(language_model: Load) -> None:
    """Above the last layer of GPT-2 there is a linear map of the last token's state."""
    model = language_model("gpt2")
    upper = UpperLayers(model, model.num_layers)
    weights = model.model.score.weight
    for sentence, found in zip(model.tokenize(TEXTS), attributed(upper, TEXTS, baseline="zero", steps=1), strict=True):
        state = upper.states(upper.inputs([sentence]))[0, -1]
        assert found.tokens[-1] == pytest.approx(float(state @ weights[found.target]), rel=1e-4)
        assert not any(found.tokens[:-1])
        assert (found.steps, found.completeness_error) == (1, pytest.approx(0, abs=1e-5))


@pytest.mark.parametrize("baseline", ["zero", "padding"])
@pytest.mark.parametrize("name", ["roberta", "distilbert", *tiny_models.PADDING_READERS])
def test_batching_and_padding_change_nothing(name: str, baseline: str, language_model: Load) -> None:
    upper = UpperLayers(language_model(name), 1)
    settings = {"baseline": baseline, "max_steps": 64}
    together = attributed(upper, TEXTS, **settings)
    alone = [attributed(upper, [text], **settings)[0] for text in TEXTS]
    crowded = attributed(upper, TEXTS, **settings, batch_tokens=1)
    for one, other, third in zip(together, alone, crowded, strict=True):
        assert one.steps == other.steps == third.steps
        assert one.tokens == pytest.approx(other.tokens, rel=1e-3, abs=1e-4)
        assert one.tokens == pytest.approx(third.tokens, rel=1e-3, abs=1e-4)
        assert one.difference == pytest.approx(other.difference, rel=1e-4)


@pytest.mark.parametrize("baseline", ["zero", "padding"])
def test_steps_are_doubled_until_the_attributions_add_up(baseline: str, language_model: Load) -> None:
    upper = UpperLayers(language_model("bert"), 1)
    found = attributed(upper, TEXTS, baseline=baseline, steps=1, completeness=0.001)
    for one in found:
        assert one.steps in {2**power for power in range(10)}
        assert one.completeness_error <= 0.001
        assert sum(one.tokens) == pytest.approx(one.difference, rel=0.0011)
    assert max(one.steps for one in found) > 1
    stopped = attributed(upper, TEXTS, baseline=baseline, steps=1, max_steps=3, completeness=1e-9)
    assert {one.steps for one in stopped} == {2}
    assert all(one.completeness_error > 1e-9 for one in stopped)


@pytest.mark.parametrize("name", tiny_models.DECODERS)
def test_a_causal_language_model_explains_its_next_token(name: str, tmp_path: Path) -> None:
    folder = tiny_models.with_next_token(tiny_models.BUILDERS[name](tmp_path))
    model = LanguageModel.load(str(folder), ModelOptions(device="cpu", next_token=True))
    base = LanguageModel.load(str(folder), ModelOptions(device="cpu"))
    assert (model.predicts_next_token, base.predicts_next_token) == (True, False)
    assert model.fingerprint == base.fingerprint
    sentences = model.tokenize(TEXTS)
    assert torch.equal(model.run(sentences, [1]).hidden[1], base.run(sentences, [1]).hidden[1])
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    for upper in all_layers(model):
        inputs = upper.inputs(sentences)
        logits = upper.scores(upper.states(inputs), inputs)
        for sentence, ours in zip(sentences, logits, strict=True):
            theirs = plain(input_ids=torch.tensor([sentence.input_ids])).logits[0, -1]
            assert torch.allclose(ours, theirs, atol=1e-4)
    found = attributed(UpperLayers(model, 1), TEXTS, completeness=0.01)
    for sentence, one in zip(sentences, found, strict=True):
        theirs = plain(input_ids=torch.tensor([sentence.input_ids])).logits[0, -1]
        assert one.target == int(theirs.argmax())
        assert one.completeness_error <= 0.01


@pytest.mark.parametrize("kind", ["base", "bidirectional"])
def test_a_model_without_a_head_says_why(kind: str, tmp_path: Path) -> None:
    folder = tiny_models.tiny_bert(tmp_path, layers=1, head=False)
    if kind == "bidirectional":
        tiny_models.with_next_token(folder)
    model = LanguageModel.load(str(folder), ModelOptions(device="cpu", next_token=True))
    with pytest.raises(ClvqError, match=r"predicts nothing that could be explained: its files hold Bert\w+, which has"):
        UpperLayers(model, 1)


def test_a_text_without_tokens_is_left_out(language_model: Load) -> None:
    upper = UpperLayers(language_model("gpt2"), 1)
    attribution = IntegratedAttribution(upper, baseline="zero", steps=2, max_steps=2, completeness=0.1, batch_tokens=64)
    batches = list(attribution.batches(upper.model.tokenize(["", "good", ""])))
    assert batches == [[1]]
