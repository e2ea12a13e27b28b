"""Files that were made to run code when they are read: they are refused, and nothing is run."""

import contextlib
import json
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames


class LeavesAFile:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


PICKLE = {"id": "pickle", "protocol": 5}


@pytest.mark.parametrize(
    "codecs",
    [
        {"compressor": None, "filters": [PICKLE]},
        {"compressor": None, "filters": [{"id": "delta", "dtype": "u1"}, PICKLE]},
        {"compressor": PICKLE, "filters": None},
        {"compressor": None, "filters": [PICKLE], "dtype": "|O", "fill_value": None},
    ],
)
def test_a_pickle_in_a_zarr_array(codecs: dict[str, Any], tmp_path: Path) -> None:
    left = tmp_path / "left"
    store = tmp_path / "stack.zarr"
    store.mkdir()
    plain = {
        "zarr_format": 2,
        "shape": [4, 4],
        "chunks": [4, 4],
        "dtype": "|u1",
        "fill_value": 0,
        "order": "C",
    }
    (store / ".zarray").write_text(json.dumps(plain | codecs))
    (store / "0.0").write_bytes(pickle.dumps(LeavesAFile(left)))
    with pytest.raises(InputError):
        open_frames(store, axes="YX")[0]
    assert not left.exists()


def test_a_pickle_in_a_numpy_file(tmp_path: Path) -> None:
    left = tmp_path / "left"
    objects = np.empty((4, 4), object)
    objects[:] = LeavesAFile(left)
    np.save(tmp_path / "stack.npy", objects, allow_pickle=True)
    with pytest.raises(InputError):
        open_frames(tmp_path / "stack.npy", axes="YX")[0]
    assert not left.exists()


def test_postscript_by_the_name_of_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: Any, **__: Any) -> None:
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", started)
    path = tmp_path / "cells.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(InputError, match=r"cells\.png"):
        open_frames(path)[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes")
@pytest.mark.parametrize(
    "name", ["a.tif", "a.png", "a.dcm", "a.npy", "a.mp4", "a.nii.gz", "a", "a.zarr/zarr.json"]
)
def test_a_pipe_is_not_waited_for(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / name)
    threading.Timer(5, _open_and_close, [tmp_path / name]).start()  # else a failing test would wait
    with pytest.raises(InputError, match=r"no file|image"):
        open_frames(tmp_path / name.partition("/")[0])


def _open_and_close(pipe: Path) -> None:
    with contextlib.suppress(OSError):
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
