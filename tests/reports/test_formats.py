"""Every entry point reads every kind of file as docs/formats.md says: no reader answers differently."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import format_cases
import numpy as np
import pytest
from format_cases import ALPHA, CASES, Case
from PIL import Image

import labelstudio_backend.media.decoding
from sam2_engine import open_frames
from sam2_engine.datasets.frames_and_masks import pair_video
from sam2_engine.errors import InputError
from sam2_engine.frames.image_files import read_image
from sam2_engine.image.predictor import as_image
from sam2_plugins.cli.app import main
from sam2_plugins.importing.formats import label_masks

Pixels = Any


def agrees(case: Case, pixels: Pixels, expected: Pixels) -> bool:
    if (pixels.shape, pixels.dtype) != (expected.shape, expected.dtype):
        return False
    return float(np.abs(pixels.astype(float) - expected).mean()) <= case.tolerance


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    written = {}
    for number, case in enumerate(CASES):
        folder = tmp_path_factory.mktemp(f"case{number}")
        case.write(folder / case.name)
        written[str(case)] = folder / case.name
    return written


def first_frame(source: Any, **options: Any) -> Pixels:
    with open_frames(source, **options) as frames:
        return frames[0].copy()


WHERE_SESSIONS_BEGIN = {
    "segment": "sam2_plugins.cli.commands.segment",
    "track": "sam2_plugins.batch.track_job",
}


def in_command(command: str) -> Callable[[Path, pytest.MonkeyPatch], Pixels]:
    """Return the pixels that a command of ``sam2`` would segment."""

    def run(path: Path, monkeypatch: pytest.MonkeyPatch) -> Pixels:
        taken: list[Pixels] = []

        def take(frames: Any, *_: Any, **__: Any) -> None:
            taken.append(frames[0].copy())
            raise InputError("This is far enough.")

        monkeypatch.setattr(f"{WHERE_SESSIONS_BEGIN[command]}.AnnotationSession", take)
        prompts = path.parent.parent / "prompts.json"
        prompts.write_text('[{"frame": 0, "object_id": 1, "points": [[9, 9]]}]')
        more = ["--point", "9,9"] if command == "segment" else ["--prompts", str(prompts)]
        main([command, str(path), *more, "-o", str(path.parent.parent / "out.tif"), "--model", "nano@64"])
        return taken[0]

    return run


def data_set(path: Path, _: pytest.MonkeyPatch) -> Pixels:
    with open_frames(path) as frames:
        shape = (len(frames), *frames.shape)
    masks = path.parent.parent / f"masks of {path.parent.name}.npy"
    np.save(masks, np.ones(shape, np.uint8))
    with pair_video(path, masks).open() as source:
        return source[0].copy()


READERS: dict[str, Callable[[Path, pytest.MonkeyPatch], Pixels]] = {
    "path": lambda path, _: first_frame(path),
    "path of one image": lambda path, _: first_frame(path, single=True),
    "data set": data_set,
    "segment": in_command("segment"),
    "track": in_command("track"),
}
ONE_IMAGE_A_FILE: dict[str, Callable[[Path, pytest.MonkeyPatch], Pixels]] = {
    "list of paths": lambda path, _: first_frame([path, str(path)]),
    "folder": lambda path, _: first_frame(path.parent),
    "read_image": lambda path, _: read_image(path),
}


@pytest.mark.parametrize("reader", [*READERS, *ONE_IMAGE_A_FILE])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_files(case: Case, reader: str, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    if case.frames > 1 and (reader in ONE_IMAGE_A_FILE or reader == "segment"):
        return  # refused in a sentence: see the tests of each
    pixels = (READERS | ONE_IMAGE_A_FILE)[reader](files[str(case)], monkeypatch)
    assert agrees(case, pixels, case.pixels)
    with open_frames(files[str(case)]) as frames:
        assert len(frames) == case.frames


@pytest.mark.parametrize("case", [case for case in CASES if case.in_memory], ids=str)
def test_images_of_pillow(case: Case, files: dict[str, Path]) -> None:
    with Image.open(files[str(case)]) as image:
        for pixels in (first_frame(image), first_frame([image, image]), as_image(image)):
            assert agrees(case, pixels, case.pixels)
        assert agrees(case, first_frame(iter([image])), case.pixels)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_arrays_are_what_they_are(case: Case) -> None:
    np.testing.assert_array_equal(first_frame(case.pixels), case.pixels)
    np.testing.assert_array_equal(first_frame([case.pixels]), case.pixels)
    np.testing.assert_array_equal(as_image(case.pixels), case.pixels)


@pytest.mark.parametrize("case", [case for case in CASES if case.labels is not None], ids=str)
def test_labels_are_indices(case: Case, files: dict[str, Path]) -> None:
    path = files[str(case)]
    assert case.labels is not None
    for pixels in (
        first_frame(path, labels=True),
        first_frame([path], labels=True),
        first_frame(path.parent, labels=True),
        read_image(path, labels=True),
    ):
        np.testing.assert_array_equal(pixels, case.labels)
    masks = label_masks(path)
    objects = masks.read_frame(0)
    assert objects.ids == set(np.unique(case.labels).tolist()) - {0}
    assert all((objects.mask(number) == (case.labels == number)).all() for number in objects.ids)
    masks.close()


DECODE_ALL = """
import sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
import decoder_script
for path in sys.argv[2:]:
    np.save(Path(path).with_name("decoded.npy"), decoder_script.decode_image(Path(path), 1 << 20))
"""


def test_label_studio(files: dict[str, Path], tmp_path: Path) -> None:
    scripts = Path(labelstudio_backend.media.decoding.__file__).parent
    copies = []
    for number, case in enumerate(CASES):
        (tmp_path / str(number)).mkdir()
        copies.append(tmp_path / str(number) / case.name)
        copies[-1].write_bytes(files[str(case)].read_bytes())
    done = subprocess.run([sys.executable, "-c", DECODE_ALL, str(scripts), *map(str, copies)], check=False)
    assert not done.returncode
    for case, path in zip(CASES, copies):
        expected = case.pixels
        if case.on_white:
            hidden = ALPHA == 0 if case.labels is None else case.labels == 3
            expected = np.where(hidden.reshape(hidden.shape + (1,) * (expected.ndim - 2)), 255, expected)
            expected = expected.astype(case.pixels.dtype)
        assert agrees(case, np.load(path.with_name("decoded.npy")), expected), str(case)


def test_the_table_is_that_of_the_cases() -> None:
    page = format_cases.PAGE.read_text(encoding="utf-8")
    assert page == format_cases.written_anew(page), "run: python tests/reports/format_cases.py"
