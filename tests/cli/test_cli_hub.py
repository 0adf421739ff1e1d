"""`clvq push`, `clvq pull` and hub ids, against a stand-in for the hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub import Hub, running_hub
from huggingface_hub import constants
from running import Clvq, Outcome

import clvq as package
from clvq.concepts import names

pytestmark = pytest.mark.slow
TEXT = "The film is very good!"
Call = Callable[..., Outcome]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture
def own(trained_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_run, tmp_path / "own" / "run"))


@pytest.fixture
def call(hub: Hub, clvq: Clvq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs `clvq` in a folder of its own, with the stand-in as the hub."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    path = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)

    def run(*arguments: object, url: str = hub.url, token: str = "secret", offline: bool = False) -> Outcome:
        monkeypatch.setenv("HF_TOKEN", token)
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + path)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        return clvq(*arguments)

    return run


def documents(call: Call, bert: Path, *checkpoint: object) -> list[Any]:
    """What commands that need no activations say."""
    answers = []
    model = ("--model", bert)
    for command in (
        ("codebook",), ("explain", TEXT, *model), ("assign", TEXT, *model),
        ("steer", TEXT, "--remove", 0, "--draws", 2, *model),
    ):  # fmt: skip
        ended = call(*command, *checkpoint, "--json")
        assert ended.code == 0, ended.message
        document = {key: value for key, value in json.loads(ended.out).items() if key not in ("path", "model")}
        answers.append({key: value for key, value in document.items() if key not in ("concepts_checksum", "created",
                                                                                      "self_fingerprint")})  # fmt: skip
    return answers


def files_of(hub: Hub, name: str) -> dict[str, bytes]:
    return hub.commits[name][hub.branches[name]["main"]]


def test_what_is_pushed_and_used_by_its_id_says_the_same(
    call: Call, hub: Hub, own: Path, bert: Path, tmp_path: Path
) -> None:
    before = documents(call, bert, "--checkpoint", "L1-L3", "--run", own)
    pushed = call("push", "L1-L3", "me/concepts", "--run", own, "--with-texts", "--license", "mit", "--json")
    assert pushed.code == 0, pushed.message
    files, sent = files_of(hub, "me/concepts"), json.loads(pushed.out)
    assert sent["files"] == {name: len(content) for name, content in sorted(files.items())}
    assert sent["commit"] == hub.branches["me/concepts"]["main"]
    assert sum(map(len, files.values())) < 3 * len(files["model.safetensors"])
    assert b"license: mit" in files["README.md"]
    assert b"## Concepts" in files["README.md"]
    shutil.rmtree(own)
    assert documents(call, bert, "--checkpoint", "me/concepts") == before
    pulled = tmp_path / "here" / "clvq-run" / "me--concepts"
    assert json.loads((pulled / "hub.json").read_text())["commit"] == sent["commit"]
    asked = len(hub.requests)
    assert call("codebook", "me/concepts", offline=True).code == 0
    assert len(hub.requests) == asked  # it is there already
    shutil.rmtree(pulled)
    by_commit = call("pull", f"me/concepts@{sent['commit']}", "--run", tmp_path / "new", "--json")
    assert by_commit.code == 0, by_commit.message
    assert json.loads(by_commit.out)["path"] == str(tmp_path / "new" / f"me--concepts--{sent['commit']}")


def test_texts_and_paths_stay_here(call: Call, hub: Hub, own: Path) -> None:
    texts = {sentence.text for sentence in package.ActivationStore(own / "activations").sentences("train")}
    book = package.codebook(own / "L1-L3")
    names.give(book.checkpoint.path, book.checkpoint.fingerprint, {0: "a public name"}, {0: "a note of my own"})
    listed = call("push", "L1-L3", "me/concepts", "--run", own, "--dry-run", "--json")
    assert listed.code == 0, listed.message
    assert "me/concepts" not in hub.commits
    pushed = call("push", "L1-L3", "me/concepts", "--run", own, "--private", "--json")
    assert pushed.code == 0, pushed.message
    assert json.loads(pushed.out)["files"] == json.loads(listed.out)["files"]
    assert "me/concepts" in hub.private
    files = files_of(hub, "me/concepts")
    sent = b"".join(files.values())
    assert (b"a public name" in sent, b"a note of my own" in sent) == (True, False)
    assert not [text for text in texts if len(text) > 20 and json.dumps(text).encode()[1:-1] in sent]
    for folder in (own, own.parent, Path.home(), Path(package.__file__).parent):
        assert str(folder).encode() not in sent
    config = json.loads(files["config.json"])
    assert "/" not in config["provenance"]["model"]["id"] + config["activations"]["settings"]["dataset"]
    unknown = call("pull", "me/concepts", token="")
    assert (unknown.code, "If it is private: Log in" in unknown.message) == (1, True), unknown.message


def test_a_strangers_files_are_looked_at(call: Call, hub: Hub, own: Path, tmp_path: Path) -> None:
    assert call("push", "L1-L3", "me/good", "--run", own).code == 0
    good = files_of(hub, "me/good")
    weights = bytearray(good["model.safetensors"])
    weights[-1] ^= 1
    config = json.loads(good["config.json"])
    config["settings"]["seed"] = 77
    for number, (files, says) in enumerate([
        ({**good, "model.safetensors": bytes(weights)}, "model.safetensors"),
        ({**good, "config.json": json.dumps(config).encode()}, "config.json"),
        ({**good, "config.json": b'{"model_type": "bert"}'}, "config.json"),
        ({**good, "concepts.jsonl": good["concepts.jsonl"] + b"{}"}, "concepts.jsonl"),
        ({"pytorch_model.bin": b"pickle"}, "is not a checkpoint of clvq"),
    ]):  # fmt: skip
        name = f"me/bad{number}"
        hub.make(name, private=False)
        hub.commit(name, files)
        ended = call("codebook", "--checkpoint", name)
        assert (ended.code, says in ended.message, "Traceback" in ended.message) == (1, True, False), ended.message
    hub.make("me/more", private=False)
    hub.commit("me/more", {**good, "evil.py": b"boom", "optimizer.bin": b"pickle", "deep/config.json": b"{}"})
    assert call("codebook", "me/more").code == 0
    run = tmp_path / "here" / "clvq-run"
    assert sorted(path.name for path in run.iterdir() if not path.name.startswith(".")) == ["me--more"]
    assert not {"evil.py", "optimizer.bin", "deep"} & {path.name for path in (run / "me--more").iterdir()}


def test_what_is_not_there_is_one_message(call: Call, hub: Hub, own: Path) -> None:
    hub.make("me/empty", private=False)
    for arguments, environment, says in (
        (
            ("codebook", "--checkpoint", "me/none"),
            {},
            "There is no me/none here, and the hub has no repository me/none that you may read",
        ),
        (("pull", "me/empty@v9"), {}, "no such revision"),
        (("pull", "me/empty"), {}, "is not a checkpoint of clvq"),
        (("pull", "me"), {}, "give user/name"),
        (("pull", "../../etc/passwd"), {}, "give user/name"),
        (("pull", "me/none"), {"offline": True}, "the hub cannot be reached"),
        (("pull", "me/none"), {"url": "http://127.0.0.1:9"}, "the hub cannot be reached"),
        (("push", "L1-L3", "me", "--run", own), {}, "give user/name"),
        (("push", "L1-L9", "me/x", "--run", own), {}, "There is no checkpoint L1-L9"),
        (("codebook", "--checkpoint", f"{own.name}/L1-L9", "--run", own), {}, "There is no"),
    ):
        ended = call(*arguments, **environment)
        assert (ended.code, says in ended.message) == (1, True), (arguments, ended.message)
        assert "Traceback" not in ended.message


def test_what_is_a_path_is_no_repository(call: Call, hub: Hub, own: Path, tmp_path: Path) -> None:
    shutil.copytree(own, tmp_path / "here" / "runs")
    assert call("codebook", "--checkpoint", "runs/L1-L3").code == 0
    mistyped = call("codebook", "--checkpoint", "runs/L1-L4", "--run", "runs")
    assert (mistyped.code, "There is no checkpoint runs/L1-L4" in mistyped.message) == (1, True), mistyped.message
    assert hub.requests == []
