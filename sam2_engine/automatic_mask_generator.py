"""Segment everything: a grid of clicks, filtered, without duplicates (SAM, section 5 and appendix B)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from math import ceil
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sam2_engine.errors import InputError
from sam2_engine.image_predictor import LOGIT_CLAMP, MASK_THRESHOLD, Contrast, ImagePredictor, open_image
from sam2_engine.mask_utils import (
    PackedMask,
    encode_rle,
    mask_boxes,
    mask_stability,
    non_maximum_suppression,
    remove_small_regions,
)
from sam2_engine.modeling.sam2 import MaskPrediction, Sam2
from sam2_engine.preprocessing import logits_to_size

__all__ = ["AutomaticMaskGenerator", "MaskRecord"]

_CROP_EDGE_TOLERANCE = 20
_CHUNK_BYTES = 256 * 2**20


class MaskRecord(TypedDict):
    """One mask, under SAM's own keys.

    Boxes are ``[x, y, width, height]``; ``bbox`` ends at column ``x + width``, inclusive, as in SAM.
    """

    segmentation: NDArray[np.bool_] | dict[str, Any]
    area: int
    bbox: list[int]
    predicted_iou: float
    point_coords: list[list[float]]
    stability_score: float
    crop_box: list[int]


class _Crop(NamedTuple):
    """A part of the image: first and last-plus-one column and row, and its layer (0 is the image itself)."""

    x0: int
    y0: int
    x1: int
    y1: int
    layer: int


@dataclass(frozen=True, eq=False)
class _Candidate:
    mask: PackedMask
    box: tuple[int, int, int, int]
    predicted_iou: float
    stability: float
    point: tuple[float, float]
    crop: _Crop
    area: int


@dataclass(eq=False)
class AutomaticMaskGenerator:
    """Find masks for everything in an image.

    Attributes
    ----------
    model
        A loaded model.
    points_per_side
        The grid has this many clicks per side of each crop; divided by
        ``crop_n_points_downscale_factor`` once per crop layer.
    points_per_batch
        Clicks decoded together: more is faster and takes more memory.
    pred_iou_thresh, stability_score_thresh
        Masks of a lower predicted IoU, or of a lower stability (IoU of the mask at logits above and
        below the threshold by ``stability_score_offset``), are dropped; both 0..1.
    box_nms_thresh, crop_nms_thresh
        Of masks whose boxes overlap by more than this IoU one stays: within a crop the one of the
        higher predicted IoU, between crops the one of the smaller crop.
    crop_n_layers
        Layer i looks at the image again in ``4 ** i`` overlapping crops, which finds small objects.
    crop_overlap_ratio
        Overlap of the first layer's crops, as a fraction of the image's shorter side.
    min_mask_region_area
        Fill holes and drop islands below this number of pixels.
    multimask_output
        Take all three candidates of a click instead of its one mask.
    use_m2m
        Refine each mask by decoding once more from itself.
    output_mode
        ``"binary_mask"``: ``segmentation`` is (H, W) bool; ``"uncompressed_rle"``: COCO's run lengths,
        which keep the many masks of a large image small.
    """

    model: Sam2
    points_per_side: int = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.8
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    min_mask_region_area: int = 0
    multimask_output: bool = True
    use_m2m: bool = False
    output_mode: Literal["binary_mask", "uncompressed_rle"] = "binary_mask"
    predictor: ImagePredictor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.points_per_side < 1 or self.points_per_batch < 1:
            raise InputError("points_per_side and points_per_batch must be 1 or more.")
        if self.crop_n_layers < 0 or self.crop_n_points_downscale_factor < 1:
            raise InputError("crop_n_layers must be 0 or more, crop_n_points_downscale_factor 1 or more.")
        if self.output_mode not in ("binary_mask", "uncompressed_rle"):
            raise InputError(f"output_mode is 'binary_mask' or 'uncompressed_rle', not {self.output_mode!r}.")
        self.predictor = ImagePredictor(self.model)

    def generate(
        self,
        image: ArrayLike,
        *,
        contrast: Contrast = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[MaskRecord]:
        """Find masks for everything in an image.

        Parameters
        ----------
        image
            ``(H, W)`` or ``(H, W, C)``, any real type.
        contrast
            Intensity window, as in ``ImagePredictor.set_image``; one for the image and all crops.
        on_progress
            Called with (clicks done, clicks in all) after each batch; raising in it stops the work.

        Returns
        -------
        list of MaskRecord
            May overlap. Best predicted IoU first, within each crop.

        Raises
        ------
        InputError
            If the image cannot be used.
        """
        return [self._record(candidate) for candidate in self._find(image, contrast, on_progress)]

    def generate_labels(
        self,
        image: ArrayLike,
        *,
        contrast: Contrast = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.uint16] | NDArray[np.uint32]:
        """Find everything, as one label image: 0 is background, i + 1 the i-th record of ``generate``.

        Where masks overlap the smaller one lies on top, so a part stays visible on its whole; a mask
        that is wholly covered leaves its number unused.

        Returns
        -------
        ndarray
            ``(H, W)`` uint16, or uint32 if there are more masks than that can number.
        """
        image = np.asarray(image)
        candidates = self._find(image, contrast, on_progress)
        labels = np.zeros(image.shape[:2], dtype=np.uint16 if len(candidates) < 2**16 else np.uint32)
        for number, candidate in sorted(enumerate(candidates, start=1), key=lambda item: -item[1].area):
            labels[candidate.mask.window][candidate.mask.cropped] = number
        return labels

    def _find(
        self,
        image: ArrayLike,
        contrast: Contrast,
        on_progress: Callable[[int, int], None] | None,
    ) -> list[_Candidate]:
        pixels, window = open_image(image, contrast)
        height, width = pixels.shape[:2]
        crops = list(_crops(width, height, self.crop_n_layers, self.crop_overlap_ratio))
        grids = [self._grid(crop.layer) for crop in crops]
        done, total = 0, sum(len(grid) for grid in grids)
        found: list[_Candidate] = []
        for crop, grid in zip(crops, grids):
            self.predictor.set_image(pixels[crop.y0 : crop.y1, crop.x0 : crop.x1], contrast=window)
            within: list[_Candidate] = []
            for points in torch.split(grid, self.points_per_batch):
                within += self._decode(points, crop, (height, width))
                done += len(points)
                if on_progress is not None:
                    on_progress(done, total)
            found += _suppress(within, [c.predicted_iou for c in within], self.box_nms_thresh)
        self.predictor.reset_predictor()
        if len(crops) > 1:
            found = _suppress(found, [1 / _area(c.crop) for c in found], self.crop_nms_thresh)
        return self._tidy(found) if self.min_mask_region_area > 0 else found

    def _grid(self, layer: int) -> Tensor:
        """Return clicks (N, 2) at the centres of a square grid over the unit square, row by row."""
        side = max(1, int(self.points_per_side / self.crop_n_points_downscale_factor**layer))
        centres = (torch.arange(side, dtype=torch.float64) + 0.5) / side
        return torch.cartesian_prod(centres, centres).flip(1)

    def _decode(self, points: Tensor, crop: _Crop, shape: tuple[int, int]) -> list[_Candidate]:
        """Return what a batch of clicks, (N, 2) in the unit square, finds in the crop that is set."""
        device = self.model.device
        clicks = (points * self.model.image_size).float().to(device)[:, None]
        labels = torch.ones(len(clicks), 1, dtype=torch.int32, device=device)
        prediction = self._predict(clicks, labels, None, self.multimask_output)
        per_click = prediction.iou.shape[1]
        logits, iou = prediction.low_res_logits.flatten(0, 1), prediction.iou.flatten()
        if self.use_m2m:
            logits, iou = self._refine(clicks, labels, prediction)
        logits, iou = logits.float(), iou.float()
        places = points * torch.tensor([crop.x1 - crop.x0, crop.y1 - crop.y0])
        places = (places + torch.tensor([crop.x0, crop.y0])).repeat_interleave(per_click, dim=0)
        good = iou > (self.pred_iou_thresh if self.pred_iou_thresh > 0 else -1)
        logits, iou, places = logits[good], iou[good], places[good.cpu()]
        found: list[_Candidate] = []
        for part in torch.split(torch.arange(len(iou)), max(1, _CHUNK_BYTES // (4 * _area(crop)))):
            found += self._filter(logits[part], iou[part], places[part], crop, shape)
        return found

    def _predict(
        self, clicks: Tensor, labels: Tensor, mask_logits: Tensor | None, multimask: bool
    ) -> MaskPrediction:
        model, features = self.model, self.predictor.features
        with torch.inference_mode(), model.autocast():
            return model.predict_masks(
                model.without_memory(features.embedding),
                features.high_res,
                points=clicks,
                labels=labels,
                mask_logits=mask_logits,
                multimask=multimask,
            )

    def _refine(self, clicks: Tensor, labels: Tensor, prediction: MaskPrediction) -> tuple[Tensor, Tensor]:
        """Decode each candidate again from its click and its own mask: logits (N, h, w) and IoU (N,)."""
        per_click = prediction.iou.shape[1]
        masks = prediction.low_res_logits.flatten(0, 1)[:, None].clamp(-LOGIT_CLAMP, LOGIT_CLAMP)
        refined = [
            self._predict(clicks[part // per_click], labels[part // per_click], masks[part], multimask=False)
            for part in torch.split(torch.arange(len(masks), device=masks.device), self.points_per_batch)
        ]
        logits = torch.cat([one.low_res_logits[:, 0] for one in refined])
        return logits, torch.cat([one.iou[:, 0] for one in refined])

    def _filter(
        self, logits: Tensor, iou: Tensor, places: Tensor, crop: _Crop, shape: tuple[int, int]
    ) -> Iterator[_Candidate]:
        """Yield the masks that are stable and not cut off by the crop's edge."""
        full = logits_to_size(logits[:, None], (crop.y1 - crop.y0, crop.x1 - crop.x0))[:, 0]
        stability = mask_stability(full, self.stability_score_offset)
        masks = full > MASK_THRESHOLD
        boxes = (mask_boxes(masks) + torch.tensor([crop.x0, crop.y0] * 2, device=full.device)).cpu()
        stable = masks.flatten(1).any(1) & (stability >= self.stability_score_thresh)
        keep = ~_touches_edge(boxes, crop, shape) & stable.cpu()
        for i in keep.nonzero()[:, 0].tolist():
            mask = masks[i].cpu().numpy()
            x0, y0, x1, y1 = boxes[i].tolist()
            yield _Candidate(
                mask=PackedMask.of(mask, shape, (crop.y0, crop.x0)),
                box=(x0, y0, x1, y1),
                predicted_iou=float(iou[i]),
                stability=float(stability[i]),
                point=(float(places[i, 0]), float(places[i, 1])),
                crop=crop,
                area=int(mask.sum()),
            )

    def _tidy(self, candidates: list[_Candidate]) -> list[_Candidate]:
        """Remove small holes and islands; of masks made equal by it, those that needed none stay."""
        tidied, untouched = [], []
        for candidate in candidates:
            mask = candidate.mask.unpack()
            clean = remove_small_regions(mask, self.min_mask_region_area)
            untouched.append(float(clean is mask))
            if clean is not mask:
                x0, y0, x1, y1 = mask_boxes(torch.from_numpy(clean)[None])[0].tolist()
                packed = PackedMask.of(clean, candidate.mask.shape)
                candidate = replace(candidate, mask=packed, box=(x0, y0, x1, y1), area=int(clean.sum()))
            tidied.append(candidate)
        return _suppress(tidied, untouched, max(self.box_nms_thresh, self.crop_nms_thresh))

    def _record(self, candidate: _Candidate) -> MaskRecord:
        mask = candidate.mask.unpack()
        x0, y0, x1, y1 = candidate.box
        crop = candidate.crop
        return MaskRecord(
            segmentation=mask if self.output_mode == "binary_mask" else encode_rle(mask),
            area=candidate.area,
            bbox=[x0, y0, x1 - x0, y1 - y0],
            predicted_iou=candidate.predicted_iou,
            point_coords=[list(candidate.point)],
            stability_score=candidate.stability,
            crop_box=[crop.x0, crop.y0, crop.x1 - crop.x0, crop.y1 - crop.y0],
        )


