"""Opening the session of an image off the window's thread, so that it can be given up at any moment."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from napari.layers import Image

from napari_plugin.layers import ImageStack, file_of
from napari_plugin.runtime.workers import TaskRunner
from sam2_engine import FrameSource
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.storage import OpenedSession, last_opening, open_or_create_session

__all__ = ["Opening", "Reading"]


class Reading(NamedTuple):
    """What a user may say of how an image is to be read; the parameters of ``ImageStack.of``."""

    axes: str | None = None
    channel: int | None = None
    follow: str | None = None

    @classmethod
    def of(cls, opening: Mapping[str, Any], rgb: bool) -> "Reading":
        """Return the reading behind options of ``open_frames``, as ``ImageStack.opening`` has them."""
        axes, fixed = opening.get("axes"), opening.get("fixed") or {}
        if axes is None:
            return cls()
        follow = next((letter for letter in axes if letter not in "YXCS" and letter not in fixed), None)
        return cls(axes.removesuffix("S") if rgb else axes, opening.get("channel"), follow)


class Opening:
    """A session that is being opened.

    Parameters
    ----------
    task_runner
        Of the session to be.
    """

    def __init__(self, task_runner: TaskRunner) -> None:
        self.task_runner = task_runner
        self._lock = threading.Lock()
        self._given_up = False
        self._kept: OpenedSession | None = None

    def find_reading(
        self,
        layer: Image,
        home: Path | None,
        then: Callable[[Reading], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Find out how an image was read when it was last worked on.

        Parameters
        ----------
        layer
            The image.
        home
            As for ``open_or_create_session``.
        then, failed
            Called in the window's thread, unless it was given up; ``then`` with the reading, an empty one if
            the image is new.
        """
        file = file_of(layer)

        def open_as(opening: Mapping[str, Any]) -> FrameSource:
            fixed = opening.get("fixed")
            return ImageStack.of(layer, *Reading.of(opening, layer.rgb), fixed=fixed).open()

        def work() -> Reading:
            opening = last_opening(open_as, layer.name, file, home)
            return Reading() if opening is None else Reading.of(opening, layer.rgb)

        self.task_runner.run(work, then=then, failed=failed)

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
            Called in the window's thread, unless it was given up.
        """
        frames, scale = stack.open(), stack.physical_scale

        def work() -> OpenedSession:
            kept = open_or_create_session(
                frames,
                store,
                model,
                source=stack.file,
                opening=stack.opening,
                name=stack.layer.name,
                scale=scale,
                home=home,
            )
            with self._lock:
                self._kept = kept
                if self._given_up:
                    self._let_go()
            return kept

        def opened(kept: OpenedSession) -> None:
            with self._lock:
                self._kept = None
            then(kept)

        self.task_runner.run(work, then=opened, failed=failed)

    def give_up(self) -> None:
        """Forget about it; what was opened meanwhile is closed again."""
        self.task_runner.close()
        with self._lock:
            self._given_up = True
            self._let_go()

    def _let_go(self) -> None:
        if self._kept is not None and self._kept.folder is not None:
            self._kept.folder.close()
        self._kept = None
