"""Objects on an image, by clicks and boxes."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .models import ExportedModel, Features, Prediction
from .pixels import resize_logits

__all__ = ["ImageSegmenter", "encode_prompt"]


def encode_prompt(
    shape: tuple[int, int],
    image_size: int,
    points: ArrayLike | None,
    labels: ArrayLike | None,
    box: ArrayLike | None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return clicks and a box, in pixels of an (H, W) image, as the model takes them."""
    places, kinds = [], []
    if box is not None:
        places.append(np.asarray(box, np.float32).reshape(2, 2))
        kinds.append(np.array([2, 3]))
    if points is not None:
        clicks = np.asarray(points, np.float32).reshape(-1, 2)
        places.append(clicks)
        kinds.append(np.ones(len(clicks), int) if labels is None else np.asarray(labels).reshape(-1))
        if len(kinds[-1]) != len(clicks):
            raise ValueError(f"There are {len(clicks)} points and {len(kinds[-1])} labels: give as many.")
    if not places:
        raise ValueError("Give points, a box, or both.")
    scale = np.array([image_size / shape[1], image_size / shape[0]], np.float32)
    return np.concatenate(places) * scale, np.concatenate(kinds).astype(np.int64)


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
        mask_logits: NDArray[np.float32] | None = None,
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
        """
        places, kinds = encode_prompt(self.shape, self.model.image_size, points, labels, box)
        features = self._features
        predicted = self.model.predict(
            features.without_memory, features, places, kinds, mask_logits, several=several
        )
        return resize_logits(predicted.logits, self.shape) > 0, predicted
