"""The report in a headless browser: 400 concepts and 1,000 explanations, and texts that would rather be markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from report_material import BY_EFFECT, FDR, UNMATCHED, write_codebook, write_explanations, write_faithfulness
from report_pages import HOSTILE, TEXTS, go, shown_codes, told, wait_for_address

import clvq
from clvq.activations.store import ActivationStore
from clvq.training.checkpoint import Checkpoint

pytestmark = pytest.mark.slow


def test_everything_is_in_one_small_file(full: Any) -> None:
    page = full[0].read_text(encoding="utf-8")
    assert full[0].stat().st_size < 10e6
    assert "default-src &#39;none&#39;" in page
    assert not re.search(
        r"""<(?:script|img|iframe)[^>]*\ssrc=|<link[^>]+href="(?!data:)|@import|url\(""", page[:40_000]
    )


@pytest.mark.parametrize(
    ("settings", "source", "ladders"),
    [
        ({}, "the codes alone", 3),
        ({"decoder_memory": "encoder"}, "the codes and the states of layer 1 themselves", 3),
        ({"predict": "update"}, "the codes and the states of layer 1 themselves", 3),
        ({"method": "sae"}, "the directions alone", 1),
        ({"method": "crosslayer-sae"}, "the directions alone", 2),
        ({"method": "crosslayer-sae", "skip": True}, "the directions and the states of layer 1 themselves", 2),
    ],
)
def test_what_the_layer_is_predicted_from(
    settings: dict[str, Any], source: str, ladders: int, tiny_store: ActivationStore, tmp_path: Path
) -> None:
    trained = clvq.train(
        tiny_store, path=tmp_path / "made", input_layer=1, output_layer=4, codebook_size=8, epochs=1, **settings
    )  # fmt: skip
    page = clvq.report(trained, tmp_path / "page.html").read_text(encoding="utf-8")
    layer = "that layer" if settings.get("method") == "sae" else "layer 4"
    assert f"{layer} is predicted from {source}" in page
    assert f"predicts from {source}" in page and f"on evaluation words, predicted from {source}." in page
    assert page.count('<table class="ladder"') == ladders
    assert f"{trained.results.training_rows:,} rows of" in page
    assert ("distance of words to their codes" in page) == ("method" not in settings)


def test_the_catalogue_is_searched_sorted_and_filtered(full: Any, page: Any) -> None:
    _, concepts, _ = full
    by_words = sorted(concepts, key=lambda concept: (-concept["words"], concept["code"]))
    assert shown_codes(page) == [concept["code"] for concept in by_words]
    for order, key in (
        ("sentences", lambda concept: -concept["sentences"]),
        ("spread", lambda concept: float(f"{concept['spread']:.4g}")),
        ("code", lambda concept: concept["code"]),
    ):
        page.select_option("#concept-sort", order)
        assert shown_codes(page) == [c["code"] for c in sorted(concepts, key=lambda c: (key(c), c["code"]))], order
    page.select_option("#concept-sort", "effect")
    assert shown_codes(page) == [*BY_EFFECT, *range(60, len(concepts))]
    page.select_option("#concept-sort", "strength")
    strongest = [concepts[code]["labels"] for code in shown_codes(page)]
    assert [found["q"] <= FDR for found in strongest] == sorted((f["q"] <= FDR for f in strongest), reverse=True)
    assert strongest[0]["share"] == max(found["share"] for found in strongest)

    page.select_option("#concept-sort", "code")
    page.check("#concept-significant")
    page.select_option("#concept-label", "1")
    wanted = [c["code"] for c in concepts if c["labels"]["q"] <= FDR and c["labels"]["label"] == 1]
    assert shown_codes(page) == wanted
    assert page.inner_text("#concept-status") == f"{len(wanted)} of 400 concepts"
    page.uncheck("#concept-significant")
    page.select_option("#concept-label", "")
    page.select_option("#concept-rows", "sentences")
    assert shown_codes(page) == list(range(39, 400, 40))
    page.select_option("#concept-rows", "")
    word = concepts[7]["top_words"][0]["word"]
    page.locator("#concept-search").press_sequentially(word.upper())
    texts = [
        " ".join([*(w["word"] for w in c["top_words"]), *(e["text"] for e in c["examples"] + c["range_examples"])])
        for c in concepts
    ]
    found = [code for code, text in enumerate(texts) if word.lower() in text.lower()]
    assert 7 in found
    assert shown_codes(page) == found
    page.fill("#concept-search", "no such words anywhere")
    assert shown_codes(page) == []


