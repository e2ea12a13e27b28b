"""Contrast of sessions: what the model expects, unless somebody says another, in every host."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from small_model import SMALL, write_small_checkpoint

import sam2_plugins
from sam2_engine.errors import InputWarning
from sam2_engine.frames import open_frames
from sam2_engine.preprocessing import IntensityWindow
from sam2_engine.weights.pixel_rules import window_of
from sam2_plugins.cli import app as cli
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder, read_session

SOFT_TISSUE = IntensityWindow((-160,), (240,))
SAYS = "looks like computed tomography"


@pytest.fixture(scope="module")
def medical(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "medical.safetensors"
    write_small_checkpoint(path, replace(SMALL, intensities="medical"))
    return path


@pytest.fixture
def ct() -> NDArray[np.int16]:
    """An organ in three slices, in Hounsfield units."""
    volume = np.full((3, 60, 80), -1000, np.int16)
    volume[:, 20:40, 20:40] = 40
    return volume


def test_a_session_begins_with_it_remembers_it_and_an_own_contrast_wins(
    medical: Path, ct: NDArray[np.int16], store: ModelStore, tmp_path: Path
) -> None:
    with pytest.warns(InputWarning, match=SAYS):
        session = AnnotationSession(ct, store, f"{medical}@256", axes="ZYX")
    assert session.window == SOFT_TISSUE
    SessionFolder.create(tmp_path / "a.sam2", session).close()
    again = read_session(tmp_path / "a.sam2", store, open_frames(ct, axes="ZYX"))  # nothing is said again
    assert again.window == SOFT_TISSUE
    own = AnnotationSession(ct, store, medical, axes="ZYX", contrast=(-1000, 0))
    assert own.window == IntensityWindow((-1000,), (0,))


def test_another_model_gets_what_it_expects_unless_somebody_chose(
    medical: Path, small_checkpoint: Path, ct: NDArray[np.int16], store: ModelStore, tmp_path: Path
) -> None:
    session = AnnotationSession(ct, store, small_checkpoint, axes="ZYX")
    folder = SessionFolder.create(tmp_path / "b.sam2", session)
    usual = session.window
    with pytest.warns(InputWarning, match=SAYS):
        session.use_model(medical)
    assert session.window == SOFT_TISSUE
    session.use_model(small_checkpoint)
    assert session.window == usual
    session.set_window((-500, 500))
    session.use_model(medical)
    assert session.window == IntensityWindow((-500,), (500,))
    folder.close()
    again = read_session(tmp_path / "b.sam2", store, open_frames(ct, axes="ZYX"))
    assert again.window == IntensityWindow((-500,), (500,))


def test_the_shell_says_it_once_and_a_session_of_it_holds_it(
    medical: Path,
    ct: NDArray[np.int16],
    store: ModelStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = tmp_path / "ct.tif"
    tifffile.imwrite(source, ct, metadata={"axes": "ZYX"}, photometric="minisblack")
    seeds = tmp_path / "seeds.tif"
    tifffile.imwrite(seeds, np.uint8(ct[0] > 0))
    options = [str(source), "--model", str(medical), "--masks", str(seeds), "--device", "cpu"]
    assert cli.main(["track", *options, "--session", str(tmp_path / "one.sam2")]) == 0
    assert capsys.readouterr().err.count(SAYS) == 1
    with closing((one := read_session(tmp_path / "one.sam2", store)).frames):
        assert one.window == SOFT_TISSUE
    assert cli.main(["track", *options, "--contrast", "lung", "--session", str(tmp_path / "two.sam2")]) == 0
    assert SAYS not in capsys.readouterr().err
    with closing((two := read_session(tmp_path / "two.sam2", store)).frames):
        assert two.window == IntensityWindow((-1350,), (150,))


def test_scripts_get_it(medical: Path, ct: NDArray[np.int16]) -> None:
    with (
        pytest.warns(InputWarning, match=SAYS),
        sam2_plugins.open(ct, model=str(medical), axes="ZYX", device="cpu") as session,
    ):
        assert session.annotation.window == SOFT_TISSUE


def test_a_loaded_model_says_its_own_rule(medical: Path, store: ModelStore) -> None:
    assert store.intensities(medical) == store.get(medical).config.intensities == "medical"
    assert store.intensities("medsam2_latest@256+fast") == "medical"
    assert window_of(open_frames(np.zeros((2, 20, 20), np.uint8)), None, "medical") is None
