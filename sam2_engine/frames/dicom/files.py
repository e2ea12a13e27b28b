"""Files of a DICOM series, a study or a CD: which of them are images, and what is left out."""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sam2_engine.errors import InputError
from sam2_engine.frames.dicom.headers import element, is_dicom, numbers, read_header, text
from sam2_engine.frames.images.folders import natural_key
from sam2_engine.frames.source import explain
from sam2_engine.wording import counted

__all__ = ["DicomFile", "DicomFiles", "find_files", "holds_dicom"]

_DIRECTORY = "1.2.840.10008.1.3.10"  # Media Storage Directory: a DICOMDIR, whatever it is called
_MAX_DEPTH, _MAX_FILES = 8, 50_000
_MAX_NAMED = 3


@dataclass(frozen=True)
class DicomFile:
    """An image file and its header."""

    path: Path
    header: Any


@dataclass
class DicomFiles:
    """What was found.

    Attributes
    ----------
    images
        The files that hold images.
    notes
        What users should know: what is no image, what is missing.
    """

    images: list[DicomFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def holds_dicom(folder: Path, images: Collection[Path] = ()) -> bool:
    """Whether a folder is one of DICOM files: the index of a CD, or more files than the other images in it.

    Without other images, its folders are looked into as well.
    """
    inside = [file for file in folder.iterdir() if _is_visible(file) and file.is_file()]
    if any(file.name.upper() == "DICOMDIR" for file in inside):
        return True
    known = set(images)
    files = iter(sorted(inside, key=known.__contains__)) if known else _below(folder)
    count, left = 0, len(inside)
    for file in files:
        if known and count + left <= len(known):
            return False  # whatever those are that are left
        count, left = count + (file.stat().st_size > 0 and is_dicom(file)), left - 1
        if count > len(known):
            return True
    return False


def find_files(path: Path | Sequence[Path], pydicom: Any) -> DicomFiles:
    """Return the images of files, of a DICOMDIR, or of a folder: those in it, of its DICOMDIR, or below it.

    Raises
    ------
    InputError
        If a file is damaged, or a single file holds no image.
    """
    if not isinstance(path, Path):
        return _classified(path, pydicom)[0]
    if path.is_dir():
        return _in_folder(path, pydicom)
    header = _header(path, pydicom)
    if _is_directory(header):
        return _of_directory(path, pydicom)
    if not _is_image(header):
        raise InputError(
            f"{path.name} is DICOM without an image ({_kind(header)}); give a file or folder of images."
        )
    return DicomFiles([DicomFile(path, header)])


def _in_folder(folder: Path, pydicom: Any) -> DicomFiles:
    inside = [file for file in sorted(folder.iterdir(), key=natural_key) if _is_visible(file)]
    found, directories = _classified([file for file in inside if file.is_file()], pydicom)
    if found.images:
        return found
    for directory in directories:
        found = _of_directory(directory, pydicom)
        if found.images:
            return found
    below, _ = _classified(list(_below(folder)), pydicom)
    return below if below.images or not directories else found


def _classified(files: Sequence[Path], pydicom: Any) -> tuple[DicomFiles, list[Path]]:
    """Sort files into images and directories (DICOMDIR), and say what else there is."""
    found, directories, others = DicomFiles(), [], []
    for file in files:
        if not file.stat().st_size or not is_dicom(file):
            others.append(file.name)
            continue
        header = _header(file, pydicom)
        if _is_image(header):
            found.images.append(DicomFile(file, header))
            continue
        if _is_directory(header):
            directories.append(file)
        others.append(f"{file.name}: {_kind(header)}")
    if others:
        named = ", ".join(others[:_MAX_NAMED]) + (", ..." if len(others) > _MAX_NAMED else "")
        found.notes.append(f"left out {counted(len(others), 'file')} without a DICOM image ({named})")
    return found, directories


def _of_directory(directory: Path, pydicom: Any) -> DicomFiles:
    """Return the images that a DICOMDIR refers to, of those that are there."""
    referenced = _references(directory, pydicom)
    paths = [_resolved(directory.parent, parts) for parts in referenced]
    found, _ = _classified([path for path in paths if path is not None], pydicom)
    missing = ["/".join(parts) for parts, path in zip(referenced, paths) if path is None]
    if missing:
        found.notes.append(
            f"{len(missing)} of {counted(len(paths), 'image')} that {directory.name} lists "
            f"are missing ({', '.join(missing[:_MAX_NAMED])}{', ...' if len(missing) > _MAX_NAMED else ''})"
        )
    if not found.images:
        what = "none of its images is there" if missing else "it lists no images"
        found.notes = [f"{directory.name} is the directory of a CD, but {what}"]
    return found


def _references(directory: Path, pydicom: Any) -> list[list[str]]:
    """Return the parts of the path of each image that a DICOMDIR lists."""
    try:
        records = pydicom.dcmread(directory, force=True).get("DirectoryRecordSequence") or ()
        listed = [one.get("ReferencedFileID") for one in records if one.get("DirectoryRecordType") == "IMAGE"]
        return [[one] if isinstance(one, str) else [str(part) for part in one] for one in listed if one]
    except Exception as error:
        raise _damaged(directory, error) from error


def _resolved(root: Path, parts: Sequence[str]) -> Path | None:
    """Return a referenced file; copies of CDs often differ in case."""
    path = root
    for part in parts:
        exact = path / part
        if exact.exists():
            path = exact
            continue
        try:
            alike = (one for one in path.iterdir() if one.name.casefold() == part.casefold())
        except OSError:
            return None
        match = next(alike, None)
        if match is None:
            return None
        path = match
    return path if path.is_file() else None


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files of all folders below, not too many."""
    count = 0
    for root, folders, files in os.walk(folder):
        depth = len(Path(root).relative_to(folder).parts)
        folders[:] = [] if depth >= _MAX_DEPTH else sorted(one for one in folders if not one.startswith("."))
        for name in sorted(files, key=lambda one: natural_key(Path(one))):
            file = Path(root, name)
            if not _is_visible(file) or not file.is_file():
                continue
            count += 1
            if count > _MAX_FILES:
                raise InputError(
                    f"{folder} has more than {_MAX_FILES} files below it; give the folder of a series."
                )
            yield file


def _is_visible(path: Path) -> bool:
    return not path.name.startswith(".")


def _header(path: Path, pydicom: Any) -> Any:
    try:
        return read_header(path, pydicom)
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path.name} is a damaged DICOM file ({explain(error)}); copy or export it again, or leave it out."
    )


def _is_image(header: Any) -> bool:
    return all(numbers(header, keyword) for keyword in ("Rows", "Columns", "BitsAllocated"))


def _is_directory(header: Any) -> bool:
    meta = getattr(header, "file_meta", None) or {}
    return _DIRECTORY in (text(header, "SOPClassUID"), text(meta, "MediaStorageSOPClassUID"))


def _kind(header: Any) -> str:
    """Return what a file without an image is, in words."""
    meta = getattr(header, "file_meta", None) or {}
    uid = element(header, "SOPClassUID") or element(meta, "MediaStorageSOPClassUID")
    name = getattr(uid, "name", "")
    return (
        name.removesuffix(" Storage") if name and name != str(uid) else text(header, "Modality") or "no image"
    )
