"""Faithfulness on the demo, whose truth is planted: polarities turn the verdict, aspects do not.

At layer 1 the verdict still lies in the judging words. From layer 2 on it is in every row, and taking concepts out of
words changes nothing.
"""

from __future__ import annotations

import numpy as np
import pytest

import clvq
from clvq.concepts.directions import concept_space
from clvq.config import FaithfulnessConfig
from clvq.demo import LABELS, DemoWord, corpus
from clvq.device import Runtime
from clvq.interventions.controls import NULLS, Pools
from clvq.interventions.effects import Change, Record
from clvq.interventions.in_model import Interventions, Plan
from clvq.interventions.mode_records import ConceptEffects
from clvq.interventions.places import Place
from clvq.interventions.plan import subjects_of
from clvq.interventions.selectivity import table
from clvq.language_model.rows import WORD
from clvq.language_model.upper_layers import UpperLayers
from clvq.training.source import language_model_of

pytestmark = pytest.mark.slow

Words = dict[int, list[DemoWord]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> clvq.Checkpoint:
    run = tmp_path_factory.mktemp("demo")
    clvq.extract(run / "activations", layers=(1, 8), max_sentences=800)
    return clvq.train(
        run / "activations", path=run / "L1-L8", input_layer=1, output_layer=8, epochs=3, codebook_size=150,
        decoder_layers=1, feed_forward=256,
    )  # fmt: skip


@pytest.fixture(scope="module")
def words(checkpoint: clvq.Checkpoint) -> Words:
    """The training words of each code, with their planted classes."""
    reviews = {review.text: review for review in corpus("train")}
    store = checkpoint.store()
    codes = iter(clvq.codebook(checkpoint).assignments().tolist())
    found: Words = {}
    for sentence in store.sentences("train"):
        there = {(word.start, word.end): word for word in reviews[sentence.text].words}
        for start, end, flag in zip(sentence.starts, sentence.ends, sentence.flags, strict=True):
            code = next(codes)
            if flag & WORD:
                found.setdefault(code, []).append(there[start, end])
    return found


@pytest.fixture(scope="module")
def explained(checkpoint: clvq.Checkpoint) -> clvq.Explanations:
    return clvq.explain(checkpoint, steps=2, completeness=0.5, limit=200)


def removed(explained: clvq.Explanations, codes: set[int]) -> dict[tuple[str | None, str], dict[str, float]]:
    """What centred removal does to all words of these concepts, and only them, beside its nulls."""
    checkpoint = explained.codebook.checkpoint
    store = checkpoint.store()
    model = language_model_of(checkpoint, store, Runtime())
    subjects = [
        subject._replace(attributions=[float(code in codes) for code in subject.codes])
        for subject in subjects_of(explained, model, FaithfulnessConfig(), None)
        if codes & set(subject.codes)
    ]
    assert len(subjects) >= 50
    place = Place("salient", mass=1.0)
    pools = {place: Pools(np.zeros(0, np.int64), {}, {})}
    plan = Plan(edits=("removal",), places={place: NULLS}, pools=pools, targets={}, strength=1.0, draws=2, seed=0)
    record = Record(plan.changes(), len(subjects))
    interventions = Interventions(
        UpperLayers(model, checkpoint.input_layer), concept_space(checkpoint), pooling=store.settings.pooling,
        dtype=store.settings.dtype, batch_tokens=4096,
    )  # fmt: skip
    interventions.effects(subjects, plan, record)
    effects = record.effects()
    assert np.array_equal(
        effects[Change("removal", place, None)].tokens >= 1, np.ones(len(subjects), bool)
    )  # each has a word of the concepts
    rows = table([effects], np.arange(len(subjects)), np.ones(len(subjects), bool), None, 0)[1]
    return {(row.control, row.figure): row for row in rows}


def test_removing_polarities_turns_verdicts_and_removing_aspects_does_not(
    explained: clvq.Explanations, words: Words
) -> None:
    judging, aspect = set(), set()
    for code, own in words.items():
        if np.mean([word.polarity != "neutral" for word in own]) >= 0.8:
            judging.add(code)
        elif np.mean([word.polarity == "neutral" and bool(word.aspect) for word in own]) >= 0.8:
            aspect.add(code)
    polarities, aspects = removed(explained, judging), removed(explained, aspect)
    assert polarities["covariance", "flips"].concept >= 0.05
    for figure in ("flips", "kl"):
        assert polarities["covariance", figure].low > 0  # beyond steps as long in directions in which words differ
    assert aspects["covariance", "flips"].concept == 0
    assert aspects["covariance", "kl"].concept < 0.02 * polarities["covariance", "kl"].concept
    assert aspects["covariance", "kl"].high < 0.005


@pytest.mark.parametrize("polarity", LABELS)
def test_a_polarity_put_in_turns_verdicts_towards_itself_alone(
    explained: clvq.Explanations, words: Words, polarity: str
) -> None:
    judging = {code: sum(word.polarity == polarity for word in own) for code, own in words.items()}
    code = max(judging, key=lambda code: judging[code])
    found = clvq.faithfulness(
        explained.codebook.checkpoint, edit="move", at="all", to=code, draws=1, limit=60, overwrite=True
    )
    flips = {row.label: row for row in found.results.by_class if (row.figure, row.control) == ("flips", "random")}
    (other,) = set(LABELS) - {polarity}
    assert flips[other].concept >= 0.8
    assert flips[other].low > 0.2
    assert flips[polarity].concept <= 0.05


NEGATIONS = {
    "not", "never", "hardly", "neither", "nothing", "less", "nobody", "cannot", "anything", "find", "means", "call"
}  # fmt: skip
"""Words that turn a judgement over, and those that stand in the same phrase ("anything but", "hardly call")."""


def test_the_concepts_that_drive_the_verdict_judge_or_negate(checkpoint: clvq.Checkpoint, words: Words) -> None:
    """Neutral words, which have the grammar's other classes, drive nothing."""
    found = clvq.faithfulness(checkpoint, by="concept", draws=1, limit=600)
    assert isinstance(found.results, ConceptEffects)

    def drives(word: DemoWord) -> bool:
        return word.polarity != "neutral" or word.text.lower() in NEGATIONS or word.text.lower().endswith("n't")

    share = {code: np.mean([drives(word) for word in own]) for code, own in words.items()}
    tested = [row.code for row in found.results.concepts if row.coherent.q is not None]
    sure = [row.code for row in found.results.concepts if row.coherent.q is not None and row.coherent.q <= 0.05]
    assert len(sure) >= 3
    assert [code for code in sure if share[code] < 0.5] == []
    assert sum(share[code] < 0.1 for code in tested) >= 20  # there are many that could have been taken for a cause
