"""Which device computes, which of several processes this is, and the choices that a command passes on to the model."""

from __future__ import annotations

import ctypes
import datetime
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, distributed

from clvq.config import AssignConfig, BenchConfig, ExplainConfig, FaithfulnessConfig
from clvq.errors import ClvqError, first_line, refuse_undecodable
from clvq.storage import locked

T = TypeVar("T")
Item = TypeVar("Item")

ON_CPU = 1024
"""Number of tokens in a batch on a CPU, where nothing else is said. Small batches have less padding, and their states
stay in the CPU's caches."""


_BATCHES_BETWEEN = 16


def give_back_memory(batch: int = 0) -> None:
    """Give freed memory back to the system, after every 16th batch.

    glibc keeps it for blocks of the same sizes. Batches differ in theirs, so a process would grow with their number.
    """
    if batch % _BATCHES_BETWEEN == 0 and (trim := _malloc_trim()) is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # not glibc
        return None


@dataclass(frozen=True)
class Runtime:
    """How a language model is run: on which device, in batches of what size, and whether its own code may run."""

    device: str | None = None
    """None is a GPU where there is one, else the CPU."""
    batch_tokens: int = 4096
    """Tokens in a batch, padding included."""
    trust_remote_code: bool = False
    model: str | None = None
    """Where the model is now, if it was moved."""

    @classmethod
    def of_settings(cls, settings: AssignConfig | BenchConfig | ExplainConfig | FaithfulnessConfig) -> Runtime:
        """Return the part of a command's settings that says how the language model is run."""
        tokens = settings.batch_tokens
        if tokens is None:
            tokens = usual_batch_tokens(settings.device)
        return cls(settings.device, tokens, settings.trust_remote_code, settings.model)


def usual_batch_tokens(device: str | None) -> int:
    """Return the number of tokens in a batch on the device of this name, as in `pick_device`."""
    return ON_CPU if pick_device(device).type == "cpu" else Runtime.batch_tokens


def pick_device(name: str | None) -> torch.device:
    """Return the device `name`. Without a name, return a GPU where there is one (each process its own), else the CPU.

    ClvqError where there is no such device.
    """
    if name is None:
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except Exception as error:  # torch raises RuntimeError, AssertionError and more for a device that is not there
        reason = first_line(error).rstrip(".")
        raise ClvqError(f"--device {name} cannot be used: {reason}. Use cpu, cuda or mps.") from error
    return device


def seed_draws(seed: int, device: torch.device) -> None:
    """Seed torch's random draws on the CPU and on `device`.

    `torch.manual_seed` also prepares seeds for GPUs that are not used, which takes milliseconds.
    """
    seeding = torch.default_generator.manual_seed if device.type == "cpu" else torch.manual_seed
    seeding(seed)


PATIENCE = datetime.timedelta(days=2)
"""The other processes wait this long for the leader, which evaluates alone."""


@dataclass(frozen=True)
class Processes:
    """This process's rank, and the number of processes that `torchrun` or `accelerate launch` started. Only the leader,
    of rank 0, writes files."""

    rank: int = 0
    count: int = 1

    @classmethod
    def current(cls) -> Processes:
        """Return the processes that a launcher started, and join their group the first time; one process without a
        launcher."""
        launched = int(os.environ.get("WORLD_SIZE") or 1) > 1 and "MASTER_ADDR" in os.environ
        if not launched or not distributed.is_available():
            return cls()
        if not distributed.is_initialized():
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            distributed.init_process_group(backend, timeout=PATIENCE)
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_leader(self) -> bool:
        return self.rank == 0

    def sum(self, tensor: Tensor) -> None:
        """Add up the processes' tensors, in place."""
        if self.count > 1:
            distributed.all_reduce(tensor)

    def share(self, tensor: Tensor) -> None:
        """Give every process the leader's tensor, in place."""
        if self.count > 1:
            distributed.broadcast(tensor, 0)

    def told(self, value: T) -> T:
        """Return the leader's value to everyone."""
        values = [value]
        if self.count > 1:
            distributed.broadcast_object_list(values, 0, device=torch.device("cpu"))
        return values[0]

    def collect(self, values: Tensor) -> None:
        """Collect the 32-bit `values` of all processes on the CPU in the leader's tensor, bit for bit.

        Each number must be zero in all processes but one. The bits are added as whole numbers, since a sum of floats
        would lose the sign of a zero.
        """
        if self.count > 1 and values.numel():
            distributed.reduce(values.view(torch.int32), 0)

    def locked(self, folder: Path) -> AbstractContextManager[None]:
        """Return the lock of a folder for the leader, who alone writes there; for the others a context that does
        nothing. ClvqError for a name that libraries which write there cannot take."""
        refuse_undecodable("the folder", folder)
        return locked(folder) if self.is_leader else nullcontext()

    def by_turns(self, items: Iterable[Item], work: Callable[[Item], T]) -> Iterator[T]:
        """Yield what `work` makes of each item, in their order and in every process. Each process works on one of
        `count` items, and gives the result to the others. The items must be the same in all processes."""
        if self.count == 1:
            for number, item in enumerate(items):
                yield work(item)
                give_back_memory(number)
            return
        remaining = iter(items)
        while some := list(islice(remaining, self.count)):
            own = work(some[self.rank]) if self.rank < len(some) else None
            results: list[T | None] = [None] * self.count
            distributed.all_gather_object(results, own)
            yield from results[: len(some)]  # type: ignore[misc]
            give_back_memory()

    def leader_first(self, work: Callable[[], T]) -> T:
        """Return what `work` gives. The leader does it before the others, who find the files that it wrote."""
        if not self.is_leader:
            self.wait()
        result = work()
        if self.is_leader:
            self.wait()
        return result

    def wait(self) -> None:
        """Wait until all processes have called this."""
        if self.count > 1:
            distributed.barrier()
