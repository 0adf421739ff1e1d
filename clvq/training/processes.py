"""Training in several processes, one a device, as `torchrun` or `accelerate launch` start them; seen from inside."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

PATIENCE = datetime.timedelta(days=2)
"""Others wait so long for the leader, who extracts and evaluates alone."""


@dataclass(frozen=True)
class Processes:
    """How many there are and which one this is; the leader alone writes files."""

    rank: int = 0
    count: int = 1

    @classmethod
    def current(cls) -> Processes:
        """Those of the launcher's environment; joins the group the first time. One, where nothing was launched."""
        if int(os.environ.get("WORLD_SIZE", "1")) <= 1 or not distributed.is_available():
            return cls()
        if not distributed.is_initialized():
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            distributed.init_process_group(backend, timeout=PATIENCE)
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_leader(self) -> bool:
        return self.rank == 0

    def sum(self, tensor: Tensor) -> None:
        """Adds up the processes' tensors, in place."""
        if self.count > 1:
            distributed.all_reduce(tensor)

    def share(self, tensor: Tensor) -> None:
        """Gives everyone the leader's tensor, in place."""
        if self.count > 1:
            distributed.broadcast(tensor, 0)

    def wait(self) -> None:
        """Returns when everyone has come here."""
        if self.count > 1:
            distributed.barrier()
