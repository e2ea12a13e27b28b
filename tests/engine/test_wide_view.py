"""Objects too large for the model: seen from farther away, on images and in videos, and only those."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sam2_engine import ImagePredictor, VideoSession, load_model
from sam2_engine.evaluation.metrics import mask_iou
from sam2_engine.image.wide_view import WideView
from sam2_engine.modeling.config import VARIANTS, config_from_dict, config_to_dict
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import IntensityWindow, denormalize
from sam2_engine.video.image_session import ImageSession
from sam2_engine.video.tiled_session import TiledVideoSession

Mask = NDArray[np.bool_]
Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def nano() -> Sam2:
    return load_model("nano", device="cpu", image_size=256)


def scene(share: float, shape: tuple[int, int] = (150, 200)) -> tuple[Image, Mask, tuple[int, int, int, int]]:
    """An ellipse that covers a part of the image, its mask and its box."""
    height, width = shape
    y, x = np.mgrid[:height, :width]
    reach = np.sqrt(share * 4 / np.pi) / 2
    mask = ((x - width / 2) / width) ** 2 + ((y - height / 2) / height) ** 2 < reach**2
    image = np.where(mask[..., None], (190, 150, 110), 90)
    image = image + np.random.default_rng(0).normal(0, 6, image.shape)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))
    return np.clip(image, 0, 255).astype(np.uint8), mask, box


def with_predictor(model: Sam2, image: Image, **prompt: object) -> Mask:
    predictor = ImagePredictor(model)
    predictor.set_image(image)
    if "points" in prompt:
        masks, _, _ = predictor.predict(np.array([prompt["points"]]), [1], multimask_output=False)
    else:
        masks, _, _ = predictor.predict(box=np.array(prompt["box"]), multimask_output=False)
    return masks[0].astype(bool)


def with_image_session(model: Sam2, image: Image, **prompt: object) -> Mask:
    session = ImageSession(model, image[None])
    if "points" in prompt:
        return session.add_points(0, 1, np.array(prompt["points"])).masks[0]
    return session.add_box(0, 1, np.array(prompt["box"])).masks[0]


def tracked(model: Sam2, image: Image, **prompt: object) -> Mask:
    """The mask two frames on."""
    session = VideoSession(model, np.stack([image] * 3))
    if "points" in prompt:
        session.add_points(0, 1, np.array(prompt["points"]))
    else:
        session.add_box(0, 1, np.array(prompt["box"]))
    return list(session.propagate())[-1].masks[0]


HOW = [with_predictor, with_image_session, tracked]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("share", [0.35, 0.65])
@pytest.mark.parametrize("prompt", ["box", "points"])
def test_a_large_object_is_found(how: Callable[..., Mask], share: float, prompt: str, nano: Sam2) -> None:
    image, mask, box = scene(share)
    given = {"box": box} if prompt == "box" else {"points": (100, 75)}
    assert mask_iou(how(nano, image, **given), mask) > 0.9


def encodings(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The inputs that are encoded from now on."""
    seen: list[torch.Tensor] = []
    encode = Sam2.encode_image
    monkeypatch.setattr(
        Sam2, "encode_image", lambda model, pixels: seen.append(pixels) or encode(model, pixels)
    )
    return seen


