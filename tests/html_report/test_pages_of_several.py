"""The pages of a sweep and of several checkpoints in a headless browser: figures are drawn, nothing is asked for."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from report_material import write_codebook
from report_pages import TEXTS

import clvq
from clvq.activations.store import ActivationStore
from clvq.concepts.sweep_records import Sweep
from clvq.training.checkpoint import Checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def swept(tiny_store: ActivationStore, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    run = tmp_path_factory.mktemp("swept") / "run"
    shutil.copytree(tiny_store.path, run / "activations")
    return clvq.sweep(
        run / "activations", layers="1-2,2-4", codebook_size=[8, 12], method=["clvq", "kmeans"], seed=[0, 1], top_k=3,
        epochs=1, decoder_layers=1,
    )  # fmt: skip


def opened(browser: Any, path: Path) -> tuple[Any, list[str]]:
    """The page once its figures are drawn, and what went wrong or was asked of the network until then."""
    page, wrong = browser.new_page(), list[str]()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith("file:") else None)
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-drawn=yes]", timeout=30_000)
    return page, [entry for entry in wrong if not entry.startswith(("data:", "blob:"))]


def test_the_page_of_a_sweep_is_drawn(browser: Any, swept: Sweep, tmp_path: Path) -> None:
    page, wrong = opened(browser, clvq.sweep_page(swept, tmp_path / "sweep.html"))
    assert not wrong
    assert page.locator(".plot .bk-Figure").count() == 2 + len(swept.chains) == 10
    assert page.locator("#trainings tbody tr").count() == len(swept.rows) == 16
    assert page.locator("#flow tbody tr").count() == len(swept.flows) == 8
    page.close()


@pytest.mark.parametrize("kept", [{"seed": 0, "codebook_size": 8}, {"codebook_size": 8, "method": "clvq"}])
def test_a_sweep_over_names_alone_or_seeds_alone_is_drawn(
    browser: Any, swept: Sweep, tmp_path: Path, kept: dict[str, Any]
) -> None:
    rows = [row for row in swept.rows if all(row.settings[name] == value for name, value in kept.items())]
    page, wrong = opened(browser, clvq.sweep_page(Sweep(swept.path, rows, [], []), tmp_path / "sweep.html"))
    assert not wrong
    assert page.locator(".plot .bk-Figure").count() == 2
    assert page.locator("#flow").count() == 0
    page.close()


def test_several_checkpoints_are_drawn_whatever_their_texts_hold(
    browser: Any, checkpoint: Checkpoint, copied: Checkpoint, tmp_path: Path
) -> None:
    write_codebook(copied, TEXTS)
    page, wrong = opened(browser, clvq.report([checkpoint, copied], tmp_path / "report.html"))
    assert not wrong
    assert page.evaluate("window.hacked") is None
    assert page.locator("#compared tbody tr").count() == 2
    assert page.locator(".plot .bk-Figure").count() == 6
    page.locator("#compared a").nth(1).click()
    assert page.evaluate("location.hash") == "#checkpoint-1"
    assert page.locator("#checkpoint-1 details tbody tr").count() == 20
    page.close()
