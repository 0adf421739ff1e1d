"""Probes of the sentence row at the input layer: the published protocol with its checks, and the sound one.

python benchmarks/probe.py --run RUN

Trains a checkpoint with default settings and explains the evaluation split where the run folder has neither.
"""

from __future__ import annotations

from typing import Any

from common import arguments, notes, print_table, store

import clvq
from clvq.probe import probe, published_probe


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=3, help="of each control")
    options = parser.parse_args()
    layers = (options.input_layer, options.output_layer)
    path = options.run / f"L{layers[0]}-L{layers[1]}"
    checkpoint = clvq.train(store(options), path=path, input_layer=layers[0], output_layer=layers[1], progress=notes)
    sentences = clvq.explain(checkpoint, progress=notes).sentences
    for title, measure in (("Published probe", published_probe), ("Probe", probe)):
        found = measure(checkpoint, sentences, draws=options.draws, progress=notes)
        before = found["before"]
        rows = [("", "before", shown(before["accuracy"]), shown(before["refitted"]), "", "")]
        for line in found["table"]:
            control = "concept" if line["control"] is None else line["control"]
            figures = (shown(line[name]) for name in ("accuracy", "refitted"))
            rows.append((line["edit"], control, *figures, f"{line['distance']:.2f}", shown(line["selectivity"])))
        print_table(
            f"{title} at layer {found['layer']}, {found['sentences']['evaluation']} sentences, "
            f"chance {found['chance']:.3f}",
            rows,
            ("edit", "along", "accuracy", "of probes fitted again", "distance", "selectivity"),
        )


def shown(figure: dict[str, Any] | None) -> str:
    return "-" if figure is None else f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


if __name__ == "__main__":
    main()
