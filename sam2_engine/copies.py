"""Copies of objects that share what they only read."""

from copy import deepcopy
from typing import TypeVar

import torch

__all__ = ["copied"]

T = TypeVar("T")


@torch.inference_mode()
def copied(original: T, memo: dict[int, object], *shared: object) -> T:
    """Return a deep copy of an object, for its ``__deepcopy__``, that shares some of what it is made of."""
    memo.update((id(one), one) for one in shared)
    copy = type(original).__new__(type(original))
    memo[id(original)] = copy
    vars(copy).update({name: deepcopy(value, memo) for name, value in vars(original).items()})
    return copy
