"""Predictions explained by words, and words by concepts: of given texts, or of the whole evaluation split.

explanations.json     what was explained, how, and the figures over all sentences; written last
explanations.jsonl    one sentence a line
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from clvq.activations.store import ActivationStore
from clvq.artifacts import EXPLANATIONS, UNFINISHED_EXPLANATIONS_NAME, stamp
from clvq.concepts.assignments import read_text
from clvq.concepts.codebook import Codebook, codebook
from clvq.concepts.records import Concept, data_frame
from clvq.config import ExplainConfig, differences
from clvq.config.signatures import takes
from clvq.errors import ArtifactError, ClvqError, MismatchError
from clvq.explanations.explainer import Explainer
from clvq.explanations.rationales import agreement, read_rationales
from clvq.explanations.records import Agreement, Explanation, ExplanationFigures, ExplanationsSummary
from clvq.language_model.tokenization import TokenizedSentence
from clvq.progress import Progress, Report, silent
from clvq.storage import append_lines, locked, write_text
from clvq.training.checkpoint import Checkpoint, checkpoint_folders, read_checkpoint

if TYPE_CHECKING:
    from pandas import DataFrame

SPLIT = "eval"

_SURROGATE = re.compile("[\ud800-\udfff]")
_OF_THE_SPLIT = {"limit", "rationale_column"}
"""Settings that mean nothing for given texts."""


@dataclass(frozen=True, repr=False)
class Explanations:
    """Explained sentences, and the concepts of their words; made by `explain`."""

    codebook: Codebook
    """The concepts that the words' codes stand for."""
    summary: ExplanationsSummary
    sentences: list[Explanation]

    @property
    def figures(self) -> ExplanationFigures:
        return self.summary.figures

    def __repr__(self) -> str:
        return f"<Explanations of {len(self.sentences):,} sentences by {self.codebook.checkpoint.path}>"

    def _repr_html_(self) -> str:
        from clvq.explanations.notebook import explanations_html

        return explanations_html(repr(self), self.sentences)

    def to_pandas(self) -> DataFrame:
        """Return a table with a row a word."""
        rows = [
            {
                "sentence": sentence.id, "label": sentence.label, "target": sentence.target,
                "probability": sentence.probability, "word": word.text, "start": word.start, "end": word.end,
                "attribution": word.attribution, "code": word.code, "salient": word.salient,
            }
            for sentence in self.sentences
            for word in sentence.words
        ]  # fmt: skip
        return data_frame(rows).astype({"label": "Int64", "code": "Int64"})

    def concept(self, code: int | None) -> Concept | None:
        """Return the concept of a word's code; None for a word without a code, or a code that no training row has."""
        return None if code is None else self.codebook.by_code.get(code)


@takes(ExplainConfig)
def explain(
    checkpoint: Checkpoint | str | Path,
    texts: str | Sequence[str] | None = None,
    *,
    overwrite: bool = False,
    progress: Report = silent,
    **settings: Any,
) -> Explanations:
    """Explain what the language model predicts for `texts`, or for the evaluation split.

        explanations = clvq.explain("run/L4-L8", "a slow , lifeless film")
        print([(word.text, word.attribution, word.code) for word in explanations.sentences[0].words])

    The explanation of the evaluation split is stored beside the checkpoint: an unfinished one with the same settings
    continues, and a finished one is read. ClvqError for a text that is empty or too long, and for a model that
    predicts nothing; MismatchError for a model that has changed, and for a stored explanation with other settings,
    unless `overwrite`.

    Args:
        checkpoint: A checkpoint, or its folder.
        texts: One text or several. None explains the evaluation split.
        overwrite: Explain the evaluation split again.
    """
    config = ExplainConfig.resolve(**settings)
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = read_checkpoint(checkpoint)
    store = checkpoint.store()
    if texts is not None:
        meaningless = sorted(name for name in _OF_THE_SPLIT if getattr(config, name) is not None)
        if meaningless:
            raise ClvqError(
                f"--{meaningless[0].replace('_', '-')} is for the evaluation split, and texts are given. "
                "Leave out one of the two."
            )
        given = _checked([texts] if isinstance(texts, str) else texts)
        explainer = Explainer(checkpoint, store, config)
        tokenized = explainer.tokenize(given)
        explainer.refuse_unreadable(tokenized)
        concepts = codebook(checkpoint, progress=progress)
        return _explain_texts(explainer, concepts, given, tokenized, progress)
    split = _Split(checkpoint, store, config, progress)
    found = None if overwrite else split.finished()
    if found is not None:
        progress(Progress("explain", note=f"{EXPLANATIONS.records_path(checkpoint.path)} is up to date."))
        return found
    split.make(overwrite)
    made = split.finished()
    assert made is not None
    return made


