"""Ground truth: how near the effects that concepts estimate are to effects that are known -> bench.json.

    individual effects    pairs of texts that differ in one concept   (`clvq.interventions.pair_effects`, `pair_scores`)
    sparse probing, SCR and TPP    of the codes, on stored states     (`clvq.interventions.code_probes`)

The file lies in the folder of the first checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clvq.activations.store import ActivationStore
from clvq.artifacts import BENCH
from clvq.artifacts.records import ModelName
from clvq.concepts.assignments import read_text
from clvq.concepts.directions import ConceptSpace, concept_space
from clvq.config import DEMO, BenchConfig
from clvq.config.paths import expanded
from clvq.config.signatures import takes
from clvq.device import Runtime
from clvq.errors import ClvqError
from clvq.interventions.bench_records import STATES, BenchResults, BenchRow
from clvq.interventions.code_probes import SPLITS, CodeProbes, Scores
from clvq.interventions.counterfactuals import Counterfactuals, demo_counterfactuals, read_counterfactuals
from clvq.interventions.faithfulness import refuse_twice, refuse_unlike
from clvq.interventions.files import Measured, kept
from clvq.interventions.notebook import bench_html, bench_lines
from clvq.interventions.pair_effects import PairReader
from clvq.interventions.pair_scores import pair_differences, pair_rows
from clvq.interventions.probe_data import other_labels
from clvq.interventions.probe_rows import probe_rows
from clvq.interventions.sentence_effects import groups_of
from clvq.interventions.tables import seeds_of
from clvq.interventions.text_codes import text_codes, text_states
from clvq.language_model.upper_layers import UpperLayers
from clvq.notebook import data_frame
from clvq.progress import Progress, Report, silent
from clvq.training.checkpoint import Checkpoint, read_checkpoints
from clvq.training.source import language_model_of

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, repr=False)
class Bench(Measured):
    """What `bench` gives.

        table = clvq.bench(["run/L4-L8", "run/kmeans"]).to_pandas()

    `results` has the same figures as records.
    """

    @cached_property
    def results(self) -> BenchResults:
        """The figures."""
        return BenchResults.from_json(self.summary)

    @property
    def rows(self) -> list[BenchRow]:
        """One row for each method, measure and part."""
        return self.results.rows

    def _html(self, caption: str) -> str:
        return bench_html(caption, self.results)

    def to_pandas(self) -> DataFrame:
        """Return a table with one row for each method, measure and part."""
        return data_frame(bench_lines(self.results))


@takes(BenchConfig)
def bench(
    checkpoints: Checkpoint | str | Path | Sequence[Checkpoint | str | Path],
    *,
    overwrite: bool = False,
    progress: Report = silent,
    **settings: Any,
) -> Bench:
    """Score the effects that concepts estimate against effects that are known.

        result = clvq.bench(["run/L1-L8", "run/random"])
        result.results.row("L1-L8", "error").figure.value

    The pairs of texts are those of the demo, or of a file with CEBaB's columns. A finished result with the same
    settings is read, not measured again. ClvqError where there are no pairs for the corpus, and where the model
    predicts no classes. MismatchError where checkpoints or model do not belong together, and where the result was made
    with other settings, unless `overwrite`.

    Args:
        checkpoints: A checkpoint, its folder, or several of either, which are put side by side.
        overwrite: Measure again, and replace the stored result.
    """
    config = BenchConfig.resolve(**settings)
    read = read_checkpoints(checkpoints)
    refuse_unlike(read)
    refuse_twice(read)
    store = read[0].store()
    if store.label_names is None or not store.has_predictions:
        labels = other_labels(store)
        gives = "predicts no classes" if labels is None else f"gives {labels} and not one class"
        raise ClvqError(
            f"{store.settings.model} {gives}, so a concept has no effect on the classes' probabilities. "
            "Use a model that gives each text one class."
        )
    known = _counterfactuals(store, config)
    made_of = {
        "checkpoint": read[0].fingerprint,
        "store": store.fingerprint,
        "beside": [{"name": other.path.name, "checkpoint": other.fingerprint} for other in read[1:]],
    }
    decided = {**config.deciding(), "pairs": known.name}

    def measure() -> dict[str, Any]:
        return _measured(read, store, known, config, progress).as_json()

    body = kept(BENCH, read[0], made_of, decided, measure, overwrite=overwrite, progress=progress)
    return Bench(read, BENCH.path(read[0].path), body)


def _counterfactuals(store: ActivationStore, config: BenchConfig) -> Counterfactuals:
    """Return the pairs that are asked for; ClvqError where no file is given and the corpus is not the demo's."""
    if config.pairs is not None:
        return read_counterfactuals(expanded(config.pairs))
    if store.settings.dataset != DEMO:
        raise ClvqError(
            f"For {store.settings.dataset} there are no pairs of texts whose difference is known. Give a file with "
            "--pairs (the columns of CEBaB, see docs/bench.md), or use the demo's corpus."
        )
    return demo_counterfactuals()


