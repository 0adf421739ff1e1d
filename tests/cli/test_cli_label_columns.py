"""Labels of several in a column each, as tables of comments have them: read by the columns' names, or refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import tiny_models
from running import Clvq, Outcome

import clvq as package

pytestmark = pytest.mark.slow

NAMES = ("slow", "good", "film")
TEXTS = tiny_models.made_sentences()[::9]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tmp_path_factory.mktemp("head") / "model"
    named = dict(enumerate(NAMES))
    tiny_models.tiny_bert(model, layers=1, labels=3, id2label=named, problem_type="multi_label_classification")
    return model


def written(
    path: Path, columns: dict[str, str], spelling: tuple[str, str] = ("0", "1"), texts: list[str] = TEXTS
) -> Path:
    """A table with an id, the text, and for each of `columns` whether the text has its word; the first text is not
    judged."""
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["id", *columns, "text"])
        for number, text in enumerate(texts):
            flags = ["" if number == 0 else spelling[word in text] for word in columns.values()]
            lines.writerow([f"c{number}", *flags, text])
    return path


def answers(run: Path) -> dict[str, list[float] | None]:
    store = package.ActivationStore(run / "activations")
    return {row.text: row.answers for split in ("train", "eval") for row in store.sentences(split)}


@pytest.mark.parametrize(
    ("columns", "option", "spelling"),
    [
        ({"film": "film", "Good": "good", "slow": "slow"}, None, ("0", "1")),
        ({"film": "film", "Good": "good", "slow": "slow"}, "film,Good, slow", ("False", "True")),
        ({"is_slow": "slow", "is_good": "good", "is_film": "film"}, "is_slow,is_good,is_film", ("0.0", "1.0")),
    ],
)
def test_a_column_for_each_label(
    columns: dict[str, str], option: str | None, spelling: tuple[str, str], head: Path, clvq: Clvq, tmp_path: Path
) -> None:
    corpus = written(tmp_path / "comments.csv", columns, spelling)
    named = () if option is None else ("--label-column", option)
    given = ("extract", "--model", head, "--dataset", corpus, *named, "--layers", 1, "--run", tmp_path / "run")
    ended = clvq(*given, "--json")
    assert ended.code == 0, ended.err
    assert ended.document["target"]["names"] == [*NAMES]
    by_label = {word: column for column, word in columns.items()}
    shown = [
        repr(by_label[name]) if by_label[name].lower() == name else f"{by_label[name]!r} ({name})" for name in NAMES
    ]
    assert f"Labels are the columns {', '.join(shown)}: none, " in ended.err
    for text, found in answers(tmp_path / "run").items():
        assert found == (None if text == TEXTS[0] else [float(name in text) for name in NAMES]), text
    assert clvq(*given).code == 0  # the same settings: nothing is made again


def test_columns_of_the_labels_come_before_a_usual_name(head: Path, clvq: Clvq, tmp_path: Path) -> None:
    columns = {"label": "film", **{name: name for name in NAMES}}
    corpus = written(tmp_path / "comments.csv", columns)
    given = ("extract", "--model", head, "--dataset", corpus, "--layers", 1, "--run", tmp_path / "run")
    ended = clvq(*given)
    assert (ended.code, "Labels are the columns 'slow', 'good', 'film': none, " in ended.err) == (0, True), ended.err
    assert answers(tmp_path / "run")[TEXTS[1]] == [float(name in TEXTS[1]) for name in NAMES]
    training = package.ActivationStore(tmp_path / "run" / "activations").provenance.corpus.training
    assert training.label_columns == [*NAMES]


def test_texts_that_have_different_labels_are_counted(head: Path, clvq: Clvq, tmp_path: Path) -> None:
    corpus, other = tmp_path / "twice.csv", written(tmp_path / "other.csv", {name: name for name in NAMES})
    lines = ["a bad one,1,1,0", "a bad one,1,0,0", "a nice one,1,0,0", "a nice one,1,0,0", "an odd one,1,0,0"]
    corpus.write_text("\n".join(["text,slow,good,film", *lines, "an odd one,,,"]) + "\n", encoding="utf-8")
    given = ("--dataset", corpus, "--eval-dataset", other, "--layers", 1, "--run", tmp_path / "run")
    splits = clvq("extract", "--model", head, *given, "--json").document["splits"]
    assert [splits[split]["corpus_counts"]["contradicted"] for split in ("train", "eval")] == [1, 0]


@pytest.mark.parametrize("column", ["slow", "is_slow"])
def test_a_head_of_one_label(column: str, clvq: Clvq, tmp_path: Path) -> None:
    tiny_models.tiny_bert(
        tmp_path / "one", layers=1, labels=1, id2label={0: "slow"}, problem_type="multi_label_classification"
    )
    corpus = written(tmp_path / "comments.csv", {column: "slow"})
    given = ("extract", "--model", tmp_path / "one", "--dataset", corpus, "--label-column", column, "--layers", 1)
    ended = clvq(*given, "--run", tmp_path / "run")
    assert (ended.code, f"Labels are the column {column!r}: none, " in ended.err) == (0, True), ended.err
    for text, found in answers(tmp_path / "run").items():
        assert found == (None if text == TEXTS[0] else [float("slow" in text)]), text
    ended = clvq(*given, "--run", tmp_path / "other", "--label-map", "0=slow,1=none")  # the other way round
    assert ended.code == 0, ended.err
    assert answers(tmp_path / "other")[TEXTS[1]] == [float("slow" not in TEXTS[1])]


def test_a_column_named_like_one_class_of_several(clvq: Clvq, tmp_path: Path) -> None:
    """Its 1 means that class, and not the class with the number 1."""
    tiny_models.tiny_bert(tmp_path / "model", layers=1, labels=3, id2label=dict(enumerate(NAMES)))
    tiny_models.tiny_bert(tmp_path / "two", layers=1, labels=2, id2label={0: "bad", 1: "good"})
    whole = written(tmp_path / "comments.csv", {name: name for name in NAMES})
    judged = written(tmp_path / "judged.csv", {"bad": "bad", "good": "good"})

    def extract(model: str, corpus: Path, *more: str) -> Outcome:
        given = ("--dataset", corpus, "--layers", 1, "--run", tmp_path / "run", "--overwrite", *more)
        return clvq("extract", "--model", tmp_path / model, *given)

    assert "with a 0 or 1 each: --label-column slow,good,film" in extract("model", whole).message
    ended = extract("model", whole, "--label-column", "film")
    assert "column 'film': 0 and 1 would be the classes slow and good, but the column is named like" in ended.message
    assert "--label-map 1=film,0=none where 1 is film, --label-map 0=slow,1=good where" in ended.message
    assert "a column for each: --label-column slow,good,film" in ended.message
    ended = extract("model", whole, "--label-column", "film", "--label-map", "1=film,0=none")
    assert (ended.code, "'1' is 2 (film), '0' is no label" in ended.err) == (0, True)
    assert "--label-map 1=bad,0=good where 1 is bad" in extract("two", judged, "--label-column", "bad").message
    ended = extract("two", judged, "--label-column", "good")  # the class with the number 1
    assert (ended.code, "'0' is 0 (bad), '1' is 1 (good)" in ended.err) == (0, True), ended.err


def test_the_columns_of_an_evaluation_file(head: Path, clvq: Clvq, tmp_path: Path) -> None:
    corpus = written(tmp_path / "train.csv", {name: name for name in NAMES}, texts=TEXTS[20:])
    other = written(tmp_path / "dev.csv", {" Film": "film", "Slow": "slow", "GOOD": "good"}, texts=TEXTS[:20])
    lacking = written(tmp_path / "test.csv", {"film": "film", "slow": "slow"}, texts=TEXTS[:20])
    given = ("extract", "--model", head, "--dataset", corpus, "--layers", 1, "--run", tmp_path / "run")
    ended = clvq(*given, "--eval-dataset", lacking)
    assert (ended.code, "test.csv has no column 'good', and the training split has one for" in ended.message) == (
        1,
        True,
    )
    assert ended.message == clvq(*given, "--eval-dataset", lacking, "--label-column", ",".join(NAMES)).message
    ended = clvq(*given, "--eval-dataset", other)
    assert ended.code == 0, ended.err
    assert (
        "In the evaluation split texts are the column 'text', and labels are the columns 'Slow', 'GOOD', ' Film'"
        in (" ".join(ended.err.split()))
    )
    rows = list(package.ActivationStore(tmp_path / "run" / "activations").sentences("eval"))
    naive = [[float(name in row.text) for name in NAMES] if row.text != TEXTS[0] else None for row in rows]
    assert [row.answers for row in rows] == naive


def test_columns_that_do_not_say_what_the_labels_are(head: Path, clvq: Clvq, tmp_path: Path) -> None:
    whole = written(tmp_path / "comments.csv", {name: name for name in NAMES})
    odd = written(tmp_path / "odd.csv", {name: name for name in NAMES}, ("0", "2"))
    part = tmp_path / "part.csv"
    part.write_text("slow,good,film,text\n1,,0,a slow film\n0,1,0,a good one\n", encoding="utf-8")
    other = written(tmp_path / "other.csv", {f"is_{name}": name for name in NAMES})
    nested = tmp_path / "nested.jsonl"
    rows = [{"text": text, "labels": {name: int(name in text) for name in NAMES}} for text in TEXTS]
    nested.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for corpus, column, says in (
        (whole, "slow", "Name a column for each, as in --label-column slow,good,film"),
        (other, "is_slow", "separated by commas and in the order of the labels (slow, good, film)"),
        (other, "is_slow", "where 0 and 1 are numbers of labels, give --label-map 0=slow,1=good"),
        (whole, "slow,good", "Name one column for each label"),
        (whole, "slow,nice", "no column 'nice'"),
        (odd, None, "another value than 0 and 1"),
        (part, None, "a value for some labels alone"),
        (other, None, "one column for each label, in this order"),
        (other, "is_slow,is_good", "2 columns, but the model's head has 3 labels"),
        (nested, None, "with --label-column labels.slow,labels.good,labels.film"),
    ):
        named = () if column is None else ("--label-column", column)
        ended = clvq("extract", "--model", head, "--dataset", corpus, *named, "--layers", 1, "--run", tmp_path / "run")
        assert (ended.code, ended.out) == (1, ""), (corpus, column)
        assert says in ended.message, ended.message
    mapped = ("--label-column", ",".join(NAMES), "--label-map", "0=slow")
    ended = clvq("extract", "--model", head, "--dataset", whole, *mapped, "--layers", 1, "--run", tmp_path / "run")
    assert "needs no --label-map" in ended.message


def test_a_map_is_not_ignored_where_lists_hold_a_flag_for_each_label(head: Path, clvq: Clvq, tmp_path: Path) -> None:
    rows = [{"text": text, "labels": [int(name in text) for name in NAMES]} for text in TEXTS]
    corpus = tmp_path / "flags.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    given = ("extract", "--model", head, "--dataset", corpus, "--layers", 1, "--run", tmp_path / "run")
    ended = clvq(*given, "--label-map", "0=slow,1=good")
    assert ended.code == 1 and "which needs no --label-map" in ended.message
    assert clvq(*given).code == 0
