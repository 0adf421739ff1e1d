"""Real files in, sentences out; each bad input one message."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import shlex
import sqlite3
import subprocess
import sys
import types
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from clvq.corpus import splits
from clvq.corpus.provenance import HeldOut
from clvq.corpus.settings import CorpusSettings
from clvq.corpus.splits import Corpus, Sentence
from clvq.corpus.taken import TakenColumns
from clvq.errors import ClvqError

Write = Callable[[str, str | bytes], str]

REVIEWS = [("a slow , lifeless film", 0), ("what a joy", 1), ("dull", 0), ("NA", 1), ("bright", 1)]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file into a fresh folder, and say where it is."""

    def write(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def rows(pairs: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    return [{"text": text, "label": label} for text, label in pairs]


def load_corpus(dataset: str, *, label_names: list[str] | None = None, **settings: Any) -> Corpus:
    return splits.load_corpus(CorpusSettings(dataset, **settings), label_names)


def everything(corpus: Corpus) -> list[Sentence]:
    return [*corpus.train, *corpus.evaluation]


def texts(path: str, **settings: Any) -> list[str]:
    """The texts of a file in their order: all of them, taken as the evaluation split."""
    own = Path(path).with_name("own.jsonl")
    own.write_text(jsonl(rows([("a text of its own", None)])))
    return [sentence.text for sentence in load_corpus(str(own), eval_dataset=path, **settings).evaluation]


def refused(*parts: str, **settings: Any) -> str:
    """Load what cannot be loaded; the message must hold all the parts."""
    with pytest.raises(ClvqError) as caught:
        load_corpus(**settings)
    message = str(caught.value)
    for part in parts:
        assert part in message
    return message


def as_parquet(path: Path, columns: dict[str, list[Any]]) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


# Formats


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.jsonl", jsonl(rows(REVIEWS))),
        ("r.json", json.dumps(rows(REVIEWS), indent=1)),
        ("r.json", jsonl(rows(REVIEWS))),
        ("r.csv", "text,label\n" + "".join(f'"{text}",{label}\n' for text, label in REVIEWS)),
        ("r.tsv", "label\ttext\r\n" + "".join(f"{label}\t{text}\r\n" for text, label in REVIEWS)),
        ("R.CSV", "\ufefftext,label\n" + "".join(f'"{text}",{label}\n' for text, label in REVIEWS)),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".zst"])
def test_every_text_format_plain_and_compressed(write: Write, name: str, content: str, suffix: str) -> None:
    packers: dict[str, Callable[[bytes], bytes]] = {
        "": bytes,
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
        ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
    }
    corpus = load_corpus(write(name + suffix, packers[suffix](content.encode())))
    assert sorted(everything(corpus)) == sorted(REVIEWS)
    assert corpus.label_names is None
    assert corpus.provenance.dataset == name + suffix


def test_parquet_with_class_names(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"review": Value("string"), "y": Value("int64"), "label": ClassLabel(names=["no", "yes"])})
    data = {"review": ["a", "b", "c", None], "y": [0, 0, 0, 0], "label": [1, 0, -1, 1]}
    Dataset.from_dict(data, features=features).to_parquet(str(tmp_path / "r.parquet"))
    corpus = load_corpus(str(tmp_path / "r.parquet"))
    assert sorted(text for text, _ in everything(corpus)) == ["a", "b", "c"]
    assert dict(everything(corpus)) == {"a": 1, "b": 0, "c": None}
    assert corpus.label_names == ["no", "yes"]
    assert corpus.counts["train"]["missing"] == 1


def test_a_text_file_is_one_sentence_a_line(write: Write) -> None:
    lines = "\ufeff a  b \r\n\r\nNA\nx\x00\x0b\x85\u2028y\r\rz\nlast"
    assert texts(write("r.txt", lines)) == [" a  b ", "", "NA", "x\x00\x0b\x85\u2028y\r\rz", "last"]
    assert texts(write("r.txt", "a\nb\n")) == ["a", "b"]


WORDS = ["NA", "null", "None", "nan", "N/A", "", "007", "1.50", "1e5", "-1", "2020-01-01", "true", " x "]


@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "folder/train.csv"])
def test_no_word_of_a_csv_file_goes_missing(write: Write, name: str) -> None:
    separator = "\t" if name.endswith("tsv") else ","
    path = write(name, f"text{separator}other\n" + "".join(f"{word}{separator}1\n" for word in WORDS))
    assert texts(str(Path(path).parent) if "/" in name else path) == WORDS


def test_json_values_stay_as_written(write: Write) -> None:
    assert texts(write("r.jsonl", '{"text": 1.50}\n{"text": 7}\n\n{"text": "2020-01-01"}\n')) == [
        "1.50",
        "7",
        "2020-01-01",
    ]
    corpus = load_corpus(
        write(
            "n.jsonl",
            '{"text": null}\n{"text": NaN}\n{"label": 1}\n{"text": "a"}\n{"text": ""}\n{"text": "b"}\n',
        )
    )
    assert corpus.counts["train"]["missing"] == 3
    assert sorted(text for text, _ in everything(corpus)) == ["", "a", "b"]


def test_blanks_around_a_column_s_name_do_not_matter(write: Write) -> None:
    path = write("export.csv", "Row #; Story Body ;Desk (final)\n1;good film;0\n2;bad film;1\n3;a film;1\n")
    corpus = load_corpus(path, text_column="Story Body", label_column=" Desk (final)")
    assert set(everything(corpus)) == {("good film", 0), ("bad film", 1), ("a film", 1)}
    named = {"dataset": path, "text_column": "Story", "label_column": "Desk (final)"}
    wrong = "no column 'Story' in its first line: Row #, Story Body, Desk (final). If that line names the columns"
    refused(wrong, dataset=path, text_column="Story")
    refused("no column 'Story'", ": Row #, ' Story Body ', Desk (final).", **named)


def test_quotes_in_csv(write: Write) -> None:
    long = "x" * 200_000
    path = write("r.csv", f'text\n"a ""b"", c\nd"\nsay "x" twice\n{long}\n')
    assert texts(path) == ['a "b", c\nd', 'say "x" twice', long]


