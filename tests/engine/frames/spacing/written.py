"""Files with known sizes, written by the library of each format: what its reader has to find in them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import nibabel
import numpy as np
import pydicom
import tifffile
import zarr
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

STACK = np.random.default_rng(0).integers(0, 255, (5, 32, 48)).astype(np.uint16)
OME = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm"}
Sizes = dict[str, tuple[float, str]]
XY: Sizes = {"Y": (0.25, "µm"), "X": (0.5, "µm")}


def imagej(path: Path, axes: str = "TYX", stack: Any = STACK, **said: Any) -> Path:
    tifffile.imwrite(path, stack, imagej=True, resolution=(2, 4), metadata={"axes": axes, **said})
    return path


def ome_tiff(path: Path, axes: str = "TYX", stack: Any = STACK, **said: Any) -> Path:
    tifffile.imwrite(path, stack, metadata={"axes": axes, **OME, **said})
    return path


def plain_tiff(path: Path, resolution: tuple[float, float], unit: str) -> Path:
    tifffile.imwrite(path, STACK[0], resolution=resolution, resolutionunit=unit, metadata=None)
    return path


def ome_zarr(
    path: Path,
    *,
    axes: str = "tyx",
    units: tuple[Any, ...] = ("second", "micrometer", "micrometer"),
    scale: tuple[float, ...] = (30, 0.25, 0.5),
    above: tuple[float, ...] | None = None,
    version: str = "0.5",
) -> Path:
    """Write an image of two levels, each with its scale, and perhaps one for all of them."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version < "0.5" else 3)
    kinds = {"t": "time"}
    described = [
        {"name": name, "type": kinds.get(name, "space")} | ({"unit": unit} if unit else {})
        for name, unit in zip(axes, units)
    ]
    datasets = []
    for level in range(2):
        plane = STACK[:, :: 2**level, :: 2**level]
        array = group.create_array(
            str(level), shape=plane.shape, dtype=plane.dtype, chunks=(1, *plane.shape[1:])
        )
        array[...] = plane
        sizes = [scale[0], *(size * 2**level for size in scale[1:])]
        datasets.append(
            {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": sizes}]}
        )
    image: dict[str, Any] = {"version": version, "axes": described, "datasets": datasets}
    if above is not None:
        image["coordinateTransformations"] = [{"type": "scale", "scale": list(above)}]
    group.attrs.update({"multiscales": [image]} if version < "0.5" else {"ome": {"multiscales": [image]}})
    return path


def nifti(
    path: Path, zooms: tuple[float, ...] = (0.5, 0.25, 3), units: tuple[Any, Any] = ("mm", "sec")
) -> Path:
    shape = (48, 32, 5, 4)[: len(zooms)]
    volume = nibabel.Nifti1Image(np.zeros(shape, np.int16), np.diag([*zooms[:3], 1]))
    volume.header.set_zooms(zooms)
    volume.header.set_xyzt_units(*units)
    nibabel.save(volume, path)
    return path


def mgh(path: Path) -> Path:
    nibabel.save(nibabel.MGHImage(np.zeros((48, 32, 5), np.int16), np.diag([0.5, 0.25, 3, 1])), path)
    return path


def dicom(folder: Path, positions: tuple[float | None, ...] = (0, 2.5, 5, 7.5), **tags: Any) -> Path:
    """Write slices that lie at ``positions``, one a file; where they lie nowhere, a file of frames."""
    folder.mkdir()
    in_space = positions[0] is not None
    for number, z in enumerate(positions if in_space else (None,)):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        path = folder / f"{number}.dcm"
        made = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
        made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        made.Modality, made.SeriesInstanceUID, made.InstanceNumber = "CT", "1.2.3", number
        pixels = STACK[number] if in_space else STACK
        made.Rows, made.Columns = pixels.shape[-2:]
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.BitsAllocated = made.BitsStored = 16
        made.HighBit, made.PixelRepresentation = 15, 0
        if in_space:
            made.ImagePositionPatient, made.ImageOrientationPatient = [0, 0, z], [1, 0, 0, 0, 1, 0]
        else:
            made.NumberOfFrames = len(pixels)
        for tag, value in tags.items():
            setattr(made, tag, value)
        made.PixelData = pixels.tobytes()
        pydicom.dcmwrite(path, made, enforce_file_format=True)
    return folder


def video(path: Path, rate: int = 10) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264" if path.suffix != ".webm" else "libvpx", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for value in range(5):
            picture = np.full((48, 64, 3), 40 * value, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def animation(path: Path, duration: int | list[int] = 200) -> Path:
    images = [Image.fromarray(np.full((48, 64), 50 * value, np.uint8)) for value in range(4)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=duration)
    return path


def folder_of_tiffs(folder: Path) -> Path:
    folder.mkdir()
    for number in range(3):
        imagej(folder / f"{number}.tif", "YX", STACK[number], unit="um")
    return folder


READERS: dict[str, tuple[Callable[[Path], Path], dict[str, Any], Sizes]] = {
    "imagej.tif": (
        lambda path: imagej(path, unit="micron", finterval=30, tunit="sec"),
        {},
        {"T": (30, "s"), **XY},
    ),
    "imagej_escaped.tif": (
        lambda path: imagej(path, "ZYX", unit="\\u00B5m", spacing=2.5),
        {},
        {"Z": (2.5, "µm"), **XY},
    ),
    "imagej_5d.tif": (
        lambda path: imagej(
            path, "TZYX", np.stack([STACK] * 3), unit="um", spacing=2, finterval=1, tunit="min"
        ),
        {"fixed": {"T": 1}},
        {"T": (1, "min"), "Z": (2, "µm"), **XY},
    ),
    "imagej_channels.tif": (
        lambda path: imagej(path, "TCYX", np.stack([STACK] * 2, axis=1), unit="um", finterval=2),
        {"channel": 1},
        {"T": (2, "s"), **XY},
    ),
    "imagej_named_anew.tif": (
        lambda path: imagej(path, "TYX", unit="um", spacing=3, finterval=30),
        {"axes": "ZYX"},
        {"Z": (3, "µm"), **XY},
    ),
    "ome.ome.tif": (
        lambda path: ome_tiff(path, TimeIncrement=5, TimeIncrementUnit="min"),
        {},
        {"T": (5, "min"), **XY},
    ),
    "ome_volume.ome.tif": (
        lambda path: ome_tiff(path, "ZYX", PhysicalSizeZ=1500, PhysicalSizeZUnit="nm"),
        {},
        {"Z": (1500, "nm"), **XY},
    ),
    "ome_planes.ome.tif": (
        lambda path: ome_tiff(path, Plane={"DeltaT": [0.5, 10.6, 20.4, 30.5, 40.5]}),
        {},
        {"T": (10, "s"), **XY},
    ),
    "slide.tif": (
        lambda path: plain_tiff(path, (20_000, 40_000), "CENTIMETER"),
        {},
        XY,
    ),
    "inch.tif": (lambda path: plain_tiff(path, (50_800, 101_600), "INCH"), {}, XY),
    "folder": (folder_of_tiffs, {}, XY),
    "image.zarr": (ome_zarr, {}, {"T": (30, "s"), **XY}),
    "earlier.zarr": (lambda path: ome_zarr(path, version="0.4"), {}, {"T": (30, "s"), **XY}),
    "level.zarr": (ome_zarr, {"level": 1}, {"T": (30, "s"), "Y": (0.5, "µm"), "X": (1, "µm")}),
    "twice.zarr": (
        lambda path: ome_zarr(path, scale=(1, 0.25, 0.5), above=(0.1, 1, 1)),
        {},
        {"T": (0.1, "s"), **XY},
    ),
    "volume.zarr": (
        lambda path: ome_zarr(path, axes="zyx", units=("nanometer", "micrometer", "micrometer")),
        {},
        {"Z": (30, "nm"), **XY},
    ),
    "volume.nii": (nifti, {}, {"Z": (3, "mm"), "Y": (0.25, "mm"), "X": (0.5, "mm")}),
    "packed.nii.gz": (
        lambda path: nifti(path, (0.5, 0.25, 3, 2), ("mm", "msec")),
        {"fixed": {"Z": 1}},
        {"T": (2, "ms"), "Z": (3, "mm"), "Y": (0.25, "mm"), "X": (0.5, "mm")},
    ),
    "no_unit.nii": (
        lambda path: nifti(path, units=(None, None)),
        {},
        {"Z": (3, "mm"), "Y": (0.25, "mm"), "X": (0.5, "mm")},
    ),
    "rolled.nii": (nifti, {"axes": "ZYX"}, {"Z": (0.5, "mm"), "Y": (0.25, "mm"), "X": (3, "mm")}),
    "volume.mgz": (mgh, {}, {"Z": (3, "mm"), "Y": (0.25, "mm"), "X": (0.5, "mm")}),
    "slices": (
        lambda path: dicom(path, PixelSpacing=[0.25, 0.5], SliceThickness=5),
        {},
        {"Z": (2.5, "mm"), "Y": (0.25, "mm"), "X": (0.5, "mm")},
    ),
    "gap": (
        lambda path: dicom(path, (0, 2.5, 5, 10, 12.5), PixelSpacing=[0.25, 0.5]),
        {},
        {"Z": (2.5, "mm"), "Y": (0.25, "mm"), "X": (0.5, "mm")},
    ),
    "film": (
        lambda path: dicom(path, (None,), ImagerPixelSpacing=[0.25, 0.5], FrameTime=40),
        {},
        {"T": (0.04, "s"), "Y": (0.25, "mm"), "X": (0.5, "mm")},
    ),
    "film_named_anew": (
        lambda path: dicom(path, (None,), PixelSpacing=[0.25, 0.5], SpacingBetweenSlices=4, SliceThickness=5),
        {"axes": "ZYX"},
        {"Z": (4, "mm"), "Y": (0.25, "mm"), "X": (0.5, "mm")},
    ),
    "perfusion": (
        lambda path: dicom(path, (None,), TemporalResolution=1500),
        {},
        {"T": (1500, "ms")},
    ),
    "video.mp4": (video, {}, {"T": (0.1, "s")}),
    "video.mkv": (lambda path: video(path, 30), {}, {"T": (1 / 30, "s")}),
    "video_of_planes.mp4": (video, {"axes": "ZYX"}, {}),
    "animation.gif": (animation, {}, {"T": (0.2, "s")}),
    "animation.webp": (animation, {}, {"T": (0.2, "s")}),
}
"""A name that its reader knows, how it is written, how it is read, and the sizes that are to be found."""
