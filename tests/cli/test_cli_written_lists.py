"""Labels of several in one text, as tables have them that hold no lists: written-out lists, and names or numbers that a
character joins."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from running import Clvq, Outcome

import clvq as package
from clvq.corpus.settings import CorpusSettings
from clvq.corpus.splits import load_corpus

NAMES = ("slow", "good", "film")
TAGS = ("O", "THING")
TEXTS = tiny_models.made_sentences()[::9]
Spelling = Callable[[Sequence[str]], str]


def numbers(names: Sequence[str]) -> list[int]:
    return [NAMES.index(name) for name in names]


def flags(names: Sequence[str]) -> list[int]:
    return [int(name in names) for name in NAMES]


SPELLINGS: dict[str, Spelling] = {
    "Python": lambda names: str([*names]),
    "JSON": lambda names: json.dumps([*names]),
    "NumPy": lambda names: str(np.array([*names])),
    "without quotes": lambda names: f"[{', '.join(names)}]",
    "numbers in Python": lambda names: str(numbers(names)),
    "flags in Python": lambda names: str(flags(names)),
    "flags in NumPy": lambda names: str(np.array(flags(names))),
    "flags of 64 bits": lambda names: str(np.array(flags(names), dtype=float)),
    "a bar": lambda names: "|".join(names) or "[]",
    "a comma, in other case": lambda names: ", ".join(names).upper() or "[]",
    "numbers and a comma": lambda names: ",".join(map(str, numbers(names))) or "[]",
    "NumPy's true and false": lambda names: str(np.array(flags(names), dtype=bool)),
    "true, false": lambda names: ",".join(str(bool(flag)) for flag in flags(names)),
    "decimal flags": lambda names: ",".join(map(str, map(float, flags(names)))),
    "flags and a semicolon": lambda names: ";".join(map(str, flags(names))),
}


def head(path: Path, problem: str | None = "multi_label_classification") -> Path:
    return (
        tiny_models.tiny_bert(path, layers=1, labels=3, id2label=dict(enumerate(NAMES)), problem_type=problem) or path
    )


def written(path: Path, spelling: Callable[[str], str], texts: Sequence[str] = TEXTS) -> Path:
    """A table with a text and its label; the first text has none."""
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["text", "labels"])
        lines.writerows([text, spelling(text) if number else ""] for number, text in enumerate(texts))
    return path


def of_words(spelling: Spelling) -> Callable[[str], str]:
    return lambda text: spelling([name for name in NAMES if name in text])


def extracted(clvq: Clvq, model: Path, corpus: Path, *options: object) -> Outcome:
    return clvq(
        "extract", "--model", model, "--dataset", corpus, "--layers", 1, "--run", corpus.parent / "run", "--json",
        *options,
    )  # fmt: skip


def answers(run: Path) -> dict[str, list[float] | None]:
    store = package.ActivationStore(run / "activations")
    return {row.text: row.answers for split in ("train", "eval") for row in store.sentences(split)}


@pytest.mark.parametrize("name", SPELLINGS)
def test_several_labels_in_one_text(name: str, clvq: Clvq, tmp_path: Path) -> None:
    model = head(tmp_path / "model")
    spelling = of_words(SPELLINGS[name])
    corpus = written(tmp_path / "comments.csv", spelling, TEXTS[:-12])
    held_out = written(tmp_path / "held-out.csv", spelling, [TEXTS[0], *TEXTS[-12:]])
    ended = extracted(clvq, model, corpus, "--eval-dataset", held_out)
    assert ended.code == 0, ended.err
    assert "Labels are the column 'labels': " in ended.err
    found = answers(tmp_path / "run")
    assert len(found) == len(TEXTS)
    for text, given in found.items():
        assert given == (None if text == TEXTS[0] else [float(name in text) for name in NAMES]), text


def test_a_head_that_does_not_say_that_it_gives_several(clvq: Clvq, tmp_path: Path) -> None:
    """Lists in the label column say so, whether they are lists or written out; one entry each does not."""
    model = head(tmp_path / "model", None)
    several = extracted(clvq, model, written(tmp_path / "several.csv", of_words(SPELLINGS["Python"])))
    assert (several.code, several.document["target"]["kind"]) == (0, "label"), several.err
    alone = extracted(
        clvq, model, written(tmp_path / "alone.csv", lambda text: str([NAMES[len(text) % 3]])), "--overwrite"
    )
    assert alone.code == 1
    assert "the labels \"['film']\", \"['good']\", \"['slow']\" are not the classes of the model" in alone.message


def test_what_is_not_the_labels_joined_is_one_label(clvq: Clvq, tmp_path: Path) -> None:
    model = head(tmp_path / "model")
    corpus = written(tmp_path / "unlike.csv", lambda text: "slow/good" if "film" in text else "slow|dull")
    ended = extracted(clvq, model, corpus)
    assert ended.code == 1 and "the labels 'slow/good', 'slow|dull' are not" in ended.message
    given = ("--label-map", "slow|dull=slow,slow/good=good")
    assert extracted(clvq, model, corpus, *given).code == 0
    assert answers(tmp_path / "run")[TEXTS[1]] == [float("film" not in TEXTS[1]), float("film" in TEXTS[1]), 0.0]


@pytest.mark.parametrize("spelling", [" ".join, str, json.dumps, lambda tags: str(np.array(tags))])
def test_the_tags_of_words_in_one_text(spelling: Callable[[list[str]], str], clvq: Clvq, tmp_path: Path) -> None:
    model = tmp_path / "model"
    tiny_models.with_tags(tiny_models.tiny_bert(model, layers=1), TAGS)
    corpus = written(tmp_path / "tags.csv", lambda text: spelling([TAGS[word in NAMES] for word in text.split()]))
    ended = extracted(clvq, model, corpus, "--words", "whitespace")
    assert ended.code == 0, ended.err
    for text, given in answers(tmp_path / "run").items():
        assert given == (None if text == TEXTS[0] else [float(word in NAMES) for word in text.split()]), text
    unlike = extracted(
        clvq, model, written(corpus, lambda _: spelling(["O", "O"])), "--words", "whitespace", "--overwrite"
    )
    assert unlike.code == 1 and "holds 2 labels for" in unlike.message


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("[New York, LA]", ["new york", "la"]),
        ("['New York' 'LA']", ["new york", "la"]),
        ("['it\\'s', 'LA']", ["it's", "la"]),
        ("la, it's", ["it's", "la"]),
        ("joy, fear", ["joy, fear"]),  # a name with a comma
        ("['joy, fear', 'LA']", ["joy, fear", "la"]),
        ("[]", []),
    ],
)
def test_names_with_blanks_quotes_and_commas(text: str, labels: list[str], tmp_path: Path) -> None:
    head = ["New York", "LA", "it's", *(["joy, fear"] if "joy" in text else [])]
    path = written(tmp_path / "r.csv", lambda _: text, ["none", "one text", "another text"])
    corpus = load_corpus(CorpusSettings(str(path)), head, form="several")
    (found, *_) = [one.answers for one in [*corpus.train, *corpus.evaluation] if one.text != "none"]
    assert [name.lower() for name, held in zip(head, found, strict=True) if held] == sorted(
        labels, key=[name.lower() for name in head].index
    )


@pytest.mark.parametrize("text", ["[0, 1, ..., 1]", "[b'slow']", "[[0, 1]]", "[1j]"])
def test_a_list_of_something_else_is_one_label(text: str, tmp_path: Path) -> None:
    path = written(tmp_path / "r.csv", lambda _: text, ["none", "one text", "another text"])
    with pytest.raises(package.ClvqError, match="is no class of the model"):
        load_corpus(CorpusSettings(str(path)), [*NAMES], form="several")


def test_classes_that_look_like_lists_stay_classes(clvq: Clvq, tmp_path: Path) -> None:
    model, classes = tmp_path / "model", ("[0, 10]", "[10, 20]")
    tiny_models.tiny_bert(model, layers=1, labels=2, id2label=dict(enumerate(classes)))
    ended = extracted(clvq, model, written(tmp_path / "binned.csv", lambda text: classes[len(text) % 2]))
    assert (ended.code, ended.document["target"]["kind"]) == (0, "class"), ended.err


def test_a_label_map_of_tags(clvq: Clvq, tmp_path: Path) -> None:
    model = tmp_path / "model"
    tiny_models.with_tags(tiny_models.tiny_bert(model, layers=1), TAGS)
    texts = ["film", *TEXTS, "good"]  # a text of one word has a label that is a tag by itself
    corpus = written(tmp_path / "tags.csv", lambda text: " ".join("xy"[word in NAMES] for word in text.split()), texts)
    ended = extracted(clvq, model, corpus, "--words", "whitespace", "--label-map", "x=O,y=THING")
    assert ended.code == 0, ended.err
    assert answers(tmp_path / "run")["good"] == [1.0]