def test_half_a_character_is_repaired_and_counted(write: Write) -> None:
    corpus = load_corpus(write("r.jsonl", '{"text": "a \\ud83d b"}\n{"text": "c \\ud83d\\ude00"}\n'))
    assert {text for text, _ in everything(corpus)} == {"a \ufffd b", "c \U0001f600"}
    assert sum(counts["repaired"] for counts in corpus.counts.values()) == 1


def test_a_changed_file_is_read_anew(write: Write) -> None:
    path = write("r.csv", "text\none\ntwo\n")
    first = load_corpus(path)
    write("r.csv", "text\nsix\nten\n")
    assert {text for text, _ in everything(load_corpus(path))} == {"six", "ten"}
    write("r.csv", "text\nseven\n")
    with pytest.raises(ClvqError, match="changed while it was being read"):
        list(first.train)


# Folders, splits, slices


def test_a_folder_of_files_has_their_splits(write: Write, tmp_path: Path) -> None:
    write("data/train-1.jsonl", jsonl(rows(REVIEWS[:2])))
    write("data/train-2.jsonl", jsonl(rows(REVIEWS[2:])))
    write("data/test.jsonl", jsonl(rows([("for testing", 1)])))
    write("data/README.md", "Notes for people.")
    write("data/dev.jsonl", jsonl(rows([("for development", 1)])))
    corpus = load_corpus(str(tmp_path / "data"))
    assert list(corpus.train) == REVIEWS
    assert list(corpus.evaluation) == [("for development", 1)]
    assert corpus.provenance.training.files == ["train-1.jsonl", "train-2.jsonl"]
    assert corpus.provenance.evaluated.files == ["dev.jsonl"]
    assert str(tmp_path) not in json.dumps(corpus.provenance.as_json())
    assert list(load_corpus(str(tmp_path / "data"), eval_split="test").evaluation) == [("for testing", 1)]
    refused("no split 'nosuch'", "train, validation, test", dataset=str(tmp_path / "data"), split="nosuch")


@pytest.mark.parametrize("streaming", [False, True])
def test_a_folder_with_a_card_is_read_by_datasets(
    write: Write, tmp_path: Path, streaming: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    card = "---\nconfigs:\n- config_name: a\n  data_files: [{split: train, path: x.csv}]\n  sep: ';'\n"
    write("data/README.md", card + "- config_name: b\n  data_files: [{split: train, path: y.csv}]\n---\n")
    path = write("data/x.csv", "text;label\nNA;pos\nnull;neg\n")
    write("data/y.csv", "text,label\nx,1\n")
    folder = str(tmp_path / "data")
    corpus = load_corpus(folder, subset="a", streaming=streaming)
    assert sorted(everything(corpus)) == [("NA", 1), ("null", 0)]
    assert sorted(everything(corpus)) == [("NA", 1), ("null", 0)]
    Path(path).write_text("text;label\nNA;pos\nnone;neg\n")
    assert sorted(everything(load_corpus(folder, subset="a", streaming=streaming))) == [
        ("NA", 1),
        ("none", 0),
    ]
    assert capfd.readouterr() == ("", "")
    refused("subset", "'a', 'b'", dataset=folder)


def test_a_saved_dataset(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    train, test = Dataset.from_list(rows(REVIEWS)), Dataset.from_list(rows([("x", -1), ("y", -1)]))
    DatasetDict(train=train, test=test).save_to_disk(str(tmp_path / "two"))
    corpus = load_corpus(str(tmp_path / "two"))
    assert corpus.provenance.evaluation == HeldOut(0.1, ["test"])  # it hides its labels
    told = TakenColumns.of_sentences(corpus.provenance, None, corpus.train).lines()
    assert any("are held out, since there are no labels in 'test'" in line for line in told)
    assert sorted(everything(corpus)) == sorted(REVIEWS)
    assert len(load_corpus(str(tmp_path / "two"), label_column="").evaluation) == 2
    train.with_format("numpy").save_to_disk(str(tmp_path / "one"))
    assert sorted(everything(load_corpus(str(tmp_path / "one")))) == sorted(REVIEWS)


def test_slices_of_a_split(write: Write) -> None:
    path = write("r.jsonl", jsonl(rows([(f"t{i}", 0) for i in range(20)])))
    corpus = load_corpus(path, split="train[:50%]", eval_split="train[15:]")
    assert [text for text, _ in corpus.train] == [f"t{i}" for i in range(10)]
    assert [text for text, _ in corpus.evaluation] == [f"t{i}" for i in range(15, 20)]
    assert len(load_corpus(path, split="train[:2]+train[-1:]", eval_split="train[5:6]").train) == 3
    refused("cannot read the split", dataset=path, split="train[a:]")


def test_another_dataset_for_evaluation(write: Write) -> None:
    train = write("a.jsonl", jsonl([{"quote": "good one", "mood": "Pos"}, {"quote": "bad one", "mood": "Neg"}]))
    other = write("b.csv", "sentence,label\nfine,pos\nawful,neg\n")
    settings = {"text_column": "quote", "label_column": "mood", "eval_dataset": other}
    corpus = load_corpus(train, **settings, label_names=["NEG", "neutral", "POS"])  # type: ignore[arg-type]
    assert list(corpus.train) == [("good one", 2), ("bad one", 0)]
    assert list(corpus.evaluation) == [("fine", 2), ("awful", 0)]
    assert corpus.label_names == ["NEG", "neutral", "POS"]
    told = TakenColumns.of_sentences(corpus.provenance, corpus.label_names, corpus.train).lines()
    assert "In the evaluation split texts are the column 'sentence', and labels are the column 'label'." in told


def test_columns_of_the_evaluation_split_may_differ_in_case(write: Write) -> None:
    train = write("a.csv", "id,Body,verdict\n1,good soup,pos\n2,bad soup,neg\n")
    other = write("b.csv", "id,title,body ,Verdict\n1,one,fine,pos\n2,two,awful,neg\n")
    corpus = load_corpus(train, text_column="Body", label_column="verdict", eval_dataset=other)
    assert list(corpus.evaluation) == [("fine", 1), ("awful", 0)]


def test_a_headless_table_is_not_taken_for_one_with_numbers_as_names(write: Write) -> None:
    path = write("r.csv", "good film,1\nbad film,0\nfine room,1\n")
    refused("no text column with a usual name in its first line", "--no-header", dataset=path, text_column="1")
    corpus = load_corpus(path, text_column="1", label_column="2", header=False)
    assert sorted(everything(corpus)) == [("bad film", 0), ("fine room", 1), ("good film", 1)]


@pytest.mark.parametrize(
    ("lines", "end"), [(["good " * 13106 + "goods", *["bad film"] * 20], "\r\n"), (["a\rb " * 20000, "c", "d"], "\n")]
)
def test_line_ends_are_those_of_the_whole_file(tmp_path: Path, lines: list[str], end: str) -> None:
    """The first line is longer than what is read to find the encoding; the carriage return may be its last byte."""
    path = tmp_path / "r.txt"
    path.write_bytes("".join(line + end for line in lines).encode())
    assert sorted(text for text, _ in everything(load_corpus(str(path)))) == sorted(lines)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("text,label\ngood soup,1\nbad room,0\n", "seems to be a table"),
        ("id\tsentence\n1\tgood soup\n2\tbad\troom\n", "seems to be a table"),
        ('{"text": "good soup", "label": 1}\n{"text": "bad", "label": 0}\n', "seems to hold JSON lines"),
    ],
)
def test_a_text_file_that_is_a_table_is_refused(write: Write, content: str, says: str) -> None:
    path = write("r.txt", content)
    refused(says, "--delimiter", dataset=path)
    assert len(everything(load_corpus(path, delimiter="none"))) == len(content.splitlines())


