"""The demo's pairs of reviews: the shipped file is the grammar's, and a pair differs in what it says."""

from __future__ import annotations

from collections import Counter

from clvq.demo import PAIRS_PATH, corpus, pairs
from demo.grammar import ASPECTS, DOMAINS
from demo.pairs import PER_KIND, generate


def test_the_grammar_gives_the_shipped_pairs() -> None:
    assert list(pairs()) == generate()
    assert PAIRS_PATH.stat().st_size < 40_000


def test_texts_are_distinct_and_not_in_the_corpus() -> None:
    texts = [text for pair in pairs() for text in (pair.text, pair.counterfactual)]
    assert len(set(texts)) == len(texts) == 6 * PER_KIND
    assert not {review.text for split in ("train", "eval") for review in corpus(split)} & set(texts)


def test_a_pair_differs_in_one_thing() -> None:
    assert Counter(pair.kind for pair in pairs()) == dict.fromkeys(("polarity", "aspect", "domain"), PER_KIND)
    for pair in pairs():
        assert pair.before != pair.after
        values = {"polarity": ("negative", "positive"), "aspect": ASPECTS, "domain": DOMAINS}[pair.kind]
        assert {pair.before, pair.after} <= set(values)
        if pair.kind == "polarity":
            assert pair.concept in ASPECTS
        else:
            assert (pair.concept, pair.label) == (pair.kind, pair.counterfactual_label)


def test_a_polarity_turns_the_label_where_it_is_the_main_one() -> None:
    for pair in pairs():
        if pair.kind != "polarity":
            continue
        one_clause = " and " not in pair.text and ", but " not in pair.text
        if one_clause and "neither" not in pair.text:
            assert pair.label != pair.counterfactual_label
        if pair.label != pair.counterfactual_label:
            assert ("negative", "positive")[pair.label] == pair.before
    # "and" joins clauses of one mind: where the other clause turned, the second text joins them by "but".
    aside = [pair for pair in pairs() if pair.kind == "polarity" and pair.label == pair.counterfactual_label]
    assert len(aside) > PER_KIND / 5
    assert all((", but " in pair.text) != (", but " in pair.counterfactual) for pair in aside)
