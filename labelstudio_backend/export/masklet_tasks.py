"""Tasks of Label Studio in which people verify masklets, and the verdicts that they give there."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from labelstudio_backend.schema.frame_clock import FrameClock
from labelstudio_backend.schema.keyframes import SIDES, Keyframe, Track, model_item
from labelstudio_backend.schema.regions import (
    PixelBox,
    box_from_rectangle,
    object_bounds,
    rectangle_from_box,
    value_of,
)
from labelstudio_backend.schema.sequences import sequence_of
from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource
from sam2_engine.masks import decode_rle
from sam2_engine.text_files import read_text
from sam2_plugins.masklets.dataset import MaskletDataset
from sam2_plugins.masklets.decisions import Status, Verdict, newest_verdicts
from sam2_plugins.masklets.queue import VerificationQueue
from sam2_plugins.runtime.atomic_files import new_file, os_error_sentence
from sam2_plugins.runtime.model_store import ModelStore

__all__ = ["LABELING_CONFIG", "VerdictSummary", "import_verdicts", "write_masklet_tasks"]

PAGE_RATE = 24.0
"""Frames per second of the page where a video does not say."""
_TOLERANCE = 0.5
"""Percent of the image by which a side of a rectangle may be off between two keyframes."""
_BOX, _VERDICT = "masklet", "verdict"
_CHOICES = {"accept": Verdict.ACCEPT, "reject": Verdict.REJECT, "corrected": Verdict.ACCEPT}

LABELING_CONFIG = """<View>
  <Header value="$video_name, masklet $masklet: is it right on every frame?"/>
  <Choices name="verdict" toName="video" choice="single-radio" required="true" layout="inline">
    <Choice value="accept" hotkey="a"/>
    <Choice value="reject" hotkey="r"/>
    <Choice value="corrected" hotkey="c"/>
  </Choices>
  <Labels name="labels" toName="video"><Label value="masklet" background="#e6194b"/></Labels>
  <Video name="video" value="$video" framerate="$fps"/>
  <VideoRectangle name="masklet" toName="video"/>
</View>
"""
"""The labeling configuration of the project: three keys, and rectangles that can be moved to correct.

The choices stand above the video, which fills the page down to its end.
"""


def write_masklet_tasks(
    dataset: MaskletDataset, path: Path, media: str, *, second: bool = False, overwrite: bool = False
) -> int:
    """Write a task for every masklet that waits for a verdict, as Label Studio imports them; return how many.

    Parameters
    ----------
    dataset
        The data set.
    path
        JSON to be.
    media
        Address of the data set's folder for the page, such as ``/data/local-files/?d=dataset``; the name of
        the video is put behind it.
    second
        Whether masklets are written that were decided on already, so that a second person looks at them.
    overwrite
        Whether a file that is there may be replaced.

    Raises
    ------
    InputError
        If nothing waits, or the file cannot be written.
    """
    tasks: list[dict[str, Any]] = []
    dataset.settle_all(ModelStore("cpu"))  # what was taken back in a session waits again
    for name in dataset.videos():
        statuses = dataset.statuses(name)
        waiting = [one for one, status in statuses.items() if (status is not Status.OPEN) == second]
        if waiting:
            frames = dataset.frames(name)
            try:
                tasks += _tasks(dataset.found(name, with_masks=True), waiting, frames, media)
            finally:
                frames.close()
    if not tasks:
        raise InputError(f"No masklet of {dataset.path} waits for a verdict.")
    with new_file(path, suffixes=(".json",), overwrite=overwrite) as aside:
        aside.write_text(json.dumps(tasks), encoding="utf-8")
    return len(tasks)


def _tasks(
    found: Mapping[str, Any], waiting: Sequence[int], frames: FrameSource, media: str
) -> Iterator[dict[str, Any]]:
    clock = _clock(frames)
    shape = (found["video_height"], found["video_width"])
    for masklet in waiting:
        column = found["masklet_id"].index(masklet)
        masks = [decode_rle(row[column]) for row in found["masklet"]]
        boxes = {frame: object_bounds(mask) if mask.any() else None for frame, mask in enumerate(masks)}
        region = {
            "id": f"masklet-{masklet}",
            "type": "videorectangle",
            "from_name": _BOX,
            "to_name": "video",
            "value": {
                "sequence": _keyframes(boxes, clock, shape),
                "labels": ["masklet"],
                "framesCount": clock.page_frames,
                "duration": clock.duration,
            },
        }
        quality = found["masklet_quality"][column]
        yield {
            "data": {
                "video": f"{media.rstrip('/')}/{quote(found['video_file'])}",
                "video_name": found["video_id"],
                "masklet": masklet,
                "quality": quality,
                "fps": clock.page_rate,
            },
            "predictions": [{"model_version": "masklets", "score": quality, "result": [region]}],
        }


def _keyframes(
    boxes: Mapping[int, PixelBox | None], clock: FrameClock, shape: tuple[int, int]
) -> list[dict[str, Any]]:
    """Return the keyframes of a masklet, all of them the model's."""
    pages = range(1, clock.page_frames + 1)
    first = next((page for page in pages if boxes.get(clock.index(page))), None)
    if first is None or (box := boxes[clock.index(first)]) is None:
        return []
    begin = model_item(first, clock.seconds(first), rectangle_from_box(box, shape), enabled=True)
    track = Track({}, {first: Keyframe.of(begin)})
    items = sequence_of(track, boxes, clock, shape, _TOLERANCE)
    sides = {side: begin[side] for side in SIDES}
    return [model_item(first, begin["time"], sides, enabled=items[0]["enabled"] is not False), *items[1:]]


