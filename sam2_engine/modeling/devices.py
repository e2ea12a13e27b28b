"""Devices by their names."""

import torch

from sam2_engine.errors import InputError

__all__ = ["find_device"]


def find_device(device: str | torch.device) -> torch.device:
    """Return a device by its name; ``auto`` takes CUDA, then Apple's MPS, then the CPU.

    Raises
    ------
    InputError
        If there is none of this name here.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if "://" in str(device):
        raise InputError(
            f"A model is loaded on this machine, not at {device}; sam2_plugins.ModelStore takes addresses, "
            "and sessions made with it run there."
        )
    try:
        target = torch.device(device)
        torch.empty(1, device=target)
    except (RuntimeError, AssertionError, NotImplementedError):
        there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        names = [*("auto", "cpu"), *(name for name, is_there in there.items() if is_there)]
        raise InputError(
            f"There is no device {str(device)!r} here: give {', '.join(names[:-1])} or {names[-1]}."
        ) from None
    return target
