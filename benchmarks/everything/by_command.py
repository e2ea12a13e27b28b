"""Sessions of short scenes as ``sam2 track --everything`` makes them, for pictures and to be judged."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tifffile
from stacks import Stack, synthetic

from sam2_plugins.cli.app import main as sam2
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import read_session

SCENES = {
    "nuclei": ("dividing_nuclei", 102, 8),
    "phase_contrast": ("phase_contrast", 101, 6),
    "membranes": ("membranes", 101, 6),
    "bacteria": ("bacteria", 101, 6),
    "sprites": ("things", 101, 6),
}
"""By name: style, seed and frames. Nothing was chosen on these seeds."""


@contextmanager
def tracked(name: str, folder: Path) -> Iterator[tuple[Stack, AnnotationSession]]:
    """Open a scene and its session in a folder; what is missing there is written, and tracked."""
    folder.mkdir(parents=True, exist_ok=True)
    style, seed, num_frames = SCENES[name]
    stack = synthetic(style, seed, num_frames)
    path, session = folder / f"{name}.tif", folder / f"{name}.sam2"
    if not path.is_file():
        tifffile.imwrite(path, stack.frames, metadata={"axes": stack.axes})
    if not session.is_dir() and sam2(["track", str(path), "--everything", "--session", str(session)]):
        raise SystemExit(f"{path} was not tracked")
    work = read_session(session, ModelStore("cpu"))
    with work.frames:
        yield stack, work
