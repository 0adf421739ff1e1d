"""Training and codebook over a store of a million rows, against a small one.

    python benchmarks/million.py

The large store repeats the shards of a small one by hard links, under texts of its own, until it has --rows rows. The
small one is extracted from the first --sentences of the corpus. Measured are the anonymous memory of `train --epochs
1`, its rows per CPU second, whether a training that is killed in the middle ends with the same weights, the time of
`codebook` against its assignment pass alone, and the size of the report. The large store is removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from common import anonymous_memory, arguments, cpu_seconds, first_lines, notes, print_table

import clvq
from clvq.activations.store import ActivationStore, layer_fingerprint
from clvq.artifacts import ACTIVATIONS
from clvq.concepts.assignments import assign, load_model
from clvq.storage import file_checksum
from clvq.training.state import STATE_NAME

TRAINING = """
import sys, time, clvq
def report(progress):
    if progress.stage == "train" and "rows" in progress.details:
        print(progress.details["rows"], time.process_time(), flush=True)
clvq.train(sys.argv[1], path=sys.argv[2], input_layer=int(sys.argv[3]), output_layer=int(sys.argv[4]), epochs=1,
           metric="euclidean", device="cpu", overwrite=sys.argv[5] == "new", progress=report)
"""


class Measured(NamedTuple):
    """A training in a process of its own."""

    memory: float
    """Peak of RssAnon in bytes."""
    rate: float
    """Rows per CPU second, over all steps but the first; 0 where it was to be killed."""
    killed: bool


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sentences", type=int, default=2000, help="of the small corpus")
    parser.add_argument("--evaluated", type=int, default=200, help="sentences of the evaluation corpus")
    options = parser.parse_args()
    layers = (options.input_layer, options.output_layer)
    small = clvq.extract(
        path=options.run / "small" / "activations", model=options.model, layers=layers, progress=notes,
        dataset=str(first_lines(options.dataset, options.sentences, options.run / "train.jsonl")),
        eval_dataset=str(first_lines(options.eval_dataset, options.evaluated, options.run / "eval.jsonl")),
    )  # fmt: skip
    rows = small.manifest.splits["train"].counts["rows"]
    times = -(-options.rows // rows)
    folder = options.run / "large"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        large = repeated(small, folder / "activations", times)
        measured = [trained(store, store.parent / "whole", options) for store in (small.path, large)]
        same = resumed(large, folder, options)
        whole, passed = catalogue(folder / "whole", layers)
        report = clvq.report(folder / "whole", folder / "report.html").stat().st_size
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print_table(
        f"{rows * times:,} rows, against {rows:,}",
        [
            ("peak memory of train, small and large", " and ".join(f"{one.memory / 1e6:.0f} MB" for one in measured)),
            ("ratio (target: at most 1.1)", f"{measured[1].memory / measured[0].memory:.3f}"),
            ("rows per CPU second of the steps, small and large", " and ".join(f"{one.rate:.0f}" for one in measured)),
            ("ratio (target: at least 0.9)", f"{measured[1].rate / measured[0].rate:.3f}"),
            ("the same weights after a kill in the middle", same),
            ("clvq codebook, CPU seconds", f"{whole:.1f}"),
            ("its assignment pass alone", f"{passed:.1f}"),
            ("ratio (target: at most 1.2)", f"{whole / passed:.2f}"),
            ("the report (target: under 10 MB)", f"{report / 1e6:.1f} MB"),
        ],
    )


def repeated(small: ActivationStore, path: Path, times: int) -> Path:
    """A store whose training split is that of `small` several times over, each time with other texts."""
    path.mkdir(parents=True, exist_ok=True)
    body = json.loads(json.dumps(small.manifest.as_json()))
    body["rows_fingerprint"] = f"{body['rows_fingerprint']}x{times}"
    for split, entry in body["splits"].items():
        table = pq.read_table(small.path / entry["file"])
        with pq.ParquetWriter(path / entry["file"], table.schema, compression="zstd") as file:
            for turn in range(times if split == "train" else 1):
                texts = pa.array([f"{text.as_py()} {turn}" for text in table.column("text")])
                file.write_table(table.set_column(0, "text", texts))
        entry["checksum"] = file_checksum(path / entry["file"])
        entry["sentences"] *= times if split == "train" else 1
    for entry in body["layers"].values():
        entry["fingerprint"] = layer_fingerprint(body["rows_fingerprint"], False, [entry["fingerprint"]])
        for split, shards in entry["shards"].items():
            entry["shards"][split] = shards * (times if split == "train" else 1)
            for shard in shards:
                if not (path / shard["file"]).exists():
                    os.link(small.path / shard["file"], path / shard["file"])
    ACTIVATIONS.write(path, body)
    return path


def trained(
    store: Path, checkpoint: Path, options: argparse.Namespace, *, kill_after: int = 0, new: bool = True
) -> Measured:
    """Train in a process of its own; end it by a SIGKILL once so many steps are done and saved, where this is given."""
    layers = [str(options.input_layer), str(options.output_layer)]
    command = [sys.executable, "-c", TRAINING, str(store), str(checkpoint), *layers, "new" if new else "resume"]
    most, text = 0.0, ""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        while process.poll() is None:
            most = max(most, anonymous_memory(process.pid))
            text += (process.stdout.read() or b"").decode()
            if kill_after and text.count("\n") >= kill_after and (checkpoint / "training" / STATE_NAME).exists():
                process.kill()
            time.sleep(0.05)
        text += (process.stdout.read() or b"").decode()
    if process.returncode and not kill_after:
        sys.exit(f"Training over {store} failed.")
    if kill_after:
        return Measured(most, 0.0, process.returncode == -signal.SIGKILL)
    steps = [list(map(float, line.split())) for line in text.splitlines()]
    return Measured(most, sum(rows for rows, _ in steps[1:]) / (steps[-1][1] - steps[0][1]), killed=False)


def resumed(store: Path, folder: Path, options: argparse.Namespace) -> str:
    """Whether a training that was killed and continued ends with the weights of the one that was not."""
    checkpoint = folder / "killed"
    if not trained(store, checkpoint, options, kill_after=20).killed:
        return "not measured: it ended before its state was first saved"
    trained(store, checkpoint, options, new=False)
    weights = [(path / "model.safetensors").read_bytes() for path in (folder / "whole", checkpoint)]
    return "yes" if weights[0] == weights[1] else "no"


def catalogue(checkpoint: Path, layers: tuple[int, int]) -> tuple[float, float]:
    """CPU seconds of `codebook`, and of finding the code of every row alone."""
    read = clvq.read_checkpoint(checkpoint)
    model, store = load_model(read), read.store()
    passed, _ = cpu_seconds(lambda: [assign(model, store, split, layers) for split in ("train", "eval")])
    whole, _ = cpu_seconds(lambda: clvq.codebook(checkpoint))
    return whole, passed


if __name__ == "__main__":
    main()
