"""Label volumes, read back by nibabel, pynrrd and SimpleITK in the geometry of their source."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from dicom_series import DIRECTIONS, write_series
from painted import PaintedSession

import sam2_plugins
from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_plugins.export.formats import FORMATS, format_for
from sam2_plugins.measure.physical_scale import PhysicalScale

nibabel = pytest.importorskip("nibabel")
sitk = pytest.importorskip("SimpleITK")
nrrd = pytest.importorskip("nrrd")

OBLIQUE = np.array([[0.1, -1.9, 0.2, -40], [0.48, 0.3, 0.1, 25], [0.02, 0.2, 3.1, 60], [0, 0, 0, 1.0]])
NAMES = ["nifti", "nrrd"]


def nifti(path, shape=(30, 20, 4), affine=OBLIQUE, unit="mm", dtype=np.int16):
    voxels = np.random.default_rng(0).integers(0, 900, shape).astype(dtype)
    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units(unit, "sec")
    nibabel.save(image, path)
    return path


def labeled(path, **options):
    """A session whose labels say where they are in the file: 1 + x + 30 y + 600 z, but for the background."""
    frames = open_frames(path, **options)
    session = PaintedSession(frames)
    for object_id, x, y, z in ((1, 2, 3, 1), (7, 25, 17, 3)):
        session.add(object_id)
        at = dict(zip(frames.axes, (x, y, z)))
        mask = np.zeros(frames.shape, bool)
        mask[at["Y"], at["X"]] = True
        session.paint(object_id, at["Z"], mask)
    return session


def read(path):
    """The voxels as (X, Y, Z), and the affine in LPS, of another program."""
    image = sitk.ReadImage(str(path))
    steps = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = steps, image.GetOrigin()
    return sitk.GetArrayFromImage(image).T, affine


@pytest.mark.parametrize("axes", ["XYZ", "ZYX", "XZY", "YXZ"])
@pytest.mark.parametrize("name", NAMES)
def test_every_voxel_lies_on_its_image_whichever_axis_is_tracked(tmp_path, name, axes):
    source = nifti(tmp_path / "ct.nii.gz")
    session = labeled(source, axes=axes)
    path = tmp_path / f"labels{FORMATS[name].suffix}"
    summary = FORMATS[name].write(session, path)
    assert (summary.path, summary.objects, summary.changes) == (path, 2, ())
    voxels = nibabel.load(path).get_fdata() if name == "nifti" else nrrd.read(str(path))[0]
    assert voxels.shape == (30, 20, 4)
    assert np.argwhere(voxels == 1).tolist() == [[2, 3, 1]]
    assert np.argwhere(voxels == 7).tolist() == [[25, 17, 3]]
    if name == "nifti":
        np.testing.assert_allclose(nibabel.load(path).affine, nibabel.load(source).affine, atol=1e-5)
        assert nibabel.load(path).header["sform_code"] == 1
    else:
        header = nrrd.read_header(str(path))
        in_ras = np.diag([-1, -1, 1]) @ header["space directions"].T
        np.testing.assert_allclose(in_ras, OBLIQUE[:3, :3], atol=1e-5)
        np.testing.assert_allclose(header["space origin"], np.diag([-1, -1, 1]) @ OBLIQUE[:3, 3], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_dicom_lies_where_its_series_does(tmp_path, name):
    folder = write_series(tmp_path / "ct")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    frames = open_frames(folder)
    session = PaintedSession(frames)
    session.add(5)
    mask = np.zeros(frames.shape, bool)
    mask[4:9, 11:14] = True
    session.paint(5, 1, mask)
    path = tmp_path / f"labels{FORMATS[name].suffix}"
    FORMATS[name].write(session, path)
    mine = sitk.ReadImage(str(path))
    assert mine.GetSize() == image.GetSize()
    for x, y, z in ((0, 0, 0), (29, 19, 3), (11, 4, 1)):
        np.testing.assert_allclose(
            mine.TransformIndexToPhysicalPoint((x, y, z)),
            image.TransformIndexToPhysicalPoint((x, y, z)),
            atol=1e-3,
        )
    stack = np.stack([frames[i] for i in range(4)])
    np.testing.assert_array_equal(stack, sitk.GetArrayFromImage(image))  # the same order of planes
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mine)[1] == 5, mask)
    assert np.allclose(frames.geometry.steps["X"], np.array(DIRECTIONS[:3]) * 0.25)


@pytest.mark.parametrize("name", NAMES)
def test_missing_planes_are_refused_not_bent(tmp_path, name):
    frames = open_frames(write_series(tmp_path / "ct", planes=(0.0, 2.5, 5.0, 12.5)))
    session = PaintedSession(frames)
    session.add(1)
    session.paint(1, 0, np.ones(frames.shape, bool))
    assert "do not lie evenly" in FORMATS[name].why_not(session)
    with pytest.raises(InputError, match="export DICOM-SEG or a TIFF"):
        FORMATS[name].write(session, tmp_path / f"labels{FORMATS[name].suffix}")


def test_time_is_the_fourth_axis_and_a_fixed_plane_lies_where_it_was(tmp_path):
    source = nifti(tmp_path / "mr.nii", shape=(30, 20, 4, 3), affine=np.diag([1, 2, 3, 1.0]))
    frames = open_frames(source, fixed={"Z": 2})
    session = PaintedSession(frames)
    session.add(4)
    mask = np.zeros(frames.shape, bool)
    mask[5, 6] = True
    session.paint(4, 1, mask)
    image = nibabel.load(FORMATS["nifti"].write(session, tmp_path / "labels.nii").path)
    assert image.shape == (30, 20, 1, 3)
    x, y = (6, 5) if frames.axes.startswith("XY") else (5, 6)
    assert np.argwhere(image.get_fdata()).tolist() == [[x, y, 0, 1]]
    np.testing.assert_allclose(image.affine[:3, 3], [0, 0, 6])
    fields = nrrd.read_header(str(FORMATS["nrrd"].write(session, tmp_path / "labels.nrrd").path))
    assert fields["kinds"] == ["domain", "domain", "domain", "time"]
    assert fields["sizes"].tolist() == [30, 20, 1, 3]


@pytest.mark.parametrize("name", NAMES)
def test_stacks_without_orientation_have_sizes_and_say_no_more(tmp_path, name):
    labels = np.zeros((4, 20, 30), np.uint16)
    labels[1, 2:5, 3:9] = 9
    session = PaintedSession.of(labels, axes="ZYX")
    path = tmp_path / f"labels{FORMATS[name].suffix}"
    FORMATS[name].write(session, path, PhysicalScale((0.5, 0.25), "µm", plane_spacing=2.0))
    voxels, _ = read(path)
    np.testing.assert_array_equal(voxels, labels.T)
    spacing = sitk.ReadImage(str(path)).GetSpacing()
    np.testing.assert_allclose(spacing, [0.25e-3, 0.5e-3, 2e-3], rtol=1e-6)
    if name == "nifti":
        header = nibabel.load(path).header
        assert (int(header["qform_code"]), int(header["sform_code"])) == (0, 0)
        assert header.get_xyzt_units() == ("mm", "unknown")
    FORMATS[name].write(session, path, PhysicalScale(), overwrite=True)
    if name == "nifti":
        assert nibabel.load(path).header.get_xyzt_units() == ("unknown", "unknown")
    else:
        assert "units" not in nrrd.read_header(str(path))


def test_given_sizes_keep_the_directions(tmp_path):
    session = labeled(nifti(tmp_path / "ct.nii.gz"), axes="XYZ")
    scale = PhysicalScale((2.0, 2.0), "mm", plane_spacing=9.0)
    image = nibabel.load(FORMATS["nifti"].write(session, tmp_path / "labels.nii.gz", scale).path)
    np.testing.assert_allclose(image.header.get_zooms(), [2, 2, 9])
    steps = OBLIQUE[:3, :3] / np.linalg.norm(OBLIQUE[:3, :3], axis=0) * [2, 2, 9]
    np.testing.assert_allclose(image.affine[:3, :3], steps, atol=1e-5)


def test_units_of_the_source_stay(tmp_path):
    session = labeled(nifti(tmp_path / "em.nii.gz", unit="micron"), axes="XYZ")
    image = nibabel.load(FORMATS["nifti"].write(session, tmp_path / "labels.nii.gz").path)
    assert image.header.get_xyzt_units()[0] == "micron"
    np.testing.assert_allclose(image.affine, OBLIQUE, atol=1e-5)
    fields = nrrd.read_header(str(FORMATS["nrrd"].write(session, tmp_path / "labels.nrrd").path))
    assert fields["space units"] == ["um", "um", "um"]


def test_ids_names_and_overlaps(tmp_path):
    session = PaintedSession.of(np.zeros((2, 20, 30), np.uint8), axes="ZYX")
    whole = np.ones((20, 30), bool)
    session.add(70_000, "lesion")
    session.add(3)
    session.objects[3] = replace(session.objects[3], name="left kidney")
    for object_id in (3, 70_000):
        session.paint(object_id, 0, whole)
    summary = FORMATS["nifti"].write(session, tmp_path / "labels.nii")
    assert summary.changes[0].startswith("On 1 frame objects overlap")
    assert summary.changes[1] == "NIfTI holds no names and no classes; objects are known by their ids."
    assert nibabel.load(summary.path).get_data_dtype() == np.uint32
    assert nibabel.load(summary.path).get_fdata().max() == 70_000
    fields = nrrd.read_header(str(FORMATS["nrrd"].write(session, tmp_path / "labels.seg.nrrd").path))
    said = {fields[f"Segment{i}_Name"]: fields[f"Segment{i}_LabelValue"] for i in range(2)}
    assert said == {"left kidney": "3", "object 70000": "70000"}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_half_written_and_nothing_replaced(tmp_path, name):
    session = PaintedSession.of(np.ones((3, 20, 30), np.uint8), axes="ZYX")
    path = tmp_path / f"labels{FORMATS[name].suffix}"
    steps = FORMATS[name].steps(session, path, PhysicalScale(), False)
    next(steps)
    steps.close()
    assert not list(tmp_path.iterdir())
    FORMATS[name].write(session, path)
    with pytest.raises(InputError, match="exists"):
        FORMATS[name].write(session, path)
    first = path.read_bytes()
    FORMATS[name].write(session, path, overwrite=True)
    assert path.read_bytes() == first


def test_endings_tell_the_format():
    names = {"a.nii": "nifti", "a.nii.gz": "nifti", "a.nrrd": "nrrd", "a.seg.nrrd": "nrrd"}
    assert {path: format_for(path).name for path in names} == names
    session = PaintedSession.of(np.ones((3, 20, 30), np.uint8), axes="ZYX")
    with pytest.raises(InputError, match="must end in"):
        FORMATS["nifti"].write(session, "a.tar.gz")


def test_meshes_lie_in_the_file_whichever_axis_is_tracked_and_tables_say_they_do_not(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    solid = np.zeros((12, 24, 32), bool)
    solid[2:9, 5:15, 8:28] = True
    solid[2:4, 5:7, 8:18] = False  # no mirror image of itself
    tifffile.imwrite(tmp_path / "v.tif", solid.astype(np.uint8), metadata={"axes": "ZYX"})
    meshes = {}
    for along, axis in (("Z", 0), ("Y", 1), ("X", 2)):
        with sam2_plugins.open(tmp_path / "v.tif", axes="ZYX", along=along, keep=False, device="cpu") as work:
            for frame, mask in enumerate(np.moveaxis(solid, axis, 0)):
                if mask.any():
                    work.annotation.import_masks(frame, {1: mask})
            work.export(tmp_path / along, "stl")
            table = work.export(tmp_path / f"{along}.csv")
        (file,) = (tmp_path / along).glob("*.stl")
        meshes[along] = trimesh.load(file)
        said = "".join(table.changes)
        assert ("in the axes of the cut" in said) == (along != "Z")
    for along in "YX":
        np.testing.assert_allclose(meshes[along].bounds, meshes["Z"].bounds, atol=1e-4)
        np.testing.assert_allclose(meshes[along].center_mass, meshes["Z"].center_mass, atol=0.05)
        assert meshes[along].volume == pytest.approx(meshes["Z"].volume, rel=0.01)
