"""What is asked of a model besides the class of a head or the likeliest next token, through all commands."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from running import SMALL, Clvq, files_of
from scipy.stats import false_discovery_control, fisher_exact
from sklearn.metrics import r2_score
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

import clvq as package
from clvq.activations.store import SentenceRows
from clvq.language_model.rows import WORD

pytestmark = pytest.mark.slow

QUICK = ("--steps", "4", "--limit", "12")


def refused(clvq: Clvq, *arguments: object) -> str:
    ended = clvq(*arguments)
    assert ended.code == 1 and not ended.out, ended
    return ended.message


@pytest.mark.parametrize("against", [None, " very"])
def test_one_token_through_all_commands(against: str | None, clvq: Clvq, corpus: Path, tmp_path: Path) -> None:
    model, run = tmp_path / "model", tmp_path / "run"
    tiny_models.with_next_token(tiny_models.tiny_gpt2(model, layers=2))
    asked = ("--target", " not", *(() if against is None else ("--against", against)))
    store = clvq("extract", "--run", run, "--model", model, "--dataset", corpus, "--layers", "1,2", *asked, "--json")
    assert store.code == 0, store.err
    document = store.document
    assert document["target"] == {"kind": "token", "token": " not", "against": against, **document["target"]}
    plain, tokenizer = AutoModelForCausalLM.from_pretrained(model).eval(), AutoTokenizer.from_pretrained(model)
    numbers = [tokenizer(word)["input_ids"][0] for word in (" not", against) if word]
    stored = package.ActivationStore(run / "activations")
    scores = []
    for row in stored.sentences("eval"):
        logits = plain(**tokenizer(row.text, return_tensors="pt")).logits[0, -1].detach()
        scores.append(float(logits[numbers[0]] - (logits[numbers[1]] if against else 0)))
        assert row.prediction is None and row.probabilities == pytest.approx([scores[-1]], abs=1e-4)
    unit = document["target"]["unit"]
    assert unit == pytest.approx(statistics.pstdev(scores), rel=1e-3)

    ended = clvq("train", "--run", run, "--input-layer", 1, "--output-layer", 2, "--epochs", 1, *SMALL)
    assert ended.code == 0, ended.err
    ended = clvq("explain", "--run", run, *QUICK, "--json")
    assert ended.code == 0, ended.err
    for sentence in ended.document["sentences"]:
        assert sentence["probability"] is None and sentence["completeness_error"] < 0.05
        assert sentence["score"] == pytest.approx(scores[sentence["id"]], abs=1e-3)
    name = "' not'" if against is None else "' not' against ' very'"
    shown = clvq("explain", "The film is", "--run", run).out
    with torch.no_grad():
        logits = plain(**tokenizer("The film is", return_tensors="pt")).logits[0, -1]
    score = float(logits[numbers[0]] - (logits[numbers[1]] if against else 0))
    assert shown.startswith(f"token {name}  score {score:.3f}\n")

    document = clvq("faithfulness", "--run", run, "--draws", 1, "--at", "all", "--json").document
    assert document["target"] == {"kind": "token", "unit": unit}
    assert document["names"]["kl"] == "squared change, SD²"
    assert {(figure["accuracy"], figure["edit"]) for figure in document["figures"]} == {
        (None, "removal"), (None, "projection"),
    }  # fmt: skip
    for mode in (("--mode", "splice"), ("--by", "concept")):
        ended = clvq("faithfulness", "--run", run, *mode)
        assert ended.code == 0, ended.err
        assert f"SD is the standard deviation of the clean scores of the evaluation split ({unit:.4g})" in " ".join(
            ended.out.split()
        )
    assert clvq("report", "--run", run).code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "squared change, SD²" in page
    shown = clvq("faithfulness", "--run", run, "--draws", 1, "--at", "all").out
    assert "a flip is a change by more than 1 SD" in " ".join(shown.split())


def test_every_token_of_the_texts(clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path) -> None:
    """In a file of its own beside that of the splice, on the screen and in the report."""
    run = tmp_path / "run"
    model = tiny_models.with_next_token(tiny_models.tiny_gpt2(tmp_path / "model", layers=2))
    ended = clvq("train", "--run", run, "--model", model, "--dataset", corpus, "--input-layer", 1, "--output-layer", 2,
                 "--epochs", 1, *SMALL)  # fmt: skip
    assert ended.code == 0, ended.err
    assert clvq("faithfulness", "--run", run, "--mode", "splice").code == 0
    command = ("faithfulness", "--run", run, "--mode", "splice", "--every-token")
    shown = clvq(*command)
    assert shown.code == 0, shown.err
    measured = clvq(*command, "--json").document["measured"]
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = list(package.ActivationStore(run / "activations").sentences("eval"))
    assert measured["positions"] == sum(len(tokenizer(row.text)["input_ids"]) - 1 for row in rows)
    assert f"next token at {measured['positions']:,} tokens" in " ".join(shown.out.split())
    assert "likeliest next token stays the same in" in " ".join(shown.out.split())
    assert "reconstructed from the rows up to it alone" in " ".join(shown.out.split())
    assert {path.name for path in (run / "L1-L2").glob("faithfulness*.json")} == {
        "faithfulness-splice.json", "faithfulness-every-token.json",
    }  # fmt: skip
    assert clvq("report", "--run", run).code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert 'id="faithfulness-splice"' in page and 'id="faithfulness-every-token"' in page
    assert "--every-token can be used with --mode splice" in refused(
        clvq, "faithfulness", "--run", run, "--every-token"
    )


def test_another_target_is_another_extraction(clvq: Clvq, corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    model = tiny_models.with_next_token(tiny_models.tiny_gpt2(tmp_path / "model", layers=1))
    given = ("extract", "--run", run, "--model", model, "--dataset", corpus, "--layers", 1)
    assert clvq(*given, "--target", " not").code == 0
    first = package.ActivationStore(run / "activations").fingerprint
    assert "target (' not' there, ' very' here)" in refused(clvq, *given, "--target", " very")
    assert clvq(*given, "--target", " very", "--overwrite").code == 0
    assert package.ActivationStore(run / "activations").fingerprint != first


def test_what_cannot_be_asked_is_refused_before_any_work(clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path) -> None:
    model = tiny_models.with_next_token(tiny_models.tiny_gpt2(tmp_path / "model", layers=1))
    given = ("extract", "--run", tmp_path / "run", "--dataset", corpus, "--layers", 1)
    assert "--against is for --target" in refused(clvq, *given, "--model", model, "--against", " not")
    assert "' notvery' is not one token" in refused(clvq, *given, "--model", model, "--target", " notvery")
    assert "gives no next token (it has a classification head)" in refused(
        clvq, *given, "--model", bert, "--target", " not"
    )
    assert not (tmp_path / "run" / "activations" / "manifest.json").exists()


def judged(path: Path, form: str) -> Path:
    """A corpus of sentences with labels of a form: names, a 0 or 1 for each, or a number."""
    rows = []
    for text in tiny_models.made_sentences()[::5]:
        held = [word for word in ("slow", "good", "film") if word in text]
        label = {"names": held, "one-hot": [int(word in held) for word in ("slow", "good", "film")],
                 "number": len(text) / 10 - 3}[form]  # fmt: skip
        rows.append(json.dumps({"text": text, "label": label}))
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def plain_logits(model: Path, text: str) -> torch.Tensor:
    plain = AutoModelForSequenceClassification.from_pretrained(model).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    with torch.no_grad():
        return plain(**tokenizer(text, return_tensors="pt")).logits[0]


def _tested_by_label(clvq: Clvq, run: Path, names: list[str]) -> None:
    """Each label by itself: the texts of a code that have it, against all texts that have it."""
    document = clvq("codebook", "--run", run, "--json").document
    store = package.ActivationStore(run / "activations")
    codes = package.codebook(run / "L1-L2").assignments("train")
    rows = list(store.sentences("train"))
    of_rows = np.repeat(np.arange(len(rows)), store.row_counts("train"))
    has = {"labels": {}, "predictions": {}}
    for row in reversed(rows):
        has["labels"][row.text] = [answer > 0 for answer in row.answers]
        has["predictions"][row.text] = [share > 0.5 for share in row.probabilities]
    assert document["label_texts"] == len(has["labels"])
    assert document["label_totals"] == [sum(held[part] for held in has["labels"].values()) for part in range(3)]
    for concept in document["concepts"]:
        texts = {rows[number].text for number in of_rows[codes == concept["code"]]}
        for kind, held in has.items():
            counts = [sum(held[text][part] for text in texts) for part in range(3)]
            if not any(counts):
                assert concept[kind] is None
                continue
            totals = [sum(one[part] for one in held.values()) for part in range(3)]
            tails = [
                fisher_exact(
                    [[k, len(texts) - k], [total - k, len(held) - total - len(texts) + k]], alternative="greater"
                ).pvalue
                for k, total in zip(counts, totals, strict=True)
            ]
            found = concept[kind]
            assert (found["counts"], found["texts"]) == (counts, len(texts))
            assert found["p"] == pytest.approx(min(3 * min(tails), 1), rel=1e-4)
            assert tails[found["label"]] == pytest.approx(min(tails), rel=1e-6)
            assert found["share"] == pytest.approx(counts[found["label"]] / len(texts), rel=1e-5)
    code = next(one["code"] for one in document["concepts"] if one["labels"])
    shown = clvq("codebook", "--run", run, "--code", code).out
    assert all(name in shown for name in ("Labels", *names))
    assert clvq("codebook", "--run", run, "--label", "good").code == 0


@pytest.mark.parametrize("form", ["names", "one-hot"])
def test_a_head_for_several_labels_through_all_commands(form: str, clvq: Clvq, tmp_path: Path) -> None:
    model, run = tmp_path / "model", tmp_path / "run"
    names = {0: "slow", 1: "good", 2: "film"}
    problem = {"problem_type": "multi_label_classification"} if form == "names" else {}  # else the lists say it
    tiny_models.tiny_bert(model, layers=2, labels=3, id2label=names, **problem)
    ended = clvq("extract", "--run", run, "--model", model, "--dataset", judged(tmp_path / "c.jsonl", form),
                 "--layers", "1,2", "--json")  # fmt: skip
    assert ended.code == 0, ended.err
    assert "Labels are the column 'label': 'good, film'" in ended.err
    assert ended.document["target"] == {"kind": "label", "names": [*names.values()], "unit": None}
    rows = list(package.ActivationStore(run / "activations").sentences("eval"))
    right = 0
    for row in rows:
        logits = plain_logits(model, row.text)
        assert row.prediction is None and row.probabilities == pytest.approx(logits.sigmoid().tolist(), abs=1e-4)
        assert row.answers == [float(word in row.text) for word in names.values()]
        right += sum((logits > 0).float().eq(torch.tensor(row.answers)).tolist())
    assert ended.document["splits"]["eval"]["accuracy"] == pytest.approx(right / len(rows) / 3)
    ended = clvq("train", "--run", run, "--input-layer", 1, "--output-layer", 2, "--epochs", 1, *SMALL)
    assert ended.code == 0, ended.err
    _tested_by_label(clvq, run, [*names.values()])
    sentences = clvq("explain", "--run", run, "--steps", "4", "--limit", 5, "--json").document["sentences"]
    assert [(one["id"], one["part"]) for one in sentences] == [(i, part) for i in range(5) for part in range(3)]
    for one in sentences:
        logit = float(plain_logits(model, one["text"])[one["part"]])
        assert one["prediction"] == int(logit > 0)
        assert one["target"] == ("" if logit > 0 else "not ") + names[one["part"]]
        assert one["probability"] == pytest.approx(1 / (1 + math.exp(-abs(logit))), abs=1e-4)
        assert one["label"] == int(names[one["part"]] in one["text"])
    document = clvq("faithfulness", "--run", run, "--draws", 1, "--at", "all", "--json").document
    by_label = {row["label"]: row["sentences"] for row in document["by_class"]}
    assert (document["clean"]["sentences"], by_label) == (15, dict.fromkeys(names.values(), 5))
    pooled = {(row["edit"], row["control"], row["figure"]): row["concept"] for row in document["rows"]}
    for key, value in pooled.items():
        own = [row["concept"] for row in document["by_class"] if (row["edit"], row["control"], row["figure"]) == key]
        assert value == pytest.approx(statistics.mean(own), abs=1e-6)
    only = clvq("faithfulness", "--run", run, "--draws", 1, "--at", "all", "--label", "good", "--overwrite", "--json")
    assert only.document["clean"]["sentences"] == 5
    assert clvq("faithfulness", "--run", run, "--mode", "splice", "--json").document["measured"]["target"] == "label"
    assert f"--mode paper reads one class of each sentence, and {model} gives several labels for each" in refused(
        clvq, "faithfulness", "--run", run, "--mode", "paper"
    )
    assert "gives several labels for each and not one class" in refused(clvq, "bench", "--run", run)
    _concepts_by_label(clvq, run, rows, names)
    steer = ("steer", "The film is slow", "--remove", sentences[0]["words"][0]["code"], "--run", run)
    assert "is asked for one label at a time: give --label, one of slow, good, film" in refused(clvq, *steer)
    assert "has no label 'bad'" in refused(clvq, *steer, "--label", "bad")
    for part, name in names.items():
        (steered,) = clvq(*steer, "--label", name, "--json").document["steered"]
        chance = float(plain_logits(model, "The film is slow")[part].sigmoid())
        no, yes = steered["answers"]
        assert (no["name"], yes["name"]) == (f"not {name}", name)
        assert (no["before"], yes["before"]) == pytest.approx((1 - chance, chance), abs=1e-4)
        assert steered["prediction_before"] == (name if chance > 0.5 else f"not {name}")
        assert steered["flipped"] == ((yes["after"] > 0.5) != (chance > 0.5))
        assert no["after"] + yes["after"] == pytest.approx(1) and yes["after"] != yes["before"]
    assert clvq(*steer, "--label", "good").out.count("not good") >= 1
    assert clvq("report", "--run", run).code == 0


def _concepts_by_label(clvq: Clvq, run: Path, rows: list[SentenceRows], names: dict[int, str]) -> None:
    """`--class` takes the sentences that are predicted to have the label; a sentence counts once, whatever is asked."""
    measure = ("faithfulness", "--run", run, "--by", "concept", "--draws", 1, "--json")
    codes, start, sentences = package.codebook(run / "L1-L2").assignments("eval"), 0, list[set[int]]()
    for row in rows:
        of_row = zip(codes[start : start + len(row.flags)].tolist(), row.flags, strict=True)
        sentences.append({code for code, flag in of_row if flag & WORD})
        start += len(row.flags)
    held = {name: [row.probabilities[part] > 0.5 for row in rows] for part, name in names.items()}
    assert any(0 < sum(of) < len(rows) for of in held.values())
    pooled = clvq(*measure).document["measured"]
    assert pooled["sentences"] == len(rows)
    for concept in pooled["concepts"]:
        having = [concept["code"] in of for of in sentences]
        assert concept["sentences"] == sum(having)
        assert {one["name"]: one["sentences"] for one in concept["classes"]} == {
            name: count for name, of in held.items() if (count := sum(map(all, zip(having, of, strict=True))))
        }
    for name, of in held.items():
        ended = clvq(*measure, "--class", name, "--overwrite")
        if not any(of):
            assert f"No sentence of the evaluation split that is predicted as {name} has" in ended.message
            continue
        measured = ended.document["measured"]
        assert measured["sentences"] == sum(of)
        for concept in measured["concepts"]:
            (own,) = concept["classes"]
            assert (own["name"], own["coherent"]["value"]) == (name, concept["coherent"]["value"])
            assert concept["sentences"] == sum(
                concept["code"] in had for had, is_so in zip(sentences, of, strict=True) if is_so
            )


def test_a_head_for_one_number_through_all_commands(clvq: Clvq, tmp_path: Path) -> None:
    model, run = tmp_path / "model", tmp_path / "run"
    tiny_models.tiny_roberta(model, layers=2, labels=1)
    ended = clvq("extract", "--run", run, "--model", model, "--dataset", judged(tmp_path / "c.jsonl", "number"),
                 "--layers", "1,2", "--json")  # fmt: skip
    assert ended.code == 0, ended.err
    rows = list(package.ActivationStore(run / "activations").sentences("eval"))
    assert [row.answers for row in rows] == [[len(row.text) / 10 - 3] for row in rows]
    scores = [float(plain_logits(model, row.text)[0]) for row in rows]
    unit = statistics.pstdev(scores)
    assert ended.document["target"]["unit"] == pytest.approx(unit, rel=1e-3)
    numbers = [row.answers[0] for row in rows]
    figures = ended.document["splits"]["eval"]
    assert figures["accuracy"] is None
    assert figures["r2"] == pytest.approx(r2_score(numbers, scores), rel=1e-3)
    assert figures["correlation"] == pytest.approx(np.corrcoef(numbers, scores)[0, 1], abs=1e-4)
    shown = clvq("extract", "--run", run).out
    assert "R² of the scores" in shown and "most frequent answer" not in shown
    ended = clvq("train", "--run", run, "--input-layer", 1, "--output-layer", 2, "--epochs", 1, *SMALL)
    assert ended.code == 0, ended.err
    explained = clvq("explain", "--run", run, *QUICK, "--json").document
    for one in explained["sentences"]:
        assert one["probability"] is None and one["score"] == pytest.approx(scores[one["id"]], abs=1e-4)
    of_first = r2_score(numbers[:12], scores[:12])
    assert explained["summary"]["r2"] == pytest.approx(of_first, rel=1e-3) and explained["summary"]["accuracy"] is None
    assert f"{of_first:.3f}" in _line_of("R² of the scores", clvq("explain", "--run", run, *QUICK).out)
    found = clvq("faithfulness", "--run", run, "--mode", "splice", "--json").document["measured"]
    assert found["unit"] == pytest.approx(unit, rel=1e-3) and found["accuracy"] is None
    edited = ("faithfulness", "--run", run, "--draws", 1, "--at", "all")
    clean, shown = clvq(*edited, "--json").document["clean"], clvq(*edited).out
    assert clean["r2"] == pytest.approx(of_first, rel=1e-3) and clean["accuracy"] is None
    assert f"R² of the scores {of_first:.3f}" in " ".join(shown.split())
    assert "changes over 1 SD" in " ".join(shown.split()) and "KL" not in shown.replace("in place of KL", "")
    assert clvq("faithfulness", "--run", run, "--by", "concept").code == 0
    _steered_by_its_own_units(clvq, run, model, unit)
    assert clvq("report", "--run", run).code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert f"{figures['r2']:.3f} on the evaluation sentences" in page
    for name in ("R² of the scores", "R² of the scores, nothing edited"):
        assert f"<dt>{name}</dt><dd>{of_first:.3f}</dd>" in page.replace("−", "-")


def _steered_by_its_own_units(clvq: Clvq, run: Path, model: Path, unit: float) -> None:
    """The change of the score, and no flips."""
    text = "The film is very good"
    code = max(package.codebook(run / "L1-L2").concepts, key=lambda concept: concept.words).code
    command = ("steer", text, "--remove", code, "--run", run)
    (result,) = clvq(*command, "--json").document["steered"]
    (answer,) = result["answers"]
    change = answer["after"] - answer["before"]
    assert answer["before"] == pytest.approx(float(plain_logits(model, text)[0]), abs=1e-4) and abs(change) > 1e-3
    assert (result["target"], result["flipped"], result["control_flips"]) == ("score", None, None)
    assert result["unit"] == pytest.approx(unit, rel=1e-3)
    assert result["divergence"] == pytest.approx((change / unit) ** 2, rel=1e-2)
    shown = " ".join(clvq(*command).out.split())
    control = answer["control"] - answer["before"]
    assert f"score changes by {change:+.3f}; the control changes it by {control:+.3f} on average" in shown
    assert f"squared change {result['divergence']:.3f} SD²" in shown and f"split ({result['unit']:.4g})" in shown
    assert "flip" not in shown and "prediction" not in shown and "divergence" not in shown
    swept = clvq(*command, "--sweep-strength")
    assert "prediction" not in swept.out and "flips" not in swept.out
    assert _line_of("1 ", swept.out).endswith(f"{change:+.3f}")


def test_a_splice_of_scores_is_judged_by_the_right_numbers(clvq: Clvq, tmp_path: Path) -> None:
    """Where the right numbers are the scores themselves, the squared error is the squared change, and R² is 1."""
    model, run = tiny_models.tiny_roberta(tmp_path / "model", layers=2, labels=1), tmp_path / "run"
    texts = tiny_models.made_sentences()[::5]
    right, found = [float(plain_logits(model, text)[0]) for text in texts], {}
    for name, by in {"exact": 0.0, "off": 0.5}.items():
        rows = [{"text": text, "label": score + by} for text, score in zip(texts, right, strict=True)]
        (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        ended = clvq("train", "--run", run / name, "--model", model, "--dataset", tmp_path / "c.jsonl", "--input-layer",
                     1, "--output-layer", 2, "--epochs", 1, *SMALL)  # fmt: skip
        assert ended.code == 0, ended.err
        found[name] = clvq("faithfulness", "--run", run / name, "--mode", "splice", "--json").document["measured"]
    exact, shifted = found["exact"], found["off"]
    assert exact["r2"] == pytest.approx(1, abs=1e-6) and exact["accuracy"] is None
    for entry in exact["others"].values():
        assert entry["share_recovered"]["value"] == pytest.approx(entry["share_recovered_labels"]["value"], rel=1e-4)
    stored = package.ActivationStore(run / "off" / "activations").sentences("eval")
    numbers, scores = zip(*((row.answers[0], row.probabilities[0]) for row in stored), strict=True)
    assert shifted["r2"] == pytest.approx(r2_score(numbers, scores), rel=1e-4)
    for name, before in exact["others"].items():
        entry = shifted["others"][name]
        assert entry["share_recovered"] == before["share_recovered"]
        assert entry["share_recovered_labels"] != entry["share_recovered"]
    before = files_of(run)
    said = refused(clvq, "faithfulness", "--run", run / "exact", "--mode", "probe")
    assert f"--mode probe reads one class of each sentence, and {model} gives a number for each" in said
    assert files_of(run) == before  # and is refused before the sentences are explained
    shown = clvq("faithfulness", "--run", run / "exact", "--mode", "splice").out
    assert "1.000" in _line_of("R² of the scores, as it is", shown)
    assert "[" in _line_of("loss recovered, labels", shown)
    assert "squared change, SD²" in shown and "squared error" not in shown and "accuracy" not in shown


def _line_of(start: str, shown: str) -> str:
    return next(line for line in shown.splitlines() if line.strip().startswith(start))


def test_scores_without_right_numbers_have_no_r2(clvq: Clvq, tmp_path: Path) -> None:
    model, run = tiny_models.tiny_roberta(tmp_path / "model", layers=2, labels=1), tmp_path / "run"
    rows = [json.dumps({"text": text}) for text in tiny_models.made_sentences()[::5]]
    (tmp_path / "c.jsonl").write_text("\n".join(rows), encoding="utf-8")
    ended = clvq("extract", "--run", run, "--model", model, "--dataset", tmp_path / "c.jsonl", "--layers", "1,2")
    assert ended.code == 0, ended.err
    assert clvq("train", "--run", run, "--input-layer", 1, "--output-layer", 2, "--epochs", 1, *SMALL).code == 0
    assert clvq("explain", "--run", run, *QUICK, "--json").document["summary"]["r2"] is None
    edited = ("faithfulness", "--run", run, "--draws", 1, "--at", "all")
    assert clvq(*edited, "--json").document["clean"]["r2"] is None
    assert not any("R² of the scores" in clvq(*command).out for command in (edited, ("explain", "--run", run, *QUICK)))


def tagged(path: Path) -> Path:
    """A corpus of lists of tokens, each with a tag: films and stories are things, good ones are praised. Some lists
    occur twice, and some words have no tag."""
    things = {"film": 1, "story": 1, "script": 1, "good!": 2, "wonderful?": 2, "rather": -1}
    rows = [
        {"tokens": text.split(), "ner_tags": [things.get(word, 0) for word in text.split()]}
        for text in tiny_models.made_sentences()[::5]
    ]
    path.write_text("\n".join(map(json.dumps, rows + rows[:30])), encoding="utf-8")
    return path


def _tested_by_tag(clvq: Clvq, run: Path, tags: tuple[str, ...]) -> None:
    """The words of a code that have a tag, against all words that have it; a word of a text counts once."""
    document = clvq("codebook", "--run", run, "--json").document
    store = package.ActivationStore(run / "activations")
    codes, row = package.codebook(run / "L1-L2").assignments("train"), 0
    words: dict[tuple[str, int], tuple[int, int]] = {}
    occurrences = 0
    for sentence in store.sentences("train"):
        for start, end, flag in zip(sentence.starts, sentence.ends, sentence.flags, strict=True):
            if flag & 1:
                place = sentence.text.split().index(sentence.text[start:end])  # no word stands twice in a text
                words[sentence.text, place] = (int(codes[row]), int(sentence.answers[place]))
                occurrences += sentence.answers[place] >= 0
            row += 1
    known = [(code, tag) for code, tag in words.values() if tag >= 0]
    assert len(known) < len(words) and len(known) < occurrences
    totals = [sum(tag == number for _, tag in known) for number in range(3)]
    assert (document["label_unit"], document["label_texts"], document["label_totals"]) == ("word", len(known), totals)
    tested = {}
    for concept in document["concepts"]:
        of_code = [tag for code, tag in known if code == concept["code"]]
        if not of_code:
            assert concept["labels"] is None
            continue
        counts, found = [of_code.count(number) for number in range(3)], concept["labels"]
        tails = [
            fisher_exact(
                [[k, len(of_code) - k], [total - k, len(known) - total - len(of_code) + k]], alternative="greater"
            ).pvalue
            for k, total in zip(counts, totals, strict=True)
        ]
        assert (found["counts"], found["texts"]) == (counts, len(of_code))
        assert found["p"] == pytest.approx(min(3 * min(tails), 1), rel=1e-4, abs=1e-300)
        assert tails[found["label"]] == pytest.approx(min(tails), rel=1e-6)
        assert found["share"] == pytest.approx(counts[found["label"]] / len(of_code), rel=1e-5)
        assert found["lift"] == pytest.approx(found["share"] * len(known) / totals[found["label"]], rel=1e-4)
        tested[concept["code"]] = found
        for example in concept["examples"]:
            given = dict(zip(example["text"].split(), range(99), strict=False)).get(example["word"])
            row_tags = next(one.answers for one in store.sentences("train") if one.text == example["text"])
            expected = None if given is None or row_tags[given] < 0 else int(row_tags[given])
            assert example["label"] == expected
    adjusted = false_discovery_control([found["p"] for found in tested.values()])
    assert [found["q"] for found in tested.values()] == pytest.approx(adjusted.tolist(), rel=1e-4)
    surest = min(tested, key=lambda code: tested[code]["q"])
    assert tested[surest]["q"] <= 0.05
    name = tags[tested[surest]["label"]]
    listed = clvq("codebook", "--run", run, "--label", name, "--json").document["concepts"]
    assert surest in [concept["code"] for concept in listed]
    shown = clvq("codebook", "--run", run, "--code", surest).out
    assert f"labels: {name} is more frequent than by chance" in shown and "Predictions" not in shown
    table = shown[shown.index("Labels") :].splitlines()
    assert table[0].split()[:2] == ["Labels", "words"]


def test_a_head_that_tags_words_through_all_commands(clvq: Clvq, tmp_path: Path) -> None:
    model, run = tmp_path / "model", tmp_path / "run"
    tags = ("O", "THING", "PRAISE")
    tiny_models.with_tags(tiny_models.tiny_bert(model, layers=2), tags)
    ended = clvq("extract", "--run", run, "--model", model, "--dataset", tagged(tmp_path / "c.jsonl"), "--layers",
                 "1,2", "--text-column", "tokens", "--label-column", "ner_tags", "--words", "whitespace",
                 "--json")  # fmt: skip
    assert ended.code == 0, ended.err
    assert ended.document["target"] == {"kind": "tag", "names": list(tags), "unit": None}
    rows = list(package.ActivationStore(run / "activations").sentences("eval"))
    ended = clvq("train", "--run", run, "--input-layer", 1, "--output-layer", 2, "--epochs", 1, *SMALL)
    assert ended.code == 0, ended.err
    _tested_by_tag(clvq, run, tags)
    ended = clvq("explain", "--run", run, "--steps", "4", "--limit", 6, "--json")
    assert ended.code == 0, ended.err
    sentences = ended.document["sentences"]
    expected = [
        (number, word) for number, row in enumerate(rows[:6]) for word, tag in enumerate(row.answers) if tag > 0
    ]
    assert [(one["id"], one["part"]) for one in sentences] == expected
    plain = AutoModelForTokenClassification.from_pretrained(model).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    for one in sentences:
        words = one["text"].split()
        encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        with torch.no_grad():
            chances = plain(**encoded).logits[0, encoded.word_ids().index(one["part"])].softmax(0)
        assert one["part_name"] == words[one["part"]]
        assert (one["prediction"], one["target"]) == (int(chances.argmax()), tags[int(chances.argmax())])
        assert one["probability"] == pytest.approx(float(chances.max()), abs=1e-4)
        assert one["label"] == rows[one["id"]].answers[one["part"]] and one["completeness_error"] < 0.05
    document = clvq("faithfulness", "--run", run, "--draws", 1, "--at", "all,sentence", "--json").document
    assert document["clean"]["sentences"] == len(expected)
    assert {row["label"] for row in document["by_class"]} <= {"THING", "PRAISE"}
    own = [figure for figure in document["figures"] if figure["place"] == "sentence"]
    assert own and all(figure["tokens"] == figure["sentences"] for figure in own)  # one token, where the tag is read
    said = refused(clvq, "faithfulness", "--run", run, "--mode", "probe")
    assert f"--mode probe reads one class of each sentence, and {model} gives a tag for each word" in said
    found = clvq("faithfulness", "--run", run, "--mode", "splice", "--json").document["measured"]
    assert found["target"] == "tag" and found["accuracy"] is not None
    assert clvq("faithfulness", "--run", run, "--by", "concept", "--class", "THING").code == 0
    assert clvq("explain", "The film is", "--run", run).out.startswith("The: ")
    assert clvq("report", "--run", run).code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Colour marks the label that its words have more often than chance" in page and '"unit":"word"' in page


def test_tags_that_do_not_fit_their_words_are_refused(clvq: Clvq, tmp_path: Path) -> None:
    model = tiny_models.with_tags(tiny_models.tiny_bert(tmp_path / "model", layers=1), ("O", "B"))
    lines = [json.dumps({"text": "a good film", "tags": tags}) for tags in ([0, 1, 0], [0, 1])]
    (tmp_path / "c.jsonl").write_text("\n".join(lines), encoding="utf-8")
    given = ("extract", "--run", tmp_path / "run", "--model", model, "--dataset", tmp_path / "c.jsonl", "--layers", 1)
    said = refused(clvq, *given, "--label-column", "tags")
    assert "row 2: the label" in said and "holds 2 labels for 3 words, counted at white space" in said


@pytest.mark.parametrize(
    ("labels", "rows", "says"),
    [
        (
            3,
            [[0, 1, 0], [1, "slow"]],
            "in the column 'label' holds both names and numbers",
        ),
        (3, [[0, 1], [1, 1], [0, 0]], "lists of 2 values, a 0 or 1 each, but the model's head has 3 labels"),
        (3, [[0, 4], [1]], "label 4, but the classes are 0 to 2"),
        (3, [["slow"], ["else"]], "'else', 'slow' are not the classes of the model"),
        (3, [[0.5], [1]], "holds an entry that is neither a name nor a whole number from 0"),
        (
            1,
            [1.5, "good"],
            "row 2: the label 'good' in the column 'label' is not a number, and the model's",
        ),
        (1, [1.5, [2.0]], "is not a number, and the model's head gives one"),
    ],
)
def test_labels_that_do_not_fit_the_head_are_refused(
    labels: int, rows: list[object], says: str, clvq: Clvq, tmp_path: Path
) -> None:
    kind = {"problem_type": "multi_label_classification"} if labels > 1 else {}
    model = tiny_models.tiny_bert(tmp_path / "model", layers=1, labels=labels, **kind)
    lines = [json.dumps({"text": f"a film {number}", "label": label}) for number, label in enumerate(rows)]
    (tmp_path / "c.jsonl").write_text("\n".join(lines), encoding="utf-8")
    said = refused(clvq, "extract", "--run", tmp_path / "run", "--model", model, "--dataset", tmp_path / "c.jsonl",
                   "--layers", 1)  # fmt: skip
    assert says in said
    assert not list((tmp_path / "run").rglob("*.safetensors"))
