"""Volumes of every kind that nibabel reads, by what is in them; what is no volume is refused by name."""

import bz2
import gzip
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames

VOLUME = np.random.default_rng(0).integers(-1000, 2000, (30, 20, 6)).astype(np.int16)
DATA = Path(nibabel.__file__).parent / "tests" / "data"


def read(path: Path, **options: Any) -> NDArray[Any]:
    """Return all frames of a volume as (X, Y, Z, ...)."""
    with open_frames(path, **options) as frames:
        return np.moveaxis(np.stack(list(frames)), (0, 2), (2, 0))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Nifti1Image", "a.nii"),
        ("Nifti1Image", "a.nii.gz"),
        ("Nifti1Image", "a.nii.bz2"),
        ("Nifti2Image", "a.nii"),
        ("Nifti1Pair", "a.hdr"),
        ("Nifti1Pair", "a.img"),
        ("Nifti1Pair", "a.img.gz"),
        ("Nifti2Pair", "a.hdr"),
        ("AnalyzeImage", "a.img"),
        ("Spm99AnalyzeImage", "a.hdr"),
        ("MGHImage", "a.mgh"),
        ("MGHImage", "a.mgz"),
    ],
)
def test_every_kind_of_volume(tmp_path: Path, kind: str, name: str) -> None:
    image = getattr(nibabel, kind)(VOLUME, np.eye(4))
    nibabel.save(image, tmp_path / name)
    np.testing.assert_array_equal(read(tmp_path / name), VOLUME)


@pytest.mark.parametrize("order", "<>")
def test_either_order_of_bytes(tmp_path: Path, order: str) -> None:
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(np.int16)
    nibabel.save(nibabel.Nifti1Image(VOLUME, np.eye(4), header), tmp_path / "a.nii")
    np.testing.assert_array_equal(read(tmp_path / "a.nii"), VOLUME)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a", "a.dat"])
@pytest.mark.parametrize("packed", [True, False])
def test_volumes_are_judged_by_content(tmp_path: Path, name: str, packed: bool) -> None:
    if packed and "nii" not in name:
        pytest.skip("what is packed has to be named")
    whole = nibabel.Nifti1Image(VOLUME, np.eye(4)).to_bytes()
    (tmp_path / name).write_bytes(gzip.compress(whole) if packed else whole)
    np.testing.assert_array_equal(read(tmp_path / name), VOLUME)


@pytest.mark.parametrize("letters", ["RGB", "RGBA"])
def test_colors(tmp_path: Path, letters: str) -> None:
    colors = np.random.default_rng(1).integers(0, 256, (9, 8, 3, len(letters))).astype(np.uint8)
    stored = colors.view([(letter, "u1") for letter in letters])[..., 0]
    nibabel.save(nibabel.Nifti1Image(stored, np.eye(4)), tmp_path / "a.nii")
    with open_frames(tmp_path / "a.nii") as frames:
        assert (frames.is_rgb, frames.channels, len(frames), frames.dtype) == (True, 3, 3, np.uint8)
        np.testing.assert_array_equal(frames[2], colors[:, :, 2, :3].transpose(1, 0, 2))
    with open_frames(tmp_path / "a.nii", channel=1) as frames:
        np.testing.assert_array_equal(frames[0], colors[:, :, 0, 1].T)


def test_planes_vectors_and_scaling(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(VOLUME[..., 0], np.eye(4)), tmp_path / "plane.nii")
    np.testing.assert_array_equal(read(tmp_path / "plane.nii")[..., 0], VOLUME[..., 0])
    vectors = np.random.default_rng(1).random((9, 8, 4, 1, 3)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(vectors, np.eye(4)), tmp_path / "vectors.nii")
    with open_frames(tmp_path / "vectors.nii") as frames:
        assert (len(frames), frames.channels, frames.is_rgb) == (4, 3, False)
        np.testing.assert_array_equal(frames[1], vectors[:, :, 1, 0].transpose(1, 0, 2))
    image = nibabel.Nifti1Image(np.full((5, 4, 2), 2**24 + 1, np.int32), np.eye(4))
    image.header.set_slope_inter(2, 1)
    nibabel.save(image, tmp_path / "wide.nii")
    assert (read(tmp_path / "wide.nii") == 2**25 + 3).all()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.nrrd", b"NRRD0004\n", r"in the format NRRD, which is not read here; save it as NIfTI"),
        ("a.dat", b"NRRD0005\n", r"in the format NRRD"),
        ("a.mha", b"ObjectType = Image\n", r"in the format MetaImage"),
        ("a.gii", b"<?xml version='1.0'?><GIFTI/>", r"holds a surface \(GIfTI\), no image"),
        ("a.trk", b"TRACK\0", r"holds tracts \(TrackVis\)"),
        ("a.par", b"# === DATA DESCRIPTION FILE", r"not a readable volume"),
        ("a.nii.bz2", bz2.compress(b"no volume"), r"^a.nii.bz2 is not a readable volume"),
        ("a.mgz", gzip.compress(b"\0\0\0\1", mtime=0), r"^a.mgz is not a readable volume"),
    ],
)
def test_what_is_no_volume_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_frames(tmp_path / name)


def test_complex_voxels_and_a_missing_half(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(VOLUME.astype(np.complex64), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(InputError, match="holds complex64 values; convert them"):
        open_frames(tmp_path / "a.nii")
    nibabel.save(nibabel.Nifti1Pair(VOLUME, np.eye(4)), tmp_path / "b.hdr")
    (tmp_path / "b.img").unlink()
    with pytest.raises(InputError, match=r"b.hdr is one of two files, and b.img is missing"):
        open_frames(tmp_path / "b.hdr")


@pytest.mark.skipif(not DATA.is_dir(), reason="nibabel was installed without its tests' data")
@pytest.mark.parametrize(
    ("name", "lengths"),
    [
        ("tiny.mnc", "Z=10 Y=20 X=20"),
        ("minc1_4d.mnc", "T=2 and Z=10"),
        ("example4d+orig.HEAD", "Z=25 and T=3"),
        ("scaled+tlrc.BRIK", "Z=43 Y=54 X=47, 1 channel, float32"),
        ("phantom_EPI_asc_CLEAR_2_1.PAR", "Z=9 and T=3"),
        ("phantom_varscale.REC", "Z=9 and T=3"),
        ("test.mgz", "Z=5 and T=2"),
        ("minc2_1_scale.mnc", "Z=10 Y=20 X=20|pip install h5py"),
    ],
)
def test_kinds_that_nibabel_only_reads(tmp_path: Path, name: str, lengths: str) -> None:
    for half in DATA.glob(f"{Path(name).stem}*"):
        shutil.copy(half, tmp_path)
    try:
        with open_frames(tmp_path / name) as frames:
            said = frames.description
            expected = np.asarray(nibabel.load(tmp_path / name).dataobj, np.float64).sum()
            assert np.stack(list(frames)).sum(dtype=np.float64) == pytest.approx(expected, rel=1e-6)
    except InputError as error:
        said = str(error)
    assert any(option in said for option in lengths.split("|"))
