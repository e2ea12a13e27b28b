"""A loader of sessions off the window's thread, which can be cancelled at any moment."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from napari.layers import Image

from napari_plugin.layers import ImageStack, axes_of_file, file_of, take_from_file
from napari_plugin.runtime.workers import TaskRunner
from sam2_engine import FrameSource
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.storage import OpenedSession, last_opening, open_or_create_session

__all__ = ["SessionLoader", "StackOptions"]


class StackOptions(NamedTuple):
    """What a user may say of how an image is to be read; the parameters of ``ImageStack.of``."""

    axes: str | None = None
    channel: int | None = None
    along: str | None = None

    @classmethod
    def of(cls, opening: Mapping[str, Any], rgb: bool) -> "StackOptions":
        """Return what is behind options of ``open_frames``, as ``ImageStack.opening`` has them."""
        axes, fixed = opening.get("axes"), opening.get("fixed") or {}
        if axes is None:
            return cls()
        along = next((letter for letter in axes if letter not in "YXCS" and letter not in fixed), None)
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

        def open_as(opening: Mapping[str, Any]) -> FrameSource:
            fixed = opening.get("fixed")
            return ImageStack.of(layer, *StackOptions.of(opening, layer.rgb), fixed=fixed).open()

        def find() -> StackOptions:
            opening = last_opening(open_as, layer.name, file, home)
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
    ) -> None:
        """Open or begin the session of an image, and call ``then`` with it in the window's thread.

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
        """
        frames, shown = stack.open(), stack.physical_scale

        def load() -> OpenedSession:
            take_from_file(frames, stack)
            in_file = PhysicalScale.of(frames)
            by_user = not shown.filled(in_file).is_like(in_file)  # else the layer's reader has set them
            opened = open_or_create_session(
                frames,
                store,
                model,
                source=stack.file,
                opening=stack.opening,
                name=stack.layer.name,
                scale=shown if by_user else None,
                home=home,
            )
            with self._lock:
                self._opened = opened
                if self._cancelled:
                    self._close_folder()
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
            self._close_folder()

    def _close_folder(self) -> None:
        if self._opened is not None and self._opened.folder is not None:
            self._opened.folder.close()
        self._opened = None
