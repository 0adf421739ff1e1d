"""The gallery: can a reader who saw half of a concept's sentences, and no label, pick the other half out?

python benchmarks/gallery.py sheets --run RUN --out FOLDER    # naming.json and, for a second reader, picking.json
python benchmarks/gallery.py score --run RUN                  # the table of docs/concepts-gallery.md

The 20 concepts most associated with a class (smallest p) each give 20 sentences drawn at random from all of theirs, not
the nearest ones. Ten go to naming.json, the word marked, labels withheld. The other ten go to picking.json among ten
random sentences with a random word marked, none of which holds the concept. A second reader sees a name and twenty
sentences. The score is the share of the twenty told rightly; guessing gives 0.5. Answers are in gallery_answers.json:
the name of each concept, and the numbers of the sentences picked.

With --hard the concepts are 20 drawn at random, and each of the ten other sentences has the same word marked as one of
the concept's, and the same label, in another code: word and class do not tell them apart. Its answers are in
gallery_hard_answers.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import notes, print_table

import clvq
from clvq.concepts.records import Concept
from clvq.language_model.rows import WORD
from clvq.training.checkpoint import find_checkpoint

CONCEPTS, HALF = 20, 10
ANSWERS = Path(__file__).with_name("gallery_answers.json")
HARD_ANSWERS = Path(__file__).with_name("gallery_hard_answers.json")


class Sheet(NamedTuple):
    """What the readers get of one concept."""

    concept: Concept
    naming: list[str]
    picking: list[str]
    """Both kinds, shuffled."""
    right: list[int]
    """Places in `picking` of the concept's own sentences."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["sheets", "score"])
    parser.add_argument("--run", type=Path, required=True, help="run folder with a checkpoint")
    parser.add_argument("--checkpoint", default=None)
    parser.add_argument("--hard", action="store_true", help="random concepts, and contrasts of the same word and label")
    parser.add_argument("--out", type=Path, default=Path("gallery"), help="folder for the sheets")
    options = parser.parse_args()
    checkpoint = find_checkpoint(options.run, options.checkpoint)
    codebook = clvq.codebook(checkpoint, progress=notes)
    drawn = (hard_sheets if options.hard else sheets)(codebook, checkpoint.store())
    if options.task == "sheets":
        write(drawn, options.out)
    else:
        score(drawn, codebook.summary.label_names, HARD_ANSWERS if options.hard else ANSWERS)


def sheets(codebook: clvq.Codebook, store: clvq.ActivationStore) -> list[Sheet]:
    """The sentences of each concept, drawn by a seed of its own."""
    codes, flags = codebook.assignments("train"), store.flags("train")
    sentences = list(store.sentences("train"))
    spans = [span for s in sentences for span in zip(s.starts, s.ends, strict=True)]
    owner = np.repeat(np.arange(len(sentences)), store.row_counts("train"))
    is_word = (flags & WORD) != 0
    told = [
        (c.labels.p, -c.labels.lift, number, c)
        for number, c in enumerate(codebook.concepts)
        if c.labels and not c.of_sentence_rows and c.sentences >= 2 * HALF
    ]
    concepts = [concept for *_, concept in sorted(told)]
    drawn = []
    for concept in concepts[:CONCEPTS]:
        generator = np.random.default_rng([0, concept.code])
        of_concept = np.flatnonzero((codes == concept.code) & is_word)
        texts = {sentences[owner[row]].text for row in of_concept}
        rows = distinct(of_concept, 2 * HALF, owner, sentences, set(), generator)
        others = distinct(np.flatnonzero(is_word), HALF, owner, sentences, texts, generator)
        marked = [mark(sentences[owner[row]].text, *spans[row]) for row in (*rows, *others)]
        order = generator.permutation(2 * HALF)
        picking = [marked[HALF:][index] for index in order]
        right = [index for index, source in enumerate(order.tolist()) if source < HALF]
        drawn.append(Sheet(concept, marked[:HALF], picking, right))
    return drawn


