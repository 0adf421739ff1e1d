"""Damaged, foreign and newer artifacts, full disks and held locks: exit 1, the file named, and nothing else touched."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running import SMALL, Clvq, files_of

from clvq.artifacts import CHECKPOINT
from clvq.storage import fingerprint, locked

pytestmark = pytest.mark.slow

PAIR = ("--input-layer", "1", "--output-layer", "3", "--epochs", "1", *SMALL)


def _edited(change: Callable[[dict[str, Any]], object], sign: bool = True) -> Callable[[Path], None]:
    """Changes the manifest; `sign` makes its own fingerprint fit again, as a forger would."""

    def edit(store: Path) -> None:
        manifest = json.loads((store / "manifest.json").read_text())
        change(manifest)
        if sign:
            body = {key: value for key, value in manifest.items() if key != "self_fingerprint"}
            manifest["self_fingerprint"] = fingerprint(body)
        (store / "manifest.json").write_text(json.dumps(manifest))

    return edit


def _named(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest["layers"]["1"]["shards"]["train"][0].update(file=name)


def _cut(name: str, keep: int) -> Callable[[Path], None]:
    return lambda store: (store / name).write_bytes((store / name).read_bytes()[:keep])


def _flipped(store: Path) -> None:
    file = store / "train-L1-00000.safetensors"
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)


def _linked(store: Path) -> None:
    file = store / "train-L1-00000.safetensors"
    file.rename(store.parent / "elsewhere")
    file.symlink_to(store.parent / "elsewhere")


@pytest.mark.parametrize(
    ("damage", "file", "says"),
    [
        (_cut("manifest.json", 400), "manifest.json", "cannot be read as JSON"),
        (_cut("manifest.json", 0), "manifest.json", "cannot be read as JSON"),
        (
            lambda store: (store / "manifest.json").write_text("[]"),
            "manifest.json",
            "not the JSON of clvq-activations",
        ),
        (lambda store: (store / "manifest.json").write_text("[" * 100_000), "manifest.json", "cannot be read as JSON"),
        (lambda store: (store / "manifest.json").write_bytes(b"\xff\xfe\0"), "manifest.json", "cannot be read as JSON"),
        (_edited(lambda m: m.update(format="other")), "manifest.json", "not the JSON of clvq-activations"),
        (_edited(lambda m: m.update(format_version=99)), "manifest.json", "format version 99"),
        (
            _edited(lambda m: m["settings"].update(pooling="mean"), sign=False),
            "manifest.json",
            "is damaged or was edited",
        ),
        (_edited(lambda m: m.pop("rows_fingerprint")), "manifest.json", "(rows_fingerprint is missing). Make it again"),
        (_edited(lambda m: m.pop("settings")), "manifest.json", "(settings is missing)"),
        (_edited(lambda m: m.pop("splits")), "manifest.json", "(the files of train are missing)"),
        (_edited(lambda m: m["provenance"].pop("corpus")), "manifest.json", "(corpus is missing)"),
        (_edited(lambda m: m["splits"]["eval"].pop("counts")), "manifest.json", "(counts is missing)"),
        (_edited(lambda m: m["layers"]["1"].pop("shards")), "manifest.json", "(the files of train are missing)"),
        (_edited(lambda m: m["layers"]["1"].update(scale="2")), "manifest.json", "(scale is '2')"),
        (_edited(lambda m: m["settings"].update(pooling=[])), "manifest.json", "--pooling must be one of"),
        (_edited(lambda m: m.update(layers=[1])), "manifest.json", "(layers is [1])"),
        (_edited(_named("../../outside.safetensors")), "activations", "outside itself"),
        (_edited(_named("/etc/passwd")), "activations", "outside itself"),
        (_edited(_named("..")), "activations", "outside itself"),
        (_edited(_named("a\0b")), "activations", "outside itself"),
        (_edited(_named("eval-L1-00000.safetensors")), "eval-L1-00000.safetensors", "its checksum differs"),
        (_linked, "train-L1-00000.safetensors", "is a link"),
        (_cut("train-L1-00000.safetensors", 1000), "train-L1-00000.safetensors", "is truncated or damaged"),
        (_flipped, "train-L1-00000.safetensors", "its checksum differs"),
        (lambda s: (s / "eval-L3-00000.safetensors").unlink(), "eval-L3-00000.safetensors", "cannot be read"),
        (_cut("train-sentences.parquet", 500), "train-sentences.parquet", "its checksum differs"),
    ],
)
def test_a_store_that_is_damaged(clvq: Clvq, run: Path, damage: Callable[[Path], None], file: str, says: str) -> None:
    damage(run / "activations")
    (run.parent / "outside.safetensors").write_bytes(b"secret")
    before = files_of(run)
    ended = clvq("train", "--run", run, *PAIR)
    assert (ended.code, ended.out) == (1, "")
    assert file in ended.message
    assert says in ended.message
    assert "bug" not in ended.message
    assert files_of(run) == before


@pytest.mark.parametrize("content", ["[]", "{}", "{", '{"settings": {}}'])
def test_the_record_of_an_unfinished_extraction_that_is_damaged(
    clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path, content: str
) -> None:
    store = tmp_path / "run" / "activations"
    store.mkdir(parents=True)
    (store / "unfinished.json").write_text(content)
    given = ("extract", "--run", store.parent, "--model", bert, "--dataset", corpus, "--layers", 1)
    ended = clvq(*given)
    assert ended.code == 1
    assert str(store / "unfinished.json") in ended.message
    assert clvq(*given, "--overwrite").code == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "cannot be read as JSON"),
        (b'{"format": "other"}', "not the JSON of clvq-checkpoint"),
        (b'{"format": "clvq-checkpoint", "format_version": 7}', "format version 7"),
        (b'{"format": "clvq-checkpoint", "format_version": 1}', "is damaged"),
    ],
)
def test_a_checkpoint_that_is_damaged(clvq: Clvq, run: Path, content: bytes, says: str) -> None:
    assert clvq("train", "--run", run, *PAIR).code == 0
    (run / "L1-L3" / "config.json").write_bytes(content)
    ended = clvq("train", "--run", run, *PAIR)
    assert ended.code == 1
    assert str(run / "L1-L3" / "config.json") in ended.message
    assert says in ended.message
    assert clvq("train", "--run", run, *PAIR, "--overwrite").code == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda body: body.pop("settings"), "(settings is missing)"),
        (lambda body: body.pop("codebook_size"), "(codebook_size is missing)"),
        (lambda body: body["provenance"].pop("rows"), "(rows is missing)"),
        (lambda body: body["provenance"].update(layers=[1, 3]), "(layers is [1, 3])"),
        (lambda body: body["results"].pop("steps"), "(steps is missing)"),
        (lambda body: body["results"]["evaluation"].update(fvu="0.5"), "(fvu is '0.5')"),
        (lambda body: body["results"]["evaluation"].update(rows="8"), "(rows is '8')"),
        (lambda body: body["results"]["yardsticks"].update(ridge=[1]), "(ridge is [1])"),
        (lambda body: body["results"].update(update_factor={}), "(update_factor is {})"),
        (lambda body: body.update(results="text"), "does not hold what clvq-checkpoint holds"),
        (lambda body: body.update(activations=[1]), "does not hold what clvq-checkpoint holds"),
    ],
)
def test_a_checkpoint_that_lacks_a_field(
    clvq: Clvq, run: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    """Its own fingerprint fits, as that of a forger would."""
    assert clvq("train", "--run", run, *PAIR).code == 0
    body = CHECKPOINT.read(run / "L1-L3")
    change(body)
    CHECKPOINT.write(run / "L1-L3", body)
    for command in (("train", *PAIR), ("codebook",)):
        ended = clvq(*command, "--run", run)
        assert (ended.code, ended.out) == (1, "")
        assert str(run / "L1-L3" / "config.json") in ended.message
        assert says in ended.message and "clvq train --overwrite" in ended.message


def test_a_training_state_that_is_damaged(clvq: Clvq, run: Path) -> None:
    state = run / "L1-L3" / "training" / "state.safetensors"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    ended = clvq("train", "--run", run, *PAIR)
    assert ended.code == 1
    assert str(state) in ended.message
    assert clvq("train", "--run", run, *PAIR, "--overwrite").code == 0


def _full_disk(monkeypatch: pytest.MonkeyPatch, on: str) -> None:
    """Syncing a file whose name holds `on` finds the disk full, as a delayed write does."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if on in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("on", ["train-L3-00000", "train-sentences-00000", "unfinished.json", "manifest.json"])
