"""Files over http, from allowed places only, with Label Studio's token for Label Studio alone."""

import json
import threading
import time
from email.message import Message
from http.client import HTTPException
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qs, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from labelstudio_backend.settings import Settings, origin_of
from sam2_engine.errors import InputError

__all__ = ["Downloader", "shown"]

_CHUNK_BYTES = 1 << 20
_SOCKET_SECONDS = 15.0
_ACCESS_TOKEN_SECONDS = 240.0
"""Label Studio's access tokens are valid for 300 s."""


def shown(address: str) -> str:
    """Return an address as people may see it: without a query that could hold a signature."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "an address that is none"
    place = parse_qs(parts.query).get("d")
    return parts._replace(query="", fragment="", netloc=parts.netloc.rpartition("@")[2]).geturl() + (
        f"?d={place[0]}" if place else ""
    )


class Downloader:
    """Fetches files from Label Studio and from the hosts that are allowed, and from nowhere else."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._home = origin_of(settings.label_studio_url or "")
        self._opener = build_opener(_CheckedRedirects(self))
        self._access: tuple[str, float] = ("", 0.0)
        self._refreshing = threading.Lock()

    def check(self, url: str) -> str:
        """Return the origin of an address in an allowed place.

        Raises
        ------
        InputError
            If it is in no allowed place.
        """
        origin = origin_of(url)
        if origin is None or origin not in {self._home, *self._settings.allowed_hosts}:
            raise InputError(
                f"Media from {origin or shown(url)!r} is not allowed here; set LABEL_STUDIO_URL, "
                "or name the host in ALLOWED_HOSTS, where the server is started."
            )
        return origin

    def request(self, url: str) -> Request:
        """Return a request for ``url``, with the token if it goes to Label Studio.

        Raises
        ------
        InputError
            If the address is in no allowed place, or Label Studio refuses the API key.
        """
        if self.check(url) == self._home and self._settings.api_key:
            return Request(url, headers={"Authorization": self._authorization()})
        return Request(url)

    def download(self, url: str, target: IO[bytes]) -> None:
        """Write the file at ``url`` into ``target``.

        Raises
        ------
        InputError
            If it is not allowed, not there, too large, too slow, or a web page instead of a file.
        """
        deadline = time.monotonic() + self._settings.fetch_seconds
        try:
            with self._opener.open(self.request(url), timeout=_SOCKET_SECONDS) as response:
                if response.headers.get_content_type() == "text/html":
                    raise InputError(
                        f"{shown(url)} is a web page and not a file; "
                        "if it is a login page, set LABEL_STUDIO_API_KEY where the server is started."
                    )
                self._copy(response, target, url, deadline)
        except HTTPError as error:
            raise _refusal(url, error) from None
        except (URLError, HTTPException, OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{shown(url)} cannot be fetched ({_reason(error)}).") from None

    def _copy(self, response: Any, target: IO[bytes], url: str, deadline: float) -> None:
        limit = self._settings.max_media_bytes
        done = 0
        while chunk := response.read1(_CHUNK_BYTES):
            done += len(chunk)
            if done > limit:
                raise InputError(f"{shown(url)} is larger than the {limit} bytes allowed by MAX_MEDIA_BYTES.")
            if time.monotonic() > deadline:
                raise InputError(
                    f"{shown(url)} took longer than the {self._settings.fetch_seconds:g} s of FETCH_SECONDS."
                )
            target.write(chunk)
        announced = response.headers.get("Content-Length")
        if announced and announced.isdigit() and done < int(announced):
            raise InputError(f"{shown(url)} was cut off while it was fetched; try again.")

    def _authorization(self) -> str:
        key = self._settings.api_key or ""
        if key.count(".") != 2:
            return f"Token {key}"
        with self._refreshing:
            token, until = self._access
            if time.monotonic() >= until:
                token = self._refresh(key)
                self._access = token, time.monotonic() + _ACCESS_TOKEN_SECONDS
        return f"Bearer {token}"

    def _refresh(self, key: str) -> str:
        """Exchange a personal access token, which is a refresh token, for an access token."""
        request = Request(
            f"{self._settings.label_studio_url}/api/token/refresh/",
            data=json.dumps({"refresh": key}).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with build_opener(_NoRedirects()).open(request, timeout=_SOCKET_SECONDS) as response:
                return str(json.loads(response.read(1 << 16))["access"])
        except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
            if isinstance(error, HTTPError):
                error.close()
            raise InputError(
                "Label Studio did not accept LABEL_STUDIO_API_KEY; make a new personal access token there."
            ) from None


class _CheckedRedirects(HTTPRedirectHandler):
    """Follows a redirect as a fresh request: the place is checked again, and the token decided anew."""

    def __init__(self, downloader: Downloader) -> None:
        self._downloader = downloader

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> Request | None:
        try:
            return self._downloader.request(newurl)
        except InputError:
            fp.close()
            raise


class _NoRedirects(HTTPRedirectHandler):
    """Keeps a token at the address it was meant for."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


def _refusal(url: str, error: HTTPError) -> InputError:
    error.close()
    if error.code in (401, 403):
        return InputError(
            f"Reading {shown(url)} was refused ({error.code}); "
            "set LABEL_STUDIO_API_KEY to a valid token where the server is started."
        )
    if error.code in (404, 410):
        return InputError(f"The file {shown(url)} is not there; import the task again or put the file back.")
    return InputError(
        f"{shown(url)} cannot be fetched ({error.code} from its server); check that the file is still there."
    )


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return "no answer in time" if isinstance(reason, TimeoutError) else str(reason).split("\n")[0].rstrip(".")
