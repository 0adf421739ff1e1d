"""A disk that is really full: every command on a small file system that grows until the command comes through."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import timeless
from running import SMALL, Clvq, files_of

COMMANDS = (
    ("train", "--input-layer", "1", "--output-layer", "3", "--epochs", "1", *SMALL),
    ("codebook",),
    ("explain", "--limit", "12"),
    ("faithfulness", "--limit", "12", "--draws", "1"),
    ("report",),
)

pytestmark = pytest.mark.slow


def _mount(folder: Path, kilobytes: int, *options: str) -> bool:
    mount = ["mount", "-t", "tmpfs", "-o", ",".join([*options, f"size={kilobytes}k"]), "none", str(folder)]
    return subprocess.run(mount, capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system in memory; to mount one takes root on Linux."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or not shutil.which("mount") or not _mount(folder, 16):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # files that were read are mapped still


def _used(folder: Path) -> int:
    """Kilobytes that a file system holds."""
    usage = shutil.disk_usage(folder)
    return (usage.used + 1023) // 1024


def test_a_small_disk_stops_each_command_and_nothing_is_lost(
    clvq: Clvq, disk: Path, bert: Path, corpus: Path, tmp_path: Path, full: bool
) -> None:
    """With little more room each time: exit 1 with the path, what was there is whole, and in the end the result is that
    of a disk with room."""
    roomy = tmp_path / "roomy"
    assert _mount(disk, 65536, "remount")
    given = ("extract", "--model", bert, "--dataset", corpus, "--layers", "1,3")
    for run in (disk / "run", roomy):
        assert clvq(*given, "--run", run).code == 0
    stops = 0
    for command in COMMANDS:
        assert clvq(*command, "--run", roomy).code == 0
        before = files_of(disk / "run")
        room = 0
        while True:
            assert _mount(disk, _used(disk) + 4 + room, "remount")
            ended = clvq(*command, "--run", disk / "run")
            if ended.code == 0:
                break
            stops += 1
            assert ended.code == 1, ended.err
            assert "disk" in ended.message and str(disk / "run") in ended.message, ended.err
            assert "Traceback" not in ended.err and "bug in clvq" not in ended.err
            after = files_of(disk / "run")
            assert {name: after.get(name) for name in before} == before, (command, room)
            room += 4 if full else max(16, room)
        assert not [name for name in files_of(disk / "run") if "clvq-writing" in name]
        assert _mount(disk, 65536, "remount")
    assert stops >= len(COMMANDS)
    left_out = {"report.html"}  # it names its own folder
    ours, theirs = (
        {name: content for name, content in timeless(run).items() if name not in left_out}
        for run in (disk / "run", roomy)
    )
    assert ours == theirs
