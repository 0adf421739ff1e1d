"""Integrated gradients of many sentences at a time against captum, in batches and sentence by sentence.

    python benchmarks/attribution.py

CPU seconds; the ways alternate. Of captum there are four: `IntegratedGradients` on the blocks above the layer, without
and with the error of completeness (its convergence delta, which clvq always gives), and `LayerIntegratedGradients` on
the whole model, these on sentences sorted by length, in batches of several sizes, with as many steps as each sentence
needs; and `LayerIntegratedGradients` sentence by sentence with --yardstick-steps, as captum's users do it. The first
three are given the predictions and the number of steps, which clvq has to find.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerIntegratedGradients
from common import arguments, cpu_seconds, median, print_table, require
from scipy.stats import spearmanr

from clvq.config import ExplainConfig
from clvq.device import Runtime
from clvq.explanations.attribution import Attribution, IntegratedAttribution
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.tokenization import TokenizedSentence
from clvq.language_model.upper_layers import Inputs, UpperLayers

BATCH_TOKENS = (4096, 2048, 1024, 512)
"""Tokens in a batch of captum's, with padding and all steps."""


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=40, help="drawn at random from --eval-dataset")
    parser.add_argument("--yardstick-steps", type=int, default=500, help="sentence by sentence; 0 leaves that out")
    parser.add_argument("--yardstick-batch", type=int, default=50, help="captum's internal_batch_size; 0 is none")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    require(options.model, options.eval_dataset)
    lines = Path(options.eval_dataset).read_text(encoding="utf-8").splitlines()
    indices = np.random.default_rng(0).choice(len(lines), options.sentences, replace=False)
    model = LanguageModel.load(options.model, ModelOptions(device="cpu"))
    sentences = model.tokenize([json.loads(lines[index])["text"] for index in indices])
    upper = UpperLayers(model, options.input_layer)
    ours = batched(upper, sentences)
    ways: dict[tuple[str, int], Callable[[], object]] = {("clvq", 0): partial(batched, upper, sentences)}
    for size in BATCH_TOKENS:
        groups = by_length(sentences, ours, size)
        given = (sentences, ours, groups)
        ways["blocks above", size] = partial(blocks_above, upper, *given)
        ways["blocks above, completeness too", size] = partial(blocks_above, upper, *given, completeness=True)
        ways["whole model", size] = partial(whole_model, model, *given, options)
    spent: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, run in ways.items():
            spent[way].append(cpu_seconds(run)[0])
    seconds = {way: median(values) for way, values in spent.items()}
    against_batches(seconds, options)
    if options.yardstick_steps:
        against_one_by_one(model, sentences, ours, seconds["clvq", 0], options)


def against_batches(seconds: dict[tuple[str, int], float], options: argparse.Namespace) -> None:
    ours = seconds["clvq", 0]
    rows = [("clvq", "", f"{ours:.1f}", "")]
    for (name, size), theirs in list(seconds.items())[1:]:
        rows.append((f"captum, {name}", f"{size:,}", f"{theirs:.1f}", f"{ours / theirs:.3f}"))
    print_table(
        f"Attribution of {options.sentences} sentences at layer {options.input_layer}, at the steps that each needs",
        rows,
        ("way", "tokens a batch", "CPU seconds", "clvq / this (target: at most 1.1 of the fastest)"),
    )


def against_one_by_one(
    model: LanguageModel,
    sentences: list[TokenizedSentence],
    ours: list[Attribution],
    our_seconds: float,
    options: argparse.Namespace,
) -> None:
    their_seconds, theirs = cpu_seconds(lambda: one_by_one(model, sentences, options))
    correlations = [
        float(spearmanr(words(sentence, one.tokens), words(sentence, other)).statistic)
        for sentence, one, other in zip(sentences, ours, theirs, strict=True)
        if len(sentence.words) > 2
    ]
    print_table(
        f"Attribution of {len(sentences)} sentences at layer {options.input_layer}, baseline padding",
        [
            (
                f"captum, sentence by sentence, {options.yardstick_steps} steps, CPU seconds",
                f"{their_seconds:.1f}",
            ),
            ("clvq, CPU seconds", f"{our_seconds:.1f}"),
            ("ratio (target: at least 20)", f"{their_seconds / our_seconds:.1f}"),
            (
                "completeness error, median (target: at most 0.05)",
                f"{median([one.completeness_error for one in ours]):.5f}",
            ),
            ("completeness error, largest", f"{max(one.completeness_error for one in ours):.5f}"),
            ("steps, median and most", f"{median([one.steps for one in ours]):.0f}, {max(o.steps for o in ours)}"),
            ("rank correlation of words, median (target: at least 0.98)", f"{median(correlations):.5f}"),
            ("rank correlation of words, lowest", f"{min(correlations):.5f}"),
        ],
    )


