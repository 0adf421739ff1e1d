"""The catalogue in pages, searches with marks that the address keeps, and the cards of words, in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect
from report_pages import go, shown_codes, told, wait_for_address

pytestmark = pytest.mark.slow


def texts_of(concept: dict[str, Any]) -> list[str]:
    words = [top["word"] for top in concept["top_words"]]
    return [*words, *(example["text"] for example in concept["examples"] + concept["range_examples"])]


def test_the_catalogue_comes_in_pages(full: Any, page: Any) -> None:
    _, concepts, _ = full
    page.select_option("#concept-sort", "code")
    rows = page.locator("#catalogue > li")
    assert rows.count() == 50
    assert page.inner_text("#concept-pager").split() == ["Previous", "Page", "of", "8", "Next"]
    assert page.locator("#concept-previous").is_disabled()
    page.click("#concept-next")
    assert rows.first.get_attribute("id") == "concept-50"
    assert page.evaluate("document.activeElement.closest('li').id") == "concept-50"
    page.fill("#concept-page", "8")
    page.keyboard.press("Enter")
    assert rows.last.get_attribute("id") == "concept-399"
    assert page.locator("#concept-next").is_disabled()
    page.fill("#concept-page", "99")
    page.keyboard.press("Enter")
    assert page.input_value("#concept-page") == "8"
    go(page, "#concept-120")
    assert page.input_value("#concept-page") == "3"
    assert shown_codes(page) == list(range(len(concepts)))


def test_a_search_is_for_codes_words_names_and_expressions(full: Any, page: Any) -> None:
    _, concepts, _ = full
    page.select_option("#concept-sort", "code")
    page.fill("#concept-search", "#17")
    assert shown_codes(page) == [17]
    page.fill("#concept-search", "17")
    assert shown_codes(page) == [
        c["code"] for c in concepts if c["code"] == 17 or any("17" in text for text in texts_of(c))
    ]
    page.check("#concept-regex")
    page.fill("#concept-search", "^(dull|FILM)$")
    wanted = [c["code"] for c in concepts if any(t["word"].lower() in ("dull", "film") for t in c["top_words"])]
    assert 0 < len(wanted) < 400
    assert shown_codes(page) == wanted
    assert {text.lower() for text in page.locator("#catalogue mark.hit").all_inner_texts()} <= {"dull", "film"}
    assert page.locator("#catalogue > li:has(.words mark.hit)").count() > 0
    assert page.locator("#catalogue > li:has(.words mark.hit):has(.found)").count() == 0  # it is there to be seen
    page.fill("#concept-search", "(dull")
    assert page.inner_text("#concept-status").startswith("This is no regular expression: ")
    assert page.get_attribute("#concept-search", "aria-invalid") == "true"
    assert shown_codes(page) == wanted  # what was there before
    page.fill("#concept-search", "<img src=x onerror")
    assert page.locator("main img").count() == 0
    assert page.get_attribute("#concept-search", "aria-invalid") == "false"
    assert set(page.locator("#catalogue .found mark.hit").all_inner_texts()) <= {"<img src=x onerror"}
    page.fill("#concept-search", "(a*)*")  # matches nothing everywhere: there is nothing to mark
    assert "400 concepts" in page.inner_text("#concept-status")


def test_matches_are_marked_also_where_they_are_found_later(full: Any, page: Any) -> None:
    _, concepts, explanations = full
    word = concepts[7]["top_words"][19]["word"]  # not among the twelve that a row shows
    page.fill("#concept-search", word)
    assert 7 in shown_codes(page)
    go(page, "#concept-7")
    marks = page.locator("#concept-7 .words-table mark.hit")
    assert word in marks.all_inner_texts()
    panel = page.locator("#concept-7 .concept").text_content()
    page.fill("#concept-search", "")
    assert page.locator("mark.hit").count() == 0
    page.evaluate("location.hash = ''")
    go(page, "#concept-7")
    assert page.locator("#concept-7 .concept").text_content() == panel
    assert page.locator("#concept-7 .nearest mark").count() > 0  # those of the words themselves stay

    three = re.compile(r"\w+ \w+ \w+")
    phrase = next(found[0] for e in explanations[4:] if (found := three.search(e["text"])))
    page.check("#explanation-regex")
    page.fill("#explanation-search", phrase.replace(" ", r"\s"))
    cards = page.locator(".explanation")
    number = sum(re.search(re.escape(phrase), e["text"], re.IGNORECASE) is not None for e in explanations)
    assert cards.count() == min(number, 25)
    hits = cards.first.locator(".sentence mark.hit").all_text_contents()
    assert len(hits) > 1  # it goes over several words
    assert phrase.lower() in "".join(hits).lower()


def test_the_address_keeps_the_search(full: Any, visit: Callable[..., Any]) -> None:
    page = visit(full[0])
    page.fill("#concept-search", "fil[m]")
    page.check("#concept-regex")
    page.select_option("#concept-sort", "code")
    page.select_option("#concept-label", "1")
    page.fill("#explanation-search", "emoji & <b>")
    page.check("#explanation-wrong")
    address = "#?search=fil%5Bm%5D&regex=1&order=code&label=1&in=emoji+%26+%3Cb%3E&wrong=1"
    wait_for_address(page, address)
    codes, status = shown_codes(page), page.inner_text("#explanation-status")
    page.evaluate("document.querySelector('a[href=\"#training\"]').click()")
    wait_for_address(page, "#training" + address[1:])
    again = visit(full[0], "#concept-390" + address[1:])
    assert again.locator("#concept-390 .concept").is_visible()
    again = visit(full[0], "#training" + address[1:])
    assert abs(again.locator("#training").bounding_box()["y"]) < 60
    assert (shown_codes(again), again.inner_text("#explanation-status")) == (codes, status)
    assert again.input_value("#explanation-search") == "emoji & <b>"
    again.evaluate("location.hash = '#?page=3'")
    expect(again.locator("#concept-page")).to_have_value("3")
    assert again.input_value("#concept-search") == ""
    hostile = visit(full[0], "#?search=%3Cimg%20src=x%20onerror=window.hacked=6%3E&label=77&page=x&order=no")
    assert hostile.input_value("#concept-search") == "<img src=x onerror=window.hacked=6>"
    assert hostile.input_value("#concept-page") == "1"


def test_every_word_has_a_card(full: Any, page: Any) -> None:
    _, concepts, explanations = full
    record = explanations[20]
    go(page, "#explanation-20")
    words = page.locator("#explanation-20 .word")
    assert words.count() == len(record["words"])
    card = page.get_by_role("tooltip")
    strongest = max(abs(word["attribution"]) for word in record["words"])
    for at, word in enumerate(record["words"]):
        words.nth(at).hover()
        shown = " ".join(card.inner_text().split())
        text = record["text"][word["start"] : word["end"]]
        side = "against" if word["attribution"] < 0 else "for"
        assert shown.startswith(
            f"{text} {word['attribution']:+.3f} ".replace("-", "−") + f"{side} {record['target']}, "
        )
        assert f"{100 * abs(word['attribution']) / strongest:.0f}% of the strongest word" in shown
        assert f"Concept {word['code']}: " in shown
        top = concepts[word["code"]]["top_words"]
        assert (top[0]["word"] if top else "whole sentences") in shown
    page.mouse.move(2, 2)
    card.wait_for(state="hidden")

    page.locator("#explanation-20 .number").focus()
    page.keyboard.press("Tab")  # the first of the words that matter most
    salient = [at for at, word in enumerate(record["words"]) if word["salient"]]
    focused = "Array.from(document.querySelectorAll('#explanation-20 .word')).indexOf(document.activeElement)"
    assert page.evaluate(focused) == salient[0]
    assert card.is_visible()
    assert page.locator("#explanation-20 .word[aria-describedby=word-card]").count() == 1
    page.keyboard.press("End")
    assert page.evaluate(focused) == len(record["words"]) - 1
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(focused) == len(record["words"]) - 2
    assert f"Concept {record['words'][-2]['code']}: " in card.inner_text()
    page.keyboard.press("Escape")
    card.wait_for(state="hidden")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    wait_for_address(page, f"#concept-{record['words'][0]['code']}", end=r"(\?|$)")
    page.locator(f"#concept-{record['words'][0]['code']} > details > summary .code").wait_for()
    assert told(page.locator(f"#concept-{record['words'][0]['code']} > details > summary .code")) == [
        str(record["words"][0]["code"])
    ]


def test_a_finger_sees_the_card_first_and_follows_it_then(full: Any, visit: Callable[..., Any]) -> None:
    page = visit(full[0], "#explanation-20", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    _, _, explanations = full
    word = page.locator("#explanation-20 .word").last
    word.tap()
    card = page.get_by_role("tooltip")
    assert f"Concept {explanations[20]['words'][-1]['code']}: " in card.inner_text()
    box = card.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert page.evaluate("location.hash") == "#explanation-20"
    page.locator("#explanation-20 .fine").tap()
    card.wait_for(state="hidden")
    word.tap()
    word.tap()
    wait_for_address(page, f"#concept-{explanations[20]['words'][-1]['code']}", end=r"(\?|$)")
