"""YouTube-VIS JSON of tracks: one entry per object, with a run length for each frame of its video.

Source: Yang, Fan and Xu, "Video instance segmentation" (2019), and the format of its data set.
"""

import json
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

from sam2_plugins.export.coco import NO_CLASS, coco_mask
from sam2_plugins.export.targets import ExportSummary, NothingToExportError, frame_number
from sam2_plugins.runtime.atomic_files import new_file
from sam2_plugins.session.readable import LongWork, ReadableSession

__all__ = ["write_youtube_vis"]


@LongWork
def write_youtube_vis(
    videos: Iterable[tuple[str, ReadableSession]], path: str | Path, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write all objects of some sessions, given by name; each session is read when its turn comes.

    Where an object is absent, or has no mask, its run length is null. Masks are whole, even where others
    overlap them. Frames are called ``NAME/000.tif``, as in a folder to train on.

    Yields
    ------
    int
        The number of each object, once it is written.

    Raises
    ------
    InputError
        If there is nothing to write, or it cannot be written there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> from sam2_plugins.session.annotation_session import AnnotationSession
    >>> session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
    >>> for frame in range(2):
    ...     session.import_masks(frame, {1: np.ones((40, 60), bool)})
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "masks.ytvis.json"
    ...     summary = write_youtube_vis([("cells", session)], path)
    ...     content = json.loads(path.read_text())
    >>> content["annotations"][0]["areas"], content["videos"][0]["file_names"]
    ([2400, 2400], ['cells/000.tif', 'cells/001.tif'])
    """
    path = Path(path)
    described: list[dict[str, Any]] = []
    categories: dict[str, int] = {}
    number = frames = 0
    with (
        new_file(path, suffixes=(".json",), overwrite=overwrite) as aside,
        aside.open("w", encoding="utf-8") as file,
    ):
        file.write('{"annotations": [')
        for name, session in videos:
            described.append(_video(len(described) + 1, name, session))
            frames += len(session.frames)
            for object_id, one in sorted(session.objects.items()):
                number += 1
                category = categories.setdefault(one.label or NO_CLASS, len(categories) + 1)
                entry = {"id": number, "video_id": len(described), "category_id": category, "iscrowd": 0}
                file.write(",\n" if number > 1 else "\n")
                json.dump({**entry, **_track(session, object_id)}, file)
                yield number
        if not number:
            raise NothingToExportError
        named = [{"id": i, "name": category} for category, i in categories.items()]
        file.write(f'\n],\n"videos": {json.dumps(described)},\n"categories": {json.dumps(named)}}}\n')
    return ExportSummary(path, frames, number)


def _video(number: int, name: str, session: ReadableSession) -> dict[str, Any]:
    (height, width), length = session.frames.shape, len(session.frames)
    files = [f"{name}/{frame_number(frame, length)}.tif" for frame in range(length)]
    return {"id": number, "width": width, "height": height, "length": length, "file_names": files}


def _track(session: ReadableSession, object_id: int) -> dict[str, list[Any]]:
    """Return run lengths, boxes (x, y, width, height) and areas by frame, null where the object is not."""
    track: dict[str, list[Any]] = {"segmentations": [], "bboxes": [], "areas": []}
    for frame in range(len(session.frames)):
        accepted = session.accepted(object_id, frame)
        described = {} if accepted is None or accepted.mask.is_empty else coco_mask(accepted.mask)
        for values, name in zip(track.values(), ("segmentation", "bbox", "area")):
            values.append(described.get(name))
    return track
