"""Every file of a run, damaged in many ways: a message that names the file, or the result of the whole file.

Two flipped bits a file, each read by two of the commands in turns; `pytest --full tests/cli/test_cli_damage.py`
flips 200 bits, each read by all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import Clvq

import clvq as package

QUICK = ("--draws", "1", "--limit", "8", "--at", "salient", "--edit", "removal")
COMMANDS = (
    ("codebook", "--json"), ("codebook", "--search", "film", "--json"), ("explain", "--json"),
    ("faithfulness", *QUICK, "--json"), ("explain", "a good film", "--json"),
)  # fmt: skip
LOG = {"metrics.jsonl", "README.md"}
"""Nothing is computed from these: they may be edited."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def at_once(full: bool) -> int:
    """So many commands read each damaged file."""
    return len(COMMANDS) if full else 2


@pytest.fixture(scope="module")
def flips(full: bool) -> int:
    """So many flipped bits a file."""
    return 200 if full else 2


@pytest.fixture(scope="module")
def whole(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything that the commands make."""
    run = Path(shutil.copytree(trained_run, tmp_path_factory.mktemp("damage") / "run"))
    package.faithfulness(run / "L1-L3", draws=1, limit=8, at="salient", edit="removal")
    return run


def files(run: Path) -> list[str]:
    paths = (path for path in run.rglob("*") if path.is_file() and not path.name.startswith("."))
    return sorted(path.relative_to(run).as_posix() for path in paths)


def damages(content: bytes, seed: int, flips: int) -> Iterator[tuple[str, bytes]]:
    """Ways in which a file can be broken, by name."""
    random = np.random.default_rng(seed)
    yield "emptied", b""
    yield "zeroed", bytes(len(content))
    yield "foreign", b"PK\x03\x04 something else"
    for cut in random.integers(1, max(len(content), 2), max(2, flips // 10)).tolist():
        yield f"cut at {cut}", content[:cut]
    for place in random.integers(0, max(len(content), 1), flips).tolist():
        changed = bytearray(content)
        changed[place] ^= 1 << int(random.integers(8))
        yield f"flipped at {place}", bytes(changed)


def broken_fields(content: bytes, seed: int, flips: int) -> Iterator[tuple[str, bytes]]:
    """A JSON object with a key removed, or with a value of another type."""
    body = json.loads(content)
    keys = list(body)
    for key in np.random.default_rng(seed).permutation(keys).tolist()[: max(2, flips // 4)]:
        yield f"without {key}", json.dumps({name: value for name, value in body.items() if name != key}).encode()
        other: Any = [1] if not isinstance(body[key], list) else "text"
        yield f"{key} of another type", json.dumps({**body, key: other}).encode()
    yield "of a newer format", json.dumps({**body, "format_version": 99}).encode()


def answer(clvq: Clvq, run: Path, command: tuple[str, ...]) -> tuple[int, Any, str]:
    ended = clvq(*command, "--run", run)
    return ended.code, ended.document if ended.code == 0 else None, ended.err


def test_a_damaged_file_is_named_or_changes_nothing(
    clvq: Clvq, whole: Path, tmp_path: Path, flips: int, at_once: int
) -> None:
    right = [answer(clvq, whole, command) for command in COMMANDS]
    assert all(code == 0 for code, _, _ in right), right
    cases, turns = 0, cycle(zip(COMMANDS, right, strict=True))
    for number, name in enumerate(files(whole)):
        content = (whole / name).read_bytes()
        ways = list(damages(content, number, flips))
        if name.endswith(".json"):
            ways += broken_fields(content, number, flips)
        for way, damaged in ways:
            if damaged == content:
                continue
            run = tmp_path / "run"
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(whole, run)
            (run / name).write_bytes(damaged)
            cases += 1
            for command, (_, wanted, _) in islice(turns, at_once):
                code, document, err = answer(clvq, run, command)
                said = (name, way, command, code, err[-500:])
                assert "Traceback" not in err and "bug in clvq" not in err, said
                if code == 0:
                    assert same(document, wanted), said
                else:
                    assert code == 1, said
                    assert Path(name).name in err or Path(name).parent.name in err, said
    assert cases >= 8 * len(files(whole))


def same(document: Any, wanted: Any) -> bool:
    """Whether two results are one, but for when they were made."""
    timed = {"created", "self_fingerprint", "path"}
    strip = lambda body: {key: value for key, value in body.items() if key not in timed}  # noqa: E731
    return bool(strip(document) == strip(wanted))


def test_the_report_survives_or_names_each_damaged_file(
    clvq: Clvq, whole: Path, tmp_path: Path, flips: int, full: bool
) -> None:
    """In five ways; not in full, in two of them, in turns."""
    for number, name in enumerate(files(whole)):
        content = (whole / name).read_bytes()
        ways = list(damages(content, number, flips))[:5]
        for way, damaged in ways if full else [ways[number % 5], ways[(number + 2) % 5]]:
            run = tmp_path / "run"
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(whole, run)
            (run / name).write_bytes(damaged)
            ended = clvq("report", "--run", run)
            said = (name, way, ended.code, ended.err[-300:])
            assert ended.code in (0, 1), said
            assert "Traceback" not in ended.err and "bug in clvq" not in ended.err, said
            if ended.code == 1:
                assert Path(name).name in ended.err or Path(name).parent.name in ended.err, said
