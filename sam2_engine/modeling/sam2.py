"""SAM 2: the boxes of the paper's figure 3 on one frame, for N objects at once."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from sam2_engine.errors import InputError
from sam2_engine.masks import mask_stability
from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.derived_weights import cast_weight, derived, is_exporting, stream_dtype
from sam2_engine.modeling.devices import find_device
from sam2_engine.modeling.grid_window import GridPositions, GridWindow, crop_windows
from sam2_engine.modeling.image_encoder import ImageEncoder
from sam2_engine.modeling.layers import MLP, Conv2d, Linear
from sam2_engine.modeling.mask_decoder import MaskDecoder
from sam2_engine.modeling.memory_attention import MemoryAttention
from sam2_engine.modeling.memory_encoder import MemoryEncoder
from sam2_engine.modeling.position_encoding import sine_grid, sine_time
from sam2_engine.modeling.prompt_encoder import PromptEncoder
from sam2_engine.modeling.relatives.spatial_perceiver import LatentPositions, SpatialPerceiver

__all__ = [
    "LOGIT_CLAMP",
    "MASK_STRIDE",
    "NO_OBJECT_LOGIT",
    "STABILITY_OFFSET",
    "STABILITY_THRESHOLD",
    "ImageFeatures",
    "MaskPrediction",
    "Sam2",
    "mask_to_logits",
]

NO_OBJECT_LOGIT = -1024.0
"""Mask logit everywhere on a frame where the object is absent."""
LOGIT_CLAMP = 32.0
"""Largest absolute mask logit that is given back to the model as a prompt."""
MASK_STRIDE = 4
"""Input pixels per cell of a low-resolution mask."""

STABILITY_OFFSET = 0.05
STABILITY_THRESHOLD = 0.98
"""A single mask that changes more when its threshold moves so far gives way to the best candidate."""


_CELLS_AT_ONCE = 2**13
"""Cells of the stride-16 grid, of all prompts, that the mask decoder works on at once on a CPU."""


def _rows(shared: Tensor, part: slice) -> Tensor:
    """Return some of N rows, or the one that all share."""
    return shared if len(shared) == 1 else shared[part]


def mask_to_logits(mask: Tensor) -> Tensor:
    """Scale a mask from 0..1 to -10..10, as the memory encoder takes it."""
    return mask * 20.0 - 10.0


@dataclass(frozen=True)
class ImageFeatures:
    """One encoded batch of images.

    Attributes
    ----------
    embedding
        (B, C, G, G), stride 16, raw: without memory.
    high_res
        (B, C / 8, 4 G, 4 G) and (B, C / 4, 2 G, 2 G), already projected for the mask decoder; none of a model
        that has one level alone.
    """

    embedding: Tensor
    high_res: tuple[Tensor, ...]

    def __getitem__(self, index: int) -> Self:
        """Return the features of one image of the batch, with a batch of 1."""
        part = slice(index, index + 1)
        return type(self)(self.embedding[part], tuple(level[part] for level in self.high_res))

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Self:
        """Return the features on another device or in another floating-point type."""
        embedding = self.embedding.to(device, dtype)
        if embedding is self.embedding:  # PyTorch copies nothing that is there already
            return self
        return type(self)(embedding, tuple(level.to(device, dtype) for level in self.high_res))

    def contiguous(self) -> Self:
        """Return the features laid out row by row."""
        return type(self)(self.embedding.contiguous(), tuple(level.contiguous() for level in self.high_res))

    @property
    def num_bytes(self) -> int:
        """Bytes that the tensors hold."""
        return sum(t.numel() * t.element_size() for t in (self.embedding, *self.high_res))


@dataclass(frozen=True)
class MaskPrediction:
    """Output of the mask decoder for N prompts.

    Attributes
    ----------
    low_res_logits
        (N, M, 4 G, 4 G); M is 4 from ``decode``, the single mask first; else 1, or 3 with ``multimask``.
    iou
        (N, M) predicted IoU, 0..1.
    presence_logit
        (N, 1); above 0 the object is on the frame.
    tokens
        (N, M, C) mask tokens, of which object pointers are made.
    """

    low_res_logits: Tensor
    iou: Tensor
    presence_logit: Tensor
    tokens: Tensor

    def part(self, masks: slice) -> "MaskPrediction":
        """Return some of the M masks."""
        return MaskPrediction(
            self.low_res_logits[:, masks], self.iou[:, masks], self.presence_logit, self.tokens[:, masks]
        )

    def of(self, rows: Sequence[int]) -> "MaskPrediction":
        """Return the prediction of some of the N prompts."""
        fields = ("low_res_logits", "iou", "presence_logit", "tokens")
        return MaskPrediction(*(getattr(self, name)[list(rows)] for name in fields))

    @classmethod
    def joined(cls, parts: Sequence["MaskPrediction"]) -> "MaskPrediction":
        """Join the predictions of some prompts with those of the others."""
        fields = ("low_res_logits", "iou", "presence_logit", "tokens")
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in fields))

    def single(self) -> "MaskPrediction":
        """Return the single mask of the four that ``decode`` gives."""
        return self.part(slice(0, 1))

    def candidates(self) -> "MaskPrediction":
        """Return the three masks of an ambiguous prompt of the four that ``decode`` gives."""
        return self.part(slice(1, None))

    def best(self) -> "MaskPrediction":
        """Return the mask of the highest predicted IoU for each of the N prompts (M = 1)."""
        if self.iou.shape[1] == 1:
            return self
        index = self.iou.argmax(1)
        row = torch.arange(index.shape[0], device=index.device)
        return MaskPrediction(
            self.low_res_logits[row, index][:, None],
            self.iou[row, index][:, None],
            self.presence_logit,
            self.tokens[row, index][:, None],
        )


class Sam2(nn.Module):
    """The whole model. The names in its state are those of the official checkpoints.

    Parameters
    ----------
    config
        A row of ``sam2_engine.modeling.config.VARIANTS``, possibly with another image size.

    Attributes
    ----------
    compute_dtype
        Type that ``autocast`` computes in; the weights themselves stay as they were loaded.
    approximations
        What sessions with this model compute roughly, to track faster; see ``modeling.approximations``.
    loaded_as
        Name or path and input size by which ``load_model`` finds the model again; None where it cannot.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        self.approximations: frozenset[str] = frozenset()
        self.loaded_as: tuple[str, int | None] | None = None
        dim, memory_dim = config.hidden_dim, config.memory_dim
        self.image_encoder = ImageEncoder(config)
        self.memory_attention = MemoryAttention(config)
        self.memory_encoder = MemoryEncoder(config)
        if config.memory_latents:
            self.spatial_perceiver = SpatialPerceiver(memory_dim, config.memory_latents)
        self.sam_prompt_encoder = PromptEncoder(config)
        self.sam_mask_decoder = MaskDecoder(config)
        self.mask_downsample = Conv2d(1, 1, kernel_size=4, stride=4)
        self.obj_ptr_proj = MLP(dim, dim, dim, dim)
        self.maskmem_tpos_enc = nn.Parameter(torch.zeros(config.num_recent_memories + 1, 1, 1, memory_dim))
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, dim))
        # Part of every checkpoint, though no code path of the released models reads it.
        self.no_mem_pos_enc = nn.Parameter(torch.zeros(1, 1, dim))
        self.no_obj_ptr = nn.Parameter(torch.zeros(1, dim))
        for parameter in (self.maskmem_tpos_enc, self.no_mem_embed, self.no_mem_pos_enc, self.no_obj_ptr):
            nn.init.trunc_normal_(parameter, std=0.02)
        if config.signed_pointer_time:
            self.obj_ptr_tpos_proj = Linear(dim, memory_dim)
        if config.absent_memory_embedding:
            self.no_obj_embed_spatial = nn.Parameter(torch.zeros(1, memory_dim))
            nn.init.trunc_normal_(self.no_obj_embed_spatial, std=0.02)

    @override
    def compile(self, **options: Any) -> None:
        """Compile the parts of the model that do the work, each when it is first used.

        The encoder is compiled for its one size, the others for any number of objects, prompts and memories:
        only one object, one memory or no mask make a difference, so that there are at most ten programs.

        Parameters
        ----------
        **options
            As for ``torch.compile``.
        """
        self.image_encoder.compile(fullgraph=True, dynamic=False, **options)
        for part in (self.memory_attention, self.memory_encoder, self.sam_mask_decoder):
            part.compile(fullgraph=True, dynamic=True, **options)

    @property
    def summary(self) -> str:
        """What it is, in few words: ``nano@512 on cpu``."""
        return f"{self.config.name}@{self.image_size} on {self.device}"

    def __repr__(self) -> str:
        """Return one line; ``print(model)`` shows the modules."""
        count = sum(parameter.numel() for parameter in self.parameters())
        dtype = str(self.compute_dtype).removeprefix("torch.")
        return f"<{type(self).__name__} {self.summary}, {count / 1e6:.1f} M weights, computes in {dtype}>"

    def __str__(self) -> str:
        return super().__repr__()

    @override
    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move or convert the weights, as every module does; a device may be ``auto``, too.

        Raises
        ------
        InputError
            If there is no such device here.
        """
        args = tuple(find_device(one) if isinstance(one, (str, torch.device)) else one for one in args)
        if kwargs.get("device") is not None:
            kwargs["device"] = find_device(kwargs["device"])
        return super().to(*args, **kwargs)

    @override
    def cuda(self, device: int | torch.device | None = None) -> Self:
        """Move the weights to a GPU; ``to`` says why it cannot."""
        return self.to(torch.device("cuda", device) if isinstance(device, int) else device or "cuda")

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.no_mem_embed.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        return self.no_mem_embed.dtype

    def autocast(self) -> torch.autocast:
        """Context in which to compute: mixed precision if ``compute_dtype`` says so.

        Raises
        ------
        InputError
            If the weights are no longer float32, as after ``model.half()``.
        """
        if self.dtype != torch.float32:
            name = str(self.dtype).removeprefix("torch.")
            raise InputError(
                f"The model's weights were converted to {name}, but they stay float32 here: undo it by "
                "model.float(), and choose the type to compute in by load_model(..., dtype=...); "
                "model(pixels, points, labels) alone computes in converted weights."
            )
        mixed = self.compute_dtype != torch.float32
        return torch.autocast(self.device.type, dtype=self.compute_dtype if mixed else None, enabled=mixed)

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return self.config.image_size

    @property
    def grid(self) -> int:
        """Side of the stride-16 grid."""
        return self.config.image_size // 16

    @property
    def low_res_size(self) -> int:
        """Side of the low-resolution masks."""
        return self.config.image_size // MASK_STRIDE

    def _precision(self) -> AbstractContextManager[object]:
        """Context of ``forward``: the caller's, none for converted weights, or as ``compute_dtype`` says."""
        mixed = self.compute_dtype != torch.float32 and self.dtype == torch.float32
        chosen = torch.is_autocast_enabled(self.device.type)
        return self.autocast() if mixed and not chosen else nullcontext()

    def forward(
        self,
        pixels: Tensor,
        points: Tensor,
        labels: Tensor,
        mask_logits: Tensor | None = None,
        multimask: bool = True,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predict masks of N objects on each of B images, from tensors to tensors.

        Gradients reach whatever is trainable. It computes in ``compute_dtype``; in an ``autocast`` of the
        caller in that, and with converted weights (``model.half()``) in theirs.

        Parameters
        ----------
        pixels
            (B, 3, S, S), normalized; ``sam2_engine.preprocessing.to_model_input`` makes them of an image.
        points, labels
            (B, N, P, 2) as ``(x, y)`` in input pixels, 0 to S, and (B, N, P): 1 inside, 0 outside, 2 and 3
            the corners of a box, -1 padding where an object has fewer points.
        mask_logits
            (B, N, 4 G, 4 G) logits of an earlier mask.
        multimask
            Three candidates, else one mask.

        Returns
        -------
        low_res_logits
            (B, N, M, 4 G, 4 G), M = 3 or 1, a quarter of the input's side.
        iou
            (B, N, M) predicted IoU.
        presence_logit
            (B, N), above 0 where the object is on the image.

        Examples
        --------
        >>> from sam2_engine import load_model
        >>> model = load_model("nano", device="cpu", dtype="float32", image_size=128)
        >>> points, labels = torch.tensor([[[[30.0, 40.0]], [[90.0, 80.0]]]]), torch.ones(1, 2, 1)
        >>> with torch.no_grad():
        ...     logits, iou, presence = model(torch.zeros(1, 3, 128, 128), points, labels)
        >>> tuple(logits.shape), tuple(iou.shape), tuple(presence.shape)
        ((1, 2, 3, 32, 32), (1, 2, 3), (1, 2))
        """
        batch, objects = labels.shape[:2]
        with self._precision():
            encoded = self.encode_image(pixels.to(self.dtype))
            levels = [self.without_memory(encoded.embedding), *encoded.high_res]
            # What all share is computed once; an exported program takes one object and several alike.
            if is_exporting() or batch > 1:
                levels = [level[:, None].expand(-1, objects, -1, -1, -1).flatten(0, 1) for level in levels]
            predicted = self.predict_masks(
                levels[0],
                tuple(levels[1:]),
                points=points.flatten(0, 1),
                labels=labels.flatten(0, 1),
                mask_logits=None if mask_logits is None else mask_logits.flatten(0, 1)[:, None],
                multimask=multimask,
            )
        shape = (batch, objects)
        logits, iou = predicted.low_res_logits, predicted.iou
        return (
            logits.view(*shape, *logits.shape[1:]),
            iou.view(*shape, *iou.shape[1:]),
            predicted.presence_logit.view(shape),
        )

    def encode_image(self, pixels: Tensor) -> ImageFeatures:
        """Encode normalized pixels (B, 3, S, S)."""
        *high_res, stride16 = self.image_encoder(pixels, *self.sam_mask_decoder.high_res_convs)
        return ImageFeatures(stride16, tuple(high_res))

    def without_memory(self, embedding: Tensor) -> Tensor:
        """Mark (B, C, G, G) as a frame without memories."""
        return embedding + cast_weight(self, "no_mem_embed", stream_dtype(embedding)).view(1, -1, 1, 1)

    def decode(
        self,
        embedding: Tensor,
        high_res: tuple[Tensor, ...],
        *,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        mask_logits: Tensor | None = None,
        pad_empty: bool = False,
        windows: Sequence[GridWindow] | None = None,
    ) -> MaskPrediction:
        """Decode N prompts on an embedding: the single mask and the three candidates, M = 4.

        Parameters
        ----------
        embedding
            (1 or N, C, G, G), with ``without_memory`` or ``attend_to_memory`` applied.
        high_res
            The features' ``high_res``, of batch 1 or N.
        points, labels
            (N, P, 2) in input pixels and (N, P): 1 inside, 0 outside, 2 and 3 the corners of a box
            (placed before any clicks), -1 padding.
        mask_logits
            (N, 1, 4 G, 4 G) logits of an earlier mask.
        pad_empty
            Without points, send one padding point, as tracked frames do in a video.
        windows
            N windows of one size, which the embedding (N, C, h, w) shows, and the masks will.
        """
        count = next((t.shape[0] for t in (points, mask_logits) if t is not None), embedding.shape[0])
        # A few prompts at a time stay in a CPU's caches, and in memory that is there already.
        at_once = max(1, _CELLS_AT_ONCE // embedding.shape[2:].numel())
        in_parts = self.device.type == "cpu" and not torch.is_grad_enabled() and not is_exporting()
        if in_parts and count > at_once:
            parts = [
                self.decode(
                    _rows(embedding, part),
                    tuple(_rows(level, part) for level in high_res),
                    points=None if points is None else points[part],
                    labels=None if labels is None else labels[part],
                    mask_logits=None if mask_logits is None else _rows(mask_logits, part),
                    pad_empty=pad_empty,
                    windows=None if windows is None else windows[part],
                )
                for part in (slice(first, first + at_once) for first in range(0, count, at_once))
            ]
            return MaskPrediction.joined(parts)
        encoder, dtype = self.sam_prompt_encoder, stream_dtype(embedding)
        if points is not None and labels is not None:
            prompt_tokens = encoder.encode_points(points, labels)
        elif pad_empty:
            prompt_tokens = encoder.no_points()
        else:
            prompt_tokens = embedding.new_zeros(1, 0, self.config.hidden_dim)
        dense = encoder.no_mask(dtype) if mask_logits is None else encoder.encode_mask(mask_logits)
        position = encoder.dense_position(self.grid, dtype)
        if windows is not None:
            position = crop_windows(position, windows)
            high_res = tuple(crop_windows(level, windows, scale) for level, scale in zip(high_res, (4, 2)))
        masks, iou, tokens, presence = self.sam_mask_decoder(
            embedding + dense, position, prompt_tokens.expand(count, -1, -1), high_res
        )
        return MaskPrediction(masks, iou, presence, tokens)

    def predict_masks(
        self,
        embedding: Tensor,
        high_res: tuple[Tensor, ...],
        *,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        mask_logits: Tensor | None = None,
        multimask: bool = True,
        pad_empty: bool = False,
        windows: Sequence[GridWindow] | None = None,
    ) -> MaskPrediction:
        """Decode N prompts as ``decode`` does: the three candidates or, without ``multimask``, one mask."""
        decoded = self.decode(
            embedding,
            high_res,
            points=points,
            labels=labels,
            mask_logits=mask_logits,
            pad_empty=pad_empty,
            windows=windows,
        )
        if multimask:
            return decoded.candidates()
        falls_back = self.config.dynamic_multimask_via_stability and not self.training
        return self.stable(decoded) if falls_back else decoded.single()

    @staticmethod
    def stable(decoded: MaskPrediction) -> MaskPrediction:
        """Fall back on the best candidate where the single mask is unstable; the token stays."""
        masks, iou = decoded.low_res_logits, decoded.iou
        stability = mask_stability(masks[:, 0], STABILITY_OFFSET)
        best = 1 + iou[:, 1:].argmax(1)
        index = torch.where(stability >= STABILITY_THRESHOLD, 0, best)
        row = torch.arange(index.shape[0], device=index.device)
        return MaskPrediction(
            masks[row, index][:, None],
            iou[row, index][:, None],
            decoded.presence_logit,
            decoded.tokens[:, :1],
        )

    def object_pointer(self, tokens: Tensor, presence_logit: Tensor) -> Tensor:
        """Turn mask tokens (N, C) into object pointers (N, C); an absent object gets ``no_obj_ptr``."""
        pointer: Tensor = self.obj_ptr_proj(tokens)
        absent = cast_weight(self, "no_obj_ptr", stream_dtype(pointer))
        return torch.where(presence_logit > 0, pointer, absent)

    def encode_memory(
        self,
        embedding: Tensor,
        mask_logits: Tensor,
        presence_logit: Tensor,
        *,
        binarize: bool,
        windows: Sequence[GridWindow] | None = None,
    ) -> Tensor:
        """Fuse masks with their frame.

        Parameters
        ----------
        embedding
            (1 or N, C, G, G) raw embedding of the frame.
        mask_logits
            (N, 1, 4 G, 4 G) low-resolution logits, or (N, 1, S, S) at the input size.
        presence_logit
            (N, 1).
        binarize
            True for a frame that the user prompted: the mask counts as certain.
        windows
            N windows of one size, which the logits (N, 1, 4 h, 4 w) show and the memories will.

        Returns
        -------
        Tensor
            (N, Cm, G, G), or (N, Cm, h, w); of a model with latents (N, Cm, 2, L).
        """
        if windows is not None:
            embedding = crop_windows(embedding, windows)
        size = (16 * embedding.shape[2], 16 * embedding.shape[3])
        if mask_logits.shape[-2:] != size:
            mask_logits = F.interpolate(mask_logits.float(), size=size, mode="bilinear", align_corners=False)
        mask = (mask_logits > 0).float() if binarize else mask_logits.sigmoid()
        memory: Tensor = self.memory_encoder(embedding, mask_to_logits(mask).to(embedding.dtype))
        if self.config.absent_memory_embedding:
            absent = (presence_logit <= 0).to(memory.dtype)[:, :, None, None]
            embedding = cast_weight(self, "no_obj_embed_spatial", stream_dtype(memory))
            memory = memory + absent * embedding[:, :, None, None]
        return self.spatial_perceiver(memory) if self.config.memory_latents else memory

    def begin_attention(self, embedding: Tensor) -> Tensor:
        """Compute the part of ``attend_to_memory`` on (B, C, G, G) that no memory changes: (B, G * G, C)."""
        height, width = embedding.shape[2:]
        position = sine_grid(self.config.hidden_dim, height, width, embedding.device, embedding.dtype)
        begun: Tensor = self.memory_attention.begin(embedding, position)
        return begun

    def attend_to_memory(
        self,
        embedding: Tensor,
        memory: Tensor,
        memory_pos: Tensor,
        num_pointer_tokens: int,
        memory_cells: Tensor | None = None,
        *,
        frame_tokens: Tensor | None = None,
        windows: Sequence[GridWindow] | None = None,
    ) -> Tensor:
        """Condition a frame on the memories of N objects.

        Parameters
        ----------
        embedding
            (1 or N, C, G, G).
        memory, memory_pos, num_pointer_tokens, memory_cells
            As from ``memory_bank.assemble``: (N, K, Cm) tokens and their positions, pointers last, and (N,
            K - pointers) cells of the grid where tokens lie, or None for whole grids.
        frame_tokens
            Of a frame that many objects share, what ``begin_attention`` gave.
        windows
            N windows of one size: only these of the frame, which all objects share, are conditioned.

        Returns
        -------
        Tensor
            (N, C, G, G), or (N, C, h, w) of the windows.
        """
        grid = (embedding.shape[2], embedding.shape[3])
        everywhere = GridPositions(grid)
        positions, size = everywhere, grid
        x = self.begin_attention(embedding) if frame_tokens is None else frame_tokens
        if windows is not None:
            cells = torch.stack([window.cells(grid[1], embedding.device) for window in windows])
            x, positions, size = x[0, cells], GridPositions(grid, cells), windows[0].size
        memory_positions = everywhere if memory_cells is None else GridPositions(grid, memory_cells)
        if self.config.memory_latents:
            memory_positions = LatentPositions(self.spatial_perceiver.side)
        conditioned: Tensor = self.memory_attention(
            x, positions, memory, memory_pos, memory_positions, num_pointer_tokens
        )
        return conditioned.transpose(1, 2).reshape(memory.shape[0], -1, *size)

    def memory_space(self) -> Tensor:
        """Where the tokens of a memory lie on its frame, (K, Cm), whenever that was."""
        if self.config.memory_latents:
            return self.spatial_perceiver.position()
        return sine_grid(self.config.memory_dim, self.grid, self.grid, self.device).flatten(1).T

    def memory_position(self, slot: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Position of one memory's tokens, (K, Cm); slot 0 is a conditioning frame, t the t-th last."""

        def make() -> Tensor:
            return (self.memory_space() + self.maskmem_tpos_enc[slot - 1].view(1, -1)).to(dtype)

        return derived(self, ("memory position", slot, dtype), [self.maskmem_tpos_enc], make)

    def pointer_position(self, time_differences: Tensor) -> Tensor:
        """Position of object pointers, (P, Cm), from (P,) differences in time, normalized to 0..1."""
        if not self.config.signed_pointer_time:
            return time_differences.new_zeros(time_differences.shape[0], self.config.memory_dim)
        encoded = sine_time(time_differences, self.config.hidden_dim).to(self.dtype)
        result: Tensor = self.obj_ptr_tpos_proj(encoded)
        return result

    def mask_as_output(self, features: ImageFeatures, mask: Tensor) -> tuple[MaskPrediction, Tensor]:
        """Use masks given by the user as the prediction itself (paper section 4, mask prompts).

        Parameters
        ----------
        features
            The frame, of batch 1 or N.
        mask
            (N, 1, S, S), 0 or 1, at the input size.

        Returns
        -------
        MaskPrediction
            Logits of +-10, IoU 1 and presence +-10.
        Tensor
            (N, C) object pointers, from the decoder's view of the mask.
        """
        mask = mask.to(self.dtype)
        size = (self.low_res_size, self.low_res_size)
        low_res = F.interpolate(
            mask_to_logits(mask.float()), size=size, mode="bilinear", align_corners=False, antialias=True
        )
        decoded = self.predict_masks(
            features.embedding,
            features.high_res,
            mask_logits=self.mask_downsample(mask),
            multimask=False,
            pad_empty=True,
        )
        presence_logit = mask_to_logits(mask.flatten(1).any(1, keepdim=True).to(mask.dtype))
        pointer = self.object_pointer(decoded.tokens[:, 0], decoded.presence_logit)
        pointer = torch.where(presence_logit > 0, pointer, cast_weight(self, "no_obj_ptr", pointer.dtype))
        one = torch.ones_like(presence_logit)
        return MaskPrediction(low_res, one, presence_logit, decoded.tokens), pointer
