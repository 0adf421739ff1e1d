"""`clvq explain`: why the language model predicts what it does, in words and concepts."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from clvq.artifacts import DEFAULT_RUN
from clvq.cli.errors import UsageError
from clvq.cli.explain_view import shown
from clvq.cli.options import command
from clvq.cli.output import Result
from clvq.cli.run_folder import Named, Run, checkpoint_paths, named_checkpoint, run_option
from clvq.config import ExplainConfig, Quoting
from clvq.errors import ClvqError
from clvq.explanations.records import TOP_WORDS
from clvq.progress import Progress, Report
from clvq.storage import write_text

if TYPE_CHECKING:
    from clvq.explanations.results import Explanations


@command((ExplainConfig, "Attribution"))
def explain(
    report: Report,
    text: Annotated[list[str] | None, "Texts to explain, or - for standard input [the evaluation split]."] = None,
    *,
    run: Run = DEFAULT_RUN,
    checkpoint: Named = None,
    file: Annotated[
        Path | None, "File with texts to explain: .txt (one text per line), .jsonl, .json, .csv, .tsv or .parquet."
    ] = None,
    text_column: Annotated[str | None, "Column of --file with the text [recognised by its name]."] = None,
    delimiter: Annotated[str | None, "Separator of the fields in --file, as for clvq extract [recognised]."] = None,
    quoting: Annotated[Quoting | None, "Meaning of double quotes in --file, as for clvq extract [recognised]."] = None,
    header: Annotated[
        bool | None, "Whether the first line of --file holds the names of the columns, as for clvq extract."
    ] = None,
    part: Annotated[
        list[str] | None,
        "Another part that the model reads beside each text, as NAME=VALUE: text_pair=... for a model of sentence "
        "pairs, and any other column of the prompt; once for each part.",
    ] = None,
    html: Annotated[Path | None, "Also write the result to this file, as an HTML page."] = None,
    overwrite: Annotated[bool, "Explain the evaluation split again."] = False,
    **given: Any,
) -> Result:
    """Explain predictions of the language model by words and their concepts.

    Without texts, the whole evaluation split is explained, and the result is stored beside the checkpoint, as
    explanations.jsonl.
    """
    import clvq

    if text is not None and file is not None:
        raise UsageError("Texts and --file are given. Give one of the two.")
    layout = {"text_column": text_column, "delimiter": delimiter, "quoting": quoting, "header": header}
    if file is None and (unused := [name for name, value in layout.items() if value is not None]):
        raise UsageError(f"--{unused[0].replace('_', '-')} is given without --file.")
    texts = _texts(text, file, layout, report)
    if overwrite and texts is not None:
        raise UsageError(
            "--overwrite is for the stored evaluation split, and texts are given. Leave out one of the two."
        )
    if text is not None and checkpoint is None:
        _refuse_checkpoint_names(run, text)
    if part is not None and texts is None:
        raise UsageError("--part is for texts, and none are given.")
    explanations = clvq.explain(
        named_checkpoint(run, checkpoint), _with_parts(texts, part), overwrite=overwrite, progress=report, **given
    )
    if html is not None:
        from clvq.explanations.page import explanations_page

        write_text(html, explanations_page(explanations))
        report(Progress("explain", note=f"The page is {html}."))
    hint = None if texts else f"Next: clvq report{run_option(run)}"
    return Result(_document(explanations), shown(explanations, stored=texts is None), hint)


def _with_parts(texts: list[str] | None, parts: list[str] | None) -> list[str] | list[dict[str, str]] | None:
    """The texts, each with the other parts that are given for all of them."""
    if texts is None or parts is None:
        return texts
    values: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or not name.strip() or name.strip() in ("text", *values):
            raise UsageError(f"--part is NAME=VALUE, once for each part beside the text; it is {part!r}.")
        values[name.strip()] = value
    return [{"text": text, **values} for text in texts]


def _refuse_checkpoint_names(run: Path, texts: list[str]) -> None:
    """UsageError for a text that is the name or path of a checkpoint; with --checkpoint it is taken for a text."""
    names = {name for path in checkpoint_paths(run) for name in (path.name, os.path.normpath(path))}
    for text in texts:
        if text in names or os.path.normpath(text) in names:
            raise UsageError(
                f"{text!r} is the name of a checkpoint, and explain takes texts. Type --checkpoint {shlex.quote(text)} "
                "to explain with that checkpoint. Where --checkpoint is given, the name can be a text too."
            )


def _document(explanations: Explanations) -> dict[str, Any]:
    """Return what --json prints: the explanations, and the concepts of their salient words."""
    summary = explanations.summary
    codes = {word.code for sentence in explanations.sentences for word in sentence.salient}
    return {
        "path": str(explanations.codebook.checkpoint.path),
        "model": summary.model,
        "settings": summary.settings,
        "target": summary.target,
        "label_names": summary.label_names,
        "summary": summary.figures.as_json(),
        "rationales": None if summary.rationales is None else summary.rationales.as_json(),
        "sentences": [sentence.as_json() for sentence in explanations.sentences],
        "concepts": [
            {"code": concept.code, "top_words": [word.word for word in concept.top_words[:TOP_WORDS]]}
            for concept in explanations.codebook.concepts
            if concept.code in codes
        ],
    }


def _texts(text: list[str] | None, file: Path | None, of_file: dict[str, Any], report: Report) -> list[str] | None:
    """The texts that are given, or None; blank lines of a file or of standard input are no texts."""
    if file is not None:
        return _filled(_of_file(file, **of_file), str(file), report)
    if text is None:
        return None
    if "-" not in text:
        return text
    if len(text) > 1:
        raise UsageError("- reads the texts from standard input, so it stands alone.")
    return _filled(_of_standard_input(), "standard input", report)


def _of_file(file: Path, text_column: str | None, **layout: Any) -> list[str]:
    from clvq.corpus.columns import Rows
    from clvq.corpus.delimited import FileOptions
    from clvq.corpus.sources import open_source

    if not file.is_file():
        raise ClvqError(f"There is no file {file}. Check --file.")
    options = FileOptions(**layout, columns=() if text_column is None else (text_column,))
    table = open_source(str(file), options=options).table("train")
    return [text or "" for text, _ in Rows.choose(table, text_column, "").read()]


def _of_standard_input() -> list[str]:
    """One text a line."""
    if sys.stdin is None:
        raise ClvqError("Standard input is closed. Give the texts on the command line, or with --file.")
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ClvqError(
            f"Standard input, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8. "
            "Convert it, for example with: iconv -f latin1 -t utf-8"
        ) from error


def _filled(texts: list[str], source: str, report: Report) -> list[str]:
    """The texts that are not blank; a line's end at the end of the input is no blank text."""
    texts = texts[:-1] if texts and not texts[-1] else texts
    filled = [text for text in texts if text.strip()]
    if not filled:
        raise ClvqError(f"{source} holds no text to explain.")
    if len(filled) < len(texts):
        report(Progress("explain", note=f"{len(texts) - len(filled)} blank texts of {source} are left out."))
    return filled
