"""What another library set in PyTorch, a default dtype or autocast, changes no mask."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sam2_engine import AutomaticMaskGenerator, ImagePredictor, InputError, VideoSession, load_model
from sam2_engine.modeling.position_encoding import cached_rotation, cached_sine_grid
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.image_session import ImageSession

Run = Callable[[Sam2, NDArray[np.uint8]], NDArray[np.generic]]


def click(model: Sam2, frames: NDArray[np.uint8]) -> NDArray[np.generic]:
    predictor = ImagePredictor(model)
    predictor.set_image(frames[0])
    return predictor.predict([(30, 35)], [1], return_logits=True)[0]


def session_on_an_image(model: Sam2, frames: NDArray[np.uint8]) -> NDArray[np.generic]:
    return ImageSession(model, frames[:1]).add_box(0, 1, (18, 22, 43, 48)).logits


def track(model: Sam2, frames: NDArray[np.uint8]) -> NDArray[np.generic]:
    session = VideoSession(model, frames[:4])
    session.add_points(0, 1, (30, 35))
    session.add_mask(1, 2, frames[0, ..., 0] > 200)
    return np.concatenate([result.logits for result in session.propagate()])


def find_everything(model: Sam2, frames: NDArray[np.uint8]) -> NDArray[np.generic]:
    generator = AutomaticMaskGenerator(
        model, points_per_side=3, pred_iou_thresh=0, stability_score_thresh=0, click_middle=True
    )
    return np.stack([record["segmentation"] for record in generator.generate(frames[0])])


RUNS = [click, session_on_an_image, track, find_everything]


@pytest.fixture
def float64_by_default() -> Iterator[Callable[[], None]]:
    def set_it() -> None:
        cached_sine_grid.cache_clear()
        cached_rotation.cache_clear()
        torch.set_default_dtype(torch.float64)

    yield set_it
    torch.set_default_dtype(torch.float32)
    cached_sine_grid.cache_clear()
    cached_rotation.cache_clear()


@pytest.mark.parametrize("run", RUNS)
def test_another_default_dtype_changes_nothing(
    run: Run,
    small_model: Sam2,
    moving_discs: NDArray[np.uint8],
    float64_by_default: Callable[[], None],
) -> None:
    expected = run(small_model, moving_discs)
    float64_by_default()
    np.testing.assert_array_equal(run(small_model, moving_discs), expected)


@pytest.mark.parametrize("run", RUNS)
def test_autocast_around_it_changes_nothing(
    run: Run, small_model: Sam2, moving_discs: NDArray[np.uint8]
) -> None:
    expected = run(small_model, moving_discs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_array_equal(run(small_model, moving_discs), expected)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_converted_weights_are_refused_in_a_sentence(
    run: Run, dtype: torch.dtype, moving_discs: NDArray[np.uint8], small_checkpoint: str
) -> None:
    model = load_model(small_checkpoint).to(dtype)
    with pytest.raises(
        InputError, match=r"converted to \w+, but they stay float32 here: undo it by model.float"
    ):
        run(model, moving_discs)
