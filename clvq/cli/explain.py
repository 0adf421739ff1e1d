"""`clvq explain`: explain predictions of the language model by words and concepts."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from clvq.artifacts import DEFAULT_RUN
from clvq.cli.errors import UsageError
from clvq.cli.explain_view import shown
from clvq.cli.options import command
from clvq.cli.output import Result, is_follower
from clvq.cli.run_folder import Named, Run, checkpoint_paths, named_checkpoint, run_option
from clvq.cli.texts import Delimiter, FileQuoting, GivenTexts, Header, PairColumn, Parts, TextColumn, TextFile
from clvq.config import ExplainConfig
from clvq.explanations.records import TOP_WORDS
from clvq.progress import Progress, Report
from clvq.storage import write_text

if TYPE_CHECKING:
    from clvq.explanations.results import Explanations


@command((ExplainConfig, "Attribution"), in_all_processes=lambda given: not {"text", "file"} & given.keys())
def explain(
    report: Report,
    text: Annotated[list[str] | None, "Texts to explain, or - for standard input [the evaluation split]."] = None,
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
    html: Annotated[Path | None, "Also write the result to this file, as an HTML page."] = None,
    overwrite: Annotated[bool, "Explain the evaluation split again."] = False,
    **given: Any,
) -> Result:
    """Explain predictions of the language model by words and their concepts.

    Without texts, the whole evaluation split is explained, and the result is stored beside the checkpoint, as
    explanations.jsonl.
    """
    import clvq

    given_texts = GivenTexts(text, file, text_column, text_pair_column, delimiter, quoting, header, part)
    if overwrite and not given_texts.none:
        raise UsageError(
            "--overwrite is for the stored evaluation split, and texts are given. Leave out one of the two."
        )
    if text is not None and checkpoint is None:
        _refuse_checkpoint_names(run, text)
    found = named_checkpoint(run, checkpoint, report)
    filled = None if given_texts.none else given_texts.filled(found, report)
    texts = None if filled is None else list(filled.values())
    explanations = clvq.explain(found, texts, overwrite=overwrite, progress=report, **given)
    if filled is not None:  # blank texts count too, so that the numbers are those of the lines or rows
        numbers = list(filled)
        sentences = [replace(sentence, id=numbers[sentence.id]) for sentence in explanations.sentences]
        explanations = replace(explanations, sentences=sentences)
    if html is not None and not is_follower():
        from clvq.explanations.page import explanations_page

        write_text(html, explanations_page(explanations))
        report(Progress("explain", note=f"The page is {html}."))
    hint = None if texts else f"Next: clvq report{run_option(run)}"
    return Result(_document(explanations), shown(explanations, stored=texts is None), hint)


def _refuse_checkpoint_names(run: Path, texts: list[str]) -> None:
    """Raise UsageError for a text that is the name or path of a checkpoint.

    With --checkpoint such a text is accepted, and this function is not called.
    """
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
        "model": summary.model.as_json(),
        "settings": summary.settings.deciding(),
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
