"""Objects on an image, by clicks and boxes."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .models import ExportedModel, Features, Prediction
from .pixels import resize_logits
from .prompts import check_mask_logits, encode_prompt

__all__ = ["ImageSegmenter"]


class ImageSegmenter:
    """Masks of objects on one image.

    Parameters
    ----------
    model
        An exported model.
    image
        (H, W) or (H, W, 3), 8 bits; encoded here, once for all prompts.
    """

    def __init__(self, model: ExportedModel, image: NDArray[Any]) -> None:
        self.model = model
        self.shape = (image.shape[0], image.shape[1])
        self._features: Features = model.encode(image)

    def predict(
        self,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_logits: ArrayLike | None = None,
        several: bool = True,
    ) -> tuple[NDArray[np.bool_], Prediction]:
        """Predict one object.

        Parameters
        ----------
        points, labels
            (P, 2) ``(x, y)`` in pixels, and (P,): 1 inside (default), 0 outside.
        box
            ``(x0, y0, x1, y1)``.
        mask_logits
            (4 G, 4 G) of an earlier prediction.
        several
            Return three candidates, as for one ambiguous click; else one mask.

        Returns
        -------
        masks
            (M, H, W) bool.
        prediction
            Their logits at a quarter of the input's side, predicted IoU, and presence.

        Raises
        ------
        ValueError
            If the prompt cannot be meant: it lies outside of the image, or its values are no numbers.
        """
        model, features = self.model, self._features
        earlier = None if mask_logits is None else check_mask_logits(mask_logits, model.mask_size)
        corrects = earlier is not None
        places, kinds = encode_prompt(self.shape, model.image_size, points, labels, box, corrects=corrects)
        predicted = model.predict(features.without_memory, features, places, kinds, earlier, several=several)
        return resize_logits(predicted.logits, self.shape) > 0, predicted
