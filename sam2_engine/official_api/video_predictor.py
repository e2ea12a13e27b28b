"""Video predictor, under the official names."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sam2_engine.errors import InputError
from sam2_engine.modeling.sam2 import NO_OBJECT_LOGIT, Sam2
from sam2_engine.official_api.build_sam import config_of, load_official, read_overrides
from sam2_engine.official_api.coordinates import in_pixels
from sam2_engine.preprocessing import logits_to_size
from sam2_engine.prompts import Prompt
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.video_session import VideoSession

__all__ = [
    "InferenceState",
    "SAM2VideoPredictor",
    "build_sam2_video_predictor",
    "build_sam2_video_predictor_hf",
]

VideoMasks = tuple[int, list[Any], Tensor]


class InferenceState:
    """State of a video, a dictionary in the official predictor; its public entries are read in the same way.

    Besides the session it stores the low-resolution logits of all objects on all frames visited, in
    half precision, because the official methods return those of every object on a frame.
    """

    def __init__(self, session: VideoSession) -> None:
        self.session = session
        # Official object ids may be 0 or names; the session's are positive and never used twice.
        self.session_ids: dict[Any, int] = {}
        self.logits: dict[int, dict[int, NDArray[np.float16]]] = {}
        self.prompted: dict[int, set[int]] = {}
        self._next_id = 1

    def __getitem__(self, key: str) -> Any:
        session = self.session
        match key:
            case "obj_ids":
                return list(self.session_ids)
            case "num_frames":
                return len(session.frames)
            case "video_height" | "video_width":
                return session.frames.shape[key == "video_width"]
            case "device":
                return session.model.device
        raise KeyError(key)

    def session_id(self, obj_id: Any) -> int:
        """Return the session's id of an object; of an unknown one, its id to be."""
        return self.session_ids.get(obj_id, self._next_id)

    def known_session_id(self, obj_id: Any) -> int:
        """Return the session's id of a known object."""
        if obj_id not in self.session_ids:
            raise InputError(f"There is no object {obj_id!r}; the known ones are {list(self.session_ids)}.")
        return self.session_ids[obj_id]

    def store(self, result: FrameResult) -> None:
        """Store a frame's logits."""
        rows = result.low_res_logits.astype(np.float16)
        self.logits.setdefault(result.frame, {}).update(zip(result.object_ids, rows))

    def record_prompt(self, obj_id: Any, number: int, result: FrameResult) -> VideoMasks:
        """Record that an object was prompted, and return the masks of all objects on that frame."""
        self.session_ids[obj_id] = number
        self._next_id = max(self._next_id, number + 1)
        self.prompted.setdefault(number, set()).add(result.frame)
        self.store(result)
        return self.masks_on(result.frame)

    def masks_on(self, frame_idx: int) -> VideoMasks:
        """Return (frame, object ids, (N, 1, H, W) logits) of all objects; far below 0 where there is none."""
        session = self.session
        side = session.model.low_res_size
        absent = np.full((side, side), NO_OBJECT_LOGIT, dtype=np.float16)
        logits = self.logits.get(frame_idx, {})
        rows = [logits.get(number, absent) for number in self.session_ids.values()]
        low_res = torch.from_numpy(np.stack(rows)[:, None]).float() if rows else torch.zeros(0, 1, side, side)
        masks = logits_to_size(low_res.to(session.model.device), session.frames.shape)
        return frame_idx, list(self.session_ids), masks


