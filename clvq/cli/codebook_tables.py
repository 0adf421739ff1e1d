"""The output of `clvq codebook`: figures of the codebook, one line per concept, or one concept in full."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from clvq.artifacts import model_title
from clvq.cli.output import chance, heading, number, percent, plain, table
from clvq.concepts.records import TWIN_COSINE, twins

if TYPE_CHECKING:
    from clvq.concepts.codebook import Codebook
    from clvq.concepts.records import Association, CodebookFigures, Concept, Example, TopWord

WIDE = 100
"""A terminal with at least this many columns has room for more than the main figures."""
NAME_WIDTH = 20
"""Largest number of characters of a word in a column of words."""
LABEL_WIDTH = 12
CLASSES = 6
MOST_TWINS = 8
CONTEXT = 110
"""Number of characters of an example on each side of its word."""


def all_concepts(codebook: Codebook, concepts: list[Concept]) -> list[RenderableType]:
    parts = [title(codebook, "Concepts of"), "", _figures(codebook), "", *_twins(codebook)]
    return [*parts, ConceptTable(codebook, concepts)]


def _twins(codebook: Codebook) -> list[RenderableType]:
    """Name the pairs of codes that are nearly the same, where there are any."""
    pairs = twins(codebook.concepts)
    if not pairs:
        return []
    named = ", ".join(f"{first} and {second}" for first, second in pairs[:MOST_TWINS])
    more = f" and {number(len(pairs) - MOST_TWINS)} more pairs" if len(pairs) > MOST_TWINS else ""
    text = f"Codes that are nearly the same (cosine above {TWIN_COSINE}): {named}{more}."
    return [Text("Warning: ", style="bold yellow").append(text, style="not bold"), ""]


def title(codebook: Codebook, start: str) -> Text:
    """Return the heading of the tables below: model and layers."""
    name = model_title(codebook.checkpoint.config.provenance.model)
    return heading(f"{start} {name}, {codebook.checkpoint.span}")


def class_name(codebook: Codebook, number: int | None) -> str:
    names = codebook.summary.label_names
    if number is None:
        return "-"
    return names[number] if names and number < len(names) else f"class {number}"


def words_of(codebook: Codebook, code: int, most: int = 20) -> Text:
    """Return in one line the given name, if any, "(n sentence rows)" for a concept of such rows, and the top words."""
    concept, text = codebook.concept(code), given_name(codebook, code)
    if concept.of_sentence_rows:
        text.append(f"({number(concept.sentence_rows)} sentence rows) ", style="dim")
    return text.append(" ".join(one_line(entry.word) for entry in concept.top_words[:most]))


def given_name(codebook: Codebook, code: int) -> Text:
    """Return the beginning of a line: the name that a reader gave the concept, if any."""
    text, name = Text(overflow="ellipsis", no_wrap=True), codebook.given_names.get(code)
    return text.append(f"{one_line(name)}: ", style="bold") if name else text


def fitted(listing: Table, head: str) -> Table:
    """Add a column of words that takes the rest of the width."""
    listing.add_column(Text(head), no_wrap=True, overflow="ellipsis", ratio=1)
    listing.expand = True
    return listing


class Beside:
    """Tables beside each other where the terminal is wide enough, else one below the other."""

    def __init__(self, *tables: Table) -> None:
        self.tables = tables

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        wanted = sum(
            Measurement.get(console, options.update(width=9999), listing).maximum + 4 for listing in self.tables
        )
        if wanted - 4 <= options.max_width:
            grid = Table.grid(padding=(0, 4, 0, 0))
            grid.add_row(*self.tables)
            yield grid
            return
        for listing in self.tables:
            yield from ([] if listing is self.tables[0] else [Text()])
            yield listing


class ConceptTable:
    """One line per concept. Narrow terminals get fewer columns, and the words take the rest of the width."""

    def __init__(self, codebook: Codebook, concepts: list[Concept]) -> None:
        self.codebook, self.concepts = codebook, concepts
        summary = codebook.summary
        self.kind = "label" if summary.label_totals else "prediction" if summary.prediction_totals else None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        wide = options.max_width >= WIDE
        listing = table("words", *(["sentences"] if wide else []), title="code")
        fitted(listing, "typical words")
        if self.kind:
            listing.add_column(Text(self.kind), no_wrap=True, overflow="ellipsis", max_width=LABEL_WIDTH)
            listing.add_column(Text("share"), justify="right")
            listing.add_column(Text("q"), justify="right", no_wrap=True)
        listing.add_column(Text("spread"), justify="right")
        for concept in self.concepts:
            cells: list[RenderableType] = [str(concept.code), number(concept.words)]
            if wide:
                cells.append(number(concept.sentences))
            cells.append(words_of(self.codebook, concept.code))
            if self.kind:
                cells += self._classes(concept.labels if self.kind == "label" else concept.predictions)
            listing.add_row(*cells, number(concept.spread, 2))
        yield listing

    def _classes(self, entry: Association | None) -> list[Text]:
        """Return the most over-represented class, dimmed where it is not significant."""
        if entry is None:
            return [Text("-"), Text("-"), Text("-")]
        style = "" if entry.is_significant(self.codebook.summary.fdr) else "dim"
        name = one_line(class_name(self.codebook, entry.label))
        return [Text(part, style=style) for part in (name, f"{entry.share:.0%}", chance(entry.q))]


def _figures(codebook: Codebook) -> Beside:
    """Return the figures of the codebook: its codes, and what they tell about the text."""
    figures, results, summary = codebook.figures, codebook.checkpoint.results.evaluation, codebook.summary
    several = codebook.checkpoint.codebooks > 1
    codes = table("", title="First codebook, training split" if several else "Codebook, training split")
    codes.add_row("active and dead codes", f"{number(figures.active_codes)} and {number(figures.dead_codes)}")
    codes.add_row("on 5 sentences or more", number(figures.active_codes_5))
    codes.add_row("perplexity", f"{number(figures.codebook_perplexity, 1)} of {number(figures.codebook_size)}")
    codes.add_row("bits a word", number(figures.bits_per_word, 2))
    codes.add_row("R² of quantization", number(figures.quantization_r2))
    codes.add_row("mean cosine, centred", number(figures.mean_centred_cosine))
    codes.add_row("FVU of all codebooks" if several else "FVU, evaluation words", number(results.fvu))
    codes.add_row("  own code made the mean", number(results.fvu_own_code_mean))
    codes.add_row("  codes shuffled", number(results.fvu_codes_shuffled))
    text = table("", title="Training text")
    text.add_row("words", number(figures.words))
    text.add_row("word types", number(figures.word_types))
    text.add_row("sentence rows", number(figures.sentence_rows))
    text.add_row("distinct sentences", number(figures.distinct_sentences))
    text.add_row(f"of a label, q ≤ {summary.fdr}", number(figures.label_concepts))
    text.add_row("shared information with", "AMI")
    text.add_row("  labels", _shared(figures, figures.ami_labels, summary.label_totals))
    text.add_row("  predictions", _shared(figures, figures.ami_predictions, summary.prediction_totals))
    text.add_row("  word types", _shared(figures, figures.ami_words, None))
    return Beside(codes, text)


def _shared(figures: CodebookFigures, information: float | None, totals: list[int] | None) -> str:
    """Return shared information, or the reason why there is none; `totals` are the texts of each class."""
    if information is not None:
        return number(information)
    if figures.active_codes == 1:
        return "- (one code)"
    return "- (one class)" if totals is not None and sum(map(bool, totals)) == 1 else "-"


def one_concept(codebook: Codebook, concept: Concept) -> list[RenderableType]:
    """Return everything that is stored about a concept."""
    rows = [f"{number(concept.words)} words of {number(concept.types)} types"] if concept.words else []
    if concept.sentence_rows:
        rows.append(f"{number(concept.sentence_rows)} sentence rows")
    about = f"{' and '.join(rows)} in {number(concept.sentences)} distinct sentences"
    if concept.words:
        about += f", {concept.share:.2%} of all words"
    parts: list[RenderableType] = [
        title(codebook, f"Concept {concept.code} ({codebook.name(concept.code)}) of"),
        Text(f"{about}; spread {concept.spread:.2f} (0 is a point, 1 as wide as all words)", style="dim"),
    ]
    if note := codebook.notes.get(concept.code):
        parts += ["", Text(plain(note))]
    if concept.top_words:
        half = (len(concept.top_words) + 1) // 2
        parts += ["", Beside(*(_words(part) for part in (concept.top_words[:half], concept.top_words[half:])))]
    summary = codebook.summary
    tested = [
        (kind, unit, entry, totals, texts)
        for kind, unit, entry, totals, texts in (
            ("Labels", summary.label_unit, concept.labels, summary.label_totals, summary.label_texts),
            ("Predictions", "sentence", concept.predictions, summary.prediction_totals, summary.prediction_texts),
        )
        if entry is not None and totals is not None and texts is not None
    ]
    if tested:
        parts += ["", Beside(*(_classes(codebook, *entry) for entry in tested))]
    for kind, _, entry, *_ in tested:
        name = one_line(class_name(codebook, entry.label))
        says = (
            f"{name} is more frequent than" if entry.is_significant(summary.fdr) else "no class is more frequent than"
        )
        likely = f"p {chance(entry.p)}, over all concepts q {chance(entry.q)}"
        parts.append(Text(f"{kind.lower()}: {says} by chance, {likely}", style="dim"))
    return [*parts, "", _examples(codebook, concept), "", _neighbours(codebook, concept)]


def _words(words: list[TopWord]) -> Table:
    listing = _named(table("count", "share", "recall", title="Words"))
    for entry in words:
        listing.add_row(Text(one_line(entry.word)), number(entry.count), percent(entry.share), percent(entry.recall))
    return listing


def _named(listing: Table) -> Table:
    """Limit the width of the first column, since a word or a name may have any length."""
    listing.columns[0].max_width, listing.columns[0].no_wrap, listing.columns[0].overflow = NAME_WIDTH, True, "ellipsis"
    return listing


def _classes(codebook: Codebook, kind: str, unit: str, entry: Association, totals: list[int], texts: int) -> Table:
    """Return the number of distinct sentences, or words (`unit`), by class, most frequent first; the tested is bold.

    `totals` `[C]` and `texts` are those of the whole corpus.
    """
    listing = _named(table(f"{unit}s", "share", "lift", title=kind))
    order = sorted(range(len(totals)), key=lambda label: (-entry.counts[label], label))
    for label in order[:CLASSES]:
        share = entry.counts[label] / entry.texts
        lift = share * texts / totals[label] if totals[label] else None
        name = Text(one_line(class_name(codebook, label)), style="bold" if label == entry.label else "")
        listing.add_row(name, number(entry.counts[label]), f"{share:.0%}", number(lift, 2))
    return listing


def _examples(codebook: Codebook, concept: Concept) -> Table:
    """Return the nearest sentences, with the word of the concept marked in each."""
    listing = table(title="Distance")
    listing.columns[0].justify = "right"
    listing.add_column(Text("Nearest sentences"), overflow="fold", ratio=1)
    if any(entry.label is not None for entry in concept.examples):
        listing.add_column(Text("Label"), no_wrap=True, overflow="ellipsis", max_width=LABEL_WIDTH)
    for entry in concept.examples:
        cells: list[RenderableType] = [number(entry.distance, 1), _marked(entry)]
        if len(listing.columns) > 2:
            cells.append(Text(one_line(class_name(codebook, entry.label))))
        listing.add_row(*cells)
    return listing


def _marked(entry: Example) -> Text:
    """Return the text around the word. Brackets mark the word, since bold type is lost in a pipe."""
    text, start, end = entry.text, entry.start, entry.end
    context = CONTEXT if end > start else 2 * CONTEXT
    first, last = max(start - context, 0), min(end + context, len(text))
    before, after = text[first:start], text[end:last]
    if first:
        before = "... " + before.partition(" ")[2]
    if last < len(text):
        after = after.rpartition(" ")[0] + " ..."
    line = Text(one_line(before))
    if end > start:
        line.append(f"[{one_line(text[start:end])}]", style="bold cyan")
    return line.append(one_line(after))


def _neighbours(codebook: Codebook, concept: Concept) -> Table:
    listing = fitted(table("cosine", title="Nearest"), "")
    for entry in concept.neighbours:
        listing.add_row(str(entry.code), number(entry.cosine, 2), words_of(codebook, entry.code))
    return listing


def one_line(text: str) -> str:
    """Return text of the corpus as one line that is safe to print on a terminal."""
    return plain(text).replace("\n", " ")
