"""The calls of the official notebooks, in their order, with nothing but the imports changed."""

from pathlib import Path

import numpy as np
import official_cases as cases
import pytest
import torch
from numpy.typing import NDArray

from sam2_engine.errors import InputWarning
from sam2_engine.official_api.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2_engine.official_api.build_sam import build_sam2, build_sam2_video_predictor
from sam2_engine.official_api.sam2_image_predictor import SAM2ImagePredictor

SMALL = ["++model.image_size=128"]
CPU = torch.device("cpu")


@pytest.fixture
def images() -> list[NDArray[np.uint8]]:
    frames = cases.draw_frames()
    return [frames[0], frames[3][:80]]


def test_images(images: list[NDArray[np.uint8]]) -> None:
    predictor = SAM2ImagePredictor(build_sam2("nano", None, device=CPU, hydra_overrides_extra=SMALL))
    predictor.set_image(images[0])
    features = predictor._features
    assert features is not None
    assert features["image_embed"].shape == (1, 128, 8, 8)
    assert features["image_embed"][-1].shape == (128, 8, 8)
    point, label = np.array([[32, 41]]), np.array([1])
    masks, scores, logits = predictor.predict(point_coords=point, point_labels=label, multimask_output=True)
    order = np.argsort(scores)[::-1]
    masks, scores, logits = masks[order], scores[order], logits[order]
    assert masks.shape == (3, *images[0].shape[:2])
    for points, labels in (([[32, 41], [36, 44]], [1, 1]), ([[32, 41], [85, 55]], [1, 0])):
        mask_input = logits[np.argmax(scores), :, :]
        masks, _, _ = predictor.predict(
            point_coords=np.array(points),
            point_labels=np.array(labels),
            mask_input=mask_input[None, :, :],
            multimask_output=False,
        )
        assert masks.shape == (1, *images[0].shape[:2])
    box, boxes = np.array([14, 24, 46, 57]), np.array([[14, 24, 46, 57], [72, 42, 98, 68], [0, 0, 120, 90]])
    masks, _, _ = predictor.predict(
        point_coords=None, point_labels=None, box=box[None, :], multimask_output=False
    )
    assert masks.shape == (1, *images[0].shape[:2])
    predictor.predict(point, np.array([0]), box=box, multimask_output=False)
    masks, _, _ = predictor.predict(point_coords=None, point_labels=None, box=boxes, multimask_output=False)
    assert masks.shape == (3, 1, *images[0].shape[:2])
    predictor.set_image_batch(images)
    batch, _, _ = predictor.predict_batch(None, None, box_batch=[boxes, boxes[:2]], multimask_output=False)
    assert [one.shape for one in batch] == [(3, 1, 90, 120), (2, 1, 80, 120)]
    points_batch = [np.array([[[32, 41]], [[85, 55]]]), np.array([[[40, 41]], [[76, 55]]])]
    batch, scores_batch, _ = predictor.predict_batch(
        points_batch, [np.ones((2, 1)), np.ones((2, 1))], box_batch=None, multimask_output=True
    )
    best = [m[range(len(m)), np.argmax(s, axis=-1)] for m, s in zip(batch, scores_batch)]
    assert [one.shape for one in best] == [(2, 90, 120), (2, 80, 120)]


def test_videos(tmp_path: Path) -> None:
    folder = str(cases.write_frames(tmp_path))
    predictor = build_sam2_video_predictor("nano", None, device=CPU, hydra_overrides_extra=SMALL)
    state = predictor.init_state(video_path=folder)
    predictor.reset_state(state)

    def add(frame: int, object_id: int, **prompt: object) -> torch.Tensor:
        _, ids, logits = predictor.add_new_points_or_box(
            inference_state=state, frame_idx=frame, obj_id=object_id, **prompt
        )
        assert logits.shape == (len(ids), 1, 90, 120)
        return logits

    def segments() -> dict[int, dict[int, NDArray[np.bool_]]]:
        return {
            frame: {object_id: (logits[i] > 0.0).cpu().numpy() for i, object_id in enumerate(ids)}
            for frame, ids, logits in predictor.propagate_in_video(state)
        }

    one, two = np.array([[30, 40]], np.float32), np.array([[30, 40], [34, 44]], np.float32)
    add(0, 1, points=one, labels=np.array([1], np.int32))
    add(0, 1, points=two, labels=np.array([1, 1], np.int32))
    assert list(segments()) == list(range(6))
    before = add(4, 1, points=np.array([[5, 80]], np.float32), labels=np.array([0], np.int32))
    assert before.shape[0] == 1
    assert list(segments()) == list(range(6))
    predictor.reset_state(state)
    box = np.array([70, 40, 99, 69], np.float32)
    add(0, 4, box=box)
    add(0, 4, points=np.array([[85, 55]], np.float32), labels=np.array([1], np.int32), box=box)
    assert {tuple(masks) for masks in segments().values()} == {(4,)}
    predictor.reset_state(state)
    add(0, 2, points=one, labels=np.array([1], np.int32))
    add(0, 2, points=two, labels=np.array([1, 0], np.int32))
    add(0, 3, points=np.array([[85, 55]], np.float32), labels=np.array([1], np.int32))
    assert {tuple(masks) for masks in segments().values()} == {(2, 3)}


def test_automatic_masks(images: list[NDArray[np.uint8]]) -> None:
    sam2 = build_sam2("nano", None, device=CPU, hydra_overrides_extra=SMALL, apply_postprocessing=False)
    lenient = {"pred_iou_thresh": 0.1, "stability_score_thresh": 0.2}  # the input is a quarter of nano's
    masks = SAM2AutomaticMaskGenerator(sam2, points_per_side=4, **lenient).generate(images[0])
    assert list(masks[0]) == [
        "segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box",
    ]  # fmt: skip
    with pytest.warns(InputWarning, match="min_mask_region_area has an effect on CUDA devices only"):
        generator = SAM2AutomaticMaskGenerator(
            model=sam2,
            points_per_side=6,
            points_per_batch=128,
            **lenient,
            stability_score_offset=0.7,
            crop_n_layers=1,
            box_nms_thresh=0.7,
            crop_n_points_downscale_factor=2,
            min_mask_region_area=25.0,
            use_m2m=True,
        )
    assert all(record["segmentation"].shape == (90, 120) for record in generator.generate(images[0]))


def test_a_model_that_is_built_can_be_trained(images: list[NDArray[np.uint8]]) -> None:
    """As fine-tuning scripts do it: the predictor prepares, the decoder learns."""
    for mode in ("train", "eval"):
        model = build_sam2("nano", None, device=CPU, mode=mode, hydra_overrides_extra=SMALL)
        assert model.training == (mode == "train")
        assert all(parameter.requires_grad for parameter in model.parameters())
    predictor = SAM2ImagePredictor(model)
    predictor.set_image(images[0])
    features = predictor._features
    assert features is not None
    prediction = model.predict_masks(
        features["image_embed"], tuple(features["high_res_feats"]), points=torch.tensor([[[30.0, 40.0]]]),
        labels=torch.tensor([[1]]),
    )  # fmt: skip
    prediction.low_res_logits.mean().backward()
    assert all(p.grad is not None for p in model.sam_mask_decoder.transformer.parameters())