class SAM2VideoPredictor:
    """Objects tracked through videos, under the official method names.

    Parameters
    ----------
    model
        A loaded model.
    max_conditioning_frames
        How many prompted frames a frame attends to; None for all, as the official default.

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

    def __init__(self, model: Sam2, max_conditioning_frames: int | None = None) -> None:
        self.model = model
        self.max_conditioning_frames = max_conditioning_frames

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: Any) -> "SAM2VideoPredictor":
        """Load by a name at Hugging Face."""
        return build_sam2_video_predictor_hf(model_id, **kwargs)

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.model.device

    def init_state(
        self,
        video_path: object,
        offload_video_to_cpu: bool = False,
        offload_state_to_cpu: bool = False,
        async_loading_frames: bool = False,
    ) -> InferenceState:
        """Open a folder of images, a video file, or anything else that ``open_frames`` takes.

        The three options are accepted and have no effect: frames are read on demand.
        """
        session = VideoSession(self.model, video_path, max_conditioning_frames=self.max_conditioning_frames)
        return InferenceState(session)

    def add_new_points_or_box(
        self,
        inference_state: InferenceState,
        frame_idx: int,
        obj_id: Any,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        clear_old_points: bool = True,
        normalize_coords: bool = True,
        box: ArrayLike | None = None,
    ) -> VideoMasks:
        """Add clicks, a box or both to an object on a frame.

        Returns
        -------
        tuple
            ``(frame_idx, obj_ids, masks)``: ids of all objects and their (N, 1, H, W) logits there.
        """
        if (points is None) != (labels is None):
            raise InputError("points and labels must be given together.")
        if box is not None and not clear_old_points:
            raise InputError("A box goes before all clicks: it cannot be added with clear_old_points=False.")
        session = inference_state.session
        if not normalize_coords:
            points, box = (in_pixels(value, session.frames.shape) for value in (points, box))
        clicks = None if points is None else np.asarray(points, dtype=np.float32).reshape(-1, 2)
        prompt = Prompt.of(
            session.frames.shape, points=clicks, labels=None if labels is None else np.ravel(labels), box=box
        )
        number = inference_state.session_id(obj_id)
        result = session.add_prompt(frame_idx, number, prompt, replace=clear_old_points)
        return inference_state.record_prompt(obj_id, number, result)

    add_new_points = add_new_points_or_box

    def add_new_mask(
        self, inference_state: InferenceState, frame_idx: int, obj_id: Any, mask: ArrayLike
    ) -> VideoMasks:
        """Give an object's (H, W) mask on a frame."""
        number = inference_state.session_id(obj_id)
        result = inference_state.session.add_mask(frame_idx, number, np.asarray(mask))
        return inference_state.record_prompt(obj_id, number, result)

    def propagate_in_video(
        self,
        inference_state: InferenceState,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
    ) -> Iterator[VideoMasks]:
        """Propagate all objects from the earliest prompted frame, or from ``start_frame_idx``.

        Yields
        ------
        tuple
            ``(frame_idx, obj_ids, masks)`` per frame; objects not prompted yet have no pixel above 0.
        """
        prompted = [frame for frames in inference_state.prompted.values() for frame in frames]
        if not prompted:
            raise InputError("There is nothing to track yet; give an object a click, a box or a mask first.")
        start = min(prompted) if start_frame_idx is None else start_frame_idx
        if reverse and start == 0:
            return
        stop = None
        if max_frame_num_to_track is not None:
            last = len(inference_state.session.frames) - 1
            stop = (
                max(start - max_frame_num_to_track, 0)
                if reverse
                else min(start + max_frame_num_to_track, last)
            )
        for result in inference_state.session.propagate(start=start, stop=stop, reverse=reverse):
            inference_state.store(result)
            yield inference_state.masks_on(result.frame)

    def clear_all_prompts_in_frame(
        self, inference_state: InferenceState, frame_idx: int, obj_id: Any, need_output: bool = True
    ) -> VideoMasks | None:
        """Remove an object's prompts, and its mask, from a frame."""
        number = inference_state.known_session_id(obj_id)
        if frame_idx in inference_state.prompted.get(number, ()):
            inference_state.session.clear_prompts(number, frame_idx)
            inference_state.prompted[number].discard(frame_idx)
            inference_state.logits.get(frame_idx, {}).pop(number, None)
        return inference_state.masks_on(frame_idx) if need_output else None

    def remove_object(
        self, inference_state: InferenceState, obj_id: Any, strict: bool = False, need_output: bool = True
    ) -> tuple[list[Any], list[tuple[int, Tensor]]]:
        """Remove an object; ``strict`` makes an unknown one an error.

        Returns
        -------
        tuple
            The remaining ids, and ``(frame_idx, masks)`` of the frames where the object was prompted.
        """
        if obj_id not in inference_state.session_ids and not strict:
            return list(inference_state.session_ids), []
        number = inference_state.known_session_id(obj_id)
        del inference_state.session_ids[obj_id]
        if number in inference_state.session.object_ids:
            inference_state.session.remove_object(number)
        for rows in inference_state.logits.values():
            rows.pop(number, None)
        frames = sorted(inference_state.prompted.pop(number, ()))
        remaining = list(inference_state.session_ids)
        if not need_output or not remaining:
            return remaining, []
        return remaining, [(frame, inference_state.masks_on(frame)[2]) for frame in frames]

    def reset_state(self, inference_state: InferenceState) -> None:
        """Remove all objects and prompts; the frames stay."""
        for number in inference_state.session.object_ids:
            inference_state.session.remove_object(number)
        inference_state.session_ids.clear()
        inference_state.prompted.clear()
        inference_state.logits.clear()


def build_sam2_video_predictor(
    config_file: str,
    ckpt_path: str | Path | None = None,
    device: str | torch.device = "auto",
    mode: str = "eval",
    hydra_overrides_extra: Sequence[str] = (),
    apply_postprocessing: bool = True,
    vos_optimized: bool = False,
    **kwargs: object,
) -> SAM2VideoPredictor:
    """Load a model as ``build_sam2`` does; ``++model.max_cond_frames_in_attn=N`` is supported, too."""
    overrides = read_overrides(hydra_overrides_extra)
    model = load_official(config_file, ckpt_path, device, mode, overrides)
    most = overrides.get("max_cond_frames_in_attn", -1)
    return SAM2VideoPredictor(model, max_conditioning_frames=None if most < 0 else most)


def build_sam2_video_predictor_hf(model_id: str, **kwargs: Any) -> SAM2VideoPredictor:
    """Load a model by its name at Hugging Face, for videos."""
    return build_sam2_video_predictor(config_of(model_id), **kwargs)