def test_a_concept_in_full(full: Any, page: Any) -> None:
    _, concepts, _ = full
    go(page, "#concept-17")
    panel = page.locator("#concept-17 .concept")
    assert panel.is_visible()
    concept = concepts[17]
    assert panel.locator(".words-table tbody tr").count() == len(concept["top_words"])
    assert panel.locator(".labels-table tr").count() == 2
    examples = panel.locator(".nearest li")
    assert examples.count() == len(concept["examples"])
    for row, example in enumerate(concept["examples"]):
        if not re.search("[\u202a-\u202e]", example["word"]):
            assert examples.nth(row).locator("mark").text_content() == example["word"]
    panel.locator(".near a").first.click()
    page.wait_for_selector("#concept-18 .concept")
    assert page.evaluate("document.activeElement.closest('li').id") == "concept-18"


def test_a_code_leads_to_its_explanations_and_back(full: Any, page: Any) -> None:
    _, _, explanations = full
    go(page, "#concept-17")
    users = [e["id"] for e in explanations if any(w["code"] == 17 and w["salient"] for w in e["words"])]
    assert 0 < len(users) < 25
    link = page.locator("#concept-17 .to-explanations")
    assert link.text_content() == f"Matters in {len(users)} explained sentences"
    link.click()
    wait_for_address(page, "#explanations-of-17", end="")
    cards = page.eval_on_selector_all(".explanation", "cards => cards.map(card => card.id)")
    assert cards == [f"explanation-{number}" for number in users]
    page.fill("#concept-search", "no such words anywhere")  # a link opens a concept that a filter hides
    page.locator(".explanation a.salient[href='#concept-17']").first.click()
    wait_for_address(page, "#concept-17", end="")
    page.locator("#concept-17").wait_for(state="visible")  # the address changes first, the page follows it


def test_explanations_are_paged_filtered_and_linked_to(full: Any, page: Any) -> None:
    _, _, explanations = full
    cards = page.locator(".explanation")
    assert cards.count() == 25
    go(page, "#explanation-777")
    page.wait_for_selector("#explanation-777")
    assert cards.count() == 800
    page.check("#explanation-wrong")
    page.uncheck("#explanation-wrong")
    page.click("#explanation-more")
    assert cards.count() == 50
    page.check("#explanation-wrong")
    wrong = sum(e["label"] != e["prediction"] for e in explanations)
    assert cards.count() == 25
    assert f"25 shown of {wrong} explanations, 1,000 in all" == page.inner_text("#explanation-status")
    assert page.locator(".explanation .wrong").count() == 25
    page.uncheck("#explanation-wrong")
    page.fill("#explanation-search", "emoji DULL")
    assert f"of {sum('emoji' in e['text'] for e in explanations)} explanations" in page.inner_text(
        "#explanation-status"
    )
    salient = cards.first.locator(".salient")
    record = next(e for e in explanations if "emoji" in e["text"])
    wanted = [record["text"][w["start"] : w["end"]] for w in record["words"] if w["salient"]]
    assert [re.sub("\u27e8.*?\u27e9", "", text) for text in salient.all_text_contents()] == [
        re.sub("[\u202a-\u202e]", "", text) for text in wanted
    ]


