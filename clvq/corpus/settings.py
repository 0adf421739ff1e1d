"""The settings of a corpus: which sentences of which dataset."""

from __future__ import annotations

from dataclasses import dataclass

from clvq.config import ExtractConfig, Quoting, WordMethod
from clvq.config.prompts import TEXT, TEXT_PAIR
from clvq.corpus.delimited import FileOptions


@dataclass(frozen=True)
class CorpusSettings:
    """Which sentences of which dataset; see `load_corpus`."""

    dataset: str
    """`demo`, `user/name` or `user/name@revision` of the hub, a local folder or file."""
    subset: str | None = None
    split: str | None = None
    """Training split; None is `train`, or else the only split."""
    eval_dataset: str | None = None
    eval_split: str | None = None
    text_column: str | None = None
    text_pair_column: str | None = None
    parts: tuple[str, ...] = (TEXT,)
    """What makes up a text; see `columns.Parts`."""
    label_column: str | None = None
    """With an empty name, or `none`, no labels are read."""
    label_map: str | None = None
    """What values of the label column mean; see `label_map.parse_label_map`."""
    words: WordMethod = "text"
    """With `whitespace` a list of tokens is a text."""
    delimiter: str | None = None
    """Delimiter of the fields of local files. `FileOptions` explains this and the next two settings."""
    quoting: Quoting | None = None
    header: bool | None = None
    max_sentences: int | None = None
    """Largest number of sentences of each split."""
    revision: str | None = None
    streaming: bool = False
    seed: int = 0
    """Seed of the held-out tenth and of the sample under `max_sentences`."""

    @property
    def file_options(self) -> FileOptions:
        label = "" if self.label_column == "none" else self.label_column or ""
        labels = (label, *label.split(","))
        named = (self.text_column, self.text_pair_column, *labels, *self.parts)
        columns = tuple(name for name in named if name and name not in (TEXT, TEXT_PAIR))
        return FileOptions(self.delimiter, self.quoting, self.header, columns)

    @classmethod
    def of_extraction(cls, config: ExtractConfig) -> CorpusSettings:
        """Return the part of an extraction's settings that is about the corpus, without `revision`, which is the
        model's."""
        shared = (name for name in cls.__dataclass_fields__ if name != "revision")
        return cls(**{name: getattr(config, name) for name in shared})
