"""Writes that are whole or not at all, names that stay in their folder, locks."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from clvq import storage
from clvq.errors import ArtifactError, ClvqError


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    storage.write_json(path, {"first": 1})
    with pytest.raises(ClvqError, match="disk is full"), storage.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert storage.read_json(path, "") == {"first": 1}
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ClvqError) as raised:
        patch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(full))
        storage.write_tensors(tmp_path / "big.safetensors", {"a": torch.ones(2, 500)})
    left = storage.size_text(storage.free_bytes(tmp_path))
    assert f"big.safetensors needs 4 kB, and {tmp_path} has {left} left" in str(raised.value)
    with pytest.raises(KeyboardInterrupt), storage.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert storage.read_json(path, "") == {"first": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_file_may_be_read_by_whom_the_umask_says(tmp_path: Path) -> None:
    storage.write_tensors(tmp_path / "t.safetensors", {"a": torch.ones(2)})
    storage.write_text(tmp_path / "t.txt", "a")
    modes = {(tmp_path / name).stat().st_mode for name in ("t.safetensors", "t.txt")}
    assert len(modes) == 1


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "..", ".", "", "a\0b", None, 3])
def test_names_that_leave_their_folder(tmp_path: Path, name: object) -> None:
    with pytest.raises(ArtifactError, match="outside itself"):
        storage.child(tmp_path, name)


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "away").symlink_to("/etc")
    with pytest.raises(ArtifactError, match="is a link"):
        storage.child(tmp_path, "away")
    with pytest.raises(ArtifactError, match="is a link"):
        storage.remove_folder(tmp_path / "away")
    assert Path("/etc").exists()


def test_one_writer_at_a_time_and_leftovers_are_swept(tmp_path: Path) -> None:
    leftover = tmp_path / f"{storage.TEMPORARY_PREFIX}1-x"
    leftover.write_text("half")
    with storage.locked(tmp_path):
        assert not leftover.exists()
        child = os.fork()
        if not child:  # a lock is a process's own, so another one has to try
            try:
                with storage.locked(tmp_path):
                    os._exit(1)
            except ClvqError as error:
                os._exit(0 if "Another process" in str(error) else 2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with storage.locked(tmp_path):
        pass


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    storage.write_tensors(path, {"a": torch.ones(1000)})
    checksum = storage.file_checksum(path)
    storage.check_file(path, checksum)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match=r"t\.safetensors"):
        storage.check_file(path, checksum)
    path.write_bytes(b"\0" * 3)
    with pytest.raises(ArtifactError, match="not a safetensors file"):
        storage.read_tensors(path)


def test_fingerprints_do_not_depend_on_the_order_of_keys() -> None:
    assert storage.fingerprint({"a": 1, "b": [2, None]}) == storage.fingerprint({"b": [2, None], "a": 1})
    assert storage.fingerprint({"a": 1}) != storage.fingerprint({"a": 2})
