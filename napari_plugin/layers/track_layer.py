"""The Tracks layer that shows where the session's objects go, and which came from which."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Tracks
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_plugin.layers.image_stack import ImageStack
from napari_plugin.theme import rgba
from sam2_engine import InputError
from sam2_plugins.session.annotations import AnnotatedObject
from sam2_plugins.session.masks import AcceptedMask
from sam2_plugins.session.readable import ReadableSession

__all__ = ["Centroids", "TrackData", "TrackLayer", "track_colors"]

_LARGEST_TRACK_ID = 2**20
"""napari makes a table as long as the largest id of a track; beyond this one, tracks are counted instead."""


@dataclass(frozen=True, eq=False)
class TrackData:
    """The data of a Tracks layer.

    Attributes
    ----------
    rows
        (N, 4) float64: track id, frame, y, x; sorted by id and frame, one row per mask that is not empty.
    graph
        By track id, the ids of the tracks that it came from.
    objects
        Ids of objects by those of their tracks, which are the same unless an id is very large.
    """

    rows: NDArray[np.float64]
    graph: dict[int, list[int]]
    objects: dict[int, int]

    @classmethod
    def of(
        cls,
        places: Mapping[int, Mapping[int, tuple[float, float]]],
        parents: Mapping[int, Iterable[int]],
    ) -> "TrackData":
        """Join the ``(y, x)`` of objects by frame with their parents; one that is never seen is left out."""
        seen = sorted(object_id for object_id, frames in places.items() if frames)
        counted = bool(seen) and seen[-1] > _LARGEST_TRACK_ID
        tracks = {object_id: number if counted else object_id for number, object_id in enumerate(seen, 1)}
        rows = [(tracks[i], frame, *places[i][frame]) for i in seen for frame in sorted(places[i])]
        graph = {
            tracks[i]: known
            for i in seen
            if (known := [tracks[parent] for parent in parents.get(i, ()) if parent in tracks])
        }
        objects = {track: object_id for object_id, track in tracks.items()}
        return cls(np.array(rows, np.float64).reshape(-1, 4), graph, objects)

    def same_as(self, other: "TrackData") -> bool:
        """Whether both would be drawn alike."""
        same = (self.graph, self.objects) == (other.graph, other.objects)
        return same and np.array_equal(self.rows, other.rows)

    def __bool__(self) -> bool:
        return len(self.rows) > 0


class Centroids:
    """Where the masks of a session are, each computed once: an accepted mask never changes."""

    def __init__(self) -> None:
        self._known: dict[int, dict[int, tuple[AcceptedMask, tuple[float, float] | None]]] = {}

    def compute(self, session: ReadableSession) -> Generator[int, None, TrackData]:
        """Return the tracks of a session as it is now, yielding after each object.

        The first time, thousands of masks take seconds: a worker does something else between two objects.
        """
        objects = session.objects
        self._known = {i: known for i, known in self._known.items() if i in objects}
        for object_id in objects:
            self._known[object_id] = dict(self._known_of(session, object_id))
            yield object_id
        places = {
            i: {frame: place for frame, (_, place) in known.items() if place is not None}
            for i, known in self._known.items()
        }
        return TrackData.of(places, {i: one.parents for i, one in objects.items()})

    def _known_of(
        self, session: ReadableSession, object_id: int
    ) -> Iterator[tuple[int, tuple[AcceptedMask, tuple[float, float] | None]]]:
        before = self._known.get(object_id, {})
        for frame in session.frames_of(object_id):
            accepted, known = session.accepted(object_id, frame), before.get(frame)
            if accepted is None:  # taken away by another thread
                continue
            yield frame, known if known and known[0] is accepted else (accepted, _centroid(accepted))


def _centroid(accepted: AcceptedMask) -> tuple[float, float] | None:
    """Return ``(y, x)`` of a mask, None if it is empty."""
    if accepted.mask.is_empty:
        return None
    crop = accepted.mask.crop()
    rows, columns = crop.sum(axis=1), crop.sum(axis=0)
    area = rows.sum()
    y, x = (counts @ np.arange(len(counts)) / area for counts in (rows, columns))
    top, left = (side.start for side in accepted.mask.box)
    return float(y + top), float(x + left)


class TrackLayer:
    """A view of the session's tracks on the image; the session stays the owner.

    Parameters
    ----------
    viewer, stack
        Where, and on what. napari takes the first column for time and lays a layer's axes on the last ones of
        the viewer, so this layer has the stack's axes from the one of its frames on.
    add
        Adds the layer to the viewer; None to do nothing else.

    Attributes
    ----------
    layer
        None while no object is seen anywhere: napari has no empty Tracks layer.

    Raises
    ------
    InputError
        If the stack is a single image.
    """

    def __init__(
        self, viewer: Viewer, stack: ImageStack, add: Callable[[Tracks], None] | None = None
    ) -> None:
        if stack.plan.axis not in stack.dims:
            raise InputError(f"Layer '{stack.layer.name}' is a single image, in which nothing moves.")
        self._viewer = viewer
        self._stack = stack
        self._add = add or viewer.add_layer
        self._letters = stack.dims[stack.dims.index(stack.plan.axis) :]
        self._shown = TrackData.of({}, {})
        self._colors: dict[int | None, Any] = {}
        self.layer: Tracks | None = None

    def draw(self, tracks: TrackData, objects: Mapping[int, AnnotatedObject]) -> None:
        """Show tracks in the colors of their objects; what is shown already stays."""
        colors = track_colors(tracks, objects)
        if not tracks:
            self.close()
        elif self.layer is None:
            self.layer = self._make(tracks, colors)
            active = self._viewer.layers.selection.active
            self._add(self.layer)
            self._viewer.layers.selection.active = active  # clicks go on where they went
        elif colors != self._colors or not tracks.same_as(self._shown):
            self._redraw(self.layer, tracks, colors)
        self._shown, self._colors = tracks, colors

    def close(self) -> None:
        """Take the layer away."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None

    def _make(self, tracks: TrackData, colors: dict[int | None, Any]) -> Tracks:
        return Tracks(
            self._columns(tracks),
            graph=tracks.graph,
            name=f"tracks of {self._stack.layer.name}",
            colormaps_dict={"track_id": DirectLabelColormap(color_dict=colors)},
            **self._placement(),
        )

    def _redraw(self, layer: Tracks, tracks: TrackData, colors: dict[int | None, Any]) -> None:
        layer.colormaps_dict = {"track_id": DirectLabelColormap(color_dict=colors)}
        layer.data = self._columns(tracks)  # forgets the graph
        layer.graph = tracks.graph

    def _columns(self, tracks: TrackData) -> NDArray[np.float64]:
        """Return (N, 1 + axes) ids and positions on the layer's axes; on channels always the first."""
        values = dict(zip((self._stack.plan.axis, "Y", "X"), tracks.rows[:, 1:].T))
        values |= {letter: np.full(len(tracks.rows), at) for letter, at in self._stack.fixed.items()}
        nowhere = np.zeros(len(tracks.rows))
        return np.column_stack(
            [tracks.rows[:, 0], *(values.get(letter, nowhere) for letter in self._letters)]
        )

    def _placement(self) -> dict[str, Any]:
        """Return what of the image's placement concerns the axes of this layer."""
        placement, axes = self._stack.placement(), len(self._letters)
        if axes == len(self._stack.dims):
            return placement
        own_axes = list(range(len(self._stack.dims) - axes, len(self._stack.dims)))
        moved = Affine(**{name: placement[name] for name in ("scale", "translate", "rotate", "shear")})
        own = moved.set_slice(own_axes)
        return {
            **{name: getattr(own, name) for name in ("scale", "translate", "rotate", "shear")},
            "affine": placement["affine"].set_slice(own_axes),
            "units": placement["units"][-axes:],
            "axis_labels": placement["axis_labels"][-axes:],
        }


def track_colors(tracks: TrackData, objects: Mapping[int, AnnotatedObject]) -> dict[int | None, Any]:
    """Return the colors of objects by the ids of their tracks; None is any other."""
    known = {track: objects[i] for track, i in tracks.objects.items() if i in objects}
    return {None: (1.0, 1.0, 1.0, 1.0)} | {track: rgba(one.color) for track, one in known.items()}
