"""Serving the application with gunicorn: one process with one model, several threads."""

import logging
import os
import socket
from typing import TYPE_CHECKING, Any

from labelstudio_backend.app import Application
from labelstudio_backend.predictions import Predictor
from labelstudio_backend.settings import Settings
from sam2_engine.errors import InputError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["serve"]

_APP_LOAD_ERROR = 4  # gunicorn gives up at this status, and starts a new worker at any other
_log = logging.getLogger(__name__)


def serve(settings: Settings, host: str, port: int, threads: int = 8) -> None:
    """Serve until the process is told to stop.

    One worker process is forked; it loads the weights before it takes its first request, so that a health
    check that is answered means ready, and no device is shared over a fork.

    Raises
    ------
    InputError
        If gunicorn is not there, the address is taken, or the model cannot be loaded.
    """
    try:
        from gunicorn.app.base import BaseApplication
    except ImportError:
        raise InputError(
            "Serving needs gunicorn, on Linux or macOS; install it: pip install 'sam2-plugins[label-studio]'"
        ) from None
    _configure_log()
    _check_address(host, port)

    reading, writing = os.pipe()  # by which the worker says why it could not start

    class Server(BaseApplication):  # type: ignore[misc]  # gunicorn is not typed
        def load_config(self) -> None:
            for name, value in _options(host, port, threads).items():
                self.cfg.set(name, value)

        def load(self) -> "WSGIApplication":
            predictor = Predictor(settings)
            try:
                predictor.load()
            except InputError as error:
                os.write(writing, str(error).encode())
                # Not sys.exit: this is a fork, which must not run what waits further up the stack.
                os._exit(_APP_LOAD_ERROR)
            _log.info("serving %s at http://%s:%d", settings.model_version, host, port)
            return Application(predictor)

    try:
        Server().run()
    except SystemExit as stop:
        if stop.code == _APP_LOAD_ERROR:
            raise InputError(os.read(reading, 4096).decode()) from None
        raise


def _options(host: str, port: int, threads: int) -> dict[str, Any]:
    return {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "workers": 1,
        "worker_class": "gthread",
        "threads": threads,
        "timeout": 600,  # loading large weights, not requests: the threads of a busy worker stay alive
        "graceful_timeout": 10,
        "loglevel": "warning",
        "control_socket_disable": True,
        "proc_name": "sam2-serve",
    }


def _check_address(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise InputError(
            f"http://{host}:{port} cannot be served ({error.strerror}); choose another --host or --port."
        ) from None


def _configure_log() -> None:
    level = os.environ.get("LOG_LEVEL", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        raise InputError(f"LOG_LEVEL is {level!r}; use DEBUG, INFO, WARNING or ERROR.")
    logging.basicConfig(
        level=level, format="time=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"
    )
