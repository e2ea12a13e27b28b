"""WSGI application of the ML backend, as ``openapi.json`` beside it describes it."""

import base64
import binascii
import hmac
import json
import logging
import math
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelstudio_backend.http.metrics import Metrics
from labelstudio_backend.schema.keyframes import was_never_tracked
from labelstudio_backend.schema.regions import shown
from labelstudio_backend.tasks.lanes import BusyError
from labelstudio_backend.tasks.predictor import Predictor
from sam2_engine.errors import InputError
from sam2_engine.wording import counted, size_in_words

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

__all__ = ["Application"]

MAX_BODY_BYTES = 64 << 20
_OPENAPI_FILE = Path(__file__).with_name("openapi.json")
_PUBLIC_PATHS = ("/health/live", "/health/ready")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Response:
    status: int
    body: bytes
    content_type: str = "application/json"
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def json(cls, content: object, status: int = 200) -> "_Response":
        return cls(status, json.dumps(content, allow_nan=False).encode())

    @classmethod
    def error(cls, status: int, message: str, *headers: tuple[str, str]) -> "_Response":
        """Say what is wrong in the body, and in the status line, of which Label Studio shows more."""
        return cls(status, json.dumps({"error": message}).encode(), reason=message, headers=headers)

    @property
    def status_line(self) -> str:
        reason = "".join(c for c in self.reason[:300] if " " <= c <= "~") or HTTPStatus(self.status).phrase
        return f"{self.status} {reason}"


class _RequestError(Exception):
    """A response that ends a request early."""

    def __init__(self, response: _Response) -> None:
        super().__init__(response.reason)
        self.response = response


