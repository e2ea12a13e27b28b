"""Prompt encoder and mask decoder of a loaded model, with the official calls, for training loops."""

from typing import Any

import torch
from torch import Tensor, nn

from sam2_engine.errors import InputError
from sam2_engine.modeling.mask_decoder import MaskDecoder
from sam2_engine.modeling.prompt_encoder import PromptEncoder
from sam2_engine.modeling.sam2 import MaskPrediction, Sam2

__all__ = ["OfficialMaskDecoder", "OfficialPromptEncoder"]

_BOX_LABELS = 2, 3


def _share(part: nn.Module, source: nn.Module) -> None:
    """Let a part have the weights of another, and whatever else it is made of."""
    nn.Module.__init__(part)
    for name, value in vars(source).items():
        if name != "_derived_weights":
            part.__dict__[name] = value.copy() if isinstance(value, dict) else value


class OfficialPromptEncoder(PromptEncoder):
    """Prompt encoder of a model, called as the official one; the weights are shared with it."""

    def __init__(self, encoder: PromptEncoder) -> None:
        _share(self, encoder)

    @property
    def image_embedding_size(self) -> tuple[int, int]:
        """(G, G) of the image embedding."""
        return self.image_size // 16, self.image_size // 16

    def get_dense_pe(self) -> Tensor:
        """Return the encoding of the embedding's positions, (1, C, G, G)."""
        return self.dense_position(self.image_embedding_size[0], self.no_mask_embed.weight.dtype)

    def forward(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, masks: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Encode prompts.

        Parameters
        ----------
        points
            (B, P, 2) points in input pixels, and (B, P) labels.
        boxes
            (B, 4) in input pixels.
        masks
            (B, 1, 4 G, 4 G) logits.

        Returns
        -------
        sparse_embeddings
            (B, T, C) tokens; those of points alone end with padding.
        dense_embeddings
            (B, C, G, G).
        """
        given = [one for one in (None if points is None else points[0], boxes, masks) if one is not None]
        count = len(given[0]) if given else 1
        weight = self.no_mask_embed.weight
        sparse = weight.new_zeros(count, 0, weight.shape[1])
        if points is not None:
            tokens = self.encode_points(*points)
            sparse = tokens if boxes is None else tokens[:, :-1]
        if boxes is not None:
            corners = boxes.reshape(-1, 2, 2)
            labels = corners.new_tensor(_BOX_LABELS).expand(len(corners), -1)
            sparse = torch.cat((sparse, self.encode_points(corners, labels)[:, :-1]), dim=1)
        dense = self.no_mask(weight.dtype) if masks is None else self.encode_mask(masks)
        return sparse, dense.expand(count, -1, *self.image_embedding_size)


class OfficialMaskDecoder(MaskDecoder):
    """Mask decoder of a model, called as the official one; the weights are shared with it.

    Parameters
    ----------
    decoder
        Of a loaded model.
    dynamic_multimask_via_stability
        Whether an unstable single mask gives way to the best of three, in evaluation.
    """

    def __init__(self, decoder: MaskDecoder, dynamic_multimask_via_stability: bool) -> None:
        _share(self, decoder)
        self.dynamic_multimask_via_stability = dynamic_multimask_via_stability

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Decode prompts: by the official arguments, which are named, or as the model itself asks."""
        return self._decode(**kwargs) if kwargs else super().forward(*args)

    def _decode(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
        repeat_image: bool,
        high_res_features: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Decode prompts.

        Parameters
        ----------
        image_embeddings
            (1 or B, C, G, G), with ``no_mem_embed``: ``predictor._features["image_embed"]``.
        image_pe
            Of ``get_dense_pe``.
        sparse_prompt_embeddings, dense_prompt_embeddings
            Of the prompt encoder.
        multimask_output
            Three candidates, else one mask.
        repeat_image
            Whether one image has all of the prompts.
        high_res_features
            ``predictor._features["high_res_feats"]`` of the image.

        Returns
        -------
        tuple of Tensor
            Logits (B, M, 4 G, 4 G), predicted IoU (B, M), tokens (B, M, C), presence logit (B, 1).
        """
        if high_res_features is None and self.has_high_res:
            raise InputError("Give high_res_features: all SAM 2 models use them.")
        if not repeat_image and len(image_embeddings) != len(sparse_prompt_embeddings):
            raise InputError(
                f"There are {len(image_embeddings)} images for {len(sparse_prompt_embeddings)} prompts: with "
                "repeat_image=True all are of one image."
            )
        masks, iou, tokens, presence = super().forward(
            image_embeddings + dense_prompt_embeddings,
            image_pe,
            sparse_prompt_embeddings,
            tuple(high_res_features or ()),
        )
        decoded = MaskPrediction(masks, iou, presence, tokens)
        if multimask_output:
            chosen = decoded.candidates()
        elif self.dynamic_multimask_via_stability and not self.training:
            chosen = Sam2.stable(decoded)
        else:
            chosen = decoded.single()
        return chosen.low_res_logits, chosen.iou, chosen.tokens, chosen.presence_logit
