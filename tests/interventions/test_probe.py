"""Probes of sentence rows: a planted label, figures against scikit-learn by hand, donors, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional

import clvq
from clvq.activations.store import ActivationStore
from clvq.concepts.directions import ConceptSpace, concept_space
from clvq.errors import ClvqError, MismatchError
from clvq.explanations.records import Explanation
from clvq.interventions.probe import CONTROLS, probe, published_probe
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.rows import SENTENCE
from clvq.training.checkpoint import Checkpoint
from clvq.training.rows import split_by_text

pytestmark = pytest.mark.slow

TEXTS = tiny_models.made_sentences()
LAYER = 1


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, model_folder: Any) -> tuple[Path, Tensor, Tensor]:
    """(a checkpoint, explained; the mean and the direction that decide the label of a sentence row)."""
    run = tmp_path_factory.mktemp("probed") / "run"
    run.mkdir()
    model = LanguageModel.load(str(model_folder("bert")), ModelOptions(device="cpu"))
    rows = torch.stack([model.run([sentence], [LAYER]).hidden[LAYER][0] for sentence in model.tokenize(TEXTS)])
    # Of the main directions, the one whose two sides differ least in whatever else is in the rows.
    parts = (rows - rows.mean(dim=0)) @ (directions := torch.linalg.svd(rows - rows.mean(dim=0)).Vh[:8]).T
    sides = (parts > parts.median(dim=0).values).float()
    shared = (torch.corrcoef(torch.cat([sides, parts], dim=1).T)[:8, 8:] * (1 - torch.eye(8))).norm(dim=1)
    direction = directions[shared.argmin()]
    values = rows @ direction
    mean = rows.mean(dim=0) + (values.median() - values.mean()) * direction
    labels = (values > values.median()).long().tolist()
    lines = [json.dumps({"text": text, "label": label}) + "\n" for text, label in zip(TEXTS, labels, strict=True)]
    for name, chosen in (("corpus", [*lines[::2], *lines[4::2]]), ("eval", [*lines[1::2], *lines[1:20:2], lines[0]])):
        (run / f"{name}.jsonl").write_text("".join(chosen), encoding="utf-8")
    clvq.extract(
        run / "activations", model=str(model_folder("bert")), dataset=str(run / "corpus.jsonl"),
        eval_dataset=str(run / "eval.jsonl"), layers=(LAYER, 3),
    )  # fmt: skip
    clvq.train(
        run / "activations", path=run / "L1-L3", input_layer=LAYER, output_layer=3, codebook_size=12, top_k=3, epochs=1,
        decoder_layers=1,
    )  # fmt: skip
    clvq.explain(run / "L1-L3", steps=2, completeness=0.5)
    return run / "L1-L3", mean, direction


class Planted(ConceptSpace):
    """One concept, of all words: the direction that decides the label; and raw codes away from it."""

    def __init__(self, mean: Tensor, direction: Tensor) -> None:
        self.mean, self.direction = mean, direction
        self.covariance, self.usage = torch.eye(len(mean)), torch.ones(2, dtype=torch.int64)

    def codes(self, rows: Tensor) -> Tensor:
        return (torch.arange(len(rows)) % 2).long()

    def basis(self, rows: Tensor, rank: int = 1) -> Tensor:
        return self.direction.expand(len(rows), -1)[:, :, None]

    def raw_basis(self, rows: Tensor, rank: int = 1) -> Tensor:
        return self.basis(rows)

    def deviations(self, codes: Tensor) -> Tensor:
        return self.direction.expand(len(codes), -1)

    def raw_directions(self, codes: Tensor) -> Tensor:
        return self.deviations(codes)


def lines_of(checkpoint: Path) -> list[Explanation]:
    lines = (checkpoint / "explanations.jsonl").read_text().splitlines()
    return [Explanation.from_json(json.loads(line)) for line in lines]


def test_without_the_planted_direction_no_probe_finds_the_label(
    planted: tuple[Path, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, mean, direction = planted
    monkeypatch.setattr("clvq.interventions.probe_data.concept_space", lambda *_, **__: Planted(mean, direction))
    found = probe(clvq.read_checkpoint(path), lines_of(path), edit=("removal",), draws=2).as_json()
    by_control = {line["control"]: line for line in found["table"]}
    before, edit = found["before"], by_control[None]
    assert before["accuracy"]["value"] > 0.85
    assert before["refitted"]["value"] > 0.85
    assert edit["chance_distance"] < 0.2
    # What else is in the rows is not correlated with the direction, but a little with the side of it.
    assert edit["refitted"]["high"] < before["refitted"]["low"]
    assert edit["drop"]["value"] == pytest.approx(before["accuracy"]["value"] - edit["accuracy"]["value"])
    # The label is still there after as long a step elsewhere, and a probe that is fitted again finds it.
    for control in ("random", "covariance"):
        line = by_control[control]
        assert line["selectivity"]["low"] > 0
        assert line["refitted"]["value"] > edit["refitted"]["value"]
    for control in ("random", "covariance", "other"):
        assert by_control[control]["distance"] == pytest.approx(edit["distance"], rel=0.01)
    # How many sentences have each prediction is up to the rounding of an untrained head: a sentence whose prediction
    # no other one shares has nobody's concept to lose, and takes no step.
    predictions = Counter(line.prediction for line in lines_of(path))
    if min(predictions.values()) >= len(TEXTS) / 10:
        assert by_control["same"]["distance"] == pytest.approx(edit["distance"], rel=0.01)
        # Every concept is the same one here: its matched step is the removal itself, up to rounding, which may turn two
        # of some three hundred answers that lie on the probe's border.
        assert by_control["same"]["accuracy"] == pytest.approx(edit["accuracy"], abs=0.0075)
        assert by_control["same"]["selectivity"] == pytest.approx({"value": 0.0, "low": 0.0, "high": 0.0}, abs=0.02)
    if len(predictions) == 1:  # no sentence is taken for the other class
        assert by_control["opposite"]["distance"] == 0
        assert by_control["opposite"]["selectivity"] is None


def rows_and_labels(store: ActivationStore, split: str) -> tuple[np.ndarray, np.ndarray]:
    rows = torch.cat([rows for _, rows in store.rows(split, LAYER).shards()])
    labels = np.array([sentence.label for sentence in store.sentences(split)])
    return rows[torch.from_numpy((store.flags(split) & SENTENCE) != 0)].numpy(), labels


def salient_rows(store: ActivationStore, sentences: list[Explanation]) -> Tensor:
    """The row of each sentence's most salient word, found by its span."""
    rows = torch.cat([rows for _, rows in store.rows("eval", LAYER).shards()])
    first, found = 0, []
    for stored, sentence in zip(store.sentences("eval"), sentences, strict=True):
        word = sentence.salient[0]
        spans = list(zip(stored.starts, stored.ends, strict=True))
        found.append(rows[first + spans.index((word.start, word.end))])
        first += len(spans)
    return torch.stack(found)


