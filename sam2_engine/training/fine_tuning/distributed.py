"""Process group that trains one model, as torchrun starts it; a single process is a group of its own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["ProcessGroup", "join_process_group"]

_TIMEOUT = timedelta(hours=2)


@dataclass(frozen=True)
class ProcessGroup:
    """One process of the group that shares a step's batch.

    Attributes
    ----------
    rank, size
        Number of this process, and how many there are.
    device
        Where this process computes; ``auto`` picks for it.
    """

    rank: int = 0
    size: int = 1
    device: str = "auto"

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """Return which of ``count`` samples are this process's."""
        return range(self.rank, count, self.size)

    def all_reduce(self, values: Tensor) -> Tensor:
        """Return the sum over all processes, in all of them."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def all_reduce_flat(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their sums over all processes, in one exchange."""
        if self.size > 1 and tensors:
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            dist.all_reduce(flat)
            for tensor, part in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def leave(self) -> None:
        """Destroy the process group, when all is done."""
        if self.size > 1:
            dist.destroy_process_group()

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()


def join_process_group(device: str = "auto") -> ProcessGroup:
    """Join the processes that torchrun started; without torchrun, be a group of one.

    Parameters
    ----------
    device
        As for ``load_model``; with ``auto`` or ``cuda``, process i of a machine takes its GPU i.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ProcessGroup(device=device)
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if on_gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    elif device == "auto":
        device = "cpu"
    if not dist.is_initialized():
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_TIMEOUT)
    return ProcessGroup(dist.get_rank(), size, device)
