"""Names of what belongs to each of many files: outputs and prompts in folders, by the file's name."""

from collections.abc import Sequence
from pathlib import Path

from sam2_engine.errors import InputError

__all__ = ["beside", "check_names_differ", "stem"]

_DOUBLE = (".ome", ".nii")


def stem(path: Path) -> str:
    """Return a file's name without its ending.

    Examples
    --------
    >>> stem(Path("day1/cells.ome.tif")), stem(Path("scan.nii.gz")), stem(Path("0.65um/cells_0.65um.tif"))
    ('cells', 'scan', 'cells_0.65um')
    """
    name = path.stem if path.suffix else path.name
    return next((name.removesuffix(ending) for ending in _DOUBLE if name.lower().endswith(ending)), name)


def beside(given: Path | None, source: Path, suffixes: Sequence[str]) -> Path | None:
    """Return what belongs to a file: of the same name in a folder; or what was given, if that is a file.

    Raises
    ------
    InputError
        If the folder has nothing of that name.
    """
    if given is None or not given.is_dir():
        return given
    for suffix in suffixes:
        if (found := given / f"{stem(source)}{suffix}").is_file():
            return found
    raise InputError(f"{given} has no {stem(source)}{suffixes[0]}, which would belong to {source}.")


def check_names_differ(sources: Sequence[Path]) -> None:
    """Refuse files of one name, whose outputs would take each other's place.

    Raises
    ------
    InputError
        If two have the same name without its ending.
    """
    seen: dict[str, Path] = {}
    for source in sources:
        other = seen.setdefault(stem(source), source)
        if other is not source:
            raise InputError(
                f"{other} and {source} would have the same output; give files of one name "
                "to two runs with two folders."
            )
