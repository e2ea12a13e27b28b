"""A script in the style of the official examples; which package it runs on is decided by its imports alone.

``python official_script.py PACKAGE CONFIG CHECKPOINT FRAMES SIDE`` with PACKAGE ``sam2`` or ``sam2_engine``
prints the types and shapes of all that the methods return, as JSON. FRAMES is a folder of ``00000.jpg``, ...
SIDE is that of the image model's input; the official image predictor knows only 1024.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

VIDEO_SIDE = 128


def imports(package: str) -> tuple:
    if package == "sam2_engine":
        from sam2_engine.official_api import (
            SAM2AutomaticMaskGenerator,
            SAM2ImagePredictor,
            build_sam2,
            build_sam2_video_predictor,
        )
    else:
        from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
        from sam2.build_sam import build_sam2, build_sam2_video_predictor
        from sam2.sam2_image_predictor import SAM2ImagePredictor
    return build_sam2, build_sam2_video_predictor, SAM2ImagePredictor, SAM2AutomaticMaskGenerator


def outline(value: object, sides: dict[int, str]) -> object:
    """Types and shapes of anything that a method returned; sides that depend on the model are named."""
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return [type(value).__name__, str(value.dtype), [sides.get(n, n) for n in value.shape]]
    if isinstance(value, dict):
        return {key: outline(item, sides) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *(outline(item, sides) for item in value)]
    return value if isinstance(value, (int, str, type(None))) else type(value).__name__


def images(predictor, frames: list[np.ndarray]) -> dict[str, object]:
    seen = {}
    with torch.inference_mode():
        predictor.set_image(frames[0])
        point, label = np.array([[30, 35]]), np.array([1])
        masks, scores, logits = predictor.predict(
            point_coords=point, point_labels=label, multimask_output=True
        )
        seen["click"] = (masks, scores, logits)
        best = logits[np.argmax(scores), :, :]
        seen["again"] = predictor.predict(
            point_coords=np.array([[30, 35], [60, 60]]),
            point_labels=np.array([1, 0]),
            mask_input=best[None, :, :],
            multimask_output=False,
        )
        seen["box"] = predictor.predict(box=np.array([15, 20, 45, 50])[None, :], multimask_output=False)
        seen["boxes"] = predictor.predict(
            point_coords=None,
            point_labels=None,
            box=np.array([[15, 20, 45, 50], [80, 45, 110, 75]]),
            multimask_output=False,
        )
        seen["many"] = predictor.predict(np.array([[[30, 35]], [[95, 60]]]), np.array([[1], [1]]))
        seen["embedding"] = predictor.get_image_embedding().ndim
        predictor.set_image_batch(frames[:2])
        seen["batch"] = predictor.predict_batch(
            [point, None], [label, None], box_batch=[None, np.array([[15, 20, 45, 50], [80, 45, 110, 75]])]
        )
        predictor.reset_predictor()
    return seen


def video(predictor, folder: str) -> dict[str, object]:
    seen = {}
    state = predictor.init_state(video_path=folder)
    seen["state"] = [state[key] for key in ("num_frames", "video_height", "video_width")]
    seen["click"] = predictor.add_new_points_or_box(
        inference_state=state,
        frame_idx=0,
        obj_id=0,
        points=np.array([[30, 35]], dtype=np.float32),
        labels=np.array([1], np.int32),
    )
    seen["box and click"] = predictor.add_new_points_or_box(
        state, 1, 7, points=[[95, 60]], labels=[1], box=[80, 45, 110, 75]
    )
    mask = np.zeros((96, 120), dtype=bool)
    mask[20:50, 15:45] = True
    seen["mask"] = predictor.add_new_mask(state, frame_idx=2, obj_id=3, mask=mask)
    seen["ids"] = state["obj_ids"]
    seen["forward"] = list(predictor.propagate_in_video(state))
    seen["correction"] = predictor.add_new_points(
        state, 2, 0, torch.tensor([[60.0, 60.0]]), torch.tensor([0]), clear_old_points=False
    )
    seen["part"] = list(predictor.propagate_in_video(state, start_frame_idx=1, max_frame_num_to_track=2))
    seen["back"] = list(predictor.propagate_in_video(state, start_frame_idx=2, reverse=True))
    seen["back from the first"] = list(predictor.propagate_in_video(state, reverse=True))
    seen["cleared"] = predictor.clear_all_prompts_in_frame(state, 2, 0)
    remaining, frames = predictor.remove_object(state, 7)
    seen["removed"] = [*remaining], frames
    remaining, frames = predictor.remove_object(state, 99)
    seen["unknown"] = [*remaining], frames
    predictor.reset_state(state)
    seen["after reset"] = state["obj_ids"]
    return seen


def main(package: str, config: str, checkpoint: str, folder: str, side: str) -> None:
    build_sam2, build_sam2_video_predictor, image_predictor, mask_generator = imports(package)
    frames = [np.array(Image.open(path).convert("RGB")) for path in sorted(Path(folder).glob("*.jpg"))]

    def overrides(size: object) -> list[str]:
        return [f"++model.image_size={size}"]

    model = build_sam2(config, checkpoint, device="cpu", hydra_overrides_extra=overrides(side))
    seen = {"image": images(image_predictor(model), frames)}
    # The official package cannot track an object that comes late in float32 on the CPU.
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        predictor = build_sam2_video_predictor(
            config, checkpoint, device="cpu", hydra_overrides_extra=overrides(VIDEO_SIDE)
        )
        seen["video"] = video(predictor, folder)
    generator = mask_generator(
        model, points_per_side=2, pred_iou_thresh=0.0, stability_score_thresh=0.0, box_nms_thresh=1.0
    )
    records = generator.generate(frames[0])
    seen["records"] = [len(records) > 0, {key: type(value).__name__ for key, value in records[0].items()}]
    print(json.dumps(outline(seen, {int(side) // 4: "low resolution"})))


if __name__ == "__main__":
    main(*sys.argv[1:])