def test_accuracies_are_those_of_scikit_learn_by_hand(planted: tuple[Path, Tensor, Tensor]) -> None:
    path, *_ = planted
    checkpoint, sentences = clvq.read_checkpoint(path), lines_of(path)
    store, space = checkpoint.store(), concept_space(checkpoint)
    train, train_labels = rows_and_labels(store, "train")
    rows, labels = rows_and_labels(store, "eval")
    states, words = torch.from_numpy(rows), salient_rows(store, sentences)
    found = probe(checkpoint, sentences, draws=1, edit=("removal",)).as_json()
    seen = {sentence.text for sentence in store.sentences("eval")}
    fresh = np.array([sentence.text not in seen for sentence in store.sentences("train")])
    fitting, selection = (part[fresh[part]] for part in split_by_text(store, "train"))
    assert found["sentences"] == {"training": len(fitting), "selection": len(selection), "evaluation": len(labels)}
    assert found["distinct_texts"] == len(seen)
    assert found["chance"] == np.mean(labels == np.bincount(train_labels[fresh]).argmax())
    scaler = StandardScaler().fit(train[fitting])
    fitted = LogisticRegression(C=found["C"], max_iter=2000).fit(
        scaler.transform(train[fitting]), train_labels[fitting]
    )
    unit = space.directions(space.codes(words))
    removed = states - ((states - space.mean) * unit).sum(dim=1, keepdim=True) * unit
    for line, edited in ((found["before"], states), (found["table"][0], removed)):
        assert line["accuracy"]["value"] == np.mean(fitted.predict(scaler.transform(edited.numpy())) == labels)
    assert [(line["edit"], line["control"]) for line in found["table"]] == [
        ("removal", control) for control in (None, *CONTROLS)
    ]

    found = published_probe(checkpoint, sentences, draws=1).as_json()
    fitted = LogisticRegression(max_iter=2000).fit(train[fresh], train_labels[fresh])
    code = functional.normalize(checkpoint.load().codebook[space.codes(words)], dim=1)
    projected = states - (states * code).sum(dim=1, keepdim=True) * code
    for line, edited in ((found["before"], states), (found["table"][0], projected)):
        assert line["accuracy"]["value"] == np.mean(fitted.predict(edited.numpy()) == labels)
    concept, gaussian, *checks = found["table"]
    assert concept["distance"] == pytest.approx(float((projected - states).norm(dim=1).mean()), rel=1e-5)
    assert gaussian["selectivity"] is None or gaussian["distance"] == pytest.approx(concept["distance"], rel=0.01)
    assert {line["control"] for line in checks} == {"same", "opposite", "other", "random"}
    for line in checks:
        assert line["protocol"] == "check"
        assert (line["selectivity"] is None) == (abs(line["distance"] / concept["distance"] - 1) > 0.01)


