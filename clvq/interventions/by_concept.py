"""Which concepts drive the model's answers: each is removed wherever it occurs, and compared with the hard controls.

In each sentence, the concept is taken out of all words that have it: centred removal at rank 1. Its effect is how much
the probability of the prediction falls, minus the fall under the coherent random step. p is from Student's t-test over
distinct texts: one-sided for a prediction, which a concept drives if its probability falls, and two-sided for a score,
which may move either way. q is the share of false discoveries among the concepts with a p as small (Benjamini and
Hochberg).

The fall is compared with that under the words' own deviations too. This says whether the concept matters more than all
else that is particular to its words. Where only one word has a code, the two can hardly be told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.stats import false_discovery_control, ttest_1samp

from clvq.activations.new_text import tokenize
from clvq.activations.store import SentenceRows
from clvq.artifacts import CONCEPT_EFFECTS
from clvq.concepts.assignments import SplitText, read_text
from clvq.concepts.codebook import Codebook, codebook
from clvq.concepts.directions import concept_space
from clvq.config import HARD, LABEL, SCORES, TAG, FaithfulnessConfig
from clvq.device import Processes, Runtime
from clvq.errors import ClvqError
from clvq.explanations.stored_split import SPLIT
from clvq.interventions.controls import Pools
from clvq.interventions.effects import Change, Effects, Record
from clvq.interventions.in_model import Plan, interventions_of
from clvq.interventions.intervals import LEAST_TEXTS, interval_of
from clvq.interventions.mode_records import ClassEffect, ConceptEffect, ConceptEffects, ControlledEffect
from clvq.interventions.places import Place, Subject
from clvq.interventions.records import Interval
from clvq.interventions.selectivity import unmatched
from clvq.language_model.answers import Target
from clvq.language_model.model import LanguageModel
from clvq.language_model.rows import WORD
from clvq.language_model.tokenization import TokenizedSentence
from clvq.language_model.upper_layers import UpperLayers
from clvq.progress import Report
from clvq.training.checkpoint import Checkpoint
from clvq.training.source import language_model_of

LEAST_EFFECT = 1e-6
"""Where the falls of a probability differ from those under a control by less in all texts, that is rounding."""
_WHERE = Place("all")


class _Occurrence(NamedTuple):
    """A concept in a sentence."""

    code: int
    subject: Subject
    """The sentence, with only the codes of this concept's words."""
    class_: int
    """What the sentence is predicted as: its class, or the label that is asked for, where it is predicted to have that
    label; -1 for anything else."""


class _Measured(NamedTuple):
    """What was measured of N occurrences."""

    effects: Mapping[Change, Effects]
    numbers: np.ndarray
    """[N] the sentence of each occurrence."""
    texts: np.ndarray
    """[N] the distinct text of each occurrence."""
    seed: int
    two_sided: bool
    """Whether an effect may have either sign."""


def concept_effects(
    checkpoint: Checkpoint, config: FaithfulnessConfig, *, overwrite: bool, progress: Report
) -> ConceptEffects:
    """Measure the effect of every concept over the evaluation split, or over what `_occurrences` takes for a class.

    An earlier measurement of the same concepts with the same settings is read, and an interrupted one continues.
    ClvqError where there is no such class, and where no sentence has a concept.
    """
    store = checkpoint.store()
    model = language_model_of(checkpoint, store, Runtime.of_settings(config), progress)
    concepts = codebook(checkpoint, progress=progress)
    upper = UpperLayers(model, checkpoint.input_layer)
    occurrences = _occurrences(concepts, upper.target, model, config, _class_number(model, config))
    plan = Plan(
        edits=("removal",), places={_WHERE: HARD}, pools={_WHERE: Pools(np.zeros(0, np.int64), {}, {})}, targets={},
        strength=1.0, draws=config.draws, seed=config.seed,
    )  # fmt: skip
    identity = {
        "checkpoint": checkpoint.fingerprint, "store": store.fingerprint,
        "concepts": concepts.summary.concepts_checksum, "draws": config.draws, "seed": config.seed,
        "predicted": config.class_, "limit": config.limit,
    }  # fmt: skip
    processes = Processes.current()
    space = processes.leader_first(lambda: concept_space(checkpoint, device=model.device, progress=progress))
    interventions = interventions_of(store, upper, space, config)
    with processes.locked(checkpoint.path):
        record = Record.at(
            checkpoint.path, identity, plan.changes(), len(occurrences), CONCEPT_EFFECTS, overwrite=overwrite
        )
        subjects = [occurrence.subject for occurrence in occurrences]
        interventions.effects(subjects, plan, record, progress, unit="removals")
    text = read_text(store, SPLIT, progress)
    rows = _rows(occurrences, record.effects(), text, upper.target, config.seed)
    sentences = len({occurrence.subject.number for occurrence in occurrences})
    return ConceptEffects(config.class_, upper.target.kind, upper.target.unit, sentences, rows)


