import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.image.predictor import ImagePredictor
from sam2_engine.modeling.sam2 import Sam2

Frames = NDArray[np.uint8]


@pytest.fixture
def predictor(small_model: Sam2, moving_discs: Frames) -> ImagePredictor:
    predictor = ImagePredictor(small_model)
    predictor.set_image(moving_discs[0])
    return predictor


def test_shapes_are_those_of_sam(predictor: ImagePredictor) -> None:
    masks, ious, logits = predictor.predict([[30, 35]], [1])
    assert masks.shape == (3, 96, 120)
    assert masks.dtype == bool
    assert ious.shape == (3,)
    assert logits.shape == (3, 32, 32)
    assert np.abs(logits).max() <= 32
    masks, _, _ = predictor.predict(box=[20, 20, 50, 50], multimask_output=False)
    assert masks.shape == (1, 96, 120)
    masks, ious, _ = predictor.predict(box=[[20, 20, 50, 50], [80, 50, 110, 80]], multimask_output=False)
    assert masks.shape == (2, 1, 96, 120)
    assert ious.shape == (2, 1)


def test_many_prompts_equal_one_at_a_time(predictor: ImagePredictor) -> None:
    points = np.array([[[30, 35]], [[95, 60]]])
    together = predictor.predict(points, [[1], [1]])[2]
    for index in range(2):
        alone = predictor.predict(points[index], [1])[2]
        np.testing.assert_allclose(together[index], alone, atol=1e-3)


def test_a_mask_is_fed_back(predictor: ImagePredictor) -> None:
    _, ious, logits = predictor.predict([[30, 35]], [1])
    again = predictor.predict([[30, 35]], [1], mask_input=logits[ious.argmax()][None], multimask_output=False)
    alone = predictor.predict([[30, 35]], [1], multimask_output=False)
    assert np.abs(again[2] - alone[2]).max() > 0
    assert predictor.predict(mask_input=logits[:1])[0].shape == (3, 96, 120)


def test_batches_keep_images_apart(small_model: Sam2, moving_discs: Frames) -> None:
    predictor = ImagePredictor(small_model)
    predictor.set_image_batch([moving_discs[0], moving_discs[9][:60]])
    masks, _, logits = predictor.predict_batch([[[30, 35]], [[50, 40]]], [[1], [1]])
    assert [m.shape for m in masks] == [(3, 96, 120), (3, 60, 120)]
    predictor.set_image(moving_discs[9][:60])
    np.testing.assert_array_equal(predictor.predict([[50, 40]], [1])[2], logits[1])


def test_sixteen_bits_keep_their_gray_levels(small_model: Sam2) -> None:
    ramp = np.arange(96 * 120, dtype=np.uint16).reshape(96, 120) + 1000
    predictor = ImagePredictor(small_model)
    predictor.set_image(ramp)
    first = predictor.features.embedding
    flat = np.full_like(ramp, 1000)
    predictor.set_image(flat)
    assert float((first - predictor.features.embedding).abs().max()) > 0


def test_setting_a_known_image_again_is_free(small_model: Sam2, moving_discs: Frames) -> None:
    cache = FeatureCache()
    predictor = ImagePredictor(small_model, cache)
    predictor.set_image(moving_discs[0])
    features = predictor.features
    predictor.set_image(moving_discs[0].copy())
    assert predictor.features is features
    predictor.set_image(moving_discs[0], contrast=(0, 128))
    assert len(cache) == 2


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        ({}, "Nothing to go by"),
        ({"point_coords": [[500, 5]], "point_labels": [1]}, "outside the frame"),
        ({"point_coords": [[5, 5]], "point_labels": [3]}, "label is 1"),
        ({"box": [5, 5, 2, 9]}, "less than one pixel"),
        ({"mask_input": np.zeros((1, 7, 7))}, "low-resolution logits"),
    ],
)
def test_bad_prompts_are_explained(predictor: ImagePredictor, prompts: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        predictor.predict(**prompts)  # type: ignore[arg-type]


@pytest.mark.parametrize("box", [(20, 40, 40, 40), (30, 20, 30, 40), (7, 9, 7, 9), (0, 0, 0, 0)])
def test_a_box_of_one_row_column_or_pixel(predictor: ImagePredictor, box: tuple[int, ...]) -> None:
    masks, scores, _ = predictor.predict(box=box, multimask_output=False)
    assert masks.shape == (1, 96, 120)
    assert np.isfinite(scores).all()


def test_prompts_before_an_image_are_explained(small_model: Sam2) -> None:
    with pytest.raises(InputError, match="set_image"):
        ImagePredictor(small_model).predict([[5, 5]], [1])


def test_some_non_finite_pixels_are_counted_and_nothing_else_is_refused(small_model: Sam2) -> None:
    image = np.random.default_rng(0).random((40, 50), np.float32)
    image[:2, :5] = np.nan
    predictor = ImagePredictor(small_model)
    with pytest.warns(InputWarning, match="10 of 2000"):
        predictor.set_image(image, contrast=(0, 1))
    assert predictor.predict([[20, 20]], [1])[0].shape == (3, 40, 50)
    for value in (np.nan, np.inf):
        with pytest.warns(InputWarning, match="no finite pixel"):
            predictor.set_image(np.full((40, 50), value, np.float32))
        assert predictor.predict([[20, 20]], [1])[0].shape == (3, 40, 50)
    with pytest.raises(InputError, match="pixels"):
        predictor.set_image(np.zeros((0, 50), np.uint8))
