"""Readers of folders: sessions, and results and ground truths of the Cell Tracking Challenge."""

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import finalize

import dask.array as da
import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_plugin.layers.layer_sizes import known_sizes
from napari_plugin.layers.object_colormap import ObjectColormap
from napari_plugin.layers.track_layer import Centroids, TrackData, track_colors
from napari_plugin.theme import rgba
from sam2_engine import FrameSource
from sam2_engine.datasets.annotations import LabelImage
from sam2_plugins.importing.formats import MaskFile, cell_tracking_masks, has_tracks
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.annotations import AnnotatedObject, object_color
from sam2_plugins.session.label_image import label_dtype
from sam2_plugins.session.readable import known_by_frame, run_to_end
from sam2_plugins.storage import read_manifest, read_session
from sam2_plugins.storage.manifest import scale_in

__all__ = [
    "LayerData",
    "Reader",
    "cell_tracking_reader",
    "image_layer",
    "placed",
    "read_cell_tracking_folder",
    "read_session_folder",
    "session_reader",
]

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[Any], list[LayerData]]


def session_reader(path: str | list[str]) -> Reader | None:
    """Return the reader of a path if it is a session folder, as napari asks for it."""
    if isinstance(path, str) and (Path(path) / "session.json").is_file():
        return read_session_folder
    return None


def cell_tracking_reader(path: str | list[str]) -> Reader | None:
    """Return the reader of a path if it is a folder with tracks, or its file of tracks."""
    if isinstance(path, str) and has_tracks(Path(path)):
        return read_cell_tracking_folder
    return None


def read_session_folder(path: str) -> list[LayerData]:
    """Return a session's frames, read one at a time when they are shown, its masks and its tracks.

    The folder's lock is not taken: it may be open elsewhere.

    Raises
    ------
    InputError
        If the folder is damaged, or its frames are not there or not the same.
    """
    session = read_session(Path(path), ModelStore("cpu"))  # the store is asked for no model
    scale = scale_in(read_manifest(path), session.frames)
    name = Path(path).stem
    layers = [image_layer(session, name, scale)]
    if session.objects:
        labels = _labels(session)
        axes = f"{session.frames.axis}YX"[-labels.ndim :]
        place = placed(axes, scale)
        data, options, kind = _label_layer(labels, f"objects of {name}", session.objects)
        layers.append((data, options | place, kind))
        tracks = run_to_end(Centroids().compute(session)) if labels.ndim == 3 else None
        if tracks:
            data, options, kind = _track_layer(tracks, f"tracks of {name}", session.objects)
            layers.append((data, options | place, kind))
    return layers


def read_cell_tracking_folder(path: str) -> list[LayerData]:
    """Return the label images of a folder, (T, Y, X), and its tracks with their parents.

    Raises
    ------
    InputError
        If the file of tracks is not as the challenge has it, or an image is missing or no label image.
    """
    masks = cell_tracking_masks(Path(path))
    name = Path(masks.name).name
    labels, places = _read_all(masks)
    found = {
        object_id: AnnotatedObject(
            object_id, f"track {object_id}", None, object_color(object_id), _parents(masks, object_id)
        )
        for object_id in sorted(places)
    }
    tracks = TrackData.of(places, {object_id: one.parents for object_id, one in found.items()})
    layers = [_label_layer(labels, name, found)]
    return [*layers, _track_layer(tracks, f"tracks of {name}", found)] if tracks else layers


# ---------------------------------------------------------------------- sessions


def placed(axes: str, scale: PhysicalScale) -> dict[str, Any]:
    """Return scale and units of a layer with some axes."""
    known = known_sizes(scale)
    sizes = [known.get(letter, (1.0, "pixel")) for letter in axes]
    return {"scale": [size for size, _ in sizes], "units": [unit for _, unit in sizes]}


