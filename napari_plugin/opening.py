"""Opening the session of an image off the window's thread, so that it can be given up at any moment."""

import threading
from collections.abc import Callable
from pathlib import Path

from napari_plugin.layers import ImageStack
from napari_plugin.workers import Client
from sam2_plugins.model_store import ModelStore
from sam2_plugins.storage import KeptSession, keep_session

__all__ = ["Opening"]


class Opening:
    """A session that is being opened.

    Parameters
    ----------
    client
        Of the session to be.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._lock = threading.Lock()
        self._given_up = False
        self._kept: KeptSession | None = None

    def start(
        self,
        stack: ImageStack,
        store: ModelStore,
        model: str,
        home: Path | None,
        then: Callable[[KeptSession], None],
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
            As for ``keep_session``.
        then, failed
            Called in the window's thread, unless it was given up.
        """
        frames, scale = stack.open(), stack.physical_scale

        def work() -> KeptSession:
            kept = keep_session(
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

        def opened(kept: KeptSession) -> None:
            with self._lock:
                self._kept = None
            then(kept)

        self.client.run(work, then=opened, failed=failed)

    def give_up(self) -> None:
        """Forget about it; what was opened meanwhile is closed again."""
        self.client.close()
        with self._lock:
            self._given_up = True
            self._let_go()

    def _let_go(self) -> None:
        if self._kept is not None and self._kept.folder is not None:
            self._kept.folder.close()
        self._kept = None
