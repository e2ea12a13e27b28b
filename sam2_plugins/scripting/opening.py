"""Opening of a stack or a session by one call, as a script or a notebook does."""

import warnings
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from sam2_engine.arguments import as_path
from sam2_engine.errors import InputError, InputWarning
from sam2_engine.frames import FrameSource, open_frames
from sam2_engine.modeling.sam2 import Sam2
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.runtime.model_name import ModelName
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.runtime.run_estimate import RunMeasurements
from sam2_plugins.scripting.session import Session
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.memory_options import MemoryOptions
from sam2_plugins.storage import (
    SessionFolder,
    is_session_folder,
    last_opening,
    open_or_create_session,
    open_session,
    reading_of,
)

__all__ = ["open"]

DEFAULT_MODEL = "nano"


@dataclass(frozen=True)
class _Begun:
    """What a session begins with."""

    contrast: tuple[float, float] | None
    memory: MemoryOptions

    def session(self, frames: FrameSource, store: ModelStore, model: str) -> AnnotationSession:
        return AnnotationSession(frames, store, model, contrast=self.contrast, **self.memory.given)


def open(
    frames: Any,
    model: str | Path | Sam2 | None = None,
    *,
    session: str | Path | None = None,
    keep: bool | None = None,
    device: str = "auto",
    scale: PhysicalScale | None = None,
    contrast: tuple[float, float] | None = None,
    memory_policy: str | None = None,
    overlapping: bool | Iterable[tuple[int, int]] | None = None,
    **reading: Any,
) -> Session:
    """Open a stack to work on, and go on with its session if there is one.

    The session of ``cells.tif`` is the folder ``cells.sam2`` beside it, the one that napari and the command
    line open, too. Everything is saved there as it happens.

    Parameters
    ----------
    frames
        A path, an array or whatever :func:`sam2_engine.open_frames` takes; or the folder of a session.
    model
        Name, file, or loaded model; None for the one that the session has, or nano.
    session
        The session's folder, instead of the one beside the stack.
    keep
        Whether the session is saved; None: that of a file or with a ``session`` is, that of an array is not.
    device
        ``cpu``, ``cuda``, ``mps``, the address of a worker, or ``auto``; a loaded model stays where it is.
    scale
        Sizes of pixels, planes and frames, to measure and export in; by default the session's, else those of
        the file.
    contrast
        Intensities ``(low, high)`` that the model sees, of a session that begins; None: the stack decides.
    memory_policy, overlapping
        What is remembered of tracked frames (``recent``, ``motion``, ``auto``, ...), and whether objects may
        share pixels, of a session that begins, as for ``AnnotationSession``; None: as SAM 2.
    reading
        How the stack is read, as for ``open_frames``: ``axes``, ``channel``, ``fixed``, ``level``,
        ``series``.

    Returns
    -------
    Session
        To be closed, best by ``with``.

    Raises
    ------
    InputError
        If the frames, the model or the session cannot be used, or it is open elsewhere.

    Warns
    -----
    InputWarning
        If the session could not be saved, or one that seemed to be the stack's was left alone.

    Examples
    --------
    >>> import numpy as np, tempfile, tifffile
    >>> import sam2_plugins
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = f"{folder.name}/cells.tif"
    >>> tifffile.imwrite(path, np.zeros((5, 64, 80), np.uint8), metadata={"axes": "TYX"})
    >>> with sam2_plugins.open(path, device="cpu") as work:
    ...     cell = work.add_object("cell")
    >>> with sam2_plugins.open(path, device="cpu") as work:
    ...     print(work.path.name, work.objects[cell].name)
    cells.sam2 cell
    >>> folder.cleanup()
    """
    if session is not None:
        session = as_path(session, "The session's folder")
    if keep not in (None, True, False):
        raise InputError(f"keep is True, False or None, not {keep!r}.")
    store, name = _model(model, device)
    if name is not None or device != "auto":
        store.load(name or DEFAULT_MODEL)  # whatever is wrong with it is said now
    kept = keep if keep is not None else session is not None or isinstance(frames, str | PathLike)
    if kept and isinstance(model, Sam2) and model.loaded_as is None:
        raise InputError(
            "A session that is saved needs to find its model again, and this one is in memory alone, or its "
            "file does not say which it is: write it with save_model() and give that path, or keep=False."
        )
    if overlapping is not None and not isinstance(overlapping, bool):
        overlapping = list(overlapping)
    begun = _Begun(contrast, MemoryOptions.of(memory_policy or "recent", overlapping))
    opened = _open(frames, store, name or DEFAULT_MODEL, session, kept, begun, reading)
    try:
        stack = opened.annotation
        stack.memory.check_same(
            memory_policy, overlapping, stack.frames, f"The session of {stack.frames.name}"
        )
        if name is not None and opened.annotation.model_name != name:
            opened.annotation.use_model(name)
        if scale is not None:
            opened.scale = scale
    except BaseException:
        opened.close()
        raise
    return opened


