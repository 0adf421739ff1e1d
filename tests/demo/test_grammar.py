"""The demo's reviews: what their planted classes promise, checked on the text alone where that is possible."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import regex

from clvq.demo import EVAL_SIZE, LABELS, TRAIN_SIZE, DemoSentence, corpus
from demo.clauses import inflect, judging, mark
from demo.grammar import ASPECTS, DOMAINS, generate
from demo.lexicon import KINDS, facets, telling_nouns
from demo.phrases import FUNCTION

WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:['’\-][\p{L}\p{M}\p{N}]+)*|[^\s]")


@pytest.fixture(scope="module")
def train() -> list[DemoSentence]:
    return corpus("train")


@pytest.fixture(scope="module")
def evaluation() -> list[DemoSentence]:
    return corpus("eval")


def test_same_seed_same_reviews_in_another_process():
    root = Path(__file__).parents[2]
    code = "import sys; from demo.grammar import generate; sys.stdout.write(repr(generate(60, 5)))"
    run = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
        for _ in range(2)
    ]
    assert run[0].stdout == run[1].stdout == repr(generate(60, 5))
    assert generate(60, 5) != generate(60, 6)
    assert generate(60, 5)[:20] == generate(20, 5)


def test_splits_are_distinct_disjoint_and_balanced(train, evaluation):
    assert (len(train), len(evaluation)) == (TRAIN_SIZE, EVAL_SIZE)
    texts = {review.text for review in train + evaluation}
    assert len(texts) == TRAIN_SIZE + EVAL_SIZE
    for split in (train, evaluation):
        assert abs(sum(review.label for review in split) / len(split) - 0.5) < 0.01
        domains = Counter(main_domain(review) for review in split)
        assert set(domains) == set(DOMAINS)
        assert max(domains.values()) - min(domains.values()) <= 5
    with pytest.raises(ValueError, match="train or eval"):
        corpus("test")  # type: ignore[arg-type]


def test_variety(train):
    assert 1000 < len({word.text for review in train for word in review.words}) < 4000
    assert 12 < sum(len(review.words) for review in train) / len(train) < 16
    openings = Counter(" ".join(word.text for word in review.words[:3]) for review in train)
    assert openings.most_common(1)[0][1] < 0.05 * len(train)


def test_words_are_those_of_the_word_rule(train):
    for review in train:
        found = [(match.group(), match.start(), match.end()) for match in WORD.finditer(review.text)]
        assert [(word.text, word.start, word.end) for word in review.words] == found
        assert review.text == review.text.lower()


def test_classes_are_of_the_stated_kinds(train):
    seen = defaultdict(set)
    for review in train:
        assert review.label in range(len(LABELS))
        for word in review.words:
            for field in ("aspect", "domain", "polarity"):
                seen[field].add(getattr(word, field))
            if word.function:
                assert (word.aspect, word.domain, word.polarity) == (None, None, "neutral")
                assert word.text in FUNCTION
            if not word.text[0].isalnum():
                assert word.function
    assert seen["aspect"] == {None, *ASPECTS}
    assert seen["domain"] == {None, *DOMAINS}
    assert seen["polarity"] == {"negative", "neutral", "positive"}


def test_a_review_speaks_of_one_domain_and_names_it(train):
    for review in train:
        assert len({word.domain for word in review.words} - {None}) == 1, review.text
        assert any(telling_nouns().get(word.text) == main_domain(review) for word in review.words if word.domain)


def test_denial_turns_a_judgement_over(train):
    """A rule of its own, for reviews of one plain clause: the dictionary's sign, turned over by "not" or "n't"."""
    bases = {
        "beautiful": 1,
        "good": 1,
        "great": 1,
        "comfortable": 1,
        "delicious": 1,
        "friendly": 1,
        "sturdy": 1,
    }
    bases |= {
        "clean": 1,
        "spotless": 1,
        "elegant": 1,
        "reasonable": 1,
        "helpful": 1,
        "affordable": 1,
        "quiet": 1,
    }
    bases |= {"rude": -1, "terrible": -1, "awful": -1, "flimsy": -1, "dirty": -1, "ugly": -1, "expensive": -1}
    bases |= {"uncomfortable": -1, "stale": -1, "bland": -1, "sluggish": -1, "unhelpful": -1, "filthy": -1}
    checked = Counter()
    for review in train:
        text = " ".join(word.text for word in review.words)
        for clause in regex.split(
            r" [.,;:!?] | but | yet | and | because | although | though | while | despite ", text
        ):
            found = regex.fullmatch(
                r"(?:the|this|these) (?:[\w\-]+ )+?(?:is|are|was|were)(n't| not)? (?:very |really )?([\w\-]+)[ .]*",
                clause,
            )
            if not found or found[2] not in bases:
                continue
            sign = bases[found[2]] * (-1 if found[1] else 1)
            word = [word for word in review.words if word.text == found[2]]
            if len(word) == 1:
                checked[bool(found[1])] += 1
                assert word[0].polarity == ("positive" if sign > 0 else "negative"), review.text
    assert min(checked[True], checked[False]) > 8


def test_some_words_change_sides(train):
    listed = defaultdict(set)
    for facet in (facet for group in facets().values() for facet in group):
        for sign in (1, -1):
            for adjective in facet.adjectives[sign]:
                listed[adjective.text].add(sign)
    seen = defaultdict(set)
    for review in train:
        for word in review.words:
            seen[word.text].add(word.polarity)
    for word in ("cheap", "loud", "light", "cold", "thin", "warm", "hot"):
        assert listed[word] == {1, -1}, word
        assert {"positive", "negative"} <= seen[word], word


@pytest.mark.parametrize(
    ("verb", "plural", "past", "form"),
    [
        ("be", False, False, "is"),
        ("be", True, True, "were"),
        ("hold/held", False, True, "held"),
        ("rely", False, False, "relies"),
        ("stay", False, False, "stays"),
        ("slip", False, True, "slipped"),
        ("miss", False, False, "misses"),
        ("suit", True, False, "suit"),
    ],
)
def test_inflection(verb, plural, past, form):
    assert inflect(verb, plural, past) == form


def test_marking():
    words = mark("not as good* as the lid", -1, "quality", "kitchen")
    assert [word.text for word in words if word.function] == ["not", "as", "as", "the"]
    assert (words[2].polarity, words[2].aspect) == ("negative", "quality")
    assert (words[-1].polarity, words[-1].domain) == ("neutral", "kitchen")
    assert judging("well made") == "well made*"


def test_articles(train):
    for review in train:
        assert not regex.search(r"\ba (?:[aeio]|un(?!i)|hour|honest)(?!ne\b)", review.text), review.text
        assert not regex.search(r"\ban (?![aeiou]|hour|honest)", review.text), review.text


def test_every_facet_can_be_spoken_of():
    for kinds in KINDS.values():
        for kind in kinds:
            assert len({facet.aspect for facet in facets()[kind]}) >= 6
            for facet in facets()[kind]:
                assert facet.aspect in ASPECTS
                for sign in (1, -1):
                    assert len(facet.adjectives[sign]) >= 3
                    assert all(deed.lstrip("!").startswith("~") and "*" in deed for deed in facet.deeds[sign]), facet


def main_domain(review: DemoSentence) -> str:
    """The domain of most of its words."""
    return Counter(word.domain for word in review.words if word.domain).most_common(1)[0][0]
