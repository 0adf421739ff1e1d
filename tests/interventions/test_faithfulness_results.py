"""Faithfulness of checkpoints: what is measured, stored, read again, put side by side, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch

import clvq
from clvq.artifacts import CONCEPT_SPACE, EFFECTS
from clvq.concepts.directions import concept_space
from clvq.concepts.records import Association
from clvq.errors import ArtifactError, ClvqError, MismatchError
from clvq.interventions import effects
from clvq.interventions import plan as plans
from clvq.interventions.controls import CLASS_DIRECTION, CONTROLS, INJECTIONS
from clvq.interventions.places import Place
from clvq.interventions.records import SeedsRow, SelectivityRow, Tables
from clvq.interventions.results import EditResults
from clvq.interventions.selectivity import over_seeds
from clvq.language_model.head_targets import ClassTarget
from clvq.language_model.model import LanguageModel
from clvq.progress import Progress
from clvq.storage import read_signed

pytestmark = pytest.mark.slow

Load = Callable[[str], LanguageModel]
TWO_CLASSES = ClassTarget(("no", "yes"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, model_folder: Any) -> Path:
    """A run folder with checkpoints of a tiny BERT, explained: L1-L3, seed1 (the same but for its seed), kmeans."""
    run = tmp_path_factory.mktemp("faithful") / "run"
    run.mkdir()
    texts = tiny_models.made_sentences()[::6]
    for name, chosen in (("corpus", texts[10:]), ("eval", [*texts[:10], *texts[:4]])):
        rows = [{"text": text, "label": number // 2 % 2} for number, text in enumerate(chosen)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (run / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    clvq.extract(
        run / "activations", model=str(model_folder("bert")), dataset=str(run / "corpus.jsonl"),
        eval_dataset=str(run / "eval.jsonl"),
        layers=(1, 2, 3),
    )  # fmt: skip
    for name, given in (("L1-L3", {}), ("seed1", {"seed": 1}), ("kmeans", {"method": "kmeans"})):
        train(run / name, **given)
        clvq.explain(run / name, steps=2, completeness=0.5, limit=12)
    return run


def train(path: Path, **given: Any) -> None:
    settings = {"input_layer": 1, "output_layer": 3, "codebook_size": 12, "top_k": 3, "epochs": 1, "decoder_layers": 1}
    clvq.train(path.parent / "activations", path=path, **{**settings, **given})


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run folder."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_the_space_of_a_checkpoint_is_that_of_its_training_words(folder: Path) -> None:
    checkpoint = clvq.read_checkpoint(folder / "L1-L3")
    store = checkpoint.store()
    space = concept_space(checkpoint)
    rows = torch.cat([shard for _, shard in store.rows("train", 1).shards()])
    codes = clvq.codebook(checkpoint).assignments("train")
    words = (store.flags("train") & 1) != 0
    mean = rows[words].mean(dim=0)
    assert torch.allclose(space.mean, mean, atol=1e-5)
    assert torch.allclose(space.covariance, torch.cov(rows[words].T, correction=0), atol=1e-4)
    assert torch.equal(space.usage, torch.bincount(torch.tensor(codes[words]).long(), minlength=12))
    for code in np.unique(codes):
        of_code = (codes == code) & words if (codes[words] == code).any() else codes == code
        deviation = rows[of_code].mean(dim=0) - mean
        assert torch.allclose(space.deviations(torch.tensor([code]))[0], deviation, atol=1e-4)
        assert torch.allclose(space.directions(torch.tensor([code]))[0], deviation / deviation.norm(), atol=1e-4)
    predictions = [row.prediction for row in store.sentences("train")]
    classes = np.repeat(predictions, store.row_counts("train"))
    for number in (0, 1):
        (own, other) = (rows[words & (classes == number)], rows[words & (classes != number)])
        if not len(own) or not len(other):
            assert not space.class_directions[number].any()
            continue
        gap = own.mean(dim=0) - other.mean(dim=0)
        assert torch.allclose(space.class_directions[number], gap / gap.norm(), atol=1e-4)
    some = rows[:7]
    assert torch.equal(space.codes(some), torch.tensor(codes[:7]).long())
    assert torch.equal(space.basis(some)[:, :, 0], space.directions(space.codes(some)))
    model = checkpoint.load()
    metric = model.quantizer.metric_map
    gaps = torch.cdist(model.encode(some) @ metric, model.codebook @ metric)
    nearest = gaps.argsort(dim=1)[:, :3]
    for number, basis in enumerate(space.basis(some, 3)):
        spanned = space.directions(nearest[number])
        assert torch.allclose(basis @ (basis.T @ spanned.T), spanned.T, atol=1e-4)
        assert torch.allclose(basis.T @ basis, torch.diag(basis.any(dim=0).float()), atol=1e-5)
    code = model.codebook[codes[0]]
    assert torch.allclose(space.raw_basis(some)[0, :, 0], code / code.norm(), atol=1e-6)
    dead = sorted(set(range(12)) - set(codes.tolist()))
    assert not space.deviations(torch.tensor(dead, dtype=torch.long)).any()


def test_the_space_is_stored_and_made_anew_when_it_is_stale(folder: Path) -> None:
    path = folder / "L1-L3" / CONCEPT_SPACE.name
    first = concept_space(clvq.read_checkpoint(folder / "L1-L3"))
    written = path.stat().st_mtime_ns
    again = concept_space(clvq.read_checkpoint(folder / "L1-L3"))
    assert path.stat().st_mtime_ns == written
    assert torch.equal(first.covariance, again.covariance)
    train(folder / "L1-L3", seed=5, overwrite=True)
    other = concept_space(clvq.read_checkpoint(folder / "L1-L3"))
    assert path.stat().st_mtime_ns != written
    assert not torch.equal(first.usage, other.usage)
    content = bytearray(path.read_bytes())
    for damaged in (content[:300], content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]):
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=r"is (truncated|damaged).*Remove it"):
            concept_space(clvq.read_checkpoint(folder / "L1-L3"))
    path.unlink()
    with (folder / "L1-L3" / "explanations.json").open("r+") as file:
        file.truncate(100)
    with pytest.raises(ArtifactError, match=r"cannot be read as JSON.*clvq explain --overwrite"):
        clvq.faithfulness(folder / "L1-L3")


def test_what_cannot_be_compared_is_refused(folder: Path) -> None:
    shutil.copytree(folder / "kmeans", folder / "again")
    with pytest.raises(clvq.ClvqError, match=r"kmeans and .*again are the same training \(seed 0\)"):
        clvq.faithfulness([folder / "kmeans", folder / "again"])
    clvq.explain(folder / "kmeans", steps=2, completeness=0.5, limit=12, baseline="zero", overwrite=True)
    both = [folder / "L1-L3", folder / "kmeans"]
    with pytest.raises(clvq.ClvqError, match=r"other words are salient: baseline \('padding' there, 'zero' here\)"):
        clvq.faithfulness(both, edit="removal", draws=1)
    assert clvq.faithfulness(both, edit="removal", draws=1, at="sentence").results.clean.sentences == 12


def test_figures_of_two_checkpoints_are_stored_and_read_again(folder: Path) -> None:
    both = [folder / "L1-L3", folder / "kmeans"]
    settings: dict[str, Any] = {"edit": "removal,mean", "top": 2, "draws": 2, "curve": True}
    found = clvq.faithfulness(both, **settings)
    written = read_signed(folder / "L1-L3" / "faithfulness.json", "clvq-faithfulness", 8, "")
    assert written == found.summary
    assert not (folder / "kmeans" / "faithfulness.json").exists()
    assert found.results.clean.sentences == 12
    names = ["L1-L3", "kmeans"]
    assert [(line.checkpoint, line.edit, line.place) for line in found.figures if line.control is None] == [
        (name, edit, place) for name in names for edit in ("removal", "mean") for place in ("salient", "sentence")
    ]
    for line in found.figures:
        assert line.from_chance == pytest.approx(abs(line.accuracy - found.results.clean.chance))
        assert line.tokens >= line.sentences == 12
        assert line.rank == (1 if (line.edit, line.control) == ("removal", None) else None)
        assert (line.energy is None) == (line.rank is None) or 0 < line.energy < 1
    by_place = {(row.checkpoint, row.edit, row.place, row.control, row.figure): row for row in found.rows}
    assert len(by_place) == len(found.rows)
    for row in found.rows:
        if row.selectivity is not None:
            assert row.selectivity == pytest.approx(row.concept - row.control_value, abs=1e-6)
            assert row.low <= row.selectivity <= row.high
    own = by_place["L1-L3", "mean", "salient", "own", "kl"]
    assert own.selectivity == pytest.approx(0, abs=1e-6)  # the whole way to the mean is that very edit
    assert {line.mass for line in found.results.tables.curve} == {round(0.1 * step, 1) for step in range(1, 11)}
    assert {line.control for line in found.results.tables.curve} == {"coherent", "own"}
    labels = {line.label: line.sentences for line in found.results.by_class}
    assert sum(labels.values()) == 12
    difference = found.results.differences[0]
    ours, theirs = (
        by_place[name, difference.edit, difference.place, difference.control, difference.figure] for name in names
    )
    assert difference.difference == pytest.approx(ours.selectivity - theirs.selectivity, abs=1e-6)
    notes: list[str | None] = []
    again = clvq.faithfulness(both, **settings, batch_tokens=64, progress=lambda report: notes.append(report.note))
    assert again.summary == found.summary
    assert any(note and "faithfulness.json is up to date" in note for note in notes)
    with pytest.raises(MismatchError, match=r"top \(2 there, 3 here\).*--overwrite"):
        clvq.faithfulness(both, **{**settings, "top": 3})
    written = (folder / "L1-L3" / EFFECTS.name).stat().st_mtime_ns
    alone = clvq.faithfulness(both[0], **settings)
    assert alone.rows == [row for row in found.rows if row.checkpoint == "L1-L3"]
    assert (folder / "L1-L3" / EFFECTS.name).stat().st_mtime_ns == written  # read, not measured again
    assert clvq.faithfulness(both[0], overwrite=True, edit="removal", at="all").results.differences == []
    train(folder / "L1-L3", seed=7, overwrite=True)
    clvq.explain(folder / "L1-L3", steps=2, completeness=0.5, limit=12)
    assert clvq.faithfulness(both[0], edit="removal").summary["checkpoint"] != found.summary["checkpoint"]


def test_the_curve_over_ranks_is_what_each_rank_says_by_itself(folder: Path) -> None:
    settings: dict[str, Any] = {"edit": "removal,mean", "at": "salient", "top": 2, "draws": 2}
    curve = clvq.faithfulness(folder / "L1-L3", **settings, rank_curve=True).results.tables.rank_curve
    assert {row.rank for row in curve} == {1, 2, 4, 8, 16, 32}
    assert {(row.edit, row.mass) for row in curve} == {("removal", None)}  # the mean replaces all there is
    for rank in (1, 4):
        alone = clvq.faithfulness(folder / "L1-L3", **settings, rank=rank, overwrite=True).rows
        expected = {row.key[-2:]: row for row in alone if row.edit == "removal" and row.control in ("coherent", "own")}
        found = {row.key[-2:]: replace(row, rank=None) for row in curve if row.rank == rank}
        assert found == expected
    values = [row.concept for row in curve if (row.control, row.figure) == ("coherent", "kl")]
    assert len(set(values)) > 3  # ranks differ in what they do


def test_seeds_of_one_setting_are_taken_together(folder: Path) -> None:
    three = [folder / name for name in ("L1-L3", "kmeans", "seed1")]
    settings: dict[str, Any] = {
        "edit": "removal", "at": "salient", "top": 2, "draws": 1, "curve": True, "rank_curve": True,
    }  # fmt: skip
    found = clvq.faithfulness(three, **settings).results
    assert isinstance(found, EditResults)
    assert [(group.name, group.checkpoints, group.seeds) for group in found.groups] == [
        ("L1-L3", ["L1-L3", "seed1"], [0, 1]),
        ("kmeans", ["kmeans"], [0]),
    ]
    single = {
        name: clvq.faithfulness(folder / name, overwrite=True, **settings).results for name in ("seed1", "kmeans")
    }
    assert single["seed1"].seeds == Tables([], [], [], [])
    for kind in ("figures", "rows", "curve", "rank_curve"):
        lines = getattr(found.tables, kind)
        of_first = [line for line in lines if line.checkpoint == "L1-L3"]
        of_second = [line for line in lines if line.checkpoint == "seed1"]
        assert of_second == getattr(single["seed1"].tables, kind)  # beside others each says what it says alone
        means = getattr(found.seeds, kind)
        assert len(means) == len(of_first) > 0
        for mean, *own in zip(means, of_first, of_second, strict=True):
            for name in ("flips", "kl", "distance") if kind == "figures" else ("concept", "control_value"):
                assert getattr(mean, name) == pytest.approx(np.mean([getattr(line, name) for line in own]), rel=1e-5)
            if kind != "figures" and mean.selectivity is not None:
                values = [line.selectivity for line in own]
                assert mean.selectivity == pytest.approx(np.mean(values), abs=1e-6)
                assert mean.spread == pytest.approx(np.std(values, ddof=1))
                assert mean.low <= mean.selectivity <= mean.high
                assert mean.seeds == 2
    of_seeds = {(row.control, row.figure): row.selectivity for row in found.seeds.rows}
    of_kmeans = {(row.control, row.figure): row.selectivity for row in single["kmeans"].tables.rows}
    assert {(line.checkpoint, line.other) for line in found.differences} == {("L1-L3", "kmeans")}
    for line in found.differences:
        which = line.control, line.figure
        assert line.difference == pytest.approx(of_seeds[which] - of_kmeans[which], abs=1e-6)
    assert {line.checkpoint for line in found.by_class} == {"L1-L3", "kmeans"}


def test_a_control_that_one_seed_lacks_is_left_out_of_their_mean() -> None:
    def row(control: str, selectivity: float | None) -> SelectivityRow:
        figures = (0.5, 0.4, selectivity, 0.0, 1.0, None)
        return SelectivityRow("a", "removal", "all", None, None, "flips", control, *figures)

    seeds = [[row("own", 0.1), row("class", None)], [row("own", 0.3)]]
    (found,) = over_seeds(seeds, [row("own", 0.2)])
    spread = float(np.std([0.1, 0.3], ddof=1))
    assert found == SeedsRow(**asdict(row("own", 0.2)), spread=pytest.approx(spread), seeds=2)
    (unknown,) = over_seeds([[row("own", None)], [row("own", 0.3)]], [row("own", 0.2)])
    assert isinstance(unknown, SeedsRow)
    assert unknown.spread is None


def test_a_cut_measurement_continues_and_ends_in_the_same_figures(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effects, "SAVE_SECONDS", 0.0)
    settings: dict[str, Any] = {"edit": "removal", "draws": 2, "batch_tokens": 40}
    checkpoint = folder / "L1-L3"
    seen: list[int] = []

    def count(progress: Progress) -> None:
        if progress.stage == "faithfulness" and progress.total == 12:
            seen.append(progress.done)

    def interrupt(progress: Progress) -> None:
        count(progress)
        if seen:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clvq.faithfulness(checkpoint, **settings, progress=interrupt)
    assert not (checkpoint / "faithfulness.json").exists()
    resumed = clvq.faithfulness(checkpoint, **settings, progress=count).summary
    assert seen == sorted(set(seen))  # no sentence is edited twice
    assert 0 < seen[0] < seen[-1] == 12
    whole = clvq.faithfulness(checkpoint, **settings, overwrite=True).summary
    assert {**resumed, "created": "", "self_fingerprint": ""} == {**whole, "created": "", "self_fingerprint": ""}


def test_effects_that_are_damaged_or_of_other_settings_are_not_believed(folder: Path) -> None:
    path = folder / "L1-L3" / EFFECTS.name
    settings: dict[str, Any] = {"edit": "removal", "at": "all", "draws": 1}
    clvq.faithfulness(folder / "L1-L3", **settings)
    written = path.read_bytes()
    (folder / "L1-L3" / "faithfulness.json").unlink()
    for damaged in (written[:-5], written[:-5] + b"abcde"):
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=r"effects\.safetensors is (truncated|damaged)"):
            clvq.faithfulness(folder / "L1-L3", **settings)
    path.write_bytes(written)
    other = clvq.faithfulness(folder / "L1-L3", **{**settings, "seed": 1})
    assert path.read_bytes() != written
    (folder / "L1-L3" / "faithfulness.json").unlink()
    fresh = clvq.faithfulness(folder / "L1-L3", **{**settings, "seed": 1}, overwrite=True)
    assert fresh.rows == other.rows


def test_moving_to_a_concept_and_what_it_needs(folder: Path) -> None:
    code = clvq.codebook(folder / "L1-L3").concepts[0].code
    found = clvq.faithfulness(folder / "L1-L3", edit="move", at="all", to=code, strength=2.0, draws=1)
    assert found.results.names["move"] == f"move to concept {code}, strength 2"
    assert found.figures[0].distance > 0
    with pytest.raises(ClvqError, match="There is no code 99"):
        clvq.faithfulness(folder / "L1-L3", edit="move", to=99, overwrite=True)


def test_what_a_concept_stands_for_chooses_the_target(folder: Path, language_model: Load) -> None:
    checkpoint = clvq.read_checkpoint(folder / "L1-L3")
    explained = clvq.explain(checkpoint, steps=2, completeness=0.5, limit=12)
    config = clvq.FaithfulnessConfig(edit="move", at="all", controls="all")
    subjects = plans.subjects_of(explained, language_model("bert"), config, None)
    space, found = concept_space(checkpoint), explained.codebook
    codes = [concept.code for concept in found.concepts]
    told = [(0, 0.04), (1, 0.001), (0, 0.01), (1, 0.0001)] + [(1, 0.06)] * (len(codes) - 4)

    def standing_for(told: list[tuple[int, float]]) -> clvq.Codebook:
        concepts = [
            replace(concept, predictions=Association([1, 1], 2, label, 0.5, 2.0, q, q))
            for concept, (label, q) in zip(found.concepts, told, strict=True)
        ]
        return replace(found, concepts=concepts)

    plan = plans.plan_of(config, subjects, standing_for(told), space, TWO_CLASSES)
    predicted = {subject.prediction for subject in subjects}
    assert plan.targets == {number: codes[{0: 3, 1: 2}[number]] for number in predicted}
    place = Place("all", on_curve=False)
    lacking = () if space.class_directions.any() else (CLASS_DIRECTION,)
    assert plan.places == {place: tuple(name for name in CONTROLS if name not in lacking)}
    brief = plans.plan_of(replace(config, controls="nulls"), subjects, standing_for(told), space, TWO_CLASSES)
    assert set(CONTROLS) - set(brief.places[place]) == {*INJECTIONS, *lacking}
    assert list(plan.pools[place].classes[0]) == [codes[3], codes[1]]
    untold = standing_for([(1, 0.06)] * len(codes))
    with pytest.raises(ClvqError, match="--to CODE"):
        plans.plan_of(config, subjects, untold, space, TWO_CLASSES)
    given = clvq.FaithfulnessConfig(edit="move", at="all", to=codes[1])
    plan = plans.plan_of(given, subjects, untold, space, TWO_CLASSES)
    assert set(plan.targets.values()) == {codes[1]}
    assert "class" not in plan.places[place]
    with pytest.raises(ClvqError, match="has a word to edit at --at all"):
        without = [subject._replace(codes=[None] * len(subject.codes)) for subject in subjects]
        plans.plan_of(given, without, untold, space, TWO_CLASSES)


def test_checkpoints_that_do_not_belong_together_are_refused(folder: Path) -> None:
    train(folder / "L2-L3", input_layer=2)
    with pytest.raises(MismatchError, match=r"is of another input layer than .*\(2, not 1\)"):
        clvq.faithfulness([folder / "L1-L3", folder / "L2-L3"])
    with pytest.raises(ClvqError, match="the same name"):
        clvq.faithfulness([folder / "L1-L3", folder / "L1-L3"])
    with pytest.raises(ClvqError, match="No checkpoint is given"):
        clvq.faithfulness([])
    (folder / "kmeans" / "explanations.json").unlink()
    alike = clvq.faithfulness([folder / "L1-L3", folder / "kmeans"], draws=1, edit="mean", at="sentence")
    assert alike.results.clean.sentences == 12  # explained as the first one is
    clvq.explain(folder / "seed1", steps=2, completeness=0.5, limit=10, overwrite=True)
    with pytest.raises(MismatchError, match="other sentences"):
        clvq.faithfulness([folder / "L1-L3", folder / "seed1"], draws=1, overwrite=True)
    both = [folder / "L1-L3", folder / "seed1"]
    assert clvq.faithfulness(both, limit=10, draws=1, edit="mean", at="sentence", overwrite=True)
