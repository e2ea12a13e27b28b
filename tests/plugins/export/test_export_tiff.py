"""Label stacks as TIFF are read back by tifffile, with their sizes."""

import numpy as np
import pytest
import tifffile
from painted import PaintedSession

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_plugins.export.label_tiff import write_label_tiff
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.session.readable import run_to_end

SCALE = PhysicalScale((0.25, 0.5), "µm", 30.0, "s", 2.0)


def two_objects(largest=2):
    labels = np.zeros((4, 20, 30), np.uint32)
    labels[:3, 2:9, 3:12] = 1
    labels[1:, 10:15, 15:28] = largest
    return labels


@pytest.mark.parametrize("name", ["labels.tif", "labels.ome.tif"])
@pytest.mark.parametrize("axis", ["T", "Z"])
def test_a_stack_with_sizes(tmp_path, name, axis):
    session = PaintedSession.of(two_objects(), axes=f"{axis}YX")
    steps = write_label_tiff.steps(session, tmp_path / name, SCALE)
    assert [next(steps) for _ in range(4)] == [0, 1, 2, 3]
    summary = run_to_end(steps)
    assert (summary.frames, summary.objects, summary.changes) == (4, 2, ())
    with tifffile.TiffFile(tmp_path / name) as tiff:
        assert tiff.series[0].axes == f"{axis}YX"
        assert tiff.series[0].dtype == np.uint16
        np.testing.assert_array_equal(tiff.asarray(), two_objects())
        if name == "labels.tif":
            assert tiff.is_imagej
            assert tiff.imagej_metadata["unit"] == "um"
            assert tiff.imagej_metadata.get("spacing") == (2.0 if axis == "Z" else None)
            assert tiff.imagej_metadata.get("finterval") == (30.0 if axis == "T" else None)
            across, base = tiff.pages[0].tags["XResolution"].value
            assert across / base == pytest.approx(2.0)
        else:
            pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
            assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeY"]) == (0.5, 0.25)
            assert pixels["PhysicalSizeXUnit"] == "µm"
            assert pixels.get("PhysicalSizeZ") == (2.0 if axis == "Z" else None)
            assert pixels.get("TimeIncrement") == (30.0 if axis == "T" else None)


@pytest.mark.parametrize("name", ["labels.tif", "labels.ome.tif"])
def test_ids_beyond_16_bits_are_kept(tmp_path, name):
    labels = two_objects(2**32 - 1)
    write_label_tiff(PaintedSession.of(labels), tmp_path / name)
    read = tifffile.imread(tmp_path / name)
    assert read.dtype == np.uint32
    np.testing.assert_array_equal(read, labels)


def test_stopping_leaves_nothing_and_nothing_is_replaced_unasked(tmp_path):
    session, path = PaintedSession.of(two_objects()), tmp_path / "labels.tif"
    steps = write_label_tiff.steps(session, path)
    next(steps)
    steps.close()
    assert not list(tmp_path.iterdir())
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="exists; choose another name"):
        write_label_tiff(session, path)
    assert path.read_bytes() == b"mine"
    write_label_tiff(session, path, overwrite=True)
    np.testing.assert_array_equal(tifffile.imread(path), two_objects())
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_exported(tmp_path):
    session = PaintedSession(open_frames(np.zeros((2, 9, 9), np.uint8)))
    with pytest.raises(InputError, match="nothing to export"):
        write_label_tiff(session, tmp_path / "labels.tif")
    session.add(2**32)
    with pytest.raises(InputError, match="nothing to export"):
        write_label_tiff(session, tmp_path / "labels.tif")
    session.paint(2**32, 0, np.ones((9, 9), bool))
    with pytest.raises(InputError, match="does not fit"):
        write_label_tiff(session, tmp_path / "labels.tif")
    with pytest.raises(InputError, match=r"must end in \.tif"):
        write_label_tiff(PaintedSession.of(two_objects()), tmp_path / "labels.png")


def test_an_id_that_comes_during_the_export_is_not_cut_off(tmp_path):
    session = PaintedSession.of(two_objects())
    steps = write_label_tiff.steps(session, tmp_path / "labels.tif")
    next(steps)
    session.add(70_000)
    session.paint(70_000, 2, np.ones((20, 30), bool))
    with pytest.raises(InputError, match="export once more"):
        run_to_end(steps)
    assert not list(tmp_path.iterdir())
