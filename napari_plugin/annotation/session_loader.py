"""A loader of sessions off the window's thread, which can be cancelled at any moment."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from napari.layers import Image

from napari_plugin.layers import ImageStack, axes_of_file, file_of, session_of, take_from_file
from napari_plugin.runtime.workers import TaskRunner
from sam2_engine import FrameSource
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.storage import OpenedSession, last_opening, open_or_create_session, reopen_session

__all__ = ["SessionLoader", "StackOptions"]


class StackOptions(NamedTuple):
    """What a user may say of how an image is to be read; the first are parameters of ``ImageStack.of``.

    ``chosen`` tells that a person has just said so: it is remembered, even if nothing is done then.
    """

    axes: str | None = None
    channel: int | None = None
    along: str | None = None
    chosen: bool = False

    def stack(self, layer: Image, fixed: Mapping[str, int] | None = None) -> ImageStack:
        """Return a layer read so."""
        return ImageStack.of(layer, self.axes, self.channel, self.along, fixed)

    @classmethod
    def of(cls, opening: Mapping[str, Any], rgb: bool) -> "StackOptions":
        """Return what is behind options of ``open_frames``, as ``ImageStack.opening`` has them."""
        axes, fixed = opening.get("axes"), opening.get("fixed") or {}
        if axes is None:
            return cls()
        along = opening.get("along") or next(
            (letter for letter in axes if letter not in "YXCS" and letter not in fixed), None
        )
        return cls(axes.removesuffix("S") if rgb else axes, opening.get("channel"), along)


class SessionLoader:
    """Opens one session.

    Parameters
    ----------
    task_runner
        Of the session to be.
    """

    def __init__(self, task_runner: TaskRunner) -> None:
        self.task_runner = task_runner
        self._lock = threading.Lock()
        self._cancelled = False
        self._opened: OpenedSession | None = None

    def find_options(
        self,
        layer: Image,
        home: Path | None,
        then: Callable[[StackOptions], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Find out how an image was read when it was last worked on, else how its file names its axes.

        Parameters
        ----------
        layer
            The image.
        home
            As for ``open_or_create_session``.
        then, failed
            Called in the window's thread, unless it was cancelled; ``then`` with the options, empty ones if
            the image is new and its file says nothing.
        """
        file = file_of(layer)
        if session_of(layer) is not None:  # it was read as it was worked on
            self.task_runner.run(StackOptions, then=then, failed=failed)
            return

        def open_as(opening: Mapping[str, Any]) -> FrameSource:
            return StackOptions.of(opening, layer.rgb).stack(layer, opening.get("fixed")).open()

        def find() -> StackOptions:
            opening = last_opening(open_as, layer.name, file, home, across=True)
            if opening is None:
                return StackOptions(axes_of_file(layer))
            return StackOptions.of(opening, layer.rgb)

        self.task_runner.run(find, then=then, failed=failed)

    def start(
        self,
        stack: ImageStack,
        store: ModelStore,
        model: str,
        home: Path | None,
        then: Callable[[OpenedSession], None],
        failed: Callable[[BaseException], None],
        begin_later: bool = True,
    ) -> None:
        """Open or begin the session of an image, and call ``then`` with it in the window's thread.

        An image that was read from a session's folder goes on with that one.

        Parameters
        ----------
        stack
            The image.
        store, model
            Of the application.
        home
            As for ``open_or_create_session``.
        then, failed
            Called in the window's thread, unless it was cancelled.
        begin_later
            As for ``open_or_create_session``.
        """
        frames, shown, folder = stack.open(), stack.physical_scale, session_of(stack.layer)

        def load() -> OpenedSession:
            take_from_file(frames, stack)
            in_file = PhysicalScale.of(frames)
            by_user = not shown.filled(in_file).is_like(in_file)  # else the layer's reader has set them
            scale = shown if by_user else None
            if folder is not None:
                opened = reopen_session(folder, frames, store, scale=scale, begin_later=True)
            else:
                opened = open_or_create_session(
                    frames,
                    store,
                    model,
                    source=stack.file,
                    opening=stack.opening,
                    name=stack.layer.name,
                    scale=scale,
                    home=home,
                    begin_later=begin_later,
                )
            with self._lock:
                self._opened = opened
                if self._cancelled:
                    self._close()
            return opened

        def loaded(opened: OpenedSession) -> None:
            with self._lock:
                self._opened = None
            then(opened)

        self.task_runner.run(load, then=loaded, failed=failed)

    def cancel(self) -> None:
        """Open nothing after all; what was opened meanwhile is closed again."""
        self.task_runner.close()
        with self._lock:
            self._cancelled = True
            self._close()

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()
        self._opened = None
