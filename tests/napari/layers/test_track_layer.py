"""Tracks and lineage of a session, in a real viewer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_plugin.layers.image_stack import ImageStack
from napari_plugin.layers.track_layer import Centroids, TrackLayer
from sam2_engine import InputError
from sam2_engine.masks import CompressedMask
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.readable import run_to_end

PLACED = {"scale": (60.0, 0.5, 0.25), "translate": (100.0, -3.0, 8.0), "units": ("s", "um", "um")}


@pytest.fixture
def session(discs: Any, small_checkpoint: Path) -> AnnotationSession:
    """A mother on frames 0 to 2, her daughters on 3 to 5."""
    session = AnnotationSession(discs, ModelStore("cpu"), small_checkpoint, axes="TYX")
    mother, left, right = (session.add_object() for _ in range(3))
    give(session, mother, {t: square(20, 30 + t) for t in range(3)})
    give(session, left, {t: square(20 - t, 30) for t in range(3, 6)})
    give(session, right, {t: square(20 + t, 40) for t in range(3, 6)})
    for daughter in (left, right):
        session.lineage.set_parents(daughter, (mother,))
    return session


def give(session: AnnotationSession, object_id: int, masks: dict[int, Any]) -> None:
    for frame, mask in masks.items():
        session.import_masks(frame, {object_id: mask})


def square(y: int, x: int) -> Any:
    """A mask of 5 x 7 pixels around a center, with a gap in it that leaves its centroid."""
    mask = np.zeros((60, 80), bool)
    mask[y - 2 : y + 3, x - 3 : x + 4] = True
    mask[y, x] = False
    return mask


ROWS = [[1, t, 20, 30 + t] for t in range(3)]
ROWS += [[2, t, 20 - t, 30] for t in range(3, 6)]
ROWS += [[3, t, 20 + t, 40] for t in range(3, 6)]


class Shown(TrackLayer):
    """A layer, and the work of the one who computes for it."""

    def __init__(self, viewer: Any, stack: ImageStack) -> None:
        super().__init__(viewer, stack)
        self.centroids = Centroids()

    def show(self, session: AnnotationSession) -> None:
        self.draw(run_to_end(self.centroids.compute(session)), session.objects)


def image(viewer: Any, data: Any, **options: Any) -> ImageStack:
    return ImageStack.of(viewer.add_image(data, **options))


@pytest.mark.gui
def test_a_division_is_shown_with_its_lineage_where_it_happens(
    make_napari_viewer_proxy: Any, session: AnnotationSession, discs: Any
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    shown = image(viewer, discs, **PLACED)
    viewer.layers.selection.active = shown.layer
    tracks = Shown(viewer, shown)
    tracks.show(session)
    layer = tracks.layer
    assert layer is not None
    np.testing.assert_allclose(layer.data, ROWS)
    assert layer.graph == {2: [1], 3: [1]}
    assert viewer.layers.selection.active.name == shown.layer.name
    for corner in ((0, 0, 0), (5, 59, 79)):
        np.testing.assert_allclose(layer.data_to_world(corner), shown.layer.data_to_world(corner))
    assert layer.units == shown.layer.units
    colors = np.array([session.objects[int(i)].color for i in layer.data[:, 0]]) / 255
    np.testing.assert_allclose(layer.track_colors[:, :3], colors, atol=1e-3)
    for frame in range(6):
        shown.show_frame(viewer, frame)
    viewer.window.screenshot(flash=False)


@pytest.mark.gui
def test_the_layer_shows_every_change_and_undo(
    make_napari_viewer_proxy: Any, session: AnnotationSession, discs: Any
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    tracks = Shown(viewer, image(viewer, discs))
    tracks.show(session)
    layer = tracks.layer
    assert layer is not None
    session.remove_object(2)
    tracks.show(session)
    np.testing.assert_allclose(layer.data, ROWS[:3] + ROWS[6:])
    assert layer.graph == {3: [1]}
    session.undo()
    session.edit_object(3, color=(0, 128, 255))
    tracks.show(session)
    np.testing.assert_allclose(layer.data, ROWS)
    assert layer.graph == {2: [1], 3: [1]}
    np.testing.assert_allclose(layer.track_colors[-1], (0, 128 / 255, 1, 1), atol=1e-3)
    for object_id in (1, 2, 3):
        session.remove_object(object_id)
    tracks.show(session)
    assert tracks.layer is None
    assert len(viewer.layers) == 1
    session.undo()
    tracks.show(session)
    assert len(viewer.layers) == 2


def test_only_what_changed_is_drawn_and_computed_again(
    session: AnnotationSession, discs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = ViewerModel()
    tracks = Shown(viewer, image(viewer, discs))
    tracks.show(session)
    assert tracks.layer is not None
    drawn, computed = [], []
    tracks.layer.events.data.connect(drawn.append)
    crop = CompressedMask.crop

    def counted(mask: CompressedMask) -> Any:
        computed.append(mask)
        return crop(mask)

    monkeypatch.setattr(CompressedMask, "crop", counted)
    tracks.show(session)
    session.verify(1, [0])
    tracks.show(session)
    assert not drawn
    assert not computed
    give(session, 2, {4: square(30, 30)})
    computed.clear()
    tracks.show(session)
    assert len(drawn) == len(computed) == 1
    assert tracks.layer.data[4].tolist() == [2, 4, 30, 30]


def test_very_large_ids_do_not_fill_the_memory(small_checkpoint: Path, discs: Any) -> None:
    session = AnnotationSession(discs, ModelStore("cpu"), small_checkpoint, axes="TYX")
    for object_id in (7, 2**32 - 1):
        session.add_object(object_id=object_id)
    give(session, 7, {0: square(20, 20)})
    give(session, 2**32 - 1, {1: square(30, 30)})
    session.lineage.set_parents(2**32 - 1, (7,))
    trajectories = run_to_end(Centroids().compute(session))
    assert trajectories.rows.tolist() == [[1, 0, 20, 20], [2, 1, 30, 30]]
    assert trajectories.graph == {2: [1]}
    assert trajectories.objects == {1: 7, 2: 2**32 - 1}
    viewer = ViewerModel()
    tracks = Shown(viewer, image(viewer, discs))
    tracks.show(session)
    assert tracks.layer is not None


@pytest.mark.parametrize(
    ("shape", "axes", "columns"),
    [((6, 2, 60, 80), "TCYX", 5), ((2, 6, 60, 80), "CTYX", 4), ((1, 6, 60, 80), "TZYX", 4)],
)
def test_frames_are_the_time_of_the_tracks_whatever_the_axes(
    session: AnnotationSession, shape: tuple[int, ...], axes: str, columns: int
) -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros(shape, np.uint8), scale=(3, 4, 0.5, 0.25), translate=(1, 2, 3, 4))
    stack = ImageStack.of(layer, axes)
    tracks = Shown(viewer, stack)
    tracks.show(session)
    assert tracks.layer is not None
    assert tracks.layer.data.shape == (9, columns)
    np.testing.assert_allclose(tracks.layer.data[:, [0, 1, -2, -1]], ROWS)
    for row in tracks.layer.data:
        there = stack.position(viewer, int(row[1]), row[-1], row[-2])
        world = layer.data_to_world(there)
        axis = stack.dims.index(stack.plan.axis)
        mine = tracks.layer.data_to_world(row[1:])
        np.testing.assert_allclose([mine[0], *mine[-2:]], [world[axis], *world[-2:]])


def test_a_single_image_has_no_tracks() -> None:
    viewer = ViewerModel()
    with pytest.raises(InputError, match="nothing moves"):
        TrackLayer(viewer, image(viewer, np.zeros((20, 30))))
