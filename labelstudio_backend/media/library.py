"""Media of tasks as local files, from Label Studio, an allowed host, or one folder."""

import base64
import binascii
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_to_bytes, urlsplit

from numpy.typing import NDArray

from labelstudio_backend.media.addresses import file_name, is_inside_page, redacted, refuse_path_traversal
from labelstudio_backend.media.decoding import check_video, read_image
from labelstudio_backend.media.downloads import Downloader
from labelstudio_backend.media.memory_budget import MemoryBudget
from labelstudio_backend.settings import Settings
from sam2_engine.disk import when_full
from sam2_engine.errors import InputError

__all__ = ["MediaFile", "MediaLibrary"]

_LOCAL_FILES = "/data/local-files/"


class MediaFile:
    """A local file. One that was fetched is deleted when nothing references this object any more.

    Parameters
    ----------
    temporary
        Whether it was fetched, into a folder of its own.
    library
        Whose folder that is in, which stays as long as the file.
    """

    def __init__(self, path: Path, *, temporary: bool, library: object = None) -> None:
        self.path = path
        self.size = path.stat().st_size
        self._library = library
        if temporary:
            weakref.finalize(self, shutil.rmtree, path.parent, ignore_errors=True)


class MediaLibrary:
    """Finds the media of tasks and caches recent files under a cap of bytes.

    An address is used as it stands in a task: ``/data/upload/…`` and other addresses without
    a host belong to Label Studio, and so do those of its public names; other http addresses are fetched
    from allowed hosts, a data URI is the file itself, and ``/data/local-files/?d=…`` is read from
    ``settings.media_root`` where that is set.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._downloader = Downloader(settings)
        self._decoding = MemoryBudget(settings.decode_bytes)
        if settings.cache_folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="sam2-media-"))
        else:
            self._folder = settings.cache_folder
            shutil.rmtree(self._folder, ignore_errors=True)  # what a process that was killed has left there
            self._folder.mkdir(parents=True, exist_ok=True)
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._files: OrderedDict[str, MediaFile] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def num_bytes(self) -> int:
        """How much disk space the cached files take."""
        with self._lock:
            return sum(file.size for file in self._files.values())

    def write(self, address: str, path: Path) -> None:
        """Write the file at an address to a path; it is not cached.

        Raises
        ------
        InputError
            If the address is not allowed or leads nowhere.
        """
        url = self.check(address)
        with when_full(path), path.open("wb") as target:
            self._downloader.download(url, target)

    def image(self, address: str) -> tuple[NDArray[Any], MediaFile]:
        """Return the pixels of an image, as :func:`.decoding.read_image` does, and its file.

        Raises
        ------
        InputError
            If it is not allowed, not there, or not an image that can be read.
        """
        file = self.file(address)
        return read_image(file.path, redacted(address), self._settings.max_pixels, self._decoding), file

    def video(self, address: str) -> MediaFile:
        """Return the file of a video, tried in a process of its own.

        Raises
        ------
        InputError
            If it is not allowed, not there, or would harm its decoder.
        """
        file = self.file(address)
        check_video(file.path, redacted(address), self._settings.max_pixels)
        return file

    def file(self, address: str) -> MediaFile:
        """Return the file behind an address, fetched if need be.

        Raises
        ------
        InputError
            If the address is not allowed or leads nowhere.
        """
        url = self.check(address)
        local = self._in_media_root(url) if self._settings.is_label_studio(url) else None
        if local is not None:
            return local
        with self._lock:
            if url in self._files:
                self._files.move_to_end(url)
                return self._files[url]
        file = self._fetch(url)
        with self._lock:
            self._files[url] = file
            while (
                len(self._files) > 1
                and sum(f.size for f in self._files.values()) > self._settings.cache_bytes
            ):
                self._files.popitem(last=False)
        return file

    def check_label_studio(self, seconds: float) -> None:
        """Make sure that Label Studio is reached and takes our API key, as :meth:`Downloader.check_key`."""
        self._downloader.check_key(seconds)

    def close(self) -> None:
        """Delete everything that was fetched."""
        with self._lock:
            self._files.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def check(self, address: str) -> str:
        """Return an address as it is fetched from here, without a request.

        Raises
        ------
        InputError
            If it is not allowed.
        """
        if is_inside_page(address):
            return address
        refuse_path_traversal(address)
        url = self._settings.reached_address(address)
        if url.startswith("/"):
            raise InputError(
                f"The task's file {redacted(address)} lies in Label Studio, whose address is not known here; "
                "set LABEL_STUDIO_URL where the server is started."
            )
        self._downloader.check(url)
        return url

    def _in_media_root(self, url: str) -> MediaFile | None:
        """Return a file of Label Studio's local storage, if its folder is mounted here too."""
        root, parts = self._settings.media_root, urlsplit(url)
        if root is None or not parts.path.endswith(_LOCAL_FILES):
            return None
        local_path = parse_qs(parts.query).get("d", [""])[0]
        try:
            path = (root / local_path).resolve()
            there = path.is_file()
        except (OSError, ValueError):  # too long a name, or one that no file can have
            path, there = root, False
        if not path.is_relative_to(root):
            raise InputError(f"The task's file {redacted(url)} lies outside of MEDIA_ROOT.")
        if not there:
            raise InputError(
                f"The file {redacted(url)} is not below MEDIA_ROOT; put it back or import the task again."
            )
        if path.stat().st_size > self._settings.max_media_bytes:
            raise InputError(f"The file {redacted(url)} is larger than MAX_MEDIA_BYTES allows.")
        return MediaFile(path, temporary=False)

    def _fetch(self, url: str) -> MediaFile:
        """Fetch a file into a folder of its own, under its own name, by which messages name it."""
        path = Path(tempfile.mkdtemp(dir=self._folder)) / file_name(url)
        try:
            with when_full(path), path.open("wb") as target:
                if is_inside_page(url):
                    target.write(_content(url, self._settings.max_media_bytes))
                else:
                    self._downloader.download(url, target)
        except BaseException:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        return MediaFile(path, temporary=True, library=self)


def _content(data_uri: str, max_bytes: int) -> bytes:
    head, comma, written = data_uri.partition(",")
    try:
        plain = unquote_to_bytes(written)
        content = base64.b64decode(plain, validate=True) if head.endswith(";base64") else plain
    except (binascii.Error, ValueError):
        content = b""
    if not comma or not content:
        raise InputError("The task's data URI holds no file; import the task again.")
    if len(content) > max_bytes:
        raise InputError("The file within the task is larger than MAX_MEDIA_BYTES allows.")
    return content
