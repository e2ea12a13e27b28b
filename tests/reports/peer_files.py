"""Comparison of our reading of other projects' own test files with the library that they belong to.

A corpus is a folder of files, a reference that reads one of them, and a table of the files that may differ,
each with the reason. `pillow_files.py` shows one; `test_peer_files.py` lists them all.
"""

import multiprocessing
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CORPORA = Path(__file__).parents[2] / ".corpora"
"""Where `make corpora` unpacks what it fetches."""

_SECONDS = 60
_BYTES = 8 << 30
_WORKERS = 2
_MAX_FRAMES = 42
_MIN_CORRELATION = 0.97

Frames = Sequence[NDArray[Any]]


@dataclass(frozen=True)
class Corpus:
    """Files of another project.

    Attributes
    ----------
    name
        Name of the library that they belong to.
    files
        Lists them; nothing if they are not on this machine.
    reference
        Reads the frames of a file, gray, as the library reads them, at most the first 42; what it raises
        means that the library refuses the file. It is imported by name in another process.
    exceptions
        Files that are read differently on purpose, by their path in the corpus, and why.
    """

    name: str
    files: Callable[[], Mapping[str, Path]]
    reference: Callable[[Path], Frames]
    exceptions: Mapping[str, str] = field(default_factory=dict)


def gray(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean of the colors of an image; of gray and alpha, gray."""
    image = np.asarray(pixels, dtype=np.float64)
    if image.ndim == 2:
        return image
    return image[..., 0] if image.shape[-1] <= 2 else image[..., :3].mean(-1)


def _ours(path: Path) -> tuple[str, Frames, int]:
    from sam2_engine import open_frames

    with open_frames(path) as frames:
        return (
            frames.description,
            [gray(frames[i]) for i in range(min(len(frames), _MAX_FRAMES))],
            len(frames),
        )


def compare(path: Path, reference: Callable[[Path], Frames]) -> tuple[str, str]:
    """Read a file in both ways; return what came of it in one word, and details."""
    from sam2_engine.errors import InputError

    try:
        expected: Frames | None = reference(path)
        refusal = "no image" if not expected else ""
    except Exception as error:
        expected, refusal = None, f"{type(error).__name__}: {error}"
    try:
        description, frames, length = _ours(path)
    except InputError as error:
        return ("refused", str(error)) if expected else ("both refuse", str(error))
    except BaseException as error:
        return "crash", f"{type(error).__name__}: {error}"
    if not expected:
        return "only ours", f"{description} | reference: {refusal}"
    return _difference(expected, frames, length), f"{description} | reference: {len(expected)}"


def _difference(expected: Frames, frames: Frames, length: int) -> str:
    if expected[0].shape != frames[0].shape:
        return "shape"
    if len(expected) != length and len(expected) < _MAX_FRAMES:
        return "frames"
    return "same" if all(map(_alike, expected, frames)) else "pixels"


def _alike(expected: NDArray[Any], frame: NDArray[Any]) -> bool:
    """Whether gray levels agree but for a linear change: some libraries scale what we leave as it is."""
    if expected.shape != frame.shape:
        return False
    known = np.isfinite(expected) & np.isfinite(frame)
    a, b = expected[known], frame[known]
    if not a.size or a.std() < 1e-9 or b.std() < 1e-9:
        return bool(not a.size or (a.std() < 1e-9 and b.std() < 1e-9))
    return float(np.corrcoef(a, b)[0, 1]) >= _MIN_CORRELATION


def _work(paths: Sequence[Path], reference: Callable[[Path], Frames], connection: Connection) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    warnings.simplefilter("ignore")
    for path in paths:
        connection.send(compare(path, reference))


class _Worker:
    """A process that reads files one after the other; one that dies or hangs is replaced for the rest."""

    def __init__(self, corpus: Corpus, files: Sequence[tuple[str, Path]]) -> None:
        self._reference = corpus.reference
        self.files = list(files)
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["sam2_engine"])
        self.connection, theirs = context.Pipe(duplex=False)
        paths = [path for _, path in self.files]
        self._process = context.Process(target=_work, args=(paths, self._reference, theirs))
        self._process.start()
        theirs.close()
        self._since = time.monotonic()

    def take(self) -> tuple[str, str, str] | None:
        """Return the outcome of the next file, if there is one yet."""
        late = time.monotonic() - self._since > _SECONDS
        if not self.connection.poll() and not late:
            return None
        try:
            said = ("hang", f"after {_SECONDS} s") if late else self.connection.recv()
        except EOFError:
            self._process.join()
            said = ("crash", f"exit status {self._process.exitcode}")
        name, _ = self.files.pop(0)
        if said[0] in ("hang", "crash"):
            self.stop()
            self._start()
        self._since = time.monotonic()
        return name, *said

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def outcomes(corpus: Corpus) -> Iterator[tuple[str, str, str]]:
    """Read every file of a corpus, away from this process; yield its name, outcome and details."""
    files = list(corpus.files().items())
    workers = [_Worker(corpus, files[number::_WORKERS]) for number in range(_WORKERS)]
    try:
        while workers := [worker for worker in workers if worker.files or worker.stop()]:
            wait([worker.connection for worker in workers], timeout=1)
            for worker in workers:
                if (outcome := worker.take()) is not None:
                    yield outcome
    finally:
        for worker in workers:
            worker.stop()
