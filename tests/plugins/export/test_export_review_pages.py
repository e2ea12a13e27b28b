"""Review pages: what their script reads is the session, and nothing of it is lost or executed."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sam2_engine.errors import InputError
from sam2_plugins import AnnotationSession, ModelStore
from sam2_plugins.export.formats import FORMATS
from sam2_plugins.export.review_pages.pages import ReviewedTask, write_review_pages
from sam2_plugins.session.masks import MaskOrigin, MaskScores


def square(row: int, column: int, shape: tuple[int, int] = (40, 60)) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    mask[row : row + 10, column : column + 10] = True
    return mask


@pytest.fixture
def session() -> AnnotationSession:
    frames = np.zeros((5, 40, 60), np.uint8)
    made = AnnotationSession(frames, ModelStore("cpu"), "nano@64", axes="TYX")
    made.add_object("cell </script>", "round")
    made.add_object("other")
    for frame in range(4):
        made.import_masks(frame, {1: square(5, 5 + frame), 2: square(25, 40 if frame != 2 else 5)})
    made.import_masks(4, {1: np.zeros((40, 60), bool)})
    return made


def read(page: Path) -> dict[str, Any]:
    """Return what the script of a page reads."""
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.S
    )
    assert found is not None
    content: dict[str, Any] = json.loads(found.group(1))
    return content


def decoded(runs: list[int], shape: list[int]) -> NDArray[np.bool_]:
    """Return a mask as the script paints it."""
    flat = np.zeros(shape[0] * shape[1], np.bool_)
    at = 0
    for number, run in enumerate(runs):
        flat[at : at + run] = number % 2 == 1
        at += run
    return flat.reshape(shape)


def test_a_page_has_the_masks_of_its_session(session: AnnotationSession, tmp_path: Path) -> None:
    summary = FORMATS["review"].write(session, tmp_path / "review")
    assert (summary.frames, summary.objects) == (5, 2)
    (page,) = (one for one in summary.path.glob("*.html") if one.name != "index.html")
    content = read(page)
    assert [one["name"] for one in content["objects"]] == ["cell </script>", "other"]
    for one in content["objects"]:
        for frame, mask in one["masks"].items():
            np.testing.assert_array_equal(
                decoded(mask["runs"], content["shape"]), session.mask(one["id"], int(frame))
            )
    assert content["objects"][0]["masks"]["4"] == {"runs": [], "score": 0.0}
    assert content["objects"][0]["frames"] == "0 to 3"
    for name in content["frames"]:
        with Image.open(page.parent / name) as picture:
            assert picture.size == (60, 40)


def test_frames_are_counted_as_their_people_do_and_the_task_is_linked(
    session: AnnotationSession, tmp_path: Path
) -> None:
    link = "http://studio:8080/projects/3/data?task=7"
    summary = write_review_pages([ReviewedTask("task-7", session, link, first=1)], tmp_path / "review")
    content = read(summary.path / "task-7.html")
    assert (content["link"], content["first"]) == (link, 1)
    assert content["objects"][0]["frames"] == "1 to 4"
    assert 'href="task-7.html"' in (summary.path / "index.html").read_text()


def test_doubtful_frames_come_with_their_reasons(tmp_path: Path) -> None:
    stack = np.zeros((6, 40, 60), np.uint8)
    session = AnnotationSession(stack, ModelStore("cpu"), "nano@64", axes="TYX")
    cell = session.add_object("cell")
    for frame in range(6):  # tracked masks, of which one jumps
        session.import_masks(frame, {cell: square(5, 5 if frame != 3 else 45)})
    doubtful = ReviewedTask("jump", AsTracked(session))  # type: ignore[arg-type]
    content = read(write_review_pages([doubtful], tmp_path / "review").path / "jump.html")
    assert {"object": cell, "frame": 3} == {key: content["doubts"][0][key] for key in ("object", "frame")}
    assert content["doubts"][0]["reason"]


class AsTracked:
    """A session whose masks no person has made."""

    def __init__(self, session: AnnotationSession) -> None:
        self._session = session
        self.frames, self.objects = session.frames, session.objects
        self.frames_of, self.mask = session.frames_of, session.mask

    def verified(self, _: int) -> frozenset[int]:
        return frozenset()

    def accepted(self, object_id: int, frame: int) -> Any:
        found = self._session.accepted(object_id, frame)
        if found is None:
            return None
        scores = MaskScores(0.3 if frame == 3 else 0.95, 0.3 if frame == 3 else 0.98, 0.95)
        return replace(found, origin=MaskOrigin.TRACKED, scores=scores)


def test_large_frames_are_shown_smaller_and_no_mask_vanishes(tmp_path: Path) -> None:
    session = AnnotationSession(np.zeros((1, 30, 4000), np.uint8), ModelStore("cpu"), "nano@64", axes="TYX")
    dot = np.zeros((30, 4000), np.bool_)
    dot[17, 3999] = True
    session.import_masks(0, {1: dot})
    content = read(next(write_review_pages([ReviewedTask("a", session)], tmp_path / "r").path.glob("a.html")))
    assert content["shape"] == [10, 1280]
    (y,), (x,) = np.nonzero(decoded(content["objects"][0]["masks"]["0"]["runs"], content["shape"]))
    assert (y, x) == (5, 1279)


def test_only_an_earlier_review_is_replaced(session: AnnotationSession, tmp_path: Path) -> None:
    target = FORMATS["review"].write(session, tmp_path / "review").path
    with pytest.raises(InputError, match="overwrite"):
        FORMATS["review"].write(session, target)
    FORMATS["review"].write(session, target, overwrite=True)
    (target / "notes.txt").write_text("mine")
    with pytest.raises(InputError):
        FORMATS["review"].write(session, target, overwrite=True)
    assert (target / "notes.txt").read_text() == "mine"
