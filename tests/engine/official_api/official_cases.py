"""Calls of the official API whose answers are recorded from the official package and compared with ours.

Every function here uses official names only, so the same code runs on both packages. Weights are drawn by
seed, and the model's input is small.
"""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from seeded_weights import draw_weights

CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"
SIDE = 128
SIZE = [f"++model.image_size={SIDE}"]
LENGTH, HEIGHT, WIDTH = 6, 90, 120
Results = dict[str, NDArray[Any]]


def draw_frames() -> NDArray[np.uint8]:
    """Return (LENGTH, HEIGHT, WIDTH, 3): two discs on a shaded ground that move apart, with fine texture."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rng = np.random.default_rng(5)
    texture = rng.integers(0, 40, (HEIGHT, WIDTH, 3))
    frames = np.empty((LENGTH, HEIGHT, WIDTH, 3), np.uint8)
    for t in range(LENGTH):
        frame = np.stack([40 + x * 0.6, 60 + y * 0.7, 120 - x * 0.4], -1) + texture
        frame[(x - 30 - 4 * t) ** 2 + (y - 40) ** 2 < 15**2] = (220, 60, 50)
        frame[(x - 85 + 3 * t) ** 2 + (y - 55) ** 2 < 12**2] = (60, 200, 90)
        frames[t] = np.clip(frame, 0, 255).astype(np.uint8)
    return frames


def write_frames(folder: Path) -> Path:
    """Write the frames as a folder of 0.jpg, 1.jpg, ...; lossless inside, so that all decoders agree."""
    for number, frame in enumerate(draw_frames()):
        Image.fromarray(frame).save(folder / f"{number}.jpg", format="PNG")
    return folder


def with_drawn_weights(model: torch.nn.Module) -> Any:
    """Give a model the weights that are drawn by seed."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    model.load_state_dict(drawn(tuple(shapes.items())), strict=True)
    return model


