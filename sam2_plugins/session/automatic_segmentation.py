"""Automatic segmentation of one frame into distinct objects, the surest first."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.arguments import is_whole
from sam2_engine.errors import InputError
from sam2_engine.image.automatic_mask_generator import AutomaticMaskGenerator, Search
from sam2_engine.image.mask_candidates import Candidate
from sam2_engine.masks import CompressedMask
from sam2_engine.preprocessing import IntensityWindow
from sam2_plugins.runtime.jobs import DeviceLock, Priority
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.runtime.out_of_memory import translate_oom
from sam2_plugins.session.masks import MaskScores
from sam2_plugins.session.readable import LongWork

__all__ = ["AutomaticSettings", "FoundObject", "find_objects", "number_objects", "shows_nothing"]

MAX_OVERLAP = 0.5
"""Of two masks that share more than this part of the smaller one, the surer stays."""
MAX_AREA = 0.5
MAX_BORDER = 1 / 3
"""What covers more of the plane than the first, and more of its border than the second, is the background."""
_UNKNOWN = 0.5
"""What has this part of its pixels where the image has no value, as where it was masked out, is no object."""
_BATCH = 32
"""Clicks for which the device is held at a time."""


@dataclass(frozen=True)
class AutomaticSettings:
    """What to look for.

    Attributes
    ----------
    confidence
        Least score of an object, 0..1: the model's predicted IoU times the mask's stability; None: as the
        model's configuration says.
    min_area
        Least size in pixels; smaller holes and components of a mask go as well.
    max_objects
        At most so many, the surest.
    points_per_side
        Clicks per side of the grid; on a large plane, of each tile.

    Raises
    ------
    InputError
        If one of them is out of range.
    """

    confidence: float | None = None
    min_area: int = 20
    max_objects: int = 200
    points_per_side: int = 16

    def __post_init__(self) -> None:
        sure = self.confidence
        if sure is not None and (not isinstance(sure, int | float | np.floating) or not 0 <= sure <= 1):
            raise InputError(f"Confidence is a number from 0 to 1, not {sure!r}.")
        for number in (self.min_area, self.max_objects, self.points_per_side):
            if not is_whole(number):
                raise InputError(
                    f"Smallest area, objects and clicks per side are whole numbers, not {number!r}."
                )
        if self.min_area < 0 or self.max_objects < 1 or self.points_per_side < 1:
            raise InputError("A smallest area is 0 or more; objects and clicks per side are 1 or more.")


@dataclass(frozen=True, eq=False)
class FoundObject:
    """One object that was found without a prompt.

    Attributes
    ----------
    mask, area
        The pixels, and how many.
    score
        Predicted IoU times stability, 0..1.
    scores
        The model's opinion of the mask, as the review reads it. Whether something is there at all is not
        asked of a grid's click: its presence is 1.
    """

    mask: CompressedMask
    area: int
    score: float
    scores: MaskScores


@LongWork
def find_objects(
    store: ModelStore,
    model: str,
    image: NDArray[Any],
    window: IntensityWindow | None = None,
    settings: AutomaticSettings | None = None,
) -> Generator[tuple[int, int], None, list[FoundObject]]:
    """Find objects step by step; the device is held for one step at a time, and clicks go ahead.

    A large plane is segmented in tiles, and masks that tile boundaries cut are merged. Unlike the masks of
    ``AutomaticMaskGenerator``, which show every part and every whole, objects hardly overlap.

    Parameters
    ----------
    store, model
        Which model, on which device.
    image
        (H, W) or (H, W, C).
    window
        Intensities that the model sees; None lets the image decide.
    settings
        What to look for.

    Yields
    ------
    tuple of int
        Clicks done and clicks in all.

    Returns
    -------
    list of FoundObject
        The surest first.

    Raises
    ------
    InputError
        If the image cannot be used.
    """
    wanted = settings or AutomaticSettings()
    if shows_nothing(image):
        return []
    if (remote := store.remote) is not None:
        return (yield from remote.find_objects(store.lock, model, image, window, wanted))
    loaded = store.get(model)
    confidence = loaded.config.confidence if wanted.confidence is None else wanted.confidence
    generator = AutomaticMaskGenerator(
        loaded,
        points_per_side=wanted.points_per_side,
        points_per_batch=_BATCH if loaded.device.type == "cpu" else 8 * _BATCH,
        pred_iou_thresh=confidence,
        stability_score_thresh=confidence,
        min_mask_region_area=wanted.min_area,
        click_middle=True,
        tiled=True,
    )
    pixels, unknown = _known(image)
    search = generator.search(pixels, contrast=window)
    candidates = yield from _search_with_device(store.lock, search, str(loaded.device))
    if unknown is not None:
        candidates = [one for one in candidates if unknown[one.mask.box][one.mask.crop()].mean() < _UNKNOWN]
    return _distinct_objects(candidates, wanted, confidence)


def _known(image: Any) -> tuple[Any, NDArray[np.bool_] | None]:
    """Return an image in which what is not finite is dark, as sources say that they read it; and where."""
    if not isinstance(image, np.ndarray) or image.dtype.kind != "f" or np.isfinite(image).all():
        return image, None
    finite = np.isfinite(image)
    filled = np.where(finite, image, image[finite].min()).astype(image.dtype)
    unknown = ~finite if image.ndim == 2 else ~finite.all(-1)
    return filled, np.asarray(unknown, bool)


def shows_nothing(image: Any) -> bool:
    """Whether all pixels of a frame are alike, as where a shutter stayed closed; of a lazy plane, never.

    Examples
    --------
    >>> shows_nothing(np.zeros((4, 6))), shows_nothing(np.eye(4))
    (True, False)
    """
    if not isinstance(image, np.ndarray):
        return False
    if not image.size:  # a crop of a plane of a few pixels
        return True
    pixels = image.reshape(image.shape[0] * image.shape[1], -1)
    if pixels.dtype.kind == "f":
        pixels = pixels[np.isfinite(pixels).all(1)]
    return bool((pixels == pixels[:1]).all())


def number_objects(shape: tuple[int, int], found: list[FoundObject]) -> NDArray[Any]:
    """Return the (H, W) label image of objects: i + 1 for the i-th, the surer one on top; 0 is background."""
    labels = np.zeros(shape, np.uint16 if len(found) < 2**16 else np.uint32)
    for number, found_object in reversed(list(enumerate(found, start=1))):
        labels[found_object.mask.box][found_object.mask.crop()] = number
    return labels


def _search_with_device(
    lock: DeviceLock, search: Search, device: str
) -> Generator[tuple[int, int], None, list[Candidate]]:
    """Go through a search, holding the device for a step at a time."""
    while True:
        with lock.held(Priority.BACKGROUND), translate_oom(device):
            try:
                step = next(search)
            except StopIteration as end:
                found: list[Candidate] = end.value
                return found
        yield step


def _distinct_objects(
    candidates: list[Candidate], wanted: AutomaticSettings, confidence: float
) -> list[FoundObject]:
    """Return the surest candidates, without those that share most of their pixels with a surer one."""
    if not candidates:
        return []
    shape = candidates[0].mask.shape
    ranked = sorted(candidates, key=_score, reverse=True)
    owners = np.zeros(shape, np.uint32)  # which object each pixel belongs to, from 1
    found: list[FoundObject] = []
    for candidate in ranked:
        if len(found) == wanted.max_objects or _score(candidate) < confidence:
            break
        if candidate.area < max(wanted.min_area, 1) or _is_background(candidate):
            continue
        crop = owners[candidate.mask.box]
        pixels = candidate.mask.crop()
        surer, shared = np.unique(crop[pixels], return_counts=True)
        if any(
            number and count > MAX_OVERLAP * min(candidate.area, found[number - 1].area)
            for number, count in zip(surer.tolist(), shared.tolist())
        ):
            continue
        scores = MaskScores(1.0, candidate.predicted_iou, candidate.stability)
        found.append(FoundObject(candidate.mask.compress(), candidate.area, _score(candidate), scores))
        crop[pixels & (crop == 0)] = len(found)
    return found


def _is_background(candidate: Candidate) -> bool:
    """Whether a mask is what lies around objects; a large one leaves most of the border free."""
    height, width = candidate.mask.shape
    if candidate.area <= MAX_AREA * height * width:
        return False
    pixels = candidate.mask.within((slice(0, height), slice(0, width)))
    border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    return bool(border.mean() > MAX_BORDER)


def _score(candidate: Candidate) -> float:
    return min(max(candidate.predicted_iou * candidate.stability, 0.0), 1.0)
