"""Predictor of masks on single images from clicks, boxes and masks, with SAM's method names."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sam2_engine.arguments import suggests_arguments
from sam2_engine.copies import copied
from sam2_engine.errors import InputError, InputWarning
from sam2_engine.feature_cache import FeatureCache, feature_key
from sam2_engine.frames import open_frames
from sam2_engine.frames.pixels import image_array
from sam2_engine.frames.source import explain
from sam2_engine.image.wide_view import EncodedPrompt, WideView, encode_wide, predict_in_views
from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.sam2 import LOGIT_CLAMP, ImageFeatures, MaskPrediction, Sam2
from sam2_engine.preprocessing import Contrast, IntensityWindow, logits_to_size, to_model_input
from sam2_engine.prompts import Box, Points, check_says_where
from sam2_engine.tiles import is_narrow
from sam2_engine.weights.loading import as_model
from sam2_engine.weights.pixel_rules import window_of
from sam2_engine.wording import counted

__all__ = ["ImagePredictor", "Prediction", "as_image", "open_image", "said_of"]

MASK_THRESHOLD = 0.0

Prediction = tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class _EncodedImage:
    """An image that is set: its features, (H, W), and what its wider view is made of, if there may be one."""

    features: ImageFeatures
    shape: tuple[int, int]
    pixels: NDArray[Any] | None
    window: IntensityWindow | None


def said_of(shapes: Sequence[tuple[int, int]]) -> str:
    """Say in few words which images, (H, W) each, are set."""
    if len(shapes) == 1:
        return f"image {shapes[0][0]} x {shapes[0][1]}"
    return counted(len(shapes), "image") if shapes else "no image"


def as_image(image: Any) -> NDArray[Any]:
    """Return an array, a tensor, an image of Pillow or of a file as ``(H, W)`` or ``(H, W, C)``.

    Raises
    ------
    InputError
        If it is not an image, or a file of several.
    """
    if isinstance(image, str | PathLike):
        with open_frames(image, single=True) as frames:
            if frames.length != 1:
                raise InputError(
                    f"{frames.name} holds {frames.sizes}, not one image: give one of them, as "
                    "open_frames(path)[0], or open it as a VideoSession."
                )
            return frames[0]
    try:
        return image_array(image)
    except Exception as error:
        reason = explain(error)
        raise InputError(f"{reason[0].upper()}{reason[1:]}.") from error


def open_image(
    image: Any, contrast: Contrast = None, intensities: str = "usual"
) -> tuple[NDArray[Any], IntensityWindow | None]:
    """Check a single image and return it, (H, W) or (H, W, C), with its intensity window.

    ``contrast`` overrides the window that a model of these ``intensities`` expects. Non-finite pixels raise
    an ``InputWarning``.

    Raises
    ------
    InputError
        If the array is not an image.
    """
    array = as_image(image)
    frames = open_frames(array[None], axes="TYXC"[: array.ndim + 1])
    pixels = frames[0]
    return pixels, window_of(frames, contrast, intensities)


class ImagePredictor:
    """Predict masks on one image, or on a batch of images, from prompts.

    Parameters
    ----------
    model
        A loaded model, or its name or path.
    cache
        Cache of encoded images; setting a cached image again is then free.

    Examples
    --------
    >>> from sam2_engine import load_model
    >>> from sam2_engine.synthetic import moving_cells
    >>> frames, labels = moving_cells(num_frames=1, size=64, num_cells=2)
    >>> predictor = ImagePredictor(load_model("nano", device="cpu", image_size=128))
    >>> predictor.set_image(frames[0])
    >>> y, x = np.argwhere(labels[0] == 1).mean(0)
    >>> masks, ious, low_res = predictor.predict([(x, y)], [1], multimask_output=False)
    >>> masks.shape, masks.dtype, bool(masks[0, int(y), int(x)])
    ((1, 64, 64), dtype('bool'), True)
    """

    @suggests_arguments
    def __init__(self, model: Sam2 | str | PathLike[str], cache: FeatureCache | None = None) -> None:
        self.model = as_model(model)
        self.cache = FeatureCache() if cache is None else cache
        self._images: list[_EncodedImage] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.model.summary}, {said_of([i.shape for i in self._images])}>"

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Return a predictor with the same images; model and cache, which it only reads, are shared."""
        return copied(self, memo, self.model, self.cache)

    @suggests_arguments
    def set_image(self, image: ArrayLike | str | PathLike[str], *, contrast: Contrast = None) -> None:
        """Encode an image.

        Parameters
        ----------
        image
            ``(H, W)`` or ``(H, W, C)``, any real type; an image of Pillow, a tensor, or the path of a file.
        contrast
            Intensity window; by default as the model expects: 8-bit passes through, others take percentiles.

        Raises
        ------
        InputError
            If the image cannot be used.
        """
        self.set_image_batch([image], contrast=contrast)

    def set_image_batch(
        self, images: Sequence[ArrayLike | str | PathLike[str]], *, contrast: Contrast = None
    ) -> None:
        """Encode several images, of any sizes; prompt them with ``predict_batch``."""
        self._set(images, contrast)
        for image in self._images:
            _say_narrow(image.shape, self.model.config)

    def set_crop(self, image: ArrayLike, *, contrast: Contrast = None) -> None:
        """Encode a part of an image, as ``set_image`` does; how long and narrow it is, is known."""
        self._set([image], contrast)

    def _set(self, images: Sequence[ArrayLike | str | PathLike[str]], contrast: Contrast) -> None:
        self.reset_predictor()
        self._images = [
            self._encode(*open_image(image, contrast, self.model.config.intensities)) for image in images
        ]

    def _encode(self, image: NDArray[Any], window: IntensityWindow | None) -> "_EncodedImage":
        pads = self.model.config.keeps_aspect_ratio

        def encode() -> ImageFeatures:
            model = self.model
            pixels = to_model_input(image, window, model.image_size, device=model.device, pads=pads)
            with self.model.autocast():
                return self.model.encode_image(pixels)

        with torch.inference_mode():
            shaped = ("padded",) if pads else ()
            key = feature_key(self.model, image, window, *shaped, hashed=self.cache.hashed(image))
            features = self.cache.get_or_encode(key, self.model, encode)
        # What may still be seen in the wider view is what was there when the image was set.
        pixels = None if WideView.of(self.model.config) is None else image.copy()
        return _EncodedImage(features, (image.shape[0], image.shape[1]), pixels, window)

    def reset_predictor(self) -> None:
        """Remove the images."""
        self._images = []

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of the image that is set."""
        self._require(1)
        return self._images[0].shape

    @property
    def features(self) -> ImageFeatures:
        """The encoded image that is set."""
        self._require(1)
        return self._images[0].features

    def _require(self, count: int) -> None:
        if len(self._images) < count:
            raise InputError("No image is set yet; call set_image(image) before predict().")

    @suggests_arguments
    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> Prediction:
        """Predict masks for one object, or for N objects at once.

        Parameters
        ----------
        point_coords, point_labels
            ``(P, 2)`` points ``(x, y)`` in pixels with ``(P,)`` labels (1 inside, 0 outside), or
            ``(N, P, 2)`` and ``(N, P)`` for N objects.
        box
            ``(4,)`` as ``x0, y0, x1, y1``, or ``(N, 4)``.
        mask_input
            ``(1, 4 G, 4 G)`` low-resolution logits of an earlier prediction, or ``(N, 1, 4 G, 4 G)``.
        multimask_output
            Return three candidates instead of one mask; right for an ambiguous click.
        return_logits
            Return logits instead of thresholded masks.

        Returns
        -------
        masks
            ``(M, H, W)`` bool (or float32 logits), ``(N, M, H, W)`` for N objects.
        iou_predictions
            ``(M,)`` or ``(N, M)`` float32.
        low_res_logits
            ``(M, 4 G, 4 G)`` or ``(N, M, 4 G, 4 G)`` float32, clamped to +-32.

        Raises
        ------
        InputError
            If no image is set or a prompt is not valid on it.
        """
        self._require(1)
        _check_labels(point_labels, box, mask_input)
        return self._predict(0, point_coords, point_labels, box, mask_input, multimask_output, return_logits)

    def predict_batch(
        self,
        point_coords_batch: Sequence[ArrayLike | None] | None = None,
        point_labels_batch: Sequence[ArrayLike | None] | None = None,
        box_batch: Sequence[ArrayLike | None] | None = None,
        mask_input_batch: Sequence[ArrayLike | None] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[list[NDArray[Any]], list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """Predict on each image of ``set_image_batch``; one entry per image in each argument."""
        self._require(1)
        count = len(self._images)
        columns = [point_coords_batch, point_labels_batch, box_batch, mask_input_batch]
        for column in columns:
            if column is not None and len(column) != count:
                raise InputError(
                    f"There are {count} images but {len(column)} entries of prompts; give one per image."
                )
        points, labels, boxes, mask_inputs = ([None] * count if c is None else c for c in columns)
        for given in zip(labels, boxes, mask_inputs):
            _check_labels(*given)
        results = [
            self._predict(i, points[i], labels[i], boxes[i], mask_inputs[i], multimask_output, return_logits)
            for i in range(count)
        ]
        masks, ious, logits = zip(*results)
        return list(masks), list(ious), list(logits)

    def _predict(
        self,
        index: int,
        point_coords: ArrayLike | None,
        point_labels: ArrayLike | None,
        box: ArrayLike | None,
        mask_input: ArrayLike | None,
        multimask_output: bool,
        return_logits: bool,
    ) -> Prediction:
        image = self._images[index]
        points, labels, many = self._encode_points(point_coords, point_labels, box, image.shape)
        mask_logits = self._encode_mask(mask_input)
        if points is None and mask_logits is None:
            raise InputError("Nothing to go by: give points, a box or a mask.")
        prediction = self.decode(EncodedPrompt(points, labels, mask_logits, multimask_output), index)
        low_res = prediction.low_res_logits.float()
        height, width = image.shape
        masks = logits_to_size(low_res, self.model.config.extent(image.shape))[..., :height, :width]
        result = (
            (masks if return_logits else masks > MASK_THRESHOLD).cpu().numpy(),
            prediction.iou.float().cpu().numpy(),
            low_res.clamp(-LOGIT_CLAMP, LOGIT_CLAMP).cpu().numpy(),
        )
        many = many or (mask_logits is not None and len(mask_logits) > 1)
        return result if many else (result[0][0], result[1][0], result[2][0])

    def decode(self, prompt: EncodedPrompt, index: int = 0, least_share: float = 0.0) -> MaskPrediction:
        """Predict from encoded prompts on an image that is set; see :func:`predict_in_views`."""
        image = self._images[index]
        with torch.inference_mode(), self.model.autocast():
            return predict_in_views(
                self.model, image.features, lambda: self._encode_wide(image), prompt, least_share
            )

    def _encode_wide(self, image: "_EncodedImage") -> ImageFeatures:
        assert image.pixels is not None, "the model had no wider view when the image was set"
        return encode_wide(self.model, self.cache, image.pixels, image.window)

    def _encode_points(
        self,
        point_coords: ArrayLike | None,
        point_labels: ArrayLike | None,
        box: ArrayLike | None,
        shape: tuple[int, int],
    ) -> tuple[Tensor | None, Tensor | None, bool]:
        """Return (N, P, 2) points in input pixels, (N, P) labels, and whether they are of N objects."""
        if point_coords is None and box is None:
            return None, None, False
        coordinates: list[NDArray[np.float32]] = []
        labels: list[NDArray[np.int32]] = []
        many = False
        if box is not None:
            boxes = np.asarray(box, dtype=np.float32)
            many = boxes.ndim == 2
            rows = boxes.reshape(-1, boxes.shape[-1])
            coordinates.append(np.stack([Box.of(row, shape).corners for row in rows]))
            labels.append(np.tile(np.array([2, 3], np.int32), (len(rows), 1)))
        if point_coords is not None:
            clicks = np.asarray(point_coords, dtype=np.float32)
            many = many or clicks.ndim == 3
            groups = clicks if clicks.ndim == 3 else clicks[None]
            label_groups = (
                [None] * len(groups)
                if point_labels is None
                else np.asarray(point_labels).reshape(len(groups), -1)
            )
            checked = [
                Points.of(group, group_labels, shape)
                for group, group_labels in zip(groups, label_groups, strict=True)
            ]
            coordinates.append(np.stack([points.coordinates for points in checked]))
            labels.append(np.stack([points.labels for points in checked]))
        if len({len(part) for part in coordinates}) > 1:
            raise InputError(
                f"There are {len(coordinates[0])} boxes but {len(coordinates[1])} groups of points."
            )
        height, width = self.model.config.extent(shape)
        scale = self.model.image_size / np.array([width, height], dtype=np.float32)
        device = self.model.device
        points = torch.from_numpy(np.concatenate(coordinates, axis=1) * scale).to(device)
        return points, torch.from_numpy(np.concatenate(labels, axis=1)).to(device), many

    def _encode_mask(self, mask_input: ArrayLike | None) -> Tensor | None:
        if mask_input is None:
            return None
        side = self.model.low_res_size
        mask = np.asarray(mask_input, dtype=np.float32)
        if mask.ndim not in (2, 3, 4) or mask.shape[-2:] != (side, side):
            raise InputError(
                f"mask_input must be low-resolution logits of {side} x {side}, as predict() returns them, "
                f"not an array of shape {mask.shape}."
            )
        if np.isnan(mask).any():
            raise InputError("mask_input has values that are no numbers (NaN).")
        return torch.from_numpy(mask.reshape(-1, 1, side, side)).to(self.model.device)


def _say_narrow(shape: tuple[int, ...], config: ModelConfig) -> None:
    """Warn of an image that is squeezed beyond what the model was taught; sessions look at it in tiles."""
    if is_narrow(shape, config):
        warnings.warn(
            f"The image is {max(shape) / min(shape):.0f} times as long as wide, and {config.name} sees it "
            "squeezed into a square: crop it around the object, as the sam2 command and the plugins do.",
            InputWarning,
            stacklevel=4,
        )


def _check_labels(labels: ArrayLike | None, box: ArrayLike | None, mask_input: ArrayLike | None) -> None:
    """Refuse clicks outside alone, of any of the objects."""
    if labels is not None and box is None:
        inside = np.atleast_1d(np.asarray(labels)) != 0
        check_says_where(bool(inside.any(-1).all()), annotated=mask_input is not None)