def test_text_files_that_only_look_like_tables_are_read(write: Write) -> None:
    for content in ("text, of a kind\nfine\n", "good,bad\nfine\n", "{braces}\nfine\n"):
        assert len(everything(load_corpus(write("r.txt", content)))) == 2


def test_a_name_twice_is_refused(write: Write, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = write("r.jsonl", '{"text": "a", "text": "b", "label": 0}\n{"text": "c", "label": 1}\n')
    refused("line 1", "the key 'text' twice", dataset=path)
    columns = [pa.array(["a", "b"]), pa.array(["c", "d"]), pa.array([0, 1])]
    pq.write_table(pa.Table.from_arrays(columns, names=["text", "text", "label"]), tmp_path / "r.parquet")
    refused("the column 'text' twice", dataset=str(tmp_path / "r.parquet"))


def test_a_first_line_that_names_the_delimiter_is_no_row(write: Write) -> None:
    refused("is empty", dataset=write("r.csv", "sep=;\n"))
    assert texts(write("r.csv", "\ufeffsep=;\ntext;label\na,b;1\nc;0\n")) == ["a,b", "c"]
    plain = load_corpus(write("r.csv", "sep=;\na,b;1\nc;0\n"), header=False, text_column="1")
    assert sorted(text for text, _ in everything(plain)) == ["a,b", "c"]
    refused("2 fields", "line 4", dataset=write("r.csv", "sep=;\ntext\na\nb;c\n"))
    plain = load_corpus(write("r.csv", '1,"call it, then sep=;"\n0,"b, c"\n'), header=False, text_column="2")
    assert dict(everything(plain)) == {"call it, then sep=;": None, "b, c": None}
    assert texts(write("r.txt", "sep=;\nuse sep=;\n"), delimiter="none", header=False) == ["sep=;", "use sep=;"]


def test_one_object_of_all_rows_is_refused(write: Write) -> None:
    by_id = {"r1": {"text": "a", "label": 1}, "r2": {"text": "b", "label": 0}}
    refused("one object of rows (r1, r2)", "one object a line", dataset=write("r.json", json.dumps(by_id)))
    refused(
        "(0, 1, 2, 3, 4, 5, 6, 7, ...)", dataset=write("r.json", json.dumps({str(n): {"text": "a"} for n in range(9)}))
    )


def test_lines_that_hold_labels_are_not_taken_for_texts(write: Write) -> None:
    refused("line 2: this is fastText's format", "as columns", dataset=write("r.txt", "\n__label__good a film\n"))
    refused("line 1: this is CoNLL's format", dataset=write("r.txt", "-DOCSTART- -X- O O\n\nEU NNP B-ORG\n"))
    assert texts(write("r.txt", "a __label__ in\nno -DOCSTART-\n")) == ["a __label__ in", "no -DOCSTART-"]


def test_lines_of_text_may_begin_with_an_object(write: Write) -> None:
    assert texts(write("r.txt", '{"a": 1}\nis how JSON looks\n')) == ['{"a": 1}', "is how JSON looks"]
    refused("seems to hold JSON lines", dataset=write("r.txt", '{"text": "a"}\n'))


def test_a_label_that_is_an_object_names_its_entries(write: Write) -> None:
    path = write("r.jsonl", jsonl(rows([("a", {"id": 1, "name": "x"}), ("b", {"id": 0, "name": "y"})])))
    refused("row 1: an object in", "--label-column: label.id, label.name", dataset=path)
    assert dict(everything(load_corpus(path, label_column="label.name"))) == {"a": 0, "b": 1}


def test_parquet_texts_may_be_bytes_and_labels_decimals(tmp_path: Path) -> None:
    path = str(tmp_path / "r.parquet")
    table = {"text": [b"a", "né".encode(), b"c"], "label": [Decimal("1"), Decimal("0.00"), None]}
    pq.write_table(pa.table(table), path)
    assert dict(everything(load_corpus(path))) == {"a": 1, "né": 0, "c": None}
    pq.write_table(pa.table({"text": ["a", "b"], "label": [b"no", b"yes"]}), path)
    assert dict(everything(load_corpus(path, label_names=["no", "yes"]))) == {"a": 0, "b": 1}
    pq.write_table(pa.table({"text": [b"a", b"\xff\xfe"], "label": [0, 1]}), path)
    refused("bytes that are not UTF-8", "row 2", dataset=path)
    pq.write_table(pa.table({"text": ["a", "b"], "label": [Decimal("0.5"), Decimal("1")]}), path)
    refused("'0.5'", "is not a label", dataset=path)
    pq.write_table(
        pa.table({"text": ["a", "b"], "label": [Decimal("12345678901234567890123456789012345"), None]}), path
    )
    refused("label 12345678901234567890123456789012345", dataset=path, label_names=["no", "yes"])
    for one, minus_one in ((b"1", b"-1"), (Decimal("1.00"), Decimal("-1.00")), ("1.0", "-1.0")):
        pq.write_table(pa.table({"text": ["a", "b", "c"], "label": [one, minus_one, one]}), path)
        refused("the labels 1 and -1", dataset=path, label_names=["no", "yes"])
    pq.write_table(pa.table({"text": [[b"a", b"b"], [b"c"]], "label": [[b"x"], []]}), path)
    corpus = splits.load_corpus(CorpusSettings(path, words="whitespace"), ["x", "y"], form="several")
    assert {(one.text, tuple(one.answers or ())) for one in everything(corpus)} == {("a b", (1, 0)), ("c", (0, 0))}


@pytest.mark.parametrize("value", ["Infinity", "-Infinity"])
def test_an_infinite_label_is_not_taken_for_a_missing_one(write: Write, value: str) -> None:
    path = write("r.jsonl", jsonl(rows([("a", 1), ("b", 2), ("c", 0)])).replace("2", value))
    refused(f"{value!r}", "are not the classes of the model", dataset=path, label_names=["no", "yes"])
    with pytest.raises(ClvqError, match=f"row 2: the label '{value}' .* is not a number"):
        splits.load_corpus(CorpusSettings(path), ["score"], form="number")


def test_a_value_with_quotes_is_shown_as_label_map_takes_it(write: Write) -> None:
    values = ['say "hi"', 'say "ho", again; it\'s $HOME']
    path = write("r.jsonl", jsonl(rows([("a", values[0]), ("b", values[1]), ("c", values[0])])))
    message = refused("--label-map ", dataset=path, label_names=["no", "yes"])
    (shown,) = shlex.split(message.split("--label-map ")[1].split(" (a class")[0].replace("CLASS", "yes"))
    assert dict(everything(load_corpus(path, label_names=["no", "yes"], label_map=shown))) == dict.fromkeys("abc", 1)


def test_minus_one_beside_one_alone_has_to_be_explained(write: Write) -> None:
    path = write("r.jsonl", jsonl(rows([("a", 1), ("b", -1), ("c", 1), ("d", -1)])))
    refused("the labels 1 and -1", "--label-map -1=no,1=yes", dataset=path, label_names=["no", "yes"])
    assert dict(everything(load_corpus(path, label_names=["no", "yes"], label_map="-1=no,1=yes")))["b"] == 0
    corpus = load_corpus(path, label_names=["no", "yes"], label_map="1=yes,-1=none")
    assert dict(everything(corpus)) == {"a": 1, "b": None, "c": 1, "d": None}
    path = write("r.jsonl", jsonl(rows([("a", 1), ("b", -1), ("c", 0), ("d", None)])))
    corpus = load_corpus(path, label_names=["no", "yes"])
    assert sum(counts["unlabelled"] for counts in corpus.counts.values()) == 2
    other = write("other.csv", "text,label\ne,1\nf,-1\n")
    path = write("r.csv", "text,label\na,1\nb,\nc,1\n")
    refused("other.csv", "the labels 1 and -1", dataset=path, eval_dataset=other, label_names=["no", "yes"])
    assert dict(everything(load_corpus(path, label_names=["no", "yes"])))["b"] is None  # blank, so -1 is not meant


def test_folders_that_cannot_be_read_as_a_whole_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    refused("A folder must hold .jsonl", dataset=str(folder))
    (folder / "a.csv").write_text("text,label\na,0\nb,1\n")
    (folder / "b.jsonl").write_text(jsonl(rows([("c", 0)])))
    refused("several formats", "a.csv", "b.jsonl", dataset=str(folder))
    (folder / "b.jsonl").unlink()
    (folder / "notes.txt").write_text("for people")
    assert sorted(everything(load_corpus(str(folder)))) == [("a", 0), ("b", 1)]


def test_a_file_of_a_folder_without_the_text_column_is_named(write: Write, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.jsonl").write_text(jsonl(rows([("a", 0), ("b", 1)])))
    (folder / "b.jsonl").write_text(jsonl([{"review": "c", "label": 1}]))
    refused("b.jsonl lacks the column 'text'", dataset=str(folder))


# Columns and labels


def test_columns_are_found_by_name_or_by_being_the_only_text(write: Write) -> None:
    path = write("r.csv", "id,Category,wording\n1,x,one two\n2,y,three\n")
    corpus = load_corpus(path)
    assert (corpus.provenance.training.text_column, corpus.provenance.training.label_column) == ("wording", "Category")
    assert sorted(everything(corpus)) == [("one two", 0), ("three", 1)]
    assert load_corpus(path, text_column="id").provenance.training.text_column == "id"
    refused("'nosuch'", "id, Category, wording", dataset=path, text_column="nosuch")
    refused("'nosuch'", "id, Category, wording", dataset=path, label_column="nosuch")
    two = write("two.csv", "a,b\nx,y\nz,w\n")
    refused("no text column", "a, b", dataset=two)
    assert load_corpus(two, text_column="a").provenance.training.label_column is None
    chat = write("chat.jsonl", jsonl([{"text": ["a"]}, {"text": ["b"]}]))
    refused("row 1", "a list of tokens, not a text", dataset=chat)


@pytest.mark.parametrize(
    ("labels", "model_names", "expected", "names"),
    [
        ([0, 2, -1, None], None, [0, 2, None, None], None),
        ([1.0, 0.0, -1.0, None], None, [1, 0, None, None], None),
        ([True, False, None, True], None, [1, 0, None, 1], ["False", "True"]),
        ([True, False, None, True], ["True", "False"], [0, 1, None, 0], ["True", "False"]),
        ([True, False, None, True], ["bad", "good"], [1, 0, None, 1], ["bad", "good"]),
        (["1", "0", "", "-1"], None, [1, 0, None, None], None),
        (["pos", "neg", None, ""], None, [1, 0, None, None], ["neg", "pos"]),
        (["pos", "neg", None, "neg"], ["POS", "NEG"], [0, 1, None, 1], ["POS", "NEG"]),
        (["Pos", "pos", "1", "Pos"], None, [1, 2, 0, 1], ["1", "Pos", "pos"]),
        (["1", "3", None, "2"], ["1", "2", "3"], [0, 2, None, 1], ["1", "2", "3"]),
        ([1, 0, None, 2], ["1", "2", "3"], [1, 0, None, 2], None),
        ([1, 0, None, 1], ["0", "1"], [1, 0, None, 1], None),
    ],
)
def test_labels(
    tmp_path: Path,
    labels: list[Any],
    model_names: list[str] | None,
    expected: list[Any],
    names: list[str] | None,
) -> None:
    data = {"text": ["a", "b", "c", "d"], "label": labels}
    for path in (as_parquet(tmp_path / "r.parquet", data), str(tmp_path / "r.jsonl")):
        (tmp_path / "r.jsonl").write_text(jsonl(rows(list(zip("abcd", labels, strict=True)))))
        corpus = load_corpus(path, label_names=model_names)
        assert [label for _, label in sorted(everything(corpus))] == expected
        assert corpus.label_names == names


@pytest.mark.parametrize("values", [["1", "2"], [1, 2]])
@pytest.mark.parametrize("head", [["1", "2", "3"], ["2", "1", "0"]])
def test_numbers_that_are_names_of_other_classes(write: Write, values: list[Any], head: list[str]) -> None:
    path = write("r.jsonl", jsonl(rows([("a", values[0]), ("b", values[1]), ("c", values[0])])))
    refused("names of other classes", f"--label-map 1=1,2=2, for numbers --label-map 1={head[1]},2={head[2]}",
            dataset=path, label_names=head)  # fmt: skip
    as_names = load_corpus(path, label_names=head, label_map="1=1,2=2")
    assert sorted(everything(as_names)) == [("a", head.index("1")), ("b", head.index("2")), ("c", head.index("1"))]
    as_numbers = load_corpus(path, label_names=head, label_map=f"1={head[1]},2={head[2]}")
    assert sorted(everything(as_numbers)) == [("a", 1), ("b", 2), ("c", 1)]


def test_class_columns_follow_the_model(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["yes", "maybe", "no"])})
    data = Dataset.from_list(rows([("a", 0), ("b", 1), ("c", 2)]), features=features)
    data.save_to_disk(str(tmp_path / "d"))
    assert dict(everything(load_corpus(str(tmp_path / "d")))) == {"a": 0, "b": 1, "c": 2}
    corpus = load_corpus(str(tmp_path / "d"), label_names=["NO", "MAYBE", "YES"])
    assert dict(everything(corpus)) == {"a": 2, "b": 1, "c": 0}
    corpus = load_corpus(str(tmp_path / "d"), label_names=["LABEL_0", "LABEL_1", "LABEL_2"])
    assert dict(everything(corpus)) == {"a": 0, "b": 1, "c": 2}
    assert corpus.label_names == ["yes", "maybe", "no"]
    refused(
        "'maybe', 'no', 'yes' are not the classes of the model",
        dataset=str(tmp_path / "d"),
        label_names=["x", "y", "z"],
    )


