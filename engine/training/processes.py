"""The processes that train one student together; most runs have one.

torchrun starts them, all with one command, and DistributedDataParallel averages their gradients
(https://docs.pytorch.org/docs/stable/notes/ddp.html). Every process builds the same batch and takes its own rows of
it. Rank 0 speaks for all: it alone writes into the run's folder.
"""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

PATIENCE = timedelta(days=365)  # rank 0 may stand in line for its device for as long as that takes


@functools.cache
def join_processes() -> Processes:
    """This process among those of its run: torchrun's environment says which it is. Meets the others the first time."""
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Processes(0, 1)
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    return Processes(rank, size, dist.new_group(backend="gloo", timeout=PATIENCE))


class Processes:
    """All processes of a run, as one of them sees them."""

    def __init__(self, rank: int, size: int, line: dist.ProcessGroup | None = None) -> None:
        """`rank`: which of the `size` processes this one is. `line`: where they talk without their devices."""
        self.rank, self.size, self._line = rank, size, line
        self._network: nn.Module | None = None
        self._averaged: list[nn.Parameter] = []  # whose gradients the network averages

    def broadcast_flag(self, flag: bool) -> bool:
        """The `flag` that rank 0 has, in every process; the others wait for it."""
        if self.size == 1:
            return flag
        word = torch.tensor([flag], dtype=torch.uint8)
        dist.broadcast(word, 0, group=self._line)
        return bool(word)

    def broadcast(self, numbers: list[float]) -> list[float]:
        """The `numbers` that rank 0 has, in every process; the others wait for them."""
        if self.size == 1:
            return numbers
        words = torch.tensor(numbers, dtype=torch.float64)
        dist.broadcast(words, 0, group=self._line)
        return words.tolist()

    def broadcast_object(self, what: Any) -> Any:
        """What rank 0 gives, plain values and tensors on the CPU, in every process; the others wait for it."""
        if self.size == 1:
            return what
        told = [what]
        dist.broadcast_object_list(told, 0, group=self._line)
        return told[0]

    def sum_over_processes(self, values: Tensor) -> list[float]:
        """`values` (n,) summed over all processes. Waits for the device."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values.tolist()

    @contextmanager
    def forward(self, student: nn.Module, last: bool) -> Iterator[nn.Module]:
        """What to call in the student's place; when the `last` part of a step goes backward, gradients are averaged."""
        network = self._wrapped(student)
        with nullcontext() if last or not isinstance(network, DistributedDataParallel) else network.no_sync():
            yield network

    def _wrapped(self, student: nn.Module) -> nn.Module:
        """The student in DistributedDataParallel, anew when it has other parameters than before: it may shrink."""
        if self.size == 1:
            return student
        now = list(student.parameters())
        same = len(now) == len(self._averaged) and all(p is q for p, q in zip(now, self._averaged, strict=True))
        if self._network is None or not same:
            self._network = None
            gc.collect()  # the old wrapping refers to itself, and its buckets are as large as the gradients
            self._network, self._averaged = DistributedDataParallel(student), now
        return self._network

    def leave(self) -> None:
        """Parts from the others, when all is done."""
        if self.size > 1:
            self._network = None
            dist.destroy_process_group()
