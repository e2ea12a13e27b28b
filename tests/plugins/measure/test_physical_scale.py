"""The physical sizes of a stack: from its file, in one unit, unless somebody says otherwise."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

import sam2_plugins
from sam2_engine import open_frames
from sam2_plugins.cli.app import main
from sam2_plugins.export.formats import FORMATS
from sam2_plugins.measure import PhysicalScale, measure
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.readable import run_to_end
from sam2_plugins.storage import SessionFolder, open_or_create_session, open_session
from tests.engine.frames.spacing.written import nifti, ome_tiff
from tests.plugins.painted import PaintedSession

TIMES = {"finterval": 30, "tunit": "sec"}
IN_FILE = PhysicalScale((0.25, 0.5), "µm", 30.0, "s")


@pytest.fixture
def stack(tmp_path: Path, discs: NDArray[np.uint8]) -> Path:
    """A time-lapse as ImageJ writes it, with its sizes."""
    path = tmp_path / "cells.tif"
    said = {"axes": "TYX", "unit": "um", **TIMES}
    tifffile.imwrite(path, discs, imagej=True, resolution=(2, 4), metadata=said)
    return path


@pytest.fixture
def volume(tmp_path: Path, discs: NDArray[np.uint8]) -> Path:
    path = tmp_path / "volume.tif"
    said = {"axes": "ZYX", "unit": "um", "spacing": 2.5}
    tifffile.imwrite(path, discs, imagej=True, resolution=(2, 4), metadata=said)
    return path


def saved(path: Path, stack: Path, store: ModelStore, model: Path, mask: Any, **options: Any) -> Path:
    """Return the folder of a session with one object on two frames."""
    session = AnnotationSession(stack, store, model)
    folder = SessionFolder.create(path, session, source=stack, **options)
    for frame in (0, 1):
        session.import_masks(frame, {1: mask})
    folder.close()
    session.frames.close()
    return path


def header(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()[0].split(",")


def test_lengths_are_in_the_unit_of_the_pixels(tmp_path: Path) -> None:
    said = {"PhysicalSizeZ": 1500, "PhysicalSizeZUnit": "nm", "PhysicalSizeYUnit": "mm"}
    with open_frames(ome_tiff(tmp_path / "a.ome.tif", "ZYX", **said)) as frames:
        assert PhysicalScale.of(frames) == PhysicalScale((250.0, 0.5), "µm", plane_spacing=1.5)


def test_a_volume_tracked_along_another_axis_has_the_sizes_of_what_is_read(tmp_path: Path) -> None:
    with open_frames(nifti(tmp_path / "a.nii"), axes="ZYX") as frames:
        assert PhysicalScale.of(frames) == PhysicalScale((0.25, 3.0), "mm", plane_spacing=0.5)


def test_without_both_sides_of_a_pixel_there_are_no_lengths(stack: Path) -> None:
    with open_frames(stack) as frames:
        frames.spacing = {axis: one for axis, one in frames.spacing.items() if axis != "Y"}
        assert PhysicalScale.of(frames) == PhysicalScale(frame_interval=30.0, time_unit="s")


def test_python_measures_in_the_units_of_the_file(
    stack: Path, small_checkpoint: Path, disc_mask: Any, tmp_path: Path
) -> None:
    given = PhysicalScale((1.0, 1.0), "mm", 2.0, "h")
    for keep in (False, True):
        with sam2_plugins.open(stack, small_checkpoint, device="cpu", keep=keep) as work:
            assert work.scale == IN_FILE
            work.annotation.import_masks(0, {1: disc_mask})
            assert measure(work.annotation).units["area"] == "µm²"  # without a word about it
            work.scale = given
    for _ in range(2):
        with sam2_plugins.open(stack, small_checkpoint, device="cpu") as work:
            assert work.scale == given  # the session's, not the file's
    with sam2_plugins.open(stack, small_checkpoint, device="cpu", scale=IN_FILE) as work:
        assert work.scale == IN_FILE
    with sam2_plugins.open(tmp_path / "cells.sam2", device="cpu") as work:
        assert work.scale == IN_FILE


def test_sessions_of_every_host_have_the_sizes_of_the_file(
    stack: Path, store: ModelStore, small_checkpoint: Path, tmp_path: Path
) -> None:
    with open_frames(stack) as frames:
        opened = open_or_create_session(frames, store, small_checkpoint, source=stack, home=tmp_path)
        assert opened.folder is not None
        assert opened.folder.scale == IN_FILE
        opened.folder.close()


def test_a_session_saved_without_sizes_has_those_of_the_file(
    stack: Path, store: ModelStore, small_checkpoint: Path, disc_mask: Any, tmp_path: Path
) -> None:
    path = saved(tmp_path / "a.sam2", stack, store, small_checkpoint, disc_mask)
    session, folder = open_session(path, store)
    folder.set_scale(PhysicalScale(frame_interval=2.0, time_unit="h"))  # as an earlier version wrote it
    assert folder.scale == PhysicalScale((0.25, 0.5), "µm", 2.0, "h")
    folder.close()
    session.frames.close()
    assert main(["export", str(path), "-o", str(tmp_path / "t.csv")]) == 0
    assert {"area (µm²)", "time (h)"} <= set(header(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    ("arguments", "column"),
    [
        (["segment", "cells.tif", "--fixed", "T=0", "--point", "20,20"], "area (µm²)"),
        (["auto", "cells.tif", "--fixed", "T=0", "--points-per-side", "4"], "area (µm²)"),
        (["track", "cells.tif", "--masks", "seed.tif"], "speed (µm/s)"),
    ],
)
def test_tables_and_labels_of_the_command_line_are_in_the_units_of_the_file(
    stack: Path,
    small_checkpoint: Path,
    disc_mask: Any,
    arguments: list[str],
    column: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(stack.parent)
    tifffile.imwrite("seed.tif", disc_mask.astype(np.uint16))
    outputs = ["-o", "labels.tif", "--csv", "table.csv", "--model", str(small_checkpoint), "--device", "cpu"]
    assert main([*arguments, *outputs]) == 0
    assert column in header(Path("table.csv"))
    with open_frames("labels.tif") as frames:
        assert PhysicalScale.of(frames).pixel_size == pytest.approx((0.25, 0.5))
        assert PhysicalScale.of(frames).unit == "µm"


def test_a_pixel_size_that_is_given_leaves_the_planes_where_they_are(
    volume: Path, store: ModelStore, small_checkpoint: Path, disc_mask: Any, tmp_path: Path
) -> None:
    path, table = saved(tmp_path / "a.sam2", volume, store, small_checkpoint, disc_mask), tmp_path / "t.csv"
    for arguments, name, distance in (
        (["--pixel-size", "300,nm"], "z (nm)", 2500.0),
        (["--pixel-size", "300,nm", "--plane-spacing", "2,um"], "z (nm)", 2000.0),
        (["--plane-spacing", "2,um"], "z (µm)", 2.0),
    ):
        assert main(["export", str(path), "-o", str(table), "--overwrite", *arguments]) == 0
        with table.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert float(rows[1][name]) == pytest.approx(distance)


def test_a_distance_of_planes_that_nobody_knows_is_said(
    discs: Any,
    store: ModelStore,
    small_checkpoint: Path,
    disc_mask: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tifffile.imwrite(tmp_path / "plain.tif", discs, metadata={"axes": "ZYX"})
    path = saved(tmp_path / "a.sam2", tmp_path / "plain.tif", store, small_checkpoint, disc_mask)
    out = str(tmp_path / "t.csv")
    assert main(["export", str(path), "-o", out, "--pixel-size", "0.3,µm"]) == 0
    assert "does not say how far its planes are apart" in capsys.readouterr().err
    assert main(["export", str(path), "-o", out, "--overwrite", "--plane-spacing", "2,µm"]) == 2
    assert "give their size, too" in capsys.readouterr().err


@pytest.mark.parametrize("axes", ["TYX", "ZYX"])
@pytest.mark.parametrize("name", ["tiff", "ome-tiff", "ome-zarr"])
@pytest.mark.parametrize("largest", [7, 70_000])
def test_exported_labels_say_the_sizes_as_our_readers_read_them(
    tmp_path: Path, axes: str, name: str, largest: int
) -> None:
    labels = np.zeros((2, 40, 60), np.uint32)
    labels[:, 5:20, 5:20] = largest
    session = PaintedSession.of(labels, axes=axes)
    scale = PhysicalScale((0.25, 0.5), "µm", 30.0, "s") if axes == "TYX" else IN_VOLUME
    path = tmp_path / f"labels{FORMATS[name].suffix}"
    FORMATS[name].write(session, path, scale)
    with open_frames(path) as frames:
        found = PhysicalScale.of(frames)
    if (name, largest) == ("tiff", 70_000):  # a plain TIFF has words for the size of a pixel alone
        scale = PhysicalScale(scale.pixel_size, scale.unit)
    assert found.pixel_size == pytest.approx(scale.pixel_size)
    assert found == PhysicalScale(
        found.pixel_size, scale.unit, scale.frame_interval, scale.time_unit, scale.plane_spacing
    )


IN_VOLUME = PhysicalScale((0.25, 0.5), "µm", plane_spacing=2.5)


def test_graphs_and_tables_say_the_sizes_of_the_file(tmp_path: Path, stack: Path) -> None:
    pytest.importorskip("geff")
    labels = np.zeros((8, 60, 80), np.uint16)
    labels[:, 5:20, 5:20] = 1
    session = PaintedSession.of(labels)
    with open_frames(stack) as frames:
        session.frames = frames
        FORMATS["geff"].write(session, tmp_path / "tracks.geff")
        FORMATS["csv"].write(session, tmp_path / "table.csv")
    axes = zarr.open_group(tmp_path / "tracks.geff", mode="r").attrs["geff"]["axes"]
    assert {axis["name"]: axis["unit"] for axis in axes} == {
        **{"t": "second", "y": "micrometer", "x": "micrometer"}
    }
    assert {"time (s)", "area (µm²)"} <= set(header(tmp_path / "table.csv"))
    table = run_to_end(measure.steps(session))
    assert table["area"][0] == pytest.approx(15 * 15 * 0.25 * 0.5)
