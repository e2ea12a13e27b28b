"""What every format says before any work, if a session cannot be written in it."""

import re

import numpy as np
import pytest
from painted import PaintedSession

from sam2_engine.errors import InputError
from sam2_plugins.export import formats
from sam2_plugins.export.format import ExportFormat
from sam2_plugins.export.formats import FORMATS


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
