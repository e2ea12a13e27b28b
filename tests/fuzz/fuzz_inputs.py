"""Small valid inputs that fuzzing starts from, by target."""

import base64
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import dataset_folders
import imagecodecs
import nibabel
import numpy as np
import tifffile
import torch
import zarr
from mutation import Files
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless
from safetensors.torch import save
from small_model import write_small_checkpoint

__all__ = ["FRAME_SHAPE", "INPUTS"]

TESTS = Path(__file__).parents[1]
STACK = np.kron(np.random.default_rng(0).integers(0, 255, (4, 6, 8)), np.ones((1, 4, 4))).astype(np.uint8)
"""(T, Y, X) = (4, 24, 32): squares, so that every codec makes it small."""

LABELS = np.kron(np.random.default_rng(1).integers(0, 4, (4, 6, 8)), np.ones((1, 4, 4))).astype(np.uint8)
COLOR = np.stack([STACK, STACK[::-1], STACK], axis=-1)
FRAME_SHAPE = (24, 32)


def _made(make: Callable[[Path], object]) -> Files:
    """Return the files that something writes into a folder."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _tiff(pixels: Any = STACK, **options: Any) -> bytes:
    held = io.BytesIO()
    tifffile.imwrite(held, pixels, **{"metadata": {"axes": "TYX"}, "photometric": "minisblack", **options})
    return held.getvalue()


def tiff() -> dict[str, Files]:
    palette = np.zeros((3, 256), np.uint16)
    kinds = {
        "plain": _tiff(metadata=None),
        "deflate": _tiff(compression="zlib"),
        "imagej": _tiff(imagej=True),
        "ome": _tiff(ome=True, compression="lzw"),
        "tiled": _tiff(STACK[0], tile=(16, 16), compression="zstd", metadata=None),
        "big": _tiff(STACK.astype(np.uint16), bigtiff=True, predictor=True, compression="zlib"),
        "color": _tiff(COLOR, photometric="rgb", compression="packbits", metadata={"axes": "TYXS"}),
        "jpeg": _tiff(COLOR[0], photometric="rgb", compression="jpeg", metadata=None),
        "planar": _tiff(COLOR[0].T.copy(), photometric="rgb", planarconfig="separate", metadata=None),
        "float": _tiff(STACK.astype(np.float32), rowsperstrip=5, byteorder=">"),
        "palette": _tiff(STACK[0] // 16, photometric="palette", colormap=palette, metadata=None),
    }
    return {name: {"a.tif": content} for name, content in kinds.items()}


def _image(kind: str, pixels: Any = STACK[0], frames: int = 1, **options: Any) -> bytes:
    first, *rest = (Image.fromarray(pixels) for _ in range(frames))
    held = io.BytesIO()
    more = {"save_all": True, "append_images": rest, "duration": 40} if rest else {}
    first.save(held, kind, **more, **options)
    return held.getvalue()


def image() -> dict[str, Files]:
    kinds = [
        "PNG",
        "JPEG",
        "GIF",
        "WEBP",
        "AVIF",
        "BMP",
        "JPEG2000",
        "PPM",
        "PCX",
        "SGI",
        "TGA",
        "DDS",
        "ICO",
    ]
    suffixes = {kind: kind.lower() for kind in kinds} | {"JPEG2000": "jp2", "ICO": "ico"}
    made = {kind: {f"a.{suffixes[kind]}": _image(kind)} for kind in kinds}
    made |= {
        f"{kind}s": {f"a.{suffixes[kind]}": _image(kind, frames=3)} for kind in ("PNG", "GIF", "WEBP", "AVIF")
    }
    made["deep PNG"] = {"a.png": imagecodecs.png_encode(COLOR[0].astype(np.uint16) * 200)}
    made["palette"] = {"a.png": _palette()}
    made["jxl"] = {"a.jxl": imagecodecs.jpegxl_encode(COLOR[0])}
    made["qoi"] = {"a.qoi": imagecodecs.qoi_encode(COLOR[0])}
    made["folder"] = {"a1.png": _image("PNG"), "a2.jpg": _image("JPEG"), "a3.tif": _tiff(STACK[0])}
    return made


def _palette() -> bytes:
    held = io.BytesIO()
    Image.fromarray(LABELS[0]).convert("P").save(held, "PNG", transparency=0)
    return held.getvalue()


def volume() -> dict[str, Files]:
    kinds = {
        "a.nii": nibabel.Nifti1Image(STACK.T.copy(), np.eye(4)),
        "a.nii.gz": nibabel.Nifti1Image(STACK.T.astype(np.int16), np.eye(4)),
        "b.nii": nibabel.Nifti2Image(STACK.T.astype(np.float32), np.eye(4)),
        "a.mgz": nibabel.MGHImage(STACK.T.copy(), np.eye(4)),
        "a.img": nibabel.Nifti1Pair(STACK.T.astype(np.int16), np.eye(4)),
        "c.nii": nibabel.Nifti1Image(np.stack([STACK.T] * 2, axis=-1), np.eye(4)),
    }
    kinds["a.nii.gz"].header.set_slope_inter(2, 1)
    return {name: _made(lambda folder, name=name: nibabel.save(kinds[name], folder / name)) for name in kinds}


def _dicom(
    pixels: Any, number: int = 1, syntax: str = ExplicitVRLittleEndian, *, packed: bool = False, **tags: Any
) -> bytes:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = CTImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = f"1.2.3.{number}"
    made.SeriesInstanceUID, made.Modality, made.InstanceNumber = "1.2.3", "CT", number
    made.Rows, made.Columns = FRAME_SHAPE
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8 * pixels.dtype.itemsize
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(pixels.dtype.kind == "i")
    made.ImagePositionPatient, made.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    made.PixelData = pixels.tobytes()
    for tag, value in tags.items():
        setattr(made, tag, value)
    if packed:
        made.compress(RLELossless)
    held = io.BytesIO()
    made.save_as(held, enforce_file_format=True)
    return held.getvalue()


def dicom() -> dict[str, Files]:
    rescale = {"RescaleSlope": 2, "RescaleIntercept": -1024, "PixelPaddingValue": -2000, "WindowWidth": 400}
    scan = {f"{z}.dcm": _dicom(STACK[z].astype(np.int16), z + 1, **rescale) for z in range(3)}
    film = {"NumberOfFrames": 4, "FrameTime": "33.3", "CineRate": 30}
    vectors = {"FrameIncrementPointer": 0x00181063, "FrameTimeVector": [0, 10, 10, 10]}
    jpeg = [imagecodecs.jpeg_encode(plane) for plane in STACK]
    color = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    table = np.arange(256, dtype="<u2").tobytes()
    colors = ("Red", "Green", "Blue")
    palette = {f"{one}PaletteColorLookupTableDescriptor": [256, 0, 16] for one in colors}
    palette |= {f"{one}PaletteColorLookupTableData": table for one in colors}
    return {
        "scan": scan,
        "film": {"a.dcm": _dicom(STACK, **film)},
        "timed": {"a.dcm": _dicom(STACK, **film, **vectors)},
        "jpeg": {"a.dcm": _dicom(STACK, syntax=JPEGBaseline8Bit, PixelData=encapsulate(jpeg), **film)},
        "rle": {"a.dcm": _dicom(STACK[0], packed=True)},
        "color": {"a.dcm": _dicom(COLOR[0], **color)},
        "palette": {"a.dcm": _dicom(STACK[0], PhotometricInterpretation="PALETTE COLOR", **palette)},
        "inverted": {"a.dcm": _dicom(STACK[0].astype(np.uint16), PhotometricInterpretation="MONOCHROME1")},
        "enhanced": {"a.dcm": _dicom(STACK, **film, **_groups())},
    }


def _groups() -> dict[str, Any]:
    """Functional groups of a multi-frame file."""
    each = []
    for z in range(4):
        one, place = Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, z]
        one.PlanePositionSequence = [place]
        each.append(one)
    shared, plane, values = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    values.RescaleSlope, values.RescaleIntercept = 2, -5
    shared.PlaneOrientationSequence, shared.PixelValueTransformationSequence = [plane], [values]
    return {"SharedFunctionalGroupsSequence": [shared], "PerFrameFunctionalGroupsSequence": each}


def _zarr(folder: Path, version: int, *, ome: bool, **options: Any) -> None:
    root = zarr.open_group(folder, mode="w", zarr_format=version)
    chunks = options.pop("chunks", (1, 24, 32))
    array = root.create_array("0", shape=STACK.shape, chunks=chunks, dtype="uint8", **options)
    array[...] = STACK
    if ome:
        axes = [{"name": "t", "type": "time"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
        scale = [{"type": "scale", "scale": [1, 1, 1]}]
        multiscales = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]
        written = {"multiscales": multiscales, "version": "0.5"}
        root.attrs.update({"ome": written} if version == 3 else {"multiscales": multiscales})


def zarr_store() -> dict[str, Files]:
    def arrays(folder: Path) -> None:
        array = zarr.create_array(folder, shape=STACK.shape, chunks=(2, 24, 32), dtype="<u2", zarr_format=2)
        array[...] = STACK

    made = {
        "array": _made(arrays),
        "group 2": _made(lambda folder: _zarr(folder, 2, ome=False)),
        "group 3": _made(lambda folder: _zarr(folder, 3, ome=False, chunks=(1, 12, 16), shards=(1, 24, 32))),
        "ome 0.4": _made(lambda folder: _zarr(folder, 2, ome=True)),
        "ome 0.5": _made(lambda folder: _zarr(folder, 3, ome=True)),
    }
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in made["ome 0.5"].items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return {**made, "zipped": {"a.zarr.zip": held.getvalue()}}


def _npy(array: Any) -> bytes:
    held = io.BytesIO()
    np.save(held, array)
    return held.getvalue()


def numpy() -> dict[str, Files]:
    arrays = {
        "stack": STACK,
        "float": STACK.astype(">f4"),
        "fortran": STACK.T,
        "bool": STACK > 100,
        "color": COLOR,
    }
    held = io.BytesIO()
    np.savez(held, stack=STACK)
    return {name: {"a.npy": _npy(array)} for name, array in arrays.items()} | {
        "npz": {"a.npz": held.getvalue()}
    }


def _video(codec: str, suffix: str, frames: int = 6, pixel_format: str = "yuv420p") -> Files:
    def make(folder: Path) -> None:
        with av.open(str(folder / f"a.{suffix}"), "w") as output:
            stream = output.add_stream(codec, rate=24)
            stream.height, stream.width, stream.pix_fmt = 48, 64, pixel_format
            for t in range(frames):
                pixels = np.kron(COLOR[t % 4], np.ones((2, 2, 1))).astype(np.uint8)
                output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            output.mux(stream.encode())

    return _made(make)


def video() -> dict[str, Files]:
    kinds = [("mpeg4", "mp4"), ("mpeg4", "avi"), ("libx264", "mkv"), ("libx264", "mp4"), ("ffv1", "avi")]
    kinds += [("mpeg2video", "mpg"), ("libvpx-vp9", "webm"), ("mpeg4", "mov")]
    made = {f"{codec} {suffix}": _video(codec, suffix) for codec, suffix in kinds}
    return made | {"mjpeg": _video("mjpeg", "avi", pixel_format="yuvj420p")}


def labels() -> dict[str, Files]:
    edges = Image.fromarray((LABELS[0] > 1).astype(np.uint8) * 255).resize((32, 24), Image.Resampling.BICUBIC)
    held = io.BytesIO()
    edges.save(held, "PNG")
    return {
        "stack": {"a.tif": _tiff(LABELS)},
        "image": {"a.png": _image("PNG", LABELS[0])},
        "float": {"a.npy": _npy(np.where(LABELS > 0, LABELS, np.nan).astype(np.float32))},
        "signed": {"a.npy": _npy(LABELS.astype(np.int32) - 1)},
        "void": {"a.npy": _npy(np.where(LABELS == 3, 255, LABELS).astype(np.uint8))},
        "edges": {"a.png": held.getvalue()},
        "lossy": {"a.jpg": _image("JPEG", (LABELS[0] > 1).astype(np.uint8) * 255)},
        "palette": {"a.png": _palette()},
        "folder": {f"{t}.png": _image("PNG", plane) for t, plane in enumerate(LABELS)},
    }


def imports() -> dict[str, Files]:
    from sam2_engine.masks import encode_rle

    images = [
        {"id": t, "width": 32, "height": 24, "file_name": f"{t}.png", "frame_index": t} for t in range(4)
    ]
    masks = [
        {
            "id": 10 * t + i,
            "track_id": i,
            "image_id": t,
            "category_id": 1,
            "segmentation": encode_rle(LABELS[t] == i),
        }
        for t in range(4)
        for i in (1, 2)
    ]
    tracks = [{"id": 1, "name": "a"}, {"id": 2, "parents": [1]}]
    coco = {
        "images": images,
        "annotations": masks,
        "tracks": tracks,
        "categories": [{"id": 1, "name": "cell"}],
    }
    clicks = {"frame": 0, "object_id": 1, "points": [[3, 4], [10.5, 9]], "labels": [1, 0]}
    prompts = [clicks, {"frame": 3, "object_id": 2, "box": [2, 3, 20, 15]}]
    numbered = {
        f"mask{t:03}.tif": _tiff(plane.astype(np.uint16), metadata=None) for t, plane in enumerate(LABELS)
    }

    def ngff(folder: Path) -> None:
        group = zarr.open_group(folder / "labels", mode="w")
        group.attrs["labels"] = ["cells"]
        array = zarr.open_group(folder, mode="a").create_array(
            "labels/cells/0", shape=LABELS.shape, dtype="u1"
        )
        array[...] = LABELS
        axes = [{"name": name} for name in "tyx"]
        inside = zarr.open_group(folder / "labels/cells", mode="a")
        properties = [{"label-value": 1, "name": "a"}, {"label-value": 2, "parents": [1], "class": "cell"}]
        multiscales = [{"axes": axes, "datasets": [{"path": "0"}]}]
        inside.attrs["ome"] = {"multiscales": multiscales, "image-label": {"properties": properties}}

    return {
        "coco": {"masks.json": json.dumps(coco).encode()},
        "prompts": {"prompts.json": json.dumps(prompts).encode()},
        "tracks": {**numbered, "res_track.txt": b"1 0 3 0\n2 1 3 1\n3 2 3 1\n"},
        "ngff": _made(ngff),
    }


def session() -> dict[str, Files]:
    made = {}
    for name in ("time_lapse", "single_image", "lives"):
        with zipfile.ZipFile(TESTS / f"data/sessions/{name}.sam2.zip") as archive:
            inside = [one for one in archive.namelist() if not one.endswith("/")]
            made[name] = {one: archive.read(one) for one in inside}
    return made


def checkpoint() -> dict[str, Files]:
    made = _made(lambda folder: write_small_checkpoint(folder / "a.safetensors"))
    (whole,) = made.values()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    # The configuration of a model, and weights of which only few are there: the rest is the same again.
    few = {
        name: torch.zeros(3, 4) for name in ["image_encoder.trunk.patch_embed.proj.bias", "maskmem_tpos_enc"]
    }
    held = io.BytesIO()
    torch.save({"model": few}, held)
    plain = io.BytesIO()
    torch.save(few, plain, _use_new_zipfile_serialization=False)
    return {
        "safetensors": {"a.safetensors": save(few, header["__metadata__"])},
        "torch": {"a.pt": held.getvalue()},
        "old torch": {"a.pt": plain.getvalue()},
    }


def request() -> dict[str, Files]:
    made = {}
    for path in sorted((TESTS / "labelstudio/data/requests").glob("*.json")):
        sent = json.loads(path.read_text())
        head = {key: sent[key] for key in ("method", "path")}
        head["headers"] = {"Authorization": _basic("u", "p")}
        body = json.dumps(sent["json"]) if sent.get("json") is not None else ""
        made[path.stem] = {"head.json": json.dumps(head).encode(), "body.json": body.encode()}
    return made


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def data_set() -> dict[str, Files]:
    makers: list[Callable[[Path], object]] = [
        lambda folder: dataset_folders.davis(folder, ("cows",), 2),
        lambda folder: dataset_folders.plain(folder, 3),
        lambda folder: dataset_folders.images(folder, 2),
        lambda folder: dataset_folders.cell_tracking(folder, 3),
        lambda folder: dataset_folders.sa_1b(folder, 2),
        lambda folder: dataset_folders.sa_v(folder, 5),
        lambda folder: dataset_folders.stack(folder, 5),
    ]
    return {str(number): _made(maker) for number, maker in enumerate(makers)}


INPUTS: dict[str, Callable[[], dict[str, Files]]] = {
    "tiff": tiff,
    "image": image,
    "volume": volume,
    "dicom": dicom,
    "zarr": zarr_store,
    "numpy": numpy,
    "video": video,
    "labels": labels,
    "imports": imports,
    "session": session,
    "checkpoint": checkpoint,
    "request": request,
    "data_set": data_set,
}