def test_donors_are_of_the_same_class_or_of_another(
    planted: tuple[Path, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One direction for each class: a sentence of the same class moves as its own concept would move it."""
    path, mean, direction = planted
    checkpoint = clvq.read_checkpoint(path)
    labels = torch.tensor([sentence.label for sentence in checkpoint.store().sentences("eval")])

    class ByClass(Planted):
        def basis(self, rows: Tensor, rank: int = 1) -> Tensor:
            return torch.where(labels[:, None] == 1, direction, direction.roll(1))[:, :, None]

    plain = Checkpoint.store

    def without_predictions(self: Checkpoint) -> ActivationStore:
        store = plain(self)
        store.manifest = replace(
            store.manifest, has_predictions=False
        )  # classes are then the labels; this model predicts one alone
        return store

    monkeypatch.setattr(Checkpoint, "store", without_predictions)
    monkeypatch.setattr("clvq.interventions.probe_data.concept_space", lambda *_, **__: ByClass(mean, direction))
    found = probe(checkpoint, lines_of(path), edit=("removal",), draws=1).as_json()
    lines = {line["control"]: line for line in found["table"]}
    assert lines["same"]["accuracy"] == lines[None]["accuracy"]
    assert lines["same"]["selectivity"]["value"] == 0
    assert lines["opposite"]["distance"] == pytest.approx(lines[None]["distance"])
    assert lines["opposite"]["accuracy"] != lines[None]["accuracy"]
    assert lines["opposite"]["accuracy"] != lines["other"]["accuracy"] != lines[None]["accuracy"]


def test_where_sentences_have_no_row_the_mean_of_their_words_stands_for_it(
    planted: tuple[Path, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, *_ = planted
    checkpoint = clvq.read_checkpoint(path)
    flags = ActivationStore.flags
    concept_space(checkpoint)
    monkeypatch.setattr(ActivationStore, "flags", lambda store, split: flags(store, split) & ~np.uint8(SENTENCE))
    found = published_probe(checkpoint, lines_of(path), draws=1).as_json()
    assert found["rows"] == "mean of words"
    store = checkpoint.store()
    rows = {split: torch.cat([rows for _, rows in store.rows(split, LAYER).shards()]) for split in ("train", "eval")}
    means, labels = {}, {}
    for split, of_split in rows.items():
        parts = torch.split(of_split, store.row_counts(split).tolist())
        means[split] = torch.stack([part[1:].mean(dim=0) for part in parts]).numpy()  # [CLS] comes first
        labels[split] = np.array([sentence.label for sentence in store.sentences(split)])
    seen = {sentence.text for sentence in store.sentences("eval")}
    fresh = np.array([sentence.text not in seen for sentence in store.sentences("train")])
    fitted = LogisticRegression(max_iter=2000).fit(means["train"][fresh], labels["train"][fresh])
    assert found["before"]["accuracy"]["value"] == np.mean(fitted.predict(means["eval"]) == labels["eval"])


def test_what_a_probe_cannot_read_is_refused(planted: tuple[Path, Tensor, Tensor], tmp_path: Path) -> None:
    path, *_ = planted
    checkpoint, sentences = clvq.read_checkpoint(path), lines_of(path)
    with pytest.raises(ClvqError, match="takes the edits removal, projection, mean, not move"):
        probe(checkpoint, sentences, edit=("move",))
    other = [replace(sentences[0], words=sentences[0].words[1:]), *sentences[1:]]
    with pytest.raises(MismatchError, match=r"Sentence 0 has \d+ words .*clvq explain --overwrite"):
        probe(checkpoint, other)
    for label, message in ((None, "no labelled sentences"), (1, "have one label")):
        run = tmp_path / str(label)
        run.mkdir()
        corpus = [
            json.dumps({"text": text} if label is None else {"text": text, "label": label}) for text in TEXTS[::9]
        ]
        (run / "corpus.jsonl").write_text("\n".join(corpus), encoding="utf-8")
        made_from = checkpoint.store().settings.model
        clvq.extract(run / "activations", model=made_from, dataset=str(run / "corpus.jsonl"), layers=(LAYER, 3))
        clvq.train(
            run / "activations", path=run / "L", input_layer=LAYER, output_layer=3, codebook_size=8, top_k=2, epochs=1,
            decoder_layers=0,
        )  # fmt: skip
        read = clvq.read_checkpoint(run / "L")
        explained = clvq.explain(read, steps=2, completeness=0.5).sentences
        with pytest.raises(ClvqError, match=message):
            published_probe(read, explained)


def test_few_texts_are_not_fitted_again(planted: tuple[Path, Tensor, Tensor], tmp_path: Path) -> None:
    path, *_ = planted
    copy = Path(shutil.copytree(path.parent, tmp_path / "run")) / path.name
    found = published_probe(clvq.read_checkpoint(copy), lines_of(path)[:8], draws=1).as_json()
    assert found["sentences"]["evaluation"] == 8
    assert found["before"]["refitted"] is None
