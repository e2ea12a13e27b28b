"""What the generator promises beside SAM's own numbers (those are in ``parity``)."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.image.automatic_mask_generator import AutomaticMaskGenerator
from sam2_engine.image.click_grid import mask_centers
from sam2_engine.image.mask_candidates import Candidate, Crop, suppress, suppress_masks
from sam2_engine.image.predictor import ImagePredictor
from sam2_engine.masks import PackedMask, decode_rle, encode_rle, remove_small_regions
from sam2_engine.modeling.sam2 import Sam2

LENIENT = {
    "points_per_side": 4,
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
    "box_nms_thresh": 0.99,
    "crop_nms_thresh": 0.99,
}


def generator(model: Sam2, **settings: object) -> AutomaticMaskGenerator:
    return AutomaticMaskGenerator(model, **(LENIENT | settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("click_middle", [False, True])
def test_a_record_describes_its_mask(
    click_middle: bool, small_model: Sam2, moving_discs: NDArray[np.uint8]
) -> None:
    records = generator(small_model, click_middle=click_middle).generate(moving_discs[0])
    assert len(records) > (2 if click_middle else 5)
    predictor = ImagePredictor(small_model)
    predictor.set_image(moving_discs[0])
    for record in records:
        mask = record["segmentation"]
        assert isinstance(mask, np.ndarray)
        rows, columns = np.nonzero(mask)
        x, y, width, height = record["bbox"]
        assert (x, y, x + width, y + height) == (columns.min(), rows.min(), columns.max(), rows.max())
        assert record["area"] == mask.sum()
        assert record["crop_box"] == [0, 0, 120, 96]
        clicked, ious, _ = predictor.predict(record["point_coords"], [1])
        assert any(np.array_equal(mask, one) for one in clicked)
        assert np.isclose(ious, record["predicted_iou"], atol=1e-5).any()
    ious = [record["predicted_iou"] for record in records]
    assert ious == sorted(ious, reverse=True)


def test_labels_number_the_records_and_small_masks_lie_on_top(
    small_model: Sam2, moving_discs: NDArray[np.uint8]
) -> None:
    records = generator(small_model).generate(moving_discs[0])
    labels = generator(small_model).generate_labels(moving_discs[0])
    assert labels.shape == (96, 120)
    assert labels.dtype == np.uint16
    expected = np.zeros((96, 120), dtype=np.uint16)
    for number, record in sorted(enumerate(records, 1), key=lambda item: -item[1]["area"]):
        expected[record["segmentation"]] = number
    np.testing.assert_array_equal(labels, expected)


def test_the_second_click_is_at_the_center_of_the_first_mask() -> None:
    masks = torch.zeros(4, 8, 16, dtype=torch.bool)
    masks[0, 1:4, 2:5] = True
    masks[1, 0:5, 9:14] = True
    masks[2] = masks[0]
    points = torch.full((4, 2), 0.25, dtype=torch.float64)
    assert mask_centers(masks, points).tolist() == [[3.5 / 16, 2.5 / 8], [0.25, 0.25], [11.5 / 16, 2.5 / 8]]


def test_run_lengths_hold_the_same_masks(small_model: Sam2, moving_discs: NDArray[np.uint8]) -> None:
    whole = generator(small_model).generate(moving_discs[0])
    packed = generator(small_model, output_mode="uncompressed_rle").generate(moving_discs[0])
    for one, other in zip(whole, packed, strict=True):
        assert isinstance(one["segmentation"], np.ndarray)
        assert isinstance(other["segmentation"], dict)
        np.testing.assert_array_equal(decode_rle(other["segmentation"]), one["segmentation"])
        assert encode_rle(one["segmentation"]) == other["segmentation"]


def test_batches_change_nothing(small_model: Sam2, moving_discs: NDArray[np.uint8]) -> None:
    settings = {"points_per_side": 3, "crop_n_layers": 1, "use_m2m": True}
    at_once = generator(small_model, **settings).generate_labels(moving_discs[0])
    in_parts = generator(small_model, **settings, points_per_batch=4).generate_labels(moving_discs[0])
    assert at_once.max() > 0
    assert (at_once != in_parts).mean() < 0.01


def test_masks_are_tidied(small_model: Sam2, moving_discs: NDArray[np.uint8]) -> None:
    raw = generator(small_model).generate(moving_discs[0])
    tidy = generator(small_model, min_mask_region_area=50).generate(moving_discs[0])
    untidy = [r for r in raw if remove_small_regions(r["segmentation"], 50) is not r["segmentation"]]
    assert untidy, "the case needs ragged masks"
    for record in tidy:
        mask = record["segmentation"]
        assert isinstance(mask, np.ndarray)
        assert remove_small_regions(mask, 50) is mask
        assert record["area"] == mask.sum()


def test_crops_share_the_whole_images_window(small_model: Sam2, moving_discs: NDArray[np.uint8]) -> None:
    gray = moving_discs[0, ..., 0].astype(np.uint16) * 64 + 1000
    settings = {"points_per_side": 2, "crop_n_layers": 1}
    by_default = generator(small_model, **settings).generate_labels(gray)
    low, high = np.percentile(gray, (0.1, 99.9))
    given = generator(small_model, **settings).generate_labels(gray, contrast=(low, high))
    np.testing.assert_array_equal(by_default, given)


def test_progress_counts_clicks_and_may_stop_the_work(
    small_model: Sam2, moving_discs: NDArray[np.uint8]
) -> None:
    seen: list[tuple[int, int]] = []
    settings = {"points_per_side": 2, "points_per_batch": 3, "crop_n_layers": 1}
    generator(small_model, **settings).generate(
        moving_discs[0], on_progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(done, 20) for done in (3, 4, 7, 8, 11, 12, 15, 16, 19, 20)]

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        generator(small_model).generate(moving_discs[0], on_progress=stop)


def test_nothing_passes_impossible_filters(small_model: Sam2, moving_discs: NDArray[np.uint8]) -> None:
    strict = generator(small_model, pred_iou_thresh=1.0)
    assert strict.generate(moving_discs[0]) == []
    assert not strict.generate_labels(moving_discs[0]).any()


@pytest.mark.parametrize(
    "settings",
    [{"points_per_side": 0}, {"points_per_batch": 0}, {"crop_n_layers": -1}, {"output_mode": "png"}],
)
def test_settings_that_cannot_be_are_refused(small_model: Sam2, settings: dict[str, object]) -> None:
    with pytest.raises(InputError):
        generator(small_model, **settings)


@pytest.mark.parametrize("shape", [(5,), (0, 4), (2, 3, 4, 5)])
def test_images_that_cannot_be_are_refused(small_model: Sam2, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        generator(small_model).generate_labels(np.zeros(shape, dtype=np.uint8))


def test_duplicates_are_compared_by_masks_where_small_components_make_boxes_alike() -> None:
    def candidate(mask: NDArray[np.bool_], predicted_iou: float, stability: float) -> Candidate:
        rows, columns = np.nonzero(mask)
        box = (int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max()))
        packed = PackedMask.from_array(mask, (60, 60))
        return Candidate(
            packed, box, predicted_iou, stability, (0, 0), Crop(0, 0, 60, 60, 0), int(mask.sum())
        )

    left, right, part = (np.zeros((60, 60), bool) for _ in range(3))
    left[10:50, 5:25] = True
    right[10:50, 35:55] = True
    left_with_pixel, right_with_pixel = left.copy(), right.copy()
    left_with_pixel[30, 54] = right_with_pixel[30, 5] = True
    part[10:40, 5:25] = True
    one, other = candidate(left_with_pixel, 0.8, 0.9), candidate(right_with_pixel, 0.9, 0.9)
    assert suppress([one, other], [0.8, 0.9], 0.7) == [other], "their boxes are the same"
    assert suppress_masks([one, candidate(part, 0.85, 0.5), other], 0.7) == [other, one]
