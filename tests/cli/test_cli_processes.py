"""Commands in two processes against the same commands in one.

`torchrun` starts the first ones. The others are forks of one process that has imported everything, with the variables
that `torchrun` sets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from killing import Nursery, timeless
from running import SMALL, Clvq

from clvq.storage import read_tensors

pytestmark = pytest.mark.slow


def two(*arguments: object, run: Path) -> subprocess.CompletedProcess[str]:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "clvq"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "100", "CLVQ_RUN": str(run)}
    command = [*launch, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as started:
        yield started


def test_an_extraction_is_the_same_to_the_bit(
    nursery: Nursery, clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path
) -> None:
    """In more batches than processes; and with a layer that is added."""
    of_corpus = ("--model", bert, "--dataset", corpus, "--batch-tokens", "64")
    ended = two("extract", *of_corpus, "--layers", "1,3", run=tmp_path / "two")
    assert ended.returncode == 0, ended.stderr
    assert clvq("extract", *of_corpus, "--layers", "1,3", "--run", tmp_path / "one").code == 0
    assert ended.stdout.count("train") == clvq("extract", "--run", tmp_path / "one").out.count("train")  # one speaks
    assert timeless(tmp_path / "two") == timeless(tmp_path / "one")
    assert nursery.run("extract", "--layers", "2", "--run", tmp_path / "two", processes=2).code == 0
    assert clvq("extract", "--layers", "2", "--run", tmp_path / "one").code == 0
    assert timeless(tmp_path / "two") == timeless(tmp_path / "one")


def test_training_extracts_in_both(nursery: Nursery, clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path) -> None:
    given = ("--model", bert, "--dataset", corpus, "--input-layer", "1", "--output-layer", "3", "--epochs", "1", *SMALL)
    ended = nursery.run("train", *given, "--run", tmp_path / "two", processes=2)
    assert ended.code == 0, ended.err
    assert clvq("extract", "--model", bert, "--dataset", corpus, "--layers", "1,3", "--run", tmp_path / "one").code == 0
    activations = {
        name: bytes_ for name, bytes_ in timeless(tmp_path / "two").items() if name.startswith("activations")
    }
    assert activations.pop("activations/sensitivity-L1.safetensors")  # made by the training
    assert activations == timeless(tmp_path / "one")
    assert (tmp_path / "two" / "L1-L3" / "concept-space.safetensors").exists()


REVIVES_SOON = """
from clvq.models.quantizer import VectorQuantizer
real = VectorQuantizer.revive
def revive(self, rows, indices, after, share):
    moved = real(self, rows, indices, 2, share)
    if moved:
        print("moved", moved, file=sys.stderr)
    return moved
VectorQuantizer.revive = revive
"""


@pytest.mark.parametrize("settings", [("--codebooks", "2"), ("--preset", "paper")], ids=["default", "paper"])
def test_a_training_equals_one_process_but_for_rounding(
    clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    """With a batch of two sentences for three processes, with codes that move because no word is theirs, and with
    dropout."""
    given = ("--model", bert, "--dataset", corpus, "--input-layer", "1", "--output-layer", "3", *SMALL)
    steps = ("--epochs", "2", "--batch-sentences", "10", "--name", "trained", *settings)
    assert clvq("extract", "--model", bert, "--dataset", corpus, "--layers", "1,3", "--run", tmp_path / "one").code == 0
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    with Nursery(REVIVES_SOON) as nursery:
        alone = nursery.run("train", *given, *steps, "--run", tmp_path / "one", "--json")
        both = nursery.run("train", *given, *steps, "--run", tmp_path / "two", "--json", processes=3)
    assert (alone.code, both.code) == (0, 0), both.err
    assert settings[0] != "--codebooks" or "moved" in alone.err
    assert json.loads(alone.out)["results"]["training_sentences"] % 10 == 2
    one, two = (read_tensors(tmp_path / name / "trained" / "model.safetensors")[0] for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
    assert json.loads(both.out)["results"]["evaluation"]["fvu"] == pytest.approx(
        json.loads(alone.out)["results"]["evaluation"]["fvu"], rel=1e-4
    )
    logs = []
    for name in ("one", "two"):
        lines = [json.loads(line) for line in (tmp_path / name / "trained" / "metrics.jsonl").read_text().splitlines()]
        logs.append([value for line in lines for key, value in sorted(line.items()) if key not in ("kind", "seconds")])
    assert logs[1] == pytest.approx(logs[0], rel=1e-3, nan_ok=True)


def test_explanations_and_edits_are_the_same_to_the_bit(
    nursery: Nursery, clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path
) -> None:
    """In more batches than processes, with a catalogue that is missing, and with explanations that are."""
    given = ("--model", bert, "--dataset", corpus, "--input-layer", "1", "--output-layer", "3", "--epochs", "1", *SMALL)
    assert clvq("train", *given, "--run", tmp_path / "one").code == 0
    for name in ("codebook.json", "concepts.jsonl", "assignments.safetensors", "concept-space.safetensors"):
        (tmp_path / "one" / "L1-L3" / name).unlink()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    for measured in (
        ("faithfulness", "--limit", "9", "--draws", "2", "--batch-tokens", "32"),
        ("faithfulness", "--by", "concept", "--draws", "1", "--limit", "9", "--batch-tokens", "32"),
        ("explain", "--overwrite", "--limit", "7", "--batch-tokens", "256"),
    ):
        ended = nursery.run(*measured, "--run", tmp_path / "two", processes=2)
        assert ended.code == 0, ended.err
        alone = clvq(*measured, "--run", tmp_path / "one")
        assert alone.code == 0
        assert ended.out.count("L1-L3") == alone.out.count("L1-L3") > 0  # one speaks
        assert timeless(tmp_path / "two") == timeless(tmp_path / "one")


def test_given_texts_are_explained_in_the_first(
    nursery: Nursery, clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path
) -> None:
    given = ("--model", bert, "--dataset", corpus, "--input-layer", "1", "--output-layer", "3", "--epochs", "1", *SMALL)
    assert clvq("train", *given, "--run", tmp_path).code == 0
    ended = nursery.run("explain", "the film was good", "--run", tmp_path, processes=2)
    assert ended.code == 0, ended.err
    assert ended.err.count("clvq explain runs in one process.") == 1
    assert ended.out.count("the film") == clvq("explain", "the film was good", "--run", tmp_path).out.count("the film")


def test_an_error_ends_all_processes(bert: Path, corpus: Path, tmp_path: Path) -> None:
    ended = two("extract", "--model", bert, "--dataset", corpus, "--layers", "99", run=tmp_path / "two")
    assert ended.returncode == 1
    assert "its layers are 0" in ended.stderr
