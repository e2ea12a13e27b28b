"""What a script imports from ``sam2_plugins``, and what that costs."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

import sam2_plugins
from sam2_plugins import FORMATS, AnnotationSession, ModelStore, SessionFolder, open_session
from sam2_plugins.importing.masks import import_masks, open_masks
from sam2_plugins.importing.prompts import read_label_image, read_prompts
from sam2_plugins.measure import measure
from sam2_plugins.storage import open_or_create_session, read_manifest, read_session


@pytest.mark.parametrize("name", sam2_plugins.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(sam2_plugins, name) is not None
    assert name in dir(sam2_plugins)


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sessions'"):
        sam2_plugins.Sessions  # noqa: B018


def test_pytorch_is_loaded_with_the_first_name_not_before() -> None:
    code = "import sys, sam2_plugins; assert 'torch' not in sys.modules; sam2_plugins.ModelStore"
    subprocess.run([sys.executable, "-c", code + "; assert 'torch' in sys.modules"], check=True)


@pytest.fixture
def session(tmp_path: Path, store: ModelStore) -> Iterator[AnnotationSession]:
    tifffile.imwrite(tmp_path / "frames.tif", np.zeros((2, 40, 60), np.uint8), metadata={"axes": "TYX"})
    session = AnnotationSession(str(tmp_path / "frames.tif"), store)
    session.import_masks(0, {1: np.ones((40, 60), bool)})
    yield session
    session.frames.close()


def test_sessions_take_paths_as_strings(
    tmp_path: Path, session: AnnotationSession, store: ModelStore
) -> None:
    path, source = str(tmp_path / "work.sam2"), str(tmp_path / "frames.tif")
    SessionFolder.create(path, session, source=source).close()
    assert read_manifest(path)["frames"]["source"]
    opened, folder = open_session(path, store)
    read = read_session(path, store)
    assert set(opened.objects) == set(read.objects) == {1}
    read.frames.close()
    folder.close()
    begun = open_or_create_session(session.frames, store, "nano", source=source, home=str(tmp_path))
    assert begun.folder is not None
    assert begun.folder.path == tmp_path / "frames.sam2"
    begun.folder.close()


@pytest.mark.parametrize("name", FORMATS)
def test_exports_take_paths_as_strings(tmp_path: Path, session: AnnotationSession, name: str) -> None:
    if name == "geff":
        pytest.importorskip("geff")
    if FORMATS[name].why_not(session):
        pytest.skip("it is of planes")
    path = str(tmp_path / f"out{FORMATS[name].suffix}")
    assert FORMATS[name].write(session, path).path == Path(path)
    FORMATS[name].write(session, path, overwrite=True)
    if name in ("tiff", "ctc", "coco"):
        with open_masks(path, session.shape, 2) as masks:
            assert import_masks(session, masks) is not None


def test_tables_and_prompts_take_paths_as_strings(tmp_path: Path, session: AnnotationSession) -> None:
    measure(session).write_csv(str(tmp_path / "a.csv"))
    (tmp_path / "p.json").write_text(json.dumps([{"frame": 0, "object_id": 1, "points": [[9, 9]]}]))
    assert len(read_prompts(str(tmp_path / "p.json"), session.shape, 2)) == 1
    tifffile.imwrite(tmp_path / "labels.tif", np.ones(session.shape, np.uint8))
    assert read_label_image(str(tmp_path / "labels.tif"), session.shape).max() == 1