def _clock(frames: FrameSource) -> FrameClock:
    return FrameClock.of(frames, frames.fps or PAGE_RATE)


# ---------------------------------------------------------------------- what people said


@dataclass(frozen=True)
class VerdictSummary:
    """What came of an import.

    Attributes
    ----------
    taken, corrected
        Verdicts, and how many of them with corrected frames.
    known
        Verdicts that were taken over before.
    withdrawn
        Verdicts taken over before whose annotations were deleted or skipped in the project since.
    problems
        In sentences: what could not be taken over.
    """

    taken: int
    corrected: int
    known: int
    withdrawn: int
    problems: tuple[str, ...]


def import_verdicts(dataset: MaskletDataset, path: Path, store: ModelStore) -> VerdictSummary:
    """Take over the verdicts of a project that was exported as JSON; each annotation once.

    Rectangles that a person moved correct the masklet on their frames, and it is tracked again. Where an
    annotation is there no more, its verdict is withdrawn, unless that person has said something else since.

    Raises
    ------
    InputError
        If the file is no export of such a project.
    """
    known = {decision.source for decision in dataset.decisions.read()}
    taken = corrected = before = withdrawn = 0
    problems: list[str] = []
    for data, annotations, project in _annotated_tasks(path):
        for annotation in annotations:
            source = f"label-studio {annotation.get('id')} {annotation.get('updated_at')}"
            if source in known or f"{source} {project}" in known:
                before += 1
                continue
            try:
                edited = _take(dataset, data, annotation, f"{source} {project}", store)
            except InputError as error:
                problems.append(f"{data.get('video_name')}, masklet {data.get('masklet')}: {error}")
                continue
            taken, corrected = taken + 1, corrected + edited
        withdrawn += _withdraw(dataset, data, {str(one.get("id")) for one in annotations}, project, store)
    return VerdictSummary(taken, corrected, before, withdrawn, tuple(problems))


