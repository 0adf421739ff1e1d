"""`clvq steer` and `clvq.steering`: against hooks written here, and against what faithfulness measures."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from running import Clvq, piped
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

import clvq as package
from clvq.concepts.directions import concept_space
from clvq.interventions.edits import Edit
from clvq.interventions.steering import Steering

pytestmark = pytest.mark.slow

TEXT = "The film is very good, and the plot is not."


@pytest.fixture(scope="module")
def shared(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = Path(shutil.copytree(trained_run, tmp_path_factory.mktemp("steered") / "run"))
    package.codebook(run / "L1-L3")
    return run


@pytest.fixture(scope="module")
def causal(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a causal language model."""
    folder = tmp_path_factory.mktemp("causal")
    model = tiny_models.with_next_token(tiny_models.tiny_gpt2(folder / "model", layers=3))
    package.extract(folder / "run" / "activations", model=str(model), dataset=str(corpus), layers=(1, 2))
    package.train(
        folder / "run" / "activations", path=folder / "run" / "L1-L2", input_layer=1, output_layer=2, epochs=1,
        codebook_size=12, top_k=3, decoder_layers=1,
    )  # fmt: skip
    package.codebook(folder / "run" / "L1-L2")
    return folder


def busiest(run: Path, name: str, count: int) -> list[int]:
    concepts = package.codebook(run / name).concepts
    return [concept.code for concept in sorted(concepts, key=lambda concept: -concept.words)][:count]


def naive(space: Any, states: torch.Tensor, remove: list[int], add: list[int], strength: float) -> torch.Tensor:
    """The formula, in 64 bits: the projection onto what is removed by least squares."""
    about = states.double() - space.mean.double()
    moved = about.clone()
    if remove:
        directions = space.deviations(torch.tensor(remove)).double().T  # [D, r]
        inside = about @ (directions @ torch.linalg.pinv(directions))
        moved = about - (strength if not add else 1) * inside
    added = strength * space.deviations(torch.tensor(add)).double().sum(dim=0) if add else 0.0
    return moved + added + space.mean.double()


@contextmanager
def hooked(block: torch.nn.Module, edit: Any) -> Iterator[None]:
    """What a block gives is edited."""

    def hook(_module: Any, _arguments: Any, output: Any) -> Any:
        states = output[0] if isinstance(output, tuple) else output
        changed = edit(states)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = block.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