@pytest.mark.parametrize("prompt", [{"box": (80, 60, 119, 89)}, {"points": (100, 75)}])
def test_an_object_of_ordinary_size_is_encoded_once(
    prompt: dict[str, object], nano: Sam2, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _, _ = scene(0.03)
    seen = encodings(monkeypatch)
    for how in HOW:
        how(nano, image, **prompt)
        assert len(seen) == 1
        seen.clear()


def test_the_wider_view_is_encoded_once_for_all_clicks(nano: Sam2, monkeypatch: pytest.MonkeyPatch) -> None:
    image, _, box = scene(0.5)
    seen = encodings(monkeypatch)
    predictor = ImagePredictor(nano)
    predictor.set_image(image)
    for _ in range(3):
        predictor.predict(box=box, multimask_output=False)
    assert len(seen) == 2


def test_what_was_seen_is_the_image_that_was_set(nano: Sam2) -> None:
    image, mask, box = scene(0.5)
    predictor = ImagePredictor(nano)
    predictor.set_image(image)
    image[:] = 0
    assert mask_iou(predictor.predict(box=box, multimask_output=False)[0][0], mask) > 0.93


def test_many_boxes_are_each_seen_as_their_size_asks(nano: Sam2) -> None:
    image, mask, box = scene(0.5)
    image[5:15, 5:25] = 255
    predictor = ImagePredictor(nano)
    predictor.set_image(image)
    small = (5, 5, 24, 14)
    alone = predictor.predict(box=small, multimask_output=False)
    masks, _, low_res = predictor.predict(box=[small, box], multimask_output=False)
    torch.testing.assert_close(torch.from_numpy(low_res[0]), torch.from_numpy(alone[2]), rtol=1e-4, atol=1e-3)
    assert mask_iou(masks[1, 0], mask) > 0.93
    again = predictor.predict(box=box, mask_input=low_res[1], multimask_output=False)
    assert mask_iou(again[0][0], mask) > 0.93, "its logits may be given back"


def test_a_correction_goes_on_from_the_mask(nano: Sam2) -> None:
    image, mask, box = scene(0.5)
    session = VideoSession(nano, np.stack([image] * 2))
    session.add_box(0, 1, box)
    assert mask_iou(session.add_points(0, 1, (60, 75)).masks[0], mask) > 0.93
    for result in session.propagate():
        assert mask_iou(result.masks[0], mask) > 0.93


def test_an_object_larger_than_its_tile_and_half_of_the_plane(nano: Sam2) -> None:
    image, mask, box = scene(0.5, (600, 800))
    session = TiledVideoSession(nano, np.stack([image] * 2))
    assert mask_iou(session.add_box(0, 1, box).masks[0], mask) > 0.93
    assert mask_iou(list(session.propagate())[-1].masks[0], mask) > 0.93


def test_around_a_region_lies_what_is_there() -> None:
    view = WideView.of(replace(VARIANTS["nano"], image_size=96))
    assert view is not None
    plane = np.tile(np.arange(300, dtype=np.uint16), (300, 1)).astype(np.float32)
    seen = denormalize(view.pixels(plane, IntensityWindow((0.0,), (300.0,)), (100, 100, 196, 196)))[0, 0]
    scale = view.inner / 96
    columns = (torch.arange(96) + 0.5 - view.margin) / scale + 100 - 0.5
    torch.testing.assert_close(seen[48, 5:-5] * 300, columns[5:-5].clamp(0, 299), rtol=0, atol=1.5)
    torch.testing.assert_close(seen, seen[:1].expand(96, 96), rtol=0, atol=1e-3)


def test_beyond_the_plane_lies_the_color_of_its_edge() -> None:
    view = WideView.of(replace(VARIANTS["nano"], image_size=96))
    assert view is not None
    plane = np.full((40, 60, 3), (10, 20, 30), np.uint8)
    plane[10:30, 10:50] = 200
    seen = view.pixels(plane, None, None)
    torch.testing.assert_close(seen[..., 0, 0], seen[..., view.margin, view.margin], rtol=0, atol=1e-5)
    assert seen.shape == (1, 3, 96, 96)


@pytest.mark.parametrize("image_size", [128, 256, 384, 512, 1024])
@pytest.mark.parametrize("wide_view", [1.5, 2.0, 3.0])
def test_masks_come_back_where_they_were(image_size: int, wide_view: float) -> None:
    view = WideView.of(replace(VARIANTS["nano"], image_size=image_size, wide_view=wide_view))
    assert view is not None
    side = image_size // 4
    logits = torch.full((1, 1, side, side), -20.0)
    logits[..., side // 4 : side // 2, side // 4 : side // 2] = 20
    again = view.narrow(view.widen(logits))
    assert mask_iou((again > 0).numpy(), (logits > 0).numpy()) > 0.7
    assert view.inner + 2 * view.margin == image_size


def test_official_models_see_what_they_were_published_with(small_model: Sam2) -> None:
    official = [config for name, config in VARIANTS.items() if name != "nano"]
    assert all(WideView.of(config) is None for config in official)
    assert not any(config.removes_small_components for config in official)
    assert WideView.of(small_model.config) is None


def test_a_file_of_an_earlier_version_behaves_as_its_variant() -> None:
    values = config_to_dict(VARIANTS["nano"])
    for name in ("wide_view", "large_object", "doubtful_iou", "removes_small_components"):
        del values[name]
    assert config_from_dict(values) == VARIANTS["nano"]


def test_it_can_be_switched_on(small_model: Sam2, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Sam2(replace(small_model.config, wide_view=2.0, doubtful_iou=1.1)).eval()
    model.load_state_dict(small_model.state_dict())
    seen = encodings(monkeypatch)
    with_predictor(model, scene(0.03)[0], points=(100, 75))
    assert len(seen) == 2
