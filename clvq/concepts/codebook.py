"""The catalogue of a checkpoint's concepts, from one pass over the training split with the final codebook.

    codebook.json              figures of the whole codebook, and what it was made from; written last
    concepts.jsonl             a concept a line, in the order of the codes; dead codes have none
    assignments.safetensors    train, eval: the code of every row [rows] int32, -1 for what is left out

The assignments are kept, 4 bytes a row, so that searching, exporting and comparing need no pass of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array

from clvq.activations.store import ActivationStore
from clvq.artifacts import ASSIGNMENTS_NAME, CODEBOOK, stamp
from clvq.concepts.assignments import SplitText, read_text
from clvq.concepts.catalogue import FALSE_DISCOVERIES, SPLIT, Catalogue, word_counts
from clvq.config.signatures import takes
from clvq.errors import ClvqError
from clvq.progress import Report, silent
from clvq.storage import check_file, file_checksum, locked, read_tensors, write_tensors
from clvq.training.checkpoint import Checkpoint, read_checkpoint


@dataclass(frozen=True)
class Codebook:
    """A checkpoint's concepts as stored; made by `codebook`."""

    checkpoint: Checkpoint
    summary: dict[str, Any]
    """What codebook.json says."""
    concepts: list[dict[str, Any]]
    """The active concepts in the order of their codes."""

    def concept(self, code: int) -> dict[str, Any]:
        """The concept of a code; ClvqError where it is out of range or dead."""
        found = self._by_code.get(code)
        if found is not None:
            return found
        size = self.summary["figures"]["codebook_size"]
        if not 0 <= code < size:
            raise ClvqError(f"There is no code {code} in {self.checkpoint.path}: its codes are 0 to {size - 1}.")
        raise ClvqError(f"Code {code} of {self.checkpoint.path} is dead: no row of the {SPLIT} split has it.")

    @cached_property
    def _by_code(self) -> dict[int, dict[str, Any]]:
        return {concept["code"]: concept for concept in self.concepts}

    def assignments(self, split: str = SPLIT) -> np.ndarray:
        """[rows] int32: the code of every row of a split in the order of the store, -1 for what is left out."""
        path = self.checkpoint.path / ASSIGNMENTS_NAME
        check_file(path, self.summary["assignments_checksum"], CODEBOOK.remedy)
        codes: np.ndarray = read_tensors(path, CODEBOOK.remedy)[0][split].numpy()
        return codes

    def word_counts(self) -> tuple[csr_array, SplitText]:
        """How often each word type has each code `[K, V]`, sparse, and the text that it was counted on."""
        text = read_text(self.checkpoint.store(), SPLIT)
        return word_counts(self.assignments(), text, self.summary["figures"]["codebook_size"]), text


@takes()
def codebook(checkpoint: Checkpoint | str | Path, *, overwrite: bool = False, progress: Report = silent) -> Codebook:
    """Return a checkpoint's concepts: those stored beside it, or new ones made from its activations.

        concepts = clvq.codebook("run/L4-L8").concepts

    ArtifactError where the activations are missing or a file is damaged; MismatchError where the activations are not
    those that the checkpoint was trained on; ClvqError where the checkpoint's folder cannot be written.

    Args:
        checkpoint: A checkpoint, or its folder.
        overwrite: Find the concepts again, and replace the stored ones.
    """
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = read_checkpoint(checkpoint)
    store = checkpoint.store()
    found = None if overwrite else _stored(checkpoint, store)
    if found is not None:
        return found
    with locked(checkpoint.path):
        _write(Catalogue(checkpoint, store, progress))
    made = _stored(checkpoint, store)
    assert made is not None
    return made


def _stored(checkpoint: Checkpoint, store: ActivationStore) -> Codebook | None:
    """What the folder holds, verified; None where there is nothing, or what was made of other weights or rows."""
    made_of = {"checkpoint": checkpoint.fingerprint, "rows": store.fingerprint}
    summary = CODEBOOK.inspect(checkpoint.path, made_of).usable()
    return None if summary is None else Codebook(checkpoint, summary, CODEBOOK.read_records(checkpoint.path, summary))


def _write(catalogue: Catalogue) -> None:
    """The three files, codebook.json last: with it they are complete."""
    folder = catalogue.checkpoint.path
    figures = catalogue.figures()
    labels, predictions = catalogue.labels, catalogue.predictions
    checksum = CODEBOOK.write_records(folder, catalogue.concepts())
    tensors = {split: torch.from_numpy(assigned.codes) for split, assigned in catalogue.assigned.items()}
    write_tensors(folder / ASSIGNMENTS_NAME, tensors)
    summary = {
        "checkpoint": catalogue.checkpoint.fingerprint,
        "rows": catalogue.store.fingerprint,
        "split": SPLIT,
        "label_names": catalogue.store.label_names,
        "figures": figures,
        "fdr": FALSE_DISCOVERIES,
        "label_totals": None if labels is None else labels.totals.tolist(),
        "prediction_totals": None if predictions is None else predictions.totals.tolist(),
        "concepts_checksum": checksum,
        "assignments_checksum": file_checksum(folder / ASSIGNMENTS_NAME),
        **stamp(),
    }
    CODEBOOK.write(folder, summary)