def _checked(texts: Sequence[str]) -> list[str]:
    """The texts without halves of Unicode characters; ClvqError where there is none, or one says nothing."""
    if not texts:
        raise ClvqError("No text is given to explain.")
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise ClvqError(f"Text {number} of {len(texts)} is empty: there is nothing to explain. Leave it out.")
    return [_SURROGATE.sub("\ufffd", text) for text in texts]


def _explain_texts(
    explainer: Explainer,
    concepts: Codebook,
    texts: list[str],
    tokenized: list[TokenizedSentence],
    progress: Report,
) -> Explanations:
    done: dict[int, Explanation] = {}
    for batch in explainer.explained(texts, tokenized, [None] * len(texts)):
        done.update((explanation.id, explanation) for explanation in batch)
        progress(Progress("explain", len(done), len(texts), "sentences"))
    sentences = [done[index] for index in sorted(done)]
    summary = ExplanationsSummary.from_json(_summary(explainer, sentences, concepts))
    return Explanations(concepts, summary, sentences)


def _summary(
    explainer: Explainer,
    sentences: Sequence[Explanation],
    concepts: Codebook,
    *,
    left_out: dict[str, int] | None = None,
    truncated: int = 0,
) -> dict[str, Any]:
    """What explanations.json says, but for checksums and rationales."""
    config, model = explainer.config, explainer.model
    hits = [sentence.prediction == sentence.label for sentence in sentences if sentence.label is not None]

    def middle(name: str) -> float | None:
        return median(getattr(sentence, name) for sentence in sentences) if sentences else None

    over = [sentence.completeness_error > config.completeness for sentence in sentences]
    return {
        "checkpoint": explainer.checkpoint.fingerprint,
        "rows": explainer.store.fingerprint,
        "codebook": concepts.summary.concepts_checksum,
        "model": {"id": model.model_id, "fingerprint": model.fingerprint},
        "settings": config.deciding(),
        "target": "class" if model.label_names is not None else "next token",
        "label_names": model.label_names,
        "summary": {
            "sentences": len(sentences),
            "left_out": left_out or {},
            "truncated": truncated,
            "median_completeness_error": middle("completeness_error"),
            "share_over_bound": sum(over) / len(over) if over else None,
            "median_steps": middle("steps"),
            "median_special_share": middle("special_share"),
            "accuracy": sum(hits) / len(hits) if hits and model.label_names is not None else None,
        },
        "rationales": None,
        **stamp(),
    }


class _Text(NamedTuple):
    text: str
    label: int | None


