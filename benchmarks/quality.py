"""FVU and use of the codebook on held-out sentences, beside every yardstick; default settings.

python benchmarks/quality.py                      # about half an hour on two cores: two trainings
python benchmarks/quality.py --preset paper --epochs 3
"""

from __future__ import annotations

from common import arguments, notes, print_table, store

import clvq


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--preset", default="default", choices=["default", "paper"])
    parser.add_argument("--epochs", type=int, default=None, help="other than the preset's")
    parser.add_argument("--yardsticks", default=None, choices=["basic", "full"], help="full, for the default preset")
    options = parser.parse_args()
    activations = store(options)
    name = f"L{options.input_layer}-L{options.output_layer}" + ("-paper" if options.preset == "paper" else "")
    checkpoint = clvq.train(
        activations,
        path=options.run / name,
        input_layer=options.input_layer,
        output_layer=options.output_layer,
        preset=options.preset,
        yardsticks=options.yardsticks or ("full" if options.preset == "default" else "basic"),
        progress=notes,
        **({} if options.epochs is None else {"epochs": options.epochs}),
    )
    results = checkpoint.results
    figures, yardsticks = results.evaluation, results.yardsticks
    print_table(
        f"Quality, preset {options.preset}, layers {options.input_layer} -> {options.output_layer}",
        [
            ("FVU", number(figures.fvu)),
            ("FVU of a copy of the input layer", number(yardsticks.copy)),
            ("FVU of a ridge map", number(yardsticks.ridge)),
            ("FVU of the mean output per k-means code", number(yardsticks.mean_per_code)),
            ("FVU of frozen k-means codes, same decoder and budget", number(yardsticks.frozen_kmeans)),
            ("FVU of sentence rows", number(figures.fvu_sentence_rows)),
            ("FVU with codes shuffled among words", number(figures.fvu_codes_shuffled)),
            ("FVU, own code replaced by the mean code", number(figures.fvu_own_code_mean)),
            ("codebook perplexity", number(figures.codebook_perplexity)),
            ("active codes", f"{figures.active_codes} of {checkpoint.settings.codebook_size}"),
            ("codes on 5 distinct sentences or more", str(figures.active_codes_5)),
            ("candidates in effective use", number(figures.candidates_in_use)),
            ("epochs, best one", f"{results.epochs_run}, {results.best_epoch}"),
            ("training, minutes", f"{results.training_seconds / 60:.1f}"),
        ],
    )


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    main()
