"""Targets with a fault, by which the tests see that fuzzing finds such a one."""

import ctypes
import time
from pathlib import Path

from fuzz_targets import TARGETS, Target
from mutation import Files

__all__ = ["PLANTED", "target_named"]

GOOD = b"\x01" * 16


class _Planted(Target):
    @property
    def inputs(self) -> dict[str, Files]:
        return {"good": {"a.bin": GOOD}}


def _is_bad(path: Path) -> bool:
    return path.is_dir() or path.read_bytes() != GOOD


def _fail(path: Path) -> None:
    if _is_bad(path):
        raise KeyError("mask")


def _loop(path: Path) -> None:
    while _is_bad(path):
        pass


def _hang(path: Path) -> None:
    if _is_bad(path):
        time.sleep(60)


def _use_memory(path: Path) -> None:
    if _is_bad(path):
        bytearray(b"\1") * (1_100 << 20)


def _ask_for_memory(path: Path) -> None:
    if _is_bad(path):
        bytearray(1 << 40)


def _crash(path: Path) -> None:
    if _is_bad(path):
        ctypes.string_at(0)


_FAULTS = [_fail, _loop, _hang, _use_memory, _ask_for_memory, _crash]
PLANTED = {fault.__name__: _Planted(fault.__name__, fault, seconds=2) for fault in _FAULTS}


def target_named(name: str) -> Target:
    """Return a target, or one with a planted fault."""
    return (TARGETS | PLANTED)[name]
