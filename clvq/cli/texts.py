"""Texts that the user gives to a command: on the command line, on standard input, or in a file."""

from __future__ import annotations

import codecs
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from clvq.cli.errors import UsageError
from clvq.cli.output import counted
from clvq.config import Quoting
from clvq.config.prompts import TEXT, TEXT_PAIR
from clvq.errors import ClvqError
from clvq.progress import Progress, Report

if TYPE_CHECKING:
    from clvq.corpus.columns import Rows
    from clvq.corpus.tables import Table
    from clvq.training.checkpoint import Checkpoint

Given = str | dict[str, str]
"""A text, or a value for each part of a text."""

TextFile = Annotated[Path | None, "File with texts: .txt (one text per line), .jsonl, .json, .csv, .tsv or .parquet."]
TextColumn = Annotated[str | None, "Column of --file with the text [recognised by its name]."]
PairColumn = Annotated[
    str | None,
    "Column of --file with the second text, for pairs or a prompt with {text_pair} [recognised by its name].",
]
Delimiter = Annotated[str | None, "Separator of the fields in --file, as for clvq extract [recognised]."]
FileQuoting = Annotated[Quoting | None, "Meaning of double quotes in --file, as for clvq extract [recognised]."]
Header = Annotated[bool | None, "Whether the first line of --file holds the names of the columns, as for clvq extract."]

Parts = Annotated[
    list[str] | None,
    "Another part that the model reads beside each text, as NAME=VALUE: text_pair=... for a model of sentence "
    "pairs, and any other column of the prompt; once for each part. It is the same for all texts; parts "
    "of --file that are not given are columns of it.",
]


def parts_of(given: list[str] | None) -> dict[str, str]:
    """Return the parts that `--part` gives, which all texts share; UsageError for an entry that is not NAME=VALUE."""
    values: dict[str, str] = {}
    for part in given or ():
        name, equals, value = part.partition("=")
        if not equals or not name.strip() or name.strip() in ("text", *values):
            raise UsageError(f"--part is NAME=VALUE, once for each part beside the text; it is {part!r}.")
        values[name.strip()] = value
    return values


