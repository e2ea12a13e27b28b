"""Make the official package's outputs that ``test_parity_official.py`` compares with.

To run, in a virtual environment of its own (Python 3.11, CPU)::

    pip install torch==2.13.0 setuptools wheel numpy pillow tqdm hydra-core iopath
    pip install --no-deps torchvision==0.28.0
    SAM2_BUILD_CUDA=0 pip install --no-deps --no-build-isolation sam2==1.1.0
    python tests/engine/parity/make_references.py [variant ...]

The weights are drawn by seed. Frames go through the image predictor's preprocessing, also in videos:
the official video loader resizes in another way, and pixels are not what is compared here.
"""

import logging
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from parity_cases import (
    IMAGE_CASES,
    LENGTH,
    VIDEO_CASES,
    Prompt,
    Track,
    VideoCase,
    draw_frames,
    rectangle,
)  # fmt: skip
from PIL import Image
from seeded_weights import draw_weights

REFERENCES = Path(__file__).parent / "references"
VIDEO_STRIDE, IMAGE_STRIDE = 3, 7
"""Logits are stored at every so many pixels, to keep the files small."""
VIDEO_SIZE = 256
CONFIGS = {
    "sam2.1_hiera_tiny": "configs/sam2.1/sam2.1_hiera_t.yaml",
    "sam2.1_hiera_small": "configs/sam2.1/sam2.1_hiera_s.yaml",
    "sam2.1_hiera_base_plus": "configs/sam2.1/sam2.1_hiera_b+.yaml",
    "sam2.1_hiera_large": "configs/sam2.1/sam2.1_hiera_l.yaml",
    "sam2_hiera_tiny": "configs/sam2/sam2_hiera_t.yaml",
}
BOTH_DIRECTIONS = next(case for case in VIDEO_CASES if case.name == "both directions")
CASES = {
    "sam2.1_hiera_tiny": VIDEO_CASES,
    "sam2_hiera_tiny": [
        case
        for case in VIDEO_CASES
        if case.name in ("every kind of prompt", "corrections", "both directions", "gone and back")
    ],
}
"""Which videos a variant plays; one, if it is not listed."""


