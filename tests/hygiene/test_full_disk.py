"""Every writer on a disk that fills halfway: nothing half-written, and a sentence that names the file."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
import zarr
from process_usage import full_disk

from sam2_engine.disk import NoSpaceError, check_space, replacing
from sam2_engine.errors import InputError
from sam2_engine.evaluation import LabeledSequence, MaskScore, MethodResult
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frames import open_frames
from sam2_engine.masks import PackedMask
from sam2_engine.training.fine_tuning.run_folder import RunFolder
from sam2_engine.training.fine_tuning.run_log import RunLog, save_comparison
from sam2_engine.weights.downloads import _copy
from sam2_engine.weights.loading import save_model
from sam2_plugins import AnnotationSession, ModelStore, SessionFolder, open_session
from sam2_plugins.cli.commands import evaluate
from sam2_plugins.export import geff_graph
from sam2_plugins.export.evaluation_report import check_report_folder, write_report
from sam2_plugins.export.formats import FORMATS
from sam2_plugins.export.label_tiff import LabelStackWriter, write_label_image
from sam2_plugins.export.overlays import write_animation, write_png
from sam2_plugins.storage import snapshot_writer

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files")

NOISE = np.random.default_rng(0).integers(0, 2**16, (8, 60, 80), np.uint16)
COLORS = NOISE.view(np.uint8)[:3].reshape(60, -1, 3)
LIMIT = 700
OF_PLANES = ("dicom-seg", "stl", "volumes")


@pytest.fixture(scope="module")
def store() -> ModelStore:
    return ModelStore("cpu")


@pytest.fixture(scope="module")
def session(store: ModelStore) -> AnnotationSession:
    session = AnnotationSession(NOISE, store, axes="TYX")
    for frame, plane in enumerate(NOISE):
        session.import_masks(frame, {i: plane % 7 == i for i in range(1, 6)})
    return session


def exporting(name: str) -> Callable[[AnnotationSession, Path], object]:
    def write(session: AnnotationSession, folder: Path) -> object:
        path = folder / f"export{FORMATS[name].suffix}"
        return FORMATS[name].write(session, path)

    return write


def _features(session: AnnotationSession, folder: Path) -> None:
    model = session.store.get("nano")
    cache = FeatureCache(0, folder)
    cache.get(model, NOISE[0], lambda: model.encode_image(torch.zeros(1, 3, 64, 64)))


def _evaluated() -> tuple[list[MethodResult], list[LabeledSequence]]:
    masks = {1: {0: PackedMask.from_array(NOISE[0] % 7 == 1)}}
    sequence = LabeledSequence("noise", open_frames(NOISE[:1], axes="TYX"), masks, (0,))
    return [MethodResult("nano", ((MaskScore(0, 1, 0, 1.0, 1.0),),), (masks,))], [sequence]


def _report(session: AnnotationSession, folder: Path) -> object:
    check_report_folder(folder)
    return write_report(folder, "title", "explanation", *_evaluated())


def _numbers(session: AnnotationSession, folder: Path) -> object:
    return evaluate._write_json(folder / "a.json", *_evaluated(), protocol="vos" * 500)


def _write_arrays(
    folder: Path, nodes: np.ndarray, properties: dict, edges: np.ndarray, *_: object, zarr_format: int
) -> None:
    group = zarr.create_group(str(folder), zarr_format=zarr_format)
    for name, values in ({"nodes": nodes, "edges": edges} | properties).items():
        group[name] = values["values"] if isinstance(values, dict) else values
    group.attrs["geff"] = {"node_props_metadata": "x" * 1000}  # about as much as the package writes


GEFF = SimpleNamespace(core_io=SimpleNamespace(write_arrays=_write_arrays), GeffMetadata=dict)
"""In place of the package where it is missing: as it does, it writes arrays with zarr."""


WRITERS: dict[str, Callable[[AnnotationSession, Path], object]] = {
    **{f"export {name}": exporting(name) for name in FORMATS if name not in OF_PLANES},
    "report of an evaluation": _report,
    "numbers of an evaluation": _numbers,
    "label image": lambda session, folder: write_label_image(folder / "labels.tif", NOISE[0]),
    "figure": lambda session, folder: write_png(folder / "a.png", COLORS),
    "animation": lambda session, folder: write_animation(folder / "a.gif", [COLORS]),
    "session folder": lambda session, folder: SessionFolder.create(folder / "work.sam2", session),
    "settings of a run": lambda session, folder: RunFolder(folder).write("settings.json", {"a": "b" * 2000}),
    "checkpoint": lambda session, folder: RunFolder(folder).save({"weights": torch.zeros(2000)}),
    "figure of a run": lambda session, folder: save_comparison(
        folder / "step.png", np.random.default_rng(0).random((60, 80, 3), np.float32), *[NOISE[:1] > 0] * 2
    ),
    "weights": lambda session, folder: save_model(session.store.get("nano"), folder / "mine.safetensors"),
    "model that is added": lambda session, folder: _copy(Path(np.__file__), folder / "mine.safetensors"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_fills_halfway(
    session: AnnotationSession, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "export geff" and not importlib.util.find_spec("geff"):
        monkeypatch.setitem(sys.modules, "geff", GEFF)
        monkeypatch.setattr(geff_graph, "geff_package", lambda: GEFF)
    session.store.get("nano")
    with full_disk(LIMIT), pytest.raises(InputError, match=r"too large|No space|I/O error|failed") as refused:
        WRITERS[name](session, tmp_path)
    sentence = str(refused.value)
    assert str(tmp_path) in sentence
    assert "space" in sentence
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
    WRITERS[name](session, tmp_path)  # with space it goes
    assert any(path.is_file() for path in tmp_path.rglob("*"))


def test_the_log_of_a_run_names_its_file(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0)
    values = dict.fromkeys(("rate", "loss", "mask", "iou", "presence", "seconds"), 0.123456789)
    with full_disk(log.path.stat().st_size + 10), pytest.raises(NoSpaceError, match=r"log\.csv"):
        log.write(1, values)
    log.close()


def test_what_will_not_fit_is_refused_with_both_sizes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"labels\.tif will take 8 EB, but only .* are free there"):
        check_space(tmp_path / "labels.tif", 8 * 10**18)


def test_a_frame_that_did_not_fit_stays_empty(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    with LabelStackWriter.open(path, (4, 60, 80), np.dtype(np.uint16)) as stack:
        stack.write(0, NOISE[0])
        (aside,) = tmp_path.iterdir()
        size = aside.stat().st_size
        with full_disk(size + 5000), pytest.raises(OSError, match="too large"):
            stack.write(1, NOISE[1])
        assert aside.stat().st_size == size
        stack.write(3, NOISE[3])
    expected = NOISE[:4].copy()
    expected[1:3] = 0
    np.testing.assert_array_equal(tifffile.imread(path), expected)


def test_a_session_on_a_full_disk_opens_and_keeps_what_counts(
    tmp_path: Path, session: AnnotationSession, store: ModelStore
) -> None:
    path = tmp_path / "work.sam2"
    copy = AnnotationSession(NOISE, store, axes="TYX")
    folder = SessionFolder.create(path, copy)
    copy.import_masks(0, {1: NOISE[0] % 2 == 0})
    folder._lock.release()  # as a killed process
    copy.history.unsubscribe(folder._on_action)
    with full_disk(LIMIT):
        again, folder = open_session(path, store, NOISE)
        assert f"{path}: File too large; make space there." == folder.save_error
        again.add_object("cell")
        folder.close()
    again, folder = open_session(path, store, NOISE)
    np.testing.assert_array_equal(again.mask(1, 0), NOISE[0] % 2 == 0)
    assert folder.save_error is None
    folder.close()


def test_half_of_a_snapshot_does_not_take_the_space(
    tmp_path: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "work.sam2"
    session = AnnotationSession(NOISE, store, axes="TYX")
    folder = SessionFolder.create(path, session)
    session.import_masks(0, {1: NOISE[0] % 2 == 0})

    def full(group: Path, shape: object, masks: object) -> None:
        (group / "bits").mkdir(parents=True)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(snapshot_writer, "write_masks", full)
        with pytest.raises(OSError, match="No space"):
            folder.snapshot()
    assert not list((path / "masks.zarr").glob("*"))
    folder.snapshot()
    assert len(list((path / "masks.zarr").glob("1-*"))) == 1
    folder.close()


def test_a_snapshot_that_counts_is_never_written_over(
    tmp_path: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "work.sam2"
    session = AnnotationSession(NOISE, store, axes="TYX")
    folder = SessionFolder.create(path, session)
    session.import_masks(0, {1: NOISE[0] % 2 == 0})
    with monkeypatch.context() as patch:

        def full(entries: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(folder._actions, "add", full)
        with pytest.raises(OSError, match="No space"):
            folder.snapshot()
        state = json.loads((path / "state.json").read_text())
    with full_disk(LIMIT):
        folder.close()  # nothing has changed since
    assert json.loads((path / "state.json").read_text()) == state
    again, folder = open_session(path, store, NOISE)
    np.testing.assert_array_equal(again.mask(1, 0), NOISE[0] % 2 == 0)
    folder.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 300 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_real_disk(small_disk: Path, session: AnnotationSession) -> None:
    with replacing(small_disk / "fills.bin") as aside:
        aside.write_bytes(bytes(300_000))
    for name in FORMATS:
        if name in ("csv", "geff", *OF_PLANES):  # small enough, or none of a movie
            continue
        with pytest.raises(InputError, match="No space left"):
            exporting(name)(session, small_disk)
        assert [path.name for path in small_disk.iterdir()] == ["fills.bin"]