class _Split:
    """The explanation of the evaluation split in a checkpoint's folder: what is there, what is missing."""

    def __init__(self, checkpoint: Checkpoint, store: ActivationStore, config: ExplainConfig, progress: Report) -> None:
        self.checkpoint, self.store, self.config, self.progress = checkpoint, store, config, progress
        self.folder = checkpoint.path
        self.identity = {"checkpoint": checkpoint.fingerprint, "rows": store.fingerprint}

    def finished(self) -> Explanations | None:
        """What the folder holds; None where there is nothing, or what was made of other weights or rows."""
        summary = EXPLANATIONS.inspect(self.folder, self.identity).usable()
        if summary is None:
            return None
        self._refuse_other(summary["settings"], "finished")
        sentences = EXPLANATIONS.read_records(self.folder, summary)
        concepts = codebook(self.checkpoint, progress=self.progress)
        if summary["codebook"] != concepts.summary.concepts_checksum:
            # The same codes, described anew: codes are of the weights alone.
            summary["codebook"] = concepts.summary.concepts_checksum
            with locked(self.folder):
                EXPLANATIONS.write(self.folder, summary)
        explanations = [Explanation.from_json(line) for line in sentences]
        return Explanations(concepts, ExplanationsSummary.from_json(summary), explanations)

    def _refuse_other(self, settings: dict[str, Any], state: str) -> None:
        if differing := differences(settings, self.config.deciding()):
            raise MismatchError(
                f"{self.folder} holds {'an' if state == 'unfinished' else 'a'} {state} explanation of the evaluation "
                f"split with other settings: {'; '.join(differing)}. Use those, or --overwrite to replace it."
            )

    def make(self, overwrite: bool) -> None:
        """Explains what is missing, and writes the two files."""
        rationales = None
        if self.config.rationale_column is not None:
            rationales = read_rationales(self.store, self.config.rationale_column)
        done = {} if overwrite else self._unfinished()
        explainer = Explainer(self.checkpoint, self.store, self.config)
        concepts = codebook(self.checkpoint, progress=self.progress)
        with locked(self.folder):
            texts = [_Text(row.text, row.label) for row in self.store.sentences(SPLIT)][: self.config.limit]
            tokenized = explainer.tokenize([text.text for text in texts])
            if not any(sentence.words for sentence in tokenized):
                raise ClvqError(f"No sentence of the evaluation split of {self.store.path} has a word to explain.")
            if not done and not overwrite:
                done = self._attributed_beside(explainer, tokenized)
            self._run(explainer, texts, tokenized, done)
            sentences = [done[index] for index in sorted(done)]
            body = _summary(
                explainer,
                sentences,
                concepts,
                left_out={"without words": len(texts) - len(sentences)},
                truncated=sum(sentence.truncated_words > 0 for sentence in tokenized),
            )
            if rationales is not None:
                sentences = [replace(one, rationale=rationales.get(one.text, [])) for one in sentences]
                body["rationales"] = self._compare(sentences).as_json()
            lines = (one.as_line() for one in sentences)
            body["explanations_checksum"] = EXPLANATIONS.write_records(self.folder, lines)
            EXPLANATIONS.write(self.folder, body)
            (self.folder / UNFINISHED_EXPLANATIONS_NAME).unlink(missing_ok=True)

    def _attributed_beside(self, explainer: Explainer, tokenized: list[TokenizedSentence]) -> dict[int, Explanation]:
        """What another checkpoint of the run folder has for the same input layer and settings, with this one's codes:
        what words do in the model does not depend on the codes. Empty where there is none."""
        for folder in checkpoint_folders(self.folder.parent):
            try:
                beside = read_checkpoint(folder)
                made_of = {"checkpoint": beside.fingerprint, "rows": self.store.fingerprint}
                summary = EXPLANATIONS.inspect(folder, made_of).usable()
                if (
                    summary is None
                    or summary["model"]["fingerprint"] != explainer.model.fingerprint
                    or beside.input_layer != self.checkpoint.input_layer
                    or differences(summary["settings"], self.config.deciding())
                ):
                    continue
                records = EXPLANATIONS.read_records(folder, summary)
            except ClvqError:
                continue  # an error of another checkpoint is for the command that names it
            self.progress(Progress("explain", note=f"What words do in the model is read from {folder}."))
            explanations = [Explanation.from_json(record) for record in records]
            return {one.id: one for one in explainer.with_own_codes(explanations, tokenized)}
        return {}

    def _run(
        self,
        explainer: Explainer,
        texts: list[_Text],
        tokenized: list[TokenizedSentence],
        done: dict[int, Explanation],
    ) -> None:
        """Adds to `done`, and line by line to the unfinished file, which first is made to hold just that."""
        path = self.folder / UNFINISHED_EXPLANATIONS_NAME
        head = {**self.identity, "settings": self.config.deciding()}
        write_text(path, "".join(json.dumps(line) + "\n" for line in [head, *(one.as_line() for one in done.values())]))
        left = [index for index in range(len(texts)) if index not in done]
        total = sum(bool(sentence.words) for sentence in tokenized)
        batches = explainer.explained(
            [texts[index].text for index in left],
            [tokenized[index] for index in left],
            [texts[index].label for index in left],
        )
        for batch in batches:
            explanations = [replace(one, id=left[one.id]) for one in batch]
            append_lines(path, [json.dumps(one.as_line()) for one in explanations])
            done.update((one.id, one) for one in explanations)
            self.progress(Progress("explain", len(done), total, "sentences"))

    def _unfinished(self) -> dict[int, Explanation]:
        """The whole lines that an interrupted explanation with the same settings left; none of other weights."""
        path = self.folder / UNFINISHED_EXPLANATIONS_NAME
        if not path.exists():
            return {}
        lines = path.read_bytes().split(b"\n")[:-1]  # the last one is empty, or cut short by a kill
        try:
            head, *records = [json.loads(line) for line in lines]
            if {name: head[name] for name in self.identity} != self.identity:
                return {}
            settings = dict(head["settings"])
            done = {int(record["id"]): Explanation.from_json(record) for record in records}
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} is damaged ({error}). Start again with `clvq explain --overwrite`.") from error
        self._refuse_other(settings, "unfinished")
        return done

    def _compare(self, sentences: list[Explanation]) -> Agreement:
        """Return how far attributions agree with the sentences' rationales."""
        text = read_text(self.store, "train", self.progress)
        counts = Counter(text.types[text.types >= 0].tolist())
        frequencies = {text.vocabulary[number]: count for number, count in counts.items()}
        assert self.config.rationale_column is not None
        return agreement(sentences, self.config.rationale_column, frequencies)
