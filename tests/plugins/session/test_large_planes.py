"""A session on a plane that is large for its model: everything as ever, in tiles."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine.video.tiled_session import TiledVideoSession
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import MaskOrigin
from sam2_plugins.storage.mask_store import read_masks, write_masks


@pytest.fixture
def large(store: ModelStore, small_checkpoint: Path) -> AnnotationSession:
    """Two discs on 4 frames of 300 x 420; the model's input is 128."""
    y, x = np.mgrid[:300, :420]
    frames = np.random.default_rng(3).integers(20, 60, (4, 300, 420)).astype(np.uint8)
    for t, frame in enumerate(frames):
        frame[(x - 90 - 8 * t) ** 2 + (y - 100) ** 2 < 200] = 220
        frame[(x - 330) ** 2 + (y - 220) ** 2 < 200] = 150
    return AnnotationSession(frames, store, small_checkpoint, axes="TYX")


def disc(x: int, y: int) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[:300, :420]
    return (columns - x) ** 2 + (rows - y) ** 2 < 200


def everything(session: AnnotationSession) -> dict[tuple[int, int], bytes]:
    return {
        (i, f): mask.mask.bits
        for i in session.objects
        for f in session.frames_of(i)
        if (mask := session.accepted(i, f)) is not None
    }


def test_prompts_tracking_corrections_and_undo(large: AnnotationSession) -> None:
    one, other = large.add_object(), large.add_object()
    large.add_mask(0, one, disc(90, 100))
    result = large.add_box(1, other, (315, 205, 345, 235))
    mask = large.mask(other, 1)
    np.testing.assert_array_equal(mask, result.masks[0])
    visited = [r.frame for r in large.propagate()]
    assert visited == [0, 1, 2, 3]
    np.testing.assert_array_equal(large.mask(one, 0), disc(90, 100))
    labels = large.label_image(2)
    assert labels.shape == (300, 420)
    before = everything(large)
    large.add_points(2, one, (106, 100))
    accepted = large.accepted(one, 2)
    assert accepted is not None
    assert accepted.origin is MaskOrigin.PROMPTED
    large.undo()
    assert everything(large) == before
    large.redo()
    after = everything(large)
    large.drop_engine()
    list(large.propagate(start=3))  # rebuilt from prompts and masks
    assert {place: after[place] for place in after if place[1] < 3} == {
        place: bits for place, bits in everything(large).items() if place[1] < 3
    }
    with large.engine.acquire() as engine:
        assert isinstance(engine, TiledVideoSession)


def test_masks_of_tiles_come_back_from_disk(large: AnnotationSession, tmp_path: Path) -> None:
    one = large.add_object()
    large.add_points(0, one, (90, 100), box=(75, 85, 105, 115))
    list(large.propagate())
    accepted = {f: large.accepted(one, f) for f in large.frames_of(one)}
    masks = {f: mask for f, mask in accepted.items() if mask is not None}
    write_masks(tmp_path / "masks.zarr", (300, 420), masks)
    again, damaged = read_masks(tmp_path / "masks.zarr")
    assert not damaged
    for f, mask in masks.items():
        rows, columns = np.nonzero(mask.mask.to_array())
        np.testing.assert_array_equal(again[f].strength(rows, columns), mask.strength(rows, columns))
        assert again[f].mask.bits == mask.mask.bits


def test_logits_of_a_tile_are_stored_where_they_lie(large: AnnotationSession) -> None:
    one = large.add_object()
    result = large.add_box(0, one, (315, 205, 345, 235))
    accepted = large.accepted(one, 0)
    assert accepted is not None
    rows, columns = np.nonzero(result.masks[0])
    exact = result.logits[0][rows, columns]
    assert np.abs(accepted.strength(rows, columns) - exact.clip(max=31.75)).max(initial=0) < 0.2
