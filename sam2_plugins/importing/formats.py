"""Formats that masks are imported from, one function each."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sam2_engine.datasets.annotations import Annotation, LabelImage, RunLengths
from sam2_engine.errors import InputError
from sam2_engine.frames.chunks import open_node
from sam2_engine.frames.images.folders import images_in, natural_key
from sam2_engine.frames.libraries import quiet
from sam2_engine.frames.source import explain
from sam2_engine.frames.zarr_frames import is_zarr
from sam2_engine.labels import LabelSet, open_labels
from sam2_engine.masks import decode_rle, encode_rle, rle_area
from sam2_engine.text_files import read_text
from sam2_plugins.export.coco import NO_CLASS
from sam2_plugins.session.life import Life

__all__ = ["ImportedObject", "MaskFile", "cell_tracking_masks", "coco_masks", "has_tracks", "label_masks"]

_TRACK_FILES = ("res_track.txt", "man_track.txt")
_ODD = (LookupError, TypeError, ValueError, AttributeError, OverflowError)
"""What values of another type than expected lead to."""


@dataclass(frozen=True)
class ImportedObject:
    """An object as its source describes it; None where the source says nothing.

    Attributes
    ----------
    id, name, label
        Id, name and class.
    parents
        Ids of the objects that it came from.
    life
        On which frames it can be, as people decided; a tracker's results say nothing of that.
    """

    id: int
    name: str | None = None
    label: str | None = None
    parents: tuple[int, ...] = ()
    life: Life | None = None


@dataclass(frozen=True, eq=False)
class MaskFile:
    """Masks of a source, read frame by frame.

    Attributes
    ----------
    name
        For messages to people.
    shape, length
        ``(H, W)``, and number of frames.
    read_frame
        Reads the masks of a frame.
    objects
        Described objects, by id.
    close
        Closes its files.
    """

    name: str
    shape: tuple[int, int]
    length: int
    read_frame: Callable[[int], Annotation]
    objects: Mapping[int, ImportedObject] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None


# ---------------------------------------------------------------------- label images


def label_masks(source: Any) -> MaskFile:
    """Open label images: an array, or a path of an image, a stack, an OME-Zarr or a folder of images.

    Raises
    ------
    InputError
        If it cannot be read, or is no (Y, X) or (T, Y, X).
    """
    objects: dict[int, ImportedObject] = {}
    if isinstance(source, Path) and source.is_dir() and is_zarr(source):
        try:
            source = _find_label_image(source)
            objects = _zarr_objects(source)
        except InputError:
            raise
        except _ODD:
            raise InputError(
                f"The attributes of {source} are not those of labels as OME-Zarr has them; export it again."
            ) from None
    labels = open_labels(source)
    return MaskFile(
        labels.frames.name,
        labels.shape,
        len(labels),
        lambda frame: LabelImage.of(labels[frame]),
        objects,
        labels.close,
    )


def _find_label_image(path: Path) -> Path:
    """Return the label image that an OME-Zarr is or holds."""
    attributes = _ome_attributes(path)
    holder = path / "labels" if is_zarr(path / "labels") else path
    names = attributes.get("labels") if holder == path else _ome_attributes(holder).get("labels")
    if "image-label" in attributes or not names:
        return path
    names = [str(name) for name in names]
    if len(names) > 1:
        raise InputError(
            f"{path} holds several label images ({', '.join(names)}); give one, as {holder / names[0]}."
        )
    return Path(holder, names[0])


def _ome_attributes(path: Path) -> dict[str, Any]:
    try:
        with quiet():
            attributes = dict(open_node(path).attrs)
    except Exception as error:
        raise InputError(f"{path} is not a readable zarr store ({explain(error)}); copy it again.") from error
    return dict(attributes.get("ome", attributes))


def _zarr_objects(path: Path) -> dict[int, ImportedObject]:
    properties = _ome_attributes(path).get("image-label", {}).get("properties") or []
    objects = [
        ImportedObject(
            int(one["label-value"]),
            one.get("name"),
            one.get("class"),
            tuple(map(int, one.get("parents", ()))),
            _life(one),
        )
        for one in properties
        if "label-value" in one
    ]
    return {one.id: one for one in objects}


def _life(described: Mapping[str, Any]) -> Life | None:
    return Life.from_json(described["life"]) if "life" in described else None


# ---------------------------------------------------------------------- Cell Tracking Challenge


def has_tracks(path: str | Path) -> bool:
    """Whether a path is a Cell Tracking Challenge folder, a result or a ground truth, or its track file."""
    path = Path(path)
    return _track_file(_track_folder(path)) is not None


def cell_tracking_masks(path: str | Path) -> MaskFile:
    """Open a result folder, or the tracking part of a ground truth folder.

    Parameters
    ----------
    path
        The folder, or the track file in it.

    Raises
    ------
    InputError
        If the track file is missing or not as the challenge has it, or an image is missing.
    """
    path = Path(path)
    folder = _track_folder(path)
    track_file = _track_file(folder)
    if track_file is None:
        raise InputError(f"There is no track file in {folder}; expected {' or '.join(_TRACK_FILES)}.")
    files = images_in(track_file.parent)
    if not files:
        raise InputError(f"There are no label images beside {track_file}; expected mask000.tif and so on.")
    numbers = [int(found[-1]) for path in files if (found := re.findall(r"\d+", path.stem))]
    if len(numbers) != len(files) or numbers != list(range(numbers[0], numbers[0] + len(files))):
        raise InputError(
            f"The label images in {track_file.parent} are not numbered one after the other; one is missing."
        )
    labels = LabelSet.of_files(str(folder), files)
    return MaskFile(
        str(folder),
        labels[0].ids.shape,
        len(files),
        lambda frame: LabelImage.of(labels[frame]),
        _read_tracks(track_file, numbers[0], len(files)),
    )


def _track_folder(path: Path) -> Path:
    return path.parent if path.name in _TRACK_FILES else path


def _track_file(folder: Path) -> Path | None:
    paths = (inner / name for inner in (folder, folder / "TRA") for name in _TRACK_FILES)
    return next((path for path in paths if path.is_file()), None)


def _read_tracks(path: Path, first: int, length: int) -> dict[int, ImportedObject]:
    """Read the lines ``label begin end parent``; of a reference they are decisions, of a result not."""
    tracks: dict[int, int] = {}
    lives: dict[int, Life] = {}
    for number, line in enumerate(read_text(path, errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        if not re.fullmatch(r"\s*\d+\s+\d+\s+\d+\s+\d+\s*", line):
            raise InputError(
                f"{path}, line {number}: a track is four whole numbers, label begin end parent, "
                f"not {line!r:.40}."
            )
        label, begin, end, parent = (int(part) for part in line.split())
        tracks[label] = parent
        if path.name == "man_track.txt":
            begins, ends = begin - first, end - first
            lives[label] = Life(begins if begins > 0 else None, ends if ends < length - 1 else None)
    for label, parent in tracks.items():
        if parent and parent not in tracks:
            raise InputError(f"{path}: the parent {parent} of track {label} is not in the file.")
    return {
        label: ImportedObject(label, parents=(parent,) if parent else (), life=lives.get(label))
        for label, parent in tracks.items()
    }


# ---------------------------------------------------------------------- COCO


def coco_masks(path: str | Path) -> MaskFile:
    """Open COCO JSON with run lengths; annotations with the same ``track_id`` are one object.

    Images are frames, in the order of their ``frame_index``, or else of their names. Without tracks every
    annotation is an object of its own.

    Raises
    ------
    InputError
        If the file is no COCO JSON, holds several videos, or masks that are no run lengths.
    """
    path = Path(path)
    try:
        content = json.loads(read_text(path))
        if len({image.get("video_id") for image in content["images"]}) > 1:
            raise InputError(f"{path} holds several videos; save one to a file.")
        frames = _frame_numbers(content["images"])
        shape, length = _image_size(path, content["images"]), max(frames.values()) + 1
        runs = _runs_by_frame(path, content["annotations"], frames, shape)
        objects = _coco_objects(content)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({explain(error)}); check the path.") from None
    except InputError:
        raise
    except (*_ODD, RecursionError):
        raise InputError(
            f"{path} is not COCO JSON with images, and annotations with run lengths; export it again."
        ) from None
    return MaskFile(path.name, shape, length, lambda frame: RunLengths(_merged(runs.get(frame, {}))), objects)


def _frame_numbers(images: list[dict[str, Any]]) -> dict[int, int]:
    """Return the frame of each image by its id."""
    if all("frame_index" in image for image in images):
        return {image["id"]: int(image["frame_index"]) for image in images}
    ordered = sorted(images, key=lambda image: natural_key(Path(image["file_name"])))
    return {image["id"]: frame for frame, image in enumerate(ordered)}


def _image_size(path: Path, images: list[dict[str, Any]]) -> tuple[int, int]:
    sizes = {(int(image["height"]), int(image["width"])) for image in images}
    if len(sizes) != 1:
        raise InputError(f"The images of {path} differ in size, so they are not the frames of one stack.")
    return sizes.pop()


def _runs_by_frame(
    path: Path, annotations: list[dict[str, Any]], frames: Mapping[int, int], shape: tuple[int, int]
) -> dict[int, dict[int, list[dict[str, Any]]]]:
    """Return run lengths by frame and object, of which the parts on one frame may be several."""
    by_frame: dict[int, dict[int, list[dict[str, Any]]]] = {}
    for annotation in annotations:
        run = annotation["segmentation"]
        if not isinstance(run, dict):
            raise InputError(f"{path} has masks as polygons; save them as run lengths (RLE).")
        if tuple(run["size"]) != shape:
            raise InputError(f"A mask in {path} is {tuple(run['size'])} in size, but its image is {shape}.")
        object_id = _object_id(annotation)
        if object_id < 1:
            raise InputError(f"{path} has the id {object_id}; ids are whole numbers from 1 on.")
        rle_area(run)  # raises if they do not fill their size
        parts = by_frame.setdefault(frames[annotation["image_id"]], {}).setdefault(object_id, [])
        parts.append({"size": list(shape), "counts": run["counts"]})
    return by_frame


def _merged(runs: Mapping[int, list[dict[str, Any]]]) -> dict[int, dict[str, Any]]:
    """Return one run per object; only now, as sizes are compared with those of the stack before."""
    return {
        object_id: parts[0] if len(parts) == 1 else encode_rle(np.any([decode_rle(p) for p in parts], axis=0))
        for object_id, parts in runs.items()
    }


def _object_id(annotation: Mapping[str, Any]) -> int:
    names = ("track_id", "instance_id", "object_id", "id")
    return int(next(annotation[name] for name in names if annotation.get(name) is not None))


def _coco_objects(content: Mapping[str, Any]) -> dict[int, ImportedObject]:
    categories = {one["id"]: str(one["name"]) for one in content.get("categories", ())}
    labels = {_object_id(one): categories.get(one.get("category_id")) for one in content["annotations"]}
    tracks = {int(one["id"]): one for one in content.get("tracks", ())}
    return {
        object_id: ImportedObject(
            object_id,
            tracks.get(object_id, {}).get("name"),
            None if label == NO_CLASS else label,
            tuple(map(int, tracks.get(object_id, {}).get("parents", ()))),
            _life(tracks.get(object_id, {})),
        )
        for object_id, label in labels.items()
    }
