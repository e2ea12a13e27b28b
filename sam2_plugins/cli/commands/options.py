"""Options that several commands share, and the parsing of their values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from sam2_engine.errors import InputError
from sam2_plugins.runtime.extras import is_installed

__all__ = [
    "AlongOption",
    "AxesOption",
    "BomOption",
    "ChannelOption",
    "ConfidenceOption",
    "ContrastOption",
    "DeviceOption",
    "FixedOption",
    "IntervalOption",
    "LevelOption",
    "MinAreaOption",
    "ModelOption",
    "OutputOption",
    "OverwriteOption",
    "PixelSizeOption",
    "PlaneSpacingOption",
    "PointsPerSideOption",
    "SeriesOption",
    "SessionModelOption",
    "TableOption",
    "examples",
    "needs",
    "parse_box",
    "parse_contrast",
    "parse_fixed",
    "parse_frames",
    "parse_points",
    "parse_quantity",
]

AxesOption = Annotated[
    str | None,
    typer.Option(
        "--axes",
        metavar="LETTERS",
        help="One letter per axis of the file, for example TYX, ZYX or TCYX, where the file does not tell.",
    ),
]
ChannelOption = Annotated[
    int | None, typer.Option("--channel", metavar="N", help="Use only this channel, counted from 0.")
]
FixedOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fixed",
        metavar="AXIS=N",
        help="Position on an axis other than the frames', for example Z=3. Repeatable.",
    ),
]
AlongOption = Annotated[
    str | None,
    typer.Option(
        "--along",
        metavar="AXIS",
        help="Cut a volume along Z (its planes), Y or X; frames are counted along it, with rows along Z.",
    ),
]
SeriesOption = Annotated[
    str | None,
    typer.Option(
        "--series",
        metavar="N|NAME",
        help="Which of several series (positions, scenes) of a file or folder; by default the largest.",
    ),
]
LevelOption = Annotated[
    int, typer.Option("--level", min=0, metavar="N", help="Resolution level of a pyramid; 0 is the finest.")
]
ContrastOption = Annotated[
    str | None,
    typer.Option(
        "--contrast",
        metavar="LO,HI",
        help="Gray levels shown to the model as black and white, or a window of CT by its name, as lung or "
        "'soft tissue'; by default 8-bit images pass as they are, others between their percentiles 0.1 and "
        "99.9.",
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="auto, cpu, cuda, cuda:1, mps; or tcp://host:8786, a dask scheduler on whose worker models run.",
    ),
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME",
        help="A name from `sam2 models`, or a .pt or .safetensors file. NAME@320 takes a smaller input: "
        "faster, coarser; NAME+fast tracks many small objects faster, with nearly the same masks.",
    ),
]
SessionModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="As for `sam2 segment`; by default the session's, or nano."),
]
ConfidenceOption = Annotated[
    float | None,
    typer.Option(
        "--confidence",
        metavar="0..1",
        help="Least score of an object: predicted IoU times stability. By default the model's own.",
    ),
]
MinAreaOption = Annotated[
    int,
    typer.Option(
        "--min-area", min=0, metavar="N", help="Leave out objects, holes, small components below this."
    ),
]
PointsPerSideOption = Annotated[
    int,
    typer.Option(
        "--points-per-side", min=1, metavar="N", help="Clicks per side of the grid, or of each tile's."
    ),
]
OutputOption = Annotated[
    Path,
    typer.Option("-o", "--output", metavar="TIFF", help="Label image to write: object ids, 0 is background."),
]
TableOption = Annotated[
    Path | None,
    typer.Option("--csv", metavar="CSV", help="Also write a table of measurements and scores of every mask."),
]
PixelSizeOption = Annotated[
    str | None,
    typer.Option(
        "--pixel-size",
        metavar="SIZE,UNIT",
        help="Side of a pixel, as 0.65,µm; by default the session's, else the file's.",
    ),
]
IntervalOption = Annotated[
    str | None,
    typer.Option(
        "--interval",
        metavar="TIME,UNIT",
        help="From frame to frame, as 5,min; by default the session's, else the file's.",
    ),
]
PlaneSpacingOption = Annotated[
    str | None,
    typer.Option(
        "--plane-spacing",
        metavar="SIZE,UNIT",
        help="From plane to plane of a volume, as 2,µm; by default the session's, else the file's.",
    ),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there; without it, nothing ever is.")
]
BomOption = Annotated[
    bool, typer.Option("--bom", help="Begin the CSV with a byte order mark, by which Excel tells µ.")
]


def examples(*lines: str) -> str:
    """Return the end of a command's help: how it is typed."""
    return "\n".join(("\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)))


def needs(extra: str, *modules: str) -> str:
    """Return what a help text says of an extra: that it is needed, and if it is missing here.

    Examples
    --------
    >>> needs("cluster", "json")
    'needs the extra cluster'
    >>> needs("cluster", "no_such_module")
    'needs the extra cluster, missing here: pip install "sam2-plugins[cluster]"'
    """
    missing = "" if is_installed(*modules) else f', missing here: pip install "sam2-plugins[{extra}]"'
    return f"needs the extra {extra}{missing}"


def parse_contrast(text: str | None) -> tuple[float, float] | None:
    """Read ``LO,HI``, or the name of a Hounsfield window.

    Raises
    ------
    InputError
        If these are not two numbers with LO below HI, or there is no such window.

    Examples
    --------
    >>> parse_contrast("100,4000"), parse_contrast("lung")
    ((100.0, 4000.0), (-1350.0, 150.0))
    """
    if text is None:
        return None
    if text.strip() and text.strip()[0].isalpha():
        from sam2_engine.preprocessing import IntensityWindow  # imports PyTorch

        window = IntensityWindow.of(text.strip())
        return window.low[0], window.high[0]
    low, high = _numbers(text, 2, "--contrast LO,HI")
    if not low < high:
        raise InputError(f"--contrast {text}: LO must be below HI.")
    return low, high


def parse_fixed(texts: list[str] | None) -> dict[str, int]:
    """Read ``AXIS=N`` values.

    Raises
    ------
    InputError
        If one is not a letter, an equals sign and a whole number, or an axis is given twice.
    """
    positions: dict[str, int] = {}
    for text in texts or []:
        letter, _, number = text.partition("=")
        if len(letter) != 1 or not letter.isalpha() or not number.isdigit():
            raise InputError(f"--fixed {text}: a position is AXIS=N, for example Z=3.")
        if positions.setdefault(letter.upper(), int(number)) != int(number):
            raise InputError(f"--fixed {text}: axis {letter.upper()} has one position; give it once.")
    return positions


_MOST_FRAMES = 10**7
"""A range is a list of its frames, which is to fit into memory."""


def parse_frames(text: str | None, option: str = "--frames") -> list[int] | None:
    """Read ``0-29,31``: numbers, and ranges of them with their last one.

    Raises
    ------
    InputError
        If it is written otherwise.

    Examples
    --------
    >>> parse_frames("0-2,5")
    [0, 1, 2, 5]
    """
    if text is None:
        return None
    frames: set[int] = set()
    for part in text.split(","):
        first, is_range, last = (one.strip() for one in part.partition("-"))
        if not first.isdigit() or (is_range and (not last.isdigit() or int(last) < int(first))):
            raise InputError(f"{option} {text}: give numbers as 0-29,31.")
        if int(last or first) >= _MOST_FRAMES:
            raise InputError(f"{option} {text}: no stack has so many frames.")
        frames.update(range(int(first), int(last or first) + 1))
    return sorted(frames)


def parse_quantity(text: str | None, option: str, units: Mapping[str, str]) -> tuple[float, str] | None:
    """Read ``SIZE,UNIT``, such as ``0.65,µm``.

    Raises
    ------
    InputError
        If it is not a number above 0 and one of the units.
    """
    from sam2_engine.frames.spacing.units import known_unit  # slow, and of no use to the help

    if text is None:
        return None
    number, _, unit = text.partition(",")
    try:
        size = float(number)
    except ValueError:
        size = 0.0
    if not 0 < size < float("inf") or not unit.strip():
        example = "0.65,µm" if "µm" in units else "5,min"
        raise InputError(f"{option} {text}: give a number above 0 and a unit, for example {example}.")
    known = known_unit(unit, units)
    if known is None:
        raise InputError(f"{option} {text}: {unit.strip()} is none of the known units {', '.join(units)}.")
    return size, known


def parse_points(texts: list[str]) -> tuple[list[tuple[float, float]], list[int]]:
    """Read clicks ``X,Y`` (inside the object) and ``X,Y,-`` (outside); return them and their labels, 1 or 0.

    Raises
    ------
    InputError
        If one is written otherwise.
    """
    points, labels = [], []
    for text in texts:
        parts = [part.strip() for part in text.split(",")]
        sign = parts.pop() if len(parts) == 3 else "+"
        if sign not in "+-" or len(parts) != 2:
            raise InputError(f"--point {text}: a click is X,Y, or X,Y,- outside of the object.")
        x, y = _numbers(",".join(parts), 2, "--point X,Y")
        points.append((x, y))
        labels.append(int(sign == "+"))
    return points, labels


def parse_box(text: str) -> tuple[float, ...]:
    """Read ``X0,Y0,X1,Y1``.

    Raises
    ------
    InputError
        If these are not four numbers.
    """
    return _numbers(text, 4, "--box X0,Y0,X1,Y1")


def _numbers(text: str, count: int, form: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        raise InputError(f"{text!r} is not {count} numbers with commas between them, as in {form}.")
    return numbers
