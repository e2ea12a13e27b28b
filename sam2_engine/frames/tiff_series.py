"""Series of a TIFF file and their resolutions: what its metadata say, else what its pages are marked as."""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from tifffile import PLANARCONFIG

from sam2_engine.errors import InputError
from sam2_engine.frames.series import Series, choose_series, left_out
from sam2_engine.frames.spacing import Spacing
from sam2_engine.frames.spacing.tiff import coarser, tiff_spacing
from sam2_engine.frames.tiff_pixels import PLAIN, Reading, orientation_of, page_colors, refusal, upright_shape
from sam2_engine.wording import counted

__all__ = ["PageStack", "choose_stack", "missing_companions"]

_OLD_SUBFILE_TYPE, _OLD_REDUCED = 255, 2
_LAST_UNTURNED = 4  # of the orientations; in later ones rows are stored as columns
_MUCH_LARGER = 16
"""So many times the area makes of an unmarked first page a thumbnail of what follows."""

_MOST_PLANES = 1 << 24
"""No set of files has so many planes; tifffile makes a list of as many as OME metadata tell of."""

_COARSER = 3.9
"""The same for a single page of the same proportions: half its height and width, rounded."""


@dataclass(frozen=True)
class PageStack:
    """The pages of one resolution of a series.

    Attributes
    ----------
    pages
        One page for each position on the leading axes, None where it is not in the file; or, of a stack
        that is described as a whole, those that there are.
    axes, shape
        Of the whole stack, as stored: leading axes, and those within a page.
    kind
        Where its description comes from, as tifffile names it.
    source
        The series of tifffile, None if pages were put together otherwise.
    offset
        Where the pixels of a stack begin that lie one after the other.
    is_mixed
        Whether the pages hold pixels of several kinds, which are read alike.
    orientation
        That of pages which do not say.
    notes
        What users should know of how it came about.
    spacing
        Sizes by the letter of the axis, as its metadata have them, of upright pixels.
    """

    pages: Sequence[Any]
    axes: str
    shape: tuple[int, ...]
    kind: str
    source: Any = None
    offset: int | None = None
    is_mixed: bool = False
    orientation: int = 1
    notes: tuple[str, ...] = ()
    spacing: Mapping[str, Spacing] = field(default_factory=dict)

    @property
    def keyframe(self) -> Any:
        """The page that says how all of them are stored."""
        return next(page for page in self.pages if page is not None).keyframe

    @property
    def is_measured(self) -> bool:
        """Whether the metadata of an instrument or an analysis program describe it."""
        return self.kind not in PLAIN

    def in_pages(self, unit: tuple[int, ...]) -> bool:
        """Whether each plane of a shape has a page of its own."""
        planes = math.prod(self.shape[: len(self.shape) - len(unit)])
        return len(self.pages) >= planes and self.keyframe.shape == unit

    @property
    def has_planes_in_pages(self) -> bool:
        """Whether separate samples of a page may be planes of a stack: tifffile writes arrays so."""
        page = self.keyframe
        separate = page.planarconfig == PLANARCONFIG.SEPARATE and page.samplesperpixel > 1
        return bool(self.kind == "shaped" and separate)


@dataclass
class _Entry:
    """A series as it is offered: its resolutions, the finest first; or a reduced copy of unknown origin."""

    name: str
    levels: list[PageStack] = field(default_factory=list)
    is_copy: bool = False

    @property
    def size(self) -> tuple[int, int]:
        return upright_shape(self.levels[0].keyframe)

    @property
    def area(self) -> int:
        return _area(self.levels)

    @property
    def title(self) -> str:
        return self.name or f"{self.size[0]} x {self.size[1]}"


