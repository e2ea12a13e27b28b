"""DICOM-SEG, read back by highdicom and pydicom in the frame of reference of its series."""

from dataclasses import replace

import numpy as np
import pytest
from dicom_series import write_series
from painted import PaintedSession

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_plugins.export.formats import FORMATS

highdicom = pytest.importorskip("highdicom")
pydicom = pytest.importorskip("pydicom")
SEG = FORMATS["dicom-seg"]


@pytest.fixture
def series(tmp_path):
    return write_series(tmp_path / "ct")


def painted(series, overlap=False):
    frames = open_frames(series)
    session = PaintedSession(frames)
    session.add(3, "Läsion")
    session.objects[3] = replace(session.objects[3], name="left kidney")
    session.add(9, None, (3,))
    session.add(11)
    session.paint(11, 0, np.zeros(frames.shape, bool))  # absent everywhere
    for frame in (1, 2):
        mask = np.zeros(frames.shape, bool)
        mask[3:9, 4 : 12 + frame] = True
        session.paint(3, frame, mask)
    other = np.zeros(frames.shape, bool)
    other[5 if overlap else 12 : 18, 6:20] = True
    session.paint(9, 2, other)
    return session


@pytest.mark.parametrize("overlap", [False, True])
def test_segments_lie_on_the_images_that_they_refer_to(tmp_path, series, overlap):
    session = painted(series, overlap)
    summary = SEG.write(session, tmp_path / "labels.dcm")
    assert (summary.frames, summary.objects) == (3, 2)
    assert summary.changes == (
        "DICOM-SEG holds no parents; objects are known by their ids.",
        "Segments count from 1: of the objects 3 is 1, 9 is 2.",
    )
    seg = highdicom.seg.segread(summary.path)
    assert [(one.segment_label, one.tracking_id) for one in map(seg.get_segment_description, (1, 2))] == [
        ("left kidney", "3"),
        ("object 9", "9"),
    ]
    assert seg.SegmentSequence[0].SegmentDescription == "Läsion"
    images = {one.SOPInstanceUID: one for one in map(pydicom.dcmread, series.iterdir())}
    first = next(iter(images.values()))
    for name in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert seg.get(name) == first.get(name)
    ordered = sorted(images.values(), key=lambda one: one.InstanceNumber)
    uids = [one.SOPInstanceUID for one in ordered]
    masks = seg.get_pixels_by_source_instance(uids[1:3])
    assert masks.shape == (2, 20, 30, 2)
    for frame in (1, 2):
        np.testing.assert_array_equal(masks[frame - 1, ..., 0], session.mask(3, frame))
        np.testing.assert_allclose(
            open_frames(series)[frame], ordered[frame].pixel_array.astype(np.float32) - 1024
        )
    np.testing.assert_array_equal(masks[1, ..., 1], session.mask(9, 2))
    shared = seg.SharedFunctionalGroupsSequence[0]
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == list(first.PixelSpacing)
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    assert list(orientation) == list(first.ImageOrientationPatient)
    for item in seg.PerFrameFunctionalGroupsSequence:
        referred = item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        place = item.PlanePositionSequence[0].ImagePositionPatient
        assert list(place) == list(images[referred].ImagePositionPatient)


def test_a_gap_between_planes_is_no_obstacle(tmp_path):
    folder = write_series(tmp_path / "ct", planes=(0.0, 2.5, 5.0, 12.5))
    seg = highdicom.seg.segread(SEG.write(painted(folder), tmp_path / "labels.dcm").path)
    assert seg.NumberOfFrames == 3


def test_our_reader_opens_it_again(tmp_path, series):
    path = SEG.write(painted(series), tmp_path / "labels.dcm").path
    with open_frames(path, fixed={"G": 0}) as frames:
        assert [int(frame.sum() > 0) for frame in frames] == [1, 1]


def test_what_it_cannot_be_of_is_said_before(tmp_path, series):
    stack = PaintedSession.of(np.ones((3, 20, 30), np.uint8), axes="ZYX")
    assert "are none; export NIfTI, NRRD or a TIFF" in SEG.why_not(stack)
    session = painted(series)
    session.frames.axis = "T"
    assert "are times" in SEG.why_not(session)
    for file in series.iterdir():
        header = pydicom.dcmread(file)
        del header.FrameOfReferenceUID
        header.save_as(file)
    with pytest.raises(InputError, match="lacks what a DICOM-SEG refers to"):
        SEG.write(painted(series), tmp_path / "labels.dcm")
    assert not list(tmp_path.glob("*.dcm"))


def test_nothing_half_written_and_nothing_replaced(tmp_path, series):
    path = tmp_path / "labels.dcm"
    steps = SEG.steps(painted(series), path, None, False)
    next(steps)
    steps.close()
    assert not list(tmp_path.glob("*.dcm"))
    SEG.write(painted(series), path)
    with pytest.raises(InputError, match="exists"):
        SEG.write(painted(series), path)
    SEG.write(painted(series), path, overwrite=True)
