"""The description of activations without their rows: enough to make rows of new text in the same way.

A checkpoint keeps the description of the activations that it was trained on, so that it can be used without the
activations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from clvq.activations.manifest import Manifest, StoredLayer, StoreProvenance
from clvq.config import ExtractConfig
from clvq.language_model.records import StoredTarget
from clvq.language_model.rows import sink_rows

if TYPE_CHECKING:
    from torch import Tensor


class Description:
    """The manifest of an activation store, with or without the list of its files."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    @property
    def settings(self) -> ExtractConfig:
        return self.manifest.settings

    @property
    def provenance(self) -> StoreProvenance:
        return self.manifest.provenance

    @property
    def label_names(self) -> list[str] | None:
        return self.manifest.label_names

    @property
    def has_predictions(self) -> bool:
        return self.manifest.has_predictions

    @property
    def target(self) -> StoredTarget | None:
        """What was asked of the model; None where it gave no answer, and in a store of an earlier clvq."""
        return self.manifest.target

    @property
    def layers(self) -> dict[int, StoredLayer]:
        return self.manifest.layers

    @property
    def fingerprint(self) -> str:
        """A hash that identifies the rows: texts, labels, spans and flags of every split."""
        return self.manifest.rows_fingerprint

    def as_stored(self, rows: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Return fresh rows `[R, D]` of layers as the store would hold them, in 32 bits."""
        from clvq.language_model.batch_rows import as_stored  # not at the top: a description alone needs no torch

        return {layer: as_stored(values, self.settings.dtype) for layer, values in rows.items()}

    def sinks_among(self, flags: np.ndarray, stored: Mapping[int, Tensor]) -> np.ndarray:
        """Return, as bool `[R]`, which fresh rows are attention sinks at any layer; `stored` is what `as_stored`
        returned."""
        norms = {layer: rows.norm(dim=1).cpu().numpy() for layer, rows in stored.items()}
        return self._sinks(flags, norms)

    def _sinks(self, flags: np.ndarray, norms: Mapping[int, np.ndarray]) -> np.ndarray:
        sinks = np.zeros(len(flags), bool)
        if not self.settings.keep_sinks:
            for layer, values in norms.items():
                sinks |= sink_rows(flags, values, self.layers[layer].median_norm)
        return sinks
