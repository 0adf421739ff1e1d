"""`clvq faithfulness --mode`: the splice and the probes, what they show, write and refuse."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from running import SMALL, Clvq, files_of

import clvq as package
from clvq.interventions.probe import probe, published_probe
from clvq.interventions.splice import splice
from clvq.training.checkpoint import read_checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = Path(shutil.copytree(trained_run, tmp_path_factory.mktemp("moded") / "run"))
    package.explain(run / "L1-L3", steps=2, completeness=0.5)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


OPTIONS = {
    "splice": ("--limit", "8"),
    "probe": ("--limit", "8", "--draws", "1", "--edit", "removal"),
    "paper": ("--limit", "8", "--draws", "1"),
}
SHOWS = {
    "splice": r"^loss recovered +(-|-?\d\.\d{3} \[.*\]) ",
    "probe": r"^covariance random +[+-]\d\.\d{3} \[[+-]\d\.\d{3}, [+-]\d\.\d{3}\]",
    "paper": r"^Gaussian, as published +\d\.\d{3} ",
}


@pytest.mark.parametrize("mode", OPTIONS)
def test_a_mode_is_measured_stored_and_read_again(
    clvq: Clvq, run: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("faithfulness", "--run", run, "--mode", mode)
    first = clvq(*command, *OPTIONS[mode], "--top", 3, "--curve")
    assert first.code == 0, first.err
    assert f"--mode {mode} ignores --top, --curve." in first.message
    assert re.search(SHOWS[mode], first.out, re.M), first.out
    assert first.out.startswith("This is the published protocol") == (mode == "paper")
    before = files_of(run)
    file = run / "L1-L3" / f"faithfulness-{mode}.json"
    assert not (run / "L1-L3" / "faithfulness.json").exists()

    again = clvq(*command, *OPTIONS[mode])
    assert (again.code, again.out, files_of(run)) == (0, first.out, before)
    assert f"faithfulness-{mode}.json is up to date" in again.message
    monkeypatch.setenv("COLUMNS", "80")
    narrow = clvq(*command, *OPTIONS[mode])
    assert max(map(len, narrow.out.replace(str(file), "").splitlines())) <= 80
    assert re.findall(r"\[[^\]\n]*$", tables_of(narrow.out), re.M) == []

    document = clvq(*command, *OPTIONS[mode], "--json").document
    stored = json.loads(file.read_text(encoding="utf-8"))
    assert document == {"verdict": document["verdict"], "path": str(file), **stored}
    said = [*document["verdict"]["sentences"], *document["verdict"]["warnings"]]
    assert said
    assert all(sentence in " ".join(first.out.split()) for sentence in said)
    assert narrow.out.startswith(said[0][:60])
    checkpoint = read_checkpoint(run / "L1-L3")
    assert stored["checkpoint"] == checkpoint.fingerprint
    assert stored["store"] == checkpoint.store().fingerprint
    assert ("explanations" in stored) == (mode != "splice")
    sentences = package.explain(checkpoint, steps=2, completeness=0.5).sentences[:8]
    expected = {
        "splice": lambda: splice(checkpoint, limit=8),
        "probe": lambda: probe(checkpoint, sentences, edit=["removal"], draws=1),
        "paper": lambda: published_probe(checkpoint, sentences, draws=1),
    }[mode]()
    assert stored["measured"] == expected.as_json()

    other = clvq(*command, "--limit", 9)
    assert (other.code, other.out) == (1, "")
    assert "other settings: " in other.message
    assert "limit (8 there, 9 here)" in other.message
    assert clvq(*command, "--limit", 9, "--draws", 1, "--seed", 2**40, "--overwrite").code == 0
    assert json.loads(file.read_text(encoding="utf-8"))["settings"]["limit"] == 9


def test_explanations_made_again_are_probed_again(clvq: Clvq, run: Path) -> None:
    command = ("faithfulness", "--run", run, "--mode", "paper", *OPTIONS["paper"], "--json")
    first = clvq(*command).document
    assert clvq("explain", "--run", run, "--steps", 3, "--completeness", 0.5, "--overwrite").code == 0
    ended = clvq(*command)
    assert "faithfulness-paper.json is up to date" not in ended.message
    assert ended.document["explanations"] != first["explanations"]


@pytest.mark.parametrize("mode", OPTIONS)
def test_two_checkpoints_are_refused(clvq: Clvq, run: Path, mode: str) -> None:
    assert clvq("train", "--run", run, "--name", "other", "--input-layer", 1, "--output-layer", 3, "--epochs", 1,
                *SMALL).code == 0  # fmt: skip
    ended = clvq("faithfulness", "L1-L3", "other", "--run", run, "--mode", mode)
    assert (ended.code, ended.out) == (2, "")
    assert f"--mode {mode} takes one checkpoint; 2 are given." in ended.message
    with pytest.raises(package.ClvqError, match="takes one checkpoint; 2 are given"):
        package.faithfulness([run / "L1-L3", run / "other"], mode=mode)


def test_what_a_mode_cannot_do_is_refused(clvq: Clvq, run: Path) -> None:
    ended = clvq("faithfulness", "--run", run, "--mode", "probe", "--edit", "move")
    assert (ended.code, ended.out) == (1, "")
    assert "--edit move can be used with --mode model, not with probe" in ended.message
    assert clvq("faithfulness", "--run", run, "--mode", "cut").code == 2
    with pytest.raises(package.ClvqError, match="--mode must be one of model, splice, probe, paper"):
        package.faithfulness(run / "L1-L3", mode="cut")


def test_intervals_are_whole_on_a_narrow_terminal(clvq: Clvq, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("faithfulness", "--run", run, "--limit", 8, "--draws", 1, "--curve")
    monkeypatch.setenv("COLUMNS", "80")
    narrow = clvq(*command)
    assert narrow.code == 0, narrow.err
    assert re.findall(r"\[[^\]\n]*$", tables_of(narrow.out), re.M) == []
    assert max(map(len, narrow.out.splitlines()[:-1])) <= 80


def test_the_width_of_the_terminal_leaves_nothing_out(clvq: Clvq, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("faithfulness", "--run", run, "--limit", 8, "--draws", 1, "--curve", "--controls", "all")

    def cells(*options: str, width: int) -> set[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        return set(re.findall(r"-?\d+\.\d+ \[.*?\]|-?\d+\.\d+", tables_of(clvq(*command, *options).out)))

    assert cells(width=80) == cells(width=160)
    assert cells("--full", width=80) == cells("--full", width=160) > cells(width=80)
    brief, full = clvq(*command).out, clvq(*command, "--full").out
    for name in ("put in: another word's", "fall of probability", "By class"):
        assert (name in brief, name in full) == (False, True)
    ended = clvq("faithfulness", "--run", run, "--mode", "splice", "--full")
    assert (ended.code, "--full is for --mode model" in ended.message) == (2, True)


def tables_of(out: str) -> str:
    """What comes after the verdict, which is text that wraps anywhere."""
    return out.split("\n\n", 1)[1]