def declare_torchvision_operators() -> object:
    """Declare what torchvision needs on import: its compiled part needs CUDA, and is not used here."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def record(outputs: dict, key: str, logits: np.ndarray, masks: np.ndarray, stride: int) -> None:
    """Return (..., h, w) logits subsampled, their peak, and whole masks as bits."""
    outputs[f"{key}/logits"] = logits[..., ::stride, ::stride].astype(np.float32)
    outputs[f"{key}/peak"] = np.abs(logits).max(axis=(-2, -1)).astype(np.float32)
    outputs[f"{key}/masks"] = np.packbits(masks, axis=-1)


def seed_model(model: torch.nn.Module, presence_bias: float) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    model.load_state_dict(draw_weights(shapes, presence_bias=presence_bias), strict=True)


def normalize(frames: np.ndarray, size: int) -> torch.Tensor:
    """Preprocess (T, H, W, 3) frames as the official image predictor does."""
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    pixels = torch.nn.functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def start(predictor: object, frames: np.ndarray) -> dict:
    """Open a video for the official predictor, then give it these pixels."""
    with tempfile.TemporaryDirectory() as folder:
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(Path(folder) / f"{number:05d}.jpg")
        state = predictor.init_state(folder)
    state["images"] = normalize(frames, predictor.image_size)
    state["cached_features"].clear()
    return state


def prompt(predictor: object, state: dict, step: Prompt, seen: set[tuple[int, int]]) -> None:
    key = (step.frame, step.object_id)
    if step.mask is not None:
        predictor.add_new_mask(state, step.frame, step.object_id, rectangle(*step.mask))
    else:
        points = {"points": np.array(step.points, np.float32), "labels": np.array(step.labels, np.int32)}
        predictor.add_new_points_or_box(
            state,
            step.frame,
            step.object_id,
            **(points if step.points else {}),
            box=step.box,
            clear_old_points=key not in seen,
        )
    seen.add(key)


def outputs_of(state: dict, frame: int) -> list[tuple[int, dict]]:
    """Return the objects that have an output on a frame, with that output."""
    outputs = []
    for index, object_id in state["obj_idx_to_id"].items():
        output = state["output_dict_per_obj"][index]
        for kind in ("cond_frame_outputs", "non_cond_frame_outputs"):
            if frame in output[kind]:
                outputs.append((object_id, output[kind][frame]))
                break
    return outputs


def run_video(predictor: object, case: VideoCase) -> dict[str, np.ndarray]:
    outputs: dict[str, np.ndarray] = {}
    state = start(predictor, draw_frames(case.glare))
    seen: set[tuple[int, int]] = set()
    names = iter(case.passes())
    for step in case.steps:
        if isinstance(step, Prompt):
            prompt(predictor, state, step, seen)
            continue
        key, _ = next(names)
        track(predictor, state, step, key, outputs)
    return outputs


def track(predictor: object, state: dict, step: Track, key: str, outputs: dict[str, np.ndarray]) -> None:
    logits, masks, presence = [], [], []
    steps = predictor.propagate_in_video(state, step.start, abs(step.stop - step.start), step.reverse)
    for frame, object_ids, video_logits in steps:
        outputs = outputs_of(state, frame)
        assert [object_id for object_id, _ in outputs] == list(object_ids)
        logits.append(torch.cat([output["pred_masks"][:, 0] for _, output in outputs]).numpy())
        presence.append(torch.cat([output["object_score_logits"][:, 0] for _, output in outputs]).numpy())
        masks.append(video_logits[:, 0].numpy() > 0)
    assert len(logits) == abs(step.stop - step.start) + 1
    record(outputs, key, np.stack(logits), np.stack(masks), VIDEO_STRIDE)
    outputs[f"{key}/presence"] = np.stack(presence)
    outputs[f"{key}/object_ids"] = np.array(object_ids)


def run_images(predictor: object) -> dict[str, np.ndarray]:
    outputs: dict[str, np.ndarray] = {}
    low_res: dict[str, np.ndarray] = {}
    predictor.set_image(draw_frames(length=1)[0])
    for case in IMAGE_CASES:
        masks, iou, logits = predictor.predict(
            point_coords=None if case.points is None else np.array(case.points, np.float32),
            point_labels=None if case.labels is None else np.array(case.labels, np.int32),
            box=None if case.box is None else np.array(case.box, np.float32),
            mask_input=low_res.get(case.mask_from),
            multimask_output=case.multimask,
        )
        low_res[case.name] = logits
        record(outputs, case.name, logits, masks > 0, IMAGE_STRIDE)
        outputs[f"{case.name}/iou"] = iou
    return outputs


def make(variant: str) -> None:
    from sam2.build_sam import build_sam2, build_sam2_video_predictor
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    predictor = build_sam2_video_predictor(
        CONFIGS[variant],
        device="cpu",
        hydra_overrides_extra=[
            f"++model.image_size={VIDEO_SIZE}",
            "++model.add_all_frames_to_correct_as_cond=true",
        ],
    )
    predictor.fill_hole_area = 0  # It needs a CUDA extension; on the CPU it only warns.
    outputs: dict[str, np.ndarray] = {}
    for case in CASES.get(variant, [BOTH_DIRECTIONS]):
        seed_model(predictor, case.presence_bias)
        outputs |= run_video(predictor, case)
    np.savez_compressed(REFERENCES / f"video_{variant}.npz", **outputs)
    if variant == "sam2.1_hiera_tiny":
        model = build_sam2(CONFIGS[variant], device="cpu")
        seed_model(model, presence_bias=6.0)
        np.savez_compressed(REFERENCES / f"image_{variant}.npz", **run_images(SAM2ImagePredictor(model)))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    torchvision_operators = declare_torchvision_operators()
    REFERENCES.mkdir(exist_ok=True)
    assert LENGTH >= 16
    for name in sys.argv[1:] or CONFIGS:
        make(name)