class Application:
    """A WSGI application over one predictor; it may be called from many threads.

    Parameters
    ----------
    predictor
        Handles setup and predict.
    waits_for
        Says what is not loaded yet; None once all is there.
    max_requests
        How many predictions may be waited for at a time; more are refused, so that threads are left for
        health checks. None for any number.

    The status is 400 with ``{"error": sentence}`` for bad input, and 500 with a reference to the log for a
    failure of ours; no response holds a traceback, and no log line a token.
    """

    def __init__(
        self,
        predictor: Predictor,
        waits_for: Callable[[], str | None] = lambda: None,
        max_requests: int | None = None,
    ) -> None:
        self.predictor = predictor
        self.metrics = Metrics()
        self._waits_for = waits_for
        self._room = None if max_requests is None else threading.BoundedSemaphore(max_requests)
        self._routes: dict[str, tuple[str, Callable[[WSGIEnvironment], _Response]]] = {
            "/": ("GET", self._health),
            "/health": ("GET", self._health),
            "/health/ready": ("GET", self._ready),
            "/health/live": ("GET", self._live),
            "/setup": ("POST", self._setup),
            "/predict": ("POST", self._predict),
            "/webhook": ("POST", self._webhook),
            "/versions": ("GET", self._versions),
            "/metrics": ("GET", self._metrics),
            "/openapi.json": ("GET", self._openapi),
        }

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Handle one request (PEP 3333)."""
        start = time.perf_counter()
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO") or "/"
        response = self._respond(environ, method, path)
        seconds = time.perf_counter() - start
        self.metrics.count(path if path in self._routes else "other", response.status, seconds)
        _log.info(
            "method=%s path=%r status=%d seconds=%.3f%s",
            *(method, path, response.status, seconds),
            f" reason={response.reason!r}" if response.reason else "",
        )
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
            *response.headers,
        ]
        start_response(response.status_line, headers)
        return [] if method == "HEAD" else [response.body]

    def _respond(self, environ: "WSGIEnvironment", method: str, path: str) -> _Response:
        try:
            if path not in _PUBLIC_PATHS:
                self._authorize(environ)
            if path not in self._routes:
                return _Response.error(404, f"There is nothing at {path}.")
            allowed_method, handler = self._routes[path]
            if ("GET" if method == "HEAD" else method) != allowed_method:
                return _Response.error(
                    405, f"{path} takes {allowed_method} requests only.", ("Allow", allowed_method)
                )
            return handler(environ)
        except _RequestError as refused:
            return refused.response
        except BusyError as error:
            return _Response.error(503, str(error), ("Retry-After", "5"))
        except InputError as error:
            return _Response.error(400, str(error))
        except Exception:
            reference = uuid.uuid4().hex[:8]
            _log.exception("reference=%s", reference)
            return _Response.error(
                500, f"The backend failed; its log has the details under reference {reference}."
            )

    def _authorize(self, environ: "WSGIEnvironment") -> None:
        expected = self.predictor.settings.basic_auth
        if expected is None:
            return
        scheme, _, written = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        try:
            given = base64.b64decode(written, validate=True) if scheme.lower() == "basic" else b""
        except (binascii.Error, ValueError):
            given = b""
        if not hmac.compare_digest(given, ":".join(expected).encode()):
            challenge = ("WWW-Authenticate", 'Basic realm="sam2"')
            raise _RequestError(_Response.error(401, "User or password is wrong or missing.", challenge))

    # ------------------------------------------------------------------ requests

    def _live(self, _: "WSGIEnvironment") -> _Response:
        return _Response.json({"status": "UP"})

    def _ready(self, _: "WSGIEnvironment") -> _Response:
        if (missing := self._waits_for()) is None:
            return _Response.json({"status": "UP"})
        return _Response.error(503, missing, ("Retry-After", "5"))

    def _health(self, environ: "WSGIEnvironment") -> _Response:
        if (ready := self._ready(environ)).status != 200:
            return ready
        return _Response.json({"status": "UP", "model_version": self.predictor.model_version})

    def _setup(self, environ: "WSGIEnvironment") -> _Response:
        sent = _json(environ)
        version = self.predictor.setup(sent.get("schema"), sent.get("project"), sent.get("extra_params"))
        return _Response.json({"model_version": version})

    def _predict(self, environ: "WSGIEnvironment") -> _Response:
        request = _json(environ)
        if (missing := self._waits_for()) is not None:
            return _Response.error(503, missing, ("Retry-After", "5"))
        if self._room is None:
            return self._predict_response(request)
        if not self._room.acquire(blocking=False):
            raise BusyError
        try:
            return self._predict_response(request)
        finally:
            self._room.release()

    def _predict_response(self, request: Mapping[str, Any]) -> _Response:
        params = request.get("params") or {}
        context = params.get("context") if isinstance(params, Mapping) else None
        results = self.predictor.predict(
            request.get("tasks"), request.get("label_config"), context, request.get("project")
        )
        version = self.predictor.version_for(request.get("project"))
        return _Response.json({"results": results, "model_version": version})

    def _webhook(self, environ: "WSGIEnvironment") -> _Response:
        """Start a training where a person asks for it; other events are acknowledged, and nothing is done.

        A video rectangle that was submitted before it was tracked is named in the log.
        """
        event = _json(environ)
        action, project = event.get("action"), event.get("project")
        if action == "START_TRAINING" and self.predictor.settings.trains and isinstance(project, Mapping):
            started = self.predictor.start_training(project.get("id"))
            return _Response.json({"status": "started" if started else "busy", "action": action}, 201)
        _warn_of_still_boxes(event.get("annotation"))
        return _Response.json(
            {"status": "ignored", "action": action if isinstance(action, str) else None}, 201
        )

    def _versions(self, _: "WSGIEnvironment") -> _Response:
        return _Response.json({"versions": [self.predictor.model_version]})

    def _metrics(self, _: "WSGIEnvironment") -> _Response:
        text = self.metrics.text(self.predictor.gauges)
        return _Response(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")

    def _openapi(self, _: "WSGIEnvironment") -> _Response:
        return _Response(200, _OPENAPI_FILE.read_bytes())


def _warn_of_still_boxes(annotation: object) -> None:
    results = annotation.get("result") if isinstance(annotation, Mapping) else None
    if isinstance(results, list) and (still := sum(map(was_never_tracked, results))):
        task = shown(annotation.get("task") if isinstance(annotation, Mapping) else None)
        _log.warning("task=%s was submitted before %s was tracked", task, counted(still, "rectangle"))


def _json(environ: "WSGIEnvironment") -> dict[str, Any]:
    """Return the body of a request, which must be a JSON object."""
    written = environ.get("CONTENT_LENGTH") or "0"
    if not written.isdecimal() or len(written) > 18:
        raise InputError("The request's Content-Length is not a number of bytes.")
    # Without a length, reading to the end is safe only where the server marks the end.
    length = int(written) or (MAX_BODY_BYTES + 1 if environ.get("wsgi.input_terminated") else 0)
    try:
        body = environ["wsgi.input"].read(min(length, MAX_BODY_BYTES + 1))
    except OSError:
        raise InputError("The request ended before it was whole.") from None
    if length > MAX_BODY_BYTES and len(body) > MAX_BODY_BYTES:
        raise _RequestError(
            _Response.error(413, f"The request is larger than {size_in_words(MAX_BODY_BYTES)}.")
        )
    try:
        content = json.loads(body, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        raise InputError("The request is not JSON; send an object as Label Studio does.") from None
    if not isinstance(content, dict):
        raise InputError("The request must be a JSON object, as Label Studio sends it.")
    return content


def _finite(text: str) -> float:
    """Return a number; neither NaN nor what no number of the machine holds, such as 1e999."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not JSON")
    return value
