"""Intervals and p values: against scipy's bootstrap, how often they hold the truth, and Holm's correction."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from clvq.interventions.intervals import difference_intervals, holm, paired_intervals

pytestmark = pytest.mark.slow


def test_an_interval_over_single_texts_is_that_of_scipy() -> None:
    values = np.random.default_rng(0).gamma(1.0, 1.0, 150)
    middle, low, high = paired_intervals(values[:, None], np.arange(150), 0, resamples=9999)
    ours = bootstrap((values,), np.mean, method="percentile", n_resamples=9999, rng=np.random.default_rng(1))
    expected = ours.confidence_interval
    assert middle[0] == values.mean()
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=0.02)


def drawn(generator: np.random.Generator, seeds: int, of_seed: float, of_text: float) -> np.ndarray:
    """[M, S, 1] figures about 0.1 of M seeds on 60 texts: what is the text's is the same for all seeds."""
    text = generator.normal(0, of_text, (1, 60, 1))
    return 0.1 + generator.normal(0, of_seed, (seeds, 1, 1)) + text + generator.normal(0, 0.1, (seeds, 60, 1))


@pytest.mark.parametrize(("of_seed", "of_text"), [(0.1, 0.01), (0.03, 0.3), (0.0, 0.3)])
@pytest.mark.parametrize("seeds", [2, 5])
def test_an_interval_over_texts_and_seeds_holds_the_truth(seeds: int, of_seed: float, of_text: float) -> None:
    generator = np.random.default_rng(seeds)
    held = 0
    for number in range(300):
        values = drawn(generator, seeds, of_seed, of_text)
        _, low, high = paired_intervals(values, np.arange(60), number, resamples=300)
        held += low[0] <= 0.1 <= high[0]
    assert held / 300 >= 0.89  # 95%, less what a percentile interval of few texts and three errors of the count take


def test_texts_that_seeds_disagree_on_do_not_count_as_a_difference_of_the_seeds() -> None:
    """Seeds that are equal but for what they do to single texts: many texts average that out, however few seeds."""
    generator = np.random.default_rng(0)
    held, widths = 0, []
    for number in range(200):
        values = 0.1 + generator.normal(0, 1, (5, 200, 1))
        _, low, high = paired_intervals(values, np.arange(200), number, resamples=300)
        held += low[0] <= 0.1 <= high[0]
        widths.append(high[0] - low[0])
    assert held / 200 >= 0.93
    assert np.median(widths) < 1.6 * 2 * 1.96 / np.sqrt(5 * 200)  # the width if it were known that seeds are equal


def test_an_interval_over_texts_alone_would_not() -> None:
    """The seeds' own spread is missing from it."""
    generator = np.random.default_rng(0)
    held = 0
    for number in range(200):
        values = drawn(generator, 5, 0.1, 0.01).mean(axis=0)
        _, low, high = paired_intervals(values, np.arange(60), number, resamples=300)
        held += low[0] <= 0.1 <= high[0]
    assert held / 200 < 0.6


def test_differences_share_the_texts_and_not_the_seeds() -> None:
    generator = np.random.default_rng(0)
    texts = np.repeat(np.arange(40), 2)
    shared = generator.normal(0, 1, (1, 80, 1))
    first, second = shared + 0.05, shared
    middle, low, high, p = difference_intervals(first, second, texts, 0)
    assert middle[0] == pytest.approx(0.05)
    assert (low[0], high[0]) == pytest.approx((0.05, 0.05))  # what is the text's cancels
    assert p[0] == pytest.approx(2 / 20001)
    assert holm([p[0]] * 100)[0] < 0.05  # a table of a hundred differences can show one
    apart = first + generator.normal(0, 0.2, (5, 1, 1))
    _, low, high, p = difference_intervals(apart, second, texts, 0)
    assert high[0] - low[0] > 0.1
    same = difference_intervals(first, first, texts, 0)
    assert (same[1][0], same[2][0], same[3][0]) == (0, 0, 1)


def test_p_is_even_where_there_is_no_difference() -> None:
    generator = np.random.default_rng(0)
    below = 0
    for number in range(300):
        first, second = generator.normal(0, 1, (2, 1, 60, 1))
        below += difference_intervals(first, second, np.arange(60), number, resamples=400)[3][0] <= 0.05
    assert 0.02 <= below / 300 <= 0.10


def test_holm() -> None:
    assert holm([]) == []
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9, 0.6]) == [1.0, 1.0, 1.0]
