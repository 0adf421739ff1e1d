"""A checkpoint that is copied alone, and its run removed: what other commands give is what they gave."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from running import SMALL, Clvq

from clvq.artifacts import CHECKPOINT

pytestmark = pytest.mark.slow

TEXT = "The film is very good, and the plot is not."


@pytest.fixture
def here(clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path) -> Path:
    """A run of two commands: `train`, which extracts."""
    given = ("--model", bert, "--dataset", corpus, "--max-sentences", 60, "--words", "whitespace")
    ended = clvq(
        "train", *given, "--run", tmp_path / "run", "--input-layer", 1, "--output-layer", 2, "--epochs", 1, *SMALL
    )
    assert ended.code == 0, ended.err
    return tmp_path / "run"


def asked(clvq: Clvq, run: Path) -> list[Any]:
    documents = []
    for command in (("codebook",), ("codebook", "--code", 0), ("explain", TEXT), ("explain", TEXT, "--mass", 0.5)):
        ended = clvq(*command, "--run", run, "--json")
        document = ended.document if ended.code == 0 else ended.message
        documents.append({key: value for key, value in document.items() if key != "path"})
    return documents


def test_it_is_searched_and_explained_with_alone(clvq: Clvq, here: Path, tmp_path: Path) -> None:
    before = asked(clvq, here)
    shutil.copytree(here / "L1-L2", tmp_path / "elsewhere" / "mine")
    shutil.rmtree(here)
    assert asked(clvq, tmp_path / "elsewhere") == before
    ended = clvq("report", "--run", tmp_path / "elsewhere", "--text", TEXT, "--output", tmp_path / "page.html")
    assert ended.code == 0, ended.err


def test_what_needs_the_activations_says_how_they_are_made_again(clvq: Clvq, here: Path, tmp_path: Path) -> None:
    """And the command that it names makes them: the same rows, which the checkpoint takes for its own."""
    shutil.rmtree(here / "activations")
    for command in (("explain",), ("faithfulness", "--limit", 2, "--draws", 1), ("codebook", "--search", "film")):
        ended = clvq(*command, "--run", here)
        assert ended.code == 1
        assert "holds no activations" in ended.message
    line = ended.message.split("`")[1]
    assert "--words whitespace" in line
    assert "--max-sentences 60" in line
    ended = clvq(*line.split()[1:])
    assert ended.code == 0, ended.err
    ended = clvq("explain", "--run", here, "--limit", 4)
    assert ended.code == 0, ended.err


def test_a_checkpoint_of_an_earlier_version_asks_for_its_activations(clvq: Clvq, here: Path) -> None:
    """It kept nothing of them but their fingerprint."""
    body = CHECKPOINT.read(here / "L1-L2")
    del body["activations"]
    CHECKPOINT.write(here / "L1-L2", body)
    assert clvq("explain", TEXT, "--run", here).code == 0
    shutil.rmtree(here / "activations")
    ended = clvq("explain", TEXT, "--run", here)
    assert (ended.code, "Run `clvq extract` first" in ended.message) == (1, True)
    assert clvq("codebook", "--run", here).code == 0


def test_the_activations_are_made_again_from_the_corpus_that_is_named(
    clvq: Clvq, here: Path, corpus: Path, tmp_path: Path
) -> None:
    """In the folder that the copy lies in; the figures are those of the original, and the corpus can have moved."""
    command = ("faithfulness", "--limit", 6, "--draws", 1, "--json")
    assert clvq("explain", "--run", here, "--limit", 6).code == 0
    before = clvq(*command, "--run", here).document
    run, moved = tmp_path / "elsewhere", tmp_path / f"moved{corpus.suffix}"
    shutil.copytree(here / "L1-L2", run / "mine", ignore=shutil.ignore_patterns("expl*", "effects*", "faith*"))
    shutil.rmtree(here)
    shutil.copy(corpus, moved)
    ended = clvq("explain", "--run", run, "--limit", 6, "--dataset", moved)
    assert ended.code == 0, ended.err
    after = clvq(*command, "--run", run, "--dataset", moved)
    assert "has activations already: --dataset is not read" in after.message
    assert after.document["figures"] == [{**line, "checkpoint": "mine"} for line in before["figures"]]


def test_another_corpus_than_the_checkpoint_was_trained_on_is_refused(clvq: Clvq, here: Path, tmp_path: Path) -> None:
    shutil.rmtree(here / "activations")
    other = tmp_path / "other.jsonl"
    other.write_text("".join(f'{{"text": "words of another kind {n}", "label": {n % 2}}}\n' for n in range(40)))
    for command in (("explain",), ("faithfulness", "--limit", 4)):
        ended = clvq(*command, "--run", here, "--dataset", other)
        assert (ended.code, "are not those that" in ended.message) == (1, True)
        assert not list((here / "activations").glob("*.safetensors"))
    ended = clvq("explain", "--run", here, "--dataset", tmp_path / "nowhere.jsonl")
    assert (ended.code, "nowhere.jsonl" in ended.message) == (1, True)
    ended = clvq("explain", TEXT, "--run", here, "--dataset", other)
    assert (ended.code, "--dataset is for the evaluation split" in ended.message) == (1, True)
    ended = clvq("explain", "--run", here, "--eval-dataset", other)
    assert (ended.code, "--eval-dataset can only be used with --dataset" in ended.message) == (1, True)
