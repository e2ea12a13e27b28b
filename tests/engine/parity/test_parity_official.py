"""The engine gives the official package's answers: the same weights, the same pixels, float32."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from parity_cases import VIDEO_CASES, WIDTH, VideoCase
from parity_compare import Answer, Difference, difference, our_images, our_video, seeded_model

REFERENCES = Path(__file__).parent / "references"
VIDEO_STRIDE, IMAGE_STRIDE = 3, 7
"""As in ``make_references.py``."""
VIDEO_SIZE = 256


def quick(variant: str, case: VideoCase) -> bool:
    """Tell whether a case is for every run: all of one size, and one of what SAM 2.0 does otherwise."""
    return variant == "sam2.1_hiera_tiny" or (variant, case.name) == ("sam2_hiera_tiny", "gone and back")


def video_cases() -> Iterator[object]:
    for path in sorted(REFERENCES.glob("video_*.npz")):
        variant, recorded = path.stem.removeprefix("video_"), np.load(path).zip.namelist()
        for case in VIDEO_CASES:
            if f"{case.name}/0/logits.npy" in recorded:
                marks = () if quick(variant, case) else pytest.mark.slow
                yield pytest.param(variant, case, id=f"{path.stem}-{case.name}", marks=marks)


def their_answer(file: np.lib.npyio.NpzFile, key: str, scores: np.ndarray) -> Answer:
    masks = np.unpackbits(file[f"{key}/masks"], axis=-1, count=WIDTH).astype(bool)
    return Answer(file[f"{key}/logits"], file[f"{key}/peak"], masks, scores)


def thinned(answer: Answer, stride: int) -> Answer:
    return Answer(answer.logits[..., ::stride, ::stride], answer.peak, answer.masks, answer.scores)


def video_differences(variant: str, case: VideoCase) -> Iterator[tuple[str, Difference]]:
    model, cache = seeded_model(variant, VIDEO_SIZE, case.presence_bias)
    with np.load(REFERENCES / f"video_{variant}.npz") as file:
        for key, object_ids, ours in our_video(model, case, cache):
            assert object_ids == tuple(file[f"{key}/object_ids"])
            presence = 1 / (1 + np.exp(-file[f"{key}/presence"]))
            yield key, difference(thinned(ours, VIDEO_STRIDE), their_answer(file, key, presence))


def image_differences(variant: str) -> Iterator[tuple[str, Difference]]:
    model, _ = seeded_model(variant, 1024)
    with np.load(REFERENCES / f"image_{variant}.npz") as file:
        for name, ours in our_images(model):
            theirs = their_answer(file, name, file[f"{name}/iou"])
            yield name, difference(thinned(ours, IMAGE_STRIDE), theirs)


@pytest.mark.parametrize(("variant", "case"), list(video_cases()))
def test_video(variant: str, case: VideoCase) -> None:
    differences = dict(video_differences(variant, case))
    assert {name: apart for name, apart in differences.items() if not apart.small} == {}


def test_images_at_full_size() -> None:
    differences = dict(image_differences("sam2.1_hiera_tiny"))
    assert len(differences) == 13
    assert {name: apart for name, apart in differences.items() if not apart.small} == {}
