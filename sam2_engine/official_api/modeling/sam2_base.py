"""The model with the attributes and the methods of the official one."""

from dataclasses import replace
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn

from sam2_engine.errors import InputError
from sam2_engine.modeling.position_encoding import sine_grid
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.official_api.errors import refuse_other_pixels
from sam2_engine.official_api.modeling.parts import OfficialMaskDecoder, OfficialPromptEncoder

__all__ = ["SAM2Base"]

SETTINGS: dict[str, Any] = {
    "max_cond_frames_in_attn": -1,
    "max_obj_ptrs_in_encoder": 16,
    "memory_temporal_stride_for_eval": 1,
    "binarize_mask_from_pts_for_mem_enc": False,
    "non_overlap_masks_for_mem_enc": False,
    "multimask_output_in_sam": True,
    "multimask_output_for_tracking": True,
    "multimask_min_pt_num": 0,
    "multimask_max_pt_num": 1,
}
"""Attributes that decide what is predicted, with the values of the official configurations."""

FIXED: dict[str, Any] = {
    "backbone_stride": 16,
    "num_feature_levels": 3,
    "use_high_res_features_in_sam": True,
    "directly_add_no_mem_embed": True,
    "use_mask_input_as_output_without_sam": True,
    "use_multimask_token_for_obj_ptr": True,
    "iou_prediction_use_sigmoid": True,
    "use_obj_ptrs_in_encoder": True,
    "only_obj_ptrs_in_the_past_for_eval": True,
    "pred_obj_scores": True,
    "pred_obj_scores_mlp": True,
    "fixed_no_obj_ptr": True,
    "soft_no_obj_ptr": False,
    "use_mlp_for_obj_ptr_proj": True,
    "sigmoid_scale_for_mem_enc": 20.0,
    "sigmoid_bias_for_mem_enc": -10.0,
    "clear_non_cond_mem_around_input": False,
}
"""Attributes that are the same in all official configurations; here they are part of the model."""

_ONE_LEVEL = {"num_feature_levels": 1, "use_high_res_features_in_sam": False}
"""Those that are others in a relative without finer features."""

_INSTEAD = "use SAM2ImagePredictor, SAM2VideoPredictor, or the methods of sam2_engine.modeling.sam2.Sam2"


class SAM2Base(Sam2):
    """A loaded model, with the official attributes; the weights are shared with it.

    Parameters
    ----------
    model
        A loaded model.
    **settings
        Attributes by their official names, as in the official configuration files.

    Raises
    ------
    InputError
        If a setting is unknown, or fixed at another value; or the model was taught on pixels that the
        official package does not make.
    """

    def __init__(self, model: Sam2, **settings: Any) -> None:
        refuse_other_pixels(model.config)
        nn.Module.__init__(self)
        self.__dict__.update(
            {name: value.copy() if isinstance(value, dict) else value for name, value in vars(model).items()}
        )
        self.sam_prompt_encoder = OfficialPromptEncoder(self.sam_prompt_encoder)
        self.sam_mask_decoder = OfficialMaskDecoder(
            self.sam_mask_decoder, self.config.dynamic_multimask_via_stability
        )
        for name, value in SETTINGS.items():
            self.__dict__.setdefault(name, value)
        if not self.config.multimask_output_in_sam:
            self.multimask_output_in_sam = False
        for name, value in settings.items():
            if name not in SETTINGS and name not in FIXED:
                raise InputError(
                    f"The model has no setting {name}; there are: {', '.join([*SETTINGS, *FIXED])}."
                )
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name in FIXED:
            return self._fixed[name]
        try:
            return super().__getattr__(name)
        except AttributeError:
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r} here: {_INSTEAD}."
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FIXED and value != self._fixed[name]:
            raise InputError(
                f"{name} is {self._fixed[name]!r} in all such models and cannot be {value!r} here."
            )
        super().__setattr__(name, value)

    @property
    def _fixed(self) -> dict[str, Any]:
        """Attributes that are part of the model."""
        return FIXED if self.config.high_res_features else {**FIXED, **_ONE_LEVEL}

    @property
    def hidden_dim(self) -> int:
        """Channels of the image embedding."""
        return self.config.hidden_dim

    @property
    def sam_prompt_embed_dim(self) -> int:
        """Channels of a prompt's tokens."""
        return self.config.hidden_dim

    @property
    def mem_dim(self) -> int:
        """Channels of a memory."""
        return self.config.memory_dim

    @property
    def num_maskmem(self) -> int:
        """Memories that a frame reads: one of a conditioning frame, and the recent ones."""
        return self.config.num_recent_memories + 1

    @property
    def sam_image_embedding_size(self) -> int:
        """Side of the image embedding in cells."""
        return self.grid

    @property
    def add_tpos_enc_to_obj_ptrs(self) -> bool:
        """Whether object pointers carry their time, as in SAM 2.1."""
        return self.config.signed_pointer_time

    @property
    def proj_tpos_enc_in_obj_ptrs(self) -> bool:
        """Whether that time is projected, as in SAM 2.1."""
        return self.config.signed_pointer_time

    @property
    def use_signed_tpos_enc_to_obj_ptrs(self) -> bool:
        """Whether that time has a sign, as in SAM 2.1."""
        return self.config.signed_pointer_time

    @property
    def sam_mask_decoder_extra_args(self) -> dict[str, Any]:
        """Whether an unstable single mask gives way to the best of three, and from when on it counts so."""
        return {
            "dynamic_multimask_via_stability": self.config.dynamic_multimask_via_stability,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        }

    def without_stability_fallback(self) -> None:
        """Let an unstable single mask stay, as without ``apply_postprocessing``."""
        self.config = replace(self.config, dynamic_multimask_via_stability=False)
        cast(OfficialMaskDecoder, self.sam_mask_decoder).dynamic_multimask_via_stability = False

    def forward(self, *args: object, **kwargs: object) -> NoReturn:
        """Refuse: a model is run by a predictor."""
        raise NotImplementedError(f"A model is not called by itself: {_INSTEAD}.")

    def forward_image(self, img_batch: Tensor) -> dict[str, Any]:
        """Encode normalized pixels (B, 3, S, S): the maps of strides 4, 8 and 16 and their positions."""
        features = self.encode_image(img_batch)
        maps = [*features.high_res, features.embedding]
        positions = [
            sine_grid(self.hidden_dim, one.shape[-2], one.shape[-1], one.device).expand(len(one), -1, -1, -1)
            for one in maps
        ]
        return {"vision_features": maps[-1], "vision_pos_enc": positions, "backbone_fpn": maps}

    def _prepare_backbone_features(
        self, backbone_out: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Tensor], list[Tensor], list[tuple[int, int]]]:
        """Flatten the maps of ``forward_image`` to (cells, B, channels)."""
        maps, positions = backbone_out["backbone_fpn"], backbone_out["vision_pos_enc"]
        sizes = [(one.shape[-2], one.shape[-1]) for one in positions]
        flat, flat_positions = (
            [one.flatten(2).permute(2, 0, 1) for one in several] for several in (maps, positions)
        )
        return dict(backbone_out), flat, flat_positions, sizes

    def _apply_non_overlapping_constraints(self, pred_masks: Tensor) -> Tensor:
        """Let every pixel of (N, 1, H, W) logits belong to the object of the highest one."""
        if len(pred_masks) == 1:
            return pred_masks
        number = torch.arange(len(pred_masks), device=pred_masks.device)[:, None, None, None]
        highest = pred_masks.argmax(0, keepdim=True) == number
        return torch.where(highest, pred_masks, pred_masks.clamp(max=-10.0))
