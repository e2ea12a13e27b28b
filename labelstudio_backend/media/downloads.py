"""Downloads over HTTP, from allowed hosts only, with Label Studio's token for Label Studio alone."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.parse import quote, urljoin, urlsplit

from labelstudio_backend.media.addresses import is_in_cloud_storage, redacted
from labelstudio_backend.media.connections import connect
from labelstudio_backend.settings import Settings, origin_of
from sam2_engine.disk import check_space, when_full
from sam2_engine.errors import InputError

__all__ = ["Downloader"]

_CHUNK_BYTES = 1 << 20
_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_REFRESH_SECONDS = 15.0
_WHO_AM_I = "/api/current-user/whoami"
_KEY_SECONDS = 60.0
"""For which a key that Label Studio took is not tried again."""
_ACCESS_TOKEN_SECONDS = 240.0
"""Label Studio's access tokens are valid for 300 s."""
_SAFE_CHARACTERS = "%/:=&?~#+!$,;'@()*[]"
"""Characters of an address that stay as they are; a browser encodes the others, too."""


class Downloader:
    """Fetches files from Label Studio and from the hosts that are allowed, and from nowhere else."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._access_token: tuple[str, float] = ("", 0.0)
        self._refreshing = threading.Lock()
        self._taken_until = 0.0

    def check(self, url: str) -> str:
        """Return the origin of an allowed address.

        Raises
        ------
        InputError
            If it is not allowed.
        """
        origin = origin_of(url)
        if origin is None or not (
            self._settings.is_label_studio(url) or origin in self._settings.allowed_hosts
        ):
            raise InputError(
                f"Media from {origin or redacted(url)!r} is not allowed here; set LABEL_STUDIO_URL (or "
                "LABEL_STUDIO_PUBLIC_URL, if it is Label Studio's other name), or name the host in "
                "ALLOWED_HOSTS, where the server is started."
            )
        return origin

    def check_key(self, seconds: float) -> None:
        """Make sure that Label Studio takes our API key, if one is set; what it took stands for a while.

        Parameters
        ----------
        seconds
            How long to wait; Label Studio that has not answered by then may be waiting for us.

        Raises
        ------
        InputError
            If Label Studio is not there, or refuses the key.
        """
        place, key = self._settings.label_studio_url, self._settings.api_key
        if not place or not key or time.monotonic() < self._taken_until:
            return
        deadline = time.monotonic() + seconds
        try:
            headers = {"Authorization": self._authorization(deadline)}
            with self._request("GET", f"{place}{_WHO_AM_I}", headers, None, deadline) as response:
                status = response.status
        except (OSError, HTTPException) as error:
            if isinstance(error, TimeoutError):
                return
            raise InputError(
                f"Label Studio is not reached at {place} ({_reason(error)}); "
                "check LABEL_STUDIO_URL where the server is started."
            ) from None
        if status in (401, 403):
            raise InputError(
                f"Label Studio at {place} does not take LABEL_STUDIO_API_KEY ({status}); make a new token "
                "there (Account & Settings), and set it where the server is started."
            )
        self._taken_until = time.monotonic() + _KEY_SECONDS

    def download(self, url: str, target: IO[bytes]) -> None:
        """Write the file at ``url`` into ``target``, an open file with a name.

        Raises
        ------
        InputError
            If it is not allowed, not there, too large, too slow, or a web page instead of a file.
        """
        deadline = time.monotonic() + self._settings.fetch_seconds
        try:
            with self._get(url, deadline) as response:
                if response.headers.get_content_type() == "text/html":
                    raise InputError(
                        f"{redacted(url)} is a web page and not a file; "
                        "if it is a login page, set LABEL_STUDIO_API_KEY where the server is started."
                    )
                self._copy(response, target, url)
        except InputError:
            raise
        except (HTTPException, OSError, ValueError) as error:
            if time.monotonic() >= deadline:
                raise InputError(
                    f"{redacted(url)} took longer than {self._settings.fetch_seconds:g} s (FETCH_SECONDS)."
                ) from None
            raise InputError(f"{redacted(url)} cannot be fetched ({_reason(error)}).") from None

    @contextmanager
    def _get(self, url: str, deadline: float) -> Iterator[HTTPResponse]:
        """Give the response after all redirects, each of which is checked like a first address."""
        current = url
        may_have_token = self._settings.is_label_studio(url) and bool(self._settings.api_key)
        for _ in range(_MAX_REDIRECTS + 1):
            self._check_redirect(url, current)
            # Who is not Label Studio cannot have its files fetched in our name, by sending us there.
            with_token = may_have_token and self._settings.is_label_studio(current)
            headers = {"Authorization": self._authorization()} if with_token else {}
            with self._request("GET", current, headers, None, deadline) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or not location:
                    if response.status != 200:
                        raise self._status_error(url, current, response.status)
                    yield response
                    return
            current = urljoin(current, location)
        raise InputError(
            f"{redacted(url)} is redirected again and again and never leads to a file; import it again."
        )

    def _check_redirect(self, url: str, current: str) -> None:
        try:
            self.check(current)
        except InputError:
            if current == url or not (origin := origin_of(current)):
                raise
            raise InputError(
                f"{redacted(url)} is redirected to {origin}, from which media is not allowed here; if it is "
                "your storage, name it in ALLOWED_HOSTS where the server is started."
            ) from None

    @contextmanager
    def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, deadline: float
    ) -> Iterator[HTTPResponse]:
        """Give the response to one request to an allowed host."""
        origin = urlsplit(self.check(url))
        host, port = origin.hostname or "", origin.port or 0
        connection = connect(
            origin.scheme, host, port, private=self._settings.may_be_private(url), deadline=deadline
        )
        try:
            parts = urlsplit(url)
            request_target = parts._replace(
                scheme="", netloc="", fragment="", path=parts.path or "/"
            ).geturl()
            connection.request(
                method, quote(request_target, safe=_SAFE_CHARACTERS), body, {**headers, "Connection": "close"}
            )
            with connection.getresponse() as response:
                yield response
        finally:
            connection.close()

    def _status_error(self, url: str, current: str, status: int) -> InputError:
        """Return what a status other than 200 means, at the address that a redirect of ``url`` led to."""
        name, is_ours = redacted(url), self._settings.is_label_studio(current)
        if status in (401, 403) and is_ours:
            return InputError(
                f"Reading {name} was refused ({status}); "
                "set LABEL_STUDIO_API_KEY to a valid token where the server is started."
            )
        if status in (401, 403):
            return InputError(
                f"Reading {name} was refused ({status}) by its storage, {origin_of(current)}; "
                "its signed address may have expired, or the storage's credentials in Label Studio may not "
                "read it."
            )
        if status in (404, 410):
            if is_ours and is_in_cloud_storage(current):
                return InputError(
                    f"Label Studio does not open {name}; connect its storage to this project "
                    "(Settings, Cloud Storage), or put the file back."
                )
            return InputError(f"The file {name} is not there; import the task again or put the file back.")
        return InputError(
            f"{name} cannot be fetched ({status} from its server); check that the file is still there."
        )

    def _copy(self, response: HTTPResponse, target: IO[bytes], url: str) -> None:
        limit = self._settings.max_media_bytes
        too_large = f"{redacted(url)} is larger than the {limit} bytes allowed by MAX_MEDIA_BYTES."
        announced = response.headers.get("Content-Length") or ""
        if announced.isdecimal() and int(announced) > limit:
            raise InputError(too_large)
        check_space(Path(target.name), int(announced) if announced.isdecimal() else 0)
        done = 0
        while chunk := response.read1(_CHUNK_BYTES):
            done += len(chunk)
            if done > limit:
                raise InputError(too_large)
            with when_full(Path(target.name)):
                target.write(chunk)
        if announced.isdecimal() and done < int(announced):
            raise InputError(f"{redacted(url)} was cut off while it was fetched; try again.")

    def _authorization(self, deadline: float | None = None) -> str:
        key = self._settings.api_key or ""
        if key.count(".") != 2:
            return f"Token {key}"
        with self._refreshing:
            token, until = self._access_token
            if time.monotonic() >= until:
                token = self._refresh(key, deadline or time.monotonic() + _REFRESH_SECONDS)
                self._access_token = token, time.monotonic() + _ACCESS_TOKEN_SECONDS
        return f"Bearer {token}"

    def _refresh(self, key: str, deadline: float) -> str:
        """Exchange a personal access token, which is a refresh token, for an access token.

        A redirect is not followed: the token stays at the address it was meant for.
        """
        url = f"{self._settings.label_studio_url}/api/token/refresh/"
        body, headers = json.dumps({"refresh": key}).encode(), {"Content-Type": "application/json"}
        try:
            with self._request("POST", url, headers, body, deadline) as response:
                return str(json.loads(response.read(1 << 16))["access"])
        except (OSError, HTTPException) as error:
            if isinstance(error, TimeoutError):
                raise
            raise InputError(
                f"Label Studio cannot be asked for an access token ({_reason(error)}); "
                "check LABEL_STUDIO_URL where the server is started."
            ) from None
        except (ValueError, KeyError, TypeError):
            raise InputError(
                "Label Studio did not accept LABEL_STUDIO_API_KEY; make a new personal access token there."
            ) from None


def _reason(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error).split("\n")[0].rstrip(".")