def _class_number(model: LanguageModel, config: FaithfulnessConfig) -> int | None:
    """Return the number of the class that is asked for; ClvqError where the model has no such class."""
    if config.class_ is None:
        return None
    names = list(model.label_names or ())
    if config.class_ not in names:
        known = f"those of the model are {', '.join(names)}" if names else "the model predicts no classes"
        raise ClvqError(f"There is no class {config.class_!r}: {known}.")
    return names.index(config.class_)


def _occurrences(
    concepts: Codebook, target: Target, model: LanguageModel, config: FaithfulnessConfig, number: int | None
) -> list[_Occurrence]:
    """Return every concept in every sentence of the split, or of the sentences that are predicted as class `number`.

    Where the model is asked for parts (each label, or each tagged word), every concept is returned once for each part.
    With `number`, only for that label, where the sentence is predicted to have it; of tags, for the words whose right
    tag it is. ClvqError where no sentence has a concept.
    """
    store = concepts.checkpoint.store()
    sentences = list(store.sentences(SPLIT))[: config.limit]
    tokenized = tokenize(model, store, [row.text for row in sentences])
    codes = concepts.assignments(SPLIT)
    ends = np.cumsum(store.row_counts(SPLIT))
    occurrences = []
    for index, (row, tokens) in enumerate(zip(sentences, tokenized, strict=True)):
        asked = _asked(target, row, tokens, number)
        of_sentence = codes[ends[index] - len(row.flags) : ends[index]]
        of_words = [int(code) for code, flag in zip(of_sentence, row.flags, strict=True) if flag & WORD]
        prediction = -1 if row.prediction is None else row.prediction
        empty: list[int | None] = [None] * len(of_words)
        subject = Subject(index, tokens, [0.0] * len(of_words), empty, None, prediction, row.label)
        for code in sorted({code for code in of_words if code >= 0}):
            only = [code if other == code else None for other in of_words]
            occurrence = subject._replace(codes=only)
            if _WHERE.words(occurrence):
                occurrences += [_Occurrence(code, occurrence._replace(part=part), own) for part, own in asked.items()]
    if not occurrences:
        of = "No sentence of the evaluation split"
        if config.class_ is not None and target.kind == TAG:
            of = f"No word of the evaluation split that has the tag {config.class_} as its label, and is asked for,"
        elif config.class_ is not None:
            of += f" that is predicted as {config.class_}"
        raise ClvqError(f"{of} has a concept to remove ({len(sentences)} sentences).")
    return occurrences


def _asked(target: Target, row: SentenceRows, tokens: TokenizedSentence, number: int | None) -> dict[int, int]:
    """Return the parts of a sentence that the model is asked for, each with its `_Occurrence.class_`."""
    right = target.aligned(row.text, tokens, row.answers)
    parts = target.asked(tokens, right)
    if not target.has_parts:
        prediction = -1 if row.prediction is None or target.names is None else row.prediction
        return dict.fromkeys(parts, prediction) if number in (None, prediction) else {}
    if target.kind == LABEL:
        held = [chance > 0.5 for chance in row.probabilities or ()]
        classes = {part: part if held and held[part] else -1 for part in parts}
        return {part: own for part, own in classes.items() if number in (None, own)}
    return {part: -1 for part in parts if number in (None, target.truth(None, right, part))}


