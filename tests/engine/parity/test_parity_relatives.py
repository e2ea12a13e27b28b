"""Relatives give the answers of their authors' code: the same weights, the same pixels, float32."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from relative_cases import HEIGHT, LENGTH, WIDTH, draw_frames, prompt, relative, resized
from torch.nn.functional import interpolate

from sam2_engine.feature_cache import FeatureCache
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.frame_encoder import FrameEncoder
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.video_session import VideoSession

REFERENCES = Path(__file__).parent / "references"
OBJECTS = "click", "box", "two clicks"
RELATIVE = 2e-4
"""As for SAM 2; beside it, what float16 rounds in the references."""
ROUNDING = 2.0**-11


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> NDArray[np.uint8]:
    """Frames that the model sees as the official loader resizes them."""
    monkeypatch.setattr(
        FrameEncoder, "_inputs", lambda self, seen: resized(seen.pixels, self.model.image_size)
    )
    return draw_frames()


@lru_cache(maxsize=1)
def model_of(reference: str) -> tuple[Sam2, FeatureCache]:
    variant, size = reference.rsplit("_", 1)
    return relative(variant, int(size), variant[:15]), FeatureCache()


def tracked(
    reference: str, frames: NDArray[np.uint8], name: str, start: int, reverse: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return shown(list(prompted(reference, frames, name).propagate(start=start, reverse=reverse)))


def prompted(reference: str, frames: NDArray[np.uint8], name: str) -> VideoSession:
    model, cache = model_of(reference)
    session = VideoSession(model, frames, cache=cache, max_object_pointers=LENGTH)
    prompt(session, name)
    return session


def shown(results: list[FrameResult]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return logits at the size of the frame, thinned out as the reference, and presence logits."""
    logits = torch.stack([torch.from_numpy(result.low_res_logits) for result in results])
    resized = interpolate(logits, (HEIGHT, WIDTH), mode="bilinear", align_corners=False)[:, 0, ::6, ::6]
    presence = np.array([result.presence[0] for result in results])
    return resized.numpy(), np.log(presence / (1 - presence))


def excess(ours: NDArray[np.float32], theirs: NDArray[np.float16]) -> float:
    """Return the largest difference of logits beyond rounding, as a share of a frame's largest."""
    expected = theirs.astype(np.float32)
    beyond = np.abs(ours - expected) - ROUNDING * np.abs(expected)
    return float((beyond.max((1, 2)) / np.abs(expected).max((1, 2))).max())


@pytest.mark.parametrize(
    "reference",
    [
        "efficienttam_ti_1_256",
        "efficienttam_ti_2_256",
        pytest.param("efficienttam_ti_512x512_512", marks=pytest.mark.slow),
    ],
)
def test_efficienttam(reference: str, frames: NDArray[np.uint8]) -> None:
    with np.load(REFERENCES / f"relative_{reference}.npz") as theirs:
        for index, name in enumerate(OBJECTS):
            logits, presence = tracked(reference, frames, name, start=2)
            assert excess(logits, theirs["logits"][:, index]) < RELATIVE
            assert np.abs(presence - theirs["presence"][:, index]).max() < 5e-3
        logits, _ = tracked(reference, frames, "mask", start=4)
        assert excess(logits, theirs["mask"]) < RELATIVE


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_edgetam(frames: NDArray[np.uint8]) -> None:
    reference = "edgetam_1024"
    clicked = prompted(reference, frames, "click")
    with np.load(REFERENCES / f"relative_{reference}.npz") as theirs:
        for index, name in enumerate(OBJECTS):
            start = 2 if name == "two clicks" else 0
            session = clicked if name == "click" else prompted(reference, frames, name)
            logits, presence = shown(list(session.propagate(start=start)))
            assert excess(logits, theirs["logits"][start:, index]) < RELATIVE
            assert np.abs(presence - theirs["presence"][start:, index]).max() < 5e-3
        for key, reverse in (("mask", False), ("mask_reverse", True)):
            logits, _ = tracked(reference, frames, "mask", 4, reverse)
            expected = theirs[key][::-1] if reverse else theirs[key]  # stored in the order of frames
            assert excess(logits, expected) < RELATIVE
        clicked.add_points(5, 1, [(120, 90), (60, 150)], [1, 0])
        assert excess(shown(list(clicked.propagate()))[0], theirs["corrected"]) < RELATIVE
