"""The manifest of a session folder, ``session.json``: which frames, their scale, and how it began."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sam2_engine.disk import replacing
from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.runtime.atomic_files import os_error_sentence
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage.model_files import describe_model
from sam2_plugins.storage.serialization import to_text, window_to_json
from sam2_plugins.storage.snapshot import read_json
from sam2_plugins.storage.source_files import path_from, source_files, source_of

__all__ = ["FORMAT_VERSION", "check_frames", "describe_frames", "is_session_folder", "read_manifest"]
__all__ += ["reading_of", "scale_in", "write_files", "write_manifest", "write_manifest_again"]
__all__ += ["write_reading", "write_scale", "write_version"]

FORMAT_VERSION = 3
_NAME = "session.json"
_FORMAT = "sam2-session"
_FINGERPRINT_FRAMES = 3


def describe_frames(frames: FrameSource, source: Path | None, opening: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the manifest says of frames, some of which are read; parameters as for ``create``."""
    return {
        "source": None if source is None else str(source.resolve()),
        "files": source_files(source),
        "opening": dict(opening),
        "name": frames.name,
        "axes": frames.axes,
        "length": frames.length,
        "shape": list(frames.shape),
        "dtype": str(frames.dtype),
        "fingerprint": _fingerprint(frames),
    }


def write_manifest(
    path: Path, session: AnnotationSession, described: Mapping[str, Any], scale: PhysicalScale | None
) -> None:
    """Write the manifest of a session that begins in the folder ``path``, on frames described before."""
    manifest = {
        "format": _FORMAT,
        "version": FORMAT_VERSION,
        "frames": {**described, "source_from_here": path_from(path, described["source"])},
        "scale": asdict((scale or PhysicalScale()).filled(PhysicalScale.of(session.frames))),
        "window": window_to_json(session.window),
        **describe_model(path, session.model_name),
        "computed_in": session.compute_dtype,
        "cleans_clicked_frames": session.cleans_clicked_frames,
        **session.memory.given,
    }
    _write(path, manifest)


def write_scale(path: Path, scale: PhysicalScale) -> None:
    """Write the sizes of pixels, planes and frames into a folder's manifest, if they differ."""
    _write_if_changed(path, {**read_manifest(path), "scale": asdict(scale)})


def write_reading(path: Path, axes: str, opening: Mapping[str, Any]) -> None:
    """Write into a folder's manifest how its frames, which stay the same, are read, if that differs."""
    manifest = read_manifest(path)
    frames = {**manifest["frames"], "axes": axes, "opening": dict(opening)}
    _write_if_changed(path, {**manifest, "frames": frames})


def write_files(path: Path, frames: FrameSource) -> None:
    """Write into a folder's manifest how the files of its frames are now, if that differs."""
    manifest = read_manifest(path)
    described = manifest["frames"]
    files = source_files(source_of(frames, described))
    _write_if_changed(path, {**manifest, "frames": {**described, "files": files or described.get("files")}})


def write_version(path: Path) -> None:
    """Write into a folder's manifest that it has today's format, if it has another."""
    _write_if_changed(path, {**read_manifest(path), "version": FORMAT_VERSION})


def write_manifest_again(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest that was read before."""
    _write(path, manifest)


def _write_if_changed(path: Path, manifest: Mapping[str, Any]) -> None:
    if json.loads(to_text(manifest)) != read_manifest(path):
        _write(path, manifest)


def _write(path: Path, manifest: Mapping[str, Any]) -> None:
    with replacing(path / _NAME) as aside:
        aside.write_text(to_text(manifest, indent=1), encoding="utf-8")


def is_session_folder(path: str | Path) -> bool:
    """Whether a path is the folder of a session, intact or not."""
    return (Path(path) / _NAME).is_file()


def reading_of(frames: FrameSource) -> tuple[Path | None, dict[str, Any]]:
    """Return the file that frames come from, None if from none, and the options that read them from it."""
    source, options = frames.opened_as or (None, {})
    left_open: dict[str, Any] = {"level": 0, "single": False, "labels": False, "fixed": {}}
    given = {name: value for name, value in options.items() if value is not None}
    return source, {name: value for name, value in given.items() if value != left_open.get(name)}


def read_manifest(path: str | Path) -> dict[str, Any]:
    """Return the manifest of a session folder: its frames, and how it began.

    Raises
    ------
    InputError
        If it is no session folder, damaged, or of a newer version.
    """
    path = Path(path)
    try:
        if not (path / _NAME).is_file():
            raise InputError(f"{path} is not a session folder: it has no {_NAME}.")
    except OSError as error:  # one may not look into it
        raise InputError(os_error_sentence(error, path)) from None
    manifest = read_json(path / _NAME)
    if manifest.get("format") != _FORMAT:
        raise InputError(f"{path / _NAME} does not describe a session.")
    if not isinstance(manifest.get("version"), int) or not isinstance(manifest.get("frames"), dict):
        raise InputError(f"{path / _NAME} is damaged: it does not say its version or its frames.")
    if manifest["version"] > FORMAT_VERSION:
        raise InputError(
            f"{path} was written by a newer version of sam2-plugins (format {manifest['version']}, "
            f"known here: {FORMAT_VERSION}); update it to open the session."
        )
    return manifest


def scale_in(manifest: Mapping[str, Any], frames: FrameSource) -> PhysicalScale:
    """Return the sizes of pixels, planes and frames in a manifest; where it has none, those of the file."""
    known, scale = PhysicalScale.of(frames), manifest.get("scale")
    if scale is None:
        return known
    height, width = scale["pixel_size"]
    return PhysicalScale(**{**scale, "pixel_size": (height, width)}).filled(known)


def check_frames(frames: FrameSource, described: Mapping[str, Any], path: Path) -> None:
    """Refuse frames that a session was not made on.

    Raises
    ------
    InputError
        If number, size or pixels differ.
    """
    size = (frames.length, *frames.shape)
    expected = (described["length"], *described["shape"])
    if size != expected:
        raise InputError(
            f"{path} was made on {described['name']} with (frames, rows, columns) {expected}, "
            f"but these are {size}."
        )
    if _fingerprint(frames) != described["fingerprint"]:
        raise InputError(
            f"{path} was made on other pixels than those of {frames.name}; open it with the original "
            f"{described['name']}."
        )


def _fingerprint(frames: FrameSource) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for frame in sorted({int(f) for f in np.linspace(0, (frames.length or 1) - 1, _FINGERPRINT_FRAMES)}):
        with suppress(InputError):  # a stack with holes has none of their pixels now, nor later
            digest.update(np.ascontiguousarray(frames[frame]).tobytes())
    return digest.hexdigest()
