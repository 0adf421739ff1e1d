"""Running on from a layer: batch sizes, and the last block for the read token alone, against all blocks in full.

python benchmarks/upper_layers.py

CPU seconds of the blocks above the input layer, which `faithfulness` and `explain` spend most of their time in. The two
ways alternate.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from common import arguments, cpu_seconds, median, print_table, require
from torch import Tensor

from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.upper_layers import UpperLayers

BATCH_TOKENS = (4096, 2048, 1024, 512)


@torch.no_grad()
def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=200, help="the first of --eval-dataset")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    require(options.model, options.eval_dataset)
    lines = Path(options.eval_dataset).read_text(encoding="utf-8").splitlines()[: options.sentences]
    model = LanguageModel.load(options.model, ModelOptions(device="cpu"))
    sentences = model.tokenize([json.loads(line)["text"] for line in lines])
    upper, full = (UpperLayers(model, options.input_layer) for _ in range(2))
    full._last = None  # no setting turns off what is never slower
    seconds: dict[tuple[int, str], list[float]] = {}
    scores: dict[tuple[int, str], Tensor] = {}
    batches = {tokens: list(model.batches(sentences, tokens)) for tokens in BATCH_TOKENS}
    inputs = {tokens: [upper.inputs([sentences[i] for i in batch]) for batch in batches[tokens]] for tokens in batches}
    states = {tokens: [upper.states(given) for given in inputs[tokens]] for tokens in batches}
    for _ in range(options.rounds):
        for tokens in BATCH_TOKENS:
            for name, way in (("full", full), ("read", upper)):
                pairs = list(zip(states[tokens], inputs[tokens], strict=True))
                spent, found = cpu_seconds(lambda: [way.scores(*pair) for pair in pairs])  # noqa: B023
                seconds.setdefault((tokens, name), []).append(spent)
                order = torch.tensor([index for batch in batches[tokens] for index in batch])
                scores[tokens, name] = torch.cat(found)[order.argsort()]
    yardstick = median(seconds[BATCH_TOKENS[0], "full"])
    rows = []
    for tokens in BATCH_TOKENS:
        padded = sum(given.input_ids.numel() for given in inputs[tokens])
        padding = 1 - sum(len(sentence.input_ids) for sentence in sentences) / padded
        medians = [median(seconds[tokens, name]) for name in ("full", "read")]
        rows.append((f"{tokens:,}", f"{padding:.0%}", *(f"{one:.2f} ({yardstick / one:.2f})" for one in medians)))
    print_table(
        f"Blocks above layer {options.input_layer}, {len(sentences)} sentences: CPU seconds (times faster)",
        rows,
        ("tokens a batch", "padding", "all blocks in full", "last block for the read token"),
    )
    first = scores[BATCH_TOKENS[0], "full"]
    print(f"\nLargest difference of two logits: {max(float((one - first).abs().max()) for one in scores.values()):.1e}")


if __name__ == "__main__":
    main()
