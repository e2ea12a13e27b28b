"""What is exported is read back and compared."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from sam2_engine.disk import replacing
from sam2_engine.errors import InputError
from sam2_plugins.export import (
    LabelStackWriter,
    overlay,
    write_animation,
    write_label_image,
    write_png,
)
from sam2_plugins.export.targets import new_folder
from sam2_plugins.runtime.atomic_files import check_output, new_file
from sam2_plugins.session.label_image import label_dtype


@pytest.mark.parametrize("axes", ["TYX", "ZYX"])
def test_a_label_stack_is_written_in_any_order_and_opens_in_imagej(tmp_path, axes):
    labels = np.random.default_rng(0).integers(0, 65535, (6, 13, 17)).astype(np.uint16)
    path = tmp_path / "labels.tif"
    with LabelStackWriter.open(path, labels.shape, labels.dtype, axes) as stack:
        for frame in (5, 0, 2, 1, 4):
            stack.write(frame, labels[frame])
        assert not path.exists()
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_imagej
        assert tiff.series[0].axes == axes
        read = tiff.asarray()
    labels[3] = 0
    np.testing.assert_array_equal(read, labels)
    assert [file.name for file in tmp_path.iterdir()] == ["labels.tif"]


def test_ids_beyond_16_bits_take_32(tmp_path):
    labels = np.array([[0, 70_000], [2**32 - 1, 1]], np.uint32)
    write_label_image(tmp_path / "labels.tif", labels)
    read = tifffile.imread(tmp_path / "labels.tif")
    assert read.dtype == np.uint32
    np.testing.assert_array_equal(read, labels)
    assert label_dtype(65_535) == np.uint16
    assert label_dtype(65_536) == np.uint32
    with pytest.raises(InputError, match="does not fit"):
        label_dtype(2**32)


def test_a_single_image_has_two_axes(tmp_path):
    labels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    write_label_image(tmp_path / "labels.tif", labels)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "labels.tif"), labels)


def test_a_stack_beyond_4_gb_is_a_bigtiff_of_the_right_size(tmp_path):
    shape = (70, 5600, 5600)  # 4.4 GB, of which only what is written takes space
    page = np.zeros(shape[1:], np.uint16)
    page[7, 9] = 5
    with LabelStackWriter.open(tmp_path / "large.tif", shape, page.dtype) as stack:
        stack.write(69, page)
    with tifffile.TiffFile(tmp_path / "large.tif") as tiff:
        assert tiff.is_bigtiff
        assert tiff.series[0].shape == shape
        last = tiff.series[0].pages[69].asarray()
    np.testing.assert_array_equal(np.argwhere(last), [[7, 9]])


@pytest.mark.parametrize("shape", [(5, 60, 80), (2, 3000, 2000)])
def test_a_label_stack_is_small_and_whole_at_every_moment(tmp_path, shape):
    """As a process that is killed leaves it, with the frames that were finished and zeros for the others."""
    labels = np.zeros(shape, np.uint16)
    with LabelStackWriter.open(tmp_path / "labels.tif", shape, labels.dtype) as stack:
        (aside,) = tmp_path.iterdir()
        for frame in (1, 0, 1):  # a frame that is written again, too
            labels[frame, 5:15, frame : frame + 9] += 7
            labels[frame, -1] += 3
            stack.write(frame, labels[frame])
            np.testing.assert_array_equal(tifffile.imread(aside), labels)
        with tifffile.TiffFile(aside) as tiff:
            assert "images=" not in tiff.pages[0].description  # ImageJ 1.51 would misread it
    assert (tmp_path / "labels.tif").stat().st_size < labels.nbytes / 20


def test_a_failed_stack_leaves_what_was_there(tmp_path):
    path = tmp_path / "labels.tif"
    path.write_bytes(b"before")

    def write_in_part():
        with LabelStackWriter.open(path, (2, 3, 4), np.dtype(np.uint16)) as stack:
            stack.write(0, np.ones((3, 4), np.uint16))
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_in_part()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_has_the_usual_permissions(tmp_path):
    with replacing(tmp_path / "new.txt") as aside:
        aside.write_text("text")
    umask = os.umask(0o022)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("labels.png", r"must end in \.tif"),
        ("missing/labels.tif", "does not exist"),
        ("folder.tif", "is not a file"),
        ("input.tif", "is also the input"),
    ],
)
def test_outputs_that_cannot_be_are_refused_before_the_work(tmp_path, name, sentence):
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "input.tif").write_bytes(b"frames")
    with pytest.raises(InputError, match=sentence):
        check_output(tmp_path / name, suffixes=(".tif",), inputs=(tmp_path / "input.tif", None))


def test_an_output_larger_than_the_disk_is_refused(tmp_path):
    with pytest.raises(InputError, match="GB are free"):
        check_output(tmp_path / "labels.tif", suffixes=(".tif",), num_bytes=1 << 60)
    assert not list(tmp_path.iterdir())


def test_the_overlay_paints_objects_only():
    image = np.full((20, 30), 100, np.uint8)
    labels = np.zeros((20, 30), np.uint16)
    labels[5:15, 5:15], labels[5:15, 15:25] = 1, 2
    figure = overlay(image, labels, None)
    assert figure.shape == (20, 30, 3)
    assert figure.dtype == np.uint8
    assert (figure[labels == 0] == 100).all()
    assert not (figure[10, 10] == figure[10, 20]).all()
    assert (np.ptp(figure[labels > 0].astype(int), axis=1) > 0).all()


def test_images_and_animations_are_read_back(tmp_path):
    images = [np.full((40, 60, 3), (40 * i, 255 - 40 * i, 90), np.uint8) for i in range(5)]
    write_png(tmp_path / "one.png", images[2])
    with Image.open(tmp_path / "one.png") as image:
        np.testing.assert_array_equal(np.asarray(image), images[2])
    write_animation(tmp_path / "all.gif", iter(images), longest_side=30)
    with Image.open(tmp_path / "all.gif") as animation:
        assert animation.n_frames == 5
        assert animation.size == (30, 20)
        for number, image in enumerate(images):
            animation.seek(number)
            seen = np.asarray(animation.convert("RGB"), int)
            assert np.abs(seen - image[0, 0]).max() <= 8
    with pytest.raises(ValueError, match="at least one"):
        write_animation(tmp_path / "none.gif", iter(()))
    assert not (tmp_path / "none.gif").exists()


def _write_file_late(folder: Path) -> None:
    with new_file(folder / "labels.tif", suffixes=(".tif",)) as aside:
        aside.write_text("late")
        (folder / "labels.tif").write_text("first")


def _write_folder_late(folder: Path) -> None:
    with new_folder(folder / "tables", is_earlier_export=lambda _: True) as aside:
        (aside / "a.csv").write_text("late")
        (folder / "tables").mkdir()
        (folder / "tables" / "a.csv").write_text("first")


def test_what_another_process_has_written_meanwhile_stays(tmp_path: Path) -> None:
    """Both began when nothing was there; the one that ends last is refused, as if it had begun last."""
    with pytest.raises(InputError, match=r"labels\.tif exists; choose another name"):
        _write_file_late(tmp_path)
    with pytest.raises(InputError, match="tables exists; choose another name"):
        _write_folder_late(tmp_path)
    assert (tmp_path / "labels.tif").read_text() == (tmp_path / "tables" / "a.csv").read_text() == "first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.tif", "tables"]
    with new_folder(tmp_path / "tables", is_earlier_export=lambda _: True, overwrite=True) as folder:
        (folder / "a.csv").write_text("new")
    assert (tmp_path / "tables" / "a.csv").read_text() == "new"
