"""Video predictor, under its official name, with the official order of work and the official state."""

import logging
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

from sam2_engine.arguments import suggests_arguments
from sam2_engine.errors import InputError
from sam2_engine.modeling.position_encoding import sine_grid
from sam2_engine.modeling.sam2 import LOGIT_CLAMP, NO_OBJECT_LOGIT, ImageFeatures, MaskPrediction, Sam2
from sam2_engine.official_api.errors import StateError, refuse_unknown
from sam2_engine.official_api.modeling.sam2_base import FIXED, SETTINGS, SAM2Base
from sam2_engine.official_api.prompts import check_boxes, check_points
from sam2_engine.official_api.utils.small_regions import small_components
from sam2_engine.official_api.utils.video_frames import open_video
from sam2_engine.preprocessing import logits_to_size
from sam2_engine.progress import with_bar
from sam2_engine.video.memory_bank import MemoryReading, ReadMemory, assemble, select_conditioning

__all__ = ["SAM2VideoPredictor", "SAM2VideoPredictorVOS"]

State = dict[str, Any]
Output = dict[str, Any]
VideoMasks = tuple[int, list[Any], Tensor]

_LOG = logging.getLogger(__name__)
_HOLE_LOGIT = 0.1
_CONDITIONING, _TRACKED = "cond_frame_outputs", "non_cond_frame_outputs"
_PER_OBJECT = (
    "point_inputs_per_obj",
    "mask_inputs_per_obj",
    "output_dict_per_obj",
    "temp_output_dict_per_obj",
    "frames_tracked_per_obj",
)


