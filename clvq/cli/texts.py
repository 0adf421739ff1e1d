"""Texts that a command is given: on the command line, on standard input, or in a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from clvq.cli.errors import UsageError
from clvq.config import Quoting
from clvq.errors import ClvqError
from clvq.progress import Progress, Report

TextFile = Annotated[Path | None, "File with texts: .txt (one text per line), .jsonl, .json, .csv, .tsv or .parquet."]
TextColumn = Annotated[str | None, "Column of --file with the text [recognised by its name]."]
Delimiter = Annotated[str | None, "Separator of the fields in --file, as for clvq extract [recognised]."]
FileQuoting = Annotated[Quoting | None, "Meaning of double quotes in --file, as for clvq extract [recognised]."]
Header = Annotated[bool | None, "Whether the first line of --file holds the names of the columns, as for clvq extract."]

Parts = Annotated[
    list[str] | None,
    "Another part that the model reads beside each text, as NAME=VALUE: text_pair=... for a model of sentence "
    "pairs, and any other column of the prompt; once for each part.",
]


def parts_of(given: list[str] | None) -> dict[str, str]:
    """Return what `--part` names, the same for all texts; UsageError for what is not NAME=VALUE."""
    values: dict[str, str] = {}
    for part in given or ():
        name, equals, value = part.partition("=")
        if not equals or not name.strip() or name.strip() in ("text", *values):
            raise UsageError(f"--part is NAME=VALUE, once for each part beside the text; it is {part!r}.")
        values[name.strip()] = value
    return values


@dataclass(frozen=True)
class GivenTexts:
    """What was typed; UsageError where it does not go together."""

    text: list[str] | None
    file: Path | None
    text_column: str | None
    delimiter: str | None
    quoting: Quoting | None
    header: bool | None

    def __post_init__(self) -> None:
        if self.text is not None and self.file is not None:
            raise UsageError("Texts and --file are given. Give one of the two.")
        of_file = ("text_column", "delimiter", "quoting", "header")
        if self.file is None and (unused := [name for name in of_file if getattr(self, name) is not None]):
            raise UsageError(f"--{unused[0].replace('_', '-')} is given without --file.")
        if self.text is not None and "-" in self.text and len(self.text) > 1:
            raise UsageError("- reads the texts from standard input, so it stands alone.")

    @property
    def none(self) -> bool:
        return self.text is None and self.file is None

    @property
    def source(self) -> str:
        return str(self.file) if self.file is not None else "standard input"

    def read(self) -> Iterator[str]:
        """Yield the texts one by one, blank ones too. ClvqError for a file or input that cannot be read."""
        if self.file is not None:
            yield from self._of_file(self.file)
        elif self.text == ["-"]:
            yield from _of_standard_input()
        else:
            yield from self.text or ()

    def filled(self, report: Report) -> list[str]:
        """Return the texts; those of a file or of standard input without the blank ones, which is told."""
        texts = list(self.read())
        if self.file is None and self.text != ["-"]:
            return texts
        filled = [text for text in texts if text.strip()]
        if not filled:
            raise ClvqError(f"{self.source} holds no text to explain.")
        if len(filled) < len(texts):
            report(Progress("texts", note=f"{len(texts) - len(filled)} blank texts of {self.source} are left out."))
        return filled

    def _of_file(self, file: Path) -> Iterator[str]:
        from clvq.corpus.columns import Rows
        from clvq.corpus.delimited import FileOptions
        from clvq.corpus.sources import open_source

        if not file.is_file():
            raise ClvqError(f"There is no file {file}. Check --file.")
        columns = () if self.text_column is None else (self.text_column,)
        options = FileOptions(self.delimiter, self.quoting, self.header, columns)
        table = open_source(str(file), options=options).table("train")
        yield from (text or "" for text, _ in Rows.choose(table, self.text_column, "").read())


def _of_standard_input() -> Iterator[str]:
    """Yield one text a line."""
    if sys.stdin is None:
        raise ClvqError("Standard input is closed. Give the texts on the command line, or with --file.")
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\n")
        except UnicodeDecodeError as error:
            raise ClvqError(
                f"Standard input, line {number}: byte 0x{error.object[error.start]:02x} is not UTF-8. "
                "Convert it, for example with: iconv -f latin1 -t utf-8"
            ) from error
