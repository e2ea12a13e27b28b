"""Muon, an optimizer that orthogonalizes the momentum of weight matrices (Jordan et al. 2024, "Muon")."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon", "orthogonalize"]

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_ADAMW_RMS = 0.2


def orthogonalize(matrix: Tensor) -> Tensor:
    """Bring all singular values of a matrix near to 1, by five Newton-Schulz iterations."""
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum; its learning rate is one of AdamW (Liu et al. 2025, section 2.2).

    PyTorch's own always iterates in bfloat16, which a processor without it only emulates: 12 s of every
    step of nano's. Here the matrices' own type is used, or ``dtype``.

    Parameters
    ----------
    parameters
        Groups of matrices, as for every optimizer.
    lr, weight_decay, momentum
        Learning rate, decoupled decay, and the momentum's decay per step.
    dtype
        Type of the iterations.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        weight_decay: float = 0.05,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(matrix.grad)
                average = state["momentum_buffer"].lerp_(matrix.grad, 1 - group["momentum"])
                update = matrix.grad.lerp(average, group["momentum"])
                rate = group["lr"] * _ADAMW_RMS * max(matrix.shape) ** 0.5
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.sub_(orthogonalize(update.to(self._dtype)), alpha=rate)