CASES: list[dict[str, Any]] = [
    {"remove": 1}, {"remove": 2}, {"remove": 2, "strength": 0.5}, {"add": 1, "strength": 2}, {"remove": 1, "add": 2},
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_states_follow_the_formula(shared: Path, case: dict[str, Any]) -> None:
    codes = busiest(shared, "L1-L3", 4)
    remove, add = codes[: case.get("remove", 0)], codes[2 : 2 + case.get("add", 0)]
    space = concept_space(package.read_checkpoint(shared / "L1-L3"))
    states = 3 * torch.randn(7, len(space.mean), generator=torch.Generator().manual_seed(0))
    strength = float(case.get("strength", 1))
    steered = Steering(space, tuple(remove), tuple(add), strength).apply(states)
    torch.testing.assert_close(steered.double(), naive(space, states, remove, add, strength), atol=1e-4, rtol=1e-4)


def test_the_removal_is_that_of_faithfulness_to_the_bit(shared: Path) -> None:
    code = busiest(shared, "L1-L3", 1)[0]
    space = concept_space(package.read_checkpoint(shared / "L1-L3"))
    states = torch.randn(9, len(space.mean), generator=torch.Generator().manual_seed(1))
    codes = torch.full((9,), code)
    basis = space.directions(codes)[:, :, None]
    edited = Edit(space).apply(states, basis, torch.zeros(9, dtype=torch.long))
    assert torch.equal(Steering(space, (code,)).apply(states), edited)
    assert torch.equal(Steering(space, (code,), (), 0.0).apply(states), states)


def test_a_removal_has_the_effect_that_faithfulness_measures(shared: Path) -> None:
    """Of each concept in the sentences where it occurs."""
    measured = package.faithfulness(shared / "L1-L3", by="concept", draws=1, limit=6).results
    texts = [sentence.text for sentence in package.ActivationStore(shared / "activations").sentences("eval")][:6]
    checked = 0
    for row in measured.concepts:
        falls = []
        for text in texts:
            (assigned,) = package.assign(shared / "L1-L3", text)
            if any(word.code == row.code for word in assigned.words):
                steered = package.steer(shared / "L1-L3", text, remove=[row.code], at="concept", draws=1)
                answer = next(a for a in steered.answers if a.name == steered.prediction_before)
                falls.append(answer.before - answer.after)
        if len(falls) == row.sentences:
            assert sum(falls) / len(falls) == pytest.approx(row.probability, abs=1e-5)
            checked += 1
    assert checked >= 2


def test_words_are_edited_and_the_answers_are_those_of_a_hook(clvq: Clvq, shared: Path, bert: Path) -> None:
    remove, add = [[code] for code in busiest(shared, "L1-L3", 2)]
    ended = clvq("steer", TEXT, "--remove", remove[0], "--add", add[0], "--strength", 3, "--run", shared, "--json")
    assert ended.code == 0, ended.err
    (result,) = ended.document["steered"]
    space = concept_space(package.read_checkpoint(shared / "L1-L3"))
    model = AutoModelForSequenceClassification.from_pretrained(bert).eval()
    tokenizer = AutoTokenizer.from_pretrained(bert)
    inputs = tokenizer(TEXT, return_tensors="pt")
    words = torch.tensor([word is not None for word in inputs.word_ids()])

    def edit(states: torch.Tensor) -> torch.Tensor:
        moved = naive(space, states[0], remove, add, 3.0).float()
        return torch.where(words[:, None], moved, states[0])[None]

    with torch.no_grad():
        before = model(**inputs).logits.softmax(dim=1)[0].tolist()
        with hooked(model.bert.encoder.layer[0], edit):
            after = model(**inputs).logits.softmax(dim=1)[0].tolist()
    assert [answer["before"] for answer in result["answers"]] == pytest.approx(before, abs=1e-5)
    assert [answer["after"] for answer in result["answers"]] == pytest.approx(after, abs=1e-5)
    kl = sum(p * math.log(p / q) for p, q in zip(before, after, strict=True))
    assert result["divergence"] == pytest.approx(kl, abs=1e-5)
    assert result["flipped"] == (before.index(max(before)) != after.index(max(after)))
    shown = clvq("steer", TEXT, "--remove", remove[0], "--add", add[0], "--strength", 3, "--run", shared)
    assert all(f"{value:.3f}" in shown.out for value in (before[0], after[0]))


def test_the_context_manager_steers_a_plain_model(shared: Path, bert: Path) -> None:
    remove = busiest(shared, "L1-L3", 1)
    space = concept_space(package.read_checkpoint(shared / "L1-L3"))
    model = AutoModelForSequenceClassification.from_pretrained(bert).eval()
    inputs = AutoTokenizer.from_pretrained(bert)([TEXT, "good"], return_tensors="pt", padding=True)
    with torch.no_grad():
        plain = model(**inputs).logits
        with package.steering(shared / "L1-L3", model, remove=remove) as same:
            assert same is model
            steered = model(**inputs).logits
        with hooked(model.bert.encoder.layer[0], lambda states: naive(space, states, remove, [], 1.0).float()):
            expected = model(**inputs).logits
        assert torch.equal(model(**inputs).logits, plain)
    torch.testing.assert_close(steered, expected, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(steered, plain, atol=1e-6)
    wider = AutoModelForSequenceClassification.from_pretrained(bert, hidden_size=64, ignore_mismatched_sizes=True)
    with (
        pytest.raises(package.ClvqError, match="has width 64"),
        package.steering(shared / "L1-L3", wider, remove=remove),
    ):
        pass


@pytest.mark.parametrize("at", ["words", "all"])
def test_a_continuation_is_that_of_a_greedy_loop(causal: Path, at: str) -> None:
    """Without a cache of keys and values: everything is run anew for each token, and edited where it was edited."""
    run, text = causal / "run", "the film was very good"
    remove, add = busiest(run, "L1-L2", 2)[:1], busiest(run, "L1-L2", 2)[1:]
    steered = package.steer(run / "L1-L2", text, remove=remove, add=add, strength=4, at=at, tokens=6, draws=1)
    space = concept_space(package.read_checkpoint(run / "L1-L2"))
    model = AutoModelForCausalLM.from_pretrained(causal / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(causal / "model")
    prompt = tokenizer(text, return_tensors="pt")["input_ids"]

    def goes_on(edited: bool) -> str:
        ids = prompt

        def edit(states: torch.Tensor) -> torch.Tensor:
            moved = naive(space, states[0], remove, add, 4.0).float()
            # A decoder's first token is an attention sink, which is edited with all tokens only.
            chosen = torch.arange(len(moved)) < (len(moved) if at == "all" else prompt.shape[1])
            chosen[0] = at == "all"
            return torch.where(chosen[:, None], moved, states[0])[None]

        for _ in range(6):
            with torch.no_grad():
                if edited:
                    with hooked(model.transformer.h[0], edit):
                        logits = model(ids).logits
                else:
                    logits = model(ids).logits
            ids = torch.cat([ids, logits[:, -1].argmax(dim=1, keepdim=True)], dim=1)
            if int(ids[0, -1]) == model.generation_config.eos_token_id:
                break
        return str(tokenizer.decode(ids[0, prompt.shape[1] :], skip_special_tokens=True))

    assert steered.continuation_before == goes_on(edited=False)
    assert steered.continuation_after == goes_on(edited=True)


def test_a_sweep_begins_with_no_change(clvq: Clvq, shared: Path) -> None:
    code = busiest(shared, "L1-L3", 1)[0]
    ended = clvq("steer", TEXT, "--remove", code, "--sweep-strength", "--run", shared, "--json")
    assert ended.code == 0, ended.err
    first, *others = ended.document["steered"]
    assert (first["strength"], first["distance"], first["divergence"]) == (0.0, 0.0, 0.0)
    assert [answer["before"] for answer in first["answers"]] == [answer["after"] for answer in first["answers"]]
    distances = [entry["distance"] / entry["strength"] for entry in others]
    assert distances == pytest.approx([distances[0]] * len(distances), rel=1e-3)
    again = clvq("steer", TEXT, "--remove", code, "--sweep-strength", "--run", shared, "--json")
    assert again.document == ended.document
    shown = clvq("steer", TEXT, "--remove", code, "--sweep-strength", "--run", shared)
    assert f"12 words edited, step 0.00 to {max(entry['distance'] for entry in others):.2f}\n" in shown.out
    single = clvq("steer", TEXT, "--remove", code, "--run", shared, "--json").document["steered"][0]
    assert single == next(entry for entry in others if entry["strength"] == 1)


def test_what_was_edited_is_told(clvq: Clvq, shared: Path, bert: Path) -> None:
    code = busiest(shared, "L1-L3", 1)[0]
    tokens = len(AutoTokenizer.from_pretrained(bert)(TEXT)["input_ids"])
    everything = ("steer", TEXT, "--remove", code, "--at", "all", "--run", shared)
    (result,) = clvq(*everything, "--json").document["steered"]
    assert (result["at"], result["edited_words"], result["edited_tokens"]) == ("all", 12, tokens)
    assert f"all {tokens} tokens edited, step" in clvq(*everything).out
    (word,) = [word for text in package.assign(shared / "L1-L3", "good") for word in text.words]
    at_concept = ("steer", "good", "--remove", word.code, "--at", "concept", "--run", shared)
    assert "1 word edited, step" in clvq(*at_concept).out
    (result,) = clvq(*at_concept, "--json").document["steered"]
    inside = len(AutoTokenizer.from_pretrained(bert)("good", add_special_tokens=False)["input_ids"])
    assert (result["edited_words"], result["edited_tokens"], result["left_out"]) == (1, inside, 0)


def test_a_text_that_is_too_long_is_cut_and_that_is_told(clvq: Clvq, shared: Path) -> None:
    code, text = busiest(shared, "L1-L3", 1)[0], " ".join(["good"] * 90)
    (assigned,) = package.assign(shared / "L1-L3", text)
    (result,) = clvq("steer", text, "--remove", code, "--run", shared, "--json").document["steered"]
    assert (result["left_out"], result["edited_words"]) == (assigned.left_out, 90 - assigned.left_out)
    assert 0 < assigned.left_out < 90
    shown = " ".join(clvq("steer", text, "--remove", code, "--run", shared).out.split())
    assert f"{assigned.left_out} words beyond the model's length are left out" in shown


def test_the_text_may_come_from_standard_input(clvq: Clvq, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--remove", busiest(shared, "L1-L3", 1)[0], "--run", shared, "--json")
    typed = clvq("steer", TEXT, *options).document
    piped(monkeypatch, f"{TEXT}\r\n\n".encode())
    assert clvq("steer", "-", *options).document == typed
    for content, says in (
        (b"good\nslow\n", "Standard input holds 2 texts, one a line, and steer takes one"),
        (b" \n", "standard input holds no text"),
    ):
        piped(monkeypatch, content)
        ended = clvq("steer", "-", *options)
        assert (ended.code, ended.out) == (1, "") and says in ended.message


def test_a_copied_checkpoint_steers_alike(clvq: Clvq, shared: Path, tmp_path: Path) -> None:
    code = busiest(shared, "L1-L3", 1)[0]
    concept_space(package.read_checkpoint(shared / "L1-L3"))
    shutil.copytree(shared / "L1-L3", tmp_path / "elsewhere" / "L1-L3")
    results = [
        clvq("steer", TEXT, "--remove", code, "--run", run, "--json") for run in (shared, tmp_path / "elsewhere")
    ]
    assert [result.code for result in results] == [0, 0]
    assert results[0].document["steered"] == results[1].document["steered"]


def test_what_cannot_be_is_one_message(clvq: Clvq, shared: Path) -> None:
    code = busiest(shared, "L1-L3", 1)[0]
    alive = {concept.code for concept in package.codebook(shared / "L1-L3").concepts}
    for arguments, exit_code, says in (
        ((TEXT,), 2, "No concept is named"),
        ((TEXT, "--remove", 99), 1, "There is no code 99"),
        ((TEXT, "--remove", -1), 2, "takes codes"),
        ((TEXT, "--add", "twelve"), 2, "'twelve' is not a code"),
        ((TEXT, "--remove", code, "--strength", "nan"), 1, "--strength must"),
        ((TEXT, "--remove", code, "--strength", "inf"), 1, "--strength must"),
        ((TEXT, "--remove", code, "--strength", -1), 1, "--strength must"),
        ((TEXT, "--add", code, "--strength", 1e38), 1, "With --strength 1e+38 the model answers NaN or infinity"),
        ((TEXT, "--remove", code, "--tokens", 5), 1, "needs a causal language model"),
        ((TEXT, "--remove", code, "--draws", 0), 1, "--draws must"),
        ((" ", "--remove", code), 1, "There is no word"),
        ((TEXT, "--add", code, "--at", "concept"), 1, "No word of the text is to be edited"),
        ((TEXT, "--remove", code, "--strength", 2, "--sweep-strength"), 2, "do not go together"),
        *(((TEXT, "--remove", dead), 1, "is dead") for dead in sorted(set(range(12)) - alive)[:1]),
    ):  # fmt: skip
        ended = clvq("steer", *arguments, "--run", shared)
        assert (ended.code, says in ended.message) == (exit_code, True), (arguments, ended.message)
