"""What every format says before any work, if a session cannot be written in it."""

import re
from pathlib import Path

import numpy as np
import pytest
from painted import PaintedSession

from sam2_engine.errors import InputError
from sam2_plugins import AnnotationSession, ModelStore, SessionFolder
from sam2_plugins.export import formats
from sam2_plugins.export.format import ExportFormat
from sam2_plugins.export.formats import FORMATS, format_for


@pytest.mark.parametrize("axes", ["TYX", "ZYX"])
@pytest.mark.parametrize("name", FORMATS)
def test_what_is_refused_is_said_before_and_the_same(tmp_path, name, axes):
    labels = np.zeros((2, 20, 30), np.uint16)
    nothing = PaintedSession.of(labels, axes=axes)
    labels[:, 5:9, 5:9] = 3
    for session in (nothing, PaintedSession.of(labels, axes=axes)):
        path = tmp_path / f"out{FORMATS[name].suffix}"
        reason = FORMATS[name].why_not(session)
        if reason is not None:
            assert reason.endswith(".")
            with pytest.raises(InputError, match=re.escape(reason)):
                FORMATS[name].write(session, path)
            assert not list(tmp_path.iterdir())
        else:
            assert FORMATS[name].write(session, path, overwrite=True).path == path


def test_a_missing_package_is_named_before_any_work(tmp_path, monkeypatch):
    def writer(*arguments):
        raise AssertionError("work was begun")

    one = ExportFormat("x", "X", ".x", False, writer, extra="geff", modules=("no_such_module",))
    monkeypatch.setitem(formats.FORMATS, "x", one)
    session = PaintedSession.of(np.ones((1, 8, 8), np.uint8))
    with pytest.raises(InputError, match=re.escape('`pip install "sam2-plugins[geff]"`')):
        one.write(session, tmp_path / "a.x")


@pytest.mark.parametrize("name", ["tiff", "ome-tiff", "ome-zarr", "ctc", "training"])
def test_label_images_say_where_objects_overlap(name: str, tmp_path: Path) -> None:
    session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
    one, other = np.zeros((2, 40, 60), bool)
    one[5:20, 5:20] = other[10:30, 10:30] = True
    for frame in range(2):
        session.import_masks(frame, {1: one, 2: other})
    summary = FORMATS[name].write(session, tmp_path / f"out{FORMATS[name].suffix}")
    assert any("objects overlap" in sentence for sentence in summary.changes)


def test_the_folder_of_a_session_is_no_place_for_an_export(tmp_path: Path) -> None:
    session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
    session.import_masks(0, {1: np.ones((40, 60), bool)})
    folder = SessionFolder.create(tmp_path / "cells.sam2", session)
    for name in ("session.json", "labels.tif"):
        with pytest.raises(InputError, match="folder of a session, for its own files"):
            format_for(name, "coco" if name.endswith("json") else None).write(
                session, folder.path / name, overwrite=True
            )
    folder.close()
