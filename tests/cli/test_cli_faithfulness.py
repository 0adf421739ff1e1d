"""`clvq faithfulness`: what it shows and writes, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
import tiny_models
from running import SMALL, Clvq, Outcome, files_of, start, write_corpus

import clvq as package

pytestmark = pytest.mark.slow

QUICK = ("--draws", "1", "--limit", "10")


@pytest.fixture(scope="module")
def trained(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = Path(shutil.copytree(trained_run, tmp_path_factory.mktemp("trained") / "run"))
    package.explain(run / "L1-L3", steps=2, completeness=0.5, limit=10)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def refused(ended: Outcome) -> str:
    assert (ended.code, ended.out) == (1, ""), ended.err
    assert "Traceback" not in ended.err
    assert len(re.findall("^Error: ", ended.err, re.M)) == 1
    return ended.message


def test_two_classes_have_no_specificity(clvq: Clvq, run: Path) -> None:
    shown = clvq("faithfulness", "--run", run, *QUICK)
    reason = "specificity needs three classes or more: with 2 classes, what lowers one raises the other"
    assert reason in " ".join(shown.out.split())
    document = clvq("faithfulness", "--run", run, *QUICK, "--json").document
    assert (document["specificity"], document["without_specificity"]) == ([], reason)


def test_fewer_explanations_than_are_asked_for_are_told(clvq: Clvq, run: Path) -> None:
    told = "the figures are of the first 10 of 13 sentences"
    ended = clvq("faithfulness", "--run", run, "--draws", 1, "--limit", 20, "--json")
    assert (ended.document["clean"]["sentences"], told in ended.message) == (10, True), ended.err
    assert "the figures are of" not in clvq("faithfulness", "--run", run, *QUICK, "--overwrite").message


def test_explanations_that_were_interrupted_are_finished_with_their_settings(clvq: Clvq, run: Path) -> None:
    """What an interrupted `explain` leaves: a line of settings, and one of each sentence that was done."""
    folder = run / "L1-L3"
    body = json.loads((folder / "explanations.json").read_text(encoding="utf-8"))
    head = {"checkpoint": body["checkpoint"], "rows": body["rows"], "settings": body["settings"]}
    lines = (folder / "explanations.jsonl").read_text(encoding="utf-8").splitlines()[:4]
    (folder / "explanations-unfinished.jsonl").write_text(
        "\n".join([json.dumps(head), *lines]) + "\n", encoding="utf-8"
    )
    (folder / "explanations.json").unlink()
    assert clvq("faithfulness", "--run", run, *QUICK, "--json").document["clean"]["sentences"] == 10
    assert json.loads((folder / "explanations.json").read_text(encoding="utf-8"))["settings"] == body["settings"]


def test_each_edit_and_place_beside_its_controls(clvq: Clvq, run: Path) -> None:
    first = clvq("faithfulness", "--run", run, *QUICK, "--at", "salient,all", "--curve")
    assert first.code == 0, first.err
    assert max(map(len, first.out.splitlines())) <= 100
    titles = re.findall(r"^(.*, (?:5 most salient words|all words)) +10 sentences, [\d,]+ tokens", first.out, re.M)
    edits = ("centred removal", "projection, as published")
    assert titles == [f"{edit}, {place}" for edit in edits for place in ("5 most salient words", "all words")]
    assert len(re.findall("^the concept ", first.out, re.M)) == 4
    assert re.search(r"^coherent random +[+-]0\.\d{3} \[[+-]0\.\d{3}, [+-]0\.\d{3}\]", first.out, re.M)
    assert re.search(r"^ *100% ", first.out, re.M)
    assert "clvq report" in first.err
    before = files_of(run)
    again = clvq("faithfulness", "--run", run, *QUICK, "--at", "salient,all", "--curve")
    assert (again.code, again.out, files_of(run)) == (0, first.out, before)
    assert "faithfulness.json is up to date" in again.message
    document = clvq("faithfulness", "--run", run, *QUICK, "--at", "salient,all", "--curve", "--json").document
    assert document["path"] == str(run / "L1-L3" / "faithfulness.json")
    assert {row["edit"] for row in document["rows"]} == {"removal", "projection"}
    assert "other settings: at (" in refused(clvq("faithfulness", "--run", run, *QUICK))
    assert clvq("faithfulness", "--run", run, *QUICK, "--at", "all", "--edit", "mean", "--overwrite").code == 0
    assert clvq("report", "--run", run).code == 0
    assert "replacement by the mean" in (run / "report.html").read_text(encoding="utf-8")


def train(clvq: Clvq, run: Path, name: str, *arguments: object) -> None:
    ended = clvq("train", "--run", run, "--name", name, "--input-layer", 1, "--output-layer", 3, "--epochs", 1,
                 *SMALL, *arguments)  # fmt: skip
    assert ended.code == 0, ended.err


def test_two_checkpoints_side_by_side(clvq: Clvq, run: Path) -> None:
    train(clvq, run, "other", "--method", "kmeans")
    ended = clvq("faithfulness", "L1-L3", "other", "--run", run, *QUICK, "--edit", "removal", "--at", "all")
    assert ended.code == 0, ended.err
    assert re.search(r"^L1-L3 minus other", ended.out, re.M)
    assert "centred removal, all words (other)" in ended.out
    side_by_side = r"^other +0\.\d{3} +\d+\.\d\d +1\.0 +[+-]0\.\d{3} \[[+-]0\.\d{3}, [+-]0\.\d{3}\]"
    assert re.search(side_by_side, ended.out, re.M)
    assert "seeds" not in ended.out
    assert max(map(len, ended.out.splitlines())) <= 100
    assert "holds 2 checkpoints; name the one that is meant" in refused(clvq("faithfulness", "--run", run))
    page = clvq("report", "L1-L3", "--run", run)
    assert page.code == 0, page.err


def test_seeds_of_one_setting_are_shown_as_their_mean(clvq: Clvq, run: Path) -> None:
    given = ("--epochs", 2)  # as no other checkpoint of the run
    for seed in (0, 1):
        train(clvq, run, f"seed{seed}", "--seed", seed, *given)
    ended = clvq("faithfulness", "seed0", "seed1", "L1-L3", "--run", run, *QUICK, "--edit", "removal", "--at", "all")
    assert ended.code == 0, ended.err
    assert "seed0, mean of 2 seeds: seed0, seed1" in ended.out
    titles = re.findall(r"^centred removal, all words \((.*?)\) ", ended.out, re.M)
    assert titles == ["seed0, mean of 2 seeds", "L1-L3"]
    assert re.search("^Standard deviation over 2 seeds", ended.out, re.M)
    assert re.search(r"^seed0, mean of 2 seeds minus L1-L3", ended.out, re.M)
    assert max(map(len, ended.out.splitlines())) <= 100
    assert (run / "seed0" / "faithfulness.json").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--mass", "0"), "--mass must be above 0 and at most 1"),
        (("--mass", "1.5"), "--mass must be above 0 and at most 1"),
        (("--top", "0"), "--top must be 1 or more: without a salient word there is nothing to edit"),
        (("--edit", "removal,cut"), "projection, mean, move, separated by commas; it is 'removal,cut'"),
        (("--at", ""), "--at takes salient, concept, sentence, all, separated by commas"),
        (("--at", "all,all"), "--at names an entry twice"),
        (("--edit", "move", "--to", "1", "--strength", "nan"), "--strength must be a number"),
        (("--draws", "0"), "--draws must be 1 or more"),
        (("--to", "3"), "--to can only be used with --edit move"),
        (("--edit", "move", "--to", "99"), "There is no code 99"),
        (("--label", "nothing"), "There is no class 'nothing': the classes are LABEL_0, LABEL_1"),
        (("--by", "concept", "--class", "nothing"), "There is no class 'nothing': the classes are LABEL_0, LABEL_1"),
        (("nowhere",), "nowhere"),
        (("L1-L3", "L1-L3"), "the same name"),
    ],
)
def test_what_cannot_be_is_refused(clvq: Clvq, run: Path, arguments: tuple[str, ...], says: str) -> None:
    assert says in refused(clvq("faithfulness", *arguments, "--run", run))
    assert not (run / "L1-L3" / "faithfulness.json").exists()


def trained_on(clvq: Clvq, run: Path, model: Path, corpus: Path) -> None:
    ended = clvq("train", "--run", run, "--model", model, "--dataset", corpus, "--input-layer", 0, "--output-layer", 1,
                 "--epochs", 1, *SMALL)  # fmt: skip
    assert ended.code == 0, ended.err


def test_a_model_without_a_head_says_why(clvq: Clvq, corpus: Path, tmp_path: Path) -> None:
    trained_on(clvq, tmp_path / "run", tiny_models.tiny_bert(tmp_path / "model", layers=2, head=False), corpus)
    said = refused(clvq("faithfulness", "--run", tmp_path / "run"))
    assert "predicts nothing that could be explained: its files hold BertModel, which has no" in said


def test_labels_that_are_not_the_heads_are_refused(clvq: Clvq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a store of an earlier version: extraction refuses them by now."""
    monkeypatch.setattr("clvq.corpus.labels._refuse_beyond", lambda *_: None)
    lines = [{"text": text, "label": number % 3} for number, text in enumerate(tiny_models.made_sentences()[::5])]
    corpus = tmp_path / "three.jsonl"
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))
    trained_on(clvq, tmp_path / "run", tiny_models.tiny_bert(tmp_path / "model", layers=2), corpus)
    said = refused(clvq("faithfulness", "--run", tmp_path / "run"))
    assert "has label 2, but the classes are 0 to 1 (LABEL_0, LABEL_1)" in said


