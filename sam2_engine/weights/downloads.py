"""Download of registered models, and adding weights from a file."""

import errno
import os
import re
import shutil
import ssl
from collections.abc import Callable
from dataclasses import replace
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from safetensors import safe_open

from sam2_engine.disk import is_full, remove_folder, replacing
from sam2_engine.errors import InputError, OptionError
from sam2_engine.weights.hub import fetch_from_hub
from sam2_engine.weights.hub_names import HubName, is_hub_name
from sam2_engine.weights.huggingface import is_huggingface
from sam2_engine.weights.loading import read_weights
from sam2_engine.weights.locations import WEIGHT_SUFFIXES, cache_folder, cached_files, find
from sam2_engine.weights.model_folder import MODEL_FILES, checked_folder, file_sha256, read_card, write_card
from sam2_engine.weights.registry import REGISTRY, RegisteredModel, check_license
from sam2_engine.wording import did_you_mean, size_in_words

__all__ = ["ProgressCallback", "add", "download", "fetch", "usable_name"]

ProgressCallback = Callable[[int, int | None], None]
"""Called with the bytes received and the bytes in all (None where the server does not say)."""

_CHUNK = 1 << 20
_TIMEOUT = 30.0
_NAME = re.compile(r"\w[\w.-]*")


def download(name: str, progress: ProgressCallback | None = None, *, accept_license: bool = False) -> Path:
    """Download a registered model, or one of the Hugging Face hub, or resume an earlier attempt.

    Parameters
    ----------
    name
        ``sam2.1_hiera_tiny`` or another name of ``REGISTRY``; or ``hf:owner/name``.
    progress
        Called with the bytes received and the bytes in all, or None.
    accept_license
        Whether a license that forbids commercial use, or that nobody states, is accepted.

    Returns
    -------
    Path
        Its file. A model that is already on this machine is not downloaded again.

    Raises
    ------
    InputError
        If the name is unknown, the license has to be accepted, the file can be fetched by hand only, or the
        transfer fails; what has been received stays for the next call.
    """
    path = find(name)
    if path is not None:
        return path
    if is_hub_name(name):
        official = HubName.parse(name).registered
        if official is None:
            return fetch_from_hub(name, progress, accept_license=accept_license)
        return download(official, progress, accept_license=accept_license)
    if name not in REGISTRY:
        raise InputError(
            f"There is no model {name!r} to download{did_you_mean(name, REGISTRY)}: give one of "
            f"{', '.join(REGISTRY)}."
        )
    model = REGISTRY[name]
    if model.server is None or model.path is None:
        raise InputError(
            f"{name} can be fetched by hand only: get its file from {model.page}, and run `sam2 models add "
            f"FILE --name {name}`."
        )
    check_license(model, accept_license)
    server = os.environ.get("SAM2_DOWNLOAD_URL", model.server).rstrip("/")
    suffix = Path(model.path).suffix or ".pt"
    return fetch(f"{server}/{model.path}", cache_folder() / f"{name}{suffix}", model.sha256, progress)


