"""What the labels of a corpus mean to `clvq extract`: for a model with classes each is one of them, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny_models
from running import Clvq, Outcome

from clvq.activations.store import ActivationStore

TEXTS = tiny_models.made_sentences()[:12]


@pytest.fixture(scope="module")
def critic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier with names for its classes."""
    names = {0: "NEGATIVE", 1: "POSITIVE"}
    return tiny_models.tiny_bert(tmp_path_factory.mktemp("critic") / "model", layers=2, id2label=names)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without classes."""
    return tiny_models.tiny_bert(tmp_path_factory.mktemp("reader") / "model", layers=2, head=False)


def in_turn(*values: Any) -> list[tuple[str, Any]]:
    """The texts with the values, over and over."""
    return [(text, values[number % len(values)]) for number, text in enumerate(TEXTS)]


def write(path: Path, rows: list[tuple[str, Any]]) -> Path:
    if path.suffix == ".csv":
        path.write_text(
            "text,label\n" + "".join(f'"{t}","{v}"\n' if "," in str(v) else f'"{t}",{v}\n' for t, v in rows)
        )
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({"text": [t for t, _ in rows], "label": [label for _, label in rows]}), path)
    else:
        path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    return path


def extract(clvq: Clvq, model: Path, dataset: Path, *options: object) -> Outcome:
    run = dataset.parent / "run"
    return clvq("extract", "--run", run, "--model", model, "--dataset", dataset, "--layers", 1, "--json", *options)


def stored(folder: Path) -> dict[str, int | None]:
    store = ActivationStore(folder / "run" / "activations")
    return {row.text: row.label for split in ("train", "eval") for row in store.sentences(split)}


@pytest.mark.parametrize(
    ("values", "options", "meaning"),
    [
        ((0, 1), (), {0: 0, 1: 1}),
        ((1, 2), ("--label-map", "1=NEGATIVE,2=POSITIVE"), {1: 0, 2: 1}),
        ((1, 2), ("--label-map", "1=1,2=0"), {1: 1, 2: 0}),
        (("positive", "Negative"), (), {"positive": 1, "Negative": 0}),
        (("thumbs up", "awful"), ("--label-map", "thumbs up=positive, awful=0"), {"thumbs up": 1, "awful": 0}),
        ((True, False), (), {True: 1, False: 0}),
        ((True, False), ("--label-map", "true=NEGATIVE,false=POSITIVE"), {True: 0, False: 1}),
        ((1.0, 0.0), (), {1.0: 1, 0.0: 0}),
        ((0.5, 4.5), ("--label-map", "0.5=NEGATIVE,4.5=POSITIVE"), {0.5: 0, 4.5: 1}),
        ((-1, 1), ("--label-map", "-1=NEGATIVE,1=POSITIVE"), {-1: 0, 1: 1}),
        ((-1, 1), ("--label-map", "-1=none,1=POSITIVE"), {-1: None, 1: 1}),
        ((-1, 0, 1), (), {-1: None, 0: 0, 1: 1}),
        ((0, 2, 4), ("--label-map", "0=NEGATIVE,2=none,4=POSITIVE"), {0: 0, 2: None, 4: 1}),
        (("Yes, so", "No"), ("--label-map", '"Yes, so"=POSITIVE, No=0'), {"Yes, so": 1, "No": 0}),
    ],
)
@pytest.mark.parametrize("name", ["r.jsonl", "r.csv", "r.parquet"])
def test_labels_are_classes_of_the_model(
    clvq: Clvq,
    critic: Path,
    tmp_path: Path,
    name: str,
    values: tuple[Any, ...],
    options: tuple[str, ...],
    meaning: dict[Any, int | None],
) -> None:
    rows = in_turn(*values)
    ended = extract(clvq, critic, write(tmp_path / name, rows), *options)
    assert ended.code == 0, ended.err
    assert stored(tmp_path) == {text: meaning[label] for text, label in rows}
    assert ended.document["label_names"] == ["NEGATIVE", "POSITIVE"]


@pytest.mark.parametrize(
    ("values", "options", "says"),
    [
        ((1, 2), (), "label 2, but the classes are 0 to 1 (NEGATIVE, POSITIVE)"),
        ((1, 2), (), "--label-map 1=NEGATIVE,2=POSITIVE"),
        ((1.0, 2.0), (), "--label-map 1=NEGATIVE,2=POSITIVE"),
        ((0, 4), (), "--label-map 0=NEGATIVE,4=POSITIVE"),
        ((0, 1, 2), (), "--label-map 0=CLASS,1=CLASS,2=CLASS"),
        (("bad", "good"), (), "--label-map bad=CLASS,good=CLASS"),
        (("negative", "good"), (), "the label 'good' is no class of the model: NEGATIVE, POSITIVE"),
        ((0.5, 1.5), (), "--label-map"),
        ((1, 2), ("--label-map", "1=NEGATIVE"), "does not say what '2' is"),
        ((1, 2), ("--label-map", "1=NEGATIVE,2=neutral"), "no class 'neutral'. The classes are 0 (NEGATIVE)"),
        ((1, 2), ("--label-map", "1=NEGATIVE,2=2"), "no class '2'"),
        ((1, 2), ("--label-map", "1:NEGATIVE"), "VALUE=CLASS"),
        ((1, 2), ("--label-map", '"1=NEGATIVE,2=POSITIVE'), "double quotes around a value that has a comma"),
        (("Yes; so", "No=no"), (), "--label-map '\"No=no\"=CLASS,Yes; so=CLASS'"),
        ((1, 2), ("--label-map", "1=NEGATIVE,1=POSITIVE"), "each value once"),
    ],
)
def test_labels_that_are_no_classes_are_refused(
    clvq: Clvq, critic: Path, tmp_path: Path, values: tuple[Any, ...], options: tuple[str, ...], says: str
) -> None:
    ended = extract(clvq, critic, write(tmp_path / "r.csv", in_turn(*values)), *options)
    assert (ended.code, ended.out) == (1, "")
    assert says in ended.message
    assert not (tmp_path / "run" / "activations" / "manifest.json").exists()


def test_train_refuses_them_too(clvq: Clvq, critic: Path, tmp_path: Path) -> None:
    dataset = write(tmp_path / "r.jsonl", in_turn(1, 2))
    given = ("--model", critic, "--dataset", dataset, "--input-layer", 1, "--output-layer", 2)
    ended = clvq("train", "--run", tmp_path / "run", *given)
    assert ended.code == 1
    assert "--label-map 1=NEGATIVE,2=POSITIVE" in ended.message


@pytest.mark.parametrize(
    ("values", "options", "meaning", "names"),
    [
        ((1, 2), (), {1: 1, 2: 2}, None),
        (("sad", "glad"), (), {"glad": 0, "sad": 1}, ["glad", "sad"]),
        (("sad", "glad"), ("--label-map", "sad=0,glad=1"), {"sad": 0, "glad": 1}, None),
        (("s", "g"), ("--label-map", "s=sadness,g=joy"), {"s": 0, "g": 1}, ["sadness", "joy"]),
    ],
)
def test_labels_of_a_model_without_classes(
    clvq: Clvq,
    reader: Path,
    tmp_path: Path,
    values: tuple[Any, ...],
    options: tuple[str, ...],
    meaning: dict[Any, int],
    names: list[str] | None,
) -> None:
    rows = in_turn(*values)
    ended = extract(clvq, reader, write(tmp_path / "r.jsonl", rows), *options)
    assert ended.code == 0, ended.err
    assert stored(tmp_path) == {text: meaning[label] for text, label in rows}
    assert ended.document["label_names"] == names


def test_what_was_taken_is_told(clvq: Clvq, critic: Path, tmp_path: Path) -> None:
    dataset = write(tmp_path / "r.csv", in_turn("positive", "negative"))
    ended = extract(clvq, critic, dataset)
    assert ended.code == 0, ended.err
    columns = ended.document["columns"]
    rows = dict(in_turn("positive", "negative"))
    assert (columns["text_column"], columns["label_column"]) == ("text", "label")
    assert len(columns["texts"]) == 3
    assert [rows[text] for text in columns["texts"]] == columns["labels"]
    assert columns["label_map"] == {"negative": "0 (NEGATIVE)", "positive": "1 (POSITIVE)"}
    for part in (
        f"Texts are the column 'text': {columns['texts'][0]!r}, ",
        "split at ','",
        f"Labels are the column 'label': {', '.join(map(repr, columns['labels']))}.",
        "'negative' is 0 (NEGATIVE), 'positive' is 1 (POSITIVE)",
    ):
        assert part in ended.message
    again = clvq("extract", "--run", tmp_path / "run")
    assert "'negative' is 0 (NEGATIVE), 'positive' is 1 (POSITIVE)" in " ".join(again.out.split())


def test_no_label_column_among_several_is_a_doubt(clvq: Clvq, critic: Path, reader: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "r.csv"
    lines = [f'{number},"{text}",{number % 2}' for number, text in enumerate(TEXTS)]
    dataset.write_text("\n".join(["id,text,stars", *lines]) + "\n")
    ended = extract(clvq, critic, dataset)
    assert ended.code == 1
    assert "--label-column, such as stars; or give --label-column none" in ended.message
    ended = extract(clvq, critic, dataset, "--label-column", "none")
    assert (ended.code, set(stored(tmp_path).values())) == (0, {None})
    assert "Labels: none" in ended.message
    assert extract(clvq, critic, dataset, "--label-column", "stars", "--overwrite").code == 0
    assert stored(tmp_path) == {text: number % 2 for number, text in enumerate(TEXTS)}
    assert extract(clvq, reader, dataset, "--overwrite").code == 0


def test_a_corpus_of_few_rows_is_no_exception(clvq: Clvq, critic: Path, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("text,stars\ngood,1\nbad,0\n")
    assert "such as stars" in extract(clvq, critic, tmp_path / "r.csv").message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.txt", "\n".join(TEXTS) + "\n"),
        ("r.jsonl", "".join(json.dumps({"id": n, "text": text, "tags": [0]}) + "\n" for n, text in enumerate(TEXTS))),
    ],
)
def test_texts_without_what_may_be_a_label_are_no_doubt(
    clvq: Clvq, critic: Path, tmp_path: Path, name: str, content: str
) -> None:
    dataset = tmp_path / name
    dataset.write_text(content)
    ended = extract(clvq, critic, dataset)
    assert ended.code == 0, ended.err
    assert "Labels: none (--label-column names their column)" in ended.message


def test_names_that_two_classes_share_are_told_apart(clvq: Clvq, tmp_path: Path) -> None:
    model = tiny_models.tiny_bert(tmp_path / "model", layers=2, labels=3, id2label={0: "bad", 1: "good", 2: "bad"})
    ended = extract(clvq, model, write(tmp_path / "r.jsonl", in_turn(0, 1, 2)))
    assert ended.code == 0, ended.err
    assert ActivationStore(tmp_path / "run" / "activations").label_names == ["bad (0)", "good", "bad (2)"]
    (tmp_path / "named").mkdir()
    ended = extract(clvq, model, write(tmp_path / "named" / "r.jsonl", in_turn("good", "bad")))
    assert ended.code == 1
    assert "bad (0)" in ended.message