def test_a_class_without_sentences_is_refused(clvq: Clvq, tmp_path: Path) -> None:
    model = tiny_models.tiny_bert(tmp_path / "model", layers=2, labels=3)
    trained_on(clvq, tmp_path / "run", model, write_corpus(tmp_path / "two.jsonl", tiny_models.made_sentences()[::5]))
    said = refused(clvq("faithfulness", "--run", tmp_path / "run", "--label", "LABEL_2"))
    assert "No sentence of the evaluation split is of class LABEL_2" in said
    assert clvq("explain", "--run", tmp_path / "run", "--steps", 2, "--completeness", 0.5).code == 0
    ended = clvq("faithfulness", "--run", tmp_path / "run", "--label", "LABEL_1", "--edit", "removal", *QUICK)
    assert ended.code == 0, ended.err
    assert not re.search(r"^LABEL_0", ended.out, re.M)
    for same in ("label_1", "1"):  # one class is one setting, however it is given
        again = clvq("faithfulness", "--run", tmp_path / "run", "--label", same, "--edit", "removal", *QUICK)
        assert (again.code, again.out) == (0, ended.out), again.err


def test_checkpoints_of_another_model_or_layer_are_refused(clvq: Clvq, run: Path, corpus: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    trained_on(clvq, other, tiny_models.tiny_roberta(tmp_path / "model", layers=2), corpus)
    said = refused(clvq("faithfulness", run / "L1-L3", next(other.glob("L0*"))))
    assert "is of another model than" in said
    assert clvq("train", "--run", run, "--input-layer", 2, "--output-layer", 3, "--epochs", 1, *SMALL).code == 0
    said = refused(clvq("faithfulness", "L1-L3", "L2-L3", "--run", run))
    assert "is of another input layer than" in said


def test_a_causal_language_model_is_edited_too(clvq: Clvq, corpus: Path, tmp_path: Path) -> None:
    model = tiny_models.with_next_token(tiny_models.tiny_gpt2(tmp_path / "model", layers=2))
    trained_on(clvq, tmp_path / "run", model, corpus)
    assert clvq("explain", "--run", tmp_path / "run", "--steps", 2, "--completeness", 0.5, "--limit", 10).code == 0
    document = clvq("faithfulness", "--run", tmp_path / "run", "--draws", 1, "--at", "all", "--json").document
    assert document["clean"] == {**document["clean"], "accuracy": None, "chance": None, "sentences": 10}
    assert document["by_class"] == []
    assert {figure["control"] for figure in document["figures"]} == {
        None, "random", "covariance", "coherent", "own",
    }  # fmt: skip
    assert any(figure["kl"] > 0 for figure in document["figures"])


SLOW_EDITS = """
import time, clvq.interventions.effects
clvq.interventions.effects.SAVE_SECONDS = 0.0
real = clvq.interventions.effects.Record.add
def add(self, numbers, figures):
    real(self, numbers, figures)
    time.sleep(0.3)
clvq.interventions.effects.Record.add = add
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_measurement_that_was_killed_continues(clvq: Clvq, run: Path, sign: signal.Signals) -> None:
    arguments = ("faithfulness", "--run", run, *QUICK, "--edit", "removal", "--batch-tokens", 40)
    process = start(*arguments, driver=SLOW_EDITS)
    effects = run / "L1-L3" / "effects.safetensors"
    for _ in range(6000):
        if effects.exists() or process.poll() is not None:
            break
        time.sleep(0.01)
    process.send_signal(sign)
    _, said = process.communicate()
    assert process.returncode == (143 if sign == signal.SIGTERM else -sign), said
    assert not (run / "L1-L3" / "faithfulness.json").exists()
    continued = clvq(*arguments, "--json").document
    again = clvq(*arguments, "--json", "--overwrite").document
    assert {name: continued[name] for name in ("figures", "rows")} == {
        name: again[name] for name in ("figures", "rows")
    }
