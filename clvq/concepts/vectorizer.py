"""Concepts as features for scikit-learn: how often each concept is in each text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, TransformerMixin

from clvq.concepts.assign import Assigner
from clvq.concepts.assigned_files import count_codes
from clvq.config import AssignConfig
from clvq.device import Runtime
from clvq.errors import ClvqError
from clvq.training.checkpoint import Checkpoint, read_checkpoint


class ConceptVectorizer(TransformerMixin, BaseEstimator):
    """Counts the concepts of a checkpoint in texts: `[texts, K]`, one column per code.

        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        pipeline = make_pipeline(clvq.ConceptVectorizer("run/L4-L8"), LogisticRegression())
        pipeline.fit(texts, labels)

    It learns nothing from the texts: `fit` only reads the checkpoint, and `transform` does that too if `fit` was not
    called. ArtifactError and ClvqError as `clvq.assign`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | str | Path,
        *,
        model: str | None = None,
        device: str | None = None,
        batch_tokens: int = 4096,
        trust_remote_code: bool = False,
    ) -> None:
        """Take a checkpoint or its folder, and settings of `clvq.assign`."""
        self.checkpoint = checkpoint
        self.model = model
        self.device = device
        self.batch_tokens = batch_tokens
        self.trust_remote_code = trust_remote_code

    def fit(self, texts: Iterable[str] | None = None, labels: Any = None) -> Self:
        """Read the checkpoint; the texts and their labels are not used."""
        names = ("model", "device", "batch_tokens", "trust_remote_code")
        config = AssignConfig.resolve(**{name: getattr(self, name) for name in names})
        self.assigner_ = Assigner(read_checkpoint(self.checkpoint), Runtime.of_settings(config))
        return self

    def transform(self, texts: Iterable[str]) -> scipy.sparse.csr_matrix:
        """Return how often each code is in each text `[texts, K]` int64, sparse.

        ClvqError for values that are no texts, and for one text that is not in a list.
        """
        if isinstance(texts, str):
            raise ClvqError("One text is given where several are expected. Put it into a list.")
        return count_codes(self._assigner().assigned(texts), self._size())

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns `[K]`: code and name of each concept, as in "12 awful, terrible, bad"."""
        book = self._assigner().book
        return np.array([f"{code} {book.name(code)}" for code in range(self._size())], dtype=object)

    def _size(self) -> int:
        return self._assigner().book.figures.codebook_size

    def _assigner(self) -> Assigner:
        if not hasattr(self, "assigner_"):
            self.fit()
        return self.assigner_

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags
