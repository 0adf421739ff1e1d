"""`clvq extract` on tables as people have them: delimiters, quotes, headers, encodings.

What is stored is compared with the rows that the file was written from.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from running import Clvq, Outcome

from clvq.activations.store import ActivationStore

ROWS = [
    ("The film was good; really, it was", 1),
    ("What a slow | lifeless film", 0),
    ("dull, dull, dull", 0),
    ('say "x" twice; and go', 1),
    ("bright", 1),
    ("a well-known story", 0),
]
PLAIN = [("The film was good", 1), ("a slow film", 0), ("dull", 0), ("a well-known story", 1)]
LOOSE = [('"The film was good, he said', 1), ("a slow film", 0), ('she said "dull" then', 0), ('bright" it was', 1)]
ACCENTS = [("très bien écrit", 1), ("ein schöner Film", 0), ("la película", 1), ("dull", 0)]


def written(rows: list[tuple[str, int]], delimiter: str, header: str = "text,label", **settings: Any) -> str:
    """The rows as the csv module writes them."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n", **settings)
    writer.writerows([header.split(","), *rows] if header else rows)
    return text.getvalue()


def joined(rows: list[tuple[str, int]], delimiter: str, header: str = "text,label") -> str:
    """The rows without any quoting."""
    lines = [*([header.replace(",", delimiter)] if header else []), *(f"{text}{delimiter}{n}" for text, n in rows)]
    return "\n".join(lines) + "\n"


def extract(clvq: Clvq, bert: Path, path: Path, content: str | bytes, *options: object) -> Outcome:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    given = ("--run", path.parent / "run", "--model", bert, "--dataset", path, "--layers", 1, *options)
    return clvq("extract", *given, "--json")


def stored(folder: Path) -> list[tuple[str, int | None]]:
    """What every sentence of both splits is."""
    store = ActivationStore(folder / "run" / "activations")
    return sorted((row.text, row.label) for split in ("train", "eval") for row in store.sentences(split))


