"""`clvq sweep`: one extraction, a checkpoint a setting, one table, resumable; and what it refuses before any work."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from killing import Nursery, timeless
from running import Clvq, files_of

import clvq as package
from clvq.language_model.model import LanguageModel
from clvq.training.vae_trainer import Trainer

pytestmark = pytest.mark.slow

TINY = ("--epochs", "1", "--decoder-layers", "1", "--top-k", "3")
PAIRS = ("--layers", "1-2,2-4")
END = "-decoder-layers1-epochs1"


def names(run: Path) -> list[str]:
    return sorted(path.parent.name for path in run.glob("*/config.json"))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folder of each training step."""
    taken: list[str] = []
    real = Trainer._step

    def step(self: Trainer, batch: Any) -> dict[str, float]:
        taken.append(self.folder.parent.name)
        return real(self, batch)

    monkeypatch.setattr(Trainer, "_step", step)
    return taken


@pytest.fixture(scope="module")
def four_layers(bert: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with layers 1, 2 and 4; shared, so tests copy it."""
    run = tmp_path_factory.mktemp("layers") / "run"
    package.extract(run / "activations", model=str(bert), dataset=str(corpus), layers=(1, 2, 4))
    return run


@pytest.fixture
def grid_run(four_layers: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(four_layers, tmp_path / "run"))


def test_one_pass_of_the_model_for_all_layers_and_none_for_the_next_sweep(
    clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[tuple[int, ...], int]] = []
    """Layers and number of sentences of each forward pass, but for the trials with which a model is loaded."""
    loads: list[str] = []
    real_run, real_load = LanguageModel.run, LanguageModel.load.__func__

    def run_model(self: LanguageModel, sentences: Any, layers: Any, *arguments: Any, **named: Any) -> Any:
        if not isinstance(layers, range):
            read.append((tuple(layers), len(sentences)))
        return real_run(self, sentences, layers, *arguments, **named)

    def load(cls: type, *arguments: Any, **named: Any) -> Any:
        loads.append("model")
        return real_load(cls, *arguments, **named)

    monkeypatch.setattr(LanguageModel, "run", run_model)
    monkeypatch.setattr(LanguageModel, "load", classmethod(load))
    run = tmp_path / "run"
    grid = (*PAIRS, "--codebook-size", "8,12", "--method", "clvq,kmeans", "--seed", "0")
    ended = clvq("sweep", "--run", run, "--model", bert, "--dataset", corpus, *grid, *TINY, "--json")
    assert ended.code == 0, ended.err
    assert len(ended.document["rows"]) == 8
    assert {layers for layers, _ in read} == {(1, 2, 4)}
    assert sum(count for _, count in read) == len(corpus.read_text().splitlines())
    assert len(loads) == 2  # for the activations, and for the sensitivity at both input layers
    assert sorted(package.ActivationStore(run / "activations").layers) == [1, 2, 4]
    done, passes = len(steps), len(read)
    again = clvq("sweep", "--run", run, *PAIRS, "--codebook-size", "8", "--seed", "0,1", *TINY, "--json")
    assert again.code == 0, again.err
    assert len(read) == passes
    assert len(loads) == 2
    assert set(steps[done:]) == {f"L{pair}-clvq-K8-top3{END}-seed1" for pair in ("1-L2", "2-L4")}


def test_checkpoints_are_those_that_train_makes(clvq: Clvq, grid_run: Path, tmp_path: Path) -> None:
    ended = clvq("sweep", "--run", grid_run, "--layers", "1-2", "--codebook-size", "8", "--seed", "0,3", *TINY)
    assert ended.code == 0, ended.err
    name = f"L1-L2-clvq-K8-top3{END}-seed3"
    assert names(grid_run) == [name.replace("seed3", "seed0"), name]
    alone = Path(shutil.copytree(grid_run / "activations", tmp_path / "alone" / "activations")).parent
    pair = ("--input-layer", "1", "--output-layer", "2", "--codebook-size", "8", "--seed", "3", *TINY)
    assert clvq("train", "--run", alone, *pair, "--name", name).code == 0
    assert timeless(alone / name) == timeless(grid_run / name)
    assert clvq("codebook", "--run", grid_run, name, "--json").code == 0


def test_the_table_on_the_screen_as_json_and_as_files(clvq: Clvq, grid_run: Path, tmp_path: Path) -> None:
    grid = ("--run", grid_run, *PAIRS, "--codebook-size", "8", "--method", "clvq,kmeans,sae", *TINY)
    ended = clvq("sweep", *grid, "--output", tmp_path / "table.parquet")
    assert ended.code == 0, ended.err
    document = clvq("sweep", *grid, "--json", "--output", tmp_path / "table.csv").document
    stored = json.loads((grid_run / "sweep.json").read_text())
    assert document["rows"] == stored["rows"]
    assert document["varied"] == ["input_layer", "output_layer", "method"]
    rows = pq.read_table(tmp_path / "table.parquet").to_pylist()
    with (tmp_path / "table.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(rows) == len(lines) == len(document["rows"]) == 6
    page = (grid_run / "sweep.html").read_text(encoding="utf-8")
    for row, line, entry in zip(rows, lines, document["rows"], strict=True):
        checkpoint = package.read_checkpoint(grid_run / entry["name"])
        results = checkpoint.results.as_json()
        assert row["name"] == line["name"] == entry["name"]
        assert row["fvu"] == float(line["fvu"]) == results["evaluation"]["fvu"]
        assert row["ridge"] == results["yardsticks"]["ridge"]
        assert row["codebook_perplexity"] == results["evaluation"].get("codebook_perplexity")
        assert row["codebook_size"] == checkpoint.settings.codebook_size
        assert row["top_k"] == (3 if row["method"] == "clvq" else None)
        assert f"{results['evaluation']['fvu']:.3f}" in ended.out
        active = results["evaluation"]["active_latents" if row["method"] == "sae" else "active_codes"]
        assert re.search(rf"<bdi>{entry['name']}</bdi></th>.*<td>{active}</td></tr>", page)
        assert entry["checkpoint"] == checkpoint.fingerprint
        assert row["target_layer"] == (row["input_layer"] if row["method"] == "sae" else row["output_layer"])
    said = "An FVU can be compared with others of the same predicted layer."
    assert "of layer" in ended.out and said in " ".join(ended.out.split())
    assert said in page and '<th scope="col">predicted layer</th>' in page


def test_options_without_meaning_for_a_method_do_not_multiply(clvq: Clvq, grid_run: Path) -> None:
    grid = (
        "--method", "clvq,kmeans", "--temperature", "0.5,1", "--top-k", "1,3", "--initialization", "spherical,random",
        "--predict", "state,update", "--codebook-size", "8", "--epochs", "1", "--decoder-layers", "1",
    )  # fmt: skip
    ended = clvq("sweep", "--run", grid_run, "--layers", "1-2", *grid, "--json")
    assert ended.code == 0, ended.err
    counts = Counter(row["settings"]["method"] for row in ended.document["rows"])
    assert counts == {"clvq": 16, "kmeans": 2}
    assert len(names(grid_run)) == 18


def test_a_metric_that_a_method_cannot_take_is_left_to_the_others() -> None:
    from clvq.config.grid import settings_grid, training_name

    configs = settings_grid("1-2", {"method": ["clvq", "kmeans", "sae"], "metric": ["euclidean", "sensitivity"],
                                    "predict": ["state", "update"]})  # fmt: skip
    assert [(c.method, c.metric, c.predict) for c in configs] == [
        ("clvq", "euclidean", "state"), ("clvq", "euclidean", "update"), ("clvq", "sensitivity", "state"),
        ("clvq", "sensitivity", "update"), ("kmeans", "euclidean", "state"), ("kmeans", "euclidean", "update"),
        ("sae", "euclidean", "state"),
    ]  # fmt: skip
    assert len({training_name(config) for config in configs}) == 7
    assert training_name(configs[3]) == "L1-L2-clvq-sensitivity-update-K400-seed0"


def test_names_tell_settings_apart() -> None:
    """Whatever is varied, a grid has as many names as settings, and a name does not depend on the grid around it."""
    from clvq.config.grid import settings_grid, training_name

    varied: dict[str, list[Any]] = {
        "preset": ["default", "paper"], "temperature": [0.3, 0.5], "initialization": ["spherical", "kmeans", "random"],
        "learning_rate": [1e-3, 1e-2], "decoder_memory": ["quantized", "encoder"], "max_frequency": [0, 20],
        "seed": [0, 1],
    }  # fmt: skip
    configs = settings_grid([(1, 2), "2-3"], varied)
    assert len(configs) == len({training_name(config) for config in configs}) == 2 * 2 * 2 * 3 * 2 * 2 * 2 * 2
    (alone,) = settings_grid((1, 2), {"temperature": 0.3})
    assert training_name(alone) == "L1-L2-clvq-K400-seed0"
    assert training_name(alone) in {training_name(config) for config in configs}


def test_a_grid_from_a_file_and_the_command_line_over_it(clvq: Clvq, grid_run: Path, tmp_path: Path) -> None:
    file = tmp_path / "grid.toml"
    file.write_text(
        'layers = ["1-2", "2-4"]\nmethod = ["clvq", "kmeans"]\ncodebook-size = 8\nseed = [0, 1]\nepochs = 1\n'
        "decoder_layers = 1\ntop_k = [3]\n"
    )
    ended = clvq("sweep", "--run", grid_run, "--grid", file, "--seed", "4", "--json")
    assert ended.code == 0, ended.err
    assert {row["settings"]["seed"] for row in ended.document["rows"]} == {4}
    assert len(ended.document["rows"]) == 4
    config = tmp_path / "config.toml"
    config.write_text(file.read_text().replace('["1-2", "2-4"]', '"1-2,2-4"').replace("[0, 1]", "4"))
    assert clvq("sweep", "--run", grid_run, "--config", config, "--json").document == ended.document


def test_the_flow_of_concepts_along_the_layers(clvq: Clvq, grid_run: Path) -> None:
    """Counted again from the words' codes; only equal settings follow each other."""
    ended = clvq("sweep", "--run", grid_run, *PAIRS, "--codebook-size", "8,12", *TINY, "--json")
    assert ended.code == 0, ended.err
    document = ended.document
    assert document["chains"] == [
        [f"L1-L2-clvq-K{k}-top3{END}-seed0", f"L2-L4-clvq-K{k}-top3{END}-seed0"] for k in (8, 12)
    ]
    assert len(document["flows"]) == 2
    for flow in document["flows"]:
        codes = [package.codebook(grid_run / flow[key]).assignments() for key in ("name", "other")]
        met = Counter((int(a), int(b)) for a, b in zip(*codes, strict=True) if a >= 0 and b >= 0)
        arrows = {(arrow["code"], arrow["other"]): arrow["words"] for arrow in flow["arrows"]}
        assert arrows
        assert all(words <= met[pair] for pair, words in arrows.items())  # met counts sentence rows too
        book = package.codebook(grid_run / flow["name"])
        assert all(arrow["name"] == book.name(arrow["code"]) for arrow in flow["arrows"])
        assert 0 <= flow["conditional_entropy"] <= flow["entropy"] <= np.log2(12)
    assert "Flow of concepts from" in clvq("sweep", "--run", grid_run, *PAIRS, "--codebook-size", "8,12", *TINY).out


def test_the_page_has_the_figure_the_table_and_the_flow(clvq: Clvq, grid_run: Path) -> None:
    assert clvq("sweep", "--run", grid_run, *PAIRS, "--codebook-size", "8,12", "--seed", "0,1", *TINY).code == 0
    page = (grid_run / "sweep.html").read_text()
    plots = json.loads(page.split('id="plots">')[1].split("</script>")[0])
    assert list(plots) == ["curve-0", "curve-1", "flow-0", "flow-1", "flow-2", "flow-3"]
    drawn = json.dumps(plots["curve-0"])
    for name in names(grid_run):
        assert name in drawn
        assert f"<bdi>{name}</bdi>" in page
    assert "Unexplained variance by codebook size" in page
    assert "http://" not in page.split("<script>")[0]


def test_a_sweep_that_dies_is_continued(
    clvq: Clvq, grid_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of the second training: the first is not trained again, and all is as if nothing had happened."""
    from clvq.training import loop

    whole = Path(shutil.copytree(grid_run, tmp_path / "whole"))
    grid = (*PAIRS, "--codebook-size", "8,12", "--batch-sentences", "4", "--epochs", "2", *TINY[2:])
    assert clvq("sweep", "--run", whole, *grid).code == 0
    real, died = Trainer._step, []
    monkeypatch.setattr(loop, "SAVE_SECONDS", -1.0)

    def step(self: Trainer, batch: Any) -> dict[str, float]:
        if "K12" in str(self.folder) and self.position.step == 13 and not died:
            died.append(self.folder)
            raise MemoryError
        return real(self, batch)

    monkeypatch.setattr(Trainer, "_step", step)
    assert clvq("sweep", "--run", grid_run, *grid).code == 1
    assert len(names(grid_run)) == 1
    ended = clvq("sweep", "--run", grid_run, *grid)
    assert ended.code == 0, ended.err
    assert "is up to date" in ended.err
    assert "Continuing after step 13 " in ended.err
    assert (grid_run / "sweep.json").read_bytes() == (whole / "sweep.json").read_bytes()
    here, there = timeless(grid_run), timeless(whole)
    assert {name for name in here if here[name] != there[name]} <= {
        "sweep.html"
    }  # Bokeh counts its ids within a process
    assert set(here) == set(there)


def test_a_sweep_of_twelve_that_is_killed_again_and_again_ends_the_same(grid_run: Path, tmp_path: Path) -> None:
    """By SIGKILL, in processes of their own."""
    whole = Path(shutil.copytree(grid_run, tmp_path / "whole"))
    grid = (*PAIRS, "--codebook-size", "8,12", "--seed", "0,1,2", "--batch-sentences", "4", *TINY)
    driver = "import clvq.cli.sweep, clvq.concepts.sweep, clvq.training.loop; clvq.training.loop.SAVE_SECONDS = 0.05"
    with Nursery(driver) as nursery:
        seconds = nursery.run("sweep", "--run", whole, *grid).seconds
        moments = [seconds * share for share in (0.2, 0.15, 0.25, 0.1, 0.3)]
        assert nursery.run_to_the_end("sweep", "--run", grid_run, *grid, moments=moments) >= 3
    assert len(names(grid_run)) == 12
    assert (grid_run / "sweep.json").read_bytes() == (whole / "sweep.json").read_bytes()
    assert timeless(grid_run) == timeless(whole)


BAD = [
    (["--layers", ""], 1, "--layers names no pair of layers, so the grid is empty"),
    ([], 2, "--layers must be given"),
    (["--layers", "1-2,x"], 1, "'x' is no pair of layers such as 2-4"),
    (["--layers", "3-1"], 1, "--input-layer 3 must lie below --output-layer 1"),
    (["--layers", "1-2,2-99"], 1, "99"),
    (["--layers", "1-2", "--codebook-size", "8,big"], 2, "'8,big' has a value that is none of: whole numbers"),
    (["--layers", "1-2", "--method", "clvq,magic"], 2, "none of: clvq, kmeans"),
    (["--layers", "1-2", "--seed", ","], 1, "--seed has no values, so the grid is empty"),
    (["--layers", "1-2", "--codebook-size", "8,0"], 1, "--codebook-size must be 1 or more; it is 0"),
    (["--layers", "1-2", "--codebook-size", "8,4"], 1, "--top-k 5 is more than --codebook-size 4"),
    (["--layers", "1-2", "--codebook-size", "8,1000000"], 1, "--codebook-size 1000000 is more than the"),
    (["--layers", "1-2", "--codebook-size", "8", "--output", "table.xlsx"], 1, "must be a file whose name ends in"),
    (["--layers", "1-2", "--temperature", "1,nan"], 1, "--temperature must be above 0"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "says"), BAD, ids=lambda value: str(value)[-30:])
def test_bad_grids_are_refused_before_any_work(
    clvq: Clvq, grid_run: Path, arguments: list[str], code: int, says: str, steps: list[str]
) -> None:
    before = files_of(grid_run)
    ended = clvq("sweep", "--run", grid_run, *arguments)
    assert ended.code == code, ended.err
    assert says in ended.message
    assert "Traceback" not in ended.err
    assert not steps
    assert files_of(grid_run) == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("layers = []", "the grid is empty"),
        ('layers = "1-2"\nseed = []', "--seed has no values, so the grid is empty"),
        ('layers = "1-2"\ncodebook_size = ["big"]', "codebook_size must be a whole number; it is 'big'"),
        ('layers = "1-2"\ncodebook_sise = [8]', "Did you mean codebook_size"),
        ('layers = "1-2"\ndevice = ["cpu", "cuda"]', "device must be a text"),
        ("layers = [1, 2]", "layers must be a text or a list of texts"),
        ("layers", "is not TOML"),
    ],
)
def test_bad_grid_files_are_refused_before_any_work(
    clvq: Clvq, grid_run: Path, tmp_path: Path, text: str, says: str, steps: list[str]
) -> None:
    file = tmp_path / "grid.toml"
    file.write_text(text)
    before = files_of(grid_run)
    ended = clvq("sweep", "--run", grid_run, "--grid", file)
    assert ended.code == 1
    assert says in ended.message
    assert not steps
    assert files_of(grid_run) == before


def test_a_checkpoint_of_the_same_name_with_other_settings_is_met_before_any_training(
    clvq: Clvq, grid_run: Path, steps: list[str]
) -> None:
    name = f"L1-L2-clvq-K8-top3{END}-seed1"
    pair = ("--input-layer", "1", "--output-layer", "2", "--codebook-size", "9", *TINY)
    assert clvq("train", "--run", grid_run, *pair, "--name", name).code == 0
    done = len(steps)
    grid = ("--run", grid_run, "--layers", "1-2", "--codebook-size", "8", "--seed", "0,1", *TINY)
    ended = clvq("sweep", *grid)
    assert ended.code == 1
    assert "codebook-size (9 there, 8 here)" in ended.message
    assert len(steps) == done
    assert clvq("sweep", *grid, "--overwrite").code == 0
    assert package.read_checkpoint(grid_run / name).settings.codebook_size == 8


def test_a_training_that_fails_is_named(clvq: Clvq, grid_run: Path) -> None:
    grid = ("--layers", "1-2", "--codebook-size", "8", "--learning-rate", "0.001,1e30", *TINY)
    ended = clvq("sweep", "--run", grid_run, *grid)
    assert ended.code == 1
    assert f"Error: L1-L2-clvq-K8-top3{END}-learning-rate1e+30-seed0: The " in ended.message
    assert len(names(grid_run)) == 1


def test_each_training_is_a_run_of_the_tracker(clvq: Clvq, grid_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    def init(**given: Any) -> SimpleNamespace:
        begun.append(given["name"])
        return SimpleNamespace(log=lambda figures, step: None, finish=lambda: None)

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))  # type: ignore[arg-type]
    grid = ("--run", grid_run, "--layers", "1-2", "--codebook-size", "8,12", *TINY)
    assert clvq("sweep", *grid, "--report-to", "wandb").code == 0
    assert sorted(begun) == names(grid_run)
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert "needs the package wandb" in clvq("sweep", *grid, "--report-to", "wandb").message


def test_in_python(grid_run: Path) -> None:
    swept = package.sweep(
        grid_run / "activations", layers=[(1, 2), (2, 4)], codebook_size=8, top_k=3, seed=range(2), epochs=1,
        decoder_layers=1,
    )  # fmt: skip
    assert repr(swept) == f"<Sweep {grid_run}: 4 trainings, over input_layer, output_layer, seed>"
    table = swept.to_pandas()
    assert list(table["seed"]) == [0, 1, 0, 1]
    assert "<table>" in swept._repr_html_()
    with pytest.raises(package.ClvqError, match="Did you mean codebook_size"):
        package.sweep(grid_run / "activations", layers="1-2", codebok_size=8)
    with pytest.raises(package.ClvqError, match="--device takes one value"):
        package.sweep(grid_run / "activations", layers="1-2", device=["cpu", "cpu"])
    with pytest.raises(package.MismatchError, match="holds layers 1, 2, 4, not 3"):
        package.sweep(grid_run / "activations", layers="1-3", codebook_size=8)
