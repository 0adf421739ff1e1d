"""The description of activations without their rows: enough to make rows of new text in the same way.

A checkpoint keeps the description of the activations that it was trained on, so that it can be used without the
activations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clvq.language_model.rows import as_stored, sink_rows


@dataclass(frozen=True)
class StoredLayer:
    """What the manifest says about one layer."""

    index: int
    width: int
    scale: float
    """The factor by which rows are multiplied, so that the mean squared norm of training rows is `width`."""
    median_norm: float
    fingerprint: str


class Description:
    """The manifest of an activation store, with or without the list of its files."""

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        self.manifest = dict(manifest)
        self.settings: dict[str, Any] = self.manifest["settings"]
        self.provenance: dict[str, Any] = self.manifest["provenance"]
        self.label_names: list[str] | None = self.manifest["label_names"]
        self.has_predictions: bool = self.manifest["has_predictions"]
        self.target: dict[str, Any] | None = self.manifest.get("target")
        """What was asked of the model, as `Target.as_json` returns it, and the `unit` of a score; None where the model
        gave no answer, and in a store of an earlier clvq."""
        self.keep_sinks: bool = self.settings["keep_sinks"]

    def as_json(self, layers: tuple[int, ...]) -> dict[str, Any]:
        """Return the manifest without its files, and with only the named `layers`."""
        kept = {
            key: value
            for key, value in self.manifest.items()
            if key not in ("splits", "format", "format_version", "self_fingerprint")
        }
        kept["layers"] = {
            str(layer): {key: value for key, value in self.manifest["layers"][str(layer)].items() if key != "shards"}
            for layer in layers
        }
        return kept

    @property
    def layers(self) -> dict[int, StoredLayer]:
        names = ("index", "width", "scale", "median_norm", "fingerprint")
        return {int(key): StoredLayer(**{n: value[n] for n in names}) for key, value in self.manifest["layers"].items()}

    @property
    def fingerprint(self) -> str:
        """A hash that identifies the rows: texts, labels, spans and flags of every split."""
        return str(self.manifest["rows_fingerprint"])

    def as_stored(self, rows: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Return fresh rows `[R, D]` of layers as the store would hold them, in 32 bits."""
        return {layer: as_stored(values, self.settings["dtype"]) for layer, values in rows.items()}

    def sinks_among(self, flags: np.ndarray, stored: Mapping[int, Tensor]) -> np.ndarray:
        """Return, as bool `[R]`, which fresh rows are attention sinks at any layer; `stored` is what `as_stored`
        returned."""
        norms = {layer: torch.linalg.vector_norm(rows, dim=1).cpu().numpy() for layer, rows in stored.items()}
        return self._sinks(flags, norms)

    def _sinks(self, flags: np.ndarray, norms: Mapping[int, np.ndarray]) -> np.ndarray:
        sinks = np.zeros(len(flags), bool)
        if not self.keep_sinks:
            for layer, values in norms.items():
                sinks |= sink_rows(flags, values, self.layers[layer].median_norm)
        return sinks