def test_a_disk_that_fills_up_in_extraction(
    clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path, on: str, finished_run: Path
) -> None:
    run = tmp_path / "run"
    given = ("extract", "--run", run, "--model", bert, "--dataset", corpus, "--layers", "1,3")
    with pytest.MonkeyPatch.context() as patch:
        _full_disk(patch, on)
        ended = clvq(*given)
    assert (ended.code, ended.out) == (1, "")
    needs = "" if "sentences" in on else rf"\S*{on}\S* needs [\d.]+ \w+, and "
    assert re.search(rf"The disk is full: {needs}{run / 'activations'} has [\d.]+ [kMGT]?B left", ended.message)
    assert not (run / "activations" / "manifest.json").exists()
    assert not [name for name in files_of(run) if "clvq-writing" in name]
    assert clvq(*given).code == 0
    assert _tensors(run) == _tensors(finished_run)


def test_a_disk_that_fills_up_in_training_leaves_the_old_checkpoint_readable(clvq: Clvq, run: Path) -> None:
    for on in ("best.safetensors", "model.safetensors", "config.json"):
        with pytest.MonkeyPatch.context() as patch:
            _full_disk(patch, on)
            ended = clvq("train", "--run", run, *PAIR)
        assert ended.code == 1
        assert "The disk is full" in ended.message
    assert clvq("train", "--run", run, *PAIR).code == 0


