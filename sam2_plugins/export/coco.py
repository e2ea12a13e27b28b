"""COCO JSON with compressed run lengths, overlaps included.

The names for videos and tracks (``videos``, ``frame_index``, ``track_id``, ``tracks``) are those of kwcoco;
what reads plain COCO passes over them. Source: cocodataset.org, "Data format"; kwcoco's schema.
"""

import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sam2_engine.masks import CompressedMask, compress_rle, encode_rle
from sam2_plugins.export.targets import ExportSummary, NothingToExportError, file_name_of, frame_number
from sam2_plugins.runtime.atomic_files import new_file
from sam2_plugins.session.annotations import AnnotatedObject
from sam2_plugins.session.life import Life
from sam2_plugins.session.readable import LongWork, ReadableSession, known_by_frame

__all__ = ["NO_CLASS", "coco_mask", "write_coco", "write_coco_videos"]

NO_CLASS = "object"
"""The category of objects without a class."""


@LongWork
def write_coco(
    session: ReadableSession, path: str | Path, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write every mask of a session, whole even where others overlap it.

    A frame is an image, called as its file where it has one of its own, a class a category (``object`` if
    there is none), an object a track with its id, name and parents. An absent object has no annotation.

    Yields
    ------
    int
        Each annotated frame, once it is written.

    Raises
    ------
    InputError
        If there is nothing to write, or it cannot be written there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> from sam2_plugins.session.annotation_session import AnnotationSession
    >>> session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
    >>> for frame in range(2):
    ...     session.import_masks(frame, {1: np.ones((40, 60), bool)})
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "masks.json"
    ...     summary = write_coco(session, path)
    ...     content = json.loads(path.read_text())
    >>> summary.frames, summary.objects
    (2, 1)
    >>> content["annotations"][0]["bbox"], content["annotations"][0]["track_id"]
    ([0, 0, 60, 40], 1)
    """
    path = Path(path)
    return (yield from _write([(session.frames.name, session)], path, "{file}", overwrite))


@LongWork
def write_coco_videos(
    videos: Iterable[tuple[str, ReadableSession]], path: str | Path, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write the masks of several sessions, by name, into one file, as :func:`write_coco` those of one.

    Each session is read when its turn comes. Ids of tracks continue from one to the next; images are called
    ``NAME/000.tif``, as in a folder to train on.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> from sam2_plugins.session.annotation_session import AnnotationSession
    >>> session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
    >>> for frame in range(2):
    ...     session.import_masks(frame, {1: np.ones((40, 60), bool)})
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "masks.json"
    ...     summary = write_coco_videos([("left", session), ("right", session)], path)
    ...     content = json.loads(path.read_text())
    >>> [track["id"] for track in content["tracks"]], content["images"][2]["file_name"]
    ([1, 2], 'right/000.tif')
    """
    path = Path(path)
    return (yield from _write(videos, path, "{name}/{frame}.tif", overwrite))


def _write(
    videos: Iterable[tuple[str, ReadableSession]], path: Path, file_name: str, overwrite: bool
) -> Generator[int, None, ExportSummary]:
    content: dict[str, list[dict[str, Any]]] = {"videos": [], "categories": [], "tracks": [], "images": []}
    categories: dict[str, int] = {}
    number = 0
    with (
        new_file(path, suffixes=(".json",), overwrite=overwrite) as aside,
        aside.open("w", encoding="utf-8") as file,
    ):
        file.write('{"annotations": [')
        for name, session in videos:
            first_image = len(content["images"]) + 1
            first_track = max((track["id"] for track in content["tracks"]), default=0)
            for category in sorted({_category(one) for one in session.objects.values()}):
                categories.setdefault(category, len(categories) + 1)
            _describe(content, name, session, file_name, categories, first_track)
            for frame, object_ids in known_by_frame(session).items():
                for annotation in _annotations(session, frame, object_ids, categories):
                    annotation["image_id"] += first_image
                    annotation["track_id"] += first_track
                    number += 1
                    file.write(",\n" if number > 1 else "\n")
                    json.dump({"id": number, **annotation}, file)
                yield frame
        if not content["tracks"]:
            raise NothingToExportError
        content["categories"] = [{"id": i, "name": name} for name, i in categories.items()]
        for name, entries in content.items():
            file.write(f'\n],\n"{name}": [\n' + ",\n".join(map(json.dumps, entries)))
        file.write("\n]}\n")
    return ExportSummary(path, len(content["images"]), len(content["tracks"]))


def coco_mask(mask: CompressedMask) -> dict[str, Any]:
    """Return a mask as COCO's ``segmentation``, ``area`` and ``bbox`` (x, y, width, height)."""
    rows, columns = mask.box
    return {
        "segmentation": compress_rle(encode_rle(mask.to_array())),
        "area": int(np.count_nonzero(mask.crop())),
        "bbox": [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start],
    }


def _category(described: AnnotatedObject) -> str:
    return described.label or NO_CLASS


def _describe(
    content: dict[str, list[dict[str, Any]]],
    name: str,
    session: ReadableSession,
    file_name: str,
    categories: Mapping[str, int],
    first_track: int,
) -> None:
    """Add a session's frames and objects to the lists of all sessions."""
    (height, width), length = session.frames.shape, len(session.frames)
    video_id, first_image = len(content["videos"]) + 1, len(content["images"]) + 1
    content["videos"].append({"id": video_id, "name": name})
    content["images"] += [
        {
            "id": first_image + frame,
            "file_name": file_name.format(
                name=name, frame=frame_number(frame, length), file=file_name_of(session, frame)
            ),
            "height": height,
            "width": width,
            "video_id": video_id,
            "frame_index": frame,
        }
        for frame in range(length)
    ]
    content["tracks"] += [
        {
            "id": one.id + first_track,
            "name": one.name,
            "category_id": categories[_category(one)],
            "parents": [parent + first_track for parent in one.parents],
            **({"life": one.life.to_json()} if one.life != Life() else {}),
        }
        for one in session.objects.values()
    ]


def _annotations(
    session: ReadableSession, frame: int, object_ids: list[int], categories: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    for object_id in object_ids:
        accepted = session.accepted(object_id, frame)
        if accepted is None or accepted.mask.is_empty:
            continue
        yield {
            "image_id": frame,
            "track_id": object_id,
            "category_id": categories[_category(session.objects[object_id])],
            **coco_mask(accepted.mask),
            "iscrowd": 0,
            "score": accepted.scores.predicted_iou,
        }