def test_class_columns_are_matched_by_the_names_that_occur(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    def stored(names: list[str]) -> str:
        features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
        data = Dataset.from_list(rows([("a", 0), ("b", 1), ("c", 1)]), features=features)
        data.save_to_disk(str(tmp_path / names[0]))
        return str(tmp_path / names[0])

    corpus = load_corpus(stored(["Sports", "World", "unused"]), label_names=["World", "Sports"])
    assert dict(everything(corpus)) == {"a": 1, "b": 0, "c": 0}
    assert corpus.label_names == ["World", "Sports"]
    short = stored(["pos", "neg"])
    refused(
        "'neg', 'pos' are not",
        "--label-map neg=negative,pos=positive ",
        dataset=short,
        label_names=["negative", "positive"],
    )
    mapped = load_corpus(short, label_names=["negative", "positive"], label_map="neg=negative,pos=positive")
    assert dict(everything(mapped)) == {"a": 1, "b": 0, "c": 0}
    assert dict(everything(load_corpus(stored(["0", "1"]), label_names=["negative", "positive"]))) == {
        "a": 0,
        "b": 1,
        "c": 1,
    }


@pytest.mark.parametrize("kind", ["folder", "parquet"])
@pytest.mark.parametrize(("form", "labels"), [("several", [[0, 2], [1], []]), ("words", [[0, 2], [1, 1], [2, 2]])])
def test_class_names_of_lists(form: Any, labels: list[list[int]], kind: str, tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    names, head = ["O", "PER", "LOC"], ["LOC", "O", "PER"]
    features = Features({"text": Value("string"), "labels": Sequence(ClassLabel(names=names))})
    texts = ["a b", "c d", "e f"]
    data = Dataset.from_dict({"text": texts, "labels": labels}, features=features)
    path = str(tmp_path / ("d" if kind == "folder" else "d.parquet"))
    data.save_to_disk(path) if kind == "folder" else data.to_parquet(path)
    corpus = splits.load_corpus(CorpusSettings(path), head, form=form)
    found = {one.text: one.answers for one in [*corpus.train, *corpus.evaluation]}
    for text, given in zip(texts, labels, strict=True):
        numbers = [head.index(names[number]) for number in given]
        several = [float(number in numbers) for number in range(3)]
        assert found[text] == (several if form == "several" else numbers), text


def test_splits_with_and_without_class_names(tmp_path: Path, write: Write) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["positive", "negative"])})
    Dataset.from_list(rows([("a", 0), ("b", 1)]), features=features).save_to_disk(str(tmp_path / "named"))
    named, bare = str(tmp_path / "named"), write("bare.jsonl", jsonl(rows([("c", 0), ("d", 1)])))
    for dataset, other in ((named, bare), (bare, named)):
        corpus = load_corpus(dataset, eval_dataset=other, label_names=["negative", "positive"])
        assert dict(everything(corpus)) == {"a": 1, "b": 0, "c": 0, "d": 1}
        assert corpus.label_names == ["negative", "positive"]
    refused("'negative', 'positive' are not", named, dataset=bare, eval_dataset=named, label_names=["bad", "good"])


