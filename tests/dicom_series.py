"""A CT series as a scanner writes it: tilted, its files in no order, with all that a reference needs."""

from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

DIRECTIONS = (0.0, 1.0, 0.0, -0.8, 0.0, 0.6)
NORMAL = np.cross(DIRECTIONS[:3], DIRECTIONS[3:])


def write_series(folder: Path, planes=(0.0, 2.5, 5.0, 7.5), shape=(20, 30)) -> Path:
    folder.mkdir()
    common = {
        name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    }
    for number, place in enumerate(planes):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        one = FileDataset(str(folder), {}, file_meta=meta, preamble=bytes(128))
        one.update({})
        for name, value in {
            **common,
            "SOPClassUID": CTImageStorage,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "PatientName": "Doe^Jane",
            "PatientID": "7",
            "PatientBirthDate": "19700101",
            "PatientSex": "F",
            "AccessionNumber": "1",
            "StudyID": "1",
            "StudyDate": "20200102",
            "StudyTime": "101112",
            "ReferringPhysicianName": "",
            "Modality": "CT",
            "SeriesNumber": 3,
            "InstanceNumber": number + 1,
            "ImagePositionPatient": [
                float(v) for v in np.round(np.array([10.0, -20.0, 30.0]) + place * NORMAL, 6)
            ],
            "ImageOrientationPatient": list(DIRECTIONS),
            "PixelSpacing": [0.5, 0.25],
            "SliceThickness": 2.5,
            "Rows": shape[0],
            "Columns": shape[1],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 0,
            "RescaleSlope": 1,
            "RescaleIntercept": -1024,
            "PixelData": np.random.default_rng(number).integers(0, 2000, shape, np.uint16).tobytes(),
        }.items():
            setattr(one, name, value)
        one.save_as(folder / f"{(number * 3) % len(planes):02}.dcm", enforce_file_format=True)
    return folder
