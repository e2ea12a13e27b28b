"""The engine gives the answers of transformers' Sam2Model and Sam2VideoModel, side by side, in float32.

Left out is what transformers itself does unlike the official package, with which we agree there: mask
prompts in videos (another pointer, another memory), corrections of tracked frames (not kept), and an
image's mask without any point (an extra padding point).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from parity_cases import (
    HEIGHT,
    IMAGE_CASES,
    VIDEO_CASES,
    WIDTH,
    ImageCase,
    Prompt,
    Track,
    VideoCase,
    draw_frames,
)
from parity_compare import Answer, Difference, difference, our_images, our_video, peak_of, seeded_model

from sam2_engine import load_model
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import logits_to_size, to_model_input
from sam2_engine.weights.huggingface import to_huggingface

if TYPE_CHECKING:  # it is slow to import, and most processes of tests do without
    from transformers import Sam2Model, Sam2VideoModel
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

IMAGES = [case for case in IMAGE_CASES if case.points is not None or case.box is not None]
VIDEOS = [
    case.only(
        case.object_ids - {step.object_id for step in case.steps if isinstance(step, Prompt) and step.mask}
    )
    for case in VIDEO_CASES
    if case.name
    in ("every kind of prompt", "a late object", "two prompted frames", "both directions", "gone and back")
]


def video_case(name: str) -> VideoCase:
    return next(case for case in VIDEOS if case.name == name)


def their_settings(model: Sam2) -> dict[str, object]:
    """Return transformers' configuration of the parts for our model's configuration."""
    config, grid, side = model.config, model.grid, model.image_size
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "image_size": [side, side],
        "hidden_size": config.embed_dim,
        "num_attention_heads": config.num_heads,
        "blocks_per_stage": list(config.stages),
        "embed_dim_per_stage": list(config.stage_dims),
        "num_attention_heads_per_stage": [config.num_heads * 2**stage for stage in range(4)],
        "window_size_per_stage": list(config.window_sizes),
        "window_positional_embedding_background_size": list(config.pos_embed_size),
        "global_attention_blocks": list(config.global_attention_blocks),
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": list(config.stage_dims)[::-1],
        "backbone_feature_sizes": [[grid * scale] * 2 for scale in (4, 2, 1)],
        "fpn_hidden_size": config.hidden_dim,
    }
    return {
        "vision_config": vision,
        "prompt_encoder_config": {"image_size": side, "hidden_size": config.hidden_dim},
        "mask_decoder_config": {
            "hidden_size": config.hidden_dim,
            "dynamic_multimask_via_stability": config.dynamic_multimask_via_stability,
        },
    }


def their_image_model(model: Sam2) -> Sam2Model:
    from transformers import Sam2Config, Sam2Model

    theirs = Sam2Model(Sam2Config(**their_settings(model))).eval()
    weights = to_huggingface(model.state_dict())
    theirs.load_state_dict({name: weights[name] for name in theirs.state_dict()})
    return theirs


@lru_cache(maxsize=1)
def build_their_video_model(model: Sam2) -> Sam2VideoModel:
    from transformers import Sam2VideoConfig, Sam2VideoModel

    config = Sam2VideoConfig(
        **their_settings(model),
        image_size=model.image_size,
        memory_attention_hidden_size=model.config.hidden_dim,
        memory_attention_num_layers=model.config.memory_attention_layers,
        memory_attention_feed_forward_hidden_size=model.config.memory_attention_ffn,
        memory_attention_rope_feat_sizes=[model.grid, model.grid],
        memory_encoder_hidden_size=model.config.hidden_dim,
        memory_encoder_output_channels=model.config.memory_dim,
        mask_downsampler_embed_dim=model.config.hidden_dim,
        memory_fuser_embed_dim=model.config.hidden_dim,
        memory_fuser_intermediate_dim=4 * model.config.hidden_dim,
        num_maskmem=model.config.num_recent_memories + 1,
        enable_occlusion_spatial_embedding=model.config.absent_memory_embedding,
        multimask_output_in_sam=model.config.multimask_output_in_sam,
        enable_temporal_pos_encoding_for_object_pointers=model.config.signed_pointer_time,
    )
    return Sam2VideoModel(config).eval()


def their_video_model(model: Sam2) -> Sam2VideoModel:
    theirs = build_their_video_model(model)
    theirs.load_state_dict(to_huggingface(model.state_dict()))
    return theirs


def corners(box: object) -> np.ndarray:
    return np.asarray(box, np.float32).reshape(-1, 2, 2)


def their_images(theirs: Sam2Model, model: Sam2, cases: Iterable[ImageCase]) -> Iterator[tuple[str, Answer]]:
    scale = torch.tensor([model.image_size / WIDTH, model.image_size / HEIGHT])
    encoded = theirs.get_image_embeddings(to_model_input(draw_frames(length=1)[0], None, model.image_size))
    low_res: dict[str | None, torch.Tensor] = {}
    for case in cases:
        many = np.ndim(case.points) == 3 or np.ndim(case.box) == 2
        points, labels = [], []
        if case.box is not None:
            points.append(corners(case.box))
            labels.append(np.tile([2, 3], (len(points[0]), 1)))
        if case.points is not None:
            clicks = np.asarray(case.points, np.float32)
            points.append(clicks.reshape(-1, *clicks.shape[-2:]))
            labels.append(np.asarray(case.labels).reshape(len(points[-1]), -1))
        output = theirs(
            image_embeddings=encoded,
            input_points=torch.from_numpy(np.concatenate(points, axis=1))[None] * scale,
            input_labels=torch.from_numpy(np.concatenate(labels, axis=1))[None],
            input_masks=low_res.get(case.mask_from),
            multimask_output=case.multimask,
        )
        logits = output.pred_masks[0].clamp(-32, 32)
        low_res[case.name] = logits[:, :1]
        masks = logits_to_size(output.pred_masks[0], (HEIGHT, WIDTH)) > 0
        answer = (logits.numpy(), peak_of(logits.numpy()), masks.numpy(), output.iou_scores[0].numpy())
        yield case.name, Answer(*(part if many else part[0] for part in answer))


def their_video(theirs: Sam2VideoModel, model: Sam2, case: VideoCase) -> Iterator[tuple[str, Answer]]:
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    frames = torch.cat([to_model_input(frame, None, model.image_size) for frame in draw_frames(case.glare)])
    session = Sam2VideoInferenceSession(
        frames, HEIGHT, WIDTH, dtype=torch.float32, max_vision_features_cache_size=len(frames)
    )
    names = iter(case.passes())
    for (tracking, frame), steps in groupby(
        case.steps, lambda step: (True, None) if isinstance(step, Track) else (False, step.frame)
    ):
        if tracking:
            for step in steps:
                key, _ = next(names)
                yield key, their_track(theirs, session, step)
        else:
            for step in steps:
                their_prompt(session, step, model.image_size)
            theirs(session, frame_idx=frame)


def their_prompt(session: Sam2VideoInferenceSession, step: Prompt, side: int) -> None:
    points = np.asarray(step.points, np.float32).reshape(-1, 2)
    labels = np.asarray(step.labels, np.int64)
    if step.box is not None:
        points, labels = np.concatenate([corners(step.box)[0], points]), np.concatenate([[2, 3], labels])
    points = points * np.array([side / WIDTH, side / HEIGHT], np.float32)
    inputs = {
        "point_coords": torch.from_numpy(points)[None, None],
        "point_labels": torch.from_numpy(labels)[None, None],
    }
    session.add_point_inputs(session.obj_id_to_idx(step.object_id), step.frame, inputs)
    session.obj_with_new_inputs.append(step.object_id)


def their_track(theirs: Sam2VideoModel, session: Sam2VideoInferenceSession, step: Track) -> Answer:
    results = list(
        theirs.propagate_in_video_iterator(
            session, step.start, max_frame_num_to_track=abs(step.stop - step.start), reverse=step.reverse
        )
    )
    logits = torch.stack([result.pred_masks[:, 0] for result in results])
    masks = logits_to_size(logits, (HEIGHT, WIDTH)) > 0
    presence = torch.stack([result.object_score_logits[:, 0] for result in results]).sigmoid()
    return Answer(logits.numpy(), peak_of(logits.numpy()), masks.numpy(), presence.numpy())


@torch.inference_mode()
def image_differences(variant: str, image_size: int) -> dict[str, Difference]:
    model, _ = seeded_model(variant, image_size)
    theirs = dict(their_images(their_image_model(model), model, IMAGES))
    return {name: difference(ours, theirs[name]) for name, ours in our_images(model, IMAGES)}


@torch.inference_mode()
def video_differences(variant: str, image_size: int, case: VideoCase) -> dict[str, Difference]:
    model, cache = seeded_model(variant, image_size, case.presence_bias)
    theirs = dict(their_video(their_video_model(model), model, case))
    return {key: difference(ours, theirs[key]) for key, _, ours in our_video(model, case, cache)}


def assert_small(differences: dict[str, Difference]) -> None:
    assert differences
    assert {name: apart for name, apart in differences.items() if not apart.small} == {}


@pytest.mark.parametrize(
    "variant", ["sam2.1_hiera_tiny", pytest.param("sam2.1_hiera_base_plus", marks=pytest.mark.slow)]
)
def test_images(variant: str) -> None:
    assert_small(image_differences(variant, 256))


@pytest.mark.parametrize("name", ["both directions", "gone and back"])
def test_video(name: str) -> None:
    assert_small(video_differences("sam2.1_hiera_tiny", 128, video_case(name)))


@pytest.mark.slow
@pytest.mark.parametrize("case", VIDEOS, ids=lambda case: case.name)
def test_larger_video(case: VideoCase) -> None:
    assert_small(video_differences("sam2.1_hiera_tiny", 256, case))


@pytest.mark.slow  # every run compares SAM 2.0 with the official package
@pytest.mark.parametrize("image_size", [128, 256])
def test_video_of_sam_2_0(image_size: int) -> None:
    assert_small(video_differences("sam2_hiera_tiny", image_size, video_case("gone and back")))


@pytest.mark.parametrize("image_size", [256, pytest.param(512, marks=pytest.mark.slow)])
@torch.inference_mode()
def test_the_weights_of_nano_run_there_too(image_size: int) -> None:
    nano = load_model("nano", device="cpu", dtype=torch.float32, image_size=image_size)
    # What is ours alone is left out.
    nano.config = replace(nano.config, wide_view=1.0, removes_small_components=False)
    theirs = dict(their_images(their_image_model(nano), nano, IMAGES))
    assert_small({name: difference(ours, theirs[name]) for name, ours in our_images(nano, IMAGES)})
    case = video_case("two prompted frames")
    tracked = dict(their_video(their_video_model(nano), nano, case))
    assert_small({key: difference(ours, tracked[key]) for key, _, ours in our_video(nano, case)})


@pytest.mark.large
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("variant", ["sam2.1_hiera_tiny", "sam2.1_hiera_large"])
def test_images_at_full_size(variant: str) -> None:
    assert_small(image_differences(variant, 1024))


@pytest.mark.large
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("case", VIDEOS, ids=lambda case: case.name)
def test_video_at_full_size(case: VideoCase) -> None:
    assert_small(video_differences("sam2.1_hiera_tiny", 1024, case))
