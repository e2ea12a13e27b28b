"""Session folders and Cell Tracking Challenge folders open in napari, and Labels layers are saved."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from npe2 import PluginManifest
from process_usage import full_disk

from napari_plugin.contributions.readers import cell_tracking_reader, session_reader
from napari_plugin.contributions.writers import write_labels
from napari_plugin.layers import ImageStack
from sam2_engine import InputError
from sam2_plugins.export.cell_tracking import write_cell_tracking_ground_truth, write_cell_tracking_result
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder

Saved = tuple[AnnotationSession, Path]


@pytest.fixture
def save(tmp_path: Path, small_checkpoint: Path) -> Any:
    """Return a function that annotates a stack on disk and saves it in a folder, which stays open."""
    folders = []

    def save(stack: Any, axes: str) -> Saved:
        tifffile.imwrite(tmp_path / "cells.tif", stack, metadata={"axes": axes})
        session = AnnotationSession(tmp_path / "cells.tif", ModelStore("cpu"), small_checkpoint, axes=axes)
        folder = SessionFolder.create(
            tmp_path / "cells.sam2", session, source=tmp_path / "cells.tif", opening={"axes": axes}
        )
        folders.append((folder, session))
        return session, folder.path

    yield save
    for folder, session in folders:
        folder.close()
        session.frames.close()


def divide(session: AnnotationSession) -> None:
    """Object 1 on frames 0 to 2, its daughters 2 and 3 on frames 3 to 5."""
    for frame in range(6):
        left, right = np.zeros((2, *session.shape), bool)
        left[10:15, 10 + frame : 21 + frame] = True
        right[30:35, 40:51] = True
        session.import_masks(frame, {1: left} if frame < 3 else {2: left, 3: right})
    session.edit_object(1, name="mother", label="cell", color=(255, 128, 0))
    for daughter in (2, 3):
        session.lineage.set_parents(daughter, (1,))


@pytest.mark.gui
def test_a_session_opens_with_frames_masks_and_tracks_while_it_is_worked_on(
    make_napari_viewer_proxy: Callable[..., Any], save: Callable[..., Saved], discs: Any
) -> None:
    session, path = save(discs, "TYX")
    divide(session)
    viewer = make_napari_viewer_proxy(show=True)
    image, labels, tracks = viewer.open(path, plugin="sam2-plugins")
    assert [image.name, labels.name, tracks.name] == ["cells", "objects of cells", "tracks of cells"]
    np.testing.assert_array_equal(image.data, discs)
    assert tuple(image.contrast_limits) == (0, 255)
    for frame in range(6):
        np.testing.assert_array_equal(labels.data[frame], session.label_image(frame))
    np.testing.assert_allclose(labels.get_color(1), (1, 128 / 255, 0, 1), atol=1e-3)
    assert labels.features["name"].tolist()[0] == "mother"
    assert tracks.graph == {2: [1], 3: [1]}
    assert tracks.data[tracks.data[:, 0] == 1].tolist() == [[1, t, 12, 15 + t] for t in range(3)]
    viewer.window.screenshot(flash=False)


def test_only_the_shown_frame_is_read(save: Callable[..., Saved], discs: Any, monkeypatch: Any) -> None:
    session, path = save(discs, "TYX")
    reader = session_reader(str(path))
    assert reader is not None
    ((pixels, _, _),) = reader(str(path))
    read = []
    kind = type(session.frames)
    getitem = kind.__getitem__

    def counted(frames: Any, frame: int) -> Any:
        read.append(frame)
        return getitem(frames, frame)

    monkeypatch.setattr(kind, "__getitem__", counted)
    assert isinstance(pixels, da.Array)
    np.testing.assert_array_equal(np.asarray(pixels[4, 10:20]), discs[4, 10:20])
    assert read == [4]


@pytest.mark.gui
@pytest.mark.parametrize(
    ("shape", "axes", "shown", "rgb"),
    [
        ((6, 60, 80), "TYX", (6, 60, 80), False),
        ((6, 2, 60, 80), "TCYX", (2, 6, 60, 80), False),
        ((6, 60, 80, 3), "TYXS", (6, 60, 80, 3), True),
        ((60, 80), "YX", (60, 80), False),
    ],
)
def test_what_is_opened_is_the_same_stack_to_go_on_with(
    save: Callable[..., Saved],
    make_napari_viewer_proxy: Any,
    shape: tuple[int, ...],
    axes: str,
    shown: tuple[int, ...],
    rgb: bool,
) -> None:
    """The dock, on the layer that the reader made, sees the frames that the session was made on."""
    stack = np.random.default_rng(1).integers(0, 255, shape).astype(np.uint8 if rgb else np.uint16)
    session, path = save(stack, axes)
    mask = np.zeros((60, 80), bool)
    mask[5:10, 20:30] = True
    session.import_masks(0, {1: mask})
    viewer = make_napari_viewer_proxy()
    image, labels, *_ = viewer.open(path, plugin="sam2-plugins")
    assert image.data.shape == shown
    assert image.rgb == rgb
    frames = ImageStack.of(image).open()
    for number in range(len(session)):
        np.testing.assert_array_equal(frames[number], session.frames[number])
    np.testing.assert_array_equal(np.asarray(labels.data).reshape(-1, 60, 80)[0], mask)
    ndim = image.ndim - labels.ndim
    np.testing.assert_array_equal(
        labels.data_to_world((0,) * labels.ndim), image.data_to_world((0,) * image.ndim)[ndim:]
    )


def test_a_damaged_session_is_a_sentence(save: Callable[..., Saved], discs: Any) -> None:
    _, path = save(discs, "TYX")
    (path / "state.json").write_text("[")
    reader = session_reader(str(path))
    assert reader is not None
    with pytest.raises(InputError, match="damaged"):
        reader(str(path))
    assert session_reader(str(path.parent)) is None
    assert session_reader([str(path), str(path)]) is None


@pytest.mark.gui
@pytest.mark.parametrize("kind", ["cells_RES", "cells_RES/res_track.txt", "cells_GT", "cells_GT/TRA"])
def test_a_cell_tracking_folder_opens_with_its_tracks(
    make_napari_viewer_proxy: Callable[..., Any], save: Callable[..., Saved], discs: Any, kind: str
) -> None:
    session, path = save(discs, "TYX")
    divide(session)
    write = write_cell_tracking_result if kind.startswith("cells_RES") else write_cell_tracking_ground_truth
    write(session, path.parent / kind.split("/")[0])
    viewer = make_napari_viewer_proxy()
    labels, tracks = viewer.open(path.parent / kind, plugin="sam2-plugins")
    for frame in range(6):
        np.testing.assert_array_equal(labels.data[frame], session.label_image(frame))
    assert tracks.graph == {2: [1], 3: [1]}
    assert tracks.data[tracks.data[:, 0] == 3].tolist() == [[3, t, 32, 45] for t in range(3, 6)]


def test_other_folders_are_left_to_other_readers(tmp_path: Path) -> None:
    (tmp_path / "01_RES").mkdir()
    assert cell_tracking_reader(str(tmp_path / "01_RES")) is None
    assert cell_tracking_reader([str(tmp_path)]) is None


@pytest.mark.gui
def test_a_labels_layer_is_saved_with_its_scale(make_napari_viewer_proxy: Any, tmp_path: Path) -> None:
    viewer = make_napari_viewer_proxy()
    labels = np.random.default_rng(0).integers(0, 9, (4, 20, 30))
    layer = viewer.add_labels(
        labels, scale=(60, 0.5, 0.25), units=("s", "um", "um"), axis_labels=("t", "y", "x")
    )
    for name in ("labels.tif", "labels.ome.tif"):
        assert layer.save(str(tmp_path / name), plugin="sam2-plugins") == [str(tmp_path / name)]
        with tifffile.TiffFile(tmp_path / name) as tiff:
            assert tiff.series[0].axes == "TYX"
            assert tiff.series[0].dtype == np.uint16
            np.testing.assert_array_equal(tiff.asarray(), labels)
            if tiff.imagej_metadata:
                assert tiff.imagej_metadata["finterval"] == 60
                assert tiff.pages[0].resolution == (4, 2)
            else:
                assert 'PhysicalSizeY="0.5"' in tiff.ome_metadata
                assert 'TimeIncrement="60.0"' in tiff.ome_metadata


@pytest.mark.parametrize(
    ("shape", "axes", "saved"),
    [
        ((20, 30), "yx", "YX"),
        ((4, 20, 30), "zyx", "ZYX"),
        ((2, 4, 20, 30), "ctyx", "TYX"),
        ((4, 1, 20, 30), "tzyx", "TYX"),
        ((4, 3, 20, 30), "tzyx", "TZYX"),
        ((3, 2, 4, 20, 30), "zctyx", "TZYX"),
    ],
)
def test_labels_of_every_shape_are_saved(tmp_path: Path, shape: Any, axes: str, saved: str) -> None:
    layer = Labels(da.ones(shape, dtype=np.int64), axis_labels=tuple(axes))
    layer.data[..., 3, 4] = 2**32 - 1
    data, meta, _ = layer.as_layer_data_tuple()
    write_labels(str(tmp_path / "labels.tif"), data, meta)
    with tifffile.TiffFile(tmp_path / "labels.tif") as tiff:
        assert tiff.series[0].axes == saved
        assert tiff.series[0].dtype == np.uint32
        assert (tiff.asarray()[..., 3, 4] == 2**32 - 1).all()
        lengths = {"T": 4, "Z": 4 if saved == "ZYX" else 3, "Y": 20, "X": 30}
        assert tiff.asarray().shape == tuple(lengths[letter] for letter in saved)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files")
def test_a_disk_that_fills_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    path.write_bytes(b"earlier")
    data, meta, _ = Labels(np.ones((4, 60, 80), np.uint16)).as_layer_data_tuple()
    with full_disk(500), pytest.raises(InputError, match=rf"{path}: File too large; .*make space there"):
        write_labels(str(path), data, meta)
    assert [file.name for file in tmp_path.iterdir()] == ["labels.tif"]
    assert path.read_bytes() == b"earlier"
    write_labels(str(path), data, meta)
    np.testing.assert_array_equal(tifffile.imread(path), data)


@pytest.mark.parametrize("axes", ["tzyx", "ztyx"])
@pytest.mark.parametrize("ending", [".tif", ".ome.tif"])
def test_volumes_over_time_are_saved_with_their_scale(tmp_path: Path, axes: str, ending: str) -> None:
    volumes = np.random.default_rng(0).integers(0, 9, (4, 3, 20, 30)).astype(np.uint16)
    sizes = {"t": (60.0, "s"), "z": (2.0, "um"), "y": (0.5, "um"), "x": (0.25, "um")}
    layer = Labels(
        volumes if axes == "tzyx" else volumes.transpose(1, 0, 2, 3),
        axis_labels=tuple(axes),
        scale=[sizes[letter][0] for letter in axes],
        units=[sizes[letter][1] for letter in axes],
    )
    data, meta, _ = layer.as_layer_data_tuple()
    write_labels(str(tmp_path / f"labels{ending}"), data, meta)
    with tifffile.TiffFile(tmp_path / f"labels{ending}") as tiff:
        assert tiff.series[0].axes == "TZYX"
        np.testing.assert_array_equal(tiff.asarray(), volumes)
        if ending == ".tif":
            known = tiff.imagej_metadata
            assert known is not None
            assert (known["frames"], known["slices"]) == (4, 3)
            assert (known["spacing"], known["unit"], known["finterval"]) == (2.0, "um", 60.0)
            assert tiff.pages[0].resolution == (4, 2)  # type: ignore[union-attr]
        else:
            assert tiff.ome_metadata is not None
            for said in ('PhysicalSizeZ="2.0"', 'PhysicalSizeX="0.25"', 'TimeIncrement="60.0"'):
                assert said in tiff.ome_metadata


def test_axes_that_the_docks_user_gave_are_those_of_the_file(tmp_path: Path) -> None:
    layer = Labels(np.ones((4, 20, 30), np.uint16), metadata={"sam2_axes": "ZYX"})
    for name, one, saved in (("a.tif", layer, "ZYX"), ("b.tif", Labels(np.ones((4, 20, 30), int)), "TYX")):
        data, meta, _ = one.as_layer_data_tuple()
        write_labels(str(tmp_path / name), data, meta)
        with tifffile.TiffFile(tmp_path / name) as tiff:
            assert tiff.series[0].axes == saved
    part = Labels(np.ones((20, 30), np.uint16), metadata={"sam2_axes": "ZYX"})  # of a layer that was split
    data, meta, _ = part.as_layer_data_tuple()
    write_labels(str(tmp_path / "c.tif"), data, meta)
    assert tifffile.imread(tmp_path / "c.tif").shape == (20, 30)


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        (np.ones((5, 6, 7, 20, 30), int), "Split Stack"),
        (np.full((20, 30), -1), "below 0"),
        (np.full((20, 30), 2**40), "32 bits|fit"),
    ],
)
def test_labels_that_do_not_fit_leave_no_file(tmp_path: Path, labels: Any, fault: str) -> None:
    names = ("t", "z", "a", "y", "x")[-labels.ndim :]
    data, meta, _ = Labels(labels, axis_labels=names).as_layer_data_tuple()
    with pytest.raises(InputError, match=fault):
        write_labels(str(tmp_path / "labels.tif"), data, meta)
    assert not list(tmp_path.iterdir())


def test_readers_ask_only_for_what_they_can_read() -> None:
    manifest = PluginManifest.from_distribution("sam2-plugins")
    patterns = {p for reader in manifest.contributions.readers or () for p in reader.filename_patterns}
    assert "*" not in patterns