def _probes(
    store: ActivationStore, layer: int, known: Counterfactuals, config: BenchConfig, progress: Report
) -> tuple[CodeProbes, list[str]]:
    """Return the tasks of the corpus, and a sentence for each measure that has no task."""
    texts = {
        split: text_states(store, split, layer, read_text(store, split, progress), known.known, progress)
        for split in SPLITS
    }
    probes = CodeProbes(texts, config.seed)
    progress(Progress("bench", note=f"{len(probes.tasks)} classes of texts to read from codes."))
    return probes, list(probes.lacking())


def _scores(probes: CodeProbes, store: ActivationStore, layer: int, space: ConceptSpace, progress: Report) -> Scores:
    codes = {split: text_codes(store, split, layer, space, probes.texts[split], progress) for split in SPLITS}
    return probes.of_codes(codes, space.atoms.double().cpu().numpy() * store.layer(layer).scale)


def _measured(
    checkpoints: Sequence[Checkpoint],
    store: ActivationStore,
    known: Counterfactuals,
    config: BenchConfig,
    progress: Report,
) -> BenchResults:
    model = language_model_of(checkpoints[0], store, Runtime.of_settings(config), progress)
    reader = PairReader(UpperLayers(model, checkpoints[0].input_layer), store, config.batch_tokens)
    clean = reader.read(known.pairs, progress)
    probes, lacking = _probes(store, checkpoints[0].input_layer, known, config, progress)
    estimates: dict[str, np.ndarray] = {}
    edited: dict[str, float] = {}
    of_codes: list[BenchRow] = []
    groups = groups_of(checkpoints)
    for group in groups:
        of_seeds, scores = [], []
        for checkpoint in group.checkpoints:
            progress(Progress("bench", note=f"Reading the concepts of {checkpoint.path}."))
            space = concept_space(checkpoint, device=model.device, progress=progress)
            of_seeds.append(reader.estimates(clean, space, config.rank, progress))
            scores.append(_scores(probes, store, checkpoint.input_layer, space, progress))
        estimates[group.name] = np.stack([one.effects for one in of_seeds])
        edited[group.name] = float(np.mean([one.edited > 0 for one in of_seeds]))
        of_codes += probe_rows(group.name, scores, config.seed)
    references = {
        "oracle": clean.effects,
        "mean change": clean.mean_effects(),
        "no change": np.zeros_like(clean.effects),
    }
    scored = {**estimates, **{name: effects[None] for name, effects in references.items()}}
    rows = [
        row
        for name, of_seeds in scored.items()
        for row in pair_rows(name, clean.effects, of_seeds, clean.pairs, clean.originals, config.seed)
    ]
    return BenchResults(
        model=ModelName(checkpoints[0].config.provenance.model.id, model.fingerprint),
        groups=[seeds_of(group) for group in groups],
        pairs=len(clean.pairs),
        originals=len(set(clean.originals.tolist())),
        left_out=len(known.pairs) - len(clean.pairs),
        edited=edited,
        rows=[*rows, *of_codes, *probe_rows(STATES, [probes.of_states()], config.seed)],
        differences=pair_differences(clean.effects, estimates, clean.pairs, clean.originals, config.seed),
        lacking=lacking,
    )