@pytest.mark.parametrize("head", [None, ["negative", "positive"], ["LABEL_0", "LABEL_1"]])
def test_class_names_that_are_numbers_are_these_numbers(head: list[str] | None, tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    for folder, names in (("a", ["1", "0"]), ("b", ["LABEL_1", "LABEL_0"])):
        features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
        Dataset.from_list(rows([("a", 0), ("b", 1)]), features=features).save_to_disk(str(tmp_path / folder))
        corpus = load_corpus(str(tmp_path / folder), label_names=head)
        if head is not None:
            assert dict(everything(corpus)) == {"a": 1, "b": 0}
            assert corpus.label_names is None  # the model's own names are kept


def test_only_what_is_no_class_is_named(write: Write) -> None:
    path = write("nli.jsonl", jsonl(rows([("a", "entailment"), ("b", "-"), ("c", "neutral")])))
    head = ["neutral", "entailment"]
    refused(
        "the label '-' is no class of the model",
        "-=CLASS,entailment=entailment,neutral=neutral (",
        dataset=path,
        label_names=head,
    )


@pytest.mark.parametrize("label", [0.5, -2, [1], {"a": 1}, "0.5"])
def test_what_is_no_label(write: Write, label: Any) -> None:
    path = write("r.jsonl", jsonl(rows([("a", label), ("b", label)])))
    refused("is not a label", "--label-column", dataset=path)
    assert load_corpus(path, label_column="").label_names is None


def test_labels_that_do_not_fit_together(write: Write) -> None:
    path = write("r.jsonl", jsonl(rows([(f"t{i}", f"name {i}") for i in range(1100)])))
    refused("over 1000", dataset=path)
    named = write("a.jsonl", jsonl(rows([("a", "x"), ("b", "y")])))
    numbered = write("b.jsonl", jsonl(rows([("c", 0), ("d", 1)])))
    refused("numbers in", "names in", dataset=named, eval_dataset=numbered)


# Splits share no text; samples


def test_a_tenth_of_the_distinct_texts_is_held_out(write: Write) -> None:
    pairs = [(f"sentence {i % 1000}", i % 2) for i in range(3000)]
    path = write("r.jsonl", jsonl(rows(pairs)))
    corpus = load_corpus(path, seed=1)
    train, held = {s.text for s in corpus.train}, {s.text for s in corpus.evaluation}
    assert not train & held
    assert len(train | held) == 1000
    assert 70 < len(held) < 130
    assert len(corpus.train) + len(corpus.evaluation) == 3000
    assert corpus.train.counts.duplicates == 2 * len(train)
    assert list(corpus.train) == list(corpus.train) == [pair for pair in pairs if pair[0] in train]
    assert list(load_corpus(path, seed=1).evaluation) == list(corpus.evaluation)
    assert {s.text for s in load_corpus(path, seed=2).evaluation} != held


@pytest.mark.parametrize("seed", range(-3, 12))
def test_two_texts_are_enough_to_hold_one_out(write: Write, seed: int) -> None:
    corpus = load_corpus(write("r.jsonl", jsonl(rows([("a", 0), ("b", 0), ("a ", 1), (" ", 0)]))), seed=seed)
    train, held = ({s.text.strip() for s in part} - {""} for part in (corpus.train, corpus.evaluation))
    assert {len(train), len(held)} == {1}
    assert train != held


def test_texts_of_the_evaluation_split_leave_training(write: Write) -> None:
    path = write("a.jsonl", jsonl(rows([("a", 0), ("b", 0), ("a", 1), ("b \t c", 1), ("  ", 1), ("b", 1)])))
    other = write("b.jsonl", jsonl(rows([("a", 0), ("b c ", 0), ("z", 0), ("z", 0)])))
    corpus = load_corpus(path, eval_dataset=other)
    assert list(corpus.train) == [("b", 0), ("  ", 1), ("b", 1)]
    assert corpus.counts["train"] == {
        "rows": 6,
        "missing": 0,
        "blank": 1,
        "repaired": 0,
        "duplicates": 2,
        "contradicted": 1,
        "in_evaluation": 3,
        "unlabelled": 0,
        "over_limit": 0,
        "sentences": 3,
    }
    assert corpus.evaluation.counts.duplicates == 1
    refused("none is left for training", dataset=other, eval_dataset=other)


def test_max_sentences_takes_a_fair_sample_in_order(write: Write) -> None:
    path = write("r.jsonl", jsonl(rows([(f"t{i:04}", int(i >= 1000)) for i in range(2000)])))
    corpus = load_corpus(path, max_sentences=100, seed=3)
    sample = list(corpus.train)
    assert len(sample) == len(corpus.train) == len(corpus.evaluation) == 100
    assert sample == sorted(sample)
    assert 30 < sum(label or 0 for _, label in sample) < 70
    assert list(load_corpus(path, max_sentences=100, seed=3).train) == sample
    assert list(load_corpus(path, max_sentences=100, seed=4).train) != sample
    counts = corpus.train.counts
    assert counts.rows == counts.missing + counts.in_evaluation + counts.over_limit + counts.sentences
    assert len(load_corpus(path, max_sentences=10**6).train) == len(load_corpus(path).train)
    refused("at least 1", dataset=path, max_sentences=0)


def test_a_stream_gives_the_same_sentences(write: Write, tmp_path: Path) -> None:
    write(
        "d/README.md",
        "---\nconfigs:\n- config_name: default\n  data_files: [{split: train, path: x.jsonl}]\n---\n",
    )
    write("d/x.jsonl", jsonl(rows([(f"t{i:04}", int(i >= 1000)) for i in range(2000)])))
    whole, stream = (load_corpus(str(tmp_path / "d"), streaming=streaming) for streaming in (False, True))
    assert list(whole.train) == list(stream.train) == list(stream.train)
    assert list(whole.evaluation) == list(stream.evaluation)
    few = load_corpus(str(tmp_path / "d"), streaming=True, max_sentences=100)
    sample = list(few.train)
    assert len(sample) == 100 and 0 < len(few.evaluation) < 40
    assert sample == list(few.train)
    assert 25 < sum(label or 0 for _, label in sample) < 75
    assert not {s.text for s in sample} & {s.text for s in few.evaluation}
    refused("length of the split", dataset=str(tmp_path / "d"), streaming=True, split="train[:10]")


# What cannot be read


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("r.jsonl", "", ["is empty"]),
        ("r.csv", "text,label\n", ["is empty"]),
        ("r.jsonl", '{"text": null}\n{"text": " "}\n', ["none of its 2 rows has a text"]),
        ("r.txt", "only\nonly\n", ["one distinct text"]),
        ("r.jsonl", '{"text": "a"}\n{"text": "b', ["line 2", "not valid JSON"]),
        ("r.jsonl", '{"text": "a"}\n"b"\n', ["line 2", "not an object"]),
        ("r.json", '[{"text": "a"},\n {"text": }]', ["line 2", "not valid JSON"]),
        ("r.json", "[1]", ["item 1", "not an object"]),
        ("r.json", "[" * 100_000, ["not valid JSON"]),
        ("r.json", '{\n"text": ["a"]\n}', ["line 1", "one array of objects"]),
        ("r.jsonl", b'{"text": "a"}\n{"text": "\xe9"}\n', ["line 2", "0xe9 is not UTF-8"]),
        ("r.csv", b"text\na\n\xff\n", ["line 3", "not UTF-8"]),
        ("r.txt", "some text".encode("utf-16le"), ["UTF-16 without a byte-order mark", "iconv -f utf-16le -t utf-8"]),
        ("r.txt", "some text".encode("utf-16be"), ["UTF-16 without a byte-order mark", "iconv -f utf-16be -t utf-8"]),
        ("r.txt", "some text".encode("utf-16")[:-1], ["utf-16", "Save it as UTF-8"]),
        ("r.csv", "text,label\na,b,1\n", ["line 2", "3 fields", "2 columns"]),
        ("r.csv", 'text,label\nx,0\n"a,1\nb, c,1\n', ["line 3", "double quote", "--quoting none"]),
        ("r.tsv", 'text\tlabel\n"a" b\t1\nc\n', ["line 2", "double quote", "--quoting none"]),
        ("r.csv", "text,text\na,b\n", ["twice"]),
        ("r.txt.gz", b"no gzip", ["Cannot read", "r.txt.gz"]),
        ("r.txt.gz", gzip.compress(b"abc\n" * 999, mtime=0)[:-12], ["Cannot read", "whole"]),
        ("r.txt.xz", b"no xz", ["Cannot read"]),
        ("r.txt.bz2", b"no bz2", ["Cannot read"]),
        ("r.txt.zst", b"no zstd", ["Cannot read"]),
        ("r.parquet", b"PAR1 and no more", ["Cannot read", "parquet file is whole"]),
        ("r.docx", "x", [".jsonl, .json, .csv, .tsv, .parquet, .txt", ".zst"]),
        ("r.parquet.gz", "x", ["does not know this kind of file"]),
        ("folder/notes.unknown", "x", ["Cannot load the dataset"]),
        ("data/README.md", "", ["Cannot load the dataset"]),
    ],
)  # fmt: skip
def test_bad_files(write: Write, name: str, content: str | bytes, parts: list[str]) -> None:
    path = write(name, content)
    assert "\n" not in refused(*parts, dataset=str(Path(path).parent) if "/" in name else path)


