"""Folders of image files: which of them are frames, in which order, and what their names count."""

import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from sam2_engine.errors import InputError
from sam2_engine.frames.file_kinds import IMAGES
from sam2_engine.frames.image_files import IMAGE_SUFFIXES, kind_of_file
from sam2_engine.wording import counted, plural

__all__ = ["images_in", "natural_key", "survey"]

_MAX_LISTED = 5
_UNFINISHED = re.compile(
    r".*(~|\.(part|partial|crdownload|download|filepart|bak|backup|old|orig|tmp|temp|swp|swo))", re.IGNORECASE
)
"""What browsers, copying programs and editors put behind a name."""

_COUNTED = {
    **dict.fromkeys(("t", "tp", "time", "timepoint", "frame"), "t"),
    **dict.fromkeys(("z", "slice", "plane", "depth"), "z"),
    **dict.fromkeys(("c", "ch", "chan", "channel"), "channels"),
    **dict.fromkeys(("s", "p", "f", "xy", "pos", "position", "field", "series", "scene"), "positions"),
}
"""Words before a number in the names that microscopes give to files, and what they count."""
_CHANNELS_ALONE = {"ch", "chan", "channel"}
_TAGS = re.compile(r"(?<![a-z0-9])(?:[a-z]+[ _=-]?\d+)+")
_ONE_SEQUENCE = "are read as one sequence, ordered by their names"
_DATE = re.compile(r"\d{8}[t_-]?\d{6}|\d{4}-\d\d-\d\d(t\d\d[-_.:]?\d\d)?")


