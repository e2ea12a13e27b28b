"""Parts of a model as they are exported: each a module from tensors to tensors, with its names and sizes.

The steps are those of ``Sam2``; here they get one form for every model: any number of objects, points,
memories and pointers, options as numbers, and no rule that a loop of the caller can follow as well.
"""

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_engine.modeling.sam2 import Sam2

__all__ = ["MAX_POINTERS", "Part", "parts_of"]

MAX_POINTERS = 16
"""Object pointers that a frame reads, and the normalizer of their time, as in the official predictor."""
_CERTAIN = 1e4
"""A mask logit whose sigmoid is 0 or 1."""
_TWO = 2
"""Of everything whose number is free in what is traced; a one might be taken for a constant."""


@dataclass(frozen=True)
class Part:
    """A step of a model that is exported on its own.

    Attributes
    ----------
    name
        Also of its file.
    module
        What computes it.
    inputs
        Example inputs by name.
    free
        Of each input, the axes whose size is free, and what is counted there.
    outputs
        Names, in their order.
    purpose
        What it does, for the card.
    least
        Of what is counted, how many there are at least, if not one.
    """

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    free: dict[str, dict[int, str]]
    outputs: tuple[str, ...]
    purpose: str
    least: dict[str, int] = field(default_factory=dict)


def parts_of(model: Sam2, video: bool = True) -> list[Part]:
    """Return the parts of a model: those for images, and with ``video`` those of the memory."""
    parts = [_image_encoder(model), _mask_decoder(model)]
    return [*parts, _memory_encoder(model), *_memory_attentions(model)] if video else parts


def _with_parts(model: Sam2, *names: str) -> Sam2:
    """Return a copy that shares the weights of some boxes, and has no others to be exported."""
    trimmed = copy.copy(model)
    trimmed._modules = {name: module for name, module in model._modules.items() if name in names}
    return trimmed


# ---------------------------------------------------------------------- images


class ImageEncoding(nn.Module):
    """Pixels to the features of a frame."""

    def __init__(self, model: Sam2) -> None:
        super().__init__()
        self.model = _with_parts(model, "image_encoder", "sam_mask_decoder")

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Map (1, 3, S, S) to the embedding, the same as of a frame without memory, and finer levels."""
        features = self.model.encode_image(pixels)
        return features.embedding, self.model.without_memory(features.embedding), *features.high_res


def _image_encoder(model: Sam2) -> Part:
    side = model.image_size
    return Part(
        "image_encoder",
        ImageEncoding(model),
        {"pixels": torch.zeros(1, 3, side, side)},
        {"pixels": {}},
        ("embedding", "embedding_without_memory", *_levels(model)),
        "pixels of a frame to its features",
    )


def _levels(model: Sam2) -> tuple[str, ...]:
    return ("stride_4", "stride_8") if model.config.high_res_features else ()


class MaskDecoding(nn.Module):
    """Prompts of N objects to their masks."""

    position: Tensor

    def __init__(self, model: Sam2) -> None:
        super().__init__()
        self.model = _with_parts(model, "sam_prompt_encoder", "sam_mask_decoder", "obj_ptr_proj")
        position = model.sam_prompt_encoder.dense_position(model.grid, torch.float32)
        self.register_buffer("position", position, persistent=False)

    def forward(
        self,
        embedding: Tensor,
        points: Tensor,
        labels: Tensor,
        mask_logits: Tensor,
        has_mask: Tensor,
        stride_4: Tensor | None = None,
        stride_8: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return all four masks, their predicted IoU, presence logits, and object pointers of each mask."""
        encoder = self.model.sam_prompt_encoder
        given = has_mask[:, None, None, None] > 0.5
        dense = torch.where(given, encoder.encode_mask(mask_logits), encoder.no_mask(torch.float32))
        levels = () if stride_4 is None or stride_8 is None else (stride_4, stride_8)
        tokens = encoder.encode_points(points, labels)
        masks, iou, mask_tokens, presence = self.model.sam_mask_decoder(
            embedding + dense, self.position, tokens, levels
        )
        return masks, iou, presence, self.model.object_pointer(mask_tokens, presence[..., None])


