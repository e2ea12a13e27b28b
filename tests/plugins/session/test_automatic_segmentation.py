"""Everything on a frame, as a choice of distinct objects; on a large plane in tiles."""

from dataclasses import replace
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from sam2_engine.errors import InputError
from sam2_engine.image.automatic_mask_generator import AutomaticMaskGenerator
from sam2_engine.modeling.config import VARIANTS
from sam2_engine.modeling.sam2 import MaskPrediction
from sam2_engine.tiles import TileGrid
from sam2_plugins.runtime.jobs import Priority
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.automatic_segmentation import (
    AutomaticSettings,
    FoundObject,
    find_objects,
    number_objects,
)

LENIENT = AutomaticSettings(confidence=0.0, min_area=1, points_per_side=4)
STRIP = (384, 1152)  # three of nano's tiles
TILES = TileGrid(STRIP, 512, 128)


def all_of(
    store: ModelStore, model: str, image: NDArray[np.uint8], settings: AutomaticSettings
) -> list[FoundObject]:
    search = find_objects.steps(store, model, image, None, settings)
    while True:
        try:
            next(search)
        except StopIteration as end:
            found: list[FoundObject] = end.value
            return found


def test_objects_are_ranked_distinct_and_never_the_background(
    store: ModelStore, small_checkpoint: Path, discs: NDArray[np.uint8]
) -> None:
    found = all_of(store, str(small_checkpoint), discs[0], LENIENT)
    assert found
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    masks = [one.mask.to_array() for one in found]
    for i, mask in enumerate(masks):
        assert mask.sum() == found[i].area <= discs[0].size / 2
        for other in masks[:i]:
            assert (mask & other).sum() <= 0.5 * min(mask.sum(), other.sum())
    fewer = all_of(store, str(small_checkpoint), discs[0], AutomaticSettings(0.0, 1, 1, 4))
    assert [one.score for one in fewer] == scores[:1]
    labels = number_objects((60, 80), found)
    np.testing.assert_array_equal(labels == 1, masks[0])  # the surest lies on top


def test_without_a_confidence_the_models_own_counts(small_checkpoint: Path, discs: NDArray[np.uint8]) -> None:
    store = ModelStore("cpu")
    name, model = str(small_checkpoint), store.get(str(small_checkpoint))
    scores = [one.score for one in all_of(store, name, discs[0], LENIENT)]
    for confidence in (0.0, (scores[0] + scores[-1]) / 2, 1.0):
        model.config = replace(model.config, confidence=confidence)
        own = all_of(store, name, discs[0], replace(LENIENT, confidence=None))
        given = all_of(store, name, discs[0], replace(LENIENT, confidence=confidence))
        assert [one.score for one in own] == [one.score for one in given]
        assert all(one.score >= confidence for one in own)
    assert VARIANTS["nano"].confidence < VARIANTS["sam2.1_hiera_tiny"].confidence


def test_the_device_is_free_between_two_steps(
    store: ModelStore, small_checkpoint: Path, discs: NDArray[np.uint8]
) -> None:
    search = find_objects.steps(store, str(small_checkpoint), discs[0], None, LENIENT)
    assert next(search) == (16, 16)
    with store.lock.held(Priority.INTERACTIVE):  # would wait for ever
        search.close()


def test_settings_out_of_range() -> None:
    with pytest.raises(InputError, match="from 0 to 1"):
        AutomaticSettings(confidence=2)
    with pytest.raises(InputError, match="1 or more"):
        AutomaticSettings(max_objects=0)


def test_nano_counts_a_mosaic_and_cuts_nothing_at_tile_boundaries(store: ModelStore) -> None:
    placed = _discs(4, 18)
    expected = [_disc(*one) for one in placed]
    image = gaussian_filter(np.where(np.logical_or.reduce(expected), 170.0, 50.0), 2)
    image += np.random.default_rng(1).normal(0, 8, STRIP)
    found = all_of(store, "nano", image.clip(0, 255).astype(np.uint8), AutomaticSettings(points_per_side=8))
    masks = [one.mask.to_array() for one in found]
    best = np.array([max((one & mask).sum() / (one | mask).sum() for mask in masks) for one in expected])
    at_boundary = np.array([_crosses_a_boundary(x, radius) for x, _, radius in placed])
    assert at_boundary.sum() >= 6
    assert len(found) == len(expected)
    assert best.min() > 0.6
    assert best[at_boundary].mean() > best[~at_boundary].mean() - 0.05


def test_of_an_empty_tile_only_the_coarse_grid_is_clicked(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clicks: list[int] = []
    predict = AutomaticMaskGenerator._predict

    def counted(self: AutomaticMaskGenerator, points: Tensor, *others: Any, **more: Any) -> MaskPrediction:
        clicks.append(len(points))
        return predict(self, points, *others, **more)

    monkeypatch.setattr(AutomaticMaskGenerator, "_predict", counted)
    image = np.random.default_rng(1).normal(60, 8, STRIP)
    rows, columns = np.ogrid[: STRIP[0], : STRIP[1]]
    image[(rows - 200) ** 2 + (columns - 80) ** 2 < 20**2] = 170
    found = all_of(store, "nano", image.clip(0, 255).astype(np.uint8), AutomaticSettings())
    assert len(found) == 1
    in_tiles = sum(clicks) - 2 * 256  # of the whole plane each click may have a second one
    assert 0 < in_tiles < 2 * 256 + 2 * 64, "one tile holds an object, the others are seen to be empty"


def test_a_small_object_between_the_clicks_of_the_coarse_grid_is_found(store: ModelStore) -> None:
    image = np.random.default_rng(1).normal(50, 8, STRIP)
    rows, columns = np.ogrid[: STRIP[0], : STRIP[1]]
    places = [(144, 156), (320 + 208, 252), (640 + 272, 108)]  # 40 pixels from the nearest four of a tile
    for x, y in places:
        image[(rows - y) ** 2 + (columns - x) ** 2 <= 8**2] += 30
    found = all_of(store, "nano", image.clip(0, 255).astype(np.uint8), AutomaticSettings())
    masks = [one.mask.to_array() for one in found]
    for x, y in places:
        assert any(mask[y, x] and mask.sum() < 500 for mask in masks), f"the one at {x}, {y}"


def _discs(seed: int, count: int) -> list[tuple[int, int, int]]:
    """Draw discs ``(x, y, radius)`` apart from each other; every other one lies on a tile boundary."""
    random = np.random.default_rng(seed)
    boundaries = [edge for tile in TILES.tiles for edge in (tile[0], tile[2]) if 0 < edge < STRIP[1]]
    placed: list[tuple[int, int, int]] = []
    while len(placed) < count:
        radius = int(random.integers(24, 40))
        x = int(random.integers(radius + 2, STRIP[1] - radius - 2))
        y = int(random.integers(radius + 2, STRIP[0] - radius - 2))
        if len(placed) % 2:
            x = int(random.choice(boundaries)) + int(random.integers(-8, 9))
        if all(hypot(x - a, y - b) > radius + r + 12 for a, b, r in placed):
            placed.append((x, y, radius))
    return placed


def _disc(x: int, y: int, radius: int) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: STRIP[0], : STRIP[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def _crosses_a_boundary(x: int, radius: int) -> bool:
    return any(abs(x - edge) < radius for tile in TILES.tiles for edge in (tile[0], tile[2]))