def natural_key(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    """Sort key by which ``img2`` comes before ``img10``; names that count alike are sorted as text."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part], path.name


def images_in(folder: Path) -> list[Path]:
    """Return the image files of a folder, hidden ones and backups left out, in natural order.

    Files with the usual suffixes are taken for images; what others are, their first bytes tell.

    Raises
    ------
    InputError
        If a file cannot be opened, or is a link to one that is not there.
    """
    return _sorted_out(folder)[0]


def survey(folder: Path) -> tuple[list[Path], str]:
    """Return the image files of a folder that are frames, in natural order, and a note on what is guessed.

    Raises
    ------
    InputError
        As :func:`images_in`, and if the same images are there in two formats.
    """
    images, others, backups = _sorted_out(folder)
    _check_formats(images)
    notes = (
        _listed("left out, as no plain images:", others),
        _listed("left out, as backups or unfinished:", backups),
        _missing_numbers(images),
        _listed("the same number, read in this order:", _equal_numbers(images)),
        _what_names_count(images),
        _kinds_of_names(images),
    )
    return images, "; ".join(filter(None, notes))


def _sorted_out(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Return the images of a folder, files that might be expected as frames too, and backups of images."""
    images: list[Path] = []
    others: list[Path] = []
    backups: list[Path] = []
    with os.scandir(folder) as entries:  # which knows files from folders without a look at each
        files = [Path(one.path) for one in entries if not one.name.startswith(".") and _is_there(one)]
    for file in sorted(files, key=natural_key):
        is_backup = _UNFINISHED.fullmatch(file.name) is not None
        named_image = file.suffix.lower() in IMAGE_SUFFIXES
        kind = None if named_image else kind_of_file(file)
        if kind in IMAGES or named_image:
            (backups if is_backup else images).append(file)
        elif kind is not None and not is_backup:
            others.append(file)
    return images, others, backups


def _is_there(file: "os.DirEntry[str]") -> bool:
    if file.is_symlink() and not (path := Path(file.path)).exists():
        raise InputError(
            f"{path} is a link to {path.readlink()}, which is not there; mount its disk or remove the link."
        )
    return file.is_file()


def _listed(words: str, files: Sequence[Path]) -> str:
    return f"{words} {_first_of(file.name for file in files)}" if files else ""


def _first_of(names: Iterable[str]) -> str:
    first = list(names)
    more = f" and {len(first) - _MAX_LISTED} more" if len(first) > _MAX_LISTED else ""
    return f"{', '.join(first[:_MAX_LISTED])}{more}"


def _check_formats(images: Sequence[Path]) -> None:
    """Refuse images that are there twice: every frame would be followed by its copy, or by its mask."""
    by_stem: dict[str, Path] = {}
    for file in images:
        other = by_stem.setdefault(file.stem, file)
        if other.suffix.lower() != file.suffix.lower():
            raise InputError(
                f"{file.parent} holds {other.name} and {file.name}, one name in two formats; "
                "move one of them elsewhere, or give a list of files."
            )


def _missing_numbers(files: Sequence[Path]) -> str:
    """Say which files of a numbered sequence are missing: of img_001, img_002, img_004 it is number 3."""
    numbered = [re.fullmatch(r"(.*?)(\d+)(\D*)", file.name) for file in files]
    if len(files) < 3 or len({(match[1], match[3]) if match else None for match in numbered}) != 1:
        return ""
    numbers = sorted({int(match[2]) for match in numbered if match})
    steps = [later - earlier for earlier, later in itertools.pairwise(numbers)]
    step = min(steps, default=0)
    if not step or 2 * steps.count(step) < len(steps) or any(other % step for other in steps):
        return ""
    gaps = [(numbers[i] + step, numbers[i + 1]) for i, other in enumerate(steps) if other > step]
    missing = [
        str(number) for start, stop in gaps[:_MAX_LISTED] for number in range(start, stop, step)[:_MAX_LISTED]
    ]
    count = sum(other // step - 1 for other in steps)
    if not count:
        return ""
    more = f" and {count - _MAX_LISTED} more" if count > _MAX_LISTED else ""
    return f"missing: {plural(count, 'number')} {', '.join(missing[:_MAX_LISTED])}{more}"


def _equal_numbers(images: Sequence[Path]) -> list[Path]:
    """Return files whose names differ only in leading zeros or capitals, as img1 and img001."""
    groups = itertools.groupby(images, key=lambda file: natural_key(file)[0])
    return [file for _, group in groups for alike in [list(group)] if len(alike) > 1 for file in alike]


def _what_names_count(images: Sequence[Path]) -> str:
    """Say that names count more than time, as ``cells_t1_z3`` does and ``a_ch01``: it is not heeded."""
    values = defaultdict(list)
    for file in images:
        chains = _TAGS.findall(_DATE.sub("", file.stem.lower()))
        for tag, number in re.findall(r"([a-z]+)[ _=-]?(\d+)", " ".join(chains)):
            values[tag].append(int(number))
    count = len(images)
    varying = {
        tag: len(set(numbers))
        for tag, numbers in values.items()
        if tag in _COUNTED and len(numbers) == count and len(set(numbers)) > 1
    }
    what = sorted({_COUNTED[tag] for tag in varying})
    form_a_grid = len(what) > 1 and min(varying.values()) < count
    if not form_a_grid and _CHANNELS_ALONE.isdisjoint(varying):
        return ""
    *others, last = what
    words = f"{', '.join(others)} and {last}" if others else last
    return f"{counted(count, 'file')} whose names count {words} {_ONE_SEQUENCE}"


def _kinds_of_names(images: Sequence[Path]) -> str:
    """Say that names of several kinds carry the same numbers, as ``img1``, ``img1_mask`` and ``img2`` do."""
    kinds: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for file in images:
        if numbers := tuple(map(int, re.findall(r"\d+", file.stem))):
            kinds[numbers].append(re.sub(r"\d+", "#", file.stem.lower()))
    shared = [each for each in kinds.values() if len(set(each)) > 1]
    if 2 * sum(map(len, shared)) <= len(images):
        return ""
    names = _first_of(dict.fromkeys(name for each in shared for name in each))
    return f"files with names of several kinds but equal numbers ({names}) {_ONE_SEQUENCE}"
