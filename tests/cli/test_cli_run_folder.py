"""`--run` and `--checkpoint`: what is meant, and what is said where something else was typed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from running import SMALL, Clvq, files_of

READERS = ("codebook", "explain", "faithfulness", "report")
PAIR = ("--input-layer", 1, "--output-layer", 3, *SMALL)


@pytest.fixture
def movie(trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder `movie` in the working directory, with the checkpoint L1-L3."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(trained_run, tmp_path / "movie"))


def _file(here: Path) -> str:
    (here / "notes.txt").write_text("not a folder")
    return "notes.txt"


def _of_something_else(here: Path) -> str:
    """Holds what looks like a checkpoint of another program."""
    (here / "pictures" / "model").mkdir(parents=True)
    (here / "pictures" / "model" / "config.json").write_text('{"model_type": "bert"}')
    return "pictures"


MISTAKES: list[tuple[Callable[[Path], str], str]] = [
    (lambda _: "moive", "There is no folder moive. Did you mean --run movie?"),
    (lambda _: "elsewhere", "There is no folder elsewhere. The runs that there are: --run movie."),
    (lambda _: "movie/L9-L9", "There is no folder movie/L9-L9. The runs that there are: --run movie."),
    (lambda _: "movie/L1-L3", "movie/L1-L3 is a checkpoint, which lies in a run folder. Type --run movie for the run"),
    (lambda _: "movie/activations", "--run movie/activations holds the activations of a run. Type --run movie."),
    (_file, "--run notes.txt is a file, and a run is a folder. The runs that there are: --run movie."),
    (_of_something_else, "pictures is no run folder: it holds neither activations nor a checkpoint. The runs that"),
    (
        lambda _: ".",
        ". is no run folder: it holds neither activations nor a checkpoint. The runs that",
    ),
]


@pytest.mark.parametrize("command", [*READERS, "extract", "train"])
@pytest.mark.parametrize(("mistake", "says"), MISTAKES, ids=[says[:24] for _, says in MISTAKES])
def test_a_mistaken_run_is_answered_with_the_runs_that_exist(
    clvq: Clvq, movie: Path, command: str, mistake: Callable[[Path], str], says: str
) -> None:
    run = mistake(movie.parent)
    before = files_of(movie.parent)
    options = {"train": PAIR, "extract": ("--layers", 1)}.get(command, ())
    ended = clvq(command, "--run", run, *options)
    assert (ended.code, ended.out) == (1, "")
    assert says in ended.message
    assert "demo of both" not in ended.message
    assert files_of(movie.parent) == before


def test_a_run_that_is_asked_for_is_made_beside_others(clvq: Clvq, movie: Path, bert: Path, corpus: Path) -> None:
    model = ("--model", bert, "--dataset", corpus, "--max-sentences", 20, "--layers", 1)
    ended = clvq("extract", "--run", "news", *model)
    assert ended.code == 0, ended.err
    for folder in ("movie/L1-L3", "movie/activations"):  # even then nothing is made in a part of a run
        assert f"--run {folder} " in clvq("extract", "--run", folder, *model).message


@pytest.mark.parametrize("left", ["", "activations/.lock"])
def test_the_demo_begins_where_there_is_nothing(
    clvq: Clvq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """In no folder, and in what a command leaves that was killed at its start."""
    monkeypatch.chdir(tmp_path)
    if left:
        (tmp_path / "clvq-run" / left).parent.mkdir(parents=True)
        (tmp_path / "clvq-run" / left).touch()
    ended = clvq("extract", "--layers", 1, "--max-sentences", 4, "--json")
    assert ended.code == 0, ended.err
    assert ended.document["settings"]["model"] == "demo"
    assert "using the bundled demo of both" in ended.message


def test_activations_are_replaced_by_those_of_the_same_model(clvq: Clvq, movie: Path, bert: Path) -> None:
    ended = clvq("extract", "--run", "movie", "--layers", 1, "--overwrite", "--max-sentences", 10, "--json")
    assert ended.code == 0, ended.err
    assert ended.document["settings"]["model"] == str(bert)
    assert [layer["index"] for layer in ended.document["layers"]] == [1]


def test_without_any_run_the_readers_say_how_to_begin(
    clvq: Clvq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in READERS:
        ended = clvq(command)
        assert ended.code == 1
        assert "There is no folder clvq-run. Run `clvq train` first" in ended.message
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("command", READERS)
def test_checkpoint_means_the_same_in_every_command(clvq: Clvq, movie: Path, command: str) -> None:
    shutil.copytree(movie / "L1-L3", movie / "other")
    options = {"explain": ("good film",), "faithfulness": ("--draws", 1, "--limit", 2, "--at", "salient")}
    bare = [] if command == "explain" else [("L1-L3",)]
    for given in [("--checkpoint", "L1-L3"), ("--checkpoint", movie / "L1-L3"), *bare]:
        ended = clvq(command, *given, "--run", "movie", *options.get(command, ()), "--json")
        assert ended.code == 0, ended.err
        path = ended.document["checkpoint" if command == "report" else "path"]
        assert Path(path).absolute().is_relative_to(movie / "L1-L3")
    wrong = clvq(command, "--checkpoint", "L1-L33", "--run", "movie", *options.get(command, ()))
    assert (wrong.code, wrong.message) == (1, "Error: There is no checkpoint L1-L33 in movie. Did you mean L1-L3?")
    run = clvq(command, "--checkpoint", "movie", *options.get(command, ()))
    assert (run.code, run.message) == (1, "Error: movie is a run folder, not a checkpoint. Type --run movie.")
    if bare:
        twice = clvq(command, "L1-L3", "--checkpoint", "other", "--run", "movie")
        assert (twice.code, "The checkpoint is given twice" in twice.message) == (2, True)


def test_several_checkpoints_by_the_option_and_from_a_file(clvq: Clvq, movie: Path) -> None:
    pair = ("--input-layer", 1, "--output-layer", 3, "--epochs", 1, *SMALL)
    assert clvq("train", "--run", "movie", "--name", "other", "--seed", 5, *pair).code == 0
    options = ("--run", "movie", "--draws", 1, "--limit", 2, "--at", "salient", "--edit", "removal", "--json")
    names = clvq("faithfulness", "--checkpoint", "other", "--checkpoint", "L1-L3", *options)
    assert names.code == 0, names.err
    assert [entry["name"] for entry in names.document["beside"]] == ["L1-L3"]
    (movie.parent / "both.toml").write_text('checkpoint = ["other", "L1-L3"]\n')
    assert clvq("faithfulness", "--config", "both.toml", *options).document == names.document
    (movie.parent / "one.toml").write_text('checkpoint = "L1-L3"\n')
    assert clvq("codebook", "--config", "one.toml", "--run", "movie", "--json").document["path"] == "movie/L1-L3"
    (movie.parent / "wrong.toml").write_text("checkpoint = [1]\n")
    assert "must be a text or a list of texts" in clvq("faithfulness", "--config", "wrong.toml", *options).message


@pytest.mark.parametrize("text", ["L1-L3", "movie/L1-L3", "./movie/L1-L3/"])
def test_a_text_that_names_a_checkpoint_is_refused_unless_a_checkpoint_is_given(
    clvq: Clvq, movie: Path, text: str
) -> None:
    ended = clvq("explain", text, "--run", "movie")
    assert (ended.code, ended.out) == (2, "")
    assert f"'{text}' is the name of a checkpoint" in ended.message
    assert f"Type --checkpoint {text} " in ended.message
    if text == "L1-L3":
        ended = clvq("explain", text, "--run", "movie", "--checkpoint", "L1-L3", "--json")
        assert ended.code == 0, ended.err
        assert ended.document["sentences"][0]["text"] == text
