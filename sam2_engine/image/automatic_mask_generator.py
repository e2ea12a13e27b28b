"""Automatic mask generation: a grid of clicks, filtered, without duplicates (SAM, section 5, appendix B)."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, TypedDict

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sam2_engine.arguments import suggests_arguments
from sam2_engine.copies import copied
from sam2_engine.errors import InputError
from sam2_engine.image.click_grid import looks_even, mask_centers, rounds_of_clicks, square_grid
from sam2_engine.image.mask_candidates import (
    Candidate,
    Crop,
    nested_crops,
    suppress,
    suppress_masks,
    tiles_and_whole,
    touches_edge,
)
from sam2_engine.image.padded_view import PaddedView
from sam2_engine.image.predictor import MASK_THRESHOLD, ImagePredictor, as_image, open_image
from sam2_engine.image.small_components import remove_small_components
from sam2_engine.image.tile_merging import merge_tile_masks
from sam2_engine.image.wide_view import EncodedPrompt
from sam2_engine.masks import (
    PackedMask,
    compress_rle,
    encode_rle,
    mask_boxes,
    mask_stability,
    remove_small_regions,
)
from sam2_engine.modeling.sam2 import LOGIT_CLAMP, MaskPrediction, Sam2
from sam2_engine.preprocessing import Contrast, IntensityWindow, logits_around, logits_to_size
from sam2_engine.tiles import TileGrid, tile_side
from sam2_engine.weights.loading import as_model

__all__ = ["AutomaticMaskGenerator", "MaskRecord", "Search"]

Search = Generator[tuple[int, int], None, list[Candidate]]
"""Clicks done and clicks in all, after each batch; at the end the masks."""

_EMPTY, _WEAK = 1 / 2, 1 / 10
"""Parts of the least predicted IoU: an even tile in which no click of the coarse grid scores more than the
first is empty; a click that scores less than the second is not followed by one in the middle of its mask."""
_PIECE = 1 / 12
"""Part of a large object that a click must give for the object to be looked at in a wider view."""
_OVERLAP = 4
"""Neighboring tiles share a quarter of their side: more takes longer, with less more objects are cut."""


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


@dataclass(eq=False, repr=False)
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
        below the threshold by ``stability_score_offset``), are dropped; both 0..1. None: the model's own.
    box_nms_thresh, crop_nms_thresh
        Of masks whose boxes overlap by more than this IoU one stays: within a crop the one of the
        higher predicted IoU, between crops the one of the smaller crop.
    crop_n_layers
        Layer i segments the image again in ``4 ** i`` overlapping crops, which finds small objects.
    crop_overlap_ratio
        Overlap of the first layer's crops, as a fraction of the image's shorter side.
    min_mask_region_area
        Fill holes and remove components below this number of pixels.
    multimask_output
        Take all three candidates of a click instead of its one mask; None: as the model
        predicts for a click, official models three.
    use_m2m
        Refine each mask by decoding once more from itself.
    click_middle
        Click once more at the center of the mask of each click, and take the masks of that: clicks near an
        edge or on a part give smaller masks. Duplicates are then compared by their masks, not their boxes,
        and a model with a wider view sees large objects in it. Not in the official package.
    output_mode
        ``"binary_mask"``: ``segmentation`` is (H, W) bool; ``"uncompressed_rle"``: COCO's run lengths,
        which need little memory for the many masks of a large image; ``"coco_rle"``: these as a string.
    tiled
        Segment an image whose longer side is at least twice the model's input in overlapping tiles of
        the input's size, at full resolution, each with the grid of clicks, and merge what the tile
        boundaries cut; and as a whole, for objects larger than a tile. Instead of crops. Each place is
        clicked in the tile it lies deepest in, and an even tile where a coarse grid finds nothing no further.
    mask_threshold
        Logit above which a pixel is inside.

    Examples
    --------
    >>> from sam2_engine import load_model
    >>> from sam2_engine.synthetic import moving_cells
    >>> frames, _ = moving_cells(num_frames=1, size=96, num_cells=4)
    >>> nano = load_model("nano", device="cpu", image_size=96)
    >>> generator = AutomaticMaskGenerator(
    ...     nano, points_per_side=5, pred_iou_thresh=0.5, stability_score_thresh=0.6
    ... )
    >>> records = generator.generate(frames[0])
    >>> records[0]["segmentation"].shape, int(records[0]["segmentation"].sum()) == records[0]["area"]
    ((96, 96), True)
    """

    model: Sam2
    points_per_side: int = 32
    points_per_batch: int = 64
    pred_iou_thresh: float | None = None
    stability_score_thresh: float | None = None
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    min_mask_region_area: int = 0
    multimask_output: bool | None = None
    use_m2m: bool = False
    click_middle: bool = False
    output_mode: Literal["binary_mask", "uncompressed_rle", "coco_rle"] = "binary_mask"
    tiled: bool = False
    mask_threshold: float = MASK_THRESHOLD
    predictor: ImagePredictor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.model = as_model(self.model)
        if self.points_per_side < 1 or self.points_per_batch < 1:
            raise InputError("points_per_side and points_per_batch must be 1 or more.")
        if self.crop_n_layers < 0 or self.crop_n_points_downscale_factor < 1:
            raise InputError("crop_n_layers must be 0 or more, crop_n_points_downscale_factor 1 or more.")
        if self.output_mode not in ("binary_mask", "uncompressed_rle", "coco_rle"):
            raise InputError(
                f"output_mode is 'binary_mask', 'uncompressed_rle' or 'coco_rle', not {self.output_mode!r}."
            )
        config = self.model.config
        self._least_iou = config.pred_iou_thresh if self.pred_iou_thresh is None else self.pred_iou_thresh
        self._least_stability = (
            config.stability_score_thresh
            if self.stability_score_thresh is None
            else self.stability_score_thresh
        )
        self.predictor = ImagePredictor(self.model)

    def __repr__(self) -> str:
        tiles = ", in tiles" if self.tiled else ""
        side = self.points_per_side
        return f"<{type(self).__name__} {self.model.summary}, {side} x {side} clicks{tiles}>"

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Return a generator of the same settings; the model, which it only reads, is shared."""
        return copied(self, memo, self.model)

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
        """Segment everything, as one label image: 0 is background, i + 1 the i-th record of ``generate``.

        Where masks overlap the smaller one lies on top, so a part stays visible on its whole; a mask
        that is wholly covered leaves its number unused.

        Returns
        -------
        ndarray
            ``(H, W)`` uint16, or uint32 if there are more masks than that can number.
        """
        image = as_image(image)
        candidates = self._find(image, contrast, on_progress)
        labels = np.zeros(image.shape[:2], dtype=np.uint16 if len(candidates) < 2**16 else np.uint32)
        for number, candidate in sorted(enumerate(candidates, start=1), key=lambda item: -item[1].area):
            labels[candidate.mask.box][candidate.mask.crop()] = number
        return labels

    def search(self, image: ArrayLike, *, contrast: Contrast = None) -> Search:
        """Find masks step by step, for callers that do other work in between.

        Parameters
        ----------
        image, contrast
            As in ``generate``.

        Yields
        ------
        tuple of int
            Clicks done and clicks in all, after each batch.

        Returns
        -------
        list of Candidate
            As the generator's value, what it ends with.

        Raises
        ------
        InputError
            If the image cannot be used.
        """
        pixels, window = self._open(image, contrast)
        height, width = pixels.shape[:2]
        side = tile_side((height, width), self.model.config)
        tiled = self.tiled and side < max(height, width)
        crops = self._tiles(height, width, side) if tiled else self._crops(height, width)
        plans = [rounds_of_clicks(self._grid(crop.layer), crop) for crop in crops]
        done, total = 0, sum(len(clicks) for rounds in plans for clicks in rounds)
        candidates: list[Candidate] = []
        for crop, rounds in zip(crops, plans):
            part = pixels[crop.y0 : crop.y1, crop.x0 : crop.x1]
            self._set_crop(part, window)
            within: list[Candidate] = []
            after = done + sum(len(clicks) for clicks in rounds)
            for clicks in rounds:
                best = 0.0
                for points in torch.split(clicks, self.points_per_batch):
                    found, score = self._decode(points, crop, (height, width))
                    within, best, done = within + found, max(best, score), done + len(points)
                    yield done, total
                if best < self._least_iou * _EMPTY and looks_even(part):
                    break
            if done < after:
                done = after
                yield done, total
            if self.click_middle:
                candidates += suppress_masks(within, self.box_nms_thresh)
            else:
                candidates += suppress(within, [c.predicted_iou for c in within], self.box_nms_thresh)
        self.predictor.reset_predictor()
        if tiled:
            candidates = merge_tile_masks(candidates, self.crop_nms_thresh)
        elif len(crops) > 1:
            candidates = suppress(candidates, [1 / c.crop.area for c in candidates], self.crop_nms_thresh)
        return self._remove_small_regions(candidates) if self.min_mask_region_area > 0 else candidates

    def _open(self, image: ArrayLike, contrast: Contrast) -> tuple[NDArray[Any], IntensityWindow | None]:
        return open_image(image, contrast, self.predictor.model.config.intensities)

    def _set_crop(self, pixels: NDArray[Any], window: IntensityWindow | None) -> None:
        self.predictor.set_crop(pixels, contrast=window)

    def _find(
        self,
        image: ArrayLike,
        contrast: Contrast,
        on_progress: Callable[[int, int], None] | None,
    ) -> list[Candidate]:
        search = self.search(image, contrast=contrast)
        while True:
            try:
                done, total = next(search)
            except StopIteration as end:
                candidates: list[Candidate] = end.value
                return candidates
            if on_progress is not None:
                on_progress(done, total)

    def _crops(self, height: int, width: int) -> list[Crop]:
        return list(nested_crops(width, height, self.crop_n_layers, self.crop_overlap_ratio))

    def _tiles(self, height: int, width: int, side: int) -> list[Crop]:
        return list(tiles_and_whole(TileGrid((height, width), side, side // _OVERLAP)))

    def _grid(self, layer: int) -> Tensor:
        """Return the clicks (N, 2) in the unit square of a crop."""
        return square_grid(max(1, int(self.points_per_side / self.crop_n_points_downscale_factor**layer)))

    def _decode(self, points: Tensor, crop: Crop, shape: tuple[int, int]) -> tuple[list[Candidate], float]:
        """Return the masks of a batch of clicks, (N, 2) in the unit square, in the crop that is set.

        And the best score, predicted IoU times stability, of any of the clicks.
        """
        device = self.model.device
        clicks = (points * self.model.image_size).float().to(device)[:, None]
        labels = torch.ones(len(clicks), 1, dtype=torch.int32, device=device)
        multimask = self.multimask_output
        if multimask is None:
            multimask = self.model.config.multimask_output_in_sam
        prediction = self._predict(clicks, labels, None, multimask)
        scores = self._scores(prediction)
        best = float(scores.amax())
        if self.click_middle:
            # On a large plane, what is next to nothing by the first click is never an object by the second.
            strong = scores >= (0.0 if crop.core is None else self._least_iou * _WEAK)
            if not strong.any():
                return [], best
            masks = prediction.best().low_res_logits[:, 0] > self.mask_threshold
            points = mask_centers(masks[strong], points[strong.cpu()])
            clicks = (points * self.model.image_size).float().to(device)[:, None]
            labels = labels[: len(points)]
            is_whole = crop[:4] == (0, 0, shape[1], shape[0])  # what is large in a crop is not in the image
            prediction = self._predict(clicks, labels, None, multimask, widens=is_whole)
        per_click = prediction.iou.shape[1]
        logits, iou = prediction.low_res_logits.flatten(0, 1), prediction.iou.flatten()
        if self.use_m2m:
            logits, iou = self._refine(clicks, labels, prediction)
        iou = iou.float().cpu()
        good = (iou > (self._least_iou if self._least_iou > 0 else -1)).nonzero()[:, 0]
        # Only what may stay is fetched from a GPU.
        logits, iou, points = (
            self._fetch(logits[good.to(device)].float()),
            iou[good],
            points[good // per_click],
        )
        if crop.larger_than:  # before the masks are resized to a large plane
            large = (_longer_side(logits, crop) > crop.larger_than).cpu()
            logits, iou, points = logits[large], iou[large], points[large]
        if self.model.config.removes_small_components:  # specks widen the boxes by which doubles are found
            cells = (points * logits.shape[-1]).numpy()
            for i in range(len(logits)):
                logits[i] = remove_small_components(logits[i], cells[i : i + 1])
        positions = points * torch.tensor([crop.x1 - crop.x0, crop.y1 - crop.y0])
        positions = positions + torch.tensor([crop.x0, crop.y0])
        scored = zip(logits.unbind(), iou.tolist(), positions.tolist())
        found = (self._candidate(one, score, (x, y), crop, shape) for one, score, (x, y) in scored)
        return [candidate for candidate in found if candidate is not None], best

    def _scores(self, prediction: MaskPrediction) -> Tensor:
        """Return predicted IoU times stability of the best mask of each click, (N,)."""
        best = prediction.best()
        stability = mask_stability(
            best.low_res_logits[:, 0] - self.mask_threshold, self.stability_score_offset
        )
        return best.iou[:, 0].float() * stability

    def _predict(
        self,
        clicks: Tensor,
        labels: Tensor,
        mask_logits: Tensor | None,
        multimask: bool,
        widens: bool = False,
    ) -> MaskPrediction:
        model = self.model
        view = PaddedView.of(model.config, self.predictor.image_size)
        if view is not None:
            logits = None if mask_logits is None else view.widen(mask_logits)
            return view.narrow(self._decoded(EncodedPrompt(view.points(clicks), labels, logits, multimask)))
        prompt = EncodedPrompt(clicks, labels, mask_logits, multimask)
        if widens:
            return self.predictor.decode(prompt, least_share=_PIECE * model.config.large_object)
        return self._decoded(prompt)

    def _decoded(self, prompt: EncodedPrompt) -> MaskPrediction:
        model, features = self.model, self.predictor.features
        with torch.inference_mode(), model.autocast():
            return prompt.predict(model, model.without_memory(features.embedding), features.high_res)

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

    def _candidate(
        self,
        logits: Tensor,
        predicted_iou: float,
        point: tuple[float, float],
        crop: Crop,
        shape: tuple[int, int],
    ) -> Candidate | None:
        """Return a mask if it is stable and, unless the crop keeps cut ones, not cut off by its edge."""
        resized, (row, column) = self._resize(logits, (crop.y1 - crop.y0, crop.x1 - crop.x0))
        origin = (crop.y0 + row, crop.x0 + column)
        masks = (resized > self.mask_threshold)[None]
        stability, is_good = self._judge(resized[None] - self.mask_threshold)
        box = (mask_boxes(masks) + torch.tensor(origin[::-1] * 2, device=masks.device)).cpu()
        is_cut = bool(touches_edge(box, crop, shape))
        if not is_good or (is_cut and not crop.keep_cut):
            return None
        mask = masks[0].cpu().numpy()
        x0, y0, x1, y1 = box[0].tolist()
        return Candidate(
            mask=PackedMask.from_array(mask, shape, origin),
            box=(x0, y0, x1, y1),
            predicted_iou=predicted_iou,
            stability=float(stability),
            point=point,
            crop=crop,
            area=int(np.count_nonzero(mask)),
            is_cut=is_cut,
        )

    def _fetch(self, logits: Tensor) -> Tensor:
        """Bring low-resolution logits to where masks are judged: of most, that is a small part of a crop."""
        return logits.cpu()

    def _resize(self, logits: Tensor, size: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
        """Resize the (h, w) logits of a mask to the crop's size, around it only; with first row and column.

        All beyond lies below every threshold that is looked at.
        """
        box = PackedMask.from_array(logits.numpy() > self.mask_threshold - self.stability_score_offset).box
        if box[0].start == box[0].stop:
            return logits_to_size(logits[None, None], size)[0, 0], (0, 0)
        resized, origin = logits_around(logits.numpy(), size, box)
        return torch.from_numpy(resized), origin

    def _judge(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the stability of masks by their (N, H, W) logits, and which of them stay."""
        stability = mask_stability(logits, self.stability_score_offset)
        return stability, (logits > 0).flatten(1).any(1) & (stability >= self._least_stability)

    def _remove_small_regions(self, candidates: list[Candidate]) -> list[Candidate]:
        """Remove small holes and components; of masks made equal by it, unchanged ones stay."""
        results, unchanged = [], []
        for candidate in candidates:
            window = candidate.mask.around(self.min_mask_region_area)  # no larger part can matter
            mask = candidate.mask.within(window)
            clean = remove_small_regions(mask, self.min_mask_region_area)
            unchanged.append(float(clean is mask))
            if clean is not mask:
                origin = (window[0].start, window[1].start)
                packed = PackedMask.from_array(clean, candidate.mask.shape, origin)
                rows, columns = packed.box
                box = (columns.start, rows.start, columns.stop - 1, rows.stop - 1)
                candidate = replace(candidate, mask=packed, box=box, area=int(clean.sum()))
            results.append(candidate)
        threshold = max(self.box_nms_thresh, self.crop_nms_thresh)
        if self.click_middle:
            return suppress_masks(results, threshold)
        return suppress(results, unchanged, threshold)

    def _record(self, candidate: Candidate) -> MaskRecord:
        mask = candidate.mask.to_array()
        x0, y0, x1, y1 = candidate.box
        crop = candidate.crop
        runs = None if self.output_mode == "binary_mask" else encode_rle(mask)
        compressed = runs is not None and self.output_mode == "coco_rle"
        return MaskRecord(
            segmentation=mask if runs is None else compress_rle(runs) if compressed else runs,
            area=candidate.area,
            bbox=[x0, y0, x1 - x0, y1 - y0],
            predicted_iou=candidate.predicted_iou,
            point_coords=[list(candidate.point)],
            stability_score=candidate.stability,
            crop_box=[crop.x0, crop.y0, crop.x1 - crop.x0, crop.y1 - crop.y0],
        )


# The dataclass writes it, and takes no decorator.
setattr(AutomaticMaskGenerator, "__init__", suggests_arguments(AutomaticMaskGenerator.__init__))  # noqa: B010


def _longer_side(logits: Tensor, crop: Crop) -> Tensor:
    """Return the longer sides, (N,) in pixels of the image, of the boxes of (N, h, w) masks."""
    boxes = mask_boxes(logits > MASK_THRESHOLD)
    scale = torch.tensor([crop.x1 - crop.x0, crop.y1 - crop.y0], device=boxes.device) / logits.shape[-1]
    return ((boxes[:, 2:] - boxes[:, :2] + 1) * scale).amax(1)