@pytest.mark.parametrize(
    ("name", "rows", "content", "options"),
    [
        ("comma.csv", ROWS, written(ROWS, ","), ()),
        ("semicolon.csv", ROWS, written(ROWS, ";"), ()),
        ("tab.csv", ROWS, written(ROWS, "\t"), ()),
        ("pipe.csv", ROWS, written(ROWS, "|"), ()),
        ("semicolon.tsv", ROWS, written(ROWS, ";"), ()),
        ("all-quoted.csv", ROWS, written(ROWS, ";", quoting=csv.QUOTE_ALL), ()),
        ("loose.tsv", LOOSE, joined(LOOSE, "\t"), ()),
        ("loose-pipe.csv", LOOSE, joined(LOOSE, "|"), ()),
        ("pandas.csv", ROWS, ",text,label\n" + "".join(f'{i},"{t.replace(chr(34), chr(34) * 2)}",{n}\n'
                                                       for i, (t, n) in enumerate(ROWS)), ()),
        ("excel.csv", ROWS, "text,label,,\n" + "".join(f'"{t.replace(chr(34), chr(34) * 2)}",{n},,\n'
                                                       for t, n in ROWS), ()),
        ("given.csv", PLAIN, joined(PLAIN, "@"), ("--delimiter", "@")),
        ("table.txt", PLAIN, joined(PLAIN, "\t"), ("--delimiter", "tab")),
        ("headless.csv", ROWS, written(ROWS, ",", ""),
         ("--no-header", "--text-column", 1, "--label-column", 2)),
        ("headless.tsv", LOOSE, joined(LOOSE, "\t", ""),
         ("--no-header", "--text-column", 1, "--label-column", 2)),
        ("own-names.csv", ROWS, written(ROWS, ";", "wording,stars"),
         ("--text-column", "wording", "--label-column", "stars")),
        ("shouting.csv", ROWS, written(ROWS, ";", "Text, LABEL "), ()),
        ("windows.csv", ROWS, written(ROWS, ";").replace("\n", "\r\n"), ()),
        ("old-mac.csv", ROWS, written(ROWS, ";").replace("\n", "\r"), ()),
        ("bom.csv", ACCENTS, b"\xef\xbb\xbf" + written(ACCENTS, ",").encode(), ()),
        ("utf16.csv", ACCENTS, written(ACCENTS, ",").encode("utf-16"), ()),
        ("utf16be.tsv", ACCENTS, b"\xfe\xff" + joined(ACCENTS, "\t").encode("utf-16be"), ()),
        ("utf32.csv", ACCENTS, written(ACCENTS, ";").encode("utf-32"), ()),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value[:20] and "\n" not in value else "",
)  # fmt: skip
def test_the_rows_are_those_that_were_written(
    clvq: Clvq, bert: Path, tmp_path: Path, name: str, rows: list[Any], content: str | bytes, options: tuple[Any, ...]
) -> None:
    ended = extract(clvq, bert, tmp_path / name, content, *options)
    assert ended.code == 0, ended.err
    assert stored(tmp_path) == sorted(rows)


def test_quotes_that_pair_up_across_lines_merge_no_rows(clvq: Clvq, bert: Path, tmp_path: Path) -> None:
    """Read as quoted, lines two and three are one record of two fields: "good\\t1\\nbad" and 0."""
    rows = [("plain", 1), ('"good', 1), ('bad"', 0), ("dull", 0), ("fine", 1)]
    ended = extract(clvq, bert, tmp_path / "glue.tsv", joined(rows, "\t"))
    assert ended.code == 0, ended.err
    assert stored(tmp_path) == sorted(rows)
    assert ended.document["provenance"]["corpus"]["layout"] == {"delimiter": "\t", "quoting": "none", "header": True}


def test_texts_of_several_lines_stay_whole(clvq: Clvq, bert: Path, tmp_path: Path) -> None:
    rows = [("good\nvery, good", 1), ("bad\nbad", 0), ("dull", 0)]
    for name, delimiter in (("a.csv", ","), ("b.tsv", "\t")):
        folder = tmp_path / name[0]
        folder.mkdir()
        assert extract(clvq, bert, folder / name, written(rows, delimiter)).code == 0
        assert stored(folder) == sorted(rows)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("headless.csv", written(ROWS, ",", ""), "--no-header"),
        ("headless.tsv", "what a joy\tpos\ndull\tneg\nfine\tpos\n", "--no-header"),
        ("headless-texts.csv", "dull\nwhat a joy\nfine\n", "--no-header"),
        ("numbers.csv", "7,dull\n3,what a joy\n7,fine\n", "--no-header"),
        ("twice.csv", "text,text\na,b\nc,d\n", "--no-header"),
        ("one-column.csv", '"text;raw"\na\nb\n', "--delimiter"),
        ("uneven.csv", "text;label\ngood; really;1\nbad;0\n", "line 2: 3 fields"),
        ("uneven.csv", "text;label\ngood; really;1\nbad;0\n", "--delimiter"),
        ("loose-texts.csv", "text\ngood, really\nbad\n", "--delimiter (none: each line is a text)"),
        ("both.csv", "text;a,label\ngood;x,1\nbad;y,0\n", "--delimiter"),
        ("loose.csv", 'text,label\n"good, 1\nbad, really,0\n', "--quoting none"),
        ("cut-short.csv", 'text,label\n"good","1"\n"bad","0"\n"fine,"1"\n', "--quoting"),
        ("merged.csv", 'text,label\n"good, yes\nbad",1\nfine,0\n', "--quoting"),
        ("table.txt", "good\t1\nbad\t0\nfine\t1\n", "--delimiter"),
        ("table.txt", "good|1\nbad|0\nfine|1\n", "--delimiter"),
    ],
)
def test_a_doubt_is_an_error_that_names_the_option(
    clvq: Clvq, bert: Path, tmp_path: Path, name: str, content: str, says: str
) -> None:
    ended = extract(clvq, bert, tmp_path / name, content)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Error: ")
    assert says in ended.message


