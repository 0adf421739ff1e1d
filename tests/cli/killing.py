"""Kills `clvq` at given moments, quickly: one process imports everything once and forks a child for each command."""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from running import files_of

TIMED = {"created", "self_fingerprint", "seconds", "seconds_redone", "training_seconds"}
"""Keys of JSON whose values say when something was done, or how long it took."""

WARM = (
    "captum.attr",
    "datasets",
    "sklearn.cluster",
    "transformers.models.bert.modeling_bert",
    "clvq.activations.extraction",
    "clvq.concepts.codebook",
    "clvq.explanations.explain",
    "clvq.interventions.faithfulness",
    "clvq.training.train",
)
"""What the commands import sooner or later."""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    """Its exit code; -9 when it was killed. Of several processes, the first that is not 0."""
    seconds: float
    out: str
    err: str


class Nursery:
    """Runs commands as forks of one warmed-up process. `driver` is Python that runs there before the first fork."""

    def __init__(self, driver: str = "") -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "100"}
        environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        environment.pop("CLVQ_RUN", None)
        self._process = subprocess.Popen(
            [sys.executable, __file__, driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(
        self, *arguments: object, processes: int = 1, kill_after: float | None = None, by: int = signal.SIGKILL
    ) -> Ended:
        """Run `clvq ARGUMENTS`; send it the signal `by` after so many seconds if it has not ended."""
        request, answer = self._pipes()
        asked = {
            "arguments": [str(one) for one in arguments],
            "processes": processes,
            "kill_after": kill_after,
            "by": by,
        }
        request.write(json.dumps(asked) + "\n")
        request.flush()
        return Ended(**json.loads(answer.readline()))

    def run_to_the_end(self, *arguments: object, moments: Iterable[float]) -> int:
        """Run `clvq ARGUMENTS` again and again until it ends well; return how often it was killed.

        Each run is killed after the next of `moments`, in seconds, if it has not ended; after the last of them none is.
        """
        for kills, moment in enumerate(moments):
            if self._ended_well(self.run(*arguments, kill_after=moment)):
                return kills
        assert self._ended_well(self.run(*arguments))
        return kills + 1

    @staticmethod
    def _ended_well(ended: Ended) -> bool:
        assert ended.code in (0, -signal.SIGKILL), ended.err
        return ended.code == 0

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout


def timeless(folder: Path) -> dict[str, Any]:
    """Every file below a folder with its contents, without what says when it was made and how long that took."""
    contents: dict[str, Any] = {}
    for name, content in files_of(folder).items():
        if name.endswith(".json"):
            contents[name] = _untimed(json.loads(content))
        elif name.endswith("metrics.jsonl"):
            lines = [json.loads(line) for line in content.splitlines()]
            contents[name] = [_untimed(line) for line in lines if line["kind"] != "resume"]
        else:
            contents[name] = content
    return contents


def _untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _untimed(item) for key, item in value.items() if key not in TIMED}
    return [_untimed(item) for item in value] if isinstance(value, list) else value


def _serve() -> None:
    """Answer requests, a line each: fork, wait, kill when it is time."""
    for line in sys.stdin:
        request = json.loads(line)
        started = time.monotonic()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            children = _fork(request, out.fileno(), err.fileno())
            codes: list[int] = []
            moment = request["kill_after"]
            while len(codes) < len(children):
                is_time = moment is not None and time.monotonic() - started >= moment
                if is_time and (request["by"] == signal.SIGKILL or all(map(_has_begun, children))):
                    for child in children:
                        os.kill(child, request["by"])
                    moment = None
                ended, status = os.waitpid(-1, os.WNOHANG)
                if ended:
                    codes.append(os.waitstatus_to_exitcode(status))
                else:
                    time.sleep(0.002)
            answer = Ended(next(filter(None, codes), 0), time.monotonic() - started, _text(out), _text(err))
        print(json.dumps(answer._asdict()), flush=True)


def _fork(request: dict[str, Any], out: int, err: int) -> list[int]:
    """Fork the processes of a command, which write to the files `out` and `err`, and return their numbers.

    Several processes get the variables that `torchrun` gives."""
    count, environment = request["processes"], {}
    if count > 1:
        with socket.create_server(("127.0.0.1", 0)) as free:
            environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        environment |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    children = []
    for rank in range(count):
        if (child := os.fork()) == 0:
            os.environ.update(environment, RANK=str(rank), LOCAL_RANK=str(rank))
            for number, to in ((1, out), (2, err), (0, os.open(os.devnull, os.O_RDONLY))):
                os.dup2(to, number)
            _command(request["arguments"])
        children.append(child)
    return children


def _text(file: IO[bytes]) -> str:
    """The end of what was written to a file."""
    file.seek(0)
    return file.read().decode(errors="replace")[-20_000:]


def _has_begun(child: int) -> bool:
    """Whether a command catches SIGTERM, as it does from its first line to its last. Before and after, Python does what
    it always does."""
    try:
        lines = Path(f"/proc/{child}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    caught = next((line.split()[1] for line in lines if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def _command(arguments: list[str]) -> None:
    """Run a command in this process, and end it."""
    from clvq.cli.main import main

    signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background it is ignored
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    sys.argv = ["clvq", *arguments]
    code = 1
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    for room in WARM:
        importlib.import_module(room)
    importlib.import_module("torch").set_num_threads(1)
    exec(sys.argv[1])
    _serve()
