"""Which words of which sentences are edited, with which edits and which controls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clvq.activations.new_text import tokenize
from clvq.concepts.codebook import Codebook
from clvq.concepts.directions import ConceptSpace
from clvq.concepts.records import Association
from clvq.config import HARD, RANKS, FaithfulnessConfig
from clvq.errors import ClvqError, MismatchError
from clvq.explanations.results import Explanations
from clvq.explanations.stored_split import SPLIT
from clvq.interventions.controls import CLASS_DIRECTION, CONTROLS, NULLS, Pools, like_usage
from clvq.interventions.in_model import Plan
from clvq.interventions.places import Place, Subject
from clvq.language_model.answers import Target
from clvq.language_model.head_targets import LabelTarget, TagTarget
from clvq.language_model.model import LanguageModel
from clvq.language_model.rows import SENTENCE
from clvq.language_model.tokenization import TokenizedSentence

CURVE = tuple(round(0.1 * step, 1) for step in range(1, 11))
"""Masses at which the curve over masses is measured."""


def subjects_of(
    explained: Explanations, model: LanguageModel, config: FaithfulnessConfig, label: int | None
) -> list[Subject]:
    """Return the explained sentences, as the model reads them; those of one class where `label` is given.

    ClvqError where no sentence is of that class; MismatchError where the explanations are of other words.
    """
    store = explained.codebook.checkpoint.store()
    first = explained.first(config.limit)
    tags = explained.summary.target == TagTarget.kind
    of_part = explained.summary.target == LabelTarget.kind
    sentences = [one for one in first if label is None or (one.part if of_part else one.label) == label]
    if not sentences:
        raise ClvqError(f"None of the {len({one.id for one in first})} sentences is of class {config.label}.")
    texts = [sentence.text for sentence in sentences]
    tokenized = tokenize(model, store, texts)
    codes = explained.codebook.assignments(SPLIT)
    numbers = np.repeat(np.arange(store.sentence_count(SPLIT)), store.row_counts(SPLIT))
    of_sentence = (store.flags(SPLIT) & SENTENCE != 0) & (codes >= 0)
    sentence_codes = dict(zip(numbers[of_sentence].tolist(), codes[of_sentence].tolist(), strict=True))
    found = []
    for sentence, tokens in zip(sentences, tokenized, strict=True):
        if [(word.start, word.end) for word in sentence.words] != [tuple(span) for span in tokens.words]:
            raise MismatchError(
                f"The explanations in {explained.codebook.checkpoint.path} have other words than the tokenizer of "
                f"{model.model_id} finds now. Make them again with `clvq explain --overwrite`."
            )
        found.append(
            Subject(
                number=sentence.id,
                sentence=_with_own_row(tokens, sentence.part, model),
                attributions=[word.attribution for word in sentence.words],
                codes=[word.code for word in sentence.words],
                sentence_code=(
                    sentence.words[sentence.part].code
                    if tags and sentence.part is not None
                    else sentence_codes.get(sentence.id)
                ),
                prediction=sentence.prediction,
                label=sentence.label,
                part=sentence.part or 0,
            )
        )
    return found


def _with_own_row(tokens: TokenizedSentence, part: int | None, model: LanguageModel) -> TokenizedSentence:
    """Return the sentence with its sentence row at the token where the tag of word `part` is read."""
    if part is None or not isinstance(model.target, TagTarget):
        return tokens
    return tokens._replace(sentence_token=model.target.place(tokens, part))


def plan_of(
    config: FaithfulnessConfig, subjects: Sequence[Subject], found: Codebook, space: ConceptSpace, target: Target
) -> Plan:
    """Return what is done to `subjects`; ClvqError where a place has no words, or there is no concept to put in."""
    others = {} if isinstance(target, LabelTarget) else _of_another_class(found, len(target.names or ()))
    main, curve = places_of(config)
    has_classes = bool(space.class_directions.any())
    measured = CONTROLS if config.controls == "all" else (*NULLS, CLASS_DIRECTION)
    lacking = {*(() if others else ("class",)), *(() if has_classes else (CLASS_DIRECTION,))}
    controls = tuple(control for control in measured if control not in lacking)
    used = like_usage(space.usage)
    predicted = sorted({target.numbered(subject.prediction, subject.part) for subject in subjects})
    pools = {}
    for place in [*main, *curve]:
        edited = [subject.code(word) for subject in subjects for word in place.words(subject)]
        if not edited:
            raise ClvqError(
                f"None of the {len(subjects)} sentences has a word to edit at --at {place.kind}. Use another place."
            )
        pools[place] = Pools(np.array(edited), used, others)
    return Plan(
        edits=_edits(config, has_classes),
        places={**dict.fromkeys(main, controls), **dict.fromkeys(curve, HARD)},
        pools=pools,
        targets=_targets(config, predicted, found, others) if "move" in config.edits else {},
        strength=config.strength,
        draws=config.draws,
        seed=config.seed,
        rank=config.rank,
    )


def _edits(config: FaithfulnessConfig, has_classes: bool) -> tuple[str, ...]:
    """Return the edits that are asked for. Where there are classes, the removal comes with `classless`.

    ClvqError where `classless` is asked for and there are no classes.
    """
    if has_classes and "removal" in config.edits and "classless" not in config.edits:
        number = config.edits.index("removal") + 1
        return (*config.edits[:number], "classless", *config.edits[number:])
    if not has_classes and "classless" in config.edits:
        raise ClvqError("--edit classless needs a model that predicts two classes or more.")
    return config.edits


def places_of(config: FaithfulnessConfig) -> tuple[list[Place], list[Place]]:
    """Return the places that are asked for, and those of the curves over masses and over ranks."""
    main = [Place(kind, config.top, config.mass) if kind == "salient" else Place(kind) for kind in config.places]
    masses = [Place("salient", mass=mass, on_curve=True) for mass in CURVE] if config.curve else []
    ranks = [Place("salient", config.top, config.mass, on_curve=True, rank=rank) for rank in RANKS]
    return main, [*masses, *(ranks if config.rank_curve else [])]


def _of_another_class(found: Codebook, classes: int) -> dict[int, np.ndarray]:
    """Return for each class the concepts over-represented in another one, the surest first; no entry without any."""
    told: list[tuple[Association, int]] = []
    for concept in found.concepts:
        stands_for = concept.predictions or concept.labels
        if stands_for is not None and stands_for.is_significant(found.summary.fdr):
            told.append((stands_for, concept.code))
    told.sort(key=lambda entry: (entry[0].q, -entry[0].lift))
    chosen = {
        number: np.array([code for stands_for, code in told if stands_for.label != number], np.int64)
        for number in range(classes)
    }
    return {number: codes for number, codes in chosen.items() if len(codes)}


def _targets(
    config: FaithfulnessConfig, predicted: Sequence[int], found: Codebook, others: dict[int, np.ndarray]
) -> dict[int, int]:
    """Return for each `predicted` class, or next token, the concept that `move` puts in.

    ClvqError where no concept stands for another class, and none is named.
    """
    if config.to is not None:
        found.concept(config.to)
        return dict.fromkeys(predicted, config.to)
    if any(number not in others for number in predicted):
        raise ClvqError(
            f"{found.checkpoint.path} has no concept that stands for another class than each predicted one: "
            "name the concept that --edit move puts in with --to CODE."
        )
    return {number: int(others[number][0]) for number in predicted}
