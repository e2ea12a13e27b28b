"""Image predictor and mask generator, under the official names."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sam2_engine.image.automatic_mask_generator import AutomaticMaskGenerator
from sam2_engine.image.predictor import ImagePredictor, Prediction
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.official_api.build_sam import build_sam2_hf
from sam2_engine.official_api.coordinates import in_pixels

__all__ = ["SAM2AutomaticMaskGenerator", "SAM2ImagePredictor"]


class SAM2ImagePredictor:
    """Masks on images, under the official method names and with the official shapes and types.

    Parameters
    ----------
    sam_model
        From ``build_sam2`` or ``load_model``.
    mask_threshold
        Logit above which a pixel is inside.

    Examples
    --------
    >>> from sam2_engine import load_model
    >>> predictor = SAM2ImagePredictor(load_model("nano", device="cpu", image_size=128))
    >>> predictor.set_image(np.full((48, 64, 3), 128, np.uint8))
    >>> masks, scores, logits = predictor.predict([[30, 20]], [1])
    >>> masks.shape, masks.dtype, scores.shape, logits.shape
    ((3, 48, 64), dtype('float32'), (3,), (3, 32, 32))
    """

    def __init__(self, sam_model: Sam2, mask_threshold: float = 0.0, **kwargs: object) -> None:
        self.model = sam_model
        self.mask_threshold = mask_threshold
        self._predictor = ImagePredictor(sam_model)
        self._sizes: list[tuple[int, int]] = []

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: Any) -> Self:
        """Load by a name at Hugging Face."""
        return cls(build_sam2_hf(model_id, **kwargs))

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.model.device

    def set_image(self, image: ArrayLike) -> None:
        """Encode an RGB image, ``(H, W, 3)`` or PIL."""
        self.set_image_batch([image])

    def set_image_batch(self, image_list: Sequence[ArrayLike]) -> None:
        """Encode several images for ``predict_batch``."""
        images = [np.asarray(image) for image in image_list]
        self._predictor.set_image_batch(images)
        self._sizes = [image.shape[:2] for image in images]

    def get_image_embedding(self) -> Tensor:
        """Return the (1, C, G, G) embedding of the image that is set."""
        return self.model.without_memory(self._predictor.features.embedding)

    def reset_predictor(self) -> None:
        """Remove the images."""
        self._predictor.reset_predictor()
        self._sizes = []

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
        """Predict as ``ImagePredictor.predict``; masks are float32 and a lone object has no axis of its own.

        ``normalize_coords=False`` takes coordinates that were divided by width and height before.
        """
        if not normalize_coords:
            point_coords, box = (in_pixels(value, self._sizes[0]) for value in (point_coords, box))
        prediction = self._predictor.predict(
            point_coords, point_labels, box, mask_input, multimask_output, return_logits=True
        )
        return self._as_official(prediction, return_logits)

    def predict_batch(
        self,
        point_coords_batch: Sequence[ArrayLike | None] | None = None,
        point_labels_batch: Sequence[ArrayLike | None] | None = None,
        box_batch: Sequence[ArrayLike | None] | None = None,
        mask_input_batch: Sequence[ArrayLike | None] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> tuple[list[NDArray[Any]], list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """Predict on each image of ``set_image_batch``."""
        if not normalize_coords:
            point_coords_batch, box_batch = (
                column and [in_pixels(value, size) for value, size in zip(column, self._sizes)]
                for column in (point_coords_batch, box_batch)
            )
        columns = (point_coords_batch, point_labels_batch, box_batch, mask_input_batch)
        predictions = zip(*self._predictor.predict_batch(*columns, multimask_output, return_logits=True))
        masks, ious, logits = zip(*(self._as_official(one, return_logits) for one in predictions))
        return list(masks), list(ious), list(logits)

    def _as_official(self, prediction: Prediction, return_logits: bool) -> Prediction:
        masks, ious, low_res = prediction
        if not return_logits:
            masks = (masks > self.mask_threshold).astype(np.float32)
        if masks.ndim == 4 and len(masks) == 1:
            return masks[0], ious[0], low_res[0]
        return masks, ious, low_res


class SAM2AutomaticMaskGenerator(AutomaticMaskGenerator):
    """Masks for everything in an image, under the official name."""

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: Any) -> Self:
        """Load by a name at Hugging Face; further arguments are the generator's."""
        return cls(build_sam2_hf(model_id), **kwargs)