def _mask_decoder(model: Sam2) -> Part:
    grid, dim, side = model.grid, model.config.hidden_dim, model.low_res_size
    inputs = {
        "embedding": torch.zeros(_TWO, dim, grid, grid),
        "points": torch.zeros(_TWO, _TWO + 1, 2),
        "labels": torch.ones(_TWO, _TWO + 1, dtype=torch.int64),
        "mask_logits": torch.zeros(_TWO, 1, side, side),
        "has_mask": torch.zeros(_TWO),
    }
    free = {name: {0: "objects"} for name in inputs}
    free["points"][1] = free["labels"][1] = "points"
    if _levels(model):
        inputs["stride_4"] = torch.zeros(1, dim // 8, 4 * grid, 4 * grid)
        inputs["stride_8"] = torch.zeros(1, dim // 4, 2 * grid, 2 * grid)
        free |= {"stride_4": {}, "stride_8": {}}
    outputs = ("masks", "iou", "presence_logit", "pointers")
    return Part(
        "mask_decoder", MaskDecoding(model), inputs, free, outputs, "clicks, boxes and masks to masks"
    )


# ---------------------------------------------------------------------- memory


class MemoryEncoding(nn.Module):
    """Masks of N objects and their frame to memories."""

    def __init__(self, model: Sam2) -> None:
        super().__init__()
        self.model = _with_parts(model, "memory_encoder", "spatial_perceiver")

    def forward(
        self, embedding: Tensor, mask_logits: Tensor, presence_logit: Tensor, is_prompted: Tensor
    ) -> Tensor:
        """Return (N, T, Cm), a memory's tokens."""
        size = (self.model.image_size, self.model.image_size)
        logits = F.interpolate(mask_logits, size=size, mode="bilinear", align_corners=False)
        certain = torch.where(logits > 0, _CERTAIN, -_CERTAIN)
        logits = torch.where(is_prompted[:, None, None, None] > 0.5, certain, logits)
        memory = self.model.encode_memory(embedding, logits, presence_logit, binarize=False)
        return memory.flatten(2).transpose(1, 2)


def _memory_encoder(model: Sam2) -> Part:
    grid, side = model.grid, model.low_res_size
    inputs = {
        "embedding": torch.zeros(1, model.config.hidden_dim, grid, grid),
        "mask_logits": torch.zeros(_TWO, 1, side, side),
        "presence_logit": torch.zeros(_TWO, 1),
        "is_prompted": torch.zeros(_TWO),
    }
    free: dict[str, dict[int, str]] = {name: {0: "objects"} for name in inputs} | {"embedding": {}}
    return Part(
        "memory_encoder", MemoryEncoding(model), inputs, free, ("memory",), "masks on a frame to memories"
    )


class MemoryReading(nn.Module):
    """A frame to what N objects see of it, each with its memories and object pointers."""

    slots: Tensor
    space: Tensor

    def __init__(self, model: Sam2) -> None:
        super().__init__()
        self.model = _with_parts(model, "memory_attention", "spatial_perceiver", "obj_ptr_tpos_proj")
        slots = model.maskmem_tpos_enc.detach().flatten(1).roll(1, 0)
        self.register_buffer("slots", slots, persistent=False)
        self.register_buffer("space", model.memory_space().detach(), persistent=False)

    def forward(
        self, embedding: Tensor, memories: Tensor, slots: Tensor, pointers: Tensor, pointer_ages: Tensor
    ) -> Tensor:
        """Return (N, C, G, G)."""
        width = self.model.config.memory_dim
        per_pointer = self.model.config.hidden_dim // width
        objects, num_pointers = pointer_ages.shape
        steps = self.model.pointer_position(pointer_ages.flatten() / (MAX_POINTERS - 1))
        steps = steps.view(objects, num_pointers, 1, width).expand(-1, -1, per_pointer, -1).flatten(1, 2)
        places = self.space + self.slots[slots][:, :, None]
        return self.model.attend_to_memory(
            embedding,
            torch.cat((memories.flatten(1, 2), pointers.view(objects, -1, width)), dim=1),
            torch.cat((places.flatten(1, 2), steps), dim=1),
            num_pointers * per_pointer,
        )


def _memory_attentions(model: Sam2) -> list[Part]:
    """Return the attention; where several memories are pooled, and one is not, each as a part of its own."""
    if model.config.memory_pooling == "none":
        return [_memory_attention(model, "memory_attention", _TWO)]
    return [
        _memory_attention(model, "memory_attention", _TWO),
        _memory_attention(model, "memory_attention_to_one", 1),
    ]


def _memory_attention(model: Sam2, name: str, memories: int) -> Part:
    config, grid = model.config, model.grid
    tokens = len(model.memory_space())
    inputs = {
        "embedding": torch.zeros(1, config.hidden_dim, grid, grid),
        "memories": torch.zeros(_TWO, memories, tokens, config.memory_dim),
        "slots": torch.zeros(_TWO, memories, dtype=torch.int64),
        "pointers": torch.zeros(_TWO, _TWO + 1, config.hidden_dim),
        "pointer_ages": torch.ones(_TWO, _TWO + 1),
    }
    free: dict[str, dict[int, str]] = {name: {0: "objects"} for name in inputs} | {"embedding": {}}
    if memories > 1:
        free["memories"][1] = free["slots"][1] = "memories"
    free["pointers"][1] = free["pointer_ages"][1] = "pointers"
    purpose = "a frame to what each object sees of it, given its memories"
    least = {"memories": 2} if memories > 1 and config.memory_pooling != "none" else {}
    return Part(name, MemoryReading(model), inputs, free, ("conditioned_embedding",), purpose, least)