def _area(crop: _Crop) -> int:
    return (crop.x1 - crop.x0) * (crop.y1 - crop.y0)


def _crops(width: int, height: int, layers: int, overlap_ratio: float) -> Iterator[_Crop]:
    """Yield the image, then for each layer i the crops of a grid of 2**i by 2**i that overlap."""
    yield _Crop(0, 0, width, height, 0)
    for layer in range(1, layers + 1):
        side = 2**layer
        overlap = int(overlap_ratio * min(width, height) * (2 / side))
        crop_width = ceil((overlap * (side - 1) + width) / side)
        crop_height = ceil((overlap * (side - 1) + height) / side)
        for column, row in product(range(side), range(side)):
            x0, y0 = (crop_width - overlap) * column, (crop_height - overlap) * row
            yield _Crop(x0, y0, min(x0 + crop_width, width), min(y0 + crop_height, height), layer)


def _touches_edge(boxes: Tensor, crop: _Crop, shape: tuple[int, int]) -> Tensor:
    """Return (N,) bool: the mask ends near an edge of its crop that is not an edge of the image."""
    height, width = shape

    def near(edges: tuple[int, int, int, int]) -> Tensor:
        return (boxes - torch.tensor(edges)).abs() <= _CROP_EDGE_TOLERANCE

    return (near(crop[:4]) & ~near((0, 0, width, height))).any(1)


def _suppress(candidates: list[_Candidate], scores: list[float], threshold: float) -> list[_Candidate]:
    boxes = torch.tensor([candidate.box for candidate in candidates]).reshape(-1, 4)
    kept = non_maximum_suppression(boxes, torch.tensor(scores), threshold)
    return [candidates[i] for i in kept.tolist()]
