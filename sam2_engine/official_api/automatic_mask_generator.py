"""Automatic mask generator, under its official name."""

from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from typing_extensions import override

from sam2_engine.errors import InputError
from sam2_engine.image.automatic_mask_generator import AutomaticMaskGenerator, MaskRecord
from sam2_engine.image.mask_candidates import Candidate
from sam2_engine.masks import count_pixels, non_maximum_suppression
from sam2_engine.modeling.sam2 import MaskPrediction, Sam2
from sam2_engine.official_api.build_sam import build_sam2_hf, split_arguments
from sam2_engine.official_api.errors import UnsupportedError, refuse_unknown
from sam2_engine.official_api.image_predictor import SAM2ImagePredictor
from sam2_engine.official_api.utils import amg
from sam2_engine.official_api.utils.amg import MaskData
from sam2_engine.official_api.utils.small_regions import warn_without_effect
from sam2_engine.preprocessing import Contrast, IntensityWindow

__all__ = ["SAM2AutomaticMaskGenerator"]


class SAM2AutomaticMaskGenerator(AutomaticMaskGenerator):
    """Masks for everything in an image, with the official arguments and defaults, in the official order.

    The parameters are those of ``sam2_engine.AutomaticMaskGenerator``, and beside them:

    Parameters
    ----------
    points_per_side
        None if ``point_grids`` are given.
    point_grids
        Clicks of each layer of crops, (N, 2) in the unit square.
    min_mask_region_area
        Fill holes and remove components of at most this many pixels of the low-resolution masks; on CUDA
        devices only, as in the official package.

    Raises
    ------
    InputError
        If an argument is unknown or cannot be meant so.

    Examples
    --------
    >>> from sam2_engine import load_model
    >>> nano = load_model("nano", device="cpu", image_size=96)
    >>> generator = SAM2AutomaticMaskGenerator(nano, points_per_side=4, stability_score_thresh=0.5)
    >>> records = generator.generate(np.full((48, 64, 3), 128, np.uint8))
    """

    def __init__(
        self,
        model: Sam2,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float = 0.8,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        mask_threshold: float = 0.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: list[NDArray[Any]] | None = None,
        min_mask_region_area: int = 0,
        output_mode: Literal["binary_mask", "uncompressed_rle", "coco_rle"] = "binary_mask",
        use_m2m: bool = False,
        multimask_output: bool = True,
        **kwargs: object,
    ) -> None:
        refuse_unknown(type(self).__name__, kwargs, ARGUMENTS)
        if (points_per_side is None) == (point_grids is None):
            raise InputError("Give either points_per_side or point_grids; for grids, points_per_side=None.")
        super().__init__(
            model,
            points_per_side=1 if points_per_side is None else points_per_side,
            points_per_batch=points_per_batch,
            pred_iou_thresh=pred_iou_thresh,
            stability_score_thresh=stability_score_thresh,
            stability_score_offset=stability_score_offset,
            box_nms_thresh=box_nms_thresh,
            crop_n_layers=crop_n_layers,
            crop_nms_thresh=crop_nms_thresh,
            crop_overlap_ratio=crop_overlap_ratio,
            crop_n_points_downscale_factor=crop_n_points_downscale_factor,
            min_mask_region_area=min_mask_region_area,
            multimask_output=multimask_output,
            use_m2m=use_m2m,
            output_mode=output_mode,
            mask_threshold=mask_threshold,
        )
        if point_grids is None:
            layers = range(crop_n_layers + 1)
            self.point_grids = [AutomaticMaskGenerator._grid(self, layer).numpy() for layer in layers]
        else:
            self.point_grids = _checked(point_grids, crop_n_layers)
        warn_without_effect(
            model.device,
            "sam2_engine.AutomaticMaskGenerator cleans masks on any device.",
            min_mask_region_area=min_mask_region_area,
        )
        self._official = SAM2ImagePredictor(model)
        self._official._transforms.max_hole_area = min_mask_region_area
        self._official._transforms.max_sprinkle_area = min_mask_region_area
        self.predictor = self._official  # type: ignore[assignment]

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: Any) -> Self:
        """Load by a name at Hugging Face; further arguments are those of ``build_sam2`` and of the class."""
        building, own = split_arguments(kwargs)
        return cls(build_sam2_hf(model_id, **building), **own)

    def generate(self, image: NDArray[Any]) -> list[MaskRecord]:  # type: ignore[override]
        """Find masks for everything in an (H, W, 3) image, 8-bit or float from 0 to 1.

        Returns
        -------
        list of MaskRecord
            Best predicted IoU first, within each crop.

        Raises
        ------
        InputError
            If it is no such image.
        """
        return super().generate(image)

    def refine_with_m2m(
        self, points: Tensor, point_labels: Tensor, low_res_masks: Tensor, points_per_batch: int
    ) -> tuple[Tensor, Tensor]:
        """Predict (N, h, w) masks again from themselves and their (N, 2) clicks in the model's input.

        Returns
        -------
        tuple of Tensor
            Logits at the size of the image that is set, (N, 1, H, W), and predicted IoU, (N, 1).
        """
        parts = [
            self._official._predict(
                clicks[:, None],
                labels[:, None],
                None,
                masks[:, None],
                multimask_output=False,
                return_logits=True,
            )
            for clicks, labels, masks in zip(
                *(torch.split(one, points_per_batch) for one in (points, point_labels, low_res_masks))
            )
        ]
        masks, ious, _ = zip(*parts)
        return torch.cat(masks), torch.cat(ious)

    @staticmethod
    def postprocess_small_regions(mask_data: MaskData, min_area: int, nms_thresh: float) -> MaskData:
        """Clean the masks of ``"rles"`` and ``"boxes"``; of those made equal by it, unchanged ones stay.

        ``generate`` does not call it, as in the official package.
        """
        if not mask_data["rles"]:
            return mask_data
        masks, unchanged = [], []
        for rle in mask_data["rles"]:
            mask, filled = amg.remove_small_regions(amg.rle_to_mask(rle), min_area, "holes")
            mask, dropped = amg.remove_small_regions(mask, min_area, "islands")
            masks.append(torch.from_numpy(mask))
            unchanged.append(float(not (filled or dropped)))
        boxes = amg.batched_mask_to_box(torch.stack(masks))
        keep = non_maximum_suppression(boxes, torch.tensor(unchanged), nms_thresh)
        for i in keep.tolist():
            if not unchanged[i]:
                mask_data["rles"][i] = amg.mask_to_rle_pytorch(masks[i][None])[0]
                mask_data["boxes"][i] = boxes[i]
        mask_data.filter(keep)
        return mask_data

    @override
    def _open(self, image: ArrayLike, contrast: Contrast) -> tuple[NDArray[Any], IntensityWindow | None]:
        if not isinstance(image, np.ndarray):
            raise UnsupportedError(f"An image is an (H, W, 3) array, not a {type(image).__name__}.")
        self._official._transforms.to_tensor(image[:1])  # a crop that is refused is refused before any work
        return image, None

    @override
    def _set_crop(self, pixels: NDArray[Any], window: IntensityWindow | None) -> None:
        self._official.set_image(pixels)

    @override
    def _grid(self, layer: int) -> Tensor:
        return torch.as_tensor(self.point_grids[layer], dtype=torch.float64)

    @override
    @torch.no_grad()
    def _predict(
        self,
        clicks: Tensor,
        labels: Tensor,
        mask_logits: Tensor | None,
        multimask: bool,
        widens: bool = False,  # the official one sees no wider view
    ) -> MaskPrediction:
        features = self._official._set_features()
        return self.model.predict_masks(
            features["image_embed"],
            tuple(features["high_res_feats"]),
            points=clicks,
            labels=labels,
            mask_logits=mask_logits,
            multimask=multimask,
        )

    @override
    def _fetch(self, logits: Tensor) -> Tensor:
        return logits

    @override
    def _resize(self, logits: Tensor, size: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
        return self._official._transforms.postprocess_masks(logits[None, None], size)[0, 0], (0, 0)

    @override
    def _judge(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the stability, not a number for an empty mask, which stays where all do."""
        inner, outer = (
            count_pixels(logits > offset)
            for offset in (self.stability_score_offset, -self.stability_score_offset)
        )
        stability = inner / outer
        stay = torch.ones_like(stability, dtype=torch.bool)
        return (
            stability,
            stability >= self._least_stability if self._least_stability > 0 else stay,
        )

    @override
    def _remove_small_regions(self, candidates: list[Candidate]) -> list[Candidate]:
        return candidates  # the low-resolution masks were cleaned already


ARGUMENTS = (
    "model",
    "points_per_side",
    "points_per_batch",
    "pred_iou_thresh",
    "stability_score_thresh",
    "stability_score_offset",
    "mask_threshold",
    "box_nms_thresh",
    "crop_n_layers",
    "crop_nms_thresh",
    "crop_overlap_ratio",
    "crop_n_points_downscale_factor",
    "point_grids",
    "min_mask_region_area",
    "output_mode",
    "use_m2m",
    "multimask_output",
)


def _checked(point_grids: list[NDArray[Any]], layers: int) -> list[NDArray[Any]]:
    grids = [np.asarray(grid, np.float64) for grid in point_grids]
    if len(grids) <= layers:
        raise InputError(f"There are {layers + 1} layers but {len(grids)} grids; give one grid for each.")
    for grid in grids:
        if grid.ndim != 2 or grid.shape[1] != 2 or not len(grid) or grid.min() < 0 or grid.max() > 1:
            raise InputError(
                f"A grid is (N, 2) points from 0 to 1, x first, not an array of shape {grid.shape}"
                + (f" from {grid.min():g} to {grid.max():g}." if grid.size else ".")
            )
    return grids
