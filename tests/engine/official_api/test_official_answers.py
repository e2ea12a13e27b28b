"""The official names answer as the official package did, by its recorded answers.

``make_official_references.py`` recorded them; ``official_cases.py`` has the calls.
"""

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import official_cases as cases
import pytest
import torch
from numpy.typing import NDArray
from official_helpers import MASKS, helpers

import sam2_engine.official_api as ours
from sam2_engine.errors import InputError
from sam2_engine.masks import decode_rle
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.official_api import SAM2AutomaticMaskGenerator, SAM2VideoPredictor
from sam2_engine.official_api.utils import amg, misc

REFERENCES = Path(__file__).parent / "references"
PIXELS = 4
"""So many pixels of a mask may lie on the other side of the threshold, by rounding."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(cases.write_frames(tmp_path_factory.mktemp("frames")))


def check(key: str, answer: NDArray[Any], expected: NDArray[Any]) -> None:
    assert answer.shape == expected.shape, key
    if key.endswith("/masks"):
        assert np.unpackbits(answer ^ expected).sum() <= PIXELS, key
    elif expected.dtype.kind == "U":
        assert answer.tolist() == expected.tolist(), key
    else:
        # Logits of absent objects are far below the others and exact.
        tolerance = 2e-5 * max(1.0, np.abs(np.clip(expected, -100, 100)).max())
        np.testing.assert_allclose(answer, expected, rtol=0, atol=10 * tolerance, err_msg=key)


def test_images() -> None:
    with np.load(REFERENCES / "images.npz") as expected:
        answers = cases.images(ours)
        assert answers.keys() == set(expected.files)
        for key, answer in answers.items():
            check(key, answer, expected[key])


def parameters() -> list[Any]:
    """Return all videos; those whose settings a quicker one has as well are slow."""
    slow = ("corrected-False", "apart-every_prompt-True", "few pointers-many_prompts-True", "vos_one_by_one")
    names = {
        f"{setting}-{play.__name__}-{flag}": (setting, play, flag) for setting, play, flag in cases.VIDEOS
    }
    return [
        pytest.param(case, id=name, marks=[pytest.mark.slow] if any(one in name for one in slow) else [])
        for name, case in names.items()
    ]


@pytest.mark.parametrize("case", parameters())
def test_videos(case: tuple[str, cases.Video, bool], folder: str) -> None:
    answers = cases.video(ours, folder, *case)
    with np.load(REFERENCES / "videos.npz") as expected:
        start = f"{case[0]}/{case[1].__name__}/{case[2]}/"
        assert answers.keys() == {key for key in expected.files if key.startswith(start)}
        for key, answer in answers.items():
            check(key, answer, expected[key])


def test_automatic_masks() -> None:
    expected = json.loads((REFERENCES / "automatic.json").read_text())
    answers = cases.automatic(ours)
    assert answers.keys() == expected.keys()
    for key, records in answers.items():
        assert len(records) == len(expected[key]), key
        for record, other in zip(records, expected[key]):
            assert {name: type(value) for name, value in record.items()} == {
                name: type(value) for name, value in other.items()
            }
            flipped = decode_rle(record["segmentation"]) ^ decode_rle(other["segmentation"])
            assert flipped.sum() <= PIXELS, key
            np.testing.assert_allclose(record["predicted_iou"], other["predicted_iou"], atol=1e-4)
            np.testing.assert_allclose(record["stability_score"], other["stability_score"], atol=5e-3)
            np.testing.assert_allclose(record["point_coords"], other["point_coords"], rtol=1e-6)
            np.testing.assert_allclose(record["bbox"], other["bbox"], atol=1)
            assert record["crop_box"] == other["crop_box"]


def test_helpers() -> None:
    expected = json.loads((REFERENCES / "helpers.json").read_text())
    answers = json.loads(json.dumps(helpers(amg, misc)))
    assert answers.keys() == expected.keys()
    for key, answer in answers.items():
        assert answer == expected[key], key


def test_helpers_refuse_what_nobody_means() -> None:
    with pytest.raises(InputError, match="not a int"):
        amg.MaskData(scores=3)
    with pytest.raises(InputError, match="one length"):
        list(amg.batch_iterator(2, [1, 2], [3]))
    with pytest.raises(InputError, match="'specks'"):
        amg.remove_small_regions(MASKS[0], 3, "specks")
    with pytest.raises(InputError, match="img_mean"):
        misc.load_video_frames("clip", 128, True, img_mean=(0.5, 0.5, 0.5))
    with pytest.raises(InputError, match="above 0"):
        misc.fill_holes_in_mask_scores(torch.zeros(1, 1, 4, 4), 0)


def test_frames_are_loaded_as_for_a_state(small_model: Sam2, folder: str) -> None:
    images, height, width = misc.load_video_frames(folder, small_model.image_size, offload_video_to_cpu=True)
    state = SAM2VideoPredictor(small_model).init_state(folder)
    assert (height, width) == (state["video_height"], state["video_width"])
    assert torch.equal(images[:], state["images"][:])


def test_small_regions_are_cleaned_and_what_becomes_a_double_goes() -> None:
    clean = MASKS[0].copy()
    clean[11, 14], clean[4, 5], clean[6:8, 6:9] = False, True, True
    masks = torch.from_numpy(np.stack([MASKS[0], clean, MASKS[2]]))
    data = amg.MaskData(rles=amg.mask_to_rle_pytorch(masks), boxes=amg.batched_mask_to_box(masks))
    cleaned = SAM2AutomaticMaskGenerator.postprocess_small_regions(data, 8, 0.99)
    assert [amg.rle_to_mask(one).tolist() for one in cleaned["rles"]] == [clean.tolist(), MASKS[2].tolist()]
    assert cleaned["boxes"].tolist() == [[3, 2, 10, 8], [2, 3, 12, 8]]


def test_orders_of_frames(small_model: Sam2, folder: str) -> None:
    """Which frames are tracked depends on no model; a start that does not exist may be refused."""
    expected = json.loads((REFERENCES / "orders.json").read_text())
    answers = cases.orders(SAM2VideoPredictor(small_model), folder)
    assert answers.keys() == expected.keys()
    for key, frames in answers.items():
        assert frames == expected[key], ast.literal_eval(key)
    assert len({str(frames) for frames in answers.values()}) > 15


def test_a_start_before_the_video_is_refused(small_model: Sam2, folder: str) -> None:
    predictor = SAM2VideoPredictor(small_model)
    state = predictor.init_state(folder)
    predictor.add_new_points_or_box(state, 0, 1, [[40, 40]], [1])
    with pytest.raises(InputError, match="no frame -1"):
        list(predictor.propagate_in_video(state, -1))