def add(path: str | os.PathLike[str], name: str | None = None, *, overwrite: bool = False) -> Path:
    """Copy a checkpoint, or a folder that ``sam2 train`` wrote, into the cache.

    A registered model's file is recognized by its checksum, or by the layout of transformers, whatever it is
    called; where no checksum is known, by its architecture and its name. No other gets the name of a
    registered model: its results would be taken for theirs.

    Parameters
    ----------
    path
        A .pt, .pth or .safetensors file, or a folder with weights and a card. Weights that no checksum knows
        are checked strictly, and against the card.
    name
        What the model is called from now on; by default as its file or folder, ``cells`` for ``cells.pt``. A
        ``model.safetensors`` of one's own, as training writes it, needs one.
    overwrite
        Whether a model that was added by this name may be replaced.

    Returns
    -------
    Path
        Its path in the cache; the stem is the model's name.

    Raises
    ------
    InputError
        If the file is missing or damaged or is no SAM 2 model; if the name is a registered one and the file
        is not, is none that a model can have, or is taken; if it cannot be copied.
    """
    file = Path(path)
    if file.is_dir():
        return _add_folder(file, name, overwrite)
    if not file.is_file():
        raise InputError(f"There is no file {file}: check the path.")
    if file.suffix not in WEIGHT_SUFFIXES:
        raise InputError(f"{file} is no checkpoint: give a .pt, .pth or .safetensors file.")
    known = _registered(file, name)
    chosen = name or known or (None if file.name == "model.safetensors" else file.stem)
    if chosen is None:
        raise InputError(f"Say what {file} is called from now on: sam2 models add {file} --name cells.")
    if chosen in REGISTRY and chosen != known:
        raise InputError(
            f"{file} bears the name of a model that it is not, {chosen}: get it again, or give it a name of "
            "its own with --name if it is a model of your own."
        )
    target = cache_folder() / f"{chosen}{file.suffix}"
    _check_name(chosen, overwrite)
    _copy(file, target)
    _remove_others(chosen, target)
    return target


def _add_folder(folder: Path, name: str | None, overwrite: bool) -> Path:
    """Copy what is of the model in a folder; return the file of its weights in the cache."""
    weights = checked_folder(folder)
    chosen = name or folder.absolute().name
    if chosen in REGISTRY:
        raise InputError(f"{chosen} is the name of another model: give yours another with --name.")
    _check_name(chosen, overwrite)
    read_weights(weights)
    target = cache_folder() / chosen
    aside = target.with_name(f".{chosen}-{os.getpid()}")
    try:
        aside.mkdir(parents=True, exist_ok=True)
        for one in MODEL_FILES:
            if (folder / one).is_file():
                shutil.copyfile(folder / one, aside / one)
        if (card := read_card(aside)) is not None:
            write_card(aside, replace(card, name=chosen))
        remove_folder(target)
        aside.replace(target)
    except OSError as error:
        raise InputError(_disk_sentence(target, error)) from None
    finally:
        remove_folder(aside)
    _remove_others(chosen, target / weights.name)
    return target / weights.name


def usable_name(text: str) -> str:
    """Return what a model may be called that is near to a text, as the name of a folder.

    Examples
    --------
    >>> usable_name("cells"), usable_name("my cells (2)")
    ('cells', 'my_cells_2')
    """
    return re.sub(r"[^\w.-]+", "_", text).strip("_.-") or "model"


def _check_name(name: str, overwrite: bool) -> None:
    """Refuse what no model can be called, and, unless it may be replaced, what one is called already."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"A model cannot be called {name!r}, but by letters, digits, '.', '_' and '-': give a --name."
        )
    taken = next((file for file in cached_files(name) if file.exists()), None)
    if taken is not None and not overwrite:
        raise OptionError(
            f"There is a model {name} already: {taken}; give another {{name}}, or {{overwrite}}.",
            name=None,
            overwrite=True,
        )


def _remove_others(name: str, kept: Path) -> None:
    """Remove what else bears the name in the cache, which would be found in the place of what is new."""
    for file in cached_files(name):
        if file != kept and file.exists():
            if file.parent == cache_folder():
                file.unlink()
            else:
                remove_folder(file.parent)


def fetch(url: str, target: Path, sha256: str | None, progress: ProgressCallback | None = None) -> Path:
    """Download ``url`` to ``target``.

    What has been received lies beside the target as ``.part``; the next call resumes from there. The target
    itself appears only when the checksum is right.

    Raises
    ------
    InputError
        If there is no network or no space, the server has no such file, the connection is cut, or the
        content is not what the checksum says.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _receive(url, part, progress)
        if right := sha256 is None or file_sha256(part) == sha256:
            part.replace(target)
    except HTTPError as error:
        with error:  # it holds the connection
            raise InputError(_http_sentence(url, error)) from None
    except URLError as error:
        raise InputError(_network_sentence(url, error.reason)) from None
    except (HTTPException, ConnectionError, TimeoutError, ssl.SSLError):
        raise InputError(_cut_sentence(url, part)) from None
    except OSError as error:
        raise InputError(_disk_sentence(target, error)) from None
    if not right:
        part.unlink()
        raise InputError(
            f"What came from {url} is not the expected file (its SHA-256 differs), so it was deleted: "
            "try again, or on another network."
        )
    return target