def _withdraw(
    dataset: MaskletDataset, data: Mapping[str, Any], there: Collection[str], project: str, store: ModelStore
) -> int:
    """Withdraw the verdicts on a masklet that came from annotations of a project that it has no more."""
    said = newest_verdicts(dataset.decisions.read()).get((str(data["video_name"]), data["masklet"]), {})
    gone = [
        decision
        for decision in said.values()
        if (parts := decision.source.split())[:1] == ["label-studio"]
        and parts[3:] == [project]
        and parts[1] not in there
    ]
    for decision in gone:
        with VerificationQueue(dataset, store, decision.by) as queue:
            queue.go_to(decision.video, decision.masklet)
            queue.decide(Verdict.WITHDRAW, 0.0, source=f"{decision.source} deleted")
    return len(gone)


def _take(
    dataset: MaskletDataset,
    data: Mapping[str, Any],
    annotation: Mapping[str, Any],
    source: str,
    store: ModelStore,
) -> bool:
    """Take over one annotation; return whether it corrects something."""
    verdict, drawn = _read(annotation)
    seconds = annotation.get("lead_time")
    took = float(seconds) if isinstance(seconds, int | float) else 0.0
    with VerificationQueue(dataset, store, _person(annotation)) as queue:
        queue.go_to(str(data["video_name"]), data["masklet"])
        clock, shape = _clock(queue.session.frames), queue.session.shape
        for keyframe in drawn if verdict is Verdict.ACCEPT else ():
            queue.correct(clock.index(keyframe.frame), box=box_from_rectangle(keyframe.item, shape))
        if drawn and verdict is Verdict.ACCEPT:
            for _ in queue.track():
                pass
        queue.decide(verdict, took, source=source, at=_time(annotation))
    return bool(drawn) and verdict is Verdict.ACCEPT


def _annotated_tasks(path: Path) -> Iterator[tuple[Mapping[str, Any], list[dict[str, Any]], str]]:
    """Yield the data of every task, its annotations, the oldest first, and the number of its project."""
    try:
        content = json.loads(read_text(path))
    except OSError as error:
        raise InputError(os_error_sentence(error, path)) from None
    except (ValueError, RecursionError):
        content = None
    tasks = content if isinstance(content, list) else [None]
    for task in tasks:
        known = task if isinstance(task, dict) else {}
        data, annotations = known.get("data"), known.get("annotations")
        is_ours = isinstance(data, dict) and {"video_name", "masklet"} <= data.keys()
        if not is_ours or not isinstance(data, dict) or not isinstance(annotations, list):
            raise InputError(
                f"{path} is no export of a project with masklets to verify; choose JSON (not JSON-MIN) there."
            )
        usable = [one for one in annotations if isinstance(one, dict) and not one.get("was_cancelled")]
        yield data, sorted(usable, key=lambda one: str(one.get("updated_at"))), f"{known.get('project', '')}"


def _read(annotation: Mapping[str, Any]) -> tuple[Verdict, list[Keyframe]]:
    """Return the verdict, and the keyframes that a person drew or moved."""
    verdict, drawn = None, list[Keyframe]()
    for region in annotation.get("result") or ():
        value = value_of(region)
        if region.get("from_name") == _VERDICT:
            verdict = next((_CHOICES[one] for one in value.get("choices") or () if one in _CHOICES), None)
        elif region.get("type") == "videorectangle":
            keyframes = [Keyframe.of(item) for item in value.get("sequence") or ()]
            drawn += [one for one in keyframes if not one.made_by_model]
    if verdict is None:
        raise InputError("the annotation has no verdict; choose accept, reject or corrected there.")
    return verdict, drawn


def _person(annotation: Mapping[str, Any]) -> str:
    who = annotation.get("completed_by")
    if isinstance(who, Mapping):
        who = who.get("email") or who.get("id")
    if who in (None, ""):
        return "label-studio"
    return f"Label Studio user {who}" if isinstance(who, int) else f"{who}"  # exports have numbers alone


def _time(annotation: Mapping[str, Any]) -> float | None:
    try:
        return datetime.fromisoformat(str(annotation.get("updated_at"))).timestamp()
    except ValueError:
        return None
