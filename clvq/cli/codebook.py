"""`clvq codebook`: the concepts of a checkpoint -> RUN/NAME/concepts.jsonl, as tables, files and comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from clvq.cli import codebook_pair_tables, codebook_tables
from clvq.cli.errors import UsageError
from clvq.cli.options import Run, command
from clvq.cli.output import Result
from clvq.errors import ClvqError
from clvq.progress import Report

if TYPE_CHECKING:
    from clvq.concepts.codebook import Codebook

SCREENFUL = 20
"""Lines of a table where --limit is not given."""

Sort = Literal["words", "sentences", "label", "spread", "code"]


@command()
def codebook(
    report: Report,
    checkpoint: Annotated[Path | None, "Checkpoint: a name in the run folder, or a path [the only one there]."] = None,
    *,
    run: Run = Path("clvq-run"),
    code: Annotated[int | None, "One concept in full."] = None,
    search: Annotated[str | None, "Concepts whose words match a regular expression, such as '^awful$'."] = None,
    sort: Annotated[Sort, "Order: most words or sentences, surest label, tightest, or by code."] = "words",
    label: Annotated[str | None, "Only concepts that this class is over-represented in, at q <= 0.05."] = None,
    limit: Annotated[int | None, "Lines of the table [20; with --json all]."] = None,
    export: Annotated[Path | None, "Write a .csv .parquet .jsonl (concepts) .safetensors .npy (codes)."] = None,
    against: Annotated[Path | None, "Another checkpoint over the same words: are its concepts the same?"] = None,
    flow: Annotated[
        Path | None, "Another checkpoint over the same words: into which of its concepts do these turn?"
    ] = None,
    overwrite: Annotated[bool, "Make the concepts again; with --export, replace that file instead."] = False,
) -> Result:
    """Show the concepts of a checkpoint.

    A concept is a code with the words of the training split that it is nearest to. The first time they are found in
    one pass over the activations and written beside the checkpoint, as concepts.jsonl; after that they are read.
    """
    from clvq.concepts import export as concept_export
    from clvq.concepts import search as concept_search
    from clvq.concepts.codebook import codebook as catalogue
    from clvq.training.checkpoint import find_checkpoint

    views = {"--code": code, "--search": search, "--export": export, "--against": against, "--flow": flow}
    view = _only([name for name, value in views.items() if value is not None], sort, label, limit)
    if search is not None:
        concept_search.compiled(search)
    if export is not None:
        concept_export.checked_path(export, overwrite=overwrite)
    other = None if (named := against or flow) is None else find_checkpoint(run, named)
    found = catalogue(find_checkpoint(run, checkpoint), overwrite=overwrite and export is None, progress=report)
    lines = SCREENFUL if limit is None else limit
    if code is not None:
        concept = found.concept(code)
        return Result(_document(found, concept=concept), codebook_tables.one_concept(found, concept))
    if search is not None:
        result = concept_search.search(found, search)
        document = _document(found, **{**result, "concepts": result["concepts"][:limit]})
        return Result(document, codebook_tables.matches(found, result, lines), _rest(result["concepts"], lines))
    if export is not None:
        path = concept_export.export(found, export, overwrite=overwrite)
        size = path.stat().st_size
        return Result(_document(found, exported=str(path), bytes=size), codebook_tables.exported(path, size))
    if other is not None:
        return _pair(found, catalogue(other, progress=report), view, limit)
    concepts = _chosen(found, sort, label)
    document = _document(found, **found.summary, results=found.checkpoint.results, concepts=concepts[:limit])
    return Result(document, codebook_tables.all_concepts(found, concepts[:lines]), _rest(concepts, lines, "--code N"))


def _only(given: list[str], sort: str, label: str | None, limit: int | None) -> str:
    """The one view that is asked for; UsageError where options do not go together."""
    if limit is not None and limit < 1:
        raise UsageError("--limit must be 1 or more.")
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} do not go together: each shows something of its own.")
    view = given[0] if given else ""
    of_table = [name for name, used in (("--sort", sort != "words"), ("--label", label is not None)) if used]
    if view and of_table:
        raise UsageError(f"{of_table[0]} is for the table of all concepts, not for {view}.")
    if view in ("--code", "--export") and limit is not None:
        raise UsageError(f"--limit is for tables, not for {view}.")
    return view


def _chosen(found: Codebook, sort: str, label: str | None) -> list[dict[str, Any]]:
    """The concepts, of one label if it is named, in the order that is asked for; equal ones by their codes."""
    concepts = list(found.concepts)
    if label is not None:
        number = _label_number(found, label)
        concepts = [
            concept
            for concept in concepts
            if concept["labels"] is not None
            and (concept["labels"]["label"], concept["labels"]["q"] <= found.summary["fdr"]) == (number, True)
        ]
    keys: dict[str, Any] = {
        "words": lambda concept: -concept["words"],
        "sentences": lambda concept: -concept["sentences"],
        "label": lambda concept: (
            (concept["labels"]["q"], -concept["labels"]["lift"]) if concept["labels"] else (2.0, 0.0)
        ),
        "spread": lambda concept: concept["spread"],
        "code": lambda concept: concept["code"],
    }
    return sorted(concepts, key=keys[sort])


def _label_number(found: Codebook, label: str) -> int:
    """The class of a name, or of its number; ClvqError that gives the names there are."""
    totals = found.summary["label_totals"]
    if totals is None:
        raise ClvqError(f"The corpus of {found.checkpoint.path} has no labels; --label has nothing to choose by.")
    names = [codebook_tables.class_name(found, number) for number in range(len(totals))]
    if label in names:
        return names.index(label)
    if label.isdecimal() and int(label) < len(names):
        return int(label)
    raise ClvqError(f"There is no label {label!r} in {found.checkpoint.path}: its labels are {', '.join(names)}.")


def _pair(found: Codebook, other: Codebook, view: str, limit: int | None) -> Result:
    """The table and the document of --against or --flow."""
    from clvq.concepts import pairs as codebook_pairs

    compare, show, key = {
        "--against": (codebook_pairs.against, codebook_pair_tables.against, "pairs"),
        "--flow": (codebook_pairs.flow, codebook_pair_tables.flow, "arrows"),
    }[view]
    result = compare(found, other)
    lines = SCREENFUL if limit is None else limit
    shown = show(found, other, result, lines)
    return Result({**result, key: result[key][:limit]}, shown, _rest(result[key], lines))


def _document(found: Codebook, **rest: Any) -> dict[str, Any]:
    return {"path": str(found.checkpoint.path), **rest}


def _rest(entries: list[Any], lines: int, more: str = "") -> str | None:
    """A word on what the table leaves out."""
    if len(entries) <= lines:
        return None
    return f"{lines} of {len(entries):,} shown; --limit {len(entries)} shows all" + (
        f", {more} one in full." if more else "."
    )
