"""Reports of made-up artifacts, and a browser that opens them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from report_material import write_bench, write_codebook, write_explanations, write_faithfulness, write_mode
from report_pages import GROUPS, TEXTS

import clvq
from clvq.activations.store import ActivationStore
from clvq.training.checkpoint import Checkpoint

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
             "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="session")
def checkpoint(tiny_store: ActivationStore, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A trained checkpoint in a folder of its own; shared, so tests copy it."""
    path = tmp_path_factory.mktemp("trained") / "L1-L2"
    return clvq.train(
        tiny_store, path=path, input_layer=1, output_layer=2, epochs=2, codebook_size=12, top_k=3, decoder_layers=1,
        batch_sentences=16,
    )  # fmt: skip


@pytest.fixture
def copied(checkpoint: Checkpoint, tmp_path: Path) -> Checkpoint:
    return clvq.read_checkpoint(shutil.copytree(checkpoint.path, tmp_path / "run" / "L1-L2"))


@pytest.fixture(scope="session")
def full(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any], list[Any]]:
    """The report of 400 concepts and 1,000 explanations, with what it was made of."""
    folder = tmp_path_factory.mktemp("full")
    made = clvq.read_checkpoint(shutil.copytree(checkpoint.path, folder / "L1-L2"))
    concepts = write_codebook(made, TEXTS)
    explanations = write_explanations(made, TEXTS, concepts)
    write_faithfulness(made, GROUPS)
    write_bench(made)
    for mode in ("splice", "probe", "paper", "concepts"):
        write_mode(made, mode)
    return clvq.report(made, folder / "report.html"), concepts, explanations


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium is installed")
        pytest.skip("no chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a report; in the end nothing was asked of a network, and no page complained or was hacked."""
    opened, faults = [], []

    def open_page(path: Path, anchor: str = "", **options: Any) -> Any:
        page = browser.new_page(**options)
        page.on("console", lambda message: message.type in ("error", "warning") and faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: request.url.startswith(("file:", "data:")) or faults.append(request.url))
        page.goto(path.as_uri() + anchor)
        page.wait_for_selector("html[data-drawn]")
        opened.append(page)
        return page

    yield open_page
    for page in opened:
        assert page.evaluate("window.hacked") is None
        page.close()
    assert not faults


@pytest.fixture(scope="module")
def opened_once(full: Any, visit: Callable[..., Any]) -> Any:
    return visit(full[0])


@pytest.fixture
def page(opened_once: Any) -> Any:
    """The full report on a desk, with its controls as they are at first."""
    opened_once.evaluate("""() => {
      location.hash = "";
      document.querySelectorAll("details[open]").forEach(details => { details.open = false; });
      for (const form of document.forms) {
        form.reset();
        const told = new Event("input", { bubbles: true });
        form.querySelectorAll("input, select").forEach(field => field.dispatchEvent(told));
      }
    }""")
    return opened_once