def test_what_looks_like_markup_is_shown_as_text(full: Any, page: Any) -> None:
    _, concepts, _ = full
    for number, text in enumerate(HOSTILE):
        written = re.sub("[\u202a-\u202e]", lambda found: f"\u27e8U+{ord(found[0]):04X}\u27e9", text)
        assert page.locator(f"#explanation-{number} .sentence").text_content() == written
    held = sum(
        example["text"] == HOSTILE[0]
        for concept in concepts
        for example in concept["examples"] + concept["range_examples"]
    )
    assert held > 0
    shown = 0
    for number in range(1, 9):
        page.evaluate("document.querySelectorAll('#catalogue details').forEach(details => { details.open = true })")
        expect(page.locator(".concept")).to_have_count(50)
        shown += page.locator(".concept q", has_text=HOSTILE[0]).count()
        if number < 8:
            page.click("#concept-next")
    assert shown == held
    assert page.locator("main img, main script, main iframe").count() == 0
    page.evaluate("""() => {
      const map = Bokeh.documents.flatMap(d => d.roots()).find(root => root.document.get_model_by_name("concepts"));
      const source = map.document.get_model_by_name("concepts");
      source.data.words[0] = "<img src=x onerror=window.hacked=5>";
      const code = source.data.code[0];
      source.selected.indices = [0];
      if (location.hash !== "#concept-" + code) throw new Error("a disc leads nowhere");
    }""")
    box = page.locator("#codebook-map").bounding_box()
    for step in range(12):  # somewhere on this way there are discs: their words are text as well
        page.mouse.move(box["x"] + box["width"] * step / 12, box["y"] + box["height"] / 3)


def test_it_fits_a_phone_and_opens_at_a_link(full: Any, visit: Callable[..., Any]) -> None:
    page = visit(full[0], "#concept-5", viewport={"width": 390, "height": 844})
    assert page.locator("#concept-5 .concept").is_visible()
    assert 0 <= page.locator("#concept-5").bounding_box()["y"] < 100
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_paper_gets_the_plots_and_no_controls(page: Any) -> None:
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("canvas.printed").count() == 10  # three of training, three times two of faithfulness, the map
    assert all(page.eval_on_selector_all("canvas.printed", "all => all.map(c => c.clientHeight > 50)"))
    assert not page.locator("#concept-controls").is_visible()
    assert page.locator("#concept-12 .words").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("canvas.printed").count() == 0
    page.emulate_media(media="screen")


def test_what_concepts_do_beyond_the_controls_stands_first(page: Any) -> None:
    lines = page.locator(".overview tbody tr:not(.part)")
    assert told(lines.locator("th")) == ["L1-L2 clvq, mean of 3 seeds", "$$k$$-means <b> clvq"] * 2
    figures = told(lines.first)[0]
    for value in (  # means over the seeds: 0.004 less than those of the first
        "0.132", "+0.075 [+0.059, +0.093]", "+0.042 [+0.026, +0.060]", "seeds ± 0.004", "3.00", "1.0", "12.3%",
    ):  # fmt: skip
        assert value in figures
    assert lines.nth(2).locator("td").nth(3).inner_text() == "–"  # at the sentence row the distances differ
    drawn = ["beyond-0", "beyond-1", "mass-0", "mass-1", "rank-0", "rank-1"]
    assert page.eval_on_selector_all("#faithfulness .plot", "plots => plots.map(plot => plot.id)") == drawn
    for name in drawn:
        assert page.locator(f"#{name}").bounding_box()["height"] > 100
        assert page.evaluate("id => document.getElementById(id).childElementCount", name) == 1
    assert told(page.locator("#faithfulness .legend")) == [
        "beyond coherent random beyond own deviation", "L1-L2 $$k$$-means <b>", "L1-L2 $$k$$-means <b>"
    ]  # fmt: skip


