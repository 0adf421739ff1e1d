"""`clvq bench` through the command: the table, the JSON, what is kept, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from running import Clvq

pytestmark = pytest.mark.slow


@pytest.fixture
def benched(trained_run: Path, tmp_path: Path) -> Path:
    """A run with a checkpoint and a file of pairs with CEBaB's columns."""
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    rows = []
    for number, subject in enumerate(("film", "movie", "story", "acting")):
        aspects = {"food_aspect_majority": "Positive", "noise_aspect_majority": "unknown"}
        rows += [
            {"original_id": number, "is_original": True, "edit_type": "", "description": f"The {subject} is good!",
             **aspects},
            {"original_id": number, "is_original": False, "edit_type": "food",
             "description": f"The {subject} is boring!", **aspects, "food_aspect_majority": "Negative"},
        ]  # fmt: skip
    (run / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return run


def test_the_table_and_the_document_say_the_same(clvq: Clvq, benched: Path) -> None:
    asked = ("bench", "--run", benched, "--pairs", benched / "pairs.jsonl")
    shown = clvq(*asked)
    assert (shown.code, shown.err.count("Error")) == (0, 0)
    document = clvq(*asked, "--json").document
    assert document == {**json.loads((benched / "L1-L3" / "bench.json").read_text()), **{
        key: document[key] for key in ("path", "verdict")
    }}  # fmt: skip
    assert (document["pairs"], document["originals"]) == (4, 4)
    errors = {row["method"]: row["figure"]["value"] for row in document["rows"]
              if (row["measure"], row["part"]) == ("error", "all")}  # fmt: skip
    assert errors["oracle"] == 0
    assert list(errors) == ["L1-L3", "oracle", "mean change", "no change"]
    for value in errors.values():
        assert f"{value:.3f}" in shown.out
    assert "estimates are" in shown.out


def test_pairs_may_be_a_table(clvq: Clvq, benched: Path) -> None:
    rows = [json.loads(line) for line in (benched / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    table = benched / "pairs.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "is_original": f"{float(row['is_original'])}"} for row in rows)
    documents = [
        clvq("bench", "--run", benched, "--pairs", path, "--overwrite", "--json").document
        for path in (benched / "pairs.jsonl", table)
    ]
    assert documents[0]["rows"] == documents[1]["rows"]
    assert documents[1]["pairs"] == 4


def test_a_result_is_read_again_and_other_settings_are_refused(clvq: Clvq, benched: Path) -> None:
    asked = ("bench", "--run", benched, "--pairs", benched / "pairs.jsonl")
    assert clvq(*asked).code == 0
    written = (benched / "L1-L3" / "bench.json").read_bytes()
    again = clvq(*asked)
    assert "up to date" in again.err
    assert (benched / "L1-L3" / "bench.json").read_bytes() == written
    other = clvq(*asked, "--seed", "3")
    assert other.code == 1
    assert "seed (0 there, 3 here)" in other.message
    moved = shutil.move(benched / "pairs.jsonl", benched.parent / "pairs.jsonl")
    assert "up to date" in clvq("bench", "--run", benched, "--pairs", moved).err
    assert clvq(*asked[:3], "--pairs", moved, "--seed", "3", "--overwrite").code == 0


def test_what_cannot_be_measured_is_refused(clvq: Clvq, benched: Path) -> None:
    without = clvq("bench", "--run", benched)
    assert without.code == 1
    assert "Give a file with --pairs" in without.message
    (benched / "other.jsonl").write_text('{"text": "good", "label": 1}\n', encoding="utf-8")
    columns = clvq("bench", "--run", benched, "--pairs", benched / "other.jsonl")
    assert columns.code == 1
    assert "has no column description, original_id, is_original, edit_type, ASPECT_aspect_majority" in columns.message
    lines = (benched / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    (benched / "originals.jsonl").write_text("\n".join(lines[::2]) + "\n", encoding="utf-8")
    empty = clvq("bench", "--run", benched, "--pairs", benched / "originals.jsonl")
    assert empty.code == 1
    assert "holds no pair" in empty.message
    assert clvq("bench", "--run", benched, "--pairs", benched / "nothing.jsonl").code == 1