@pytest.mark.parametrize(
    ("name", "content", "options", "expected"),
    [
        ("a.csv", "dull\nwhat a joy\nfine\n", ("--no-header",), ["dull", "fine", "what a joy"]),
        ("b.csv", "dull\nwhat a joy\nfine\n", ("--header",), ["fine", "what a joy"]),
        ("c.csv", "text\ngood, really\nbad\n", ("--delimiter", "none"), ["bad", "good, really"]),
        ("d.csv", 'text,label\n"good, yes\nbad",1\nfine,0\n', ("--quoting", "quoted"), ["fine", "good, yes\nbad"]),
        ("e.csv", 'text,x\n"good, yes\nbad",1\nfine,0\n', ("--quoting", "none"), ['"good', 'bad"', "fine"]),
        ("f.csv", "text;a,label\ngood;x,1\nbad;y,0\n", ("--delimiter", ";"), ["bad", "good"]),
        ("g.txt", "good\t1\nbad\t0\n", ("--delimiter", "none"), ["bad\t0", "good\t1"]),
    ],
)
def test_the_option_settles_the_doubt(
    clvq: Clvq, bert: Path, tmp_path: Path, name: str, content: str, options: tuple[Any, ...], expected: list[str]
) -> None:
    ended = extract(clvq, bert, tmp_path / name, content, *options, "--label-column", "none")
    assert ended.code == 0, ended.err
    assert [text for text, _ in stored(tmp_path)] == expected


def test_the_options_decide_the_result(clvq: Clvq, bert: Path, tmp_path: Path) -> None:
    first = extract(clvq, bert, tmp_path / "a.csv", written(PLAIN, ";"))
    assert first.code == 0, first.err
    again = extract(clvq, bert, tmp_path / "a.csv", written(PLAIN, ";"))
    assert (again.code, "is up to date" in again.err) == (0, True)
    other = extract(clvq, bert, tmp_path / "a.csv", written(PLAIN, ";"), "--quoting", "quoted")
    assert other.code == 1
    assert "quoting (None there, 'quoted' here)" in other.message


def test_options_of_tables_are_refused_where_there_is_none(clvq: Clvq, bert: Path, tmp_path: Path) -> None:
    ended = extract(clvq, bert, tmp_path / "a.jsonl", '{"text": "a"}\n{"text": "b"}\n', "--delimiter", ";")
    assert ended.code == 1
    assert "--delimiter" in ended.message and "a.jsonl" in ended.message
    ended = extract(clvq, bert, tmp_path / "a.csv", written(PLAIN, ";"), "--delimiter", "::")
    assert ended.code == 1
    assert "one character" in ended.message


@pytest.mark.parametrize(
    ("encoding", "says"),
    [
        ("latin1", "iconv -f cp1252 -t utf-8"),
        ("cp1252", "iconv -f cp1252 -t utf-8"),
        ("cp1251", "iconv -f ENCODING -t utf-8"),
    ],
)
def test_the_advice_about_an_encoding_works(clvq: Clvq, bert: Path, tmp_path: Path, encoding: str, says: str) -> None:
    rows = [("очень хороший фильм", 1), ("плохой", 0)] if encoding == "cp1251" else ACCENTS
    content = written(rows, ",").encode(encoding)
    ended = extract(clvq, bert, tmp_path / "a.csv", content)
    assert ended.code == 1
    assert says in ended.message
    named = "cp1251" if encoding == "cp1251" else ended.message.split("iconv -f ")[1].split()[0]
    assert named in ended.message
    assert extract(clvq, bert, tmp_path / "a.csv", content.decode(named).encode()).code == 0
    assert stored(tmp_path) == sorted(rows)