def test_what_edits_and_controls_do_unfolds(page: Any) -> None:
    parts = page.locator("#faithfulness .effects")
    assert parts.count() == 4  # two places, two groups
    page.evaluate("document.querySelectorAll('.effects').forEach(part => { part.open = true; })")
    rows = parts.first.locator("tbody tr:not(.part)")
    assert told(rows.locator("th")) == [
        "the concept", "random", "coherent random", "own deviation", "put in: another word's"
    ]  # fmt: skip
    own = told(rows.nth(3))[0]
    assert own.startswith("own deviation 0.090 0.180 0.045 0.800 0.280 from chance 3.00 +0.042 [+0.026, +0.060]")
    assert rows.nth(3).locator(".interval").count() == 1
    assert UNMATCHED in parts.nth(2).inner_text()
    beside = parts.first.locator(".beside")
    assert "Not controls of the removal" in beside.inner_text()
    assert beside.locator(".interval").count() == 0


def test_classes_curve_and_differences_are_tables_too(page: Any) -> None:
    page.evaluate("document.querySelectorAll('#faithfulness details').forEach(part => { part.open = true; })")
    rows = page.locator("#faithfulness-classes tbody tr:not(.part)")
    assert rows.count() == 8  # two places, two groups, two classes
    first = told(rows.first)[0]
    assert first.startswith("negative L1-L2 400 +0.075 [+0.059, +0.093]")
    assert told(rows.nth(3))[0].startswith("<i>positive</i> $$k$$-means <b> 401 +0.079 [+0.063, +0.097]")
    assert rows.nth(3).locator(".interval").count() == 2
    assert rows.nth(7).locator(".interval").count() == 1  # at the sentence row the own deviation has no selectivity
    specific = page.get_by_label("Specificity, table").locator("tbody tr")
    assert specific.count() == 4  # two groups, all classes and one
    assert told(specific.nth(1))[0].startswith("<i>positive</i> L1-L2 300 0.250 [0.200, 0.900] 0.350 [0.200, 0.900]")
    curve = page.get_by_label("Curve by mass, table: centred removal: L1-L2").locator("tbody tr")
    assert curve.count() == 10
    assert told(curve.nth(4))[0].startswith("50% 0.068 +0.038 [+0.022, +0.056]")
    assert UNMATCHED in curve.last.inner_text()
    ranks = page.get_by_label("Curve by rank, table: centred removal: L1-L2").locator("tbody tr")
    assert ranks.count() == 6
    assert told(ranks.nth(4))[0].startswith("16 0.068 +0.038 [+0.022, +0.056]")
    assert page.locator("[id^=rank-].plot").count() == page.locator("[id^=mass-].plot").count() > 0
    lines = page.get_by_label("Differences between checkpoints, table").locator("tbody tr:not(.part)")
    assert lines.count() == 2
    assert told(lines.first)[0] == (
        "centred removal, 5 most salient words beyond coherent random +0.016 [−0.003, +0.030] "
        "+0.016 [−0.003, +0.030] +0.016 [−0.003, +0.030] 8.17, 8.28 851"
    )
    assert lines.locator(".interval").count() == 2
    assert page.get_by_label("Differences against the other controls, table").locator("tbody tr").count() == 2


def test_the_other_modes_are_shown_and_the_published_probe_for_what_it_is(page: Any) -> None:
    page.evaluate("document.querySelectorAll('#faithfulness details').forEach(part => { part.open = true; })")
    spliced = page.get_by_label("Reconstruction inside the model, table").locator("tbody tr")
    shown = told(spliced)
    assert shown[0] == "Loss recovered 0.954 [0.924, 0.974] 0.871 [0.841, 0.891]"
    assert len(shown) == 5  # agreement and KL, spliced and ablated; without labels no accuracy
    probed = page.get_by_label("Probe, table", exact=True).locator("tbody tr:not(.part)")
    assert told(probed.locator("th")) == [
        "as it is", "the concept", "covariance random", "own deviation"
    ]  # fmt: skip
    assert probed.locator(".interval").count() == 2
    assert page.inner_text("#faithfulness-paper") == "The published probe: an artefact"
    published = page.get_by_label("Published probe, table")
    assert "What checks it" in published.inner_text()
    assert "moves by another distance" in published.inner_text()


