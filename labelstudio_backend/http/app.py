"""The WSGI application that Label Studio talks to; ``openapi.json`` beside it describes it."""

import base64
import binascii
import hmac
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelstudio_backend.http.metrics import Metrics
from labelstudio_backend.tasks.predictor import Predictor
from sam2_engine.errors import InputError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

__all__ = ["Application"]

MAX_BODY_BYTES = 64 << 20
_DESCRIPTION = Path(__file__).with_name("openapi.json")
_OPEN_TO_ALL = ("/health/live", "/health/ready")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Answer:
    status: int
    body: bytes
    content_type: str = "application/json"
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, content: object, status: int = 200) -> "_Answer":
        return cls(status, json.dumps(content, allow_nan=False).encode())

    @classmethod
    def error(cls, status: int, sentence: str, *headers: tuple[str, str]) -> "_Answer":
        """Say what is wrong in the body, and in the status line, of which Label Studio shows more."""
        return cls(status, json.dumps({"error": sentence}).encode(), reason=sentence, headers=headers)

    @property
    def status_line(self) -> str:
        reason = "".join(c for c in self.reason[:300] if " " <= c <= "~") or HTTPStatus(self.status).phrase
        return f"{self.status} {reason}"


class _RequestError(Exception):
    """A request that is answered without looking further."""

    def __init__(self, answer: _Answer) -> None:
        super().__init__(answer.reason)
        self.answer = answer


class Application:
    """A WSGI application over one predictor; it may be called from many threads.

    Parameters
    ----------
    predictor
        Answers setup and predict.
    is_ready
        Whether the weights are loaded.
    predictions
        How many predictions may be under way at a time; more are refused, so that threads are left for
        health checks. None for any number.

    Bad input is answered with 400 and ``{"error": sentence}``, a failure of ours with 500 and a
    reference to the log; no answer holds a traceback, and no log line a token.
    """

    def __init__(
        self,
        predictor: Predictor,
        is_ready: Callable[[], bool] = lambda: True,
        predictions: int | None = None,
    ) -> None:
        self.predictor = predictor
        self.metrics = Metrics()
        self._is_ready = is_ready
        self._turns = None if predictions is None else threading.BoundedSemaphore(predictions)
        self._routes: dict[str, tuple[str, Callable[[WSGIEnvironment], _Answer]]] = {
            "/": ("GET", self._health),
            "/health": ("GET", self._health),
            "/health/ready": ("GET", self._ready),
            "/health/live": ("GET", self._live),
            "/setup": ("POST", self._setup),
            "/predict": ("POST", self._predict),
            "/webhook": ("POST", self._webhook),
            "/versions": ("GET", self._versions),
            "/metrics": ("GET", self._metrics),
            "/openapi.json": ("GET", self._description),
        }

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        start = time.perf_counter()
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO") or "/"
        answer = self._answer(environ, method, path)
        seconds = time.perf_counter() - start
        self.metrics.count(path if path in self._routes else "other", answer.status, seconds)
        _log.info(
            "method=%s path=%r status=%d seconds=%.3f%s",
            *(method, path, answer.status, seconds),
            f" reason={answer.reason!r}" if answer.reason else "",
        )
        headers = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            *answer.headers,
        ]
        start_response(answer.status_line, headers)
        return [] if method == "HEAD" else [answer.body]

    def _answer(self, environ: "WSGIEnvironment", method: str, path: str) -> _Answer:
        try:
            if path not in _OPEN_TO_ALL:
                self._authorize(environ)
            if path not in self._routes:
                return _Answer.error(404, f"There is nothing at {path}.")
            wanted, handler = self._routes[path]
            if ("GET" if method == "HEAD" else method) != wanted:
                return _Answer.error(405, f"{path} takes {wanted} requests only.", ("Allow", wanted))
            return handler(environ)
        except _RequestError as refused:
            return refused.answer
        except InputError as error:
            return _Answer.error(400, str(error))
        except Exception:
            reference = uuid.uuid4().hex[:8]
            _log.exception("reference=%s", reference)
            return _Answer.error(
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
            raise _RequestError(_Answer.error(401, "User or password is wrong or missing.", challenge))

    # ------------------------------------------------------------------ requests

    def _live(self, _: "WSGIEnvironment") -> _Answer:
        return _Answer.of({"status": "UP"})

    def _ready(self, _: "WSGIEnvironment") -> _Answer:
        if self._is_ready():
            return _Answer.of({"status": "UP"})
        return _Answer.error(
            503, "The model is still being loaded; try again in a minute.", ("Retry-After", "5")
        )

    def _health(self, environ: "WSGIEnvironment") -> _Answer:
        if (ready := self._ready(environ)).status != 200:
            return ready
        return _Answer.of({"status": "UP", "model_version": self.predictor.model_version})

    def _setup(self, environ: "WSGIEnvironment") -> _Answer:
        sent = _json(environ)
        version = self.predictor.setup(sent.get("schema"), sent.get("project"), sent.get("extra_params"))
        return _Answer.of({"model_version": version})

    def _predict(self, environ: "WSGIEnvironment") -> _Answer:
        request = _json(environ)
        if self._turns is None:
            return self._predicted(request)
        if not self._turns.acquire(blocking=False):
            sentence = "As many predictions as THREADS allows are under way; try again in a moment."
            return _Answer.error(503, sentence, ("Retry-After", "5"))
        try:
            return self._predicted(request)
        finally:
            self._turns.release()

    def _predicted(self, request: Mapping[str, Any]) -> _Answer:
        params = request.get("params") or {}
        context = params.get("context") if isinstance(params, Mapping) else None
        results = self.predictor.predict(
            request.get("tasks"), request.get("label_config"), context, request.get("project")
        )
        version = self.predictor.version_for(request.get("project"))
        return _Answer.of({"results": results, "model_version": version})

    def _webhook(self, environ: "WSGIEnvironment") -> _Answer:
        """Take note of an event and do nothing: training is started by people, not by each annotation."""
        action = _json(environ).get("action")
        return _Answer.of({"status": "ignored", "action": action if isinstance(action, str) else None}, 201)

    def _versions(self, _: "WSGIEnvironment") -> _Answer:
        return _Answer.of({"versions": [self.predictor.model_version]})

    def _metrics(self, _: "WSGIEnvironment") -> _Answer:
        text = self.metrics.text(self.predictor.gauges)
        return _Answer(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")

    def _description(self, _: "WSGIEnvironment") -> _Answer:
        return _Answer(200, _DESCRIPTION.read_bytes())


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
        raise _RequestError(_Answer.error(413, f"The request is larger than {MAX_BODY_BYTES >> 20} MiB."))
    try:
        content = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InputError("The request is not JSON; send an object as Label Studio does.") from None
    if not isinstance(content, dict):
        raise InputError("The request must be a JSON object, as Label Studio sends it.")
    return content


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
