"""Faults that people reported of tools of this kind: objects that come back, labels that are something else.

Each is named by its number in the collection; the right answer is asserted, the wrong one of 2268ca4 is said.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation

from sam2_engine.datasets import find_dataset
from sam2_engine.errors import InputError, InputWarning
from sam2_plugins.cli.app import main
from sam2_plugins.importing.masks import open_masks
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession

H, W = 96, 128
Y, X = np.mgrid[:H, :W]


def disc(x: float, y: float, radius: float) -> NDArray[np.bool_]:
    return (X - x) ** 2 + (Y - y) ** 2 < radius**2


def noisy(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return frames + np.random.default_rng(0).integers(0, 10, frames.shape).astype(np.uint8)


@pytest.fixture
def dividing() -> AnnotationSession:
    """A cell that divides at frame 5 of 10, the mother is clicked and tracked to the end."""
    frames = np.full((10, H, W), 40, np.uint8)
    for t, frame in enumerate(frames):
        for cell in (
            [disc(60, 48, 14)] if t < 5 else [disc(52 - 4 * (t - 4), 48, 10), disc(68 + 4 * (t - 4), 48, 10)]
        ):
            frame[cell] = 190
    session = AnnotationSession(noisy(frames), ModelStore("cpu"), "nano@256", axes="TYX")
    session.add_points(0, session.add_object(), (60, 48))
    list(session.propagate())
    return session


def known(session: AnnotationSession) -> dict[int, tuple[int, int]]:
    return {i: (found[0], found[-1]) for i in session.objects if (found := session.frames_of(i))}


def test_02_a_division_is_not_undone_by_tracking(dividing: AnnotationSession) -> None:
    """Was: the mother on 0-9 after Forward, the daughters on 0-9 after Backward."""
    for daughter, x in zip(dividing.lineage.divide(1, 5), (48, 72)):
        dividing.add_points(5, daughter, (x, 48))
    list(dividing.propagate())
    list(dividing.propagate(reverse=True))
    assert known(dividing) == {1: (0, 4), 2: (5, 9), 3: (5, 9)}
    assert [i for i in dividing.objects if dividing.mask(i, 4) is not None] == [1]


def test_02_what_was_deleted_stays_deleted(dividing: AnnotationSession) -> None:
    """Was: back on 5-9 after Forward."""
    dividing.lineage.delete_from(1, 5)
    list(dividing.propagate())
    assert known(dividing) == {1: (0, 4)}


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """Frames, and masks with a palette; in ``void`` with a border of 255."""
    palette = [0, 0, 0, 128, 0, 0, 0, 128, 0] + [0] * (252 * 3) + [224, 224, 192]
    for name in ("frames", "plain", "void", "ds/images", "ds/labels"):
        (tmp_path / name).mkdir(parents=True)
    for t in range(6):
        labels = np.zeros((H, W), np.uint8)
        frame = np.full((1, H, W), 50, np.uint8)
        for number, cell in enumerate((disc(30 + 3 * t, 30, 12), disc(90 - 3 * t, 65, 14)), start=1):
            frame[0, cell], labels[cell] = 140 + 40 * number, number
        border = binary_dilation(labels > 0, iterations=2) & (labels == 0)
        for folder, values in (("plain", labels), ("void", np.where(border, np.uint8(255), labels))):
            image = Image.new("P", (W, H))
            image.putdata(values.ravel().tolist())
            image.putpalette(palette)
            image.save(tmp_path / folder / f"{t:05d}.png")
            if folder == "void":
                image.save(tmp_path / "ds/labels" / f"{t:05d}.png")
        for folder in ("frames", "ds/images"):
            Image.fromarray(noisy(frame)[0]).save(tmp_path / folder / f"{t:05d}.png")
    return tmp_path


def test_03_void_is_no_object(davis: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Was: 3 objects, J&F 0.670 where 0.993 is right; 18 masks to train on where there are 12."""
    said = {}
    for masks in ("plain", "void"):
        arguments = [
            "evaluate",
            "--frames",
            davis / "frames",
            "--masks",
            davis / masks,
            "--model",
            "nano@256",
        ]
        assert main(list(map(str, arguments))) == 0
        said[masks] = capsys.readouterr()
    assert "2 objects, 6 frames" in said["void"].out
    assert said["void"].out == said["plain"].out
    assert "255 is read as void" in said["void"].err
    with pytest.warns(InputWarning, match="void"), find_dataset(davis / "ds") as data:
        assert data.description == "a video of 6 frames: 6 annotated frames, 12 masks."


def two_discs(first: int, second: int, dtype: Any = np.uint8) -> NDArray[Any]:
    labels = np.zeros((H, W), dtype)
    labels[disc(30, 30, 12)], labels[disc(90, 65, 14)] = first, second
    return labels


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    frame = np.where(two_discs(1, 1) > 0, 200, 50).astype(np.uint8)
    tifffile.imwrite(tmp_path / "frames.tif", np.stack([frame] * 3), imagej=True, metadata={"axes": "TYX"})
    return tmp_path


def tracked(folder: Path, masks: str) -> int:
    arguments = ["track", "frames.tif", "--masks", masks, "--overwrite", "-o", "o.tif", "--model", "nano@256"]
    return main([str(folder / one) if "." in one else one for one in arguments])


def imported(path: Path) -> list[int]:
    with open_masks(path, (H, W), 1) as masks:
        return [one.id for one in masks.scan()]


def test_05_a_jpeg_of_two_objects_is_refused(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Was: 33 objects, tracked and imported; only data sets refused it."""
    Image.fromarray(two_discs(100, 200)).save(stack / "mask.jpg", quality=95)
    Image.fromarray(two_discs(100, 200)).save(stack / "mask.png")
    assert tracked(stack, "mask.png") == 0
    assert "2 objects" in capsys.readouterr().out
    assert tracked(stack, "mask.jpg") == 2
    assert "a JPEG, which changes ids; save them as PNG or TIFF" in capsys.readouterr().err
    with pytest.raises(InputError, match="changes ids"):
        imported(stack / "mask.jpg")


@pytest.mark.parametrize(
    "values",
    [
        two_discs(1, 2).astype(np.float32),
        np.where(two_discs(1, 2) == 0, np.int32(-1), two_discs(1, 2, np.int32)),
    ],
    ids=["float", "-1 for background"],
)
def test_06_whole_floats_and_a_background_of_minus_one(stack: Path, values: NDArray[Any]) -> None:
    """Was: the one imported and not tracked, the other neither."""
    tifffile.imwrite(stack / "labels.tif", values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tracked(stack, "labels.tif") == 0
        assert imported(stack / "labels.tif") == [1, 2]


def test_06_an_id_that_did_not_fit_is_refused(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Was: "has no object in it", though one is intact."""
    tifffile.imwrite(stack / "labels.tif", two_discs(1, -25536, np.int16))
    assert tracked(stack, "labels.tif") == 2
    assert "go below 0, to -25536 (in int16 they do so beyond 32767)" in capsys.readouterr().err
    with pytest.raises(InputError, match="-25536"):
        imported(stack / "labels.tif")
