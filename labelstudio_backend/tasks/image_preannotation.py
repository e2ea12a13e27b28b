"""Pre-annotation of an image, from prompts that its task holds or of everything on it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from labelstudio_backend.schema.image_prompts import LabeledPrompt, stored_prompts
from labelstudio_backend.schema.labeling_config import ControlTag, Target
from labelstudio_backend.schema.mask_regions import mask_regions
from labelstudio_backend.schema.project_parameters import ProjectParameters
from labelstudio_backend.schema.regions import Region, ScoredRegions
from labelstudio_backend.tasks.doubts import scores_by_object, task_score
from sam2_engine.errors import InputError
from sam2_engine.prompts import Box, Points, Prompt
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.automatic_segmentation import AutomaticSettings, find_objects
from sam2_plugins.session.masks import AcceptedMask, MaskOrigin

__all__ = ["automatic_control", "prompts_of_task", "segment_everything"]

_DATA_KEYS = {"points", "labels", "box", "label"}


def prompts_of_task(
    task: Mapping[str, Any], target: Target, shape: tuple[int, int], version: str, page: int = 0
) -> list[LabeledPrompt]:
    """Return the prompts that a task holds for one of its images.

    They are those of the first that has any: its latest draft, its latest annotation that was not skipped,
    its latest prediction of another model, and its data under ``"prompts"``.

    Parameters
    ----------
    task
        As Label Studio sends it.
    target
        The image.
    shape
        ``(H, W)`` of the image.
    version
        Our own model version, whose predictions are no prompts.
    page
        Which of the image's pages, from 0.

    Raises
    ------
    InputError
        If a prompt is not complete.
    """
    for regions in _stored_regions(task, version):
        on_image = [
            region
            for region in regions
            if region.get("to_name") in (None, target.media.name) and (region.get("item_index") or 0) == page
        ]
        if prompts := stored_prompts(on_image, shape):
            return prompts
    return [] if page else _prompts_in_data(task["data"].get("prompts"))


def segment_everything(
    session: AnnotationSession, store: ModelStore, target: Target, parameters: ProjectParameters
) -> ScoredRegions:
    """Return regions for everything on an image, the surest first, and the score of all of them (0 to 1).

    Raises
    ------
    InputError
        If no control tag accepts the label, or the image cannot be used.
    """
    control, labels = automatic_control(target, parameters)
    settings = AutomaticSettings(
        confidence=parameters.confidence,
        min_area=parameters.min_area,
        max_objects=parameters.max_objects,
        points_per_side=parameters.points_per_side,
    )
    found = find_objects(store, session.model_name, session.frames[0], session.window, settings)
    tolerance = parameters.polygon_tolerance(session.shape)
    masks = {n: {0: AcceptedMask(one.mask, MaskOrigin.TRACKED, one.scores)} for n, one in enumerate(found)}
    scores = scores_by_object(masks)
    regions: list[Region] = []
    for number, one in enumerate(found):
        regions += mask_regions(one.mask.to_array(), control, labels, scores[number], tolerance)
    return regions, task_score(scores.values())


def automatic_control(target: Target, parameters: ProjectParameters) -> tuple[ControlTag, tuple[str, ...]]:
    """Return the control tag of what is found without a prompt, and its label, if it has one.

    Raises
    ------
    InputError
        If no control tag accepts the label, or labels come with each task.
    """
    label = parameters.label or next(iter(target.controls[0].labels), None)
    labels = () if label is None else (label,)
    if not labels and not target.controls[0].accepts():
        raise InputError(
            "The labels of this configuration come with each task; "
            'name one for automatic masks in the extra params, for example {"label": "Cell"}.'
        )
    return target.control_for(*labels), labels


def _stored_regions(task: Mapping[str, Any], version: str) -> Iterator[list[Mapping[str, Any]]]:
    for kind in ("drafts", "annotations", "predictions"):
        found = task.get(kind)
        for entry in reversed(found) if isinstance(found, list) else ():
            if not isinstance(entry, Mapping) or entry.get("was_cancelled"):
                continue
            result = entry.get("result")
            if isinstance(result, list) and not (
                kind == "predictions" and entry.get("model_version") == version
            ):
                yield [region for region in result if isinstance(region, Mapping)]


def _prompts_in_data(prompts: object) -> list[LabeledPrompt]:
    """Read a list of ``{"points": [[x, y], ...], "labels": [1, 0, ...], "box": [x0, y0, x1, y1]}``.

    In pixels, as in the prompt files of the command line; a ``label`` beside them is the region's. It may
    be JSON in a string, as tables are imported; another text is somebody else's and no prompt.
    """
    if isinstance(prompts, str):
        try:
            prompts = json.loads(prompts)
        except (ValueError, RecursionError):
            return []
    if prompts is None:
        return []
    if not isinstance(prompts, list):
        raise InputError("The task's prompts are not a list, for example [{'points': [[x, y]]}].")
    return [_data_prompt(number, entry) for number, entry in enumerate(prompts, start=1)]


def _data_prompt(number: int, entry: object) -> LabeledPrompt:
    where = f"The task's prompt {number}"
    is_known = isinstance(entry, Mapping) and set(entry) <= _DATA_KEYS
    if not isinstance(entry, Mapping) or not is_known or not (entry.get("points") or entry.get("box")):
        raise InputError(f"{where} needs points or a box, and may have labels and a label, but nothing else.")
    points, box = entry.get("points") or [], entry.get("box")
    inside = entry.get("labels", [1] * len(points) if isinstance(points, list) else [])
    if not isinstance(points, list) or not all(_numbers(point, 2) for point in points):
        raise InputError(f"{where}: points must be a list of [x, y] in pixels.")
    if box is not None and not _numbers(box, 4):
        raise InputError(f"{where}: box must be [x0, y0, x1, y1] in pixels.")
    flags = isinstance(inside, list) and len(inside) == len(points)
    if not flags or not all(flag in (0, 1) for flag in inside):
        raise InputError(f"{where}: labels must be 1 (on the object) or 0 (outside), one for each point.")
    label = entry.get("label")
    return LabeledPrompt(
        (label,) if isinstance(label, str) else (),
        Prompt(Points.unchecked(points, inside) if points else None, None if box is None else Box(*box)),
    )


def _numbers(values: object, count: int) -> bool:
    return (
        isinstance(values, Sequence)
        and len(values) == count
        and all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e6 for v in values)
    )