def test_one_checkpoint_without_a_curve(copied: Checkpoint, visit: Callable[..., Any]) -> None:
    write_faithfulness(copied, curve=False)
    page = visit(clvq.report(copied, copied.path.parent / "report.html"))
    lines = page.locator(".overview tbody tr")
    assert lines.count() == 2
    assert told(lines.first.locator("th")) == ["centred removal, 5 most salient words"]
    assert "+0.079 [+0.063, +0.097]" in told(lines.first)[0]
    assert page.eval_on_selector_all("#faithfulness .plot", "plots => plots.map(plot => plot.id)") == ["beyond-0"]
    text = page.inner_text("#faithfulness")
    assert "seeds" not in text
    assert "less" not in text.split("What each edit")[0]
    assert "clvq faithfulness --mode splice, clvq faithfulness --mode probe" in text


def test_a_corpus_without_labels_and_a_model_without_classes(copied: Checkpoint, visit: Callable[..., Any]) -> None:
    concepts = write_codebook(copied, TEXTS, 30, labels=False)
    write_explanations(copied, TEXTS, concepts, 30, target="next token", label_names=None, rationales=None)
    page = visit(clvq.report(copied.path, copied.path.parent / "report.html"), "#concept-3")
    assert page.locator("#concept-3 .concept").is_visible()
    for control in ("#concept-label", "#concept-significant", "#explanation-wrong", "#explanation-label"):
        assert page.locator(control).count() == 0
    assert page.locator(".explanation").count() == 25
    assert page.locator(".wrong").count() == 0


def test_what_is_missing_is_named(copied: Checkpoint, visit: Callable[..., Any]) -> None:
    page = visit(clvq.report(copied, copied.path.parent / "report.html"))
    run = copied.path.parent
    assert page.locator("#concepts .command").inner_text() == f"clvq codebook --run {run}"
    assert page.locator("#explanations .command").inner_text() == f"clvq explain --run {run}"
    assert page.locator("#faithfulness .command").inner_text() == f"clvq faithfulness --run {run}"
    assert page.locator("#training figure").count() == 3


def test_headline_figures_are_those_of_the_checkpoint(full: Any, page: Any) -> None:
    checkpoint = clvq.read_checkpoint(full[0].parent / "L1-L2")
    figures, standards = checkpoint.results.evaluation, checkpoint.results.yardsticks
    text = page.inner_text("#figures")
    for value in (figures.fvu, figures.fvu_codes_shuffled, standards.ridge, standards.copy,
                  standards.mean_per_code):  # fmt: skip
        assert f"{value:.3f}" in text
    assert "Frozen k-means" not in text  # not measured
    assert checkpoint.fingerprint in page.text_content("#provenance")


def test_the_words_of_the_page_unfold(page: Any) -> None:
    page.locator("#glossary summary", has_text="Interventions").click()
    meanings = dict(
        page.locator("#glossary details[open] .record div").evaluate_all(
            "all => all.map(e => [...e.children].map(c => c.textContent))"
        )
    )
    assert meanings["Flips"] == "Share of the sentences whose predicted class an edit changes."
    assert "Coherent control" in meanings


def test_words_of_the_figures_lead_to_their_meaning(full: Any, visit: Callable[..., Any]) -> None:
    page = visit(full[0], "#?search=film")
    go(page, "#concept-7")
    links = "all => all.map(link => link.getAttribute('href'))"
    led_to = set(page.locator("a.term").evaluate_all(links))
    assert led_to >= {
        f"#word-{word}"
        for word in ("row", "word", "code", "concept", "fvu", "perplexity", "q", "ami", "spread", "energy", "rank",
                     "selectivity", "control")
    }  # fmt: skip
    for anchor in led_to:
        assert page.locator(f"#glossary {anchor}").count() == 1
    assert not page.locator("#word-fvu").is_visible()
    page.get_by_role("link", name="FVU", exact=True).first.click()
    page.wait_for_selector("#word-fvu.arrived")
    assert page.locator("#word-fvu").inner_text().startswith("FVU\nFraction of variance unexplained")
    assert page.input_value("#concept-search") == "film"
