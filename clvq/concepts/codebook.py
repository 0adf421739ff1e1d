"""The catalogue of a checkpoint's concepts, from one pass over the training split with the final codebook.

    codebook.json              figures of the whole codebook, and what it was made from; written last
    concepts.jsonl             one concept per line, in the order of the codes; dead codes have no line
    assignments.safetensors    train, eval: the code of every row [rows] int32, -1 for rows that are left out

The assignments are stored, 4 bytes per row, so that searching, exporting and comparing need no further pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clvq.artifacts import ASSIGNMENTS_NAME, CODEBOOK, QUANTILES, stamp
from clvq.concepts import names
from clvq.concepts.records import FALSE_DISCOVERIES, SPLIT, CodebookFigures, CodebookSummary, Concept
from clvq.config.signatures import takes
from clvq.errors import ClvqError
from clvq.notebook import Shown, data_frame
from clvq.progress import Report, silent
from clvq.storage import check_file, file_checksum, locked, read_tensors, write_tensors
from clvq.training.checkpoint import Checkpoint, read_checkpoint

if TYPE_CHECKING:
    from pandas import DataFrame
    from scipy.sparse import csr_array

    from clvq.concepts.assignments import SplitText
    from clvq.concepts.catalogue import Catalogue


@dataclass(frozen=True, repr=False)
class Codebook(Shown):
    """A checkpoint's concepts as stored; made by `codebook`.

        book = clvq.codebook("run/L4-L8")
        print(book.name(12), [word.word for word in book.concept(12).top_words])

    `assignments` gives the code of every word of a split.
    """

    checkpoint: Checkpoint
    summary: CodebookSummary
    concepts: list[Concept]
    """The active concepts in the order of their codes."""

    @property
    def figures(self) -> CodebookFigures:
        return self.summary.figures

    @cached_property
    def by_code(self) -> dict[int, Concept]:
        """The active concepts by their codes."""
        return {concept.code: concept for concept in self.concepts}

    @property
    def usage(self) -> np.ndarray:
        """[K] int64: number of words of the training split that have each code."""
        usage = np.zeros(self.figures.codebook_size, np.int64)
        for concept in self.concepts:
            usage[concept.code] = concept.words
        return usage

    def _title(self) -> str:
        figures = self.figures
        active = f"{figures.active_codes:,} of {figures.codebook_size:,} codes in use"
        return f"{self.checkpoint.path}: {active}, perplexity {figures.codebook_perplexity:,.1f}"

    def _html(self, caption: str) -> str:
        from clvq.concepts.notebook import concepts_html

        return concepts_html(caption, self.concepts, self.summary)

    def to_pandas(self) -> DataFrame:
        """Return a table with one row per concept."""
        return data_frame(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """Return the concepts as lines of a table: name and note, then one value or list per column."""
        labels = self.summary.label_names
        return [{**self._named(concept.code), **concept.as_row(labels)} for concept in self.concepts]

    def described(self, concept: Concept) -> dict[str, Any]:
        """Return what is stored of a concept, with its name and note."""
        return {**self._named(concept.code), **concept.as_json()}

    def _named(self, code: int) -> dict[str, Any]:
        return {"code": code, "name": self.name(code), "note": self.notes.get(code)}

    def concept(self, code: int) -> Concept:
        """Return the concept of a code; ClvqError where the code is out of range or dead."""
        concept = self.by_code.get(code)
        if concept is not None:
            return concept
        size = self.figures.codebook_size
        if not 0 <= code < size:
            raise ClvqError(f"There is no code {code} in {self.checkpoint.path}: its codes are 0 to {size - 1}.")
        raise ClvqError(f"Code {code} of {self.checkpoint.path} is dead: no row of the {SPLIT} split has it.")

    def assignments(self, split: str = SPLIT) -> np.ndarray:
        """Return the code of every row of a split in the order of the store `[rows]` int32, -1 for rows left out.

        ArtifactError where the file is missing or damaged.
        """
        return self._tensor(split)

    def _tensor(self, name: str) -> np.ndarray:
        path = self.checkpoint.path / ASSIGNMENTS_NAME
        check_file(path, self.summary.assignments_checksum, CODEBOOK.remedy)
        values: np.ndarray = read_tensors(path, CODEBOOK.remedy)[0][name].numpy()
        return values

    def distance_quantiles(self) -> np.ndarray:
        """Return the quantiles, at 101 equal steps, of the squared distances of each code's training words
        `[K, 101]`; NaN for a code without words. ArtifactError as `assignments`."""
        return self._tensor(QUANTILES)

    def name(self, code: int) -> str:
        """Return the name of a code's concept: the name that a reader gave, or one made of the concept's words."""
        if code in self.given_names:
            return self.given_names[code]
        concept = self.by_code.get(code)
        return "no word of the training split" if concept is None else names.made_name(concept)

    def rename(self, code: int, name: str) -> None:
        """Give a concept a name, which is kept beside the checkpoint; an empty name restores the one made of words.

        ClvqError for a code that is dead or does not exist, and for a name that is too long.
        """
        self.concept(code)
        names.give_name(self.checkpoint.path, self.checkpoint.fingerprint, code, name)
        self.__dict__.pop("given_names", None)

    def import_names(self, path: str | Path) -> int:
        """Keep the names and notes of a file that the report's page exported; return the number of concepts in it.

            clvq.codebook("run/L4-L8").import_names("concept-names.json")

        They replace the stored ones of the same concepts; an empty name or note deletes the stored one. ClvqError where
        the file is no such file, or names a code that is dead or does not exist; MismatchError where the file is of
        another training.
        """
        given, notes = names.read_export(Path(path), self.checkpoint.fingerprint)
        codes = {*given, *notes}
        for code in sorted(codes):
            self.concept(code)
        names.give(self.checkpoint.path, self.checkpoint.fingerprint, given, notes)
        for cached in ("given_names", "notes"):
            self.__dict__.pop(cached, None)
        return len(codes)

    @cached_property
    def given_names(self) -> dict[int, str]:
        """The names that readers gave, by code."""
        return names.given_names(self.checkpoint.path, self.checkpoint.fingerprint)

    @cached_property
    def notes(self) -> dict[int, str]:
        """The notes that readers gave, by code."""
        return names.given_notes(self.checkpoint.path, self.checkpoint.fingerprint)

    def word_counts(self) -> tuple[csr_array, SplitText]:
        """Return how often each word type has each code `[K, V]`, sparse, and the text in which this was counted."""
        from clvq.concepts.assignments import read_text
        from clvq.concepts.catalogue import word_counts

        text = read_text(self.checkpoint.store(), SPLIT)
        return word_counts(self.assignments(), text, self.figures.codebook_size), text


@takes()
def codebook(checkpoint: Checkpoint | str | Path, *, overwrite: bool = False, progress: Report = silent) -> Codebook:
    """Return a checkpoint's concepts: those stored beside it, or new ones made from its activations.

        concepts = clvq.codebook("run/L4-L8").concepts
        print(concepts[0].code, [word.word for word in concepts[0].top_words])

    Stored concepts need no activations. ArtifactError where there are neither stored concepts nor activations, or where
    a file is damaged; MismatchError where new concepts are needed and the activations are not those that the checkpoint
    was trained on; ClvqError where the checkpoint's folder cannot be written.

    Args:
        checkpoint: A checkpoint, or its folder.
        overwrite: Find the concepts again, and replace the stored ones.
    """
    checkpoint = read_checkpoint(checkpoint)
    if checkpoint.has_activations:
        checkpoint.store()  # raises for other activations than the checkpoint's own
    stored = None if overwrite else _stored(checkpoint)
    if stored is None:
        from clvq.concepts.catalogue import Catalogue  # not at the top: stored concepts are read without torch

        store = checkpoint.store()
        with locked(checkpoint.path):
            _write(Catalogue.read(checkpoint, store, progress))
        stored = _stored(checkpoint)
        assert stored is not None
    return stored


def _stored(checkpoint: Checkpoint) -> Codebook | None:
    """Return the stored concepts, verified; None where there are none, or they were made of other weights or rows."""
    made_of = {"checkpoint": checkpoint.fingerprint, "rows": checkpoint.config.provenance.rows}
    body = CODEBOOK.inspect(checkpoint.path, made_of).usable()
    if body is None:
        return None
    concepts = [Concept.from_json(line) for line in CODEBOOK.read_records(checkpoint.path, body)]
    return Codebook(checkpoint, CodebookSummary.from_json(body), concepts)


def _write(catalogue: Catalogue) -> None:
    """Write the three files. codebook.json is written last: if it exists, all three are complete."""
    from torch import from_numpy

    folder = catalogue.checkpoint.path
    figures = catalogue.figures()
    labels, predictions = catalogue.labels, catalogue.predictions
    checksum = CODEBOOK.write_records(folder, (concept.as_json() for concept in catalogue.concepts()))
    tensors = {split: from_numpy(assigned.codes) for split, assigned in catalogue.assigned.items()}
    tensors[QUANTILES] = from_numpy(catalogue.distance_quantiles())
    write_tensors(folder / ASSIGNMENTS_NAME, tensors)
    summary = {
        "checkpoint": catalogue.checkpoint.fingerprint,
        "rows": catalogue.store.fingerprint,
        "split": SPLIT,
        "label_names": catalogue.store.label_names,
        "figures": figures.as_json(),
        "fdr": FALSE_DISCOVERIES,
        "label_unit": "sentence" if catalogue.text.tags is None else "word",
        "label_totals": None if labels is None else labels.totals.tolist(),
        "prediction_totals": None if predictions is None else predictions.totals.tolist(),
        "label_texts": None if labels is None else labels.population,
        "prediction_texts": None if predictions is None else predictions.population,
        "concepts_checksum": checksum,
        "assignments_checksum": file_checksum(folder / ASSIGNMENTS_NAME),
        **stamp(),
    }
    CODEBOOK.write(folder, summary)
