"""The last block for the position that is read alone, against all blocks in full."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from clvq.language_model.inputs import Inputs
from clvq.language_model.loading import LoadedFiles
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.upper_layers import UpperLayers

pytestmark = pytest.mark.slow

Load = Callable[[str], LanguageModel]
Folder = Callable[[str], Path]

READS_ONE = ("bert", "gpt2", "llama", "qwen2", "roberta")
"""The others keep no keys and values for a cache, so their last block runs in full."""
TEXTS = ["The film wasn't good!", "My uncle's script felt unbelievably slow, but charming", "boring"]
# A batch with padding, and texts alone, for which attention has no mask.
BATCHES = (TEXTS, TEXTS[:1], TEXTS[2:])


def in_full(upper: UpperLayers, states: Tensor, inputs: Inputs) -> Tensor:
    """Scores with the states put in by a hook, all blocks running as transformers runs them."""
    site = upper.model.locate(upper.layer)
    if site.side == "input":
        handle = site.module.register_forward_pre_hook(lambda _, args: (states, *args[1:]))
    else:
        handle = site.module.register_forward_hook(
            lambda _m, _a, output: (states, *output[1:]) if isinstance(output, tuple) else states
        )
    try:
        return upper.target.scores(
            upper.model.head.output(upper.target, inputs.arguments, inputs.pad, inputs.places), inputs.places
        )
    finally:
        handle.remove()


def both(upper: UpperLayers, texts: list[str]) -> list[tuple[Tensor, Tensor]]:
    """Scores `[B, C]` of edited states and gradients `[B, T, D]` at their tokens, ours and of all blocks in full."""
    sentences = upper.model.tokenize(texts)
    # Of a target with a part for each word another one of each text.
    inputs = upper.inputs(
        sentences, [parts[-1 - row % len(parts)] for row, parts in enumerate(map(upper.target.parts, sentences))]
    )
    generator = torch.Generator().manual_seed(0)
    states = upper.states(inputs)
    states = states + 0.3 * torch.randn(states.shape, generator=generator)
    found = []
    for run in (upper.scores, lambda *given: in_full(upper, *given)):
        leaf = states.clone().requires_grad_()
        scores = run(leaf, inputs)
        (gradient,) = torch.autograd.grad(scores[:, -1].sum(), leaf)
        found.append((scores.detach(), gradient * inputs.attention_mask[:, :, None]))
    return found


@pytest.mark.parametrize("name", sorted(tiny_models.BUILDERS))
def test_scores_and_gradients_are_those_of_all_blocks_in_full(name: str, language_model: Load) -> None:
    model = language_model(name)
    for layer in range(model.num_layers + 1):
        upper = UpperLayers(model, layer)
        assert upper.reads_one_position == (name in READS_ONE and layer < model.num_layers)
        for texts in BATCHES:
            (ours, our_gradient), (scores, gradient) = both(upper, texts)
            assert torch.allclose(ours, scores, rtol=1e-4, atol=1e-6)
            assert torch.allclose(our_gradient, gradient, rtol=1e-3, atol=1e-6 * float(1 + gradient.abs().max()))
            assert gradient.any()


def test_the_prediction_of_a_next_token_reads_one_position(tmp_path: Path) -> None:
    folder = tiny_models.with_next_token(tiny_models.tiny_llama(tmp_path, layers=3))
    model = LanguageModel.load(str(folder), ModelOptions(device="cpu", next_token=True))
    upper = UpperLayers(model, 1)
    assert upper.reads_one_position
    for texts in BATCHES:
        (ours, our_gradient), (scores, gradient) = both(upper, texts)
        assert torch.allclose(ours, scores, rtol=1e-4, atol=1e-5)
        assert torch.allclose(our_gradient, gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["bert", "roberta", "llama"])
def test_a_tag_is_read_at_its_word(name: str, tmp_path: Path) -> None:
    """In a decoder what comes later must stay hidden, so that its last block runs in full."""
    folder = tiny_models.with_tags(tiny_models.BUILDERS[name](tmp_path), ("O", "LOC", "PER"))
    model = LanguageModel.load(str(folder), ModelOptions(device="cpu"))
    upper = UpperLayers(model, 1)
    assert upper.reads_one_position == (name != "llama")
    for texts in (TEXTS[:2], TEXTS[:1]):
        (ours, our_gradient), (scores, gradient) = both(upper, texts)
        assert torch.allclose(ours, scores, rtol=1e-4, atol=1e-6)
        assert torch.allclose(our_gradient, gradient, rtol=1e-3, atol=1e-6 * float(1 + gradient.abs().max()))


def test_only_the_read_token_goes_through_the_last_blocks_products(language_model: Load) -> None:
    upper = UpperLayers(language_model("bert"), 1)
    inputs = upper.inputs(upper.model.tokenize(TEXTS))
    block = upper.model.base.encoder.layer[-1]
    tokens: dict[str, int] = {}
    layers = {"query": block.attention.self.query, "key": block.attention.self.key, "mlp": block.intermediate.dense}
    forwards = {name: layer.forward for name, layer in layers.items()}
    for name, layer in layers.items():

        def counted(states: Tensor, name: str = name) -> Tensor:
            tokens[name] = tokens.get(name, 0) + states.shape[1]
            return forwards[name](states)

        layer.forward = counted
    try:
        upper.scores(upper.states(inputs), inputs)
    finally:
        for layer in layers.values():
            del layer.forward
    length = inputs.input_ids.shape[1]
    assert tokens == {"query": 1, "key": length + 1, "mlp": 1}


def with_head(folder: Path, read: Callable[[Tensor], Tensor]) -> LanguageModel:
    """A BERT whose pooler takes of states `[B, T, D]` what `read` says."""
    plain: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    pooler = plain.bert.pooler
    pooler.forward = lambda states: pooler.activation(pooler.dense(read(states)))
    return LanguageModel(LoadedFiles(plain, AutoTokenizer.from_pretrained(folder)), model_id="changed")


@pytest.mark.parametrize(
    "read",
    [
        lambda states: states.mean(dim=1),
        lambda states: states[:, 0] + states[:, 1],
        lambda states: states[:, 0] + 1e-4 * states.amax(dim=1),
        lambda states: states[:, 1],
    ],
    ids=["mean", "first two", "a little of all", "second"],
)
def test_a_head_that_reads_other_positions_has_the_last_block_in_full(
    read: Callable[[Tensor], Tensor], model_folder: Folder
) -> None:
    upper = UpperLayers(with_head(model_folder("bert"), read), 1)
    assert not upper.reads_one_position
    (ours, _), (scores, _) = both(upper, TEXTS[:1])
    assert torch.equal(ours, scores)


def test_an_encoder_may_be_read_at_its_last_token(model_folder: Folder) -> None:
    upper = UpperLayers(with_head(model_folder("bert"), lambda states: states[:, -1]), 1)
    (ours, _), (scores, _) = both(upper, TEXTS[:1])
    assert torch.allclose(ours, scores, rtol=1e-4, atol=1e-6)