def _model(model: str | Path | Sam2 | None, device: str) -> tuple[ModelStore, str | None]:
    """Return a store, and the model's name in it."""
    if isinstance(model, Sam2):
        store = ModelStore(str(model.device), str(model.compute_dtype).removeprefix("torch."))
        return store, store.add(model)
    store = ModelStore(device, measurements=RunMeasurements.of_this_machine())
    return store, None if model is None else str(ModelName.parse(model).absolute())


def _open(
    frames: Any,
    store: ModelStore,
    model: str,
    folder: str | Path | None,
    kept: bool,
    begun: _Begun,
    reading: Mapping[str, Any],
) -> Session:
    """Open the session that was asked for, with the model that it has, or a new one."""
    path = Path(frames) if isinstance(frames, str | PathLike) else None
    if path is not None and not path.name:
        raise InputError(f"{frames!r} names no file; give the path of a stack or of a session.")
    if path is not None and is_session_folder(path):
        if reading or folder is not None:
            raise InputError(f"{path} is a session, which knows its frames: give it alone.")
        return Session(*open_session(path, store))
    if kept and path is not None and folder is None and not reading and path.exists():
        reading = _reading_before(path)
    source = open_frames(frames, **reading)
    own = source is not frames
    try:
        if not kept:
            return Session(begun.session(source, store, model), owns_frames=own)
        return _kept(source, store, model, folder, begun, own)
    except BaseException:
        if own:
            source.close()
        raise


def _reading_before(path: Path) -> Mapping[str, Any]:
    """Return how a stack is read in the session of it that is there: its axes may have been corrected.

    Not at which place of further axes: there is one session for each.
    """
    with ExitStack() as opened:
        before = last_opening(
            lambda options: opened.enter_context(open_frames(path, **options)), path.stem, path
        )
    return {name: value for name, value in (before or {}).items() if name != "fixed"}


def _kept(
    frames: FrameSource,
    store: ModelStore,
    model: str,
    folder: str | Path | None,
    begun: _Begun,
    own: bool,
) -> Session:
    """Go on with the session of frames, or begin one that is saved."""
    source, opening = reading_of(frames)
    if folder is not None and is_session_folder(folder):
        return Session(*open_session(folder, store, frames), owns_frames=own)
    if folder is not None:
        annotation = begun.session(frames, store, model)
        saved = SessionFolder.create(folder, annotation, source=source, opening=opening)
        return Session(annotation, saved, owns_frames=own)
    found = open_or_create_session(
        frames, store, model, source=source, opening=opening, contrast=begun.contrast, memory=begun.memory
    )
    if found.note:
        warnings.warn(found.note, InputWarning, stacklevel=4)
    if found.folder is None:
        warnings.warn(f"The session is in memory alone: {found.save_error}", InputWarning, stacklevel=4)
    return Session(found.session, found.folder, owns_frames=own)