def test_files_that_hold_no_text_are_told_by_their_content(tmp_path: Path) -> None:
    texts, made = b"text\na\nb\n", tmp_path / "made"
    with zipfile.ZipFile(made.with_suffix(".zip"), "w") as archive:
        archive.writestr("r.csv", texts)
    feather.write_feather(pa.table({"text": ["a", "b"]}), made.with_suffix(".feather"))
    with sqlite3.connect(made.with_suffix(".db")) as base:
        base.execute("create table r (text)")
    base.close()
    with pa.output_stream(str(made.with_suffix(".zst")), compression="zstd") as stream:
        stream.write(texts)
    np.save(made.with_suffix(".npy"), ["a", "b"])
    contents = {
        "add .gz to its name": gzip.compress(texts),
        "add .bz2 to its name": bz2.compress(texts, 1),
        "add .xz to its name": lzma.compress(texts),
        "add .zst to its name": made.with_suffix(".zst").read_bytes(),
        "ZIP archive or an Excel workbook": made.with_suffix(".zip").read_bytes(),
        "ending .parquet": Path(as_parquet(tmp_path / "r.parquet", {"text": ["a", "b"]})).read_bytes(),
        "Arrow file": made.with_suffix(".feather").read_bytes(),
        "SQLite database": made.with_suffix(".db").read_bytes(),
        "NumPy array": made.with_suffix(".npy").read_bytes(),
    }
    for says, content in contents.items():
        for name in ("r.csv", "r.jsonl"):
            (tmp_path / name).write_bytes(content)
            refused(f"{name} holds no lines of text", says, dataset=str(tmp_path / name))
    (tmp_path / "r.txt").write_text("PAR1 is the name of a film\nBZh is none\n", encoding="utf-8")
    assert len(everything(load_corpus(str(tmp_path / "r.txt"), label_names=None))) == 2


