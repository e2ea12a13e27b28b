"""Masklets as tasks of Label Studio, and the verdicts that come back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from labelstudio_backend.export.masklet_tasks import LABELING_CONFIG, import_verdicts, write_masklet_tasks
from labelstudio_backend.schema.keyframes import Keyframe
from sam2_engine.errors import InputError
from sam2_plugins.masklets.dataset import MaskletDataset
from sam2_plugins.masklets.decisions import Edit, Status, Verdict
from sam2_plugins.masklets.queue import VerificationQueue
from sam2_plugins.masklets.sa_v import AUTO, describe_masklets
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder, reading_of

STORE = ModelStore("cpu")


def square(frame: int, left: int = 10) -> NDArray[np.bool_]:
    mask = np.zeros((60, 80), bool)
    mask[20:30, left + 2 * frame : left + 10 + 2 * frame] = True
    return mask


@pytest.fixture
def dataset(tmp_path: Path, small_checkpoint: Path) -> MaskletDataset:
    """One video of 6 frames; masklet 1 is always there, masklet 2 from frame 2 to 3."""
    source = tmp_path / "walk.tif"
    pixels = np.stack([np.where(square(t), 200, 40).astype(np.uint8) for t in range(6)])
    tifffile.imwrite(source, pixels, metadata={"axes": "TYX"}, photometric="minisblack")
    dataset = MaskletDataset.create(tmp_path / "dataset")
    session = AnnotationSession(dataset.take_video(source), STORE, small_checkpoint, axes="TYX")
    for t in range(6):
        masks = {1: square(t), 2: square(t, 50) & (t in (2, 3))}
        session.import_masks(t, masks, as_prompts=t == 2)
    where, opening = reading_of(session.frames)
    SessionFolder.create(dataset.session("walk"), session, source=where, opening=opening).close()
    content = describe_masklets(
        session, source, [1, 2], AUTO, session.mask, qualities={1: 0.9, 2: 0.5}, opening=opening
    )
    dataset.write_found("walk", content)
    session.frames.close()
    return dataset


def exported(tasks: list[dict[str, Any]], said: dict[int, str], **more: Any) -> list[dict[str, Any]]:
    """The project as Label Studio exports it, with the predictions submitted as they are."""
    for number, task in enumerate(tasks):
        verdict = {"from_name": "verdict", "to_name": "video", "type": "choices", "id": f"v{number}"}
        result = [*task["predictions"][0]["result"]]
        if task["data"]["masklet"] in said:
            result.append({**verdict, "value": {"choices": [said[task["data"]["masklet"]]]}})
        annotation = {"id": number, "completed_by": 7, "lead_time": 3.5, "was_cancelled": False}
        task["annotations"] = [
            {**annotation, "updated_at": "2026-11-30T00:00:00.000Z", "result": result, **more}
        ]
        task["id"] = number
    return tasks


def written(dataset: MaskletDataset, path: Path) -> list[dict[str, Any]]:
    write_masklet_tasks(dataset, path, "/data/local-files/?d=set")
    tasks: list[dict[str, Any]] = json.loads(path.read_text())
    return tasks


def test_a_task_shows_the_masklet_as_rectangles_of_the_model(dataset: MaskletDataset, tmp_path: Path) -> None:
    tasks = written(dataset, tmp_path / "tasks.json")
    assert [task["data"]["masklet"] for task in tasks] == [1, 2]
    assert tasks[0]["data"]["video"] == "/data/local-files/?d=set/walk.tif"
    assert [task["predictions"][0]["score"] for task in tasks] == [0.9, 0.5]
    spans = []
    for task in tasks:
        keyframes = [Keyframe.of(item) for item in task["predictions"][0]["result"][0]["value"]["sequence"]]
        assert all(one.made_by_model for one in keyframes)
        spans.append((keyframes[0].frame, keyframes[-1].frame, keyframes[-1].item["enabled"]))
    assert spans == [(1, 6, False), (3, 4, False)]
    assert 'hotkey="a"' in LABELING_CONFIG


def test_verdicts_come_back_once(dataset: MaskletDataset, tmp_path: Path) -> None:
    project = tmp_path / "project.json"
    tasks = exported(written(dataset, tmp_path / "tasks.json"), {1: "accept", 2: "reject"})
    project.write_text(json.dumps(tasks))
    summary = import_verdicts(dataset, project, STORE)
    assert (summary.taken, summary.corrected, summary.known, summary.problems) == (2, 0, 0, ())
    assert dataset.statuses("walk") == {1: Status.ACCEPTED, 2: Status.REJECTED}
    first = dataset.decisions.read()[0]
    assert (first.by, first.seconds, first.at) == ("Label Studio user 7", 3.5, 1795996800.0)
    assert import_verdicts(dataset, project, STORE).known == 2
    assert len(dataset.decisions.read()) == 2


def test_a_verdict_whose_annotation_was_deleted_is_withdrawn(dataset: MaskletDataset, tmp_path: Path) -> None:
    project = tmp_path / "project.json"
    tasks = exported(written(dataset, tmp_path / "tasks.json"), {1: "accept", 2: "accept"})
    for task in tasks:
        task["project"] = 4
    project.write_text(json.dumps(tasks))
    import_verdicts(dataset, project, STORE)
    elsewhere = [{**task, "project": 5, "annotations": []} for task in tasks]
    project.write_text(json.dumps(elsewhere))
    assert import_verdicts(dataset, project, STORE).withdrawn == 0
    tasks[0]["annotations"] = []
    tasks[1]["annotations"][0]["was_cancelled"] = True
    project.write_text(json.dumps(tasks))
    with VerificationQueue(dataset, STORE, "Label Studio user 7") as queue:  # has another word since
        queue.go_to("walk", 2)
        queue.reject()
    assert import_verdicts(dataset, project, STORE).withdrawn == 1
    assert dataset.statuses("walk") == {1: Status.OPEN, 2: Status.REJECTED}
    assert dataset.verified("walk") is None
    assert import_verdicts(dataset, project, STORE).withdrawn == 0


def test_a_rectangle_that_was_moved_corrects_and_is_tracked(dataset: MaskletDataset, tmp_path: Path) -> None:
    tasks = written(dataset, tmp_path / "tasks.json")
    sequence = tasks[0]["predictions"][0]["result"][0]["value"]["sequence"]
    sequence[-1] = {**sequence[-1], "x": sequence[-1]["x"] + 10}
    project = tmp_path / "project.json"
    project.write_text(json.dumps(exported(tasks, {1: "corrected", 2: "reject"})))
    summary = import_verdicts(dataset, project, STORE)
    assert (summary.taken, summary.corrected) == (2, 1)
    decision = dataset.decisions.read()[0]
    assert (decision.verdict, decision.edits, decision.phase) == (Verdict.ACCEPT, (Edit(5, boxes=1),), 3)
    assert dataset.verified("walk") is not None


def test_what_has_no_verdict_is_named_and_the_rest_is_taken(dataset: MaskletDataset, tmp_path: Path) -> None:
    project = tmp_path / "project.json"
    project.write_text(json.dumps(exported(written(dataset, tmp_path / "tasks.json"), {2: "accept"})))
    summary = import_verdicts(dataset, project, STORE)
    assert summary.taken == 1
    (problem,) = summary.problems
    assert problem.startswith("walk, masklet 1: the annotation has no verdict")


@pytest.mark.parametrize("content", ["no JSON", "{}", '[{"data": {"image": "a.png"}, "annotations": []}]'])
def test_another_projects_export_is_refused(dataset: MaskletDataset, tmp_path: Path, content: str) -> None:
    project = tmp_path / "project.json"
    project.write_text(content)
    with pytest.raises(InputError, match="is no export of a project with masklets"):
        import_verdicts(dataset, project, STORE)