def hard_sheets(codebook: clvq.Codebook, store: clvq.ActivationStore) -> list[Sheet]:
    """The sentences of random concepts, beside others with the same word and label in other codes."""
    codes, flags = codebook.assignments("train"), store.flags("train")
    sentences = list(store.sentences("train"))
    spans = [span for s in sentences for span in zip(s.starts, s.ends, strict=True)]
    owner = np.repeat(np.arange(len(sentences)), store.row_counts("train"))
    rows = np.flatnonzero(((flags & WORD) != 0) & (codes >= 0))
    kinds: dict[tuple[str, int | None], list[int]] = {}
    for row in rows.tolist():
        kinds.setdefault(kind(row, owner, sentences, spans), []).append(row)
    concepts = [c for c in codebook.concepts if not c.of_sentence_rows and c.sentences >= 2 * HALF]
    drawn: list[Sheet] = []
    for place in np.random.default_rng(0).permutation(len(concepts)).tolist():
        concept = concepts[place]
        generator = np.random.default_rng([1, concept.code])
        of_concept = rows[codes[rows] == concept.code]
        texts = {sentences[owner[row]].text for row in of_concept}
        own = distinct(of_concept, 2 * HALF, owner, sentences, set(), generator)
        others: list[int] = []
        for row in own[HALF:]:
            alike = np.array(
                [other for other in kinds[kind(row, owner, sentences, spans)] if codes[other] != concept.code]
            )
            used = texts | {sentences[owner[other]].text for other in others}
            others += distinct(alike, 1, owner, sentences, used, generator)
        if len(others) < HALF:
            continue  # a word that is in this concept alone has no contrast
        marked = [mark(sentences[owner[row]].text, *spans[row]) for row in (*own, *others)]
        order = generator.permutation(2 * HALF)
        right = [index for index, source in enumerate(order.tolist()) if source < HALF]
        drawn.append(Sheet(concept, marked[:HALF], [marked[HALF:][index] for index in order], right))
        if len(drawn) == CONCEPTS:
            break
    return drawn


def kind(row: int, owner: np.ndarray, sentences: list[Any], spans: list[tuple[int, int]]) -> tuple[str, int | None]:
    """What a contrast has in common with a row: its word and the label of its sentence."""
    sentence = sentences[owner[row]]
    start, end = spans[row]
    return sentence.text[start:end].lower(), sentence.label


def distinct(
    rows: np.ndarray, count: int, owner: np.ndarray, sentences: list[Any], used_texts: set[str], generator: Any
) -> list[int]:
    """`count` random rows from sentences of different texts, none of them in `taken`."""
    picked: list[int] = []
    seen = set(used_texts)
    for row in generator.permutation(rows).tolist():
        text = sentences[owner[row]].text
        if text not in seen:
            seen.add(text)
            picked.append(row)
        if len(picked) == count:
            break
    return picked


def mark(text: str, start: int, end: int) -> str:
    return f"{text[:start]}[[{text[start:end]}]]{text[end:]}"


def write(drawn: list[Sheet], folder: Path) -> None:
    """One file a reader; concepts by a letter-free number, so that neither sees a code or a label."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, field in (("naming", "naming"), ("picking", "picking")):
        content = {str(number): getattr(sheet, field) for number, sheet in enumerate(drawn)}
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def score(drawn: list[Sheet], label_names: list[str] | None, file: Path) -> None:
    answers: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    rows, scores = [], []
    for number, sheet in enumerate(drawn):
        given = answers[str(number)]
        if given["code"] != sheet.concept.code:
            raise SystemExit(f"{file.name} was given for another codebook: draw the sheets and ask again.")
        wrong = set(given["picked"]) ^ set(sheet.right)
        scores.append(1 - len(wrong) / (2 * HALF))
        labels = sheet.concept.labels
        assert labels is not None  # `sheets` draws none without
        label = str(labels.label) if label_names is None else label_names[labels.label]
        words = ", ".join(word.word for word in sheet.concept.top_words[:6])
        rows.append([given["name"], str(sheet.concept.code), words, f"{label} {labels.share:.0%}",
                     str(sheet.concept.sentences), f"{scores[-1]:.2f}"])  # fmt: skip
    above = sum(score > 0.8 for score in scores)
    title = f"{above} of {len(scores)} concepts above 0.8, mean {np.mean(scores):.2f}"
    print_table(title, rows, ("name", "code", "first words", "class", "sentences", "score"))


if __name__ == "__main__":
    main()
