"""Explain predictions by words and their concepts, for given texts or for the whole evaluation split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clvq.artifacts import EXPLANATIONS
from clvq.concepts.codebook import Codebook, codebook
from clvq.config import ExplainConfig
from clvq.config.prompts import TEXT
from clvq.config.signatures import takes
from clvq.corpus.parts import encodable, given_texts
from clvq.errors import ClvqError
from clvq.explanations.explainer import Explainer, Labels
from clvq.explanations.records import Explanation
from clvq.language_model.tokenization import TokenizedSentence
from clvq.progress import Progress, Report, silent
from clvq.training.checkpoint import Checkpoint, read_checkpoint
from clvq.training.source import make_activations

if TYPE_CHECKING:
    pass

from clvq.explanations.results import Explanations, summarize
from clvq.explanations.stored_split import StoredSplit

_OF_THE_SPLIT = {"limit", "rationale_column", "dataset", "eval_dataset"}
"""Settings that have no meaning for given texts."""


@takes(ExplainConfig)
def explain(
    checkpoint: Checkpoint | str | Path,
    texts: str | Mapping[str, str] | Iterable[str | Mapping[str, str]] | None = None,
    *,
    overwrite: bool = False,
    progress: Report = silent,
    **settings: Any,
) -> Explanations:
    """Explain what the language model predicts for `texts`, or for the evaluation split.

        explanations = clvq.explain("run/L4-L8", "a slow , lifeless film")
        print([(word.text, word.attribution, word.code) for word in explanations.sentences[0].words])

    The explanation of the evaluation split is stored beside the checkpoint: an unfinished one with the same settings
    continues, and a finished one is read. Texts are explained up to the model's maximum length; `left_out` of an
    explanation counts the words beyond it. A text without a word that the tokenizer keeps has no explanation, which a
    note tells; the `id` of an explanation is the place of its text. ClvqError for a text that is empty, where no text
    has a word, and for a model that predicts nothing; MismatchError for a model that has changed, and for a stored
    explanation with other settings, unless `overwrite`.

    Args:
        checkpoint: A checkpoint, or its folder.
        texts: One text or several. None explains the evaluation split. Where the model reads several parts (pairs of
            texts, a prompt with other columns), a text is a dictionary: {"text": "...", "text_pair": "..."}.
        overwrite: Explain the evaluation split again.
    """
    config = ExplainConfig.resolve(**settings)
    checkpoint = read_checkpoint(checkpoint)
    if texts is not None:
        meaningless = sorted(name for name in _OF_THE_SPLIT if getattr(config, name) is not None)
        if meaningless:
            raise ClvqError(
                f"--{meaningless[0].replace('_', '-')} is for the evaluation split, and texts are given. "
                "Leave out one of the two."
            )
        parts = _checked(texts)
        explainer = Explainer(checkpoint, checkpoint.description(), config, progress)
        given = [explainer.model.input_format.joined(text) for text in parts]
        tokenized = explainer.tokenize(given)
        _tell_wordless(tokenized, explainer.model.model_id, progress)
        if cut := _cut(tokenized):
            length = f"the model's length, {explainer.model.max_length:,} tokens"
            progress(Progress("explain", note=f"{cut:,} of {len(given):,} texts are explained up to {length}."))
        concepts = codebook(checkpoint, progress=progress)
        return _explain_texts(explainer, concepts, given, tokenized, progress)
    if config.dataset is not None:
        make_activations(checkpoint, config, progress)
    split = StoredSplit(checkpoint, checkpoint.store(), config, progress)
    stored = None if overwrite else split.finished()
    if stored is not None:
        progress(Progress("explain", note=f"{EXPLANATIONS.records_path(checkpoint.path)} is up to date."))
        return stored
    split.make(overwrite)
    finished = split.finished()
    assert finished is not None
    return finished


def _checked(texts: Any) -> list[dict[str, str]]:
    """Return the parts of each text, without unpaired surrogates (halves of Unicode characters). ClvqError where there
    is no text, a blank one, or something else."""
    parts = list(given_texts(texts))
    if not parts:
        raise ClvqError("No text is given to explain.")
    for number, text in enumerate(parts, 1):
        if not text.get(TEXT, "").strip():
            raise ClvqError(f"Text {number} of {len(parts)} is empty: there is nothing to explain. Leave it out.")
    return [{name: encodable(value) for name, value in text.items()} for text in parts]


def _tell_wordless(tokenized: Sequence[TokenizedSentence], model_id: str, progress: Report) -> None:
    """Tell how many texts have no word and so no explanation. ClvqError where none has one."""
    wordless = sum(not sentence.words for sentence in tokenized)
    what = f"no word that the tokenizer of {model_id} keeps"
    if wordless == len(tokenized):
        raise ClvqError(f"{'The text has' if len(tokenized) == 1 else 'The texts have'} {what}: nothing is explained.")
    if wordless:
        has = "has" if wordless == 1 else "have"
        note = f"{wordless:,} of {len(tokenized):,} texts {has} {what}, and no explanation."
        progress(Progress("explain", note=note))


def _explain_texts(
    explainer: Explainer,
    concepts: Codebook,
    texts: list[str],
    tokenized: list[TokenizedSentence],
    progress: Report,
) -> Explanations:
    done: dict[tuple[int, int], Explanation] = {}
    labels = [Labels()] * len(texts)
    for batch in explainer.explained(texts, tokenized, labels):
        done.update((explanation.key, explanation) for explanation in batch)
        progress(Progress("explain", len(done), len(explainer.asked(texts, tokenized, labels)), "sentences"))
    sentences = [done[key] for key in sorted(done)]
    return Explanations(concepts, summarize(explainer, sentences, concepts, truncated=_cut(tokenized)), sentences)


def _cut(tokenized: Sequence[TokenizedSentence]) -> int:
    """Return how many texts have words beyond the model's maximum length."""
    return sum(sentence.truncated_words > 0 for sentence in tokenized)