def _rows(
    occurrences: Sequence[_Occurrence], effects: Mapping[Change, Effects], text: SplitText, target: Target, seed: int
) -> list[ConceptEffect]:
    """Return one row for each concept, the largest effect first; concepts that are not tested come last."""
    codes, numbers, classes = (
        np.array(column)
        for column in zip(*((one.code, one.subject.number, one.class_) for one in occurrences), strict=True)
    )
    measured = _Measured(effects, numbers, text.texts[numbers], seed, target.kind in SCORES)
    rows = [
        replace(
            _row(code, codes == code, measured),
            classes=_by_class(codes == code, classes, target.names or [], measured),
        )
        for code in np.unique(codes).tolist()
    ]
    for name in ("coherent", "own"):
        tests = {number: test for number, row in enumerate(rows) if (test := getattr(row, name)).p is not None}
        adjusted = false_discovery_control([test.p for test in tests.values()]).tolist() if tests else []
        for (number, test), q in zip(tests.items(), adjusted, strict=True):
            rows[number] = replace(rows[number], **{name: replace(test, q=q)})
    size = abs if measured.two_sided else float
    return sorted(rows, key=lambda row: (row.coherent.q is None, -size(row.coherent.value), row.code))


def _row(code: int, mask: np.ndarray, measured: _Measured) -> ConceptEffect:
    """Return the effect of a concept over the occurrences in `mask` `[N]`."""
    concept = measured.effects[Change("removal", _WHERE, None)]
    return ConceptEffect(
        code=code,
        sentences=len(np.unique(measured.numbers[mask])),
        texts=len(np.unique(measured.texts[mask])),
        flips=float(concept.flips[mask].mean()),
        kl=float(concept.kl[mask].mean()),
        probability=float(concept.probability[mask].mean()),
        coherent=_beyond("coherent", mask, measured),
        own=_beyond("own", mask, measured),
        classes=[],
    )


def _by_class(mask: np.ndarray, classes: np.ndarray, names: Sequence[str], measured: _Measured) -> list[ClassEffect]:
    """Return the effect of a concept on each class that it occurs with.

    `mask` `[N]` says which occurrences are of the concept, and `classes` `[N]` which class each has.
    """
    rows = []
    for number in np.unique(classes[mask & (classes >= 0)]).tolist():
        row = _row(-1, mask & (classes == number), measured._replace(two_sided=False))
        beyond = Interval(row.coherent.value, row.coherent.low, row.coherent.high)
        rows.append(ClassEffect(number, names[number], row.sentences, row.texts, row.flips, row.probability, beyond))
    return rows


def _beyond(control: str, mask: np.ndarray, measured: _Measured) -> ControlledEffect:
    """Return the fall of probability under the removal minus that under a control."""
    effects, texts = measured.effects, measured.texts[mask]
    change = Change("removal", _WHERE, control)
    concept = effects[change._replace(control=None)]
    gaps = (concept.probability - effects[change].probability)[mask]
    interval = interval_of(gaps, texts, measured.seed)
    matched = concept.distance[mask].sum() > 0 and unmatched(effects, change, mask) is None
    able = matched and len(np.unique(texts)) >= LEAST_TEXTS
    p = _p_of_mean(gaps, texts, measured.two_sided) if able else None
    return ControlledEffect(interval.value, interval.low, interval.high, p, None)


def _p_of_mean(values: np.ndarray, texts: np.ndarray, two_sided: bool) -> float:
    """Return the p of the test that the mean over distinct texts is above 0, or is not 0 if `two_sided`.

    Where all texts have the same value, there is no test: 0 if it is such a value and there are several texts, else 1.
    It is 1 where all values are rounding.
    """
    _, groups = np.unique(texts, return_inverse=True)
    means = np.bincount(groups, values) / np.bincount(groups)
    if np.abs(means).max() < LEAST_EFFECT:
        return 1.0
    if np.ptp(means) == 0:
        differs = means[0] != 0 if two_sided else means[0] > 0
        return 0.0 if differs and len(means) > 1 else 1.0
    return float(ttest_1samp(means, 0.0, alternative="two-sided" if two_sided else "greater").pvalue)
