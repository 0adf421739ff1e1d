"""Texts that would rather be something else, through every command; and artifacts that claim to be huge."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from running import SMALL, Clvq, files_of

from clvq.artifacts import CHECKPOINT

pytestmark = pytest.mark.slow

HOSTILE = (
    "<script>alert(1)</script> the film was <b>good</b> and slow", "\x1b[31mred\x1b[0m \x1b]0;title\x07 good story",
    "[bold red]markup[/] [link=http://x]the plot[/link] [/] was slow", "=1+1 =cmd|' /c calc'!A0 +2 @SUM(A1) the film",
    "nul \x00 byte in the slow film", "\u202eright to left\u202c the film \u2028 good",
    "{{7*7}} ${x} `rm -rf` $(ls) %s %n the slow story", "../../etc/passwd the film",
)  # fmt: skip
HUGE = 10_000_000


def test_hostile_texts_are_shown_as_text(clvq: Clvq, bert: Path, tmp_path: Path) -> None:
    for split, huge in (("train", "y" * HUGE), ("eval", "x" * (HUGE // 10))):
        lines = [
            json.dumps({"text": f"{text} of {split} {turn}", "label": (turn + place) % 2})
            for turn in range(8)
            for place, text in enumerate(HOSTILE)
        ]
        lines += [json.dumps({"text": text, "label": 1}) for text in (huge, f"good film {huge[0]}" + "- " * 50_000)]
        lines.append(f'{{"text": "a lone \\ud800 surrogate in the good film of {split}", "label": 1}}')
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    corpora, run = ("--dataset", tmp_path / "train.jsonl", "--eval-dataset", tmp_path / "eval.jsonl"), tmp_path / "run"
    given = ("--model", bert, *corpora, "--layers", "1,3")
    train = ("train", "--input-layer", "1", "--output-layer", "3", "--epochs", "1", *SMALL)
    commands: tuple[tuple[object, ...], ...] = (
        ("extract", *given), train, ("codebook",), *(("codebook", "--code", code) for code in range(12)),
        ("codebook", "--search", "x"), ("explain",), ("explain", *HOSTILE[:3]), ("assign", HOSTILE[1], "x" * 100_000),
        ("steer", HOSTILE[1], "--remove", "1"), ("faithfulness", "--draws", "1"), ("report",),
    )  # fmt: skip
    for command in commands:
        ended = clvq(*command, "--run", run)
        if command[:2] in {("codebook", "--code"), ("steer", HOSTILE[1])} and ended.code:
            assert "Traceback" not in ended.err and "bug in clvq" not in ended.err, (command, ended.err)
            continue
        assert ended.code == 0, (command, ended.err)
        for raw in ("\x1b", "\x07", "\x00", "\u202e", "\u2028"):
            assert raw not in ended.out + ended.err, (command, raw)
        assert len(ended.out) < 200_000, command
    shown = clvq("explain", *HOSTILE[:3], "--run", run).out
    for part in (r"\x1b", "<script>alert", "[bold", "[link="):
        assert part in " ".join(shown.replace("*", "").split()), shown
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert len(page) < 3_000_000
    stored = {path.name: path.stat().st_size for path in (run / "L1-L3").iterdir()}
    assert stored["concepts.jsonl"] < 2_000_000


@pytest.mark.parametrize("size", [10**12, 0])
@pytest.mark.parametrize(
    "field", ["codebook_size", "input_width", "output_width", "decoder_layers", "feed_forward", "codebooks"]
)
def test_a_checkpoint_that_claims_another_size(
    clvq: Clvq, trained_run: Path, tmp_path: Path, field: str, size: int
) -> None:
    """It is refused by what its weights are, before anything of the claimed size is made."""
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    body = CHECKPOINT.read(run / "L1-L3")
    assert isinstance(body.get(field, 1), int)  # one codebook is not told
    CHECKPOINT.write(run / "L1-L3", {**body, field: size})  # signed, as a forger would
    before = files_of(run)
    for command in (("codebook", "--overwrite"), ("explain", "a good film")):
        ended = clvq(*command, "--run", run)
        assert (ended.code, ended.out) == (1, ""), ended.err
        assert str(run / "L1-L3") in ended.message and "bug in clvq" not in ended.err, ended.err
    assert files_of(run) == before
