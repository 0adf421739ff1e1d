"""`clvq assign`: give every word of new texts its concept, as a table or as files for other programs."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import RenderableType
from rich.text import Text

from clvq.artifacts import DEFAULT_RUN
from clvq.cli.errors import UsageError
from clvq.cli.options import command
from clvq.cli.output import Result, counted, heading, number, percent, plain, table
from clvq.cli.run_folder import Named, Run, named_checkpoint
from clvq.cli.texts import Delimiter, FileQuoting, GivenTexts, Header, PairColumn, Parts, TextColumn, TextFile
from clvq.concepts.excerpts import Excerpt, shortened
from clvq.config import AssignConfig
from clvq.progress import Report
from clvq.storage import size_text

if TYPE_CHECKING:
    from clvq.concepts.assign import AssignedText

FIRST_TEXTS = 20
"""Number of texts of an input file that are shown where no output file is written."""
UNUSUAL = 0.99
"""A word that lies farther from its code than this share of the code's training words is marked."""
LEGEND = (
    "distance: squared distance to the code; nearer: share of the code's training words that lie nearer to it "
    f"(! above {UNUSUAL:.0%}: the word is unlike them); concept: its name, or its most typical words"
)


@command((AssignConfig, "Language model"))
def assign(
    report: Report,
    text: Annotated[list[str] | None, "Texts, or - for standard input, a text a line."] = None,
    *,
    run: Run = DEFAULT_RUN,
    checkpoint: Named = None,
    file: TextFile = None,
    text_column: TextColumn = None,
    text_pair_column: PairColumn = None,
    delimiter: Delimiter = None,
    quoting: FileQuoting = None,
    header: Header = None,
    part: Parts = None,
    output: Annotated[Path | None, "File to write: .jsonl with a line a text, or .parquet with a row a word."] = None,
    counts: Annotated[
        Path | None, "File to write, .npz: how often each concept is in each text, as a sparse matrix of scipy."
    ] = None,
    overwrite: Annotated[bool, "Replace the files that --output and --counts name."] = False,
    **given: Any,
) -> Result:
    """Give every word of new texts its concept.

    Texts are read as they are needed, so that a file of any size can be given. The activations that the checkpoint was
    trained on need not be there.
    """
    from clvq.concepts.assign import Assigner
    from clvq.concepts.assigned_files import checked_path, write_assigned
    from clvq.device import Runtime

    texts = GivenTexts(text, file, text_column, text_pair_column, delimiter, quoting, header, part)
    if texts.none:
        raise UsageError("No text is given. Type one, or - for standard input, or give --file.")
    if output is not None:
        checked_path(output, (".jsonl", ".parquet"), overwrite)
    if counts is not None:
        checked_path(counts, (".npz",), overwrite)
    runtime = Runtime.of_settings(AssignConfig.resolve(**given))
    found = named_checkpoint(run, checkpoint, report)
    assigner = Assigner(found, runtime, report)
    assigned, path = assigner.assigned(texts.read(found), report), str(assigner.book.checkpoint.path)
    if output is None and counts is None:
        shown = list(assigned if file is None else islice(assigned, FIRST_TEXTS))
        hint = None if file is None else f"The first {number(len(shown))} texts; --output FILE writes all of them."
        left_out = [text.left_out for text in shown if text.left_out]
        cut, words = len(left_out), sum(left_out)
        document = {"cut": cut, "left_out": words, "texts": [text.as_json() for text in shown]}
        return Result({"path": path, **document}, _shown(shown, _cut(cut, words) if len(shown) > 1 else ""), hint)
    written = write_assigned(assigned, assigner.book.figures.codebook_size, words=output, counts=counts)
    files = [file for file in (output, counts) if file is not None]
    document = {**written._asdict(), "written": [str(file) for file in files]}
    lines = [Text(f"{plain(str(file))}  {size_text(file.stat().st_size)}", overflow="fold") for file in files]
    about = f"{counted(written.texts, 'text')}, {counted(written.words, 'word')}"
    return Result({"path": path, **document}, [heading(about, _cut(written.cut, written.left_out)), *lines])


def _cut(texts: int, words: int) -> str:
    """Return how many texts were cut, and by how many words; nothing where none was."""
    return f"{number(texts)} cut: {counted(words, 'word')} beyond the model's length left out" if texts else ""


def _shown(texts: list[AssignedText], cut: str) -> list[RenderableType]:
    """Return a table a text, and above them how many texts were `cut`, since a cut one may be far below."""
    parts: list[RenderableType] = [heading(f"{number(len(texts))} texts", cut), ""] if cut else []
    for text in texts:
        lines = table("code", "distance", "nearer", title="Word")
        lines.add_column(Text("concept"), overflow="fold")
        for word in text.words:
            unusual = "" if word.nearer is None or word.nearer <= UNUSUAL else "!"
            concept = "none: an attention sink" if word.concept is None else word.concept
            lines.add_row(
                Text(plain(shortened(word.text))), "-" if word.code is None else str(word.code), number(word.distance),
                f"{unusual}{percent(word.nearer)}", Text(plain(concept)),
            )  # fmt: skip
        left_out = f"{number(text.left_out)} words beyond the model's length are left out" if text.left_out else ""
        parts += [heading(Excerpt(text.text, []).text, left_out), lines, ""]
    return [*parts, Text(LEGEND, style="dim")]
