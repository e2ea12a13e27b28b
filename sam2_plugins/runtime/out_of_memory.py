"""Out-of-memory errors as one sentence, and as a type by which a host can offer the CPU instead."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sam2_engine.errors import InputError

__all__ = ["OutOfMemoryError", "is_out_of_memory", "translate_oom"]

_TORCH_SAYS = ("out of memory", "can't allocate memory", "not enough memory")


class OutOfMemoryError(InputError):
    """A model and its frames do not fit into a device's memory.

    Attributes
    ----------
    device
        The device that is full.
    """

    def __init__(self, device: str) -> None:
        instead = "" if device == "cpu" else "compute on the CPU, or "
        super().__init__(
            f"The memory of {device} is full: {instead}choose a smaller model or a smaller input, and close "
            "other programs that use it."
        )
        self.device = device


@contextmanager
def translate_oom(device: str) -> Iterator[None]:
    """Turn the many ways in which memory runs out within a ``with`` block into :class:`OutOfMemoryError`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        # The traceback holds the very tensors that are too large.
        raise OutOfMemoryError(device) from error.with_traceback(None)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; PyTorch has a type for that on CUDA, on the CPU and MPS only words."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in _TORCH_SAYS)
