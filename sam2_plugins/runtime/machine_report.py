"""Report of the machine, for one of a fault: versions, device, kernels, memory and space."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from sam2_engine.modeling.processor import capabilities
from sam2_engine.user_cache import user_cache
from sam2_engine.weights.locations import cache_folder, list_models
from sam2_engine.wording import size_in_words
from sam2_plugins.runtime.computing import describe_computing

__all__ = ["machine_report"]

_PACKAGES = (
    *("torch", "numpy", "scipy", "tifffile", "zarr", "av", "pillow"),
    *("napari", "qtpy", "PyQt6", "PySide6", "vispy", "label-studio-ml", "distributed"),
)
_OURS = ("sam2_engine", "sam2_plugins", "napari_plugin", "labelstudio_backend")
_VARIABLES = ("OMP_", "MKL_", "CUDA_", "PYTORCH_", "SAM2_", "QT_", "DISPLAY")


def machine_report() -> list[tuple[str, list[str]]]:
    """Describe this machine as far as it decides what happens here.

    Returns
    -------
    list of tuple
        Titles and their lines. The user's folder is written as ``~``, and only what is of use is in it.

    Examples
    --------
    >>> [title for title, _ in machine_report()]
    ['Versions', 'Computing', 'Attention', 'Memory and space', 'Models', 'Environment']
    """
    computing, kernels = describe_computing()
    return [
        ("Versions", _versions()),
        ("Computing", [f"Processor: {_processor()}", *computing]),
        ("Attention", [f"{work}: {chosen}{_times(times)}" for work, chosen, times in kernels]),
        ("Memory and space", _room()),
        ("Models", [status.name for status in list_models() if status.available]),
        ("Environment", _environment()),
    ]


def _versions() -> list[str]:
    lines = [
        f"sam2-plugins {version('sam2-plugins')}",
        f"Python {platform.python_version()} ({platform.python_implementation()}, {sys.executable})",
        platform.platform(),
    ]
    for package in _PACKAGES:
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package}: not installed")
    for name, others in _also_brought_by_others(packages_distributions()).items():
        lines.append(f"{name} comes from {' and '.join(others)}, too: uninstall what is not sam2-plugins")
    return [_without_home(line) for line in lines]


def _also_brought_by_others(distributions: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return those of our packages that another distribution has, too; two of their names are general."""
    brought = {name: sorted(set(distributions.get(name, ()))) for name in _OURS}
    return {name: by for name, by in brought.items() if set(by) - {"sam2-plugins"}}


def _processor() -> str:
    known = capabilities()
    has = " ".join(sorted(name for name, value in known.items() if value is True))
    name = known.get("cpu_name") or platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {has}"


def _times(times: dict[str, float]) -> str:
    measured = ", ".join(f"{name} {seconds * 1000:.1f} ms" for name, seconds in times.items())
    return f" ({measured})" if measured else ""


def _room() -> list[str]:
    lines = []
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = (os.sysconf(name) * page for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
        lines.append(f"memory: {size_in_words(free)} unused of {size_in_words(total)}")
    folders = {
        "this folder": Path.cwd(),
        "temporary files": Path(tempfile.gettempdir()),
        "cache": user_cache(),
        "models": cache_folder(),
    }
    for name, folder in folders.items():
        there = next(place for place in (folder, *folder.parents) if place.exists())
        free = shutil.disk_usage(there).free
        lines.append(f"{name}: {size_in_words(free)} free in {_without_home(str(folder))}")
    return lines


def _environment() -> list[str]:
    found = sorted(item for item in os.environ.items() if item[0].startswith(_VARIABLES))
    return [_without_home(f"{name}={value}") for name, value in found]


def _without_home(text: str) -> str:
    return text.replace(str(Path.home()), "~")
