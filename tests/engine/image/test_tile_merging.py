"""Objects on a plane of several tiles: none twice, none cut off where two tiles meet."""

from math import hypot

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sam2_engine.image.click_grid import rounds_of_clicks, square_grid
from sam2_engine.image.mask_candidates import Candidate, Crop, tiles_and_whole, touches_edge
from sam2_engine.image.tile_merging import merge_tile_masks
from sam2_engine.masks import PackedMask, mask_boxes
from sam2_engine.tiles import TileGrid, is_large, reaches_inner_edge

PLANE = (448, 448)
GRID = TileGrid(PLANE, 128, 32)


def discs(seed: int, count: int, radii: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Draw discs ``(x, y, radius)`` that lie apart from each other, anywhere on the plane."""
    random = np.random.default_rng(seed)
    placed: list[tuple[int, int, int]] = []
    while len(placed) < count:
        radius = int(random.integers(*radii))
        x, y = random.integers(radius + 2, PLANE[0] - radius - 2, 2).tolist()
        if all(hypot(x - a, y - b) > radius + r + 8 for a, b, r in placed):
            placed.append((x, y, radius))
    return placed


def disc(x: int, y: int, radius: int) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: PLANE[0], : PLANE[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def candidates_of_tiles(masks: list[NDArray[np.bool_]], seed: int) -> list[Candidate]:
    """Return the candidates of all tiles for ``masks``: cut at their edges, a little different each."""
    random = np.random.default_rng(seed)
    candidates = []
    for crop in tiles_and_whole(GRID):
        if not crop.keep_cut:
            continue
        for whole in masks:
            shift = random.integers(-1, 2, 2).tolist()
            part = np.roll(whole, shift, (0, 1))[crop.y0 : crop.y1, crop.x0 : crop.x1]
            if part.sum() >= 20:
                packed = PackedMask.from_array(part, PLANE, (crop.y0, crop.x0))
                x0, y0, x1, y1 = (
                    mask_boxes(torch.from_numpy(part)[None])[0] + torch.tensor([crop.x0, crop.y0] * 2)
                ).tolist()
                cut = bool(touches_edge(torch.tensor([[x0, y0, x1, y1]]), crop, PLANE)[0])
                score = float(random.uniform(0.8, 1))
                area = int(part.sum())
                candidates.append(Candidate(packed, (x0, y0, x1, y1), score, 1.0, (x0, y0), crop, area, cut))
    return candidates


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_tiles_cover_the_plane_and_small_objects_lie_whole_in_one() -> None:
    for shape in (PLANE, (1000, 130), (129, 128), (100, 300)):
        grid = TileGrid(shape, 128, 32)
        covered = np.zeros(shape, bool)
        for x0, y0, x1, y1 in grid.tiles:
            assert 0 <= x0 < x1 <= shape[1]
            assert 0 <= y0 < y1 <= shape[0]
            covered[y0:y1, x0:x1] = True
        assert covered.all()
    for x in range(0, 448 - 32):
        assert any(tile[0] <= x and x + 32 <= tile[2] for tile in GRID.tiles)
    assert GRID.nearest(447, 0) == (320, 0, 448, 128)


def test_each_place_is_clicked_in_the_tile_that_it_lies_deepest_in() -> None:
    for shape in (PLANE, (1000, 130), (129, 128), (100, 300)):
        grid = TileGrid(shape, 128, 32)
        owners = np.zeros(shape, int)
        for (x0, y0, x1, y1), tile in zip(grid.cores, grid.tiles, strict=True):
            owners[y0:y1, x0:x1] += 1
            assert tile[0] <= x0 < x1 <= tile[2]
            assert tile[1] <= y0 < y1 <= tile[3]
            margins = np.subtract((x0, y0), tile[:2]).tolist() + np.subtract(tile[2:], (x1, y1)).tolist()
            inner = [*(edge > 0 for edge in tile[:2]), tile[2] < shape[1], tile[3] < shape[0]]
            assert all(margin >= 16 for margin, is_inner in zip(margins, inner, strict=True) if is_inner)
        assert (owners == 1).all()


def test_a_tile_is_clicked_in_its_core_on_a_coarse_grid_first() -> None:
    crops = list(tiles_and_whole(GRID))
    grid = square_grid(16)
    assert rounds_of_clicks(grid, crops[0])[0] is grid
    clicked = []
    for crop in crops[1:]:
        coarse, rest = (
            points * 128 + torch.tensor([crop.x0, crop.y0]) for points in rounds_of_clicks(grid, crop)
        )
        assert len(coarse) < len(rest) / 2
        clicked.append(torch.cat((coarse, rest)))
    places = torch.cat(clicked)
    assert len(places) < 0.7 * len(crops[1:]) * len(grid)
    assert torch.cdist(places, places).fill_diagonal_(99).min() > 3  # nowhere twice
    assert len(rounds_of_clicks(square_grid(8), crops[1])) == 1  # by fewer no tile is called empty


def test_large_means_more_than_twice_the_input() -> None:
    assert not is_large((1023, 1023), 512)
    assert is_large((300, 1024), 512)


def test_only_edges_inside_the_plane_cut() -> None:
    assert reaches_inner_edge((50, 50, 127, 60), (0, 0, 128, 128), PLANE)
    assert not reaches_inner_edge((0, 50, 126, 60), (0, 0, 128, 128), PLANE)
    assert reaches_inner_edge((0, 50, 126, 60), (0, 0, 128, 128), PLANE, margin=1)


@pytest.mark.parametrize("radii", [(6, 14), (20, 40)])
def test_every_object_once_and_whole(radii: tuple[int, int]) -> None:
    placed = discs(5, 20, radii)
    expected = [disc(*one) for one in placed]
    candidates = candidates_of_tiles(expected, 6)
    assert len(candidates) > 1.3 * len(expected), "the case needs objects in several tiles"
    merged = [one.mask.to_array() for one in merge_tile_masks(candidates, 0.7)]
    assert len(merged) == len(expected)
    best = [max(iou(mask, one) for mask in merged) for one in expected]
    assert min(best) > 0.7


def test_an_object_over_four_tiles_is_merged() -> None:
    expected = disc(220, 220, 70)  # larger than the overlap, in no tile whole
    candidates = candidates_of_tiles([expected], 7)
    assert all(one.is_cut for one in candidates)
    (one,) = merge_tile_masks(candidates, 0.7)
    assert iou(one.mask.to_array(), expected) > 0.9
    rows, columns = np.nonzero(one.mask.to_array())
    assert one.box == (columns.min(), rows.min(), columns.max(), rows.max())
    assert one.area == len(rows)


def test_neighbors_stay_two_and_parts_inside_wholes_stay() -> None:
    left, right, inner = disc(100, 200, 25), disc(152, 200, 25), disc(100, 200, 10)
    merged = merge_tile_masks(candidates_of_tiles([left, right, inner], 8), 0.7)
    assert len(merged) == 3


def test_a_part_without_its_other_side_is_left_out() -> None:
    crop = Crop(0, 0, 128, 128, 0, keep_cut=True)
    mask = np.zeros((128, 128), bool)
    mask[50:60, 90:] = True
    cut = Candidate(
        PackedMask.from_array(mask, PLANE), (90, 50, 127, 59), 0.9, 1.0, (100, 55), crop, 380, True
    )
    assert merge_tile_masks([cut], 0.7) == []
