"""How `clvq codebook` looks: figures of the codebook, a line a concept, one concept in full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from clvq.artifacts import short_name
from clvq.cli.output import heading, number, percent, plain, table
from clvq.storage import size_text

if TYPE_CHECKING:
    from clvq.concepts.codebook import Codebook

WIDE = 100
"""Columns of a terminal from which on there is room for more than the main figures."""
NAME_WIDTH = 20
"""Most characters of a word in a column of words."""
LABEL_WIDTH = 12
CLASSES = 6
CONTEXT = 110
"""Characters of an example on each side of its word."""


def all_concepts(found: Codebook, concepts: list[dict[str, Any]]) -> list[RenderableType]:
    return [title(found, "Concepts of"), "", _figures(found), "", ConceptTable(found, concepts)]


def title(found: Codebook, start: str) -> Text:
    """What the tables below are about: model and layers."""
    name = short_name(found.checkpoint.config["provenance"]["model"]["id"])
    return heading(f"{start} {name}, {found.checkpoint.span}")


def class_name(found: Codebook, place: int | None) -> str:
    names = found.summary["label_names"]
    if place is None:
        return "-"
    return str(names[place]) if names and place < len(names) else f"class {place}"


def words_of(concept: dict[str, Any], most: int = 20) -> Text:
    """The top words in one line; of sentence rows, that it is one of those."""
    text = Text(overflow="ellipsis", no_wrap=True)
    if concept["of_sentence_rows"]:
        text.append(f"({number(concept['sentence_rows'])} sentence rows) ", style="dim")
    return text.append(" ".join(_one_line(entry["word"]) for entry in concept["top_words"][:most]))


def chance(value: float | None) -> str:
    """A probability: 0.012, or 3e-14 where that says more."""
    if value is None:
        return "-"
    return f"{value:.3f}" if value >= 0.001 else "<1e-99" if value < 1e-99 else f"{value:.0e}"


def fitted(made: Table, head: str) -> Table:
    """Adds a column of words that takes what width is left."""
    made.add_column(Text(head), no_wrap=True, overflow="ellipsis", ratio=1)
    made.expand = True
    return made


class Beside:
    """Tables beside each other where they fit the width as they are, else one below the other."""

    def __init__(self, *tables: Table) -> None:
        self.tables = tables

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        wanted = sum(Measurement.get(console, options.update(width=9999), made).maximum + 4 for made in self.tables)
        if wanted - 4 <= options.max_width:
            grid = Table.grid(padding=(0, 4, 0, 0))
            grid.add_row(*self.tables)
            yield grid
            return
        for made in self.tables:
            yield from ([] if made is self.tables[0] else [Text()])
            yield made


class ConceptTable:
    """A line a concept; narrow terminals get fewer columns, and the words take what is left."""

    def __init__(self, found: Codebook, concepts: list[dict[str, Any]]) -> None:
        self.found, self.concepts = found, concepts
        summary = found.summary
        self.kind = "labels" if summary["label_totals"] else "predictions" if summary["prediction_totals"] else None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        wide = options.max_width >= WIDE
        made = table("words", *(["sentences"] if wide else []), title="code")
        fitted(made, "typical words")
        if self.kind:
            made.add_column(Text(self.kind.removesuffix("s")), no_wrap=True, overflow="ellipsis", max_width=LABEL_WIDTH)
            made.add_column(Text("share"), justify="right")
            made.add_column(Text("q"), justify="right", no_wrap=True)
        made.add_column(Text("spread"), justify="right")
        for concept in self.concepts:
            cells: list[RenderableType] = [str(concept["code"]), number(concept["words"])]
            if wide:
                cells.append(number(concept["sentences"]))
            cells.append(words_of(concept))
            if self.kind:
                cells += self._classes(concept[self.kind])
            made.add_row(*cells, number(concept["spread"], 2))
        yield made

    def _classes(self, entry: dict[str, Any] | None) -> list[Text]:
        """The most over-represented class, dimmed where chance explains it."""
        if entry is None:
            return [Text("-"), Text("-"), Text("-")]
        style = "" if entry["q"] <= self.found.summary["fdr"] else "dim"
        name = _one_line(class_name(self.found, entry["label"]))
        return [Text(part, style=style) for part in (name, f"{entry['share']:.0%}", chance(entry["q"]))]


def _figures(found: Codebook) -> Beside:
    """The codebook in figures: its codes, and what they know of the text."""
    figures, results = found.summary["figures"], found.checkpoint.results["evaluation"]
    size = number(figures["codebook_size"])
    codes = table("", title="Codebook")
    codes.add_row("active and dead codes", f"{number(figures['active_codes'])} and {number(figures['dead_codes'])}")
    codes.add_row("on 5 sentences or more", number(figures["active_codes_5"]))
    codes.add_row("perplexity", f"{number(figures['codebook_perplexity'], 1)} of {size}")
    codes.add_row("bits a word", number(figures["bits_per_word"], 2))
    codes.add_row("R² of quantization", number(figures["quantization_r2"]))
    codes.add_row("mean cosine, centred", number(figures["mean_centred_cosine"]))
    codes.add_row("FVU on held-out words", number(results["fvu"]))
    codes.add_row("  own code made the mean", number(results["fvu_own_code_mean"]))
    codes.add_row("  codes shuffled", number(results["fvu_codes_shuffled"]))
    text = table("", title="Training text")
    text.add_row("words", number(figures["words"]))
    text.add_row("word types", number(figures["word_types"]))
    text.add_row("sentence rows", number(figures["sentence_rows"]))
    text.add_row("distinct sentences", number(figures["distinct_sentences"]))
    text.add_row(f"of a label, q ≤ {found.summary['fdr']}", number(figures["label_concepts"]))
    text.add_row("shared information with", "AMI")
    text.add_row("  labels", number(figures["ami_labels"]))
    text.add_row("  predictions", number(figures["ami_predictions"]))
    text.add_row("  word types", number(figures["ami_words"]))
    return Beside(codes, text)


def one_concept(found: Codebook, concept: dict[str, Any]) -> list[RenderableType]:
    """A concept with everything that is stored of it."""
    rows = [f"{number(concept['words'])} words of {number(concept['types'])} types"] if concept["words"] else []
    if concept["sentence_rows"]:
        rows.append(f"{number(concept['sentence_rows'])} sentence rows")
    about = f"{' and '.join(rows)} in {number(concept['sentences'])} distinct sentences"
    if concept["words"]:
        about += f", {concept['share']:.2%} of all words"
    parts: list[RenderableType] = [
        title(found, f"Concept {concept['code']} of"),
        Text(f"{about}; spread {concept['spread']:.2f} (0 is a point, 1 as wide as all words)", style="dim"),
    ]
    if concept["top_words"]:
        half = (len(concept["top_words"]) + 1) // 2
        parts += ["", Beside(*(_words(part) for part in (concept["top_words"][:half], concept["top_words"][half:])))]
    kinds = [kind for kind in ("labels", "predictions") if concept[kind] is not None]
    if kinds:
        parts += ["", Beside(*(_classes(found, concept, kind) for kind in kinds))]
    for kind in kinds:
        entry = concept[kind]
        name = _one_line(class_name(found, entry["label"]))
        says = f"more {name} than" if entry["q"] <= found.summary["fdr"] else "no class more than"
        likely = f"p {chance(entry['p'])}, over all concepts q {chance(entry['q'])}"
        parts.append(Text(f"{kind}: {says} by chance, {likely}", style="dim"))
    return [*parts, "", _examples(found, concept), "", _neighbours(found, concept)]


def _words(words: list[dict[str, Any]]) -> Table:
    made = _named(table("count", "share", "recall", title="Words"))
    for entry in words:
        made.add_row(
            Text(_one_line(entry["word"])), number(entry["count"]), percent(entry["share"]), percent(entry["recall"])
        )
    return made


def _named(made: Table) -> Table:
    """Bounds the first column: a word or a name may be of any length."""
    made.columns[0].max_width, made.columns[0].no_wrap, made.columns[0].overflow = NAME_WIDTH, True, "ellipsis"
    return made


def _classes(found: Codebook, concept: dict[str, Any], kind: str) -> Table:
    """Distinct sentences a class, the most frequent first; the over-represented one stands out."""
    entry, totals = concept[kind], found.summary[kind.removesuffix("s") + "_totals"]
    made = _named(table("sentences", "share", "lift", title=kind.capitalize()))
    total = sum(entry["counts"])
    order = sorted(range(len(totals)), key=lambda place: (-entry["counts"][place], place))
    for place in order[:CLASSES]:
        share = entry["counts"][place] / total
        lift = share * sum(totals) / totals[place] if totals[place] else None
        name = Text(_one_line(class_name(found, place)), style="bold" if place == entry["label"] else "")
        made.add_row(name, number(entry["counts"][place]), f"{share:.0%}", number(lift, 2))
    return made


def _examples(found: Codebook, concept: dict[str, Any]) -> Table:
    """The nearest sentences with their word marked."""
    made = table(title="Distance")
    made.columns[0].justify = "right"
    made.add_column(Text("Nearest sentences"), overflow="fold", ratio=1)
    if any(entry["label"] is not None for entry in concept["examples"]):
        made.add_column(Text("Label"), no_wrap=True, overflow="ellipsis", max_width=LABEL_WIDTH)
    for entry in concept["examples"]:
        cells: list[RenderableType] = [number(entry["distance"], 1), _marked(entry)]
        if len(made.columns) > 2:
            cells.append(Text(_one_line(class_name(found, entry["label"]))))
        made.add_row(*cells)
    return made


def _marked(entry: dict[str, Any]) -> Text:
    """The text about the word, which stands in brackets: they survive a pipe, as bold letters do not."""
    text, start, end = entry["text"], entry["start"], entry["end"]
    context = CONTEXT if end > start else 2 * CONTEXT
    first, last = max(start - context, 0), min(end + context, len(text))
    before, after = text[first:start], text[end:last]
    if first:
        before = "... " + before.partition(" ")[2]
    if last < len(text):
        after = after.rpartition(" ")[0] + " ..."
    made = Text(_one_line(before))
    if end > start:
        made.append(f"[{_one_line(text[start:end])}]", style="bold cyan")
    return made.append(_one_line(after))


def _neighbours(found: Codebook, concept: dict[str, Any]) -> Table:
    made = fitted(table("cosine", title="Nearest"), "")
    for entry in concept["neighbours"]:
        made.add_row(str(entry["code"]), number(entry["cosine"], 2), words_of(found.concept(entry["code"])))
    return made


def matches(found: Codebook, result: dict[str, Any], lines: int) -> list[RenderableType]:
    """What --search found, the best first."""
    words, concepts = f"{number(result['types'])} word types", result["concepts"]
    about = f"{words} match, {number(result['occurrences'])} occurrences in {number(len(concepts))} concepts"
    parts: list[RenderableType] = [
        title(found, "Concepts of"), Text(plain(f"{_one_line(result['pattern'])}: ")).append(about, style="dim"),
    ]  # fmt: skip
    if not concepts:
        return parts
    made = fitted(table("matches", "precision", "recall", title="code"), "matching words")
    for entry in concepts[:lines]:
        made.add_row(
            str(entry["code"]), number(entry["matches"]), percent(entry["precision"]), percent(entry["recall"]),
            Text(" ".join(_one_line(word["word"]) for word in entry["matching_words"])),
        )  # fmt: skip
    return [*parts, "", made]


def exported(path: Path, size: int) -> list[RenderableType]:
    return [Text(plain(f"{size_text(size)} in {path}"), overflow="fold")]


def _one_line(text: str) -> str:
    """Corpus text that may stand in a line of a terminal."""
    return plain(text).replace("\n", " ")