class SAM2VideoPredictor(SAM2Base):
    """Objects tracked through videos, with the official methods, arguments and state.

    It does in every case what the official package does, which differs from ``sam2_engine.VideoSession``: a
    correction of a tracked frame is lost when that frame is tracked again, unless
    ``add_all_frames_to_correct_as_cond`` is set, and frames before an object's first prompt are tracked, too.

    Parameters
    ----------
    model
        A loaded model; the weights are shared with it.
    fill_hole_area
        Holes of at most so many pixels of the low-resolution masks are filled; on CUDA devices only, as in
        the official package.
    non_overlap_masks
        Let every pixel belong to one object.
    clear_non_cond_mem_around_input
        False; the official package fails with it.
    add_all_frames_to_correct_as_cond
        Keep the correction of a tracked frame.
    **kwargs
        Settings of the model by their official names, as ``max_cond_frames_in_attn``.

    Raises
    ------
    InputError
        If a setting is unknown or cannot be heeded.

    Examples
    --------
    >>> from sam2_engine import load_model
    >>> from sam2_engine.synthetic import moving_cells
    >>> frames, _ = moving_cells(num_frames=2, size=64, num_cells=2)
    >>> predictor = SAM2VideoPredictor(load_model("nano", device="cpu", image_size=128))
    >>> state = predictor.init_state(frames)
    >>> _, ids, masks = predictor.add_new_points_or_box(state, 0, "cell", box=(10, 10, 30, 30))
    >>> [(frame, ids, masks.shape) for frame, ids, masks in predictor.propagate_in_video(state)]
    [(0, ['cell'], torch.Size([1, 1, 64, 64])), (1, ['cell'], torch.Size([1, 1, 64, 64]))]
    """

    def __init__(
        self,
        model: Sam2,
        fill_hole_area: int = 0,
        non_overlap_masks: bool = False,
        clear_non_cond_mem_around_input: bool = False,
        add_all_frames_to_correct_as_cond: bool = False,
        **kwargs: Any,
    ) -> None:
        refuse_unknown(
            type(self).__name__,
            {name: value for name, value in kwargs.items() if name not in SETTINGS and name not in FIXED},
            [*ARGUMENTS, *SETTINGS],
        )
        super().__init__(model, **kwargs)
        if clear_non_cond_mem_around_input:
            raise InputError(
                "clear_non_cond_mem_around_input fails in the official package and is not heeded here: "
                "correct with sam2_engine.VideoSession, whose corrections hold."
            )
        self.fill_hole_area = fill_hole_area
        self.non_overlap_masks = non_overlap_masks
        self.add_all_frames_to_correct_as_cond = add_all_frames_to_correct_as_cond

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: Any) -> "SAM2VideoPredictor":
        """Load by a name at Hugging Face; further arguments are those of ``build_sam2_video_predictor``."""
        from sam2_engine.official_api.build_sam import build_sam2_video_predictor_hf

        return build_sam2_video_predictor_hf(model_id, **kwargs)

    # ------------------------------------------------------------------ state

    @suggests_arguments
    @torch.inference_mode()
    def init_state(
        self,
        video_path: object,
        offload_video_to_cpu: bool = False,
        offload_state_to_cpu: bool = False,
        async_loading_frames: bool = False,
    ) -> State:
        """Open a folder of JPEG files, a video file, or anything else that ``open_frames`` takes.

        Parameters
        ----------
        video_path
            The video.
        offload_video_to_cpu, offload_state_to_cpu
            Keep frames, and masks and memories, on the CPU.
        async_loading_frames
            Of no effect: frames are read when they are needed.

        Returns
        -------
        dict
            The state, with the official entries.
        """
        host = torch.device("cpu")
        images, height, width = open_video(
            video_path,
            self.image_size,
            host if offload_video_to_cpu else self.device,
            self.config.intensities,
        )
        state: State = {
            "images": images,
            "num_frames": len(images),
            "offload_video_to_cpu": offload_video_to_cpu,
            "offload_state_to_cpu": offload_state_to_cpu,
            "video_height": height,
            "video_width": width,
            "device": self.device,
            "storage_device": host if offload_state_to_cpu else self.device,
            "point_inputs_per_obj": {},
            "mask_inputs_per_obj": {},
            "cached_features": {},
            "constants": {},
            "obj_id_to_idx": OrderedDict(),
            "obj_idx_to_id": OrderedDict(),
            "obj_ids": [],
            "output_dict_per_obj": {},
            "temp_output_dict_per_obj": {},
            "frames_tracked_per_obj": {},
        }
        self._features(state, 0)
        return state

    def _features(self, state: State, frame_idx: int) -> ImageFeatures:
        """Return a frame as the encoder sees it; the state holds that of one frame."""
        if frame_idx not in state["cached_features"]:
            image = state["images"][frame_idx].to(state["device"]).float()[None]
            state["cached_features"] = {frame_idx: (image, self.forward_image(image))}
        fine, middle, embedding = state["cached_features"][frame_idx][1]["backbone_fpn"]
        return ImageFeatures(embedding, (fine, middle))

    def _obj_id_to_idx(self, inference_state: State, obj_id: Any) -> int:
        """Return the index of an object; a new one is added to the state."""
        if obj_id not in inference_state["obj_id_to_idx"]:
            index = len(inference_state["obj_id_to_idx"])
            inference_state["obj_id_to_idx"][obj_id] = index
            inference_state["obj_idx_to_id"][index] = obj_id
            inference_state["obj_ids"] = list(inference_state["obj_id_to_idx"])
            for name in _PER_OBJECT:
                has_outputs = "output_dict" in name
                inference_state[name][index] = {_CONDITIONING: {}, _TRACKED: {}} if has_outputs else {}
        number: int = inference_state["obj_id_to_idx"][obj_id]
        return number

    @torch.inference_mode()
    def reset_state(self, inference_state: State) -> None:
        """Remove all objects and prompts; the frames stay."""
        for name in ("obj_id_to_idx", "obj_idx_to_id", "obj_ids", *_PER_OBJECT):
            inference_state[name].clear()

    # ------------------------------------------------------------------ prompts

    @suggests_arguments
    @torch.inference_mode()
    def add_new_points_or_box(
        self,
        inference_state: State,
        frame_idx: int,
        obj_id: Any,
        points: ArrayLike | Tensor | None = None,
        labels: ArrayLike | Tensor | None = None,
        clear_old_points: bool = True,
        normalize_coords: bool = True,
        box: ArrayLike | Tensor | None = None,
    ) -> VideoMasks:
        """Prompt an object on a frame by clicks, a box or both.

        Parameters
        ----------
        inference_state
            From ``init_state``.
        frame_idx, obj_id
            The frame, and any name or number of the object.
        points, labels
            (P, 2) ``(x, y)`` and (P,): 1 inside, 0 outside.
        clear_old_points
            Whether they take the place of the earlier clicks on the frame.
        normalize_coords
            Coordinates are pixels of the video; else fractions of its width and height.
        box
            ``x0, y0, x1, y1``.

        Returns
        -------
        tuple
            ``(frame_idx, obj_ids, masks)``: ids of all objects and their (N, 1, H, W) logits there.

        Raises
        ------
        InputError
            If there is no such frame, or the prompt cannot be meant so.
        """
        self._check_frame(inference_state, frame_idx)
        clicks, click_labels = self._clicks(
            inference_state, points, labels, clear_old_points, normalize_coords, box
        )
        index = self._obj_id_to_idx(inference_state, obj_id)
        given = inference_state["point_inputs_per_obj"][index]
        if not clear_old_points and frame_idx in given:
            earlier = given[frame_idx]
            clicks = torch.cat([earlier["point_coords"], clicks], dim=1)
            click_labels = torch.cat([earlier["point_labels"], click_labels], dim=1)
        inputs = {"point_coords": clicks, "point_labels": click_labels}
        previous = self._previous_masks(inference_state, index, frame_idx)
        is_first = frame_idx not in inference_state["frames_tracked_per_obj"][index]
        output = self._predict(inference_state, index, frame_idx, is_first, inputs, previous)
        given[frame_idx] = inputs
        inference_state["mask_inputs_per_obj"][index].pop(frame_idx, None)
        return self._accept(inference_state, index, frame_idx, output)

    def add_new_points(self, *args: Any, **kwargs: Any) -> VideoMasks:
        """Prompt by clicks, under the earlier name of ``add_new_points_or_box``."""
        return self.add_new_points_or_box(*args, **kwargs)

    @suggests_arguments
    @torch.inference_mode()
    def add_new_mask(
        self, inference_state: State, frame_idx: int, obj_id: Any, mask: ArrayLike | Tensor
    ) -> VideoMasks:
        """Give an object's (H, W) mask on a frame; it is resized to the model's input.

        Raises
        ------
        InputError
            If there is no such frame, or the mask is none.
        """
        self._check_frame(inference_state, frame_idx)
        pixels = mask.float() if isinstance(mask, Tensor) else torch.as_tensor(np.asarray(mask) != 0).float()
        if pixels.ndim != 2 or not pixels.numel() or pixels.min() < 0 or pixels.max() > 1:
            raise InputError(
                "A mask is (H, W), False and True or from 0 to 1, not an array of shape "
                f"{tuple(pixels.shape)}"
                + (f" with values up to {pixels.max():g}." if pixels.numel() else ".")
            )
        full = pixels[None, None].to(inference_state["device"])
        size = (self.image_size, self.image_size)
        if full.shape[2:] != size:
            resized = F.interpolate(full, size=size, mode="bilinear", align_corners=False, antialias=True)
            full = (resized >= 0.5).float()
        index = self._obj_id_to_idx(inference_state, obj_id)
        prediction, pointer = self.mask_as_output(self._features(inference_state, frame_idx), full)
        inference_state["mask_inputs_per_obj"][index][frame_idx] = full
        inference_state["point_inputs_per_obj"][index].pop(frame_idx, None)
        output = self._output(inference_state, prediction, pointer)
        return self._accept(inference_state, index, frame_idx, output)

    def _check_mode(self) -> None:
        if self.training:
            raise StateError("The predictor is in training mode; call its eval() before it predicts.")

    def _check_frame(self, state: State, frame_idx: int) -> None:
        self._check_mode()
        if not 0 <= frame_idx < state["num_frames"]:
            raise InputError(
                f"The video has no frame {frame_idx}; its frames are 0 to {state['num_frames'] - 1}."
            )

    def _clicks(
        self,
        state: State,
        points: ArrayLike | Tensor | None,
        labels: ArrayLike | Tensor | None,
        clear_old_points: bool,
        normalize_coords: bool,
        box: ArrayLike | Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return (1, P, 2) points in the model's input and (1, P) labels, a box as its corners first."""
        if (points is None) != (labels is None):
            raise InputError("points and labels must be given together.")
        if points is None and box is None:
            raise InputError("There is nothing to go by; give points or a box.")
        if box is not None and not clear_old_points:
            raise InputError("A box goes before all clicks: it cannot be added with clear_old_points=False.")
        size = (state["video_height"], state["video_width"])
        clicks = (
            torch.zeros(1, 0, 2, dtype=torch.float32)
            if points is None
            else torch.as_tensor(points, dtype=torch.float32).cpu()
        )
        click_labels = (
            torch.zeros(1, 0, dtype=torch.int32)
            if labels is None
            else torch.as_tensor(labels, dtype=torch.int32).cpu()
        )
        clicks = clicks[None] if clicks.ndim == 2 else clicks
        click_labels = click_labels[None] if click_labels.ndim == 1 else click_labels
        check_points(clicks, click_labels, size, normalize_coords)
        if len(clicks) != 1 or (box is None and not clicks.shape[1]):
            raise InputError(f"Clicks of one object are (P, 2), not an array of shape {tuple(clicks.shape)}.")
        if box is not None:
            corners = torch.as_tensor(box, dtype=torch.float32).cpu()
            if corners.numel() != 4:
                raise InputError(f"A box is x0, y0, x1, y1, not {corners.numel()} numbers.")
            check_boxes(corners.reshape(1, 4), size, normalize_coords)
            clicks = torch.cat([corners.reshape(1, 2, 2), clicks], dim=1)
            click_labels = torch.cat([torch.tensor([[2, 3]], dtype=torch.int32), click_labels], dim=1)
        if normalize_coords:
            clicks = clicks / clicks.new_tensor([size[1], size[0]])
        return (clicks * self.image_size).to(state["device"]), click_labels.to(state["device"])

    def _storage_key(self, state: State, index: int, frame_idx: int) -> str:
        """Return where a prompt's output goes: a tracked frame's correction becomes no conditioning frame."""
        is_first = frame_idx not in state["frames_tracked_per_obj"][index]
        return _CONDITIONING if is_first or self.add_all_frames_to_correct_as_cond else _TRACKED

    def _previous_masks(self, state: State, index: int, frame_idx: int) -> Tensor | None:
        key = self._storage_key(state, index, frame_idx)
        output = state["temp_output_dict_per_obj"][index][key].get(frame_idx)
        output = output or _found(state["output_dict_per_obj"][index], frame_idx)
        if output is None:
            return None
        masks: Tensor = output["pred_masks"].to(state["device"])
        return masks.clamp(-LOGIT_CLAMP, LOGIT_CLAMP)

    def _accept(self, state: State, index: int, frame_idx: int, output: Output) -> VideoMasks:
        key = self._storage_key(state, index, frame_idx)
        self._fill_holes(output)
        state["temp_output_dict_per_obj"][index][key][frame_idx] = output
        return self._masks_on(state, frame_idx, key)

    def _masks_on(self, state: State, frame_idx: int, key: str) -> VideoMasks:
        """Return the masks of all objects on a frame; far below 0 where there is none yet."""
        shape = (state["video_height"], state["video_width"])
        rows = []
        for index in state["obj_idx_to_id"]:
            output = state["temp_output_dict_per_obj"][index][key].get(frame_idx)
            output = output or _found(state["output_dict_per_obj"][index], frame_idx)
            if output is None:
                rows.append(
                    torch.full((1, 1, *shape), NO_OBJECT_LOGIT, dtype=torch.float32, device=state["device"])
                )
            else:
                rows.append(logits_to_size(output["pred_masks"].to(state["device"]), shape))
        return frame_idx, state["obj_ids"], self._separated(torch.cat(rows))

    def _separated(self, masks: Tensor) -> Tensor:
        return self._apply_non_overlapping_constraints(masks) if self.non_overlap_masks else masks

    # ------------------------------------------------------------------ propagation

    @torch.inference_mode()
    def propagate_in_video_preflight(self, inference_state: State) -> None:
        """Make memories of what was prompted since the last propagation.

        Raises
        ------
        StateError
            If there is no object, or one without a prompt.
        """
        self._check_mode()
        if not inference_state["obj_id_to_idx"]:
            raise StateError("There is nothing to track yet; give an object a click, a box or a mask first.")
        for index, obj_id in inference_state["obj_idx_to_id"].items():
            outputs = inference_state["output_dict_per_obj"][index]
            for key in (_TRACKED, _CONDITIONING):
                fresh = inference_state["temp_output_dict_per_obj"][index][key]
                for frame_idx, output in fresh.items():
                    if output["maskmem_features"] is None:
                        self._remember(inference_state, frame_idx, output)
                    outputs[key][frame_idx] = output
                fresh.clear()
            if not outputs[_CONDITIONING]:
                raise StateError(f"Object {obj_id!r} has no prompt: give it one, or remove the object.")
            for frame_idx in outputs[_CONDITIONING]:
                outputs[_TRACKED].pop(frame_idx, None)

    @suggests_arguments
    @torch.inference_mode()
    def propagate_in_video(
        self,
        inference_state: State,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
    ) -> Iterator[VideoMasks]:
        """Track all objects from frame to frame.

        Parameters
        ----------
        inference_state
            From ``init_state``.
        start_frame_idx
            First frame; None for the earliest prompted one, also backwards.
        max_frame_num_to_track
            How many frames to go on from there; None for all.
        reverse
            Go backwards; from frame 0 nothing is tracked.

        Yields
        ------
        tuple
            ``(frame_idx, obj_ids, masks)``: ids of all objects and their (N, 1, H, W) logits.

        Raises
        ------
        InputError
            If there is no such frame to start from; a ``StateError`` if nothing is prompted yet.
        """
        self.propagate_in_video_preflight(inference_state)
        obj_ids, shape = (
            inference_state["obj_ids"],
            (inference_state["video_height"], inference_state["video_width"]),
        )
        order = self._order(inference_state, start_frame_idx, max_frame_num_to_track, reverse)
        for frame_idx in with_bar(order, "propagate in video", len(order)):
            rows = []
            for index in range(len(obj_ids)):
                outputs = inference_state["output_dict_per_obj"][index]
                if frame_idx not in outputs[_CONDITIONING]:
                    self._note_lost_correction(inference_state, index, frame_idx)
                    output = self._predict(inference_state, index, frame_idx, False, reverse=reverse)
                    self._remember(inference_state, frame_idx, output, from_prompt=False)
                    self._fill_holes(output)
                    outputs[_TRACKED][frame_idx] = output
                inference_state["frames_tracked_per_obj"][index][frame_idx] = {"reverse": reverse}
                rows.append(_found(outputs, frame_idx)["pred_masks"].to(inference_state["device"]))
            yield frame_idx, obj_ids, self._separated(logits_to_size(torch.cat(rows), shape))

    def _order(self, state: State, start: int | None, count: int | None, reverse: bool) -> range:
        """Return the frames of a propagation, in their order."""
        length: int = state["num_frames"]
        if start is None:
            start = min(
                frame for outputs in state["output_dict_per_obj"].values() for frame in outputs[_CONDITIONING]
            )
        if start < 0 or (reverse and start >= length):
            raise InputError(f"The video has no frame {start}; its frames are 0 to {length - 1}.")
        count = length if count is None else count
        if reverse:
            return range(start, max(start - count, 0) - 1, -1) if start > 0 else range(0)
        return range(start, min(start + count, length - 1) + 1)

    def _note_lost_correction(self, state: State, index: int, frame_idx: int) -> None:
        """Say where the official package forgets a correction; the answer is the same."""
        if (
            frame_idx in state["point_inputs_per_obj"][index]
            or frame_idx in state["mask_inputs_per_obj"][index]
        ):
            _LOG.warning(
                "The correction of object %r on frame %d is lost, as in the official package, because the "
                "frame is tracked again; ++model.add_all_frames_to_correct_as_cond=true keeps it.",
                state["obj_idx_to_id"][index],
                frame_idx,
            )

    def _predict(
        self,
        state: State,
        index: int,
        frame_idx: int,
        is_first: bool,
        clicks: dict[str, Tensor] | None = None,
        previous: Tensor | None = None,
        reverse: bool | None = None,
    ) -> Output:
        """Predict an object on a frame from its clicks there, from its memory, or from both."""
        features = self._features(state, frame_idx)
        if is_first:
            embedding = self.without_memory(features.embedding)
        else:
            if reverse is None:
                reverse = state["frames_tracked_per_obj"][index][frame_idx]["reverse"]
            embedding = self._with_memory(state, index, frame_idx, reverse, features)
        count = 0 if clicks is None else clicks["point_labels"].shape[1]
        multimask = (
            self.multimask_output_in_sam
            and (is_first or self.multimask_output_for_tracking)
            and self.multimask_min_pt_num <= count <= self.multimask_max_pt_num
        )
        prediction = self.predict_masks(
            embedding,
            features.high_res,
            points=None if clicks is None else clicks["point_coords"],
            labels=None if clicks is None else clicks["point_labels"],
            mask_logits=previous,
            multimask=multimask,
            pad_empty=True,
        ).best()
        pointer = self.object_pointer(prediction.tokens[:, 0], prediction.presence_logit)
        absent = (prediction.presence_logit <= 0)[..., None, None]
        logits = torch.where(absent, NO_OBJECT_LOGIT, prediction.low_res_logits.float())
        return self._output(state, replace(prediction, low_res_logits=logits), pointer)

    def _output(self, state: State, prediction: MaskPrediction, pointer: Tensor) -> Output:
        """Return what the state holds of an object on a frame."""
        return {
            "maskmem_features": None,
            "maskmem_pos_enc": None,
            "pred_masks": prediction.low_res_logits.float().to(state["storage_device"]),
            "obj_ptr": pointer,
            "object_score_logits": prediction.presence_logit,
        }

    def _remember(self, state: State, frame_idx: int, output: Output, from_prompt: bool = True) -> None:
        """Encode the memory of an output."""
        memory = self.encode_memory(
            self._features(state, frame_idx).embedding,
            output["pred_masks"].to(state["device"]),
            output["object_score_logits"],
            binarize=from_prompt and self.binarize_mask_from_pts_for_mem_enc,
        )
        output["maskmem_features"] = memory.to(torch.bfloat16).to(state["storage_device"])
        if "maskmem_pos_enc" not in state["constants"]:
            position = sine_grid(self.mem_dim, self.grid, self.grid, self.device)
            state["constants"]["maskmem_pos_enc"] = [position[None].clone()]
        output["maskmem_pos_enc"] = list(state["constants"]["maskmem_pos_enc"])

    def _fill_holes(self, output: Output) -> None:
        masks = output["pred_masks"]
        holes = small_components(masks <= 0, self.fill_hole_area)
        output["pred_masks"] = torch.where(holes, _HOLE_LOGIT, masks)

    # ------------------------------------------------------------------ memory

    def _with_memory(
        self, state: State, index: int, frame_idx: int, reverse: bool, features: ImageFeatures
    ) -> Tensor:
        """Return a frame's embedding, conditioned on an object's memories."""
        outputs = state["output_dict_per_obj"][index]
        if not outputs[_CONDITIONING]:
            obj_id = state["obj_idx_to_id"][index]
            raise StateError(f"Object {obj_id!r} has no prompt left to go by: reset_state starts again.")
        limit = min(state["num_frames"], self.max_obj_ptrs_in_encoder)
        reading = self._read(state, outputs, frame_idx, reverse, limit)
        return self.attend_to_memory(features.embedding, *assemble(self, [reading], max(limit, 2)))

    def _read(
        self, state: State, outputs: dict[str, dict[int, Output]], frame_idx: int, reverse: bool, limit: int
    ) -> MemoryReading:
        """Return what a frame attends to; conditioning frames that are not chosen count as tracked ones."""
        most = None if self.max_cond_frames_in_attn < 0 else self.max_cond_frames_in_attn
        conditioning, step = outputs[_CONDITIONING], -1 if reverse else 1
        chosen = select_conditioning(list(conditioning), frame_idx, most)
        others = {frame: one for frame, one in conditioning.items() if frame not in chosen}
        recent = {**others, **outputs[_TRACKED]}
        device, reading = state["device"], MemoryReading()
        for frame in chosen:
            features = conditioning[frame]["maskmem_features"][0].to(device)
            reading.memories.append(ReadMemory(0, features))
            if (frame_idx - frame) * step >= 0:
                reading.pointers.append(((frame_idx - frame) * step, conditioning[frame]["obj_ptr"][0]))
        for slot, frame in self._recent_frames(frame_idx, step):
            if frame in recent:
                features = recent[frame]["maskmem_features"][0].to(device)
                reading.memories.append(ReadMemory(slot, features))
        for difference in range(1, limit):
            frame = frame_idx - difference * step
            if frame in recent:
                reading.pointers.append((difference, recent[frame]["obj_ptr"][0]))
        return reading

    def _recent_frames(self, frame_idx: int, step: int) -> Iterator[tuple[int, int]]:
        """Yield slots, the farthest first, with their frames: every so many, and the last one always."""
        stride = self.memory_temporal_stride_for_eval
        for slot in range(self.num_maskmem - 1, 1, -1):
            nearest = (frame_idx - 2 * step) * step // stride * stride * step
            yield slot, nearest - (slot - 2) * stride * step
        yield 1, frame_idx - step

    # ------------------------------------------------------------------ removal

    @torch.inference_mode()
    def clear_all_prompts_in_frame(
        self, inference_state: State, frame_idx: int, obj_id: Any, need_output: bool = True
    ) -> VideoMasks | None:
        """Remove an object's prompts from a frame; what was found there stays as if it had been tracked.

        Raises
        ------
        StateError
            If there is no such object.
        """
        index = self._known(inference_state, obj_id)
        for name in ("point_inputs_per_obj", "mask_inputs_per_obj"):
            inference_state[name][index].pop(frame_idx, None)
        for key in (_CONDITIONING, _TRACKED):
            inference_state["temp_output_dict_per_obj"][index][key].pop(frame_idx, None)
        outputs = inference_state["output_dict_per_obj"][index]
        output = outputs[_CONDITIONING].pop(frame_idx, None)
        if output is not None:
            outputs[_TRACKED][frame_idx] = output
            inference_state["frames_tracked_per_obj"][index].pop(frame_idx, None)
        return self._masks_left(inference_state, frame_idx) if need_output else None

    def _masks_left(self, state: State, frame_idx: int) -> VideoMasks:
        fresh = state["temp_output_dict_per_obj"].values()
        is_conditioning = any(frame_idx in outputs[_CONDITIONING] for outputs in fresh)
        return self._masks_on(state, frame_idx, _CONDITIONING if is_conditioning else _TRACKED)

    def _known(self, state: State, obj_id: Any) -> int:
        if obj_id not in state["obj_id_to_idx"]:
            raise StateError(f"There is no object {obj_id!r}; the known ones are {state['obj_ids']}.")
        index: int = state["obj_id_to_idx"][obj_id]
        return index

    @torch.inference_mode()
    def remove_object(
        self, inference_state: State, obj_id: Any, strict: bool = False, need_output: bool = True
    ) -> tuple[list[Any], list[tuple[int, Tensor]]]:
        """Remove an object; ``strict`` makes an unknown one an error.

        Returns
        -------
        tuple
            The remaining ids, and ``(frame_idx, masks)`` of the frames where the object was prompted.

        Raises
        ------
        StateError
            If it is unknown, with ``strict``.
        """
        state = inference_state
        if obj_id not in state["obj_id_to_idx"] and not strict:
            return state["obj_ids"], []
        index = self._known(state, obj_id)
        if len(state["obj_id_to_idx"]) == 1:
            self.reset_state(state)
            return state["obj_ids"], []
        frames = sorted({*state["point_inputs_per_obj"][index], *state["mask_inputs_per_obj"][index]})
        remaining = [number for number in range(len(state["obj_ids"])) if number != index]
        ids = [state["obj_ids"][number] for number in remaining]
        state["obj_id_to_idx"] = {one: number for number, one in enumerate(ids)}
        state["obj_idx_to_id"] = dict(enumerate(ids))
        state["obj_ids"] = ids
        for name in _PER_OBJECT:
            left = {number: state[name][old] for number, old in enumerate(remaining)}
            state[name].clear()
            state[name].update(left)
        updated = [(frame, self._masks_left(state, frame)[2]) for frame in frames] if need_output else []
        return state["obj_ids"], updated


class SAM2VideoPredictorVOS(SAM2VideoPredictor):
    """What ``vos_optimized`` gives: the same masks; nothing is compiled here."""


ARGUMENTS = (
    "model",
    "fill_hole_area",
    "non_overlap_masks",
    "clear_non_cond_mem_around_input",
    "add_all_frames_to_correct_as_cond",
)


def _found(outputs: dict[str, dict[int, Output]], frame_idx: int) -> Any:
    """Return an object's output on a frame, a conditioning one first; None if there is none."""
    output = outputs[_CONDITIONING].get(frame_idx)
    return outputs[_TRACKED].get(frame_idx) if output is None else output
