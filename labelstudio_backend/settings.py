"""Settings of the server, from its command line and its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from platformdirs import user_state_path

from sam2_engine.errors import InputError
from sam2_engine.weights.locations import WEIGHT_SUFFIXES
from sam2_plugins.runtime.model_name import ModelName

__all__ = ["Settings", "model_name", "origin_of"]


def origin_of(url: str) -> str | None:
    """Return ``scheme://host:port`` of an http address in one spelling, or None if it is no such address.

    One that bears a user or a password is none.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port or parts.username is not None:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host.lower()}:{port}"


@dataclass(frozen=True)
class Settings:
    """Settings of the server; the environment variables are in ``from_environment``.

    Attributes
    ----------
    model, device
        As for :func:`sam2_engine.load_model`.
    label_studio_url
        Where Label Studio is reached from here; the API key is sent nowhere else.
    public_urls
        Other addresses of the same Label Studio, such as the public one that browsers use; what tasks name
        there is fetched from ``label_studio_url``.
    api_key
        A personal access token or a legacy token of Label Studio.
    allowed_hosts
        Further origins (``http://host:port``) that media may be fetched from.
    allow_private_addresses
        Whether ``allowed_hosts`` that are names may lie in a private network or on this machine. Those
        written as numbers, and Label Studio itself, always may.
    media_root
        A folder that ``/data/local-files/?d=…`` is read from directly, instead of through Label Studio.
    predict_seconds
        The response to a request goes out after this time with what is done; Label Studio waits for 100 s.
    max_media_bytes, cache_bytes
        Caps for one media file and for all that are cached.
    max_pixels
        Cap for one image, or one frame of a video.
    decode_bytes
        Cap for the memory in which images are decoded at a time; a larger one is decoded alone.
    fetch_seconds
        Cap for the time that fetching one media file takes.
    session_bytes
        Cap for open images, cached for the next click, in memory.
    max_sessions
        How many recent videos stay open.
    feature_bytes
        Cap for the encoded frames of all open images and videos together, in memory.
    track_bytes
        Cap for the masks of all videos that are open, in memory.
    kept_track_bytes
        Cap for the masks of all tracks stored in ``state_folder``.
    basic_auth
        User and password required of every request, or None.
    cache_folder
        Where fetched files are cached; emptied at the start. None for a temporary folder.
    threads
        How many clicks are computed at a time. Fewer videos are opened, and fewer images of batches.
    models
        Further models, as for ``model``, that a project may choose by name.
    trains
        Whether "Start training" in Label Studio trains on the project.
    training_steps
        How long; None for what fits the data.
    state_folder
        Where the projects' parameters, and the masks of tracks, outlive a restart; None to store nothing.
    """

    model: str = "nano"
    device: str = "auto"
    label_studio_url: str | None = None
    public_urls: tuple[str, ...] = ()
    api_key: str | None = field(default=None, repr=False)
    allowed_hosts: frozenset[str] = frozenset()
    allow_private_addresses: bool = False
    media_root: Path | None = None
    predict_seconds: float = 80.0
    max_media_bytes: int = 2 << 30
    max_pixels: int = 200_000_000
    decode_bytes: int = 3 << 30
    cache_bytes: int = 8 << 30
    fetch_seconds: float = 60.0
    session_bytes: int = 512 << 20
    max_sessions: int = 8
    feature_bytes: int = 512 << 20
    track_bytes: int = 512 << 20
    kept_track_bytes: int = 16 << 30
    basic_auth: tuple[str, str] | None = field(default=None, repr=False)
    cache_folder: Path | None = None
    threads: int = 8
    models: tuple[str, ...] = ()
    trains: bool = False
    training_steps: int | None = None
    state_folder: Path | None = None

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] = os.environ,
        *,
        model: str | None = None,
        device: str | None = None,
    ) -> Self:
        """Read the environment; ``model`` and ``device`` take precedence over its MODEL and DEVICE.

        Raises
        ------
        InputError
            If a variable holds something unusable.
        """
        url = environment.get("LABEL_STUDIO_URL", "").rstrip("/") or None
        hosts = _words(environment, "ALLOWED_HOSTS")
        public = [one.rstrip("/") for one in _words(environment, "LABEL_STUDIO_PUBLIC_URL")]
        if public and not url:
            raise InputError("LABEL_STUDIO_PUBLIC_URL needs LABEL_STUDIO_URL beside it, to be reached at.")
        for name, addresses in (
            ("LABEL_STUDIO_URL", [url] if url else []),
            ("LABEL_STUDIO_PUBLIC_URL", public),
            ("ALLOWED_HOSTS", hosts),
        ):
            for address in addresses:
                if origin_of(address) is None:
                    raise InputError(f"{name}: {address!r} is not an address; write it as http://host:port.")
        root = environment.get("MEDIA_ROOT")
        if root and not Path(root).is_dir():
            raise InputError(f"MEDIA_ROOT is {root}, which is not a folder.")
        user, password = environment.get("BASIC_AUTH_USER"), environment.get("BASIC_AUTH_PASS")
        if bool(user) != bool(password):
            raise InputError("Set both BASIC_AUTH_USER and BASIC_AUTH_PASS, or neither.")
        return cls(
            model=model or environment.get("MODEL") or cls.model,
            device=device or environment.get("DEVICE") or cls.device,
            label_studio_url=url,
            public_urls=tuple(public),
            api_key=environment.get("LABEL_STUDIO_API_KEY") or None,
            allowed_hosts=frozenset(origin for host in hosts if (origin := origin_of(host))),
            allow_private_addresses=_flag(environment, "ALLOW_PRIVATE_ADDRESSES"),
            media_root=Path(root).resolve() if root else None,
            predict_seconds=_positive(environment, "PREDICT_SECONDS", cls.predict_seconds),
            max_media_bytes=int(_positive(environment, "MAX_MEDIA_BYTES", cls.max_media_bytes)),
            max_pixels=int(_positive(environment, "MAX_PIXELS", cls.max_pixels)),
            decode_bytes=int(_positive(environment, "DECODE_BYTES", cls.decode_bytes)),
            cache_bytes=int(_positive(environment, "CACHE_BYTES", cls.cache_bytes)),
            fetch_seconds=_positive(environment, "FETCH_SECONDS", cls.fetch_seconds),
            session_bytes=int(_positive(environment, "SESSION_BYTES", cls.session_bytes)),
            max_sessions=int(_positive(environment, "MAX_SESSIONS", cls.max_sessions)),
            feature_bytes=int(_positive(environment, "FEATURE_BYTES", cls.feature_bytes)),
            track_bytes=int(_positive(environment, "TRACK_BYTES", cls.track_bytes)),
            kept_track_bytes=int(_positive(environment, "KEPT_TRACK_BYTES", cls.kept_track_bytes)),
            basic_auth=(user, password) if user and password else None,
            models=tuple(_words(environment, "MODELS")),
            trains=_flag(environment, "TRAINING"),
            training_steps=int(_positive(environment, "TRAINING_STEPS", 0)) or None,
            state_folder=Path(environment.get("MODEL_DIR") or user_state_path("sam2-plugins")),
        )

    def is_label_studio(self, url: str) -> bool:
        """Whether an address is one of Label Studio, as it is reached from here."""
        return self.label_studio_url is not None and origin_of(url) == origin_of(self.label_studio_url)

    def reached_address(self, address: str) -> str:
        """Return where an address of a task is reached from here.

        One without a host, or at a public name of Label Studio, is Label Studio's; it may begin with the
        folder that Label Studio is served from, or not. Without ``label_studio_url`` it stays as it is.
        """
        for public in self.public_urls:
            if origin_of(address) == origin_of(public):
                address = _path_of(address).removeprefix(_path_of(public)) or "/"
                break
        if not address.startswith("/") or self.label_studio_url is None:
            return address
        folder = _path_of(self.label_studio_url)
        path = address.removeprefix(folder) if address.startswith(f"{folder}/") else address
        return self.label_studio_url + path

    def may_be_private(self, url: str) -> bool:
        """Whether an allowed address may be one of a private network.

        Whoever names Label Studio's address, or writes an address in numbers, means it; what a name
        stands for is up to others.
        """
        host = urlsplit(url).hostname or ""
        return (
            self.allow_private_addresses
            or self.is_label_studio(url)
            or host == "localhost"
            or _is_number(host)
        )

    @property
    def model_names(self) -> dict[str, str]:
        """The models to choose from by name, the server's own first; a file is named without its ending."""
        return {model_name(model): model for model in (self.model, *self.models)}

    @property
    def model_version(self) -> str:
        """The model version of predictions, if a project chose no other model."""
        return self.version_of(None)

    def version_of(self, name: str | None) -> str:
        """Return the model version of a model's predictions; None for the server's own model."""
        return f"sam2-plugins-{_own_version()}-{name or model_name(self.model)}"


@cache
def _own_version() -> str:
    return version("sam2-plugins")  # reads files, and is needed for every request


def model_name(model: str) -> str:
    """Return a model's name: its own, or that of its file without folder and ending."""
    parts = ModelName.parse(model)
    path = Path(parts.weights)
    return str(parts._replace(weights=path.stem if path.suffix in WEIGHT_SUFFIXES else path.name))


def _path_of(url: str) -> str:
    """Return what follows the host of an address."""
    return urlsplit(url)._replace(scheme="", netloc="").geturl()


def _words(environment: Mapping[str, str], name: str) -> list[str]:
    return environment.get(name, "").replace(",", " ").split()


def _positive(environment: Mapping[str, str], name: str, default: float) -> float:
    written = environment.get(name)
    if not written:
        return default
    try:
        value = float(written)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError(f"{name} must be a positive number, not {written!r}.")
    return value


def _flag(environment: Mapping[str, str], name: str) -> bool:
    written = environment.get(name, "").lower()
    if written not in ("", "0", "1", "false", "true", "no", "yes"):
        raise InputError(f"{name} must be 1 or 0, not {written!r}.")
    return written in ("1", "true", "yes")


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