@dataclass(frozen=True)
class GivenTexts:
    """The texts and the options for them as typed; UsageError where these cannot be combined."""

    text: list[str] | None
    file: Path | None = None
    text_column: str | None = None
    text_pair_column: str | None = None
    delimiter: str | None = None
    quoting: Quoting | None = None
    header: bool | None = None
    part: list[str] | None = None
    _same: dict[str, str] = field(init=False)
    """Parts that all texts share."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_same", parts_of(self.part))
        if self.text is not None and self.file is not None:
            raise UsageError("Texts and --file are given. Give one of the two.")
        of_file = ("text_column", "text_pair_column", "delimiter", "quoting", "header")
        if self.file is None and (unused := [name for name in of_file if getattr(self, name) is not None]):
            raise UsageError(f"--{unused[0].replace('_', '-')} is given without --file.")
        if self.text is not None and "-" in self.text and len(self.text) > 1:
            raise UsageError("- reads the texts from standard input, so it stands alone.")
        if self.none and self._same:
            raise UsageError("--part is for texts, and none are given.")

    @property
    def none(self) -> bool:
        return self.text is None and self.file is None

    @property
    def source(self) -> str:
        return str(self.file) if self.file is not None else "standard input"

    def read(self, checkpoint: Checkpoint) -> Iterator[Given]:
        """Yield the texts one by one, blank ones too, with the other parts that the model of a checkpoint reads.

        ClvqError for a file or input that cannot be read, and for a file that lacks a part.
        """
        if self.file is not None:
            yield from self._of_file(self.file, checkpoint)
            return
        for text in _of_standard_input() if self.text == ["-"] else self.text or ():
            yield {TEXT: text, **self._same} if self._same else text

    def filled(self, checkpoint: Checkpoint, report: Report) -> dict[int, Given]:
        """Return the texts by their numbers, from 0. Blank texts of a file or of standard input are left out, and how
        many is reported.

        ClvqError where every one of these is blank.
        """
        texts = dict(enumerate(self.read(checkpoint)))
        if self.file is None and self.text != ["-"]:
            return texts
        filled = {number: text for number, text in texts.items() if _is_visible(text)}
        if not filled:
            raise ClvqError(f"{self.source} holds no text.")
        if len(filled) < len(texts):
            blank = len(texts) - len(filled)
            left_out = "is left out" if blank == 1 else "are left out"
            report(Progress("texts", note=f"{counted(blank, 'blank text')} of {self.source} {left_out}."))
        return filled

    def _of_file(self, file: Path, checkpoint: Checkpoint) -> Iterator[Given]:
        from clvq.corpus.delimited import FileOptions
        from clvq.corpus.parts import split_parts
        from clvq.corpus.sources import open_source

        if not file.is_file():
            raise ClvqError(f"There is no file {file}. Check --file.")
        names = tuple(name for name in _parts_read(checkpoint) if name not in self._same)
        if self.text_pair_column is not None and TEXT_PAIR not in names:
            raise UsageError(
                f"--text-pair-column is given, and texts of {checkpoint.path} have no second text to read."
            )
        named = (self.text_column, self.text_pair_column, *names)
        columns = tuple(name for name in named if name and name not in (TEXT, TEXT_PAIR))
        options = FileOptions(self.delimiter, self.quoting, self.header, columns)
        words = checkpoint.description().settings.words
        rows = self._rows(open_source(str(file), options=options).table("train"), names, words == "whitespace")
        for text, _ in rows.read():
            if len(names) == 1 and not self._same:
                yield text or ""
            else:
                values = [""] * len(names) if text is None else split_parts(text, len(names))
                yield {**dict(zip(names, values, strict=True)), **self._same}

    def _rows(self, table: Table, names: tuple[str, ...], join_tokens: bool) -> Rows:
        """Return the columns of a file that are parts of the texts; ClvqError where a column is missing."""
        from clvq.corpus.columns import Hints, Parts, Rows

        for name in names:
            if name not in (TEXT, TEXT_PAIR, *table.columns.reachable):
                raise ClvqError(
                    f"{table.origin} has no column {name!r}, and the prompt has {{{name}}}. Give a file with that "
                    f"column, or --part {name}=VALUE for all texts. It has: {', '.join(table.columns.reachable)}."
                )
        hints = Hints(join_tokens=join_tokens)
        return Rows.choose(table, self.text_column, "", hints, Parts(names, self.text_pair_column))


def _is_visible(text: Given) -> bool:
    """Return whether a text has a character that is neither white space nor a format character such as U+200B."""
    written = text if isinstance(text, str) else text[TEXT]
    return any(not character.isspace() and unicodedata.category(character) != "Cf" for character in written)


def _parts_read(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the names of the parts that make up a text for the model of a checkpoint."""
    from clvq.language_model.input_format import InputFormat

    return (checkpoint.config.provenance.model.input_format or InputFormat()).parts


def _of_standard_input() -> Iterator[str]:
    """Yield one text per line, without its line end; ClvqError where standard input is closed or not UTF-8."""
    if sys.stdin is None:
        raise ClvqError("Standard input is closed. Give the texts on the command line, or with --file.")
    for number, line in enumerate(sys.stdin.buffer, 1):
        if b"\0" in line:
            order = "utf-16" if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-16le"
            raise ClvqError(
                f"Standard input, line {number}: it holds zero bytes, so it seems to be UTF-16 and not UTF-8. Convert "
                f"it, for example with: iconv -f {order} -t utf-8"
            )
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise ClvqError(
                f"Standard input, line {number}: byte 0x{error.object[error.start]:02x} is not UTF-8. "
                "Convert it, for example with: iconv -f latin1 -t utf-8"
            ) from error
