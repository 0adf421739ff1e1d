"""Anonymous memory of training, on a corpus and on one ten times as large.

    python benchmarks/memory.py

The large store repeats the shards of the small one by hard links under texts of its own. Training runs in a process of
its own for a while; what is read is the peak of RssAnon, which leaves the page cache and memory maps out.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from common import arguments, print_table, store

from clvq.activations.store import ActivationStore, layer_fingerprint
from clvq.artifacts import ACTIVATIONS
from clvq.storage import file_checksum


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0, help="of training, counted from the first step")
    options = parser.parse_args()
    small = store(options)
    large = repeated(small, options.run / f"activations-x{options.times}", options.times)
    peaks = [peak(path, options) for path in (small.path, large)]
    rows = small.manifest["splits"]["train"]["counts"]["rows"]
    print_table(
        "Anonymous memory of training",
        [
            ("rows, small and large", f"{rows} and {rows * options.times}"),
            ("peak on the small corpus (target: under 1.5 GB)", f"{peaks[0] / 1e9:.3f} GB"),
            (f"peak on the corpus {options.times} times as large", f"{peaks[1] / 1e9:.3f} GB"),
            ("ratio", f"{peaks[1] / peaks[0]:.3f}"),
        ],
    )


def repeated(small: ActivationStore, path: Path, times: int) -> Path:
    """A store whose training split is that of `small` several times over, each time with other texts."""
    path.mkdir(parents=True, exist_ok=True)
    body = json.loads(json.dumps({k: v for k, v in small.manifest.items() if k != "self_fingerprint"}))
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


def peak(activations: Path, options: object) -> float:
    """Peak of RssAnon in bytes, over the time from the start to some seconds after the first step."""
    code = (
        "import clvq, sys; clvq.train(sys.argv[1], path=sys.argv[2], overwrite=True, input_layer=int(sys.argv[3]), "
        "output_layer=int(sys.argv[4]), progress=lambda p: p.stage == 'train' and print('step', flush=True))"
    )
    layers = [str(options.input_layer), str(options.output_layer)]  # type: ignore[attr-defined]
    scratch = options.run / "memory-checkpoint"  # type: ignore[attr-defined]
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(activations), str(scratch), *layers], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    most, first_step = 0.0, None
    try:
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            anonymous = next((line for line in status.splitlines() if line.startswith("RssAnon")), "RssAnon: 0 kB")
            most = max(most, 1024.0 * int(anonymous.split()[1]))
            if first_step is None and process.stdout.read():
                first_step = time.monotonic()
            if first_step is not None and time.monotonic() - first_step > options.seconds:  # type: ignore[attr-defined]
                break
            time.sleep(0.2)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return most


if __name__ == "__main__":
    main()
