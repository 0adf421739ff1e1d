"""How an activation store looks in a notebook: a table of its splits, and one of its layers."""

from __future__ import annotations

from clvq.activations.manifest import Manifest
from clvq.notebook import table_html, text_html


def store_html(caption: str, manifest: Manifest) -> str:
    """Return both tables as HTML, from the manifest."""
    splits = [
        [text_html(name), f"{split.sentences:,}", f"{split.counts.get('words', 0):,}",
         _percent(split.figures.accuracy), _percent(split.figures.majority)]
        for name, split in manifest.splits.items()
    ]  # fmt: skip
    layers = [
        [str(layer.index), f"{layer.width:,}", f"{layer.scale:.4g}", f"{layer.median_norm:.4g}"]
        for layer in sorted(manifest.layers.values(), key=lambda layer: layer.index)
    ]
    unit = "words" if manifest.settings.unit == "word" else "tokens"
    head = ["split", "sentences", unit, "accuracy of the model", "most frequent answer"]
    return table_html(caption, head, splits) + table_html("", ["layer", "width", "scale", "median norm"], layers)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
