"""Worker process of gunicorn, which starts another one when it dies, around the listener for requests."""

import os

from gunicorn.workers.base import Worker

from labelstudio_backend.http.listener import Listener

__all__ = ["ListeningWorker"]


class ListeningWorker(Worker):  # type: ignore[misc]  # gunicorn is not typed
    """Serves until it is told to stop or its parent is gone."""

    def run(self) -> None:
        """Serve on the sockets that the parent has opened."""
        sockets = [one.sock for one in self.sockets]
        for one in sockets:
            one.setblocking(False)
        listener = Listener(self.wsgi, self.cfg.threads, sockets=sockets)
        while self.alive and os.getppid() == self.ppid:
            self.notify()
            listener.step()
        listener.close(self.cfg.graceful_timeout)