def test_a_truncated_parquet_file(tmp_path: Path) -> None:
    path = Path(as_parquet(tmp_path / "r.parquet", {"text": ["a" * 50] * 5000 + ["b"]}))
    path.write_bytes(path.read_bytes()[:-20])
    refused("Cannot read", "r.parquet", dataset=str(path))


def test_names_that_lead_nowhere(write: Write, tmp_path: Path) -> None:
    for name in (
        "nosuch.jsonl",
        "./nosuch",
        str(tmp_path / "nosuch"),
        "a/b/c",
        "",
        "x" * 5000,
        "nosuch.csv.gz",
    ):
        refused("No file or folder", dataset=name)
    path = write("r.txt", "a\nb\n")
    refused("no revision", dataset=path, revision="main")
    refused("no subsets", dataset=path, subset="x")
    refused("no split 'test'", "It has: train", dataset=path, split="test")
    refused("Two revisions", dataset="user/name@a", revision="b")


# The hub, as far as it can be tried without network


class FakeBuilder:
    """What `load_dataset_builder` answers for a dataset of the hub."""

    base_path = "hf://datasets/user/name@" + "0123456789" * 4
    hash = None

    def __init__(self, splits: dict[str, Any]) -> None:
        self.config = types.SimpleNamespace(name="default")
        self.splits = splits

    def download_and_prepare(self) -> None:
        pass

    def as_dataset(self) -> dict[str, Any]:
        return self.splits

    def as_streaming_dataset(self) -> dict[str, Any]:
        return {name: split.to_iterable_dataset() for name, split in self.splits.items()}