def _registered(file: Path, name: str | None) -> str | None:
    """Return which registered model a file is, if it is one.

    Raises
    ------
    InputError
        If no checksum knows it, and it cannot be read.
    """
    checksum = file_sha256(file)
    summed = next((one for one in REGISTRY.values() if one.sha256 == checksum), None)
    if summed is not None:
        return summed.name
    called = _called(file, name)
    if called is not None:
        read_weights(file, called.config)
        return called.name
    config, _ = read_weights(file)
    return config.name if _is_of_transformers(file) else None


def _called(file: Path, name: str | None) -> RegisteredModel | None:
    """Return the registered model that a file says it is, of those whose checksum is not known."""
    unsummed = [one for one in REGISTRY.values() if one.sha256 is None and one.page is not None]
    if name is not None:
        return next((one for one in unsummed if one.name == name), None)
    return next((one for one in unsummed if file.name == one.file_name or file.stem == one.name), None)


def _is_of_transformers(file: Path) -> bool:
    """Whether a readable checkpoint has the layout of the official models for transformers."""
    if file.suffix != ".safetensors":
        return False
    with safe_open(file, "pt") as opened:
        return is_huggingface(opened.keys())


def _copy(source: Path, target: Path) -> Path:
    """Copy ``source`` to ``target``, which appears only when complete.

    Raises
    ------
    InputError
        If it cannot be read or written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as aside:
            shutil.copyfile(source, aside)
    except OSError as error:
        raise InputError(_disk_sentence(target, error)) from None
    return target


def _receive(url: str, part: Path, progress: ProgressCallback | None) -> None:
    """Append to ``part`` what is still missing of ``url``."""
    done = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        response: HTTPResponse = urlopen(request, timeout=_TIMEOUT)
    except HTTPError as error:
        if error.code == 416 and done:  # Nothing is missing; the checksum decides whether it is right.
            return
        raise
    with response:
        resumed = response.status == 206
        done = done if resumed else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        if total is not None and total - done > shutil.disk_usage(part.parent).free:
            raise OSError(errno.ENOSPC, f"it needs {size_in_words(total - done)}")
        with part.open("ab" if resumed else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, total)
    if total is not None and done < total:
        raise ConnectionResetError(f"{done} of {total} bytes came")


def _http_sentence(url: str, error: HTTPError) -> str:
    if error.code in (404, 410):
        return (
            f"The server has no file {url} (HTTP {error.code}): it may have moved; get the file in another "
            "way and run `sam2 models add FILE`."
        )
    return f"The server answered HTTP {error.code} ({error.reason}) for {url}: try again later."


def _network_sentence(url: str, reason: object) -> str:
    host = urlsplit(url).hostname
    if isinstance(reason, ssl.SSLError):
        return f"No secure connection to {host} ({reason.reason}): check this machine's clock and proxy."
    return (
        f"No connection to {host} ({getattr(reason, 'strerror', None) or reason}): check the network, or "
        f"download {url} on another machine and run `sam2 models add FILE` here."
    )


def _cut_sentence(url: str, part: Path) -> str:
    done = part.stat().st_size if part.exists() else 0
    return (
        f"The connection to {urlsplit(url).hostname} was cut after {size_in_words(done)}: run the same "
        "command again, it goes on from there."
    )


def _disk_sentence(target: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    if is_full(error):
        return f"There is no space for {target} ({reason}): free some, or set SAM2_CACHE to another folder."
    return f"{target} could not be written ({reason}): check the folder, or set SAM2_CACHE to another one."
