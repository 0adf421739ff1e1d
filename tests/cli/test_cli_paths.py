"""Names of files and folders: a home that the shell left as it is, runs inside of a corpus, and odd environments."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tiny_models
from running import SMALL, Clvq, files_of, write_corpus

pytestmark = pytest.mark.slow

TEXTS = tiny_models.made_sentences()[::10]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's home, and an empty working directory."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    return home


def test_a_home_in_a_name_is_the_users(clvq: Clvq, bert: Path, home: Path) -> None:
    write_corpus(home / "r.jsonl", TEXTS)
    command = ("extract", "--run=~/run", "--model", bert, "--dataset=~/r.jsonl", "--layers", "1")
    first = clvq(*command)
    assert first.code == 0, first.err
    assert (home / "run" / "activations" / "manifest.json").exists()
    assert list(Path.cwd().iterdir()) == []
    assert "up to date" in clvq(*command).err
    write_corpus(home / "r.jsonl", TEXTS[:-1])
    ended = clvq(*command)
    assert ended.code == 1
    assert "have changed" in ended.message


@pytest.mark.parametrize("option", ["--dataset", "--eval-dataset", "--model", "--prompt"])
def test_a_name_like_a_home_that_is_none(clvq: Clvq, bert: Path, corpus: Path, home: Path, option: str) -> None:
    given: dict[str, object] = {"--model": bert, "--dataset": corpus, option: "~nobody-here.csv"}
    ended = clvq("extract", "--layers", "1", *(word for pair in given.items() for word in pair))
    assert ended.code == 1
    assert "~nobody-here.csv" in ended.message
    assert "bug in clvq" not in ended.message


def test_a_file_with_a_name_like_a_home_is_read(clvq: Clvq, bert: Path, home: Path) -> None:
    write_corpus(Path("~backup.jsonl"), TEXTS)
    ended = clvq("extract", "--layers", "1", "--model", bert, "--dataset", "~backup.jsonl")
    assert ended.code == 0, ended.err


def test_a_run_in_the_folder_of_its_corpus_is_refused(clvq: Clvq, bert: Path, home: Path) -> None:
    """It would be read as texts by the next command, and --overwrite would remove what it reads."""
    Path("data").mkdir()
    write_corpus(Path("data/reviews.jsonl"), TEXTS)
    extract = ("extract", "--model", bert, "--layers", "1")
    for given in (("--dataset", "data", "--run", "data/run"), ("--dataset", ".")):
        ended = clvq(*extract, *given)
        assert ended.code == 1
        assert "lies in the folder of the corpus" in ended.message
        assert set(files_of(Path())) == {"data/reviews.jsonl"}
    assert clvq(*extract, "--dataset", "data", "--run", "run").code == 0
    shutil.copytree("run", "data/another")
    ended = clvq(*extract, "--dataset", "data", "--run", "other")
    assert ended.code == 1
    assert "data/another/activations lies in the folder of the corpus, data" in ended.message


def test_an_empty_number_of_processes_is_one(clvq: Clvq, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "")
    ended = clvq("train", "--run", run, "--input-layer", 1, "--output-layer", 3, "--epochs", 1, *SMALL)
    assert ended.code == 0, ended.err


def test_lists_of_tokens_are_assigned_where_they_were_trained_on(clvq: Clvq, bert: Path, home: Path) -> None:
    lines = [{"tokens": text.split(), "label": number % 2} for number, text in enumerate(TEXTS)]
    Path("r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    given = ("--dataset", "r.jsonl", "--text-column", "tokens", "--words", "whitespace")
    pair = ("--input-layer", "1", "--output-layer", "3", "--epochs", "1", *SMALL)
    assert clvq("train", "--model", bert, *given, *pair).code == 0
    ended = clvq("assign", "--file", "r.jsonl", "--text-column", "tokens", "--json")
    assert ended.code == 0, ended.err
    first = ended.document["texts"][0]
    assert [word["text"] for word in first["words"]] == lines[0]["tokens"]
