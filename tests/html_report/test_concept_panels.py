"""What an opened concept shows in a browser, and the section of the bench; figures against the artifacts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from report_material import write_codebook
from report_pages import go, told

import clvq
from clvq.html_report.histograms import histogram
from clvq.training.checkpoint import Checkpoint

pytestmark = pytest.mark.slow


def signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def test_histograms_are_those_of_the_distances() -> None:
    distances = np.random.default_rng(0).gamma(3, 2, 200_000)
    found = histogram(np.quantile(distances, np.linspace(0, 1, 101)))
    assert found is not None
    counts, edges = np.histogram(distances, bins=24)
    assert (found.low, found.high) == pytest.approx((edges[0], edges[-1]))
    assert found.median == pytest.approx(np.median(distances))
    # A quantile is a hundredth of the words: within a bin no more than that is in doubt at either end.
    assert np.abs(np.array(found.shares) - counts / counts.sum()).max() < 0.012
    assert sum(found.shares) == pytest.approx(1)
    half = histogram(np.r_[np.zeros(50), np.full(51, 8.0)])
    assert half is not None
    assert (half.shares[0], half.shares[-1]) == pytest.approx((0.49, 0.51), abs=0.011)
    same = histogram(np.full(101, 3.0))
    assert same is not None
    assert same.shares == [1.0, *[0.0] * 23]
    assert histogram(np.full(101, np.nan)) is None


def test_effects_distances_and_a_second_sample(full: Any, page: Any) -> None:
    _, concepts, _ = full
    go(page, "#concept-7")
    panel = page.locator("#concept-7 .concept")
    effect = 0.3 - 0.004 * 7
    rows = told(panel.locator(".effect-table tbody tr"))
    assert rows[1].startswith(f"<i>positive</i> {signed(2 * effect)} [{signed(2 * effect - 0.03)}, ")
    assert rows[1].endswith("60.0% 31")
    assert rows[2].startswith(f"all {signed(effect)} ")
    assert f"beyond the words’ own deviations {signed(effect / 2)}" in panel.inner_text()
    quantiles = clvq.codebook(full[0].parent / "L1-L2").distance_quantiles()[7]
    told_of = panel.locator(".histogram").get_attribute("aria-label")
    for value in (quantiles[0], quantiles[-1], quantiles[50]):
        assert f"{float(f'{value:.3g}'):,g}" in told_of
    assert panel.locator(".histogram rect").count() == 24
    heights = panel.locator(".histogram rect").evaluate_all(
        "bars => bars.map(bar => Number(bar.getAttribute('height')))"
    )
    wanted = histogram(quantiles)
    assert wanted is not None
    assert heights == pytest.approx([32 * share / max(wanted.shares) for share in wanted.shares], abs=0.05)
    sample = panel.locator(".over li")
    assert sample.count() == len(concepts[7]["range_examples"]) == panel.locator(".histogram .over").count()
    for row, example in enumerate(concepts[7]["range_examples"]):
        assert float(sample.nth(row).locator(".distance").inner_text()) == example["distance"]
        if not re.search("[\u202a-\u202e]", example["text"]):
            assert sample.nth(row).locator("q").text_content() == example["text"]

    go(page, "#concept-55")
    assert "Too few sentences for a test" in page.locator("#concept-55 .concept").inner_text()
    go(page, "#concept-79")  # of sentence rows, and not measured
    assert page.locator("#concept-79 .histogram, #concept-79 .effect-table").count() == 0


def test_a_long_text_is_shown_around_its_word(copied: Checkpoint, visit: Callable[..., Any]) -> None:
    long = " ".join(f"<b>{number}\U0001f3ac" for number in range(300))
    write_codebook(copied, [long], 6)
    page = visit(clvq.report(copied, copied.path.parent / "report.html"))
    cut = 0
    for concept in clvq.codebook(copied).concepts:
        go(page, f"#concept-{concept.code}")
        (example,) = concept.examples
        start, end = example.start, example.end
        quoted = page.locator(f"#concept-{concept.code} .nearest q")
        assert quoted.text_content() == "…" * (start > 240) + long[max(start - 240, 0) : end + 240] + "…"
        assert quoted.locator("mark").text_content() == example.word
        cut += start > 240
    assert cut > 0


def test_what_was_measured_against_the_truth_is_one_table(page: Any, copied: Checkpoint) -> None:
    table = page.get_by_label("Against the truth, table")
    assert told(table.locator("thead th")) == [
        "Method", "error, all", "error, food", "probe accuracy, 1 code", "probe accuracy, 2 codes", "edited"
    ]  # fmt: skip
    lines = told(table.locator("tbody tr"))
    assert lines[0] == "oracle the true counterfactual 0.400 [0.370, 0.420] 0.400 [0.370, 0.420] – – –"
    assert lines[1] == ("L1-L2 0.200 [0.170, 0.220] 0.200 [0.170, 0.220] 0.650 [0.620, 0.670] 0.700 [0.670, 0.720] 71%")
    assert lines[2].startswith("<b>random</b> 0.300")
    assert lines[-1] == (
        "states a probe of the whole state, not of codes – – 0.950 [0.920, 0.970] 0.950 [0.920, 0.970] –"
    )
    text = page.inner_text("#bench")
    assert "L1-L2 is nearer to the true effects than <b>random</b>." in text
    assert "No <u>SCR</u>: there is no such attribute." in text
    without = clvq.report(copied, copied.path.parent / "report.html").read_text(encoding="utf-8")
    assert 'id="bench"' not in without
