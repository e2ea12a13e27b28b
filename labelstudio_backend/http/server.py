"""Server of the application: one process and several threads, watched over by gunicorn where it runs."""

import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelstudio_backend.http.app import Application
from labelstudio_backend.http.loading import Loading
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor
from sam2_engine.errors import InputError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["serve"]

_APP_LOAD_ERROR = 4  # gunicorn gives up at this status, and starts a new worker at any other
_MAX_REQUESTS = 200  # waited for at a time, each by a thread that mostly sleeps
_SPARE_THREADS = 2  # for health checks and the like while all others are waited for
_log = logging.getLogger(__name__)


def serve(settings: Settings, host: str, port: int, threads: int = 8) -> None:
    """Serve until the process is told to stop: by waitress, in a worker of gunicorn where that can run.

    Parameters
    ----------
    threads
        How many clicks are computed at a time; more wait for their turn.

    Raises
    ------
    InputError
        If they are not installed, the address is taken, or the model cannot be loaded.
    """
    _configure_log()
    _check_address(host, port)
    run = _server()
    with tempfile.TemporaryDirectory(prefix="sam2-serve-", ignore_cleanup_errors=True) as folder:
        run(replace(settings, cache_folder=Path(folder) / "media", threads=threads), host, port)


def _server() -> Callable[[Settings, str, int], None]:
    """Return the function of the server that can run here."""
    try:
        import waitress  # noqa: F401
    except ImportError:
        raise InputError(
            "Serving needs waitress, and gunicorn but on Windows; "
            "install them: pip install 'sam2-plugins[label-studio]'"
        ) from None
    try:
        import gunicorn.app.base  # noqa: F401 - it cannot be imported on Windows
    except ImportError:
        return _serve_in_this_process
    return _serve_under_gunicorn


def _serve_under_gunicorn(settings: Settings, host: str, port: int) -> None:
    """Fork one worker, which is alive at once, and ready once it has downloaded and loaded the weights.

    It loads them after the fork, so that no device is shared over it. A worker that dies is replaced.
    """
    from gunicorn.app.base import BaseApplication

    reading, writing = os.pipe()  # by which the worker says why it cannot load the model

    class Server(BaseApplication):  # type: ignore[misc]  # gunicorn is not typed
        def load_config(self) -> None:
            for name, value in _options(host, port).items():
                self.cfg.set(name, value)

        def load(self) -> "WSGIApplication":
            predictor = Predictor(settings)
            loading = Loading(predictor)

            def load_weights() -> None:
                try:
                    loading.run()
                except Exception as error:
                    os.write(writing, _sentence(error).encode())
                    # Not sys.exit: this is a fork, which must not run what waits further up the stack.
                    os._exit(_APP_LOAD_ERROR)
                _log.info("serving %s at http://%s:%d", settings.model_version, host, port)

            threading.Thread(target=load_weights, name="sam2-load", daemon=True).start()
            return Application(predictor, lambda: loading.waits_for, _MAX_REQUESTS)

    try:
        Server().run()
    except SystemExit as stop:
        if stop.code == _APP_LOAD_ERROR:
            raise InputError(os.read(reading, 4096).decode()) from None
        raise


def _serve_in_this_process(settings: Settings, host: str, port: int) -> None:
    """Download and load the weights, then serve in this process."""
    from labelstudio_backend.http.listener import Listener

    predictor = Predictor(settings)
    try:
        Loading(predictor).run()
        application = Application(predictor, max_requests=_MAX_REQUESTS)
        listener = Listener(application, _MAX_REQUESTS + _SPARE_THREADS, host=host, port=port)
        _log.info("serving %s at http://%s:%d", settings.model_version, host, port)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        try:
            while True:
                listener.step()
        except (KeyboardInterrupt, SystemExit):
            listener.close()
    finally:
        predictor.close()


def _sentence(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    _log.error("the model cannot be loaded", exc_info=error)
    return "The model cannot be loaded; the log has the details."


def _options(host: str, port: int) -> dict[str, Any]:
    from labelstudio_backend.http.worker import ListeningWorker

    return {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "workers": 1,
        "worker_class": ListeningWorker,
        "threads": _MAX_REQUESTS + _SPARE_THREADS,
        "timeout": 600,  # without a sign of life from the worker, whose threads may be as busy as they like
        "graceful_timeout": 10,
        "loglevel": "warning",
        "control_socket_disable": True,
        "proc_name": "sam2-serve",
    }


def _check_address(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":  # elsewhere the option means that two may share the address
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