def choose_stack(file: tifffile.TiffFile, series: Series, level: int) -> PageStack:
    """Return one resolution of the series that is asked for, by default of the largest.

    Raises
    ------
    InputError
        If there is no image in the file, no such series, or no such level.
    """
    notes = _unwind(file)
    ome = _ome(file)
    entries, more = _entries(file, ome)
    if not entries:
        raise InputError(f"{file.filename} holds no image; export it again.")
    titles = [entry.title for entry in entries]
    number = choose_series(file.filename, titles, series, _default(entries))
    levels = entries[number].levels
    if not 0 <= level < len(levels):
        raise InputError(f"{file.filename} has the levels 0 to {len(levels) - 1}, not {level}.")
    notes = [left_out(titles, number), *more, *notes]
    if len(levels) > 1:
        notes.append(f"level {level} of {len(levels)}" + (", the finest" if not level else ""))
    stack = levels[level]
    usual = 1 if stack.is_mixed else orientation_of(levels[0].keyframe)
    sizes = tiff_spacing(file, levels[0].keyframe, ome, number)
    if usual > _LAST_UNTURNED and "Y" in sizes and "X" in sizes:
        sizes |= {"Y": sizes["X"], "X": sizes["Y"]}
    sizes = coarser(sizes, upright_shape(levels[0].keyframe), upright_shape(stack.keyframe))
    notes[:0] = stack.notes
    return replace(stack, orientation=usual, notes=tuple(filter(None, notes)), spacing=sizes)


def _unwind(file: tifffile.TiffFile) -> list[str]:
    """Cut a chain of pages that leads back to one of them; tifffile would go round in it."""
    layout, handle = file.tiff, file.filehandle
    offsets: dict[int, None] = {}
    try:
        offset = file.pages.first.offset
        while 0 < offset < handle.size and offset not in offsets:
            offsets[offset] = None
            handle.seek(offset)
            (tags,) = struct.unpack(layout.tagnoformat, handle.read(layout.tagnosize))
            handle.seek(offset + layout.tagnosize + tags * layout.tagsize)
            (offset,) = struct.unpack(layout.offsetformat, handle.read(layout.offsetsize))
    except (struct.error, OSError, LookupError):  # no page at all, or the last one is cut off
        return []
    if offset not in offsets:
        return []
    pages: Any = file.pages
    pages._offsets, pages._indexed = list(offsets), True
    return ["its chain of pages leads back to an earlier one, and each is read once"]


def _default(entries: Sequence[_Entry]) -> int:
    """Return the largest series; of equals, and of pages that nothing describes, the first."""
    areas = [0 if entry.is_copy else entry.area for entry in entries]
    largest = areas.index(max(areas))
    first, other = entries[0].levels[0], entries[largest].levels[0]
    single = len(first.pages) == len(other.pages) == 1
    coarser = single and _are_alike(first.keyframe, other.keyframe)
    times = areas[largest] / max(areas[0], 1)
    is_copy = times >= _MUCH_LARGER or (coarser and times >= _COARSER)
    return largest if first.is_measured or is_copy else 0


def _entries(file: tifffile.TiffFile, ome: ElementTree.Element | None) -> tuple[list[_Entry], list[str]]:
    _check_ome(file, ome)
    series = _series(file)
    if not series or series[0].kind not in PLAIN:
        return [_Entry(one.name, [_stack(file, level) for level in one.levels]) for one in series], []
    if (stack := _unfinished_imagej(file) or _unfinished_array(file, series)) is not None:
        return [_Entry("", [stack])], []
    entries, notes = _plain_entries(file, series)
    return entries, [*notes, *_described_elsewhere(ome)]


def _check_ome(file: tifffile.TiffFile, ome: ElementTree.Element | None) -> None:
    """Refuse what tifffile would list or open, whatever it is, because OME metadata say so.

    Raises
    ------
    InputError
        If they tell of more planes than there can be, or of a file elsewhere or that is a pipe.
    """
    for element in () if ome is None else ome.iter():
        name = element.get("FileName") if element.tag.endswith("UUID") else None
        if name is not None:
            path = Path(file.filehandle.dirname, name)
            if ".." in path.parts or Path(name).is_absolute() or (path.exists() and not path.is_file()):
                raise InputError(
                    f"{file.filename} is one of a set with {name}, which is no file in its folder; put all "
                    "of them into one folder, or export it again."
                )
        if _planes_told_by(element) > _MOST_PLANES:
            raise InputError(
                f"{file.filename} is damaged: its OME metadata tell of more than {_MOST_PLANES:,} planes; "
                "export it again."
            )