@cache
def drawn(shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> dict[str, torch.Tensor]:
    return draw_weights(dict(shapes), presence_bias=6.0)


# ---------------------------------------------------------------------- images

CLICK = {"point_coords": np.array([[32.0, 41.0]]), "point_labels": np.array([1])}
PREDICT: dict[str, dict[str, Any]] = {
    "click": CLICK,
    "single": {**CLICK, "multimask_output": False},
    "logits": {**CLICK, "return_logits": True},
    "two clicks": {"point_coords": [[32, 41], [85, 55]], "point_labels": [1, 0], "multimask_output": False},
    "fractions": {
        "point_coords": [[32 / WIDTH, 41 / HEIGHT]],
        "point_labels": [1],
        "normalize_coords": False,
    },
    "padding": {"point_coords": [[32, 41], [0, 0]], "point_labels": [1, -1]},
    "corners as clicks": {"point_coords": [[14, 24], [46, 57]], "point_labels": [2, 3]},
    "box": {"box": np.array([14, 24, 46, 57]), "multimask_output": False},
    "whole image": {"box": np.array([0, 0, WIDTH, HEIGHT]), "multimask_output": False},
    "box beyond": {"box": np.array([-7, 30, 40, HEIGHT + 9]), "multimask_output": False},
    "box and click": {**CLICK, "box": np.array([14, 24, 46, 57])},
    "one box of two axes": {"box": np.array([[14, 24, 46, 57]])},
    "boxes": {"box": np.array([[14, 24, 46, 57], [72, 42, 98, 68]]), "multimask_output": False},
    "objects": {
        "point_coords": np.array([[[32, 41]], [[85, 55]]], float),
        "point_labels": np.array([[1], [1]]),
    },
    "edge": {"point_coords": [[WIDTH, HEIGHT]], "point_labels": [1]},
}


def images(names: Any) -> Results:
    """Return what the image predictor answers."""
    model = with_drawn_weights(names.build_sam2(CONFIG, None, "cpu", "eval", SIZE))
    predictor, results = small(names.SAM2ImagePredictor(model)), {}
    frames = draw_frames()
    predictor.set_image(frames[0])
    for name, arguments in PREDICT.items():
        results |= packed(f"predict/{name}", predictor.predict(**arguments))
    low_res = predictor.predict(**CLICK)[2]
    best = low_res[:1]
    results |= packed("predict/again", predictor.predict([[32, 41]], [1], None, best, False))
    results |= packed("predict/mask alone", predictor.predict(mask_input=best, multimask_output=False))
    for name, image in other_images(frames[1]).items():
        predictor.set_image(image)
        results |= packed(f"image/{name}", predictor.predict(**CLICK))
    predictor.set_image_batch([frames[0], frames[2][:70]])
    results |= packed("after a batch", predictor.predict(**CLICK))
    batch = predictor.predict_batch(
        [CLICK["point_coords"], None],
        [CLICK["point_labels"], None],
        box_batch=[None, np.array([14, 24, 46, 57])],
    )
    for number, prediction in enumerate(zip(*batch)):
        results |= packed(f"batch/{number}", prediction)
    shifted = small(names.SAM2ImagePredictor(model, -2.0))
    shifted.set_image(frames[0])
    results |= packed("mask_threshold", shifted.predict(**CLICK))
    plain = names.build_sam2(CONFIG, None, "cpu", "eval", SIZE, False)
    plain = small(names.SAM2ImagePredictor(with_drawn_weights(plain)))
    plain.set_image(frames[0])
    results |= packed("without postprocessing", plain.predict(**PREDICT["single"]))
    results |= packed("without postprocessing, box", plain.predict(**PREDICT["box"]))
    return results


def small(predictor: Any) -> Any:
    """Let the official predictor take another input than 1024, which it does not by itself."""
    predictor._bb_feat_sizes = [(SIDE // 4, SIDE // 4), (SIDE // 8, SIDE // 8), (SIDE // 16, SIDE // 16)]
    return predictor


def other_images(image: NDArray[np.uint8]) -> dict[str, Any]:
    return {
        "Pillow": Image.fromarray(image),
        "float": (image / 255).astype(np.float32) * np.float32(0.7),
        "sliced": image[5:-4, ::2],
        "small": image[20:65, 10:50],
    }


def packed(key: str, prediction: Any) -> Results:
    """Return masks as bits, scores, and logits at every third pixel, with the shapes."""
    masks, ious, logits = prediction
    binary = set(np.unique(masks)) <= {0.0, 1.0}
    return {
        f"{key}/masks": np.packbits(masks > 0.5 if binary else masks > 0),
        f"{key}/ious": ious,
        f"{key}/logits": logits[..., ::3, ::3],
        f"{key}/shapes": np.array([*masks.shape, *ious.shape, *logits.shape, binary]),
    }


# ---------------------------------------------------------------------- automatic masks

AUTOMATIC: dict[str, dict[str, Any]] = {
    "all": {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0},
    "filtered": {"pred_iou_thresh": 0.5, "stability_score_thresh": 0.8},
    "threshold": {"mask_threshold": 0.3, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.5},
    "single": {"multimask_output": False, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.3},
    "refined": {"use_m2m": True, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.3},
    "crops": {"crop_n_layers": 1, "pred_iou_thresh": 0.2, "stability_score_thresh": 0.5},
    "coco": {"output_mode": "coco_rle", "pred_iou_thresh": 0.0, "stability_score_thresh": 0.6},
}
GRID = [np.array([[0.25, 0.45], [0.7, 0.6], [0.5, 0.1]])]


def automatic(names: Any) -> dict[str, Any]:
    """Return what the automatic mask generator finds, as JSON."""
    image, results = draw_frames()[0], {}
    for postprocessing in (True, False):
        model = names.build_sam2(CONFIG, None, "cpu", "eval", SIZE, postprocessing)
        model = with_drawn_weights(model)
        for name, settings in AUTOMATIC.items():
            mode = {"output_mode": "uncompressed_rle", **settings}
            generator = names.SAM2AutomaticMaskGenerator(model, 3, **mode)
            results[f"{name}, {postprocessing}"] = found(generator, image)
        by_position = (
            model,
            None,
            2,
            0.0,
            0.4,
            1.0,
            0.1,
            0.8,
            0,
            0.7,
            0.3,
            1,
            GRID,
            0,
            "uncompressed_rle",
            False,
        )
        results[f"by position, {postprocessing}"] = found(
            names.SAM2AutomaticMaskGenerator(*by_position, False), image
        )
    floats = names.SAM2AutomaticMaskGenerator(
        model, 2, output_mode="uncompressed_rle", stability_score_thresh=0.3
    )
    results["float"] = found(floats, image.astype(np.float32) / 300)
    return results


def found(generator: Any, image: NDArray[Any]) -> list[Any]:
    small(generator.predictor)
    return generator.generate(image)


# ---------------------------------------------------------------------- videos

OVERRIDES: dict[str, list[str]] = {
    "default": [],
    "corrections hold": ["++model.add_all_frames_to_correct_as_cond=true"],
    "apart": ["++model.non_overlap_masks=true"],
    "two conditioning frames": ["++model.max_cond_frames_in_attn=2"],
    "stride": ["++model.memory_temporal_stride_for_eval=2"],
    "few pointers": ["++model.max_obj_ptrs_in_encoder=3"],
}
MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[44:67, 73:96] = True
Video = Callable[[Any, dict[str, Any]], Iterator[tuple[int, list[Any], torch.Tensor]]]


def one_click(predictor: Any, state: dict[str, Any]) -> Any:
    yield predictor.add_new_points_or_box(state, 0, 1, [[30, 40]], [1])
    yield from predictor.propagate_in_video(state)


def every_prompt(predictor: Any, state: dict[str, Any]) -> Any:
    yield predictor.add_new_points_or_box(state, 0, "red", np.array([[30, 40]], np.float32), np.array([1]))
    yield predictor.add_new_points_or_box(state, 0, "red", [[60, 60]], [0], clear_old_points=False)
    yield predictor.add_new_points_or_box(state, 0, 7, box=[70, 40, 99, 69])
    yield predictor.add_new_mask(state, 2, 0, MASK)
    yield predictor.add_new_points_or_box(state, 0, 9, [[85, 55]], [1], box=torch.tensor([70.0, 40, 99, 69]))
    yield from predictor.propagate_in_video(state)


def middle(predictor: Any, state: dict[str, Any]) -> Any:
    yield predictor.add_new_points_or_box(state, 3, 1, [[42, 40]], [1])
    yield from predictor.propagate_in_video(state, 0)
    yield from predictor.propagate_in_video(state, 5, None, True)


def corrected(predictor: Any, state: dict[str, Any]) -> Any:
    yield predictor.add_new_points_or_box(state, 0, 1, [[30, 40]], [1])
    yield predictor.add_new_points_or_box(state, 0, 2, [[85, 55]], [1])
    yield from predictor.propagate_in_video(state)
    yield predictor.add_new_points_or_box(state, 3, 1, [[42, 40], [90, 80]], [1, 0])
    yield predictor.add_new_points_or_box(state, 3, 1, [[100, 10]], [0], False)
    yield predictor.add_new_mask(state, 4, 2, MASK)
    yield from predictor.propagate_in_video(state, start_frame_idx=2, max_frame_num_to_track=2)
    yield from predictor.propagate_in_video(state, reverse=True, start_frame_idx=4)


def many_prompts(predictor: Any, state: dict[str, Any]) -> Any:
    for frame in (0, 5, 2, 3):
        yield predictor.add_new_points_or_box(state, frame, 1, [[30 + 4 * frame, 40]], [1])
    yield from predictor.propagate_in_video(state, 1)
    yield from predictor.propagate_in_video(state, 4, 3, True)


def cleared(predictor: Any, state: dict[str, Any]) -> Any:
    for frame in (0, 3):
        yield predictor.add_new_points_or_box(state, frame, 1, [[30 + 4 * frame, 40]], [1])
    yield predictor.add_new_points_or_box(state, 3, 2, [[76, 55]], [1])
    yield from predictor.propagate_in_video(state)
    yield predictor.clear_all_prompts_in_frame(state, 3, 1)
    yield from predictor.propagate_in_video(state)
    yield predictor.add_new_points_or_box(state, 1, 3, [[30, 40]], [1])
    remaining, frames = predictor.remove_object(state, 1)
    yield from ((frame, remaining, masks) for frame, masks in frames)
    yield from predictor.propagate_in_video(state)


def other_mask_sizes(predictor: Any, state: dict[str, Any]) -> Any:
    yield predictor.add_new_mask(state, 0, 1, MASK[::2, ::3])
    yield predictor.add_new_mask(state, 1, "nothing", np.zeros((3, 3)))
    yield predictor.add_new_mask(
        state, 1, 2, torch.from_numpy(np.kron(MASK, np.ones((2, 2))))[-SIDE:, -SIDE:]
    )
    yield from predictor.propagate_in_video(state, max_frame_num_to_track=2)


def vos_inference(predictor: Any, state: dict[str, Any]) -> Any:
    """As in tools/vos_inference.py: masks of the first frame, all objects at once."""
    for object_id, mask in {1: MASK, 3: MASK[::-1].copy()}.items():
        predictor.add_new_mask(inference_state=state, frame_idx=0, obj_id=object_id, mask=mask)
    yield from predictor.propagate_in_video(state)


def vos_one_by_one(predictor: Any, state: dict[str, Any]) -> Any:
    """As there with objects that appear later: each by itself, then made to exclude each other."""
    scores = torch.full((2, 1, HEIGHT, WIDTH), -1024.0)
    for number, frame in enumerate((0, 2)):
        predictor.reset_state(state)
        predictor.add_new_mask(inference_state=state, frame_idx=frame, obj_id=number + 1, mask=MASK)
        steps = predictor.propagate_in_video(state, start_frame_idx=frame, reverse=False)
        scores[number] = {frame: masks for frame, _, masks in steps}[4][0]
    yield 4, [1, 2], predictor._apply_non_overlapping_constraints(scores)


VIDEOS: list[tuple[str, Video, bool]] = [
    ("default", one_click, True),
    ("default", one_click, False),
    ("default", every_prompt, True),
    ("default", middle, True),
    ("default", corrected, True),
    ("default", corrected, False),
    ("default", cleared, True),
    ("default", other_mask_sizes, True),
    ("corrections hold", corrected, True),
    ("apart", every_prompt, True),
    ("apart", vos_inference, False),
    ("apart", vos_one_by_one, False),
    ("two conditioning frames", many_prompts, True),
    ("stride", one_click, True),
    ("few pointers", many_prompts, True),
]
"""Settings, calls, and ``apply_postprocessing``."""


def video(names: Any, folder: str, setting: str, play: Video, postprocessing: bool) -> Results:
    """Return what the video predictor answers, call by call."""
    results: Results = {}
    predictor = video_predictor(names, setting, postprocessing)
    for number, (frame, ids, masks) in enumerate(answers(predictor, folder, play)):
        key = f"{setting}/{play.__name__}/{postprocessing}/{number}"
        results[f"{key}/masks"] = np.packbits(masks.numpy() > 0)
        results[f"{key}/logits"] = masks.numpy()[..., ::9, ::9]
        results[f"{key}/of"] = np.array([str(frame), *map(str, ids)])
    return results


def video_predictor(names: Any, setting: str = "default", postprocessing: bool = True) -> Any:
    predictor = names.build_sam2_video_predictor(
        CONFIG, None, "cpu", "eval", SIZE + OVERRIDES[setting], postprocessing
    )
    predictor.fill_hole_area = 0  # on the CPU the official package only warns of it
    return with_drawn_weights(predictor)


def answers(predictor: Any, folder: str, play: Video) -> Iterator[tuple[int, list[Any], torch.Tensor]]:
    state = predictor.init_state(folder)
    for frame, ids, masks in play(predictor, state):
        yield int(frame), list(ids), masks.float().clone()


# ---------------------------------------------------------------------- orders of frames


def orders(predictor: Any, folder: str) -> dict[str, list[int] | str]:
    """Return the frames that propagations yield, or "refused"."""
    results: dict[str, list[int] | str] = {}
    for prompted in ((0,), (1,), (3,), (5,), (1, 4)):
        for start in (None, 0, 2, 3, 5, 6):
            for count in (None, 0, 2, 9):
                for reverse in (False, True):
                    key = str((prompted, start, count, reverse))
                    results[key] = order(predictor, folder, prompted, start, count, reverse)
    return results


def order(
    predictor: Any,
    folder: str,
    prompted: tuple[int, ...],
    start: int | None,
    count: int | None,
    reverse: bool,
) -> list[int] | str:
    state = predictor.init_state(folder)
    for frame in prompted:
        predictor.add_new_points_or_box(state, frame, 1, [[40, 40]], [1])
    try:
        return [frame for frame, _, _ in predictor.propagate_in_video(state, start, count, reverse)]
    except (IndexError, ValueError):
        return "refused"
