"""The decoder's reconstruction in place of the output layer's states inside the language model.

python benchmarks/splice.py --run RUN                                  # layers 4 -> 6
python benchmarks/splice.py --run RUN --input-layer 2 --output-layer 4

Trains a checkpoint of these layers with default settings where the run folder has none.
"""

from __future__ import annotations

from typing import Any

from common import arguments, notes, print_table, store

import clvq
from clvq.splice import splice

FIGURES = ("agreement", "kl", "loss", "accuracy")
OTHERS = {"clean": "left clean", "ablated": "mean-ablated"}


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--device", default=None)
    options = parser.parse_args()
    layers = (options.input_layer, options.output_layer)
    path = options.run / f"L{layers[0]}-L{layers[1]}"
    checkpoint = clvq.train(
        store(options), path=path, input_layer=layers[0], output_layer=layers[1], device=options.device, progress=notes
    )
    found = splice(checkpoint, device=options.device, progress=notes)
    read = "the sentence row alone" if found["only_sentence_row"] else "all rows"
    rows = [("what the answer depends on", *[read] * 2)]
    for name in ("share_recovered", "share_recovered_labels"):
        rows.append((name.replace("_", " "), *(shown(found["others"][others][name]) for others in OTHERS)))
    for state in ("spliced", "ablated"):
        for name in FIGURES:
            values = (shown(found["others"][others][state][name]) for others in OTHERS)
            rows.append((f"{name}, {'spliced' if state == 'spliced' else 'all rows the mean'}", *values))
    rows.append(("loss, clean", *(f"{found['others'][others]['loss_clean']:.4f}" for others in OTHERS)))
    rows.append(("accuracy, clean", *[shown(found["accuracy"])] * 2))
    share = f"{found['tokens_of_rows']:,} of {found['tokens']:,} tokens have a row"
    print_table(
        f"Splice at layer {found['layer']} from layer {found['input_layer']}, {found['sentences']} sentences, {share}",
        rows,
        ("figure", *(f"other tokens {others}" for others in OTHERS.values())),
    )


def shown(figure: dict[str, Any] | None) -> str:
    return "-" if figure is None else f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


if __name__ == "__main__":
    main()
