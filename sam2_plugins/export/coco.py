"""Masks as COCO JSON with compressed run lengths; overlaps are kept.

The names for videos and tracks (``videos``, ``frame_index``, ``track_id``, ``tracks``) are those of kwcoco;
what reads plain COCO passes over them. Source: cocodataset.org, "Data format"; kwcoco's schema.
"""

import json
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from sam2_engine.errors import InputError
from sam2_engine.mask_utils import compress_rle, encode_rle
from sam2_plugins.annotations import AnnotatedObject
from sam2_plugins.export.targets import ExportSummary, new_file
from sam2_plugins.readable_session import ReadableSession, known_by_frame

__all__ = ["NO_CLASS", "write_coco"]

NO_CLASS = "object"
"""The category of objects without a class."""


def write_coco(
    session: ReadableSession, path: Path, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write every mask of a session, whole even where others lie above it.

    A frame is an image, a class a category (``object`` if there is none), an object a track, whose id,
    name and parents are kept. An absent object has no annotation.

    Yields
    ------
    int
        Each frame on which something is known, once it is written.

    Raises
    ------
    InputError
        If there is nothing to write, or it cannot be written there.
    """
    if not session.objects:
        raise InputError("There is no object in this session yet, so there is nothing to export.")
    known, length = known_by_frame(session), len(session.frames)
    categories = {
        name: i
        for i, name in enumerate(sorted({_category(one) for one in session.objects.values()}), start=1)
    }
    with (
        new_file(path, suffixes=(".json",), overwrite=overwrite) as aside,
        aside.open("w", encoding="utf-8") as file,
    ):
        _write_head(file, session, length, categories)
        file.write('"annotations": [')
        number = 0
        for frame, object_ids in known.items():
            for annotation in _annotations(session, frame, object_ids, categories):
                number += 1
                file.write(",\n" if number > 1 else "\n")
                json.dump({"id": number, **annotation}, file)
            yield frame
        file.write("\n]}\n")
    return ExportSummary(path, length, len(session.objects))


def _category(described: AnnotatedObject) -> str:
    return described.label or NO_CLASS


def _write_head(file: TextIO, session: ReadableSession, length: int, categories: dict[str, int]) -> None:
    """Write all but the annotations, one entry a line, and leave the outermost brace open."""
    height, width = session.frames.shape
    digits = max(3, len(str(length - 1)))
    images = (
        {
            "id": frame + 1,
            "file_name": f"{frame:0{digits}}.tif",
            "height": height,
            "width": width,
            "video_id": 1,
            "frame_index": frame,
        }
        for frame in range(length)
    )
    tracks = (
        {
            "id": one.id,
            "name": one.name,
            "category_id": categories[_category(one)],
            "parents": list(one.parents),
        }
        for one in session.objects.values()
    )
    file.write("{")
    _write_list(file, "videos", [{"id": 1, "name": session.frames.name}])
    _write_list(file, "categories", ({"id": i, "name": name} for name, i in categories.items()))
    _write_list(file, "tracks", tracks)
    _write_list(file, "images", images)


def _write_list(file: TextIO, name: str, entries: Iterable[dict[str, Any]]) -> None:
    file.write(f'"{name}": [\n' + ",\n".join(map(json.dumps, entries)) + "\n],\n")


def _annotations(
    session: ReadableSession, frame: int, object_ids: list[int], categories: dict[str, int]
) -> Iterator[dict[str, Any]]:
    for object_id in object_ids:
        accepted = session.accepted(object_id, frame)
        if accepted is None or accepted.mask.is_empty:
            continue
        rows, columns = accepted.mask.box
        yield {
            "image_id": frame + 1,
            "track_id": object_id,
            "category_id": categories[_category(session.objects[object_id])],
            "segmentation": compress_rle(encode_rle(accepted.mask.pixels())),
            "area": int(np.count_nonzero(accepted.mask.crop())),
            "bbox": [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start],
            "iscrowd": 0,
            "score": accepted.scores.predicted_iou,
        }
