"""Results of splice, probes and single concepts as values: one class for each kind of JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from clvq.artifacts.records import Record
from clvq.interventions.records import Interval


@dataclass(frozen=True)
class Answer(Record):
    """What the model answers with other states, compared with its answers without a change."""

    agreement: Interval
    kl: Interval
    loss: Interval
    accuracy: Interval | None

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        return cls(**{name: Interval.read(value) for name, value in body.items()})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Spliced(Record):
    """Figures with one stand-in at the tokens without a row."""

    share_recovered: Interval | None
    """None where it is not sure that the ablation costs any loss."""
    share_recovered_labels: Interval | None
    loss_clean: float
    spliced: Answer
    ablated: Answer
    """With the mean at every row."""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            share_recovered=Interval.read(body["share_recovered"]),
            share_recovered_labels=Interval.read(body["share_recovered_labels"]),
            loss_clean=body["loss_clean"],
            spliced=Answer.read(body["spliced"]),
            ablated=Answer.read(body["ablated"]),
        )


@dataclass(frozen=True)
class SpliceResult(Record):
    """What the reconstruction keeps of the model's answers, over sentences that have a row."""

    input_layer: int
    """Where rows are read."""
    layer: int
    """Where their reconstruction is put."""
    target: str
    """"class", "next token" (the one after the text) or another `Target.kind`."""
    sentences: int
    left_out: int
    """Sentences without a row."""
    only_sentence_row: bool
    """Whether the answer was found to depend only on the sentence rows."""
    distinct_texts: int
    tokens: int
    tokens_of_rows: int
    """How many of the tokens have a row."""
    accuracy: Interval | None
    """Accuracy of the unchanged model; None without labels of its classes."""
    unit: float | None
    """Standard deviation of the clean scores, where the answer is a number."""
    positions: int | None
    """Number of tokens at which the next one is asked for; None where a text has one answer, or one for each part."""
    others: dict[str, Spliced]
    """Figures by what is put at tokens without a row: `clean` (as they are) and `ablated` (the mean)."""
    r2: float | None = None
    """R² of the unchanged model's scores, where the answer is a number and the corpus has the right ones."""

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        others = {name: Spliced.read(entry) for name, entry in body["others"].items()}
        lacking = {"unit": None, "positions": None}  # in files of an earlier clvq
        return cls(**{**lacking, **body, "accuracy": Interval.read(body["accuracy"]), "others": others})

    def as_json(self) -> dict[str, Any]:
        return {**super().as_json(), "others": {name: entry.as_json() for name, entry in self.others.items()}}


@dataclass(frozen=True)
class ProbeFigures(Record):
    """What probes read of sentence rows."""

    accuracy: Interval
    chance_distance: float
    """`|accuracy - chance|`."""
    refitted: Interval | None
    """Accuracy of probes that are fitted again to edited rows; None for too few texts."""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        return cls(Interval(**body["accuracy"]), body["chance_distance"], Interval.read(body["refitted"]))


@dataclass(frozen=True)
class ProbeRow(Record):
    """What probes read of rows that an edit or a control has changed."""

    edit: str
    control: str | None
    """None for the edit itself."""
    figures: ProbeFigures
    drop: Interval
    """Accuracy before minus accuracy after."""
    distance: float
    """How far a row moves, on average."""
    selectivity: Interval | None
    """Accuracy under the control minus that under the edit; None for the edit, and where the distances differ."""
    protocol: str | None = None
    """In the published protocol: "published", or "check" for a line that checks it."""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            edit=body["edit"],
            control=body["control"],
            figures=ProbeFigures.read(body),
            drop=Interval(**body["drop"]),
            distance=body["distance"],
            selectivity=Interval.read(body["selectivity"]),
            protocol=body.get("protocol"),
        )

    def as_json(self) -> dict[str, Any]:
        body = super().as_json()
        figures, protocol = body.pop("figures"), body.pop("protocol")
        head = {"edit": body.pop("edit"), "control": body.pop("control")}
        return {**({"protocol": protocol} if protocol else {}), **head, **figures, **body}


@dataclass(frozen=True)
class ProbeResult(Record):
    """What a probe reads of sentence rows before and after edits."""

    mode: str
    """"probe", or "paper" for the published protocol."""
    layer: int
    rows: str
    """What is probed: "sentence", or "mean of words"."""
    distinct_texts: int
    chance: float
    sentences: dict[str, int]
    """How many each part has: `training`, `selection` (only in the sound protocol) and `evaluation`."""
    C: float | None
    """Selected inverse strength of the regularisation; None for the published protocol."""
    before: ProbeFigures
    table: list[ProbeRow]

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        table = [ProbeRow.read(line) for line in body["table"]]
        return cls(**{**body, "C": body.get("C"), "before": ProbeFigures.read(body["before"]), "table": table})

    def as_json(self) -> dict[str, Any]:
        body = super().as_json()
        if self.C is None:
            del body["C"]
        return body


@dataclass(frozen=True)
class ControlledEffect(Interval):
    """A mean with its interval, and a test of whether it is above 0."""

    p: float | None
    """None for too few texts, or where the control could not be matched."""
    q: float | None
    """Share of false discoveries among the concepts with a p as small; None where there is no p."""


@dataclass(frozen=True)
class ClassEffect(Record):
    """What removing a concept does to the sentences that are predicted as one class, or to one label of several."""

    label: int
    name: str
    sentences: int
    texts: int
    """Distinct ones."""
    flips: float
    probability: float
    """How much the probability of the class falls."""
    coherent: Interval
    """The same minus the fall under the coherent random step. It is not tested: the test is of all classes together."""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        return cls(**{**body, "coherent": Interval(**body["coherent"])})


@dataclass(frozen=True)
class ConceptEffect(Record):
    """What removing one concept wherever it occurs does, over the sentences that have it."""

    code: int
    sentences: int
    texts: int
    """Distinct ones."""
    flips: float
    """Flips, KL and fall are means over the sentences; over all labels of each, or all tagged words, where the model is
    asked for these."""
    kl: float
    """KL(clean || changed) in nats."""
    probability: float
    """How much the probability of the prediction falls."""
    coherent: ControlledEffect
    """The same minus the fall under the coherent random step: the concept's effect."""
    own: ControlledEffect
    """The same minus the fall under the words' own deviations."""
    classes: list[ClassEffect]
    """Effects by predicted class, or by label over the sentences that are predicted to have it; empty where the model
    has no named classes, and of tags."""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        tests = {name: ControlledEffect(**body[name]) for name in ("coherent", "own")}
        return cls(**{**body, **tests, "classes": [ClassEffect.read(line) for line in body["classes"]]})


@dataclass(frozen=True)
class ConceptEffects(Record):
    """Which concepts drive the model's answers."""

    class_: str | None
    """What the sentences are predicted as, a class or a label; of tags, the right tag of the words. None for all."""
    target: str
    """`Target.kind`."""
    unit: float | None
    """Standard deviation of the clean scores, where the answer is a number."""
    sentences: int
    """Sentences with at least one concept."""
    concepts: list[ConceptEffect]
    """Those with the largest effect first; those that are not tested last."""

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        asked = body.get("target", "class"), body.get("unit")
        return cls(body["class"], *asked, body["sentences"], [ConceptEffect.read(line) for line in body["concepts"]])

    def as_json(self) -> dict[str, Any]:
        body = super().as_json()
        return {"class": body.pop("class_"), **body}
