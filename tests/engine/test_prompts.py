"""Prompts that say nothing useful: refused, or said, wherever they are given."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from sam2_engine import ImagePredictor, InputError, InputWarning, VideoSession, open_frames
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.prompts import Box, Points, Prompt
from sam2_engine.video.open_session import open_video_session

SHAPE = (96, 120)


@pytest.mark.parametrize(
    ("box", "sentence"),
    [
        (
            (0.15, 0.25, 0.5, 0.75),
            r"The box \(0.15, 0.25, 0.5, 0.75\) seems to be in fractions of the frame, which is 120 wide and "
            r"96 high; give it in pixels: \(18, 24, 60, 72\)\.",
        ),
        ((0, 0, 1, 1), "in fractions"),
        ((30, 20, 29, 40), "is less than one pixel wide or high: x1 must not be below x0"),
        ((30, 20, 40, 19.5), "less than one pixel"),
        ((-9, 5, -0.5, 40), "outside the frame"),
        ((119.5, 5, 130, 40), "outside the frame"),
        ((10, 10, np.nan, 20), "finite"),
        ([(10, 10, 20, 20), (30, 30, 40, 40)], "not 8 numbers"),
    ],
)
def test_a_box_that_says_nothing_is_refused(box: ArrayLike, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Prompt.of(SHAPE, box=box)


@pytest.mark.parametrize(
    "box", [(20, 40, 40, 40), (30, 20, 30, 40), (7, 9, 7, 9), (0, 0, 0, 0), (0, 0, 1, 0), (119, 95, 119, 95)]
)
def test_a_box_of_one_row_column_or_pixel(box: tuple[int, ...]) -> None:
    prompt = Prompt.of(SHAPE, box=box)
    assert prompt.extent == box
    assert prompt.on(SHAPE) == prompt


def test_a_box_whose_edges_were_converted_is_one_pixel_wide() -> None:
    assert Box.of((20, 40, 19.9999, 60), SHAPE) == Box(20, 40, 20, 60)


DISC = (np.mgrid[:96, :120] - np.array([[[40]], [[50]]])).__pow__(2).sum(0) < 100


@pytest.mark.parametrize(
    "mask",
    [DISC, DISC * np.uint8(255), DISC * 1, DISC * 0.5, np.ma.MaskedArray(np.ones(SHAPE), ~DISC)],
    ids=["bool", "255", "1", "0.5", "masked"],
)
def test_a_mask_is_zero_and_one_other_value(mask: ArrayLike) -> None:
    given = Prompt.of(SHAPE, mask=mask).mask
    assert given is not None
    np.testing.assert_array_equal(given.to_array(), DISC)


@pytest.mark.parametrize(
    "mask",
    [
        np.where(DISC, 5.0, -5.0),
        np.where(DISC, 0.9, 0.1),
        DISC + np.eye(96, 120, dtype=int) * 2,
        np.where(DISC, 1, np.nan),
        np.where(DISC, 0, -1),
        np.where(DISC, "in", ""),
    ],
    ids=["logits", "probabilities", "labels", "NaN", "-1", "text"],
)
def test_numbers_that_are_no_mask_are_refused(mask: ArrayLike) -> None:
    """Was: logits selected all of the frame, a label image became one object."""
    with pytest.raises(InputError, match="The mask holds"):
        Prompt.of(SHAPE, mask=mask)


def test_points_in_fractions_are_said() -> None:
    with pytest.warns(InputWarning, match="not in fractions of the frame"):
        Points.of([(0.5, 0.25)], None, SHAPE)


def test_a_point_inside_and_outside_is_refused() -> None:
    with pytest.raises(InputError, match=r"The point \(30, 20\) is given both as inside and as outside"):
        Points.of([(30, 20), (9, 9), (30, 20)], [1, 1, 0], SHAPE)


def test_a_point_given_twice_is_said() -> None:
    with pytest.warns(InputWarning, match=r"The point \(30, 20\) is given more than once"):
        Points.of([(9, 9), (30, 20), (30, 20)], [0, 1, 1], SHAPE)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("point", [(0, 0), (1, 1), (0.5, 30)])
def test_a_click_in_the_corner_is_taken(point: ArrayLike) -> None:
    Points.of(point, None, SHAPE)


Frames = NDArray[np.uint8]
SESSIONS = {
    "video": lambda model, frames: VideoSession(model, frames),
    "image": lambda model, frames: open_video_session(model, open_frames(frames[:1], axes="TYXS")),
    "tiles": lambda model, frames: open_video_session(
        model, open_frames(np.pad(frames[:3], ((0, 0), (0, 200), (0, 200), (0, 0)), mode="wrap"), axes="TYXS")
    ),
}
OUTSIDE_ALONE = "All clicks are outside of the object, and it has no mask here that they could correct"


@pytest.mark.parametrize("kind", SESSIONS)
def test_clicks_outside_alone_are_refused_and_correct_a_mask(
    kind: str, small_model: Sam2, moving_discs: Frames
) -> None:
    session = SESSIONS[kind](small_model, moving_discs)
    with pytest.raises(InputError, match=OUTSIDE_ALONE):
        session.add_points(0, 1, (30, 35), [0])
    assert session.object_ids == ()
    session.add_points(0, 1, (30, 35))
    assert session.add_points(0, 1, (60, 35), [0]).object_ids == (1,)
    session.add_box(0, 2, (18, 22, 43, 48))
    session.add_points(0, 2, (60, 35), [0])
    session.add_mask(0, 4, square(session.frames.shape))
    session.add_points(0, 4, (60, 35), [0])
    session.add_points(0, 3, [(30, 35), (60, 35)], [0, 1])


def square(shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    mask[25:45, 20:40] = True
    return mask


PREDICT: list[Callable[[ImagePredictor], object]] = [
    lambda p: p.predict([(30, 35)], [0]),
    lambda p: p.predict([[(30, 35)], [(40, 45)]], [[1], [0]]),
]


@pytest.mark.parametrize("predict", PREDICT)
def test_the_image_predictor_refuses_clicks_outside_alone(
    predict: Callable[[ImagePredictor], object], small_model: Sam2, moving_discs: Frames
) -> None:
    predictor = ImagePredictor(small_model)
    predictor.set_image(moving_discs[0])
    with pytest.raises(InputError, match=OUTSIDE_ALONE):
        predict(predictor)
    _, _, low_res = predictor.predict([(30, 35)], [1], multimask_output=False)
    predictor.predict([(60, 35)], [0], mask_input=low_res)
    predictor.predict([(60, 35)], [0], box=(10, 10, 60, 60))
