"""Integrated gradients of many sentences at a time against captum, sentence by sentence with 500 steps.

python benchmarks/attribution.py
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import LayerIntegratedGradients
from common import arguments, median, print_table, require
from scipy.stats import spearmanr

from clvq.config import ExplainConfig
from clvq.explanations.attribution import Attribution, IntegratedAttribution
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.tokenization import TokenizedSentence
from clvq.language_model.upper_layers import UpperLayers


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=40, help="drawn at random from --eval-dataset")
    parser.add_argument("--yardstick-steps", type=int, default=500)
    parser.add_argument("--yardstick-batch", type=int, default=50, help="captum's internal_batch_size; 0 is none")
    options = parser.parse_args()
    require(options.model, options.eval_dataset)
    lines = Path(options.eval_dataset).read_text(encoding="utf-8").splitlines()
    indices = np.random.default_rng(0).choice(len(lines), options.sentences, replace=False)
    model = LanguageModel.load(options.model, ModelOptions(device="cpu"))
    sentences = model.tokenize([json.loads(lines[index])["text"] for index in indices])
    ours, our_seconds = batched(UpperLayers(model, options.input_layer), sentences)
    theirs, their_seconds = one_by_one(model, sentences, options)
    correlations = [
        float(spearmanr(words(sentence, one.tokens), words(sentence, other)).statistic)
        for sentence, one, other in zip(sentences, ours, theirs, strict=True)
        if len(sentence.words) > 2
    ]
    print_table(
        f"Attribution of {len(sentences)} sentences at layer {options.input_layer}, baseline padding",
        [
            ("captum, sentence by sentence, seconds", f"{their_seconds:.1f}"),
            ("clvq, seconds", f"{our_seconds:.1f}"),
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


def batched(upper: UpperLayers, sentences: list[TokenizedSentence]) -> tuple[list[Attribution], float]:
    """As `clvq explain` does it by default."""
    config = ExplainConfig()
    attribution = IntegratedAttribution(
        upper,
        baseline=config.baseline,
        steps=config.steps,
        max_steps=config.max_steps,
        completeness=config.completeness,
        batch_tokens=config.batch_tokens,
    )
    started = time.perf_counter()
    attributions = {}
    for batch in attribution.batches(sentences):
        attributions.update(zip(batch, attribution.of_batch(sentences, batch), strict=True))
    return [attributions[index] for index in range(len(sentences))], time.perf_counter() - started


def one_by_one(model: LanguageModel, sentences: list[TokenizedSentence], options: Any) -> tuple[list[Any], float]:
    """As captum's users do it: the whole transformers model, a sentence at a time."""
    attribution = LayerIntegratedGradients(
        lambda ids: model.model(input_ids=ids).logits, model.locate(options.input_layer).module
    )
    tokenizer = model.tokenizer
    kept = {tokenizer.cls_token_id, tokenizer.sep_token_id}
    attributions = []
    started = time.perf_counter()
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
    return attributions, time.perf_counter() - started


def words(sentence: TokenizedSentence, tokens: list[float]) -> list[float]:
    return [sum(tokens[at] for at in token_indices) for token_indices in sentence.word_tokens]


if __name__ == "__main__":
    main()