def test_a_disk_that_is_too_small_is_refused_beforehand(
    clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clvq.activations.model_pass.free_bytes", lambda path: 1000)
    ended = clvq("extract", "--run", tmp_path / "run", "--model", bert, "--dataset", corpus, "--layers", 1)
    assert ended.code == 1
    assert re.search(r"About \d+ kB would be written to .*, but its disk has 1 kB free", ended.message)
    assert not list((tmp_path / "run" / "activations").glob("*.safetensors"))


def test_a_run_folder_that_is_a_file(clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("not a folder")
    ended = clvq("extract", "--run", tmp_path / "run", "--model", bert, "--dataset", corpus, "--layers", 1)
    assert ended.code == 1
    assert f"--run {tmp_path / 'run'} is a file, and a run is a folder." in ended.message
    assert (tmp_path / "run").read_text() == "not a folder"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into any folder")
def test_a_read_only_folder(clvq: Clvq, run: Path) -> None:
    run.chmod(0o555)
    ended = clvq("train", "--run", run, *PAIR)
    run.chmod(0o755)
    assert ended.code == 1
    assert "cannot be written" in ended.message


def test_a_file_that_the_system_refuses(clvq: Clvq, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may do everything, so the system's refusal is played."""
    real = Path.open

    def refuse(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if "w" in mode or "a" in mode:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", refuse)
    ended = clvq("train", "--run", run, *PAIR)
    assert ended.code == 1
    assert "cannot be written (Read-only file system)" in ended.message


def test_a_second_process_is_told(clvq: Clvq, run: Path) -> None:
    with locked(run / "activations"):
        ended = clvq("extract", "--run", run, "--layers", 2)
        assert ended.code == 1
        assert f"Another process is writing {run / 'activations'}" in ended.message
    with locked(run / "L1-L3"):
        ended = clvq("train", "--run", run, *PAIR)
        assert ended.code == 1
        assert f"Another process is writing {run / 'L1-L3'}" in ended.message
    assert clvq("train", "--run", run, *PAIR).code == 0


def test_what_is_no_error_of_the_user_is_called_a_bug(clvq: Clvq, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("by \x1b[31mzero")

    monkeypatch.setattr("clvq.activations.extraction.stored_settings", fail)
    ended = clvq("extract", "--run", run)
    assert ended.code == 1
    assert ended.err.startswith("Error: ZeroDivisionError: by \\x1b[31mzero\nThis is a bug in clvq.")
    assert "Traceback" not in ended.err
    assert "Traceback" in clvq("extract", "--run", run, "--debug").err


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("[enforce fail] can't allocate memory: 1 TB")])
def test_memory_that_runs_out(clvq: Clvq, run: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("clvq.activations.extraction.stored_settings", fail)
    ended = clvq("extract", "--run", run)
    assert ended.code == 1
    assert "Out of memory" in ended.message


def _tensors(run: Path) -> dict[str, bytes]:
    return {name: content for name, content in files_of(run).items() if name.endswith((".safetensors", ".parquet"))}
