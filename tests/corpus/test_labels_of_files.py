"""Labels as files hold them: spelt in several ways, late, odd, or too large for numbers of classes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from clvq.corpus.forms import LabelForm
from clvq.corpus.settings import CorpusSettings
from clvq.corpus.splits import AnsweredSentence, Corpus, load_corpus
from clvq.errors import ClvqError


def written(path: Path, rows: Sequence[tuple[str, Any]]) -> str:
    """A file of texts and labels, as its name says."""
    if path.suffix == ".csv":
        path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    else:
        lines = [{"text": text} if label is ... else {"text": text, "label": label} for text, label in rows]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def loaded(path: str, head: list[str] | None, form: LabelForm = "class", **settings: Any) -> Corpus:
    return load_corpus(CorpusSettings(path, **settings), head, form)


def labels(corpus: Corpus) -> dict[str, Any]:
    return {one.text: one.label for one in (*corpus.train, *corpus.evaluation)}


@pytest.mark.parametrize("head", [["01", "02", "03"], ["1.0", "2.0", "3.0"], ["1", "2", "3"], [" 1", "2 ", "3"]])
def test_names_that_are_numbers_in_any_spelling(head: list[str], tmp_path: Path) -> None:
    rows = [(f"a text {number}", head[number % 3].strip()) for number in range(9)]
    found = labels(loaded(written(tmp_path / "r.csv", rows), head))
    assert found == {text: number % 3 for number, (text, _) in enumerate(rows)}


@pytest.mark.parametrize("head", [["True", "False"], ["False", "True"], ["bad", "good"]])
def test_true_and_false_are_the_same_in_each_format(head: list[str], tmp_path: Path) -> None:
    rows = [(f"a text {number}", number % 2 == 0) for number in range(6)]
    found = [labels(loaded(written(tmp_path / name, rows), head)) for name in ("r.csv", "r.jsonl")]
    true = head.index("True") if "True" in head else 1
    assert found == [{text: true if label else 1 - true for text, label in rows}] * 2


def test_names_that_differ_in_case_alone(tmp_path: Path) -> None:
    rows = [(f"a text {number}", "aA"[number % 2]) for number in range(6)]
    found = labels(loaded(written(tmp_path / "r.csv", rows), ["A", "a"]))
    assert found == {text: "Aa".index(label) for text, label in rows}


def test_names_with_blanks_around_them(tmp_path: Path) -> None:
    path = written(tmp_path / "r.csv", [(f"a text {n}", ("negative", "Positive")[n % 2]) for n in range(6)])
    head = [" negative", "positive "]
    by_map = loaded(path, head, label_map="negative=negative,positive=positive")
    assert labels(loaded(path, head)) == labels(by_map) == {f"a text {n}": n % 2 for n in range(6)}


def test_a_class_called_minus_one_is_in_the_advice(tmp_path: Path) -> None:
    path = written(tmp_path / "r.csv", [(f"a text {number}", number % 3 - 1) for number in range(9)])
    head = ["-1", "0", "1"]
    with pytest.raises(ClvqError) as caught:
        loaded(path, head)
    advised = re.search(r"for names --label-map (\S+), for numbers", str(caught.value))
    assert advised is not None
    found = labels(loaded(path, head, label_map=shlex.split(advised[1])[0]))
    assert found == {f"a text {number}": number % 3 for number in range(9)}


def test_numbers_too_large_for_classes_are_names_in_their_order(tmp_path: Path) -> None:
    days = [20230112, 20230110, 10**15]
    path = written(tmp_path / "r.jsonl", [(f"a text {number}", days[number % 3]) for number in range(9)])
    corpus = loaded(path, None)
    assert corpus.label_names == ["20230110", "20230112", str(10**15)]
    assert labels(corpus) == {f"a text {number}": (1, 0, 2)[number % 3] for number in range(9)}
    with pytest.raises(ClvqError, match="there is no class '99999999999999999999'"):
        loaded(written(tmp_path / "m.csv", [("a", "x"), ("b", "y")]), None, label_map="x=99999999999999999999,y=1")


def test_labels_that_begin_late_are_seen(tmp_path: Path) -> None:
    rows = [(f"a text {number}", ... if number < 1100 else ("bad", "good")[number % 2]) for number in range(1200)]
    path, head = written(tmp_path / "r.jsonl", rows), ["bad", "good"]
    expected = {f"a text {n}": None if n < 1100 else n % 2 for n in range(1200)}
    assert labels(loaded(path, head)) == labels(loaded(path, head, label_column="label")) == expected


def test_a_label_with_a_line_end_can_be_mapped_as_the_message_says(tmp_path: Path) -> None:
    path = written(tmp_path / "r.jsonl", [(f"a text {n}", ("very\nbad", "good")[n % 2]) for n in range(6)])
    with pytest.raises(ClvqError) as caught:
        loaded(path, ["negative", "positive"])
    advised = shlex.split(str(caught.value).split("--label-map ")[1].split(" (a class")[0])[0]
    option = advised.replace("good=CLASS", "good=1").replace("=CLASS", "=0")
    found = labels(loaded(path, ["negative", "positive"], label_map=option))
    assert found == {f"a text {number}": number % 2 for number in range(6)}
    with pytest.raises(ClvqError, match="--label-map is VALUE=CLASS"):
        loaded(path, ["negative", "positive"], label_map="very\nbad=0,good=1")


def test_half_a_character_in_a_label_is_replaced(tmp_path: Path) -> None:
    path = written(tmp_path / "r.jsonl", [(f"a text {number}", ("a\ud800", "b")[number % 2]) for number in range(6)])
    assert loaded(path, None).label_names == ["a\ufffd", "b"]


def test_a_map_where_labels_are_numbers_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "r.jsonl", [(f"a text {number}", number) for number in range(6)])
    with pytest.raises(ClvqError, match="labels are numbers and --label-map has nothing to say"):
        loaded(path, ["score"], "number", label_map="0=1,1=2")


@pytest.mark.parametrize("pair", [(-1, -2), (-3, -2)])
def test_one_text_with_two_numbers_is_counted(pair: tuple[int, int], tmp_path: Path) -> None:
    """In Python -1 and -2 have the same hash."""
    rows = [("the same", number) for number in pair] + [(f"a text {number}", 1) for number in range(6)]
    others = written(tmp_path / "others.jsonl", [("another", 0)])
    corpus = loaded(written(tmp_path / "r.jsonl", rows), ["score"], "number", eval_dataset=others)
    assert corpus.train.counts.contradicted == 1


def test_tags_are_counted_by_words_as_they_are_found(tmp_path: Path) -> None:
    """The separators U+001C to U+001F are no white space between words, as they are for Python's `re`."""
    rows = [(f"one\x1ctwo three {number}", ["O", "X", "O"]) for number in range(6)]
    corpus = loaded(written(tmp_path / "r.jsonl", rows), ["O", "X"], "words", words="whitespace")
    assert all(isinstance(one, AnsweredSentence) and one.answers == [0, 1, 0] for one in corpus.train)
    wrong = written(tmp_path / "w.jsonl", [(text, [*tags, "O"]) for text, tags in rows])
    with pytest.raises(ClvqError, match="holds 4 labels for 3 words"):
        loaded(wrong, ["O", "X"], "words", words="whitespace")
