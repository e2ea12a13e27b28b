"""Image predictor, under its official name."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from sam2_engine.arguments import suggests_arguments
from sam2_engine.copies import copied
from sam2_engine.errors import InputError
from sam2_engine.image.predictor import said_of
from sam2_engine.modeling.sam2 import LOGIT_CLAMP, Sam2
from sam2_engine.official_api.build_sam import build_sam2_hf, split_arguments
from sam2_engine.official_api.errors import (
    StateError,
    UnsupportedError,
    refuse_other_pixels,
    refuse_unknown,
)
from sam2_engine.official_api.prompts import check_boxes, check_points
from sam2_engine.official_api.utils.small_regions import warn_without_effect
from sam2_engine.official_api.utils.transforms import SAM2Transforms

__all__ = ["SAM2ImagePredictor"]

Prediction = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
Prompts = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]


class SAM2ImagePredictor:
    """Masks on images, with the official methods, arguments, shapes, types and values.

    Parameters
    ----------
    sam_model
        From ``build_sam2`` or ``load_model``.
    mask_threshold
        Logit above which a pixel is inside.
    max_hole_area, max_sprinkle_area
        Holes and components of at most so many pixels of the low-resolution masks are filled and removed; on
        CUDA devices only, as in the official package.

    Raises
    ------
    InputError
        If there are arguments beside these, or the model was taught on pixels that the official package does
        not make.

    Examples
    --------
    >>> from sam2_engine import load_model
    >>> predictor = SAM2ImagePredictor(load_model("nano", device="cpu", image_size=128))
    >>> predictor.set_image(np.full((48, 64, 3), 128, np.uint8))
    >>> masks, scores, logits = predictor.predict([[30, 20]], [1])
    >>> masks.shape, masks.dtype, scores.shape, logits.shape
    ((3, 48, 64), dtype('float32'), (3,), (3, 32, 32))
    """

    def __init__(
        self,
        sam_model: Sam2,
        mask_threshold: float = 0.0,
        max_hole_area: float = 0.0,
        max_sprinkle_area: float = 0.0,
        **kwargs: object,
    ) -> None:
        refuse_unknown(type(self).__name__, kwargs, ARGUMENTS)
        refuse_other_pixels(sam_model.config)
        self.model = sam_model
        self._transforms = SAM2Transforms(
            sam_model.image_size, mask_threshold, max_hole_area, max_sprinkle_area
        )
        self.mask_threshold = mask_threshold
        grid = sam_model.grid
        self._bb_feat_sizes = [(4 * grid, 4 * grid), (2 * grid, 2 * grid), (grid, grid)]
        warn_without_effect(
            sam_model.device,
            "sam2_engine.masks.remove_small_regions cleans a mask on any device.",
            max_hole_area=max_hole_area,
            max_sprinkle_area=max_sprinkle_area,
        )
        self.reset_predictor()

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: Any) -> Self:
        """Load by a name at Hugging Face; further arguments are those of ``build_sam2`` and of the class."""
        building, own = split_arguments(kwargs)
        return cls(build_sam2_hf(model_id, **building), **own)

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.model.device

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.model.summary}, {said_of(self._orig_hw or ())}>"

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Return a predictor with the same images; the model is shared."""
        return copied(self, memo, self.model)

    def reset_predictor(self) -> None:
        """Remove the images."""
        self._is_image_set = False
        self._features: dict[str, Any] | None = None
        self._orig_hw: list[tuple[int, int]] | None = None
        self._is_batch = False

    def set_image(self, image: NDArray[Any] | Image.Image) -> None:
        """Encode an image.

        Parameters
        ----------
        image
            (H, W, 3) RGB, 8-bit or float from 0 to 1, or a PIL image in RGB.

        Raises
        ------
        InputError
            If it is of another kind; an ``UnsupportedError`` if it is neither an array nor a PIL image.
        """
        self.reset_predictor()
        if isinstance(image, Image.Image):
            size = (image.height, image.width)
        elif isinstance(image, np.ndarray):
            size = (image.shape[0], image.shape[1]) if image.ndim > 1 else (0, 0)
        else:
            raise UnsupportedError(
                f"An image is an array or a PIL image, not a {type(image).__name__}: convert it with "
                "np.asarray."
            )
        self._encode(self._transforms(image)[None], [size])

    def set_image_batch(self, image_list: list[NDArray[Any]]) -> None:
        """Encode several images of any sizes for ``predict_batch``.

        Raises
        ------
        InputError
            If they are not a list of arrays, or one of them is of no kind that ``set_image`` takes.
        """
        self.reset_predictor()
        if not isinstance(image_list, list) or not image_list:
            raise InputError("set_image_batch takes a list with at least one (H, W, 3) array.")
        for image in image_list:
            if not isinstance(image, np.ndarray):
                raise InputError(
                    f"set_image_batch takes arrays, not a {type(image).__name__}: convert it with np.asarray."
                )
        pixels = self._transforms.forward_batch(image_list)
        self._encode(pixels, [(image.shape[0], image.shape[1]) for image in image_list])
        self._is_batch = True

    @torch.no_grad()
    def _encode(self, pixels: Tensor, sizes: list[tuple[int, int]]) -> None:
        features = self.model.encode_image(pixels.to(self.device))
        self._features = {
            "image_embed": self.model.without_memory(features.embedding),
            "high_res_feats": list(features.high_res),
        }
        self._orig_hw = sizes
        self._is_image_set = True

    def get_image_embedding(self) -> Tensor:
        """Return the (B, C, G, G) embedding of what is set, B = 1 for a single image."""
        embedding: Tensor = self._set_features()["image_embed"]
        return embedding

    def _set_features(self) -> dict[str, Any]:
        if self._features is None:
            raise StateError("No image is set yet: call set_image(image) or set_image_batch(images) before.")
        return self._features

    @suggests_arguments
    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> Prediction:
        """Predict masks on the image that is set; on the last one after ``set_image_batch``.

        Parameters
        ----------
        point_coords, point_labels
            ``(P, 2)`` points ``(x, y)`` with ``(P,)`` labels: 1 inside, 0 outside, -1 padding; or
            ``(N, P, 2)`` with ``(N, P)`` for N objects.
        box
            ``(4,)`` as ``x0, y0, x1, y1``, or ``(N, 4)``.
        mask_input
            ``(1, 4 G, 4 G)`` low-resolution logits of an earlier prediction, or ``(N, 1, 4 G, 4 G)``.
        multimask_output
            Return three candidates instead of one mask.
        return_logits
            Return logits instead of masks.
        normalize_coords
            Coordinates are pixels of the image; else fractions of its width and height.

        Returns
        -------
        masks
            ``(M, H, W)`` float32, ``(N, M, H, W)`` for N > 1 objects.
        iou_predictions
            ``(M,)`` or ``(N, M)`` float32.
        low_res_logits
            ``(M, 4 G, 4 G)`` or ``(N, M, 4 G, 4 G)`` float32, clamped to +-32.

        Raises
        ------
        InputError
            If a prompt cannot be meant so, or there is none; a ``StateError`` if no image is set.
        """
        self._set_features()
        mask, points, labels, boxes = self._prep_prompts(
            point_coords, point_labels, box, mask_input, normalize_coords
        )
        return _as_arrays(self._predict(points, labels, boxes, mask, multimask_output, return_logits))

    @suggests_arguments
    def predict_batch(
        self,
        point_coords_batch: Sequence[ArrayLike | None] | None = None,
        point_labels_batch: Sequence[ArrayLike | None] | None = None,
        box_batch: Sequence[ArrayLike | None] | None = None,
        mask_input_batch: Sequence[ArrayLike | None] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """Predict on each image of ``set_image_batch``; lists with one entry per image, as in ``predict``."""
        if not self._is_batch:
            raise StateError("predict_batch goes with set_image_batch: call it first, or use predict.")
        count = len(self.get_image_embedding())
        given = (point_coords_batch, point_labels_batch, box_batch, mask_input_batch)
        for column in given:
            if column is not None and len(column) != count:
                raise InputError(
                    f"There are {count} images but {len(column)} entries of prompts; give one per image."
                )
        coords, coord_labels, box_column, masks_column = (
            [None] * count if column is None else column for column in given
        )
        predictions = []
        for index in range(count):
            mask, points, labels, boxes = self._prep_prompts(
                coords[index],
                coord_labels[index],
                box_column[index],
                masks_column[index],
                normalize_coords,
                img_idx=index,
            )
            predictions.append(
                _as_arrays(
                    self._predict(points, labels, boxes, mask, multimask_output, return_logits, img_idx=index)
                )
            )
        masks, ious, logits = zip(*predictions)
        return list(masks), list(ious), list(logits)

    def _prep_prompts(
        self,
        point_coords: ArrayLike | None,
        point_labels: ArrayLike | None,
        box: ArrayLike | None,
        mask_logits: ArrayLike | None,
        normalize_coords: bool,
        img_idx: int = -1,
    ) -> Prompts:
        """Return mask logits, points, labels and boxes as tensors in the model's input."""
        assert self._orig_hw is not None
        size = self._orig_hw[img_idx]
        points = labels = boxes = mask = None
        if (point_coords is None) != (point_labels is None):
            raise InputError("point_coords and point_labels must be given together.")
        if point_coords is not None:
            points = torch.as_tensor(point_coords, dtype=torch.float32, device=self.device)
            labels = torch.as_tensor(point_labels, dtype=torch.int32, device=self.device)
            if points.ndim == 2:
                points, labels = points[None], labels[None]
            check_points(points, labels, size, normalize_coords)
            points = self._transforms.transform_coords(points, normalize_coords, size)
        if box is not None:
            boxes = torch.as_tensor(box, dtype=torch.float32, device=self.device)
            if boxes.shape[-1:] != (4,) or not boxes.numel():
                raise InputError(f"Boxes are (4,) or (N, 4), not an array of shape {tuple(boxes.shape)}.")
            check_boxes(boxes.reshape(-1, 4), size, normalize_coords)
            boxes = self._transforms.transform_boxes(boxes, normalize_coords, size)
        if mask_logits is not None:
            mask = torch.as_tensor(mask_logits, dtype=torch.float32, device=self.device)
            mask = mask[None] if mask.ndim == 3 else mask
            side = self.model.low_res_size
            if mask.ndim != 4 or mask.shape[1:] != (1, side, side):
                raise InputError(
                    f"mask_input is the low-resolution logits of one mask, (1, {side}, {side}) or "
                    f"(N, 1, {side}, {side}), not an array of shape {np.shape(mask_logits)}."
                )
        return mask, points, labels, boxes

    @torch.no_grad()
    def _predict(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        img_idx: int = -1,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predict from tensors in the model's input; a box goes before the clicks, as its two corners."""
        features = self._set_features()
        assert self._orig_hw is not None
        points, labels = _joined(point_coords, point_labels, boxes)
        if points is None and mask_input is None:
            raise InputError("There is nothing to go by; give points, a box or a mask.")
        prediction = self.model.predict_masks(
            features["image_embed"][img_idx][None],
            tuple(level[img_idx][None] for level in features["high_res_feats"]),
            points=points,
            labels=labels,
            mask_logits=mask_input,
            multimask=multimask_output,
        )
        low_res = prediction.low_res_logits
        masks = self._transforms.postprocess_masks(low_res, self._orig_hw[img_idx])
        shown = masks if return_logits else masks > self.mask_threshold
        return shown, prediction.iou, low_res.clamp(-LOGIT_CLAMP, LOGIT_CLAMP)


ARGUMENTS = ("sam_model", "mask_threshold", "max_hole_area", "max_sprinkle_area")


def _joined(
    points: Tensor | None, labels: Tensor | None, boxes: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """Return (N, P, 2) points and (N, P) labels with the corners of the boxes first."""
    if boxes is None:
        return points, labels
    corners = boxes.reshape(-1, 2, 2)
    corner_labels = torch.tensor([[2, 3]], dtype=torch.int32, device=boxes.device).repeat(len(corners), 1)
    if points is None or labels is None:
        return corners, corner_labels
    if len(points) != len(corners):
        raise InputError(
            f"There are {len(corners)} boxes but {len(points)} groups of points; give (N, P, 2) points for "
            "N boxes."
        )
    return torch.cat([corners, points], dim=1), torch.cat([corner_labels, labels], dim=1)


def _as_arrays(prediction: tuple[Tensor, Tensor, Tensor]) -> Prediction:
    masks, ious, logits = (one.squeeze(0).float().detach().cpu().numpy() for one in prediction)
    return masks, ious, logits