def _planes_told_by(element: ElementTree.Element) -> float:
    """Return how many planes an element of OME metadata stands for; 0 if it cannot be read."""
    tell = element.attrib
    try:
        if element.tag.endswith("Pixels"):
            return math.prod(int(tell[f"Size{axis}"]) for axis in "TCZ")
        if element.tag.endswith("TiffData"):
            first = [int(tell.get(f"First{axis}", 0)) for axis in "TCZ"]
            return max(*first, *(int(tell.get(key, 0)) for key in ("IFD", "PlaneCount", "NumPlanes")))
        if element.tag[:-1].endswith("ModuloAlong"):
            return abs(float(tell["End"]) - float(tell["Start"])) / abs(float(tell.get("Step", 1)))
    except (KeyError, ValueError, ZeroDivisionError):
        pass  # tifffile says what is wrong with it
    return 0


def _series(file: tifffile.TiffFile) -> list[Any]:
    try:
        return list(file.series)
    except Exception:
        # Metadata that do not fit the pages: these can still be read as they are.
        generic = getattr(file, "_series_generic")  # noqa: B009  (not public)
        return list(generic() or [])


def _stack(file: tifffile.TiffFile, series: Any) -> PageStack:
    """Return the pages of a series of tifffile, with those that it has not looked for."""
    # Its own list is not public; to ask for each page would read all of a contiguous stack's.
    pages, shape, axes = list(getattr(series, "_pages")), tuple(series.shape), str(series.axes)  # noqa: B009
    first = next(page for page in pages if page is not None).keyframe
    if shape[-1] == 1 and shape[-first.ndim - 1 : -1] == first.shape:  # an array's last axis of one position
        axes, shape = axes[:-1], shape[:-1]
    planes = math.prod(shape[: -first.ndim]) if shape[-first.ndim :] == first.shape else len(pages)
    if len(pages) < planes and series.dataoffset is None:
        if len(pages) == 1 and len(file.series) == 1 and not first.is_subifd:
            pages = list(file.pages[first.index :])[:planes]
        pages += [None] * (planes - len(pages))
    return PageStack(pages, axes, shape, series.kind, series, series.dataoffset)


def _unfinished_imagej(file: tifffile.TiffFile) -> PageStack | None:
    """Return the stack that ImageJ describes in its first page, if the file ends before the stack does."""
    metadata, page = file.imagej_metadata if file.is_imagej else None, file.pages.first
    if not metadata or not page.is_final:
        return None
    frames, slices, channels = (int(metadata.get(key, 1)) for key in ("frames", "slices", "channels"))
    shape = (frames, slices, channels)
    if min(shape) < 1:
        return None
    if math.prod(shape) == 1:
        shape = (int(metadata.get("images", 1)), 1, 1)
    if math.prod(shape) < 2:
        return None
    keep = [i for i in range(3) if shape[i] > 1]
    axes = "".join("TZC"[i] for i in keep) + page.axes
    kept = tuple(shape[i] for i in keep)
    there = list(file.pages)
    if len(there) == 1:
        return PageStack(there, axes, (*kept, *page.shape), "imagej", offset=page.dataoffsets[0])
    pages = [*there, *[None] * (math.prod(kept) - len(there))]
    return PageStack(pages, axes, (*kept, *page.shape), "imagej")


def _unfinished_array(file: tifffile.TiffFile, series: Sequence[Any]) -> PageStack | None:
    """Return the array that tifffile describes in its first page, if there are fewer pages than it needs."""
    metadata, page = file.shaped_metadata, file.pages.first
    shape = tuple(metadata[0].get("shape", ())) if metadata and len(metadata) == 1 else ()
    planes = math.prod(shape[: -page.ndim])
    if len(series) != 1 or page.subifds or shape[-page.ndim :] != page.shape or len(file.pages) >= planes:
        return None
    if series[0].dataoffset is not None:
        return None
    lead = str(metadata[0].get("axes", ""))[: -page.ndim]
    if len(lead) != len(shape) - page.ndim:
        lead = "Q" * (len(shape) - page.ndim)
    pages = [*file.pages, *[None] * (planes - len(file.pages))]
    return PageStack(pages, lead + page.axes, shape, "shaped")


