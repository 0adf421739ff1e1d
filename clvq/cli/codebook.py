"""`clvq codebook`: the concepts of a checkpoint -> RUN/NAME/concepts.jsonl, as tables, files and comparisons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.text import Text

from clvq.artifacts import DEFAULT_RUN
from clvq.cli import codebook_pair_tables, codebook_search_table, codebook_tables
from clvq.cli.errors import UsageError
from clvq.cli.options import command
from clvq.cli.output import Result, plain
from clvq.cli.run_folder import Named, Run, named_checkpoint
from clvq.concepts.records import twins
from clvq.errors import ClvqError
from clvq.progress import Progress, Report
from clvq.storage import size_text

if TYPE_CHECKING:
    from clvq.concepts.codebook import Codebook
    from clvq.concepts.records import Concept

SCREENFUL = 20
"""Number of lines of a table where --limit is not given."""

Sort = Literal["words", "sentences", "label", "spread", "code"]


@command()
def codebook(
    report: Report,
    *,
    run: Run = DEFAULT_RUN,
    checkpoint: Named = None,
    code: Annotated[int | None, "Show the concept of this code in full."] = None,
    rename: Annotated[
        str | None, "With --code: name its concept so wherever it is shown; an empty name brings back the made one."
    ] = None,
    names: Annotated[
        Path | None, "File of names and notes that the report's page exported: keep them, as --rename does."
    ] = None,
    search: Annotated[
        str | None, "Show the concepts with words, or given names, that match a regular expression like '^awful$'."
    ] = None,
    sort: Annotated[
        Sort, "Order of the concepts: most words, most sentences, lowest q of a label, lowest spread, or by code."
    ] = "words",
    label: Annotated[str | None, "Show only concepts in which this class is over-represented, at q <= 0.05."] = None,
    limit: Annotated[int | None, "Number of lines in the table [20; with --json all]."] = None,
    export: Annotated[
        Path | None, "File to write: .csv, .parquet or .jsonl for the concepts, .safetensors or .npy for the codes."
    ] = None,
    against: Annotated[Path | None, "Compare with the concepts of another checkpoint over the same words."] = None,
    flow: Annotated[
        Path | None, "Show which concepts of another checkpoint over the same words hold the words of each concept."
    ] = None,
    overwrite: Annotated[bool, "Make the concepts again; with --export, replace the exported file instead."] = False,
) -> Result:
    """Show the concepts of a checkpoint.

    A concept is a code, with the words of the training split that are nearest to this code. The first run makes the
    concepts in one pass over the activations and stores them beside the checkpoint, as concepts.jsonl. Later runs
    read that file.
    """
    from clvq.concepts.codebook import codebook as catalogue

    views = {"--code": code, "--search": search, "--export": export, "--against": against, "--flow": flow}
    _refuse_several([name for name, value in views.items() if value is not None], sort, label, limit)
    if rename is not None and code is None:
        raise UsageError("--rename is for one concept: say which with --code.")
    if search is not None:
        from clvq.concepts.search import compiled

        compiled(search)
    if export is not None:
        from clvq.concepts.export import checked_path

        checked_path(export, overwrite=overwrite)
    other = None if (named := against or flow) is None else named_checkpoint(run, named, report)
    book = catalogue(named_checkpoint(run, checkpoint, report), overwrite=overwrite and export is None, progress=report)
    if names is not None:
        count = book.import_names(names)
        report(Progress("codebook", note=f"Names and notes of {count:,} concepts were read from {names}."))
    if code is not None:
        return _one(book, code, rename)
    if search is not None:
        return _found(book, search, limit)
    if export is not None:
        return _exported(book, export, overwrite=overwrite)
    if other is not None:
        compared = _against if against is not None else _flow
        return compared(book, catalogue(other, progress=report), limit)
    return _all(book, _wanted(book, sort, label), limit)


def _one(book: Codebook, code: int, rename: str | None) -> Result:
    """Show one concept in full (--code), under a new name where one is given."""
    if rename is not None:
        book.rename(code, rename)
    concept = book.concept(code)
    document = _document(book, name=book.name(code), note=book.notes.get(code), concept=concept.as_json())
    return Result(document, codebook_tables.one_concept(book, concept))


def _found(book: Codebook, pattern: str, limit: int | None) -> Result:
    """Show the concepts with words or names that match (--search)."""
    from clvq.concepts.search import search

    result = search(book, pattern)
    document = _document(book, **replace(result, concepts=result.concepts[:limit]).as_json())
    lines = _lines(limit)
    return Result(document, codebook_search_table.matches(book, result, lines), _rest(result.concepts, lines))


def _exported(book: Codebook, path: Path, *, overwrite: bool) -> Result:
    """Write a file for other tools (--export)."""
    from clvq.concepts.export import export

    path = export(book, path, overwrite=overwrite)
    size = path.stat().st_size
    shown = Text(plain(f"{size_text(size)} in {path}"), overflow="fold")
    return Result(_document(book, exported=str(path), bytes=size), [shown])


def _against(book: Codebook, other: Codebook, limit: int | None) -> Result:
    """Compare the concepts with those of another checkpoint (--against)."""
    from clvq.concepts.pairs import against

    result, lines = against(book, other), _lines(limit)
    document = replace(result, pairs=result.pairs[:limit]).as_json()
    return Result(document, codebook_pair_tables.against(book, other, result, lines), _rest(result.pairs, lines))


def _flow(book: Codebook, other: Codebook, limit: int | None) -> Result:
    """Show which concepts of another checkpoint hold the words of each concept (--flow)."""
    from clvq.concepts.pairs import flow

    result, lines = flow(book, other), _lines(limit)
    document = replace(result, arrows=result.arrows[:limit]).as_json()
    return Result(document, codebook_pair_tables.flow(book, other, result, lines), _rest(result.arrows, lines))


def _all(book: Codebook, concepts: list[Concept], limit: int | None) -> Result:
    """Show the figures of the codebook, and one line per concept. This is the output without a view option."""
    lines = _lines(limit)
    document = _document(
        book,
        **book.summary.as_json(),
        results=book.checkpoint.results.as_json(),
        twins=[list(pair) for pair in twins(book.concepts)],
        concepts=[book.described(concept) for concept in concepts[:limit]],
    )
    return Result(document, codebook_tables.all_concepts(book, concepts[:lines]), _rest(concepts, lines, "--code N"))


def _refuse_several(given: list[str], sort: str, label: str | None, limit: int | None) -> None:
    """Raise UsageError where the `given` view options, or other options, cannot be combined."""
    if limit is not None and limit < 1:
        raise UsageError("--limit must be 1 or more.")
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} cannot be used together: each shows another view.")
    view = given[0] if given else ""
    table_options = [name for name, used in (("--sort", sort != "words"), ("--label", label is not None)) if used]
    if view and table_options:
        raise UsageError(f"{table_options[0]} is for the table of all concepts, not for {view}.")
    if view in ("--code", "--export") and limit is not None:
        raise UsageError(f"--limit is for tables, not for {view}.")


def _wanted(book: Codebook, sort: str, label: str | None) -> list[Concept]:
    """Return the concepts, or those of the label that is named, in the order asked for; ties are ordered by code."""
    concepts = list(book.concepts)
    if label is not None:
        number = _label_number(book, label)
        concepts = [
            concept
            for concept in concepts
            if concept.labels is not None
            and concept.labels.label == number
            and concept.labels.is_significant(book.summary.fdr)
        ]
    keys: dict[str, Callable[[Concept], Any]] = {
        "words": lambda concept: -concept.words,
        "sentences": lambda concept: -concept.sentences,
        "label": lambda concept: (concept.labels.q, -concept.labels.lift) if concept.labels else (2.0, 0.0),
        "spread": lambda concept: concept.spread,
        "code": lambda concept: concept.code,
    }
    return sorted(concepts, key=keys[sort])


def _label_number(book: Codebook, label: str) -> int:
    """Return the class with this name or number; ClvqError, with the names that exist, where there is none."""
    from clvq.corpus.labels import class_number

    totals = book.summary.label_totals
    if totals is None:
        raise ClvqError(f"The corpus of {book.checkpoint.path} has no labels, so --label cannot be used.")
    names = [codebook_tables.class_name(book, number) for number in range(len(totals))]
    number = class_number(label, names)
    if number is None:
        raise ClvqError(f"There is no label {label!r} in {book.checkpoint.path}: its labels are {', '.join(names)}.")
    return number


def _document(book: Codebook, **rest: Any) -> dict[str, Any]:
    return {"path": str(book.checkpoint.path), **rest}


def _lines(limit: int | None) -> int:
    return SCREENFUL if limit is None else limit


def _rest(entries: list[Any], lines: int, more: str = "") -> str | None:
    """Return a sentence on how much the table leaves out; None where it leaves out nothing."""
    if len(entries) <= lines:
        return None
    return f"{lines} of {len(entries):,} shown; --limit {len(entries)} shows all" + (
        f", {more} one in full." if more else "."
    )
