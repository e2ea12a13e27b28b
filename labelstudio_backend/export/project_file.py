"""A project as Label Studio exports it (JSON), with its tasks and their annotations."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Self, TypeGuard
from urllib.parse import parse_qs, urlsplit

from labelstudio_backend.media.addresses import is_inside_page, referred, served_address
from labelstudio_backend.schema.labeling_config import DEFAULT_FRAME_RATE
from sam2_engine.errors import InputError
from sam2_engine.text_files import read_text
from sam2_engine.wording import counted
from sam2_plugins.runtime.atomic_files import os_error_sentence

__all__ = ["ExportedTask", "read_project_file"]


@dataclass(frozen=True)
class ExportedTask:
    """One annotated task, or one page of it.

    Attributes
    ----------
    id, project
        Label Studio's.
    data
        As imported; among it the address of the media.
    regions
        Of the newest annotation that was not cancelled.
    page
        Which of a task's images (``valueList``) it is, from 0; None of a task that is one image or video.
    """

    id: object
    project: object
    data: Mapping[str, Any]
    regions: Sequence[Mapping[str, Any]]
    page: int | None = None

    @property
    def name(self) -> str:
        """What its files are called; pages are counted from 1, as people do."""
        return f"task-{self.id}" + ("" if self.page is None else f"-page-{self.page + 1}")

    def pages(self, key: str | None) -> list[Self]:
        """Return the pages of the task, each with its own regions; the task itself where it has none.

        Parameters
        ----------
        key
            As of :meth:`address`.

        Raises
        ------
        InputError
            As :meth:`address`; or if a region lies on a page that the task does not have.
        """
        written = self._written(key)
        if isinstance(written, str):
            return [self]
        beyond = max(map(_page_of, self.regions), default=0)
        if beyond >= len(written):
            raise InputError(
                f"Task {self.id} has a region on page {beyond + 1}, but only "
                f"{counted(len(written), 'image')}; say with --key where its images are, or draw it again."
            )
        return [replace(self, regions=self._regions_on(page), page=page) for page in range(len(written))]

    def _regions_on(self, page: int) -> list[Mapping[str, Any]]:
        """Return what lies on a page, and the names of regions, which need not say where they lie."""
        return [one for one in self.regions if _page_of(one) == page or one.get("type") == "labels"]

    def link(self, label_studio_url: str | None) -> str | None:
        """Return where the page of the task is; None if that is not known."""
        if label_studio_url is None or not isinstance(self.project, int | str):
            return None
        return f"{label_studio_url}/projects/{self.project}/data?task={self.id}"

    def address(self, key: str | None) -> str:
        """Return where the media lies.

        Parameters
        ----------
        key
            Under which key of the data; None if only one of them looks like an address.

        Raises
        ------
        InputError
            If there is none, or which of several is not clear.
        """
        written = self._written(key)
        if not isinstance(written, str):
            written = written[self.page or 0]
        return served_address(written, self.id)

    def _written(self, key: str | None) -> str | list[str]:
        """Return the address as the data has it, or those of all pages."""
        if key is not None:
            found = referred(f"${key}", self.data)
            if isinstance(found, str) or _is_pages(found, lambda _: True):
                return found
            raise InputError(f"Task {self.id} has no address under {key!r}; name another --key.")
        likely = [
            value
            for value in self.data.values()
            if (isinstance(value, str) and _is_address(value)) or _is_pages(value, _is_address)
        ]
        if len(likely) != 1:
            raise InputError(
                f"Task {self.id} has {len(likely)} values that look like addresses of media; say with --key "
                f"which of its data it is: {', '.join(map(str, self.data))}."
            )
        return likely[0]

    @property
    def frame_rate(self) -> float:
        """The rate at which the page counted frames: an item's number over its time."""
        for region in self.regions:
            for item in region["value"].get("sequence") or ():
                frame, time = item.get("frame"), item.get("time")
                if isinstance(frame, int) and isinstance(time, int | float) and time > 0:
                    return frame / time
        return DEFAULT_FRAME_RATE


def read_project_file(path: Path) -> list[ExportedTask]:
    """Read an export in Label Studio's own JSON format.

    Raises
    ------
    InputError
        If it is another format, or nothing in it is annotated.
    """
    try:
        content = json.loads(read_text(path))
    except OSError as error:
        raise InputError(os_error_sentence(error, path)) from None
    except ValueError:
        content = None
    if not isinstance(content, list) or not all(_is_task(task) for task in content):
        raise InputError(f"{path} is no export of a Label Studio project; choose JSON (not JSON-MIN) there.")
    tasks = [
        ExportedTask(task["id"], task.get("project"), task["data"], regions)
        for task in content
        if (regions := _newest_regions(task["annotations"]))
    ]
    if not tasks:
        raise InputError(f"No task in {path} has an annotation; submit some in Label Studio first.")
    return tasks


def _is_task(task: object) -> bool:
    return (
        isinstance(task, dict)
        and isinstance(task.get("id"), int | str)
        and isinstance(task.get("data"), dict)
        and isinstance(task.get("annotations"), list)
    )


def _newest_regions(annotations: Sequence[object]) -> list[Mapping[str, Any]]:
    usable = [one for one in annotations if isinstance(one, dict) and not one.get("was_cancelled")]
    for one in sorted(usable, key=lambda one: str(one.get("updated_at")), reverse=True):
        result = one.get("result")
        if isinstance(result, list):
            return [r for r in result if isinstance(r, dict) and isinstance(r.get("value"), dict)]
    return []


def _page_of(region: Mapping[str, Any]) -> int:
    """Return the page that a region lies on, from 0."""
    page = region.get("item_index")
    return page if isinstance(page, int) and page > 0 else 0


def _is_pages(value: object, is_address: Callable[[str], bool]) -> TypeGuard[list[str]]:
    """Whether a value of a task's data is the list of its images."""
    return (
        isinstance(value, list) and bool(value) and all(isinstance(v, str) and is_address(v) for v in value)
    )


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    path = parse_qs(parts.query).get("d", [parts.path])[0]
    if is_inside_page(value):
        return True
    return "/" in value and (value.startswith("/data/") or PurePosixPath(path).suffix != "")
