"""What people reported of medical files: padding that decides the window, times mixed with slices, CDs.

After bowang-lab/MedSAM#101, SimpleITK#879, cornerstone3D#555, monai-deploy-app-sdk#486, Slicer#3111.
"""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from sam2_engine import ImagePredictor, load_model, open_frames
from sam2_engine.weights.pixel_rules import window_of
from sam2_plugins import AnnotationSession, ModelStore

SIDE = 200
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
ORGAN = (abs(COLUMNS - 110) < 45) & (abs(ROWS - 100) < 16)
FIELD = (COLUMNS - 100) ** 2 + (ROWS - 100) ** 2 < 98**2
CLICK = (80, 100)


def write(path: Path, pixels: NDArray[np.int16], padding: int) -> Path:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = CTImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
    image.SeriesInstanceUID, image.Modality = "1.2.3", "CT"
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 1
    image.PixelPaddingValue = padding
    image.PixelData = pixels.tobytes()
    image.save_as(path, enforce_file_format=True)
    return path


def overlap(mask: NDArray[np.bool_]) -> float:
    return float((mask & ORGAN).sum() / (mask | ORGAN).sum())


@pytest.mark.parametrize("padding", [-2000, -3024, -32768, 32767])
def test_padding_outside_the_field_of_view_costs_a_click_nothing(tmp_path: Path, padding: int) -> None:
    pixels = np.random.default_rng(0).normal(40, 4, (SIDE, SIDE)) + 60 * ORGAN
    path = write(tmp_path / "ct.dcm", np.where(FIELD, pixels, padding).astype(np.int16), padding)
    predictor = ImagePredictor(load_model("nano", device="cpu"))

    def click(image: NDArray[np.float64] | NDArray[np.int16], contrast: object) -> float:
        predictor.set_image(image, contrast=contrast)
        return overlap(predictor.predict([CLICK], [1], multimask_output=False)[0][0] > 0)

    with open_frames(path) as frames:
        window = window_of(frames)
        assert window is not None
        assert window.low[0] > 0
        assert window.high[0] < 120
        found = click(frames[0], window)
        # The darkest level around: the same pixels with a window that somebody chose by hand.
        dark = np.where(FIELD, pixels, -1000).astype(np.int16)
        assert found >= click(dark, (-160, 240)) - 0.02
        session = AnnotationSession(frames, ModelStore("cpu"))
        session.add_points(0, session.add_object(), CLICK)
        assert overlap(session.mask(1, 0)) >= found - 0.02
        assert session.window == window
