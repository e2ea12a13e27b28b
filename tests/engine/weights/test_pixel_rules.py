"""Pixel rules: the gray levels that a model expects, from the registry, its weights or its card."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_model import SMALL, write_small_checkpoint

from sam2_engine import ImagePredictor, InputWarning, VideoSession, load_model
from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.preprocessing import IntensityWindow
from sam2_engine.weights.expected_pixels import expected_pixels
from sam2_engine.weights.model_folder import ModelCard, Preprocessing, checked_folder, file_sha256, write_card
from sam2_engine.weights.pixel_rules import RULES, window_of

CT = np.full((3, 40, 40), -1000, np.int16)
CT[:, 10:30, 10:30] = 40
MR = np.zeros((3, 40, 40), np.uint16)
MR[:, 10:30, 10:30] = 1 + np.arange(400).reshape(20, 20)


def card_of(weights: Path, window: str) -> ModelCard:
    taught = Preprocessing("gray", "int16", window, SMALL.image_size, "ZYX")
    return ModelCard(
        name="mine",
        architecture="small",
        sha256=file_sha256(weights),
        base="theirs",
        base_digest="0" * 64,
        base_license="MIT",
        trained="all of it",
        steps=1,
        data={"images": 1},
        before={},
        after={},
        gain="none",
        software="test",
        citation="none",
        preprocessing=taught,
    )


def folder_of(path: Path, window: str, intensities: str = "usual") -> Path:
    path.mkdir()
    write_small_checkpoint(path / "model.safetensors", replace(SMALL, intensities=intensities))
    write_card(path, card_of(path / "model.safetensors", window))
    return path


def test_registered_models_say_which_rule_they_follow() -> None:
    for name, rule in (("medsam2_latest", "medical"), ("medsam2_ct_lesion", "tomography"), ("nano", "usual")):
        assert expected_pixels(name) == rule
    assert expected_pixels("downloads/MedSAM2_latest.pt") == "medical"
    assert expected_pixels("there_is_none") == "usual"


def test_a_ct_is_seen_through_a_window_that_is_said() -> None:
    with pytest.warns(
        InputWarning, match=r"looks like computed tomography.*soft tissue \(-160 to 240\).*lung"
    ):
        assert window_of(open_frames(CT), None, "medical") == IntensityWindow((-160,), (240,))
    assert window_of(open_frames(CT), "lung", "medical") == IntensityWindow((-1350,), (150,))


def test_other_modalities_are_stretched_by_what_is_above_zero() -> None:
    window = window_of(open_frames(MR), None, "medical")
    assert window is not None
    assert (window.low[0], window.high[0]) == pytest.approx(np.percentile(MR[MR > 0], (0.5, 99.5)))
    with pytest.warns(InputWarning, match="does not look like CT in Hounsfield units"):
        assert window_of(open_frames(MR), None, "tomography") == window


def test_a_stack_with_few_negative_values_is_asked_about() -> None:
    with pytest.warns(InputWarning, match="if it is CT, set its contrast"):
        window_of(open_frames(CT.clip(-200)), None, "medical")


def test_microscopy_stretches_8_bits_too_images_to_their_extremes() -> None:
    image = np.tile(np.arange(20, 120, dtype=np.uint8), (50, 1))
    assert window_of(open_frames(image[None], axes="TYX"), None, "microscopy") == IntensityWindow(
        (20,), (119,)
    )
    single = open_frames(image[None], axes="TYX")
    stack = window_of(open_frames(np.stack([image] * 3), axes="TYX"), None, "microscopy")
    assert stack is not None
    assert (stack.low[0], stack.high[0]) == pytest.approx(np.percentile(image, (2, 98)))
    assert window_of(single, None, "medical") is None


def test_weights_remember_their_rule_and_the_engine_follows_it(tmp_path: Path) -> None:
    write_small_checkpoint(tmp_path / "mine.safetensors", replace(SMALL, intensities="medical"))
    assert expected_pixels(str(tmp_path / "mine.safetensors")) == "medical"
    model = load_model(tmp_path / "mine.safetensors", "cpu")
    expected = window_of(open_frames(MR), None, "medical")
    assert expected is not None
    assert VideoSession(model, MR).window == expected
    predictor = ImagePredictor(model)
    predictor.set_image(MR[0])
    window = predictor._images[0].window
    assert window is not None
    assert (*window.low, *window.high) == pytest.approx((*expected.low, *expected.high))


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("soft tissue", "soft tissue"),
        ("-160 to 240", "-160 to 240"),
        (RULES["medical"].words, "medical"),
        (RULES["usual"].words, "usual"),
        ("8 bits as they are", "usual"),
    ],
)
def test_a_card_says_the_rule_where_the_weights_do_not(tmp_path: Path, words: str, rule: str) -> None:
    folder = folder_of(tmp_path / "mine", words)
    assert expected_pixels(str(folder)) == rule
    assert load_model(folder, "cpu").config.intensities == rule


def test_a_window_of_a_card_is_the_window() -> None:
    assert window_of(open_frames(CT), None, "-160 to 240") == IntensityWindow((-160,), (240,))
    assert window_of(open_frames(CT), None, "lung") == IntensityWindow((-1350,), (150,))


def test_what_a_card_says_and_no_program_reads_is_said_to_the_user(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", "the DICOM window of the study")
    with pytest.warns(InputWarning, match=r"“the DICOM window of the study”; set the contrast"):
        window = VideoSession(load_model(folder, "cpu"), MR).window
    assert window == window_of(open_frames(MR))


def test_a_card_that_says_other_pixels_than_its_weights_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", RULES["medical"].words, "medical")
    assert checked_folder(folder)
    values = json.loads((folder / "card.json").read_text())
    values["preprocessing"]["window"] = RULES["microscopy"].words
    (folder / "card.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match="says other gray levels"):
        checked_folder(folder)
    shutil.rmtree(folder)