def image_layer(session: AnnotationSession, name: str, scale: PhysicalScale) -> LayerData:
    """Return the frames as a layer of the axes (T, Y, X) or (C, T, Y, X), shown as the model sees them.

    Channels come first, because napari lays the axes of masks and tracks on the image's last ones.
    """
    frames, axes = session.frames, f"{session.frames.axis}YX"
    pixels = _lazy(frames)
    if len(frames) == 1:
        pixels, axes = pixels[0], "YX"
    if frames.channels > 1 and not frames.is_rgb:
        pixels, axes = da.moveaxis(pixels, -1, 0), f"C{axes}"
    options: dict[str, Any] = {"name": name, "rgb": frames.is_rgb, "axis_labels": tuple(axes.lower())}
    options |= placed(axes, scale)
    if not frames.is_rgb:
        window = session.window
        options["contrast_limits"] = (0, 255) if window is None else (min(window.low), max(window.high))
    return pixels, options, "image"


def _lazy(frames: FrameSource) -> da.Array:
    """Return frames as a dask array with one frame per chunk."""
    reading = Lock()  # a source reads one frame at a time

    def read(block_id: tuple[int, ...]) -> NDArray[Any]:
        with reading:
            return frames[block_id[0]][np.newaxis]

    finalize(read, frames.close)  # when no layer shows them any more
    colors = ((frames.channels,),) if frames.channels > 1 else ()
    chunks = ((1,) * len(frames), *((side,) for side in frames.shape), *colors)
    return da.map_blocks(read, chunks=chunks, dtype=frames.dtype, meta=np.empty(0, frames.dtype))


def _labels(session: AnnotationSession) -> NDArray[Any]:
    """Return (T, Y, X) labels, or (Y, X) of a single image, which can be painted in."""
    shape = (len(session.frames), *session.frames.shape)
    labels = np.zeros(shape, label_dtype(max(session.objects)))  # pages are only taken where written
    for frame in known_by_frame(session):
        labels[frame] = session.label_image(frame)
    return labels if len(labels) > 1 else labels[0]


# ---------------------------------------------------------------------- Cell Tracking Challenge


def _parents(masks: MaskFile, object_id: int) -> tuple[int, ...]:
    return masks.objects[object_id].parents if object_id in masks.objects else ()


def _read_all(masks: MaskFile) -> tuple[NDArray[Any], dict[int, dict[int, tuple[float, float]]]]:
    """Return (T, Y, X) labels, and ``(y, x)`` of every object by frame."""
    pages = np.zeros((masks.length, *masks.shape), np.uint16)
    places: dict[int, dict[int, tuple[float, float]]] = {}
    for frame in range(masks.length):
        annotation = masks.read_frame(frame)
        assert isinstance(annotation, LabelImage)
        needed = label_dtype(int(annotation.labels.max()))
        if needed.itemsize > pages.dtype.itemsize:
            pages = pages.astype(needed)
        pages[frame] = annotation.labels
        for object_id, place in _centroids(annotation.labels).items():
            places.setdefault(object_id, {})[frame] = place
    return pages, places


def _centroids(labels: NDArray[Any]) -> dict[int, tuple[float, float]]:
    """Return ``(y, x)`` of every label of an (H, W) image."""
    rows, columns = np.nonzero(labels)
    ids, which = np.unique(labels[rows, columns], return_inverse=True)
    areas = np.bincount(which, minlength=len(ids))
    y, x = (np.bincount(which, weights=along, minlength=len(ids)) / areas for along in (rows, columns))
    return dict(zip(ids.tolist(), zip(y.tolist(), x.tolist())))


# ---------------------------------------------------------------------- layers


def _label_layer(labels: NDArray[Any], name: str, objects: Mapping[int, AnnotatedObject]) -> LayerData:
    clear = (0.0, 0.0, 0.0, 0.0)
    colors: dict[int | None, Any] = {None: (1.0, 1.0, 1.0, 1.0), 0: clear}
    options = {
        "name": name,
        "opacity": 0.5,
        "colormap": ObjectColormap(color_dict=colors | {one.id: rgba(one.color) for one in objects.values()}),
        "features": {
            "index": list(objects),
            "name": [one.name for one in objects.values()],
            "class": [one.label or "" for one in objects.values()],
        },
    }
    return labels, options, "labels"


def _track_layer(tracks: TrackData, name: str, objects: Mapping[int, AnnotatedObject]) -> LayerData:
    colors = DirectLabelColormap(color_dict=track_colors(tracks, objects))
    return (
        tracks.rows,
        {"name": name, "graph": tracks.graph, "colormaps_dict": {"track_id": colors}},
        "tracks",
    )
