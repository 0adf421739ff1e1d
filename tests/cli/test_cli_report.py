"""`clvq report`: where it goes, what it says of parts that are missing or stale, and what it refuses."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from report_material import write_bench, write_codebook, write_explanations, write_faithfulness, write_mode
from running import Clvq, files_of

import clvq as package

pytestmark = pytest.mark.slow

TEXTS = ["a slow , lifeless film", "warm and funny"]


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_run, tmp_path / "a run"))


def test_one_file_in_the_run_folder_that_names_what_is_missing(clvq: Clvq, run: Path) -> None:
    before = files_of(run)
    ended = clvq("report", "--run", run)
    assert ended.code == 0, ended.err
    assert str(run / "report.html") in ended.out.replace("\n", "")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert f"clvq codebook --run &#39;{run}&#39;" in page
    assert f"clvq explain --run &#39;{run}&#39;" in page
    assert f"Run `clvq codebook --run '{run}'`." in ended.message
    assert f"clvq faithfulness --run &#39;{run}&#39;" in page
    after = files_of(run)
    assert set(after) == {*before, "report.html"}
    assert {name: after[name] for name in before} == before


def test_json_and_a_place_of_its_own(clvq: Clvq, run: Path, tmp_path: Path) -> None:
    output = tmp_path / "new folder" / "page.html"
    ended = clvq("report", "L1-L3", "--run", run, "--output", output, "--json")
    assert ended.code == 0, ended.err
    assert ended.document == {
        "path": str(output),
        "checkpoint": str(run / "L1-L3"),
        "bytes": output.stat().st_size,
    }
    assert not (run / "report.html").exists()


def test_it_is_always_made_anew(clvq: Clvq, run: Path) -> None:
    checkpoint = package.read_checkpoint(run / "L1-L3")
    assert clvq("report", "--run", run).code == 0
    write_codebook(checkpoint, TEXTS, 12)
    assert clvq("report", "--run", run).code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert 'id="catalogue"' in page
    assert "clvq codebook --run" not in page
    assert "clvq explain" in page


def test_the_only_checkpoint_or_the_one_that_is_named(clvq: Clvq, run: Path) -> None:
    shutil.copytree(run / "L1-L3", run / "second one")
    ended = clvq("report", "--run", run)
    assert ended.code == 1
    assert "holds 2 checkpoints" in ended.message
    assert clvq("report", "second one", "--run", run).code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert f"clvq codebook --checkpoint &#39;second one&#39; --run &#39;{run}&#39;" in page


def test_the_default_run_folder_is_not_named(clvq: Clvq, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run.rename(run.parent / "clvq-run")
    monkeypatch.chdir(run.parent)
    ended = clvq("report")
    assert ended.code == 0, ended.err
    assert "<code>clvq codebook</code>" in Path("clvq-run/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("part", "changed", "says"),
    [
        ("codebook", {"checkpoint": "another"}, "is of an earlier training"),
        ("codebook", {"rows": "others"}, "is of an earlier training"),
        ("explanations", {"checkpoint": "another"}, "are of an earlier training"),
        ("explanations", {"codebook": "another"}, "are of other concepts"),
    ],
)
def test_what_is_stale_is_named_and_not_shown(
    clvq: Clvq, run: Path, part: str, changed: dict[str, str], says: str
) -> None:
    checkpoint = package.read_checkpoint(run / "L1-L3")
    concepts = write_codebook(checkpoint, TEXTS, 12, **(changed if part == "codebook" else {}))
    write_explanations(checkpoint, TEXTS, concepts, 2, **(changed if part == "explanations" else {}))
    ended = clvq("report", "--run", run)
    assert ended.code == 0, ended.err
    page = (run / "report.html").read_text(encoding="utf-8")
    assert says in page
    assert says in ended.message
    assert ('id="catalogue"' in page) == (part == "explanations")
    assert TEXTS[0] not in page or part == "explanations"
    assert 'id="explanation-list"' not in page


def test_stale_faithfulness_is_left_out_with_the_command_that_remakes_it(clvq: Clvq, run: Path) -> None:
    checkpoint = package.read_checkpoint(run / "L1-L3")
    write_faithfulness(checkpoint, version=1)
    for mode in ("splice", "probe", "paper"):
        write_mode(checkpoint, mode, checkpoint="another")
    ended = clvq("report", "--run", run)
    assert ended.code == 0, ended.err
    page = (run / "report.html").read_text(encoding="utf-8")
    for options in ("--overwrite", "--mode splice", "--mode probe", "--mode paper"):
        assert f"Run `clvq faithfulness --run '{run}' {options}`." in ended.message
        assert f"clvq faithfulness --run &#39;{run}&#39; {options}</code>" in page
    assert "of an earlier clvq" in page
    assert 'class="plain dense' not in page
    write_faithfulness(checkpoint, checkpoint="another")
    assert "faithfulness figures are of an earlier training" in clvq("report", "--run", run).message


@pytest.mark.parametrize(
    "file",
    [
        "codebook.json", "concepts.jsonl", "assignments.safetensors", "explanations.jsonl", "faithfulness.json",
        "faithfulness-probe.json", "faithfulness-concepts.json", "bench.json",
    ],
)  # fmt: skip
def test_a_damaged_artifact_is_named(clvq: Clvq, run: Path, file: str) -> None:
    checkpoint = package.read_checkpoint(run / "L1-L3")
    write_explanations(checkpoint, TEXTS, write_codebook(checkpoint, TEXTS, 12), 2)
    write_faithfulness(checkpoint)
    write_mode(checkpoint, "probe")
    write_mode(checkpoint, "concepts")
    write_bench(checkpoint)
    with (run / "L1-L3" / file).open("a", encoding="utf-8") as damaged:
        damaged.write("{}")
    ended = clvq("report", "--run", run)
    assert (ended.code, ended.out) == (1, "")
    assert str(run / "L1-L3" / file) in ended.err.replace("\n", "")
    assert not (run / "report.html").exists()


def test_without_activations_and_log_there_is_a_page_all_the_same(clvq: Clvq, run: Path) -> None:
    shutil.rmtree(run / "activations")
    (run / "L1-L3" / "metrics.jsonl").unlink()
    assert clvq("report", "--run", run).code == 0
    assert "metrics.jsonl, is not in" in (run / "report.html").read_text(encoding="utf-8")


def test_a_place_that_cannot_be_written(clvq: Clvq, run: Path) -> None:
    (run / "a file").write_text("")
    for output, says in ((run / "a file" / "page.html", "cannot be written"), (run, "is a folder")):
        ended = clvq("report", "--run", run, "--output", output)
        assert (ended.code, ended.out) == (1, "")
        assert says in ended.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(clvq: Clvq, run: Path) -> None:
    run.chmod(0o555)
    ended = clvq("report", "--run", run)
    run.chmod(0o755)
    assert (ended.code, ended.out) == (1, "")
    assert "Give the report another place with --output." in ended.message


def test_a_run_without_a_checkpoint(clvq: Clvq, finished_run: Path, tmp_path: Path) -> None:
    ended = clvq("report", "--run", finished_run)
    assert ended.code == 1
    assert "holds no finished checkpoint" in ended.message
    assert clvq("report", "--run", tmp_path / "nothing").code == 1


def test_no_local_path_leaves_with_a_complete_report(clvq: Clvq, run: Path) -> None:
    checkpoint = package.read_checkpoint(run / "L1-L3")
    write_explanations(checkpoint, TEXTS, write_codebook(checkpoint, TEXTS, 12), 2)
    write_faithfulness(checkpoint)
    write_mode(checkpoint, "splice")
    assert clvq("report", "--run", run).code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert str(run.parent) not in page
    assert str(Path(package.read_checkpoint(run / "L1-L3").config.provenance.model.id).parent) not in page


def test_texts_of_the_users_own_are_explained_on_the_page(clvq: Clvq, run: Path) -> None:
    texts = ("The film was <b>good</b>", "A director remains rather wonderful")
    ended = clvq("report", "--run", run, "--text", texts[0], "--text", texts[1])
    assert ended.code == 0, ended.err
    page = (run / "report.html").read_text(encoding="utf-8")
    part = page.split('id="own-texts"')[1].split("</section>")[0]
    assert part.count('class="own-text"') == 2
    assert "&lt;" in part and "<b>good" not in part
    for word in ("director", "wonderful"):
        assert word in part
    assert clvq("report", "--run", run).code == 0
    assert 'id="own-texts"' not in (run / "report.html").read_text(encoding="utf-8")


def test_several_checkpoints_on_one_page(clvq: Clvq, run: Path) -> None:
    pair = ("--input-layer", "1", "--output-layer", "3", "--epochs", "1", "--decoder-layers", "1")
    ended = clvq("train", "--run", run, *pair, "--method", "kmeans", "--codebook-size", "8", "--name", "k <b>&means")
    assert ended.code == 0, ended.err
    package.codebook(run / "L1-L3").rename(package.codebook(run / "L1-L3").concepts[0].code, "<i>slow</i>")
    ended = clvq("report", "L1-L3", "k <b>&means", "--run", run, "--json")
    assert ended.code == 0, ended.err
    assert ended.document["checkpoints"] == [str(run / "L1-L3"), str(run / "k <b>&means")]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert '<a href="#checkpoint-0"><bdi>L1-L3</bdi></a>' in page
    assert '<a href="#checkpoint-1"><bdi>k &lt;b&gt;&amp;means</bdi></a>' in page
    assert "<bdi>&lt;i&gt;slow&lt;/i&gt;</bdi>" in page
    assert "All were trained and measured on the same words" in page
    for number, name in enumerate(("L1-L3", "k <b>&means")):
        checkpoint = package.read_checkpoint(run / name)
        section = page.split(f'<section id="checkpoint-{number}"')[1].split("</section>")[0]
        assert f"{checkpoint.results.evaluation.fvu:.3f}" in section
        assert f'id="curve-{number}-0"' in section
        assert f"<td>{checkpoint.results.evaluation.fvu:,.3f}</td>" in page.split("</section>")[0]
    assert "<td>clvq</td>" in page
    assert "<td>kmeans</td>" in page


def test_several_checkpoints_and_texts_do_not_go_together(clvq: Clvq, run: Path) -> None:
    shutil.copytree(run / "L1-L3", run / "again")
    ended = clvq("report", "L1-L3", "again", "--run", run, "--text", "slow")
    assert ended.code == 1
    assert "Texts of your own are for the report of one checkpoint" in ended.message
    assert not (run / "report.html").exists()
    with pytest.raises(package.ClvqError, match="No checkpoint is given"):
        package.report([], run / "report.html")


def test_links_to_another_checkpoint(clvq: Clvq, run: Path) -> None:
    other = ("--input-layer", 1, "--output-layer", 3, "--name", "other", "--method", "kmeans", "--codebook-size", 8)
    assert clvq("train", *other, "--epochs", 1, "--run", run).code == 0
    ended = clvq("report", "L1-L3", "--flow", "other", "--run", run)
    assert ended.code == 0, ended.err
    assert 'id="flow-links"' in (run / "report.html").read_text(encoding="utf-8")
    for given, says in (
        (("L1-L3", "--flow", "nowhere"), "There is no checkpoint nowhere"),
        (("L1-L3", "--flow", "L1-L3"), "is linked with itself"),
        (("--checkpoint", "L1-L3", "--checkpoint", "other", "--flow", "other"), "for the report of one checkpoint"),
    ):
        refused = clvq("report", *given, "--run", run)
        assert (refused.code, says in refused.message) == (1, True), refused.message
