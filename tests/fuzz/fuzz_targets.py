"""What is fuzzed: one target per kind of input that comes from elsewhere.

A target is given some files; it does with them what people do, and may answer or raise ``InputError``.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).parents[1]
sys.path += [str(_TESTS.parent), str(_TESTS), str(_TESTS / "plugins/storage"), str(_TESTS / "labelstudio")]

from fuzz_inputs import FRAME_SHAPE, INPUTS  # noqa: E402
from mutation import Files, pack  # noqa: E402

from sam2_engine.frames import open_frames  # noqa: E402

__all__ = ["TARGETS", "Target", "seeds_of"]

SEEDS = Path(__file__).parent / "seeds"


@dataclass(frozen=True)
class Target:
    """A kind of input.

    Attributes
    ----------
    name
        Also of its folder of seeds.
    use
        Takes a path, the folder with the files or the only file, and does what people do with it.
    prepare
        Imports and makes what all executions share.
    seconds
        A reader that computes so long on files of kilobytes is a finding.
    """

    name: str
    use: Callable[[Path], object]
    prepare: Callable[[], object] = lambda: None
    seconds: float = 8

    @property
    def inputs(self) -> dict[str, Files]:
        """Valid inputs, by name."""
        return INPUTS[self.name]()

    def run(self, files: Files, place: Path) -> None:
        """Write files below a new folder, and use them."""
        place.mkdir(parents=True)
        written = []
        for name, content in files.items():
            path = place / name
            if place in path.resolve().parents and not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                written.append(path)
        self.use(written[0] if len(written) == 1 else place)


def seeds_of(target: Target) -> dict[str, bytes]:
    """Return all inputs to begin with: valid ones, and what was found before."""
    valid = {name: pack(files) for name, files in target.inputs.items()}
    found = {path.stem: path.read_bytes() for path in sorted((SEEDS / target.name).glob("*.zip"))}
    return {**valid, **found}


def read_frames(path: Path) -> None:
    """Open, read the first, the middle and the last frame, and close."""
    with open_frames(path) as frames:
        assert frames.description
        for frame in sorted({0, len(frames) // 2, len(frames) - 1}):
            pixels = frames[frame]
            assert pixels.shape[:2] == frames.shape
            assert pixels.dtype == frames.dtype


def _read_pair(path: Path) -> None:
    """Read a volume of which the header may be a file of its own."""
    read_frames(path / "a.img" if path.is_dir() else path)


def _read_labels(path: Path) -> None:
    from sam2_engine.labels import open_labels

    with open_labels(path) as labels:
        for number in sorted({0, len(labels) // 2, len(labels) - 1}):
            assert labels[number].ids.shape == labels.shape


def _import(path: Path) -> None:
    from sam2_plugins.importing.masks import open_masks
    from sam2_plugins.importing.prompts import read_prompts

    if path.name == "prompts.json":
        assert read_prompts(path, FRAME_SHAPE, 4)
        return
    with open_masks(path, FRAME_SHAPE, 4) as masks:
        masks.scan()
        for _, by_id in masks:
            assert all(mask.shape == FRAME_SHAPE for mask in by_id.values())


@cache
def _store() -> Any:
    from sam2_plugins.runtime.model_store import ModelStore

    return ModelStore("cpu")


def _open_session(path: Path) -> None:
    """Read a session, go on in it, and read it again."""
    from make_recorded_sessions import SESSIONS

    from sam2_plugins.storage import open_session, read_session

    try:
        length = json.loads((path / "session.json").read_text())["frames"]["length"]
    except (OSError, ValueError, LookupError, TypeError):
        length = 1
    frames = SESSIONS["single_image" if length == 1 else "time_lapse"][0]
    session = read_session(path, _store(), frames)
    for object_id in session.objects:
        for frame in session.frames_of(object_id):
            assert session.mask(object_id, frame) is not None
    session, folder = open_session(path, _store(), frames)
    try:
        session.add_object("new")
    finally:
        folder.close()
    assert "new" in {one.name for one in read_session(path, _store(), frames).objects.values()}


def _load_checkpoint(path: Path) -> None:
    from sam2_engine import load_model

    load_model(path, device="cpu")


@cache
def _application() -> Any:
    """A backend that tracks only for a moment, and looks for little on an image."""
    import tempfile
    from dataclasses import replace

    from labelstudio_harness import MediaServer
    from small_model import write_small_checkpoint

    from labelstudio_backend.http.app import Application
    from labelstudio_backend.settings import Settings
    from labelstudio_backend.tasks.predictor import Predictor

    model = Path(tempfile.mkdtemp()) / "small.safetensors"
    write_small_checkpoint(model)
    server = MediaServer()
    settings = Settings(
        str(model), "cpu", label_studio_url=server.url, predict_seconds=0.05, basic_auth=("u", "p")
    )
    predictor = Predictor(settings)
    parameters = predictor.parameters.get(None)
    predictor.parameters.get = lambda _: replace(parameters, points_per_side=1)  # type: ignore[method-assign]
    return Application(predictor)


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def _answer(path: Path) -> None:
    """Send a request, if it is one that a server would pass on, and expect no failure."""
    from labelstudio_harness import RECORDED, call

    if not path.is_dir():
        return
    try:
        head = json.loads((path / "head.json").read_bytes())
        method, address, headers = head["method"], head["path"], head["headers"]
        named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        named = {name: value for name, value in named.items() if not name.startswith("HTTP_CONTENT_")}
        method.encode("ascii"), address.encode("latin-1")
        sent = [method, *named.values()]
        if not all(isinstance(one, str) and one.isprintable() and one.isascii() for one in sent):
            return
        if method not in _METHODS or not address.startswith("/"):
            return
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return
    raw = (path / "body.json").read_bytes() if (path / "body.json").exists() else b""
    raw = raw.replace(RECORDED.encode(), _application().predictor.settings.label_studio_url.encode())
    reply = call(_application(), method, address, raw=raw, headers=named)
    assert reply.status < 500, reply.errors


def _find_data(path: Path) -> None:
    from sam2_engine.datasets.finding import find_dataset

    with find_dataset(path if path.is_dir() else path.parent) as data:
        assert data.fingerprint
        for video in data.videos:
            assert video.window is None or video.window.low
            for frame in video.visible:
                annotation = video.annotation(frame)
                assert {*annotation.ids} >= {*video.visible[frame]}


TARGETS = {
    target.name: target
    for target in [
        Target("tiff", read_frames),
        Target("image", read_frames),
        Target("volume", _read_pair),
        Target("dicom", read_frames),
        Target("zarr", read_frames, seconds=30),
        Target("numpy", read_frames),
        Target("video", read_frames),
        Target("labels", _read_labels),
        Target("imports", _import),
        Target("session", _open_session, _store),
        Target("checkpoint", _load_checkpoint),
        Target("request", _answer, _application),
        Target("data_set", _find_data),
    ]
}