def _plain_entries(file: tifffile.TiffFile, series: Sequence[Any]) -> tuple[list[_Entry], list[str]]:
    """Put together the pages that nothing describes: equal ones are frames, reduced ones are levels."""
    stacks = [[_stack(file, level) for level in one.levels] for one in series]
    masks = [levels for levels in stacks if levels[0].keyframe.is_mask]
    if len(masks) == len(stacks):
        masks = []
    stacks = [levels for levels in stacks if levels not in masks]
    notes = [f"{counted(len(masks), 'transparency mask')} left out"] if masks else []
    raw = [levels for levels in stacks if refusal(levels[0].keyframe)]
    seen = [levels for levels in stacks if levels not in raw] or stacks
    full = [levels for levels in seen if not _is_reduced(levels[0].keyframe)] or [max(seen, key=_area)]
    main = [levels for levels in full if not levels[0].keyframe.is_subifd] or full
    entries = [_Entry(one[0].source.name, one) for one in _joined(main)]
    others = [levels for levels in stacks if all(levels is not one for one in main)]
    for levels in sorted(others, key=lambda levels: (levels in raw, -_area(levels))):
        for stack in levels:
            _attach(entries, stack)
    return entries, notes


def _area(levels: list[PageStack]) -> int:
    return math.prod(upright_shape(levels[0].keyframe))


def _is_reduced(page: Any) -> bool:
    return bool(page.is_reduced or page.tags.valueof(_OLD_SUBFILE_TYPE) == _OLD_REDUCED)


def _joined(stacks: list[list[PageStack]]) -> list[list[PageStack]]:
    """Join pages of one size whose pixels are alike, however they are stored, in their order in the file."""
    groups: dict[Any, list[list[PageStack]]] = {}
    for levels in stacks:
        groups.setdefault(_likeness(levels[0]), []).append(levels)
    return [group[0] if len(group) == 1 else [_join(group)] for group in groups.values()]


def _likeness(stack: PageStack) -> Any:
    page = stack.keyframe
    if stack.kind == "shaped" and (len(stack.pages) > 1 or stack.shape != page.shape):
        return id(stack)
    try:
        colors = page_colors(page, Reading(kind=stack.kind))
    except InputError:
        return id(stack)
    alike = "8 bits" if colors.dtype in (np.uint8, np.bool_) else (colors.dtype, colors.axes)
    return colors.shape[:2], alike


def _join(group: list[list[PageStack]]) -> PageStack:
    pages = sorted((page for levels in group for page in levels[0].pages), key=lambda page: page.index)
    first = pages[0]
    kinds = {(page.photometric, page.bitspersample) for page in pages}
    note = (f"pages of {len(kinds)} kinds of pixels, read alike",) if len(kinds) > 1 else ()
    stack = group[0][0]
    return PageStack(
        pages, "I" + first.axes, (len(pages), *first.shape), stack.kind, stack.source, None, True, 1, note
    )


def _attach(entries: list[_Entry], stack: PageStack) -> None:
    """Add a reduced stack to the series that it repeats, else as a series of its own."""
    page = stack.keyframe
    for entry in entries:
        full = entry.levels[0]
        smaller = page.imagelength * page.imagewidth < entry.area and not refusal(page)
        if smaller and len(stack.pages) == len(full.pages) and _are_alike(page, full.keyframe):
            entry.levels.append(stack)
            return
    entries.append(_Entry("", [stack], is_copy=True))


def _are_alike(page: Any, other: Any) -> bool:
    """Whether two pages, as stored, have the same proportions but for rounding."""
    difference = page.imagelength * other.imagewidth - page.imagewidth * other.imagelength
    return bool(abs(difference) <= max(other.imagelength, other.imagewidth))


def missing_companions(file: tifffile.TiffFile) -> list[str]:
    """Say of the other files of an OME set which are missing or damaged."""
    root = _ome(file)
    if root is None:
        return []
    folder = Path(file.filehandle.dirname)
    names = {element.get("FileName") for element in root.iter() if element.tag.endswith("UUID")}
    faults = []
    for name in sorted(name for name in names if name):
        if not (folder / name).exists():
            faults.append(f"{name} is missing")
            continue
        try:
            tifffile.TiffFile(folder / name).close()
        except Exception:
            faults.append(f"{name} is damaged")
    return faults


def _described_elsewhere(ome: ElementTree.Element | None) -> list[str]:
    """Say so where a file is one of a set that another file describes."""
    others = [] if ome is None else [element for element in ome if element.tag.endswith("BinaryOnly")]
    return [f"one file of a set that {element.get('MetadataFile')} describes" for element in others]


def _ome(file: tifffile.TiffFile) -> ElementTree.Element | None:
    metadata = file.ome_metadata if file.is_ome else None
    try:
        return ElementTree.fromstring(metadata) if metadata else None
    except ElementTree.ParseError:
        return None
