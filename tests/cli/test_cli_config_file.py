"""--config: any option by its name; the command line wins; what does not fit is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import SMALL, Clvq


def test_the_command_line_wins_over_the_file_and_the_file_over_the_preset(
    clvq: Clvq, run: Path, tmp_path: Path
) -> None:
    file = tmp_path / "small.toml"
    file.write_text(
        f'run = "{run}"\ninput-layer = 1\noutput_layer = 3\npreset = "paper"\njson = true\ncodebook_size = 12\n'
        "epochs = 7\ndecoder_layers = 1\ntop_k = 3\nmin_frequency = 0\nlearning_rate = 1\n"
    )
    ended = clvq("train", "--config", file, "--epochs", 1, "--learning-rate", "0.002")
    assert ended.code == 0, ended.err
    settings = ended.document["settings"]
    assert ended.document["path"] == str(run / "L1-L3-paper")
    named = {"epochs": 1, "learning_rate": 0.002, "decoder_layers": 1, "min_frequency": 0, "codebook_size": 12}
    assert named.items() <= settings.items()
    assert settings["decoder_memory"] == "encoder"  # the preset, where nothing is named
    assert settings["batch_sentences"] == 128  # the default, where the preset says nothing


def test_layers_flags_and_their_negation(clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path) -> None:
    file = tmp_path / "extract.toml"
    text = f'model = "{bert}"\ndataset = "{corpus}"\nlayers = [0, 2]\nkeep_sinks = true\njson = true\n'
    file.write_text(text, encoding="utf-8-sig")  # as editors of Windows write it
    ended = clvq("extract", "--config", file, "--run", tmp_path / "run", "--no-keep-sinks", "--max-sentences", 20)
    assert ended.code == 0, ended.err
    assert ended.document["settings"]["layers"] == [0, 2]
    assert ended.document["settings"]["keep_sinks"] is False


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("epoch = 3", "gives 'epoch', which is no option here. Did you mean epochs"),
        ("zzz = 3", "The options are: against, batch_sentences, batch_tokens,"),
        ("[train]\nepochs = 3", "gives 'train', which is no option here"),
        ("epochs = 1.5", "epochs must be a whole number; it is 1.5"),
        ("epochs = true", "epochs must be a whole number; it is True"),
        ("temperature = 'hot'", "temperature must be a number; it is 'hot'"),
        ("preset = 'article'", "preset must be one of default, paper; it is 'article'"),
        ("layers = '1,2'", "layers must be a list of layers such as [4, 8]"),
        ("keep_sinks = 1", "keep_sinks must be true or false; it is 1"),
        ("model = 3", "model must be a text; it is 3"),
        ("top_k = 3\ntop-k = 4", "gives 'top-k' twice"),
        ("epochs = = 3", "is not TOML"),
        (b"model = '\xff'", "is not TOML"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_what_does_not_fit_is_named(clvq: Clvq, tmp_path: Path, text: str | bytes | None, says: str) -> None:
    file = tmp_path / "wrong.toml"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    ended = clvq("train", "--config", file, "--run", tmp_path / "run", "--input-layer", 1, "--output-layer", 2)
    assert (ended.code, ended.out) == (1, "")
    assert says in ended.message
    assert str(file) in ended.message
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_environment_names_the_run_folder(clvq: Clvq, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLVQ_RUN", str(run))
    assert clvq("extract", "--json").document["path"] == str(run / "activations")
    assert clvq("train", "--input-layer", 1, "--output-layer", 3, "--epochs", 1, *SMALL).code == 0
    assert (run / "L1-L3" / "config.json").exists()


def test_an_option_whose_name_python_keeps_for_itself(clvq: Clvq, trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "given.toml").write_text('by = "concept"\nclass = "no such class"\n')
    ended = clvq("faithfulness", "--run", trained_run, "--config", tmp_path / "given.toml")
    assert ended.code == 1
    assert "no such class" in ended.message
    assert "which is no option" not in ended.message