@pytest.mark.parametrize("streaming", [False, True])
def test_a_dataset_of_the_hub(monkeypatch: pytest.MonkeyPatch, streaming: bool) -> None:
    import datasets

    splits = {
        "train": datasets.Dataset.from_list(rows(REVIEWS)),
        "validation": datasets.Dataset.from_list(rows([("dull", 0), ("new", 1)])),
        "test": datasets.Dataset.from_list(rows([("hidden", -1)])),
    }
    asked: list[Any] = []

    def load_dataset_builder(*args: Any, **settings: Any) -> FakeBuilder:
        asked.append((*args, settings))
        return FakeBuilder(splits)

    monkeypatch.setattr(datasets, "load_dataset_builder", load_dataset_builder)
    corpus = load_corpus("user/name@v1", subset="s", streaming=streaming)
    assert asked == [("user/name", "s", {"revision": "v1"})]
    assert list(corpus.train) == [pair for pair in REVIEWS if pair[0] != "dull"]
    assert list(corpus.evaluation) == [("dull", 0), ("new", 1)]
    assert corpus.provenance.training.revision == "0123456789" * 4
    assert corpus.provenance.evaluated.split == "validation"


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (RuntimeError("Dataset scripts are no longer supported, but found name.py"), "refs/convert/parquet"),
        (FileNotFoundError("Dataset 'user/name' is a gated dataset on the Hub."), "HF_TOKEN"),
        (FileNotFoundError("Dataset 'user/name' doesn't exist on the Hub"), "private"),
        (ConnectionError("Couldn't reach 'user/name' on the Hub"), "need no network"),
        (ValueError("Config name is missing.\nPlease pick one: ['a', 'b']"), "subset"),
    ],
)
def test_errors_of_the_hub(monkeypatch: pytest.MonkeyPatch, error: Exception, part: str) -> None:
    import datasets

    def fail(*args: Any, **settings: Any) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset_builder", fail)
    assert "\n" not in refused("user/name", part, dataset="user/name")


@pytest.mark.slow
def test_offline_and_no_slow_imports(write: Write) -> None:
    """In a fresh process, for `datasets` reads its environment once: a local file does without it."""
    path = write("r.txt", "a\nb\n")
    code = (
        "import sys; from clvq.corpus.settings import CorpusSettings; from clvq.corpus.splits import load_corpus\n"
        f"load_corpus(CorpusSettings({path!r})); assert 'datasets' not in sys.modules\n"
        "try: load_corpus(CorpusSettings('user/nosuch'))\nexcept Exception as error: print(type(error).__name__, error)"
    )
    settings = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(Path(path).parent / "home"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ClvqError Cannot load the dataset user/nosuch")
    assert "HF_HUB_OFFLINE is set" in done.stdout
    assert done.stderr == ""


def test_the_demo() -> None:
    from clvq import demo

    corpus = load_corpus("demo")
    assert [s.text for s in corpus.evaluation] == [review.text for review in demo.corpus("eval")]
    assert {label for _, label in corpus.train} == {0, 1}
    assert corpus.counts["train"]["rows"] == len(demo.corpus("train"))
    assert corpus.label_names == ["negative", "positive"]


def test_a_quoted_column_without_a_header_is_one_text_a_line(write: Write) -> None:
    path = write("r.csv", '"a film, and a good one"\n"slow; dull"\n"fine"\n')
    corpus = load_corpus(path, header=False, label_column="none")
    assert sorted(text for text, _ in everything(corpus)) == ["a film, and a good one", "fine", "slow; dull"]
    refused(
        "no text column with a usual name in its first line",
        dataset=write("c.csv", "Story,Grade\na,1\n"),
        label_column="none",
    )


def test_newline_delimited_json_under_its_other_name(write: Write) -> None:
    corpus = load_corpus(write("r.ndjson", jsonl(rows([("a", 0), ("b", 1)]))))
    assert sorted(everything(corpus)) == [("a", 0), ("b", 1)]


@pytest.mark.parametrize(
    ("form", "column", "labels"), [("number", "rating", (0.5, 3)), ("words", "ner_tags", ([0, 1], [1, 1]))]
)
def test_label_columns_of_scores_and_tags(form: Any, column: str, labels: tuple[Any, Any], write: Write) -> None:
    lines = [{"text": text, column: label} for text, label in zip(("a b", "c d"), labels, strict=True)]
    path = write("r.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    names = ["x", "y"] if form == "words" else None
    corpus = splits.load_corpus(CorpusSettings(path), names, form=form)
    assert corpus.provenance.training.label_column == column
    assert load_corpus(path).provenance.training.label_column is None


def test_a_column_of_the_prompt_is_not_guessed_to_be_the_label(write: Write) -> None:
    lines = [{"text": f"text {number}", "topic": "sport", "intent": number % 2} for number in range(4)]
    path = write("r.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    corpus = load_corpus(path, parts=("topic", "text"))
    assert corpus.provenance.training.label_column == "intent"
