"""`clvq faithfulness` with its default grid against bare forwards of the blocks above the layer.

    python benchmarks/edits.py

CPU seconds; the ways alternate. The yardstick runs the blocks above once for each edit, each draw of a control that is
shown and once without an edit, over the same sentences in the same batches. One such forward over all batches is
measured, and multiplied by their number.
"""

from __future__ import annotations

import argparse

import torch
from common import arguments, cpu_seconds, first_lines, median, notes, print_table

import clvq
from clvq.concepts.directions import concept_space
from clvq.config import FaithfulnessConfig
from clvq.device import Runtime
from clvq.explanations.results import Explanations
from clvq.interventions.controls import UNDRAWN
from clvq.interventions.effects import Record
from clvq.interventions.in_model import Plan, interventions_of
from clvq.interventions.places import Subject
from clvq.interventions.plan import plan_of, subjects_of
from clvq.language_model.upper_layers import UpperLayers
from clvq.training.source import language_model_of


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=150, help="edited")
    parser.add_argument("--training-sentences", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--forwards", type=int, default=5, help="measured in a round")
    options = parser.parse_args()
    explained = prepared(options)
    checkpoint = explained.codebook.checkpoint
    config = FaithfulnessConfig.resolve(device="cpu")
    store = checkpoint.store()
    upper = UpperLayers(language_model_of(checkpoint, store, Runtime.of_settings(config)), checkpoint.input_layer)
    subjects = subjects_of(explained, upper.model, config, None)
    space = concept_space(checkpoint)
    plan = plan_of(config, subjects, explained.codebook, space, upper.target)
    interventions = interventions_of(store, upper, space, config)
    count = forwards(plan)
    bare, editing, whole = [], [], []
    for _ in range(options.rounds):
        bare.append(count * bare_seconds(upper, subjects, Runtime.of_settings(config).batch_tokens, options.forwards))
        record = Record(plan.changes(), len(subjects))
        editing.append(cpu_seconds(lambda: interventions.effects(subjects, plan, record))[0])  # noqa: B023
        whole.append(cpu_seconds(lambda: clvq.faithfulness(checkpoint, overwrite=True, device="cpu"))[0])
    print_table(
        f"clvq faithfulness over {len(subjects)} sentences, default grid",
        [
            ("edits and draws shown, and one run without an edit", f"{count}"),
            ("bare forwards of the blocks above, CPU seconds", f"{median(bare):.1f}"),
            ("edits and controls in the model, CPU seconds", f"{median(editing):.1f}"),
            ("ratio (target: at most 1.1)", f"{ratio(editing, bare):.3f}"),
            ("the whole of clvq.faithfulness, already explained, CPU seconds", f"{median(whole):.1f}"),
            ("ratio of the whole", f"{ratio(whole, bare):.3f}"),
        ],
    )


def ratio(ours: list[float], yardstick: list[float]) -> float:
    return median([one / other for one, other in zip(ours, yardstick, strict=True)])


def prepared(options: argparse.Namespace) -> Explanations:
    """Explanations of a checkpoint that is made where the run folder has none; how good it is does not matter here."""
    train = first_lines(options.dataset, options.training_sentences, options.run / "train.jsonl")
    evaluation = first_lines(options.eval_dataset, options.sentences, options.run / "eval.jsonl")
    layers = (options.input_layer, options.output_layer)
    store = clvq.extract(
        path=options.run / "activations", model=options.model, dataset=str(train), eval_dataset=str(evaluation),
        layers=layers, progress=notes,
    )  # fmt: skip
    path = options.run / f"L{layers[0]}-L{layers[1]}"
    clvq.train(
        store, path=path, input_layer=layers[0], output_layer=layers[1], epochs=1, metric="euclidean", progress=notes
    )
    return clvq.explain(path, device="cpu", progress=notes)


def forwards(plan: Plan) -> int:
    """How often the blocks above must run for what is shown."""
    drawn = (1 if change.control is None or change.control in UNDRAWN else plan.draws for change in plan.changes())
    return 1 + sum(drawn)


@torch.no_grad()
def bare_seconds(upper: UpperLayers, subjects: list[Subject], batch_tokens: int, repeats: int) -> float:
    """CPU seconds of one run of the blocks above over all sentences, on ready states."""
    sentences = [subject.sentence for subject in subjects]
    inputs = [upper.inputs([sentences[i] for i in batch]) for batch in upper.model.batches(sentences, batch_tokens)]
    pairs = [(upper.states(given), given) for given in inputs]
    return cpu_seconds(lambda: [upper.scores(*pair) for _ in range(repeats) for pair in pairs])[0] / repeats


if __name__ == "__main__":
    main()
