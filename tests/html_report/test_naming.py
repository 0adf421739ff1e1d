"""Names and notes that a reader gives in the page: kept in the browser, exported, imported, and read by the command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from report_pages import HOSTILE, go, shown_codes

import clvq

pytestmark = pytest.mark.slow


@pytest.fixture
def own(full: Any, tmp_path: Path) -> Path:
    """The report's checkpoint, with names of its own, and a report that has them."""
    folder = Path(shutil.copytree(full[0].parent / "L1-L2", tmp_path / "run" / "L1-L2"))
    book = clvq.codebook(folder)
    book.rename(3, "three <b>of</b> a kind")
    book.rename(4, "four")
    clvq.report(folder, tmp_path / "run" / "report.html")
    return folder


def named(page: Any, code: int, kind: str = "name") -> Any:
    return page.locator(f"#concept-{code} .own-{kind}")


def exported(page: Any, path: Path) -> dict[str, Any]:
    with page.expect_download() as download:
        page.click("#names-export")
    assert download.value.suggested_filename == "concept-names.json"
    download.value.save_as(path)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_names_are_kept_in_the_browser_and_go_to_the_command(
    own: Path, visit: Callable[..., Any], browser: Any, tmp_path: Path
) -> None:
    report = own.parent / "report.html"
    page = visit(report, "#concept-3")
    assert page.locator("#concept-3 .given").text_content() == "three <b>of</b> a kind"
    driving = page.get_by_label("Concepts that drive the predictions, table").locator("tr:has([href='#concept-3']) bdi")
    assert driving.text_content().startswith("three <b>of</b> a kind: ")
    assert named(page, 3).input_value() == "three <b>of</b> a kind"
    named(page, 3).fill(HOSTILE[1][:60])
    named(page, 3, "note").fill("first line\n" + HOSTILE[0])
    go(page, "#concept-4")
    named(page, 4).fill("")
    go(page, "#concept-5")
    assert named(page, 5).get_attribute("placeholder") == clvq.codebook(own).name(5)
    named(page, 5).fill("  fi\u202eve \t fifths ")
    named(page, 5).blur()
    assert named(page, 5).input_value() == "five fifths"
    assert page.locator("#concept-5 .given").text_content() == "five fifths"
    assert driving.text_content().startswith(HOSTILE[1][:20])
    assert page.inner_text("#naming-status") == "3 concepts named or noted in this browser."
    page.fill("#concept-search", "fifths")
    assert shown_codes(page) == [5]

    page.reload()
    page.wait_for_selector("html[data-drawn]")
    assert page.inner_text("#naming-status") == "3 concepts named or noted in this browser."
    page.evaluate("location.hash = ''")
    go(page, "#concept-3")
    name, note = HOSTILE[1][:60].strip(), "first line\n" + HOSTILE[0]
    assert page.locator("#concept-3 .given").text_content() == name
    assert named(page, 3, "note").input_value() == note
    neighbour = page.locator("#concept-3 .near a[href='#concept-5']")
    assert neighbour.inner_text().startswith("5 five fifths: ")
    assert page.locator("main img, main .given b").count() == 0

    file = tmp_path / "names.json"
    fingerprint = clvq.read_checkpoint(own).fingerprint
    assert exported(page, file) == {
        "format": "clvq-names-export", "format_version": 1, "checkpoint": fingerprint,
        "names": {"3": name, "4": "", "5": "five fifths"}, "notes": {"3": note},
    }  # fmt: skip
    book = clvq.codebook(own)
    assert book.import_names(file) == 3
    assert (book.given_names, book.notes) == ({3: name, 5: "five fifths"}, {3: note})
    clvq.report(own, report)
    page.reload()
    page.wait_for_selector("html[data-drawn]")
    assert page.inner_text("#naming-status") == ""  # the report has them itself now
    assert page.locator("#concept-3 .given").text_content() == name


def test_names_are_imported_into_another_browser(own: Path, visit: Callable[..., Any], tmp_path: Path) -> None:
    report, file = own.parent / "report.html", tmp_path / "names.json"
    fingerprint = clvq.read_checkpoint(own).fingerprint
    body = {"format": "clvq-names-export", "format_version": 1, "checkpoint": fingerprint,
            "names": {"7": "seven " + "x" * 90, "4000": "nothing", "8": 8}, "notes": {"9": HOSTILE[0]}}  # fmt: skip
    page = visit(report, "#concept-7")
    for content, says in (
        ("{", "That is no JSON file."),
        ("[]", "That is no file of names that a report has exported."),
        (json.dumps({**body, "checkpoint": "<b>x"}), "Those names are of another training, <b>x."),
        (json.dumps(body), "2 concepts named or noted in this browser. 2 concepts read from the file."),
    ):
        file.write_text(content, encoding="utf-8")
        page.set_input_files("#names-file", file)
        expect(page.locator("#naming-status")).to_have_text(says)
    assert named(page, 7).input_value() == "seven " + "x" * 54
    go(page, "#concept-9")
    assert named(page, 9, "note").input_value() == HOSTILE[0]


def test_a_browser_that_keeps_nothing_says_so(own: Path, visit: Callable[..., Any]) -> None:
    page = visit(own.parent / "report.html", "#concept-7")
    page.evaluate("() => { Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError'); }; }")
    named(page, 7).fill("seven")
    assert "keeps nothing for this page: export them" in page.inner_text("#naming-status")
    assert page.locator("#concept-7 .given").text_content() == "seven"
