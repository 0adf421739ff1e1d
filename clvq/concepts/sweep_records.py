"""The results of a sweep as values: one row per training, and the flow of concepts between its layer pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from clvq.artifacts import SWEEP
from clvq.artifacts.records import Record
from clvq.concepts.pairs import share_told
from clvq.config.grid import used_settings
from clvq.errors import ClvqError
from clvq.notebook import Shown, data_frame, table_html, text_html
from clvq.storage import atomic_path
from clvq.training.checkpoint import Checkpoint

if TYPE_CHECKING:
    from pandas import DataFrame

EVALUATION = (
    "fvu", "fvu_sentence_rows", "fvu_codes_shuffled", "fvu_own_code_mean", "fvu_first_codebook", "codebook_perplexity",
    "active_codes", "dead_codes", "l0", "active_latents",
)  # fmt: skip
"""Figures over the evaluation split; None where a method has no such figure."""
YARDSTICKS = ("ridge", "mean_per_code", "copy", "frozen_kmeans")
"""FVU of simpler predictions of the same layer."""
OTHERS = ("selection_fvu", "best_epoch", "epochs_run", "target_layer")
APART = ("device", "report_to")
"""Settings that do not affect a result."""
TABLES = (".parquet", ".csv")
"""Endings of the files that `Sweep.write_table` writes."""


@dataclass(frozen=True)
class Swept(Record):
    """One training of a sweep."""

    name: str
    """Name of the checkpoint's folder in the run folder."""
    checkpoint: str
    """Fingerprint of the weights."""
    settings: dict[str, Any]
    """Settings by name; None for a setting that the method does not use."""
    figures: dict[str, float | int | None]
    """Figures by name: EVALUATION, YARDSTICKS and OTHERS."""

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Self:
        """Return the settings and figures of a finished checkpoint."""
        results, used = checkpoint.results, used_settings(checkpoint.settings)
        settings = {name: used.get(name) for name in checkpoint.settings.as_json() if name not in APART}
        figures = {name: getattr(results.evaluation, name, None) for name in EVALUATION}
        figures |= {name: getattr(results.yardsticks, name) for name in YARDSTICKS}
        figures |= {name: getattr(results, name) for name in OTHERS}
        return cls(checkpoint.path.name, checkpoint.fingerprint, settings, figures)

    @property
    def active(self) -> float | int | None:
        """Active codes; of a sparse autoencoder, active latents, as `clvq train` counts them."""
        latents = self.figures["active_latents"]
        return self.figures["active_codes"] if latents is None else latents

    def as_row(self) -> dict[str, Any]:
        """Return name, settings and figures as a flat row of a table."""
        return {"name": self.name, **self.settings, **self.figures}


@dataclass(frozen=True)
class SweptArrow(Record):
    """The words that have a certain concept at a layer pair and a certain concept at the next pair."""

    code: int
    name: str
    """Name of the concept."""
    other: int
    other_name: str
    words: int
    share: float
    """Share of the words of this code."""
    other_share: float
    """Share of the words of the other code."""
    bits: float
    """What these words contribute to the mutual information of the two assignments of codes."""


@dataclass(frozen=True)
class SweptFlow(Record):
    """Which concepts of the next layer pair hold the words of each concept. Entropies are in bits per word."""

    name: str
    other: str
    words: int
    codes: int
    other_codes: int
    entropy: float
    """H(other)."""
    conditional_entropy: float
    """H(other | this); 0 where a word's code at this layer pair determines its code at the next."""
    arrows: list[SweptArrow]
    """The strongest arrows first."""

    @property
    def told(self) -> float | None:
        """Share of the entropy at the next layer pair that the codes of this pair explain; None where that is 0."""
        return share_told(self.entropy, self.conditional_entropy)


@dataclass(frozen=True, repr=False)
class Sweep(Shown):
    """The trainings of a grid, in its order; made by `sweep`.

        table = clvq.sweep("run/activations", layers="4-8", codebook_size=[100, 400])
        print(table.varied, [(row.name, row.figures["fvu"]) for row in table.rows])

    `to_pandas` gives one row per training.
    """

    path: Path
    """The run folder."""
    rows: list[Swept]
    chains: list[list[str]]
    """Chains of trainings, by name: each has the next layer pair of the one before, and else the same settings."""
    flows: list[SweptFlow]
    """One for each step of a chain."""

    @property
    def varied(self) -> list[str]:
        """The settings that differ between trainings; a training whose method does not use a setting is ignored."""
        values = {name: {row.settings[name] for row in self.rows} - {None} for name in self.rows[0].settings}
        return [name for name, found in values.items() if len(found) > 1]

    @property
    def of_several_layers(self) -> bool:
        """Whether trainings predict different layers, so that the FVU of one cannot be compared with that of all."""
        return len({row.figures["target_layer"] for row in self.rows}) > 1

    def as_json(self) -> dict[str, Any]:
        """Return the content of sweep.json."""
        return {
            "varied": self.varied,
            "rows": [row.as_json() for row in self.rows],
            "chains": self.chains,
            "flows": [flow.as_json() for flow in self.flows],
        }

    def write(self) -> Path:
        """Write sweep.json into the run folder. The same checkpoints give the same bytes."""
        SWEEP.write(self.path, self.as_json())
        return SWEEP.path(self.path)

    def write_table(self, path: str | Path) -> Path:
        """Write one row per training to a .parquet or .csv file, replacing it. ClvqError for another ending."""
        import pyarrow as pa
        from pyarrow import csv, parquet

        path = checked_table(Path(path))
        table = pa.Table.from_pylist([row.as_row() for row in self.rows])
        with atomic_path(path) as temporary:
            if path.suffix == ".csv":
                csv.write_csv(table, temporary)
            else:
                parquet.write_table(table, temporary)
        return path

    def to_pandas(self) -> DataFrame:
        """Return a table with one row per training."""
        return data_frame(row.as_row() for row in self.rows)

    def _title(self) -> str:
        return f"{self.path}: {len(self.rows)} trainings, over {', '.join(self.varied) or 'no setting'}"

    def _html(self, caption: str) -> str:
        names = ("fvu", "fvu_codes_shuffled", "codebook_perplexity", "active_codes")
        rows = ([text_html(row.name), *(_cell(row.figures, name) for name in names)] for row in self.rows)
        return table_html(caption, ["checkpoint", *names], rows)


def checked_table(path: Path) -> Path:
    """Return the path of a table. ClvqError for an ending that is not in TABLES, and for a folder."""
    if path.suffix not in TABLES or path.is_dir():
        raise ClvqError(f"{path} must be a file whose name ends in {' or '.join(TABLES)}.")
    return path


def _cell(figures: Mapping[str, float | int | None], name: str) -> str:
    value = figures[name]
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"
