"""Links between the concepts of two checkpoints in the report, against those of `clvq codebook --flow`."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_pages import HOSTILE, go, told, wait_for_address

import clvq
from clvq.activations.store import ActivationStore
from clvq.concepts.pairs import flow

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tiny_store: ActivationStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("flow") / "run"
    shutil.copytree(tiny_store.path, run / "activations")
    small: dict[str, Any] = {"method": "kmeans", "epochs": 1, "decoder_layers": 1}
    for name, layer, size in (("L1", 1, 12), ("L2", 2, 16)):
        clvq.train(run / "activations", path=run / name, input_layer=layer, output_layer=4, codebook_size=size, **small)
    book = clvq.codebook(run / "L2")
    for concept, name in zip(book.concepts, HOSTILE, strict=False):
        book.rename(concept.code, " ".join("".join(c for c in name if c.isprintable()).split())[:60])
    clvq.report(run / "L1", run / "report.html", flow=run / "L2")
    return run


def shown_there(other: clvq.Codebook, code: int) -> str:
    """What the page calls a concept of the other side: a name that a reader gave, or words."""
    words = [top.word for top in other.concept(code).top_words]
    return other.given_names.get(code) or " · ".join(words[:4])


def percent(share: float) -> str:
    """As JavaScript rounds: up from the middle, of the four digits that the page holds."""
    return f"{math.floor(100 * float(f'{share:.4g}') + 0.5)}%"


def test_links_are_those_of_the_words(run: Path, visit: Callable[..., Any]) -> None:
    page = visit(run / "report.html", "#flow")
    this, other = clvq.codebook(run / "L1"), clvq.codebook(run / "L2")
    result = flow(this, other)
    store = clvq.ActivationStore(run / "activations")
    words = (store.flags("train") & 1) != 0
    met = Counter(zip(this.assignments()[words].tolist(), other.assignments()[words].tolist(), strict=True))
    strongest = result.arrows[:60]
    assert page.inner_text("#flow-status") == f"The {len(strongest)} strongest links"
    page.evaluate("document.querySelectorAll('#flow details').forEach(part => { part.open = true; })")
    rows = page.locator("#flow-table tbody tr")
    assert rows.count() == len(strongest) == page.locator("#flow-links path").count()
    for text, arrow in zip(told(rows), strongest, strict=True):
        assert met[arrow.code, arrow.other] == arrow.words
        assert text.startswith(f"{arrow.code} ")
        named = shown_there(other, arrow.other)
        assert f" {arrow.other} {named} {arrow.words:,} {percent(arrow.share)} " in text
    for side, codes in (("here", {a.code for a in strongest}), ("there", {a.other for a in strongest})):
        shown = page.eval_on_selector_all(f"#flow-links .{side} li", f"all => all.map(one => +one.dataset.{side})")
        assert sorted(shown) == sorted(codes)
    told_of = page.inner_text("#flow")
    assert f"{100 * (1 - result.conditional_entropy / result.entropy):.0f}% of the {result.entropy:.2f} bits" in told_of
    assert "<script>window.hacked=1</script>" in told_of
    assert page.locator("main img, main script").count() == 0

    first = strongest[0].code
    page.locator(f"#flow-links .here li[data-here='{first}'] a").focus()
    lit = page.eval_on_selector_all("#flow-links path.on", "all => all.map(one => +one.dataset.from)")
    assert lit == [first] * sum(arrow.code == first for arrow in strongest)
    go(page, f"#concept-{first}")
    panel = page.locator(f"#concept-{first} .concept")
    best = next(arrow for arrow in result.arrows if arrow.code == first)
    named = shown_there(other, best.other)
    said = " ".join(panel.inner_text().split())
    assert f"{best.other} {named} {percent(best.share)} of its words" in said
    panel.get_by_text("Its links").click()
    wait_for_address(page, f"#flow-of-{first}?links={first}")
    assert {int(text.split()[0]) for text in told(rows)} == {first}
    page.fill("#flow-code", "999")
    assert page.inner_text("#flow-status") == "Concept 999 has no word there."


def test_links_fit_a_phone_and_are_of_one_checkpoint(run: Path, visit: Callable[..., Any], tmp_path: Path) -> None:
    page = visit(run / "report.html", "#flow", viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("#flow-links svg").bounding_box()["width"] > 50
    without = clvq.report(run / "L1", tmp_path / "plain.html").read_text(encoding="utf-8")
    assert 'id="flow"' not in without
    with pytest.raises(clvq.ClvqError, match="is linked with itself"):
        clvq.report(run / "L1", tmp_path / "x.html", flow=run / "L1")
    with pytest.raises(clvq.ClvqError, match="Links to another checkpoint are for the report of one checkpoint"):
        clvq.report([run / "L1", run / "L2"], tmp_path / "x.html", flow=run / "L2")
    assert not (tmp_path / "x.html").exists()
