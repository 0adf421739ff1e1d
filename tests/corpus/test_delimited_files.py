"""Delimited files of every make, with texts that hold what separates fields: read as written."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clvq.corpus.settings import CorpusSettings
from clvq.corpus.splits import load_corpus

WORDS = st.sampled_from([
    "good", "bad", "film,", "a;b", "tab\there", 'say "x"', '"', "'", "|", "3,5", "1;2", "two\nlines", "ünïcode", "世界",
    "😀", "#", "NA", "null", "=1+1", "\\", "\\n", "--", "end.",
])  # fmt: skip
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=6).map(" ".join), min_size=12, max_size=24)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("suffix", "delimiter"), [("csv", ","), ("csv", ";"), ("csv", "\t"), ("csv", "|"), ("tsv", "\t")]
)
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    texts=TEXTS,
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
    first=st.sampled_from(["", "sep={}", '"sep={}"']),
)
def test_rows_are_as_written(
    suffix: str,
    delimiter: str,
    encoding: str,
    texts: list[str],
    quoting: int,
    end: str,
    first: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    rows = [(f"{number} {text}", ("neg", "pos")[number % 2]) for number, text in enumerate(texts)]
    written = io.StringIO()
    written.write(first.format(delimiter) + end if first else "")  # Excel's line that names the delimiter
    writer = csv.writer(written, delimiter=delimiter, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writerows([("text", "label"), *rows])
    path = Path(tmp_path_factory.mktemp("files")) / f"reviews.{suffix}"
    path.write_bytes(written.getvalue().encode(encoding))
    corpus = load_corpus(CorpusSettings(str(path)))
    names = corpus.label_names
    assert names == ["neg", "pos"]
    read = [(one.text, names[one.label or 0]) for split in ("train", "eval") for one in corpus.sentences(split)]
    assert sorted(read) == sorted(rows)
