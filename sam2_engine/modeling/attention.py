"""Attention with separate projections, plain (mask decoder) and rotary (memory attention)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sam2_engine.modeling.attention_kernels import KERNELS, fastest_kernel
from sam2_engine.modeling.derived_weights import computed_in, derived, is_exporting, saves_launches
from sam2_engine.modeling.grid_window import GridPositions
from sam2_engine.modeling.layers import Linear

__all__ = ["Attention", "RotaryAttention", "attend"]

_MAX_WEIGHTS = 2**24
"""Attention weights computed at once in training on a CPU, per object; a 512 pixel input has fewer."""


def attend(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
    """Scaled dot-product attention of (..., Lq, C) to (..., Lk, C): (..., Lq, C).

    Without gradients a CPU computes it by the kernel that is fastest there.
    """
    if not torch.is_grad_enabled() and not dropout:
        return KERNELS[fastest_kernel(q, k, v.shape[-1])](q, k, v)
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
    return _attend_with_gradients(q, k, v, dropout)


def _attend_with_gradients(q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor:
    """Attention on a CPU, of which the gradient is wanted.

    In bfloat16 the formula is written out, as torch's fused kernel takes 1 to 5 times as long. With dropout
    all weights are stored for the backward pass, half a gigabyte per layer and object at full size: large
    ones are computed in blocks of queries, and again there.
    """
    block = max(1, _MAX_WEIGHTS // k.shape[-2])
    if dropout and q.shape[-2] > block:
        parts = torch.split(q, block, dim=-2)
        return torch.cat(
            [checkpoint(_attend_with_gradients, part, k, v, dropout, use_reentrant=False) for part in parts],
            dim=-2,
        )
    if q.dtype == torch.bfloat16:
        weights = ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(-1)
        return F.dropout(weights, dropout).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)


def _exchanged(projection: nn.Linear) -> tuple[Tensor, Tensor]:
    """Return weight and bias with the two output channels of each pair exchanged."""
    weight = projection.weight.view(-1, 2, projection.in_features).flip(1).view(projection.weight.shape)
    return weight, projection.bias.view(-1, 2).flip(1).view(-1)


class Attention(nn.Module):
    """Multi-head attention; the inner width may be smaller than the outer one.

    Parameters
    ----------
    dim
        Channels of the queries and of the output.
    num_heads
        Heads; must divide the inner width ``dim / downsample``.
    downsample
        Factor between outer and inner width.
    key_value_dim
        Channels of keys and values; ``dim`` if not given.
    """

    def __init__(
        self, dim: int, num_heads: int, downsample: int = 1, key_value_dim: int | None = None
    ) -> None:
        super().__init__()
        inner = dim // downsample
        self.num_heads = num_heads
        self.q_proj = Linear(dim, inner)
        self.k_proj = Linear(key_value_dim or dim, inner)
        self.v_proj = Linear(key_value_dim or dim, inner)
        self.out_proj = Linear(inner, dim)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.num_heads, -1).transpose(1, 2)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend from (B, Lq, dim) to keys and values (B, Lk, key_value_dim): (B, Lq, dim).

        Queries, or keys and values, may have a batch of 1, which all of the others share.
        """
        q, k, v = self.q_proj(q), self.k_proj(k), self.v_proj(v)
        count, length, inner = max(q.shape[0], k.shape[0]), q.shape[1], q.shape[2]
        if k.shape[0] < count:  # all queries attend to the same keys: they are queries of one
            q = q.reshape(1, -1, inner)
        q, k, v = self._split(q.expand(k.shape[0], -1, -1)), self._split(k), self._split(v)
        attended = attend(q, k, v).transpose(1, 2).reshape(count, length, inner)
        result: Tensor = self.out_proj(attended)
        return result


