"""What the values of label images mean, at every place that takes some: one answer everywhere."""

import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from sam2_engine.datasets import find_dataset, pair_video
from sam2_engine.errors import InputError, InputWarning
from sam2_engine.frames.pixels import unmasked
from sam2_engine.labels import open_labels
from sam2_plugins.importing.masks import open_masks
from sam2_plugins.importing.prompts import read_label_image

H, W, LENGTH = 60, 80, 3


def squares(*levels: float, dtype: Any = np.uint8, background: float = 0) -> NDArray[Any]:
    """Disjoint squares of these values."""
    image = np.full((H, W), background, dtype)
    for number, level in enumerate(levels):
        image[10:30, 5 + 18 * number : 17 + 18 * number] = level
    return image


def with_border(level: int, *levels: int, dtype: Any = np.uint8) -> NDArray[Any]:
    """Squares, and a border of another value around the first one."""
    image = squares(*levels, dtype=dtype)
    image[8:32, 3:5] = image[8:32, 17:19] = level
    return image


def rimmed(level: int, rim: int) -> NDArray[Any]:
    """A square with a thin line of another value all around."""
    image = squares(level)
    image[9:31, 4:18] = np.where(image[9:31, 4:18] == 0, rim, image[9:31, 4:18])
    return image


def as_jpeg(image: NDArray[Any], quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def as_webp(image: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=80)
    return buffer.getvalue()


def smooth(image: NDArray[Any]) -> NDArray[Any]:
    return gaussian_filter(image.astype(float), 1.2).round().astype(np.uint8)


ONE = {1}
VALUES: dict[str, tuple[NDArray[Any], set[int] | str]] = {
    "8 bits": (squares(1, 7), {1, 7}),
    "16 bits": (squares(1, 300, dtype=np.uint16), {1, 300}),
    "32 bits": (squares(1, 70000, dtype=np.uint32), {1, 70000}),
    "floats": (squares(1, 7, dtype=np.float32), {1, 7}),
    "fractions": (squares(0.5, 1, dtype=np.float32), "not whole numbers"),
    "infinite": (squares(np.inf, dtype=np.float32), "no ids"),
    "NaN for background": (squares(1, 7, dtype=np.float32, background=np.nan), {1, 7}),
    "NaN beside 0": (squares(1, np.nan, dtype=np.float32), "no ids"),
    "-1 for background": (squares(1, 7, dtype=np.int32, background=-1), {1, 7}),
    "-1 beside 0": (squares(1, -1, dtype=np.int16), "below 0"),
    "an id that does not fit": (squares(1, -25536, dtype=np.int16), r"below 0, to -25536 \(in int16"),
    "bool": (squares(1, dtype=bool), ONE),
    "0 and 255": (squares(255), {255}),
    "gray levels to be seen": (squares(85, 170, 255), {85, 170, 255}),
    "two gray levels to be seen": (squares(128, 255), {128, 255}),
    "void 255": (with_border(255, 1, 2), {1, 2}),
    "void 255 and one object": (with_border(255, 1), ONE),
    "void 255 in 32 bits": (with_border(255, 1, 2, dtype=np.int32), {1, 2}),
    "id 255 in 16 bits": (squares(1, 2, 255, dtype=np.uint16), {1, 2, 255}),
    "ids up to 255": (squares(1, 253, 254, 255), {1, 253, 254, 255}),
    "gray stored as color": (np.repeat(squares(1, 7)[..., None], 3, axis=2), {1, 7}),
    "color": (np.stack([squares(1), squares(9), squares(0, 4)], axis=2), "color image"),
    "membranes, or a smoothed object of a low id": (rimmed(2, 1), {1, 2}),
    "masked pixels": (np.ma.masked_equal(squares(1, 9), 9), ONE),
    "one smoothed object": (smooth(squares(255)), ONE),
    "one large and two small ids, smoothed": (smooth(squares(1, 2, 20)), "gray levels between"),
    "several smoothed objects": (smooth(squares(100, 200)), "gray levels between"),
    "a photograph": (smooth(np.random.default_rng(0).integers(0, 255, (H, W))), "gray levels between"),
}


def label_file(path: Path, labels: NDArray[Any]) -> Path:
    labels = unmasked(labels, labels=True)
    photometric = "rgb" if labels.ndim == 3 else "minisblack"
    tifffile.imwrite(path, labels, photometric=photometric)
    return path


def frames_in(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(np.full((H, W), 90, np.uint8)).save(folder / f"{number}.png")
    return folder


def visible(folder: Path) -> set[int]:
    with find_dataset(folder) as data:
        return set().union(*(ids for video in data.videos for ids in video.visible.values()))


def prompting_masks(labels: NDArray[Any], folder: Path) -> set[int]:
    return set(np.unique(read_label_image(label_file(folder / "labels.tif", labels), (H, W))).tolist()) - {0}


def imported_file(labels: NDArray[Any], folder: Path) -> set[int]:
    with open_masks(label_file(folder / "labels.tif", labels), (H, W), LENGTH, frame=0) as masks:
        return {one.id for one in masks.scan()}


def imported_array(labels: NDArray[Any], folder: Path) -> set[int]:
    if labels.ndim == 3:
        pytest.skip("an array of labels has no color axis")
    stack = np.ma.stack if isinstance(labels, np.ma.MaskedArray) else np.stack
    with open_masks(stack([labels] * LENGTH), (H, W), LENGTH) as masks:
        return {one.id for one in masks.scan()}


def imported_numpy_file(labels: NDArray[Any], folder: Path) -> set[int]:
    if labels.ndim == 3:
        pytest.skip("an array of labels has no color axis")
    np.save(folder / "labels.npy", np.stack([unmasked(labels, labels=True)] * LENGTH))
    with open_masks(folder / "labels.npy", (H, W), LENGTH) as masks:
        return {one.id for one in masks.scan()}


def data_set_of_images(labels: NDArray[Any], folder: Path) -> set[int]:
    frames_in(folder / "images", LENGTH)
    (folder / "labels").mkdir()
    for number in range(LENGTH):
        label_file(folder / "labels" / f"{number}.tif", labels)
    return visible(folder)


def data_set_of_stacks(labels: NDArray[Any], folder: Path) -> set[int]:
    if labels.ndim == 3:
        pytest.skip("a stack of labels has no color axis")
    tifffile.imwrite(folder / "a.tif", np.full((LENGTH, H, W), 90, np.uint8), photometric="minisblack")
    tifffile.imwrite(
        folder / "a_labels.tif", np.stack([unmasked(labels, labels=True)] * LENGTH), photometric="minisblack"
    )
    return visible(folder)


def cell_tracking_challenge(labels: NDArray[Any], folder: Path) -> set[int]:
    frames_in(folder / "01", LENGTH)
    (folder / "01_ST" / "SEG").mkdir(parents=True)
    for number in range(LENGTH):
        label_file(folder / "01_ST" / "SEG" / f"man_seg{number:03d}.tif", labels)
    return visible(folder)


def evaluated(labels: NDArray[Any], folder: Path) -> set[int]:
    frames = frames_in(folder / "frames", LENGTH)
    (folder / "masks").mkdir()
    for number in range(LENGTH):
        label_file(folder / "masks" / f"{number}.tif", labels)
    record = pair_video(frames, folder / "masks")
    try:
        return set(record.annotate(0).ids)
    finally:
        record.close()


ENTRIES: list[Callable[[NDArray[Any], Path], set[int]]] = [
    prompting_masks,
    imported_file,
    imported_array,
    imported_numpy_file,
    data_set_of_images,
    data_set_of_stacks,
    cell_tracking_challenge,
    evaluated,
]


@pytest.mark.filterwarnings("ignore::sam2_engine.InputWarning")
@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("kind", VALUES)
def test_values_mean_the_same_everywhere(
    kind: str, entry: Callable[[NDArray[Any], Path], set[int]], tmp_path: Path
) -> None:
    labels, expected = VALUES[kind]
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected):
            entry(labels, tmp_path)
    else:
        assert entry(labels, tmp_path) == expected


@pytest.mark.parametrize("entry", ENTRIES)
def test_nothing_is_said_of_background_that_is_no_number(
    entry: Callable[[NDArray[Any], Path], set[int]], tmp_path: Path
) -> None:
    """Was: "pixels are NaN or infinite; they are read as the darkest level", of ids."""
    labels, expected = VALUES["NaN for background"]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", InputWarning)
        assert entry(labels, tmp_path) == expected
    assert [str(one.message) for one in said if "NaN" in str(one.message)] == []


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".png"])
@pytest.mark.parametrize("save", [as_jpeg, as_webp])
def test_formats_that_change_pixels_hold_one_object_at_most(save: Any, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"labels{suffix}"  # the content counts, not the suffix
    path.write_bytes(save(squares(100, 200)))
    with pytest.raises(InputError, match="changes ids; save them as PNG or TIFF"):
        read_label_image(path, (H, W))
    path.write_bytes(save(squares(255)))
    with pytest.warns(InputWarning, match=r"gray edges; they are read as one object, cut at half its level"):
        labels = read_label_image(path, (H, W))
    assert np.unique(labels).tolist() == [0, 1]
    assert np.count_nonzero(labels != (squares(255) > 0)) < 30


@pytest.mark.parametrize("save", [as_jpeg, as_webp])
@pytest.mark.parametrize("levels", [(60, 250), (1, 255), (30, 60, 250)])
def test_a_faint_object_beside_a_bright_one_is_not_lost(save: Any, levels: Any, tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes(save(np.kron(squares(*levels), np.ones((4, 4), np.uint8))))
    with pytest.raises(InputError, match="changes ids"):
        read_label_image(path, (4 * H, 4 * W))


def test_what_lies_only_along_a_border_is_said() -> None:
    with pytest.warns(InputWarning, match="1 lies only along the border of higher ids"):
        assert np.unique(open_labels(rimmed(2, 1))[0].ids).tolist() == [0, 1, 2]


def test_a_channel_axis_of_one_is_none() -> None:
    labels = open_labels(squares(1, 7)[..., np.newaxis])
    assert (len(labels), labels.shape) == (1, (H, W))
    assert np.unique(labels[0].ids).tolist() == [0, 1, 7]


def test_void_is_said_once_and_holds_for_frames_that_have_nothing_else(tmp_path: Path) -> None:
    stack = np.stack([with_border(255, 1, 2), with_border(255), squares()])
    with open_masks(stack, (H, W), LENGTH) as masks, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = {frame: set(by_id) for frame, by_id in masks}
    assert found == {0: {1, 2}, 1: set(), 2: set()}
    assert [str(one.message) for one in said if "255 is read as void" in str(one.message)] != []
    assert len(said) == 1


def test_void_pixels_are_not_scored(tmp_path: Path) -> None:
    from sam2_engine.evaluation.labeled_sequence import read_sequence
    from sam2_engine.evaluation.scores import score_masks
    from sam2_engine.masks import PackedMask

    frames = frames_in(tmp_path / "frames", LENGTH)
    (tmp_path / "masks").mkdir()
    for number in range(LENGTH):
        label_file(tmp_path / "masks" / f"{number}.tif", with_border(255, 1))
    with pytest.warns(InputWarning, match="void"):
        sequence = read_sequence(frames, tmp_path / "masks")
    wide = PackedMask.from_array(with_border(1, 1) > 0)  # covers the void border as well
    scores = score_masks(sequence, {1: {1: wide}}, {1: [1]})
    assert (scores[0].j, scores[0].f) == (1.0, 1.0)
    sequence.frames.close()


def described(expected: set[int] | str) -> str:
    if isinstance(expected, str):
        return "refused"
    return f"{'object' if len(expected) == 1 else 'objects'} {', '.join(map(str, sorted(expected)))}"


def test_the_page_has_this_table() -> None:
    page = (Path(__file__).parents[3] / "docs" / "labels.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)[1:]
    assert rows == [(kind, described(expected)) for kind, (_, expected) in VALUES.items()]