def by_length(sentences: list[TokenizedSentence], ours: list[Attribution], batch_tokens: int) -> list[list[int]]:
    """Batches of sentences that need equally many steps, sorted by length, of `batch_tokens` tokens with all steps."""
    same_steps: dict[int, list[int]] = defaultdict(list)
    for index in sorted(range(len(sentences)), key=lambda index: len(sentences[index].input_ids)):
        same_steps[ours[index].steps].append(index)
    groups: list[list[int]] = []
    for steps, indices in same_steps.items():
        groups.append([])
        for index in indices:
            if groups[-1] and (len(groups[-1]) + 1) * len(sentences[index].input_ids) * steps > batch_tokens:
                groups.append([])
            groups[-1].append(index)
    return groups


def blocks_above(
    upper: UpperLayers,
    sentences: list[TokenizedSentence],
    ours: list[Attribution],
    groups: list[list[int]],
    *,
    completeness: bool = False,
) -> None:
    """captum on the blocks above the layer, at a baseline of padding; with the error of completeness if asked for."""
    attribution = IntegratedGradients(lambda states, *rest: upper.scores(states, Inputs(*rest)))
    kept = torch.tensor([upper.model.tokenizer.cls_token_id, upper.model.tokenizer.sep_token_id])
    for group in groups:
        inputs = upper.inputs([sentences[index] for index in group])
        filled = inputs.input_ids.where(torch.isin(inputs.input_ids, kept), upper.model.tokenizer.pad_token_id)
        attribution.attribute(
            upper.states(inputs),
            upper.states(inputs._replace(input_ids=filled)),
            target=torch.tensor([ours[index].target for index in group]),
            additional_forward_args=tuple(inputs),
            n_steps=ours[group[0]].steps,
            return_convergence_delta=completeness,
        )


def whole_model(
    model: LanguageModel,
    sentences: list[TokenizedSentence],
    ours: list[Attribution],
    groups: list[list[int]],
    options: argparse.Namespace,
) -> None:
    """captum on the plain transformers model, in batches."""
    attribution = LayerIntegratedGradients(
        lambda ids, mask: model.model(input_ids=ids, attention_mask=mask).logits,
        model.locate(options.input_layer).module,
    )
    kept = torch.tensor([model.tokenizer.cls_token_id, model.tokenizer.sep_token_id])
    for group in groups:
        given = model.tensors.of([sentences[index] for index in group])
        ids = given["input_ids"]
        attribution.attribute(
            ids,
            ids.where(torch.isin(ids, kept), model.tokenizer.pad_token_id),
            target=torch.tensor([ours[index].target for index in group]),
            additional_forward_args=(given["attention_mask"],),
            n_steps=ours[group[0]].steps,
        )


def batched(upper: UpperLayers, sentences: list[TokenizedSentence]) -> list[Attribution]:
    """As `clvq explain` does it by default."""
    config = ExplainConfig(device="cpu")
    attribution = IntegratedAttribution(
        upper,
        baseline=config.baseline,
        steps=config.steps,
        max_steps=config.max_steps,
        completeness=config.completeness,
        batch_tokens=Runtime.of_settings(config).batch_tokens,
    )
    attributions: dict[int, Attribution] = {}
    for batch in attribution.batches(sentences):
        attributions.update(zip(batch, attribution.of_batch(sentences, batch), strict=True))
    return [attributions[index] for index in range(len(sentences))]


def one_by_one(model: LanguageModel, sentences: list[TokenizedSentence], options: Any) -> list[list[float]]:
    """As captum's users do it: the whole transformers model, a sentence at a time."""
    attribution = LayerIntegratedGradients(
        lambda ids: model.model(input_ids=ids).logits, model.locate(options.input_layer).module
    )
    tokenizer = model.tokenizer
    kept = {tokenizer.cls_token_id, tokenizer.sep_token_id}
    attributions = []
    for sentence in sentences:
        ids = torch.tensor([sentence.input_ids])
        reference = torch.tensor([[i if i in kept else tokenizer.pad_token_id for i in sentence.input_ids]])
        with torch.no_grad():
            target = int(model.model(input_ids=ids).logits.argmax())
        values = attribution.attribute(
            ids,
            reference,
            target=target,
            n_steps=options.yardstick_steps,
            internal_batch_size=options.yardstick_batch or None,
        )
        attributions.append(values.sum(dim=2)[0].tolist())
    return attributions


def words(sentence: TokenizedSentence, tokens: list[float]) -> list[float]:
    return [sum(tokens[at] for at in token_indices) for token_indices in sentence.word_tokens]


if __name__ == "__main__":
    main()
