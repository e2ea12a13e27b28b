"""One target, fuzzed in a process of its own, which may hang, die, or run out of memory.

``python fuzz_child.py ENGINE TARGET SECONDS FOLDER RUNS`` runs it with atheris, guided by the coverage of the
readers, or with hypothesis; ``python fuzz_child.py replay FOLDER`` runs every target on its seeds, once.
What is found is in ``FOLDER/findings`` then.
"""

import contextlib
import faulthandler
import hashlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[2]
_PATIENCE = 8
"""How many times as long as it may compute an execution is waited for, before the process is ended."""
_MEMORY, _ADDRESSES = 1 << 30, 3 << 30
"""Bytes that may be used beyond those of the process at rest, and that may be asked for at all."""
_PACKAGES = ("sam2_engine", "sam2_plugins", "labelstudio_backend", "napari_plugin")
_INSTRUMENTED = [*_PACKAGES, "tifffile", "nibabel", "pydicom", "zarr"]


class TooSlowError(BaseException):
    """Nothing that a reader could take for a damaged file."""


class TooMuchMemoryError(BaseException):
    """More memory was used than a small file can need."""


class Findings:
    """Inputs that a target should have refused or read, one for each kind of failure."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kinds: set[str] = {path.stem for path in folder.glob("*.txt")}

    def add(self, data: bytes, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [
            frame for frame in frames if frame.filename.startswith(tuple(str(ROOT / p) for p in _PACKAGES))
        ]
        where = [(f.filename, f.lineno) for f in (*ours[-1:], *frames[-1:])]
        kind = hashlib.blake2b(repr((type(error).__name__, where)).encode(), digest_size=6).hexdigest()
        if kind in self._kinds:
            return
        self._kinds.add(kind)
        (self._folder / f"{kind}.zip").write_bytes(data)
        text = "".join(traceback.format_exception(error))
        (self._folder / f"{kind}.txt").write_text(text, encoding="utf-8", errors="replace")


class Limits:
    """Limits of time and memory of one execution."""

    def __init__(self) -> None:
        resting = _status("VmSize")
        resource.setrlimit(resource.RLIMIT_AS, (resting + _ADDRESSES, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self._end = 0.0
        signal.signal(signal.SIGALRM, self._ring)

    def _ring(self, _: int, __: FrameType | None) -> None:
        """End what has computed too long; on a busy machine that is later than it seems."""
        if time.process_time() >= self._end:
            raise TooSlowError

    @contextlib.contextmanager
    def of_one(self, seconds: float) -> Iterator[None]:
        """Bound what is done in the block."""
        Path("/proc/self/clear_refs").write_text("5")  # the highest use is counted anew
        before = _status("VmRSS")
        faulthandler.dump_traceback_later(_PATIENCE * seconds, exit=True)
        self._end = time.process_time() + seconds
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            faulthandler.cancel_dump_traceback_later()
        used = _status("VmHWM") - before
        if used > _MEMORY:
            raise TooMuchMemoryError(f"{used >> 20} MiB")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) << 10
    raise LookupError(name)


def executor(target: Any, folder: Path) -> Callable[[bytes], None]:
    """Return what runs a target once: whatever it should not do is added to the findings."""
    from mutation import unpack

    from sam2_engine.errors import InputError, InputWarning

    findings, limits = Findings(folder / "findings"), Limits()
    current, scratch = folder / "current.zip", Path(tempfile.mkdtemp(dir=folder))
    numbers = iter(range(sys.maxsize))

    def execute(data: bytes) -> None:
        files = unpack(data)
        if not files:
            return
        current.write_bytes(data)
        place = scratch / str(next(numbers))
        try:
            with warnings.catch_warnings(record=True) as said, limits.of_one(target.seconds):
                warnings.simplefilter("always")
                target.run(files, place)
        except InputError:
            pass
        except (Exception, TooSlowError, TooMuchMemoryError) as error:
            findings.add(data, error)
        for one in said:
            if not issubclass(one.category, InputWarning | ResourceWarning | DeprecationWarning):
                message = f"{one.category.__name__} of {one.filename}, line {one.lineno}: {one.message}"
                findings.add(data, _SaidError(message).at(one.filename, one.lineno))
        shutil.rmtree(place, ignore_errors=True)
        current.unlink()

    return execute


class _SaidError(Exception):
    """A warning that is none for people."""

    def at(self, filename: str, line: int) -> "_SaidError":
        code = compile("\n" * (line - 1) + "raise error", filename, "exec")
        try:
            exec(code, {"error": self})
        except _SaidError as error:
            return error
        raise AssertionError


def run_with_atheris(name: str, seconds: int, folder: Path, runs: int) -> None:
    import atheris

    # Planted faults need no coverage, which takes seconds to prepare.
    instrumented = atheris.instrument_imports(include=_INSTRUMENTED)
    with contextlib.nullcontext() if name.startswith("_") else instrumented:
        from planted_faults import target_named

        target = target_named(name)
        target.prepare()
    from mutation import MAX_BYTES, mutate, unpack

    seeds = [path.read_bytes() for path in sorted((folder / "corpus").iterdir())]

    def mutator(data: bytes, max_size: int, seed: int) -> bytes:
        if not unpack(data):  # what it begins with where nothing tells of coverage
            data = seeds[seed % len(seeds)]
        changed = mutate(
            data, Random(seed), lambda content, size: bytes(atheris.Mutate(content or b"\0", size))
        )
        return changed if len(changed) <= max_size else data

    execute = executor(target, folder)
    handlers = [f"-handle_{name}=0" for name in ("segv", "bus", "abrt", "ill", "fpe")]
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={4 * MAX_BYTES}",
        "-rss_limit_mb=0",
        "-timeout=0",
        f"-artifact_prefix={folder}/",
    ]
    options += [f"-runs={runs}", "-seed=1"] if runs else []
    options += ["-print_final_stats=1", "-detect_leaks=0", "-use_value_profile=0", *handlers]
    atheris.Setup([sys.argv[0], *options, str(folder / "corpus")], execute, custom_mutator=mutator)
    faulthandler.enable()
    atheris.Fuzz()


def run_with_hypothesis(name: str, seconds: int, folder: Path, runs: int) -> None:
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis import strategies as st
    from mutation import mutate
    from planted_faults import target_named

    target = target_named(name)
    target.prepare()
    execute = executor(target, folder)
    faulthandler.enable()
    corpus = [path.read_bytes() for path in sorted((folder / "corpus").iterdir())]
    end = time.monotonic() + seconds
    count = 0

    @settings(
        max_examples=200,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    # All is drawn before the clock is asked: what is drawn must not depend on it.
    @given(st.sampled_from(corpus), st.integers(0, 2**32 - 1))
    def fuzz(data: bytes, start: int) -> None:
        nonlocal count
        if time.monotonic() < end and (count < runs or not runs):
            execute(mutate(data, Random(start)))
            count += 1

    for data in corpus:
        execute(data)
    number = 0
    while time.monotonic() < end and (count < runs or not runs):
        number += 1
        seed(number)(fuzz)()
    print(f"stat::number_of_executed_units: {count + len(corpus)}", file=sys.stderr)


def replay(folder: Path) -> None:
    """Run every target on all it begins with."""
    from fuzz_targets import TARGETS, seeds_of

    faulthandler.enable()
    for target in TARGETS.values():
        target.prepare()
    for target in TARGETS.values():
        execute = executor(target, folder)
        for data in seeds_of(target).values():
            execute(data)


def main() -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    if sys.argv[1] == "replay":
        replay(Path(sys.argv[2]))
        os._exit(0)  # jobs of the backend may still run
    engine, name, seconds, folder, runs = sys.argv[1:]
    run = {"atheris": run_with_atheris, "hypothesis": run_with_hypothesis}[engine]
    run(name, int(seconds), Path(folder), int(runs))


if __name__ == "__main__":
    main()