class RotaryAttention(Attention):
    """Attention of one head whose queries and keys carry two-dimensional rotary position encoding."""

    def __init__(self, dim: int, key_value_dim: int | None = None, dropout: float = 0.0) -> None:
        super().__init__(dim, num_heads=1, key_value_dim=key_value_dim)
        self.dropout = dropout

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        query_positions: GridPositions | None = None,
        key_positions: GridPositions | None = None,
        num_plain_keys: int = 0,
    ) -> Tensor:
        """Attend from (B, L, dim) to (B, n * Lk + num_plain_keys, key_value_dim).

        The rotation of the Lk keys' positions, by default those of the queries, is repeated over the n
        frames of the keys; the last ``num_plain_keys`` keys (object pointers) are not rotated.
        """
        if query_positions is None:
            raise ValueError("rotary attention needs the positions of its queries")
        key_positions = key_positions or query_positions
        if saves_launches(q):
            return self._attend_in_few_launches(q, k, v, query_positions, key_positions, num_plain_keys)
        dropout = self.dropout if self.training else 0.0
        q = self._rotated(q, self.q_proj, query_positions, q.shape[1])
        k = self._rotated(k, self.k_proj, key_positions, k.shape[1] - num_plain_keys)
        result: Tensor = self.out_proj(self._attend(q, k, v, dropout))
        return result

    def _attend_in_few_launches(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        query_positions: GridPositions,
        key_positions: GridPositions,
        num_plain_keys: int,
    ) -> Tensor:
        """Attend as ``forward`` does; what is projected from the same tokens, in one product."""
        if q is k and k is v:
            layers = self.q_proj, self.k_proj
            queries, keys, values = self._projected(q, layers, self.v_proj, query_positions, 0)
        else:
            (queries,) = self._projected(q, (self.q_proj,), None, query_positions, 0)
            (keys,) = self._projected(k, (self.k_proj,), None, key_positions, num_plain_keys)
            values = self.v_proj(v)
        attended = attend(queries[:, None], keys[:, None], values[:, None])[:, 0]
        result: Tensor = self.out_proj(attended)
        return result

    def _projected(
        self,
        x: Tensor,
        rotated: tuple[nn.Linear, ...],
        plain: nn.Linear | None,
        positions: GridPositions,
        num_plain_tokens: int,
    ) -> list[Tensor]:
        """Project (B, L, dim) by some layers, rotated but for the last tokens, and by one that is not."""
        layers = rotated if plain is None else (*rotated, plain)
        weights = [tensor for layer in layers for tensor in (layer.weight, layer.bias)]
        dtype = computed_in(weights[0])

        def make() -> tuple[Tensor, Tensor]:
            straight = [(layer.weight, layer.bias) for layer in rotated]
            exchanged = [_exchanged(layer) for layer in rotated]
            last = [] if plain is None else [(plain.weight, plain.bias)]
            matrices, biases = zip(*straight, *exchanged, *last)
            return torch.cat(matrices).to(dtype), torch.cat(biases).to(dtype)

        product = F.linear(x, *derived(self, (len(layers), id(layers[0]), dtype), weights, make))
        count, width = len(rotated), rotated[0].out_features
        parts = product.view(*product.shape[:-1], -1, width)
        if parts.shape[1] > num_plain_tokens:
            cosine, sine = positions.rotation(width, x.device, product.dtype)
            turned = parts[:, : parts.shape[1] - num_plain_tokens]
            turned = turned.view(len(turned), -1, *cosine.shape[1:2], *parts.shape[2:])
            straight, exchanged = turned[..., :count, :], turned[..., count : 2 * count, :]
            straight.mul_(cosine[:, None, :, None]).addcmul_(exchanged, sine[:, None, :, None])
        return [parts[..., index, :] for index in (*range(count), *range(2 * count, parts.shape[-2]))]

    @staticmethod
    def _rotated(x: Tensor, projection: nn.Linear, positions: GridPositions, num_rotated: int) -> Tensor:
        """Project (B, L, dim) and rotate the first tokens, as often as there are positions.

        A rotation is ``x cos + y sin``, where y is x with the two channels of each pair exchanged: a
        projection, too, by the same weights in another order.
        """
        projected: Tensor = projection(x)
        if not num_rotated:
            return projected
        cosine, sine = positions.rotation(projected.shape[-1], x.device, projected.dtype)
        cosine, sine = cosine[:, None], sine[:, None]
        dtype = computed_in(projection.weight)
        weights = derived(
            projection,
            ("exchanged", dtype),
            (projection.weight, projection.bias),
            lambda: tuple(tensor.to(dtype) for tensor in _exchanged(projection)),
        )
        frames, plain = (x.shape[0], -1, *cosine.shape[2:]), x.shape[1] - num_rotated
        if torch.is_grad_enabled() or is_exporting():
            # Split, as in an exported program the size of a slice is not known to be what it was cut to.
            straight, unturned = torch.split(projected, [num_rotated, plain], dim=1)
            exchanged = F.linear(torch.split(x, [num_rotated, plain], dim=1)[0], *weights)
            rotated = straight.view(frames) * cosine + exchanged.view(frames) * sine
            return torch.cat((rotated.flatten(1, 2), unturned), dim=1)
        straight = projected[:, :num_rotated].view(frames)
        exchanged = F.linear(x[:, :num_rotated], *weights).view(frames)
        straight.mul_(cosine).addcmul_(exchanged, sine)
        return projected

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor:
        """Attend from (B, Lq, dim) to keys (B, Lk, dim) and values that are not projected yet.

        There is one head, so the weighted sum of projected values is the projected sum of the values; where
        these are narrower, as memories are, that is less work for every kernel that takes them.
        """
        if not dropout and not torch.is_grad_enabled():
            kernel = fastest_kernel(q, k, v.shape[-1])
            if kernel != "fused":
                attended: Tensor = self.v_proj(KERNELS[kernel](q, k, v.to(q.dtype)))
                return attended
        return attend(q[:, None], k[:, None], self.v_proj(v)[:, None], dropout)[:, 0]
