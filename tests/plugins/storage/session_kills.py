"""Does a session survive being killed at any moment, and at every single file operation?

    python tests/plugins/storage/session_kills.py [--kills N] [--every N] [--seed N] [--output FILE]

A process makes a session folder and works in it: objects, masks, verifying, undo, snapshots, closing and
opening again. It tells of every action once that is done. It is killed (SIGKILL) at random moments; or it
ends, as if killed, before the first, second, ... file operation in the folder, of any thread. Then the folder
is opened: everything that was told must be there, the action that was under way wholly or not at all, nothing
may lie beside it, and work must go on in it. Writes ``benchmarks/results/kills.md``; exits with 1 if anything
was lost. Linux.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from sam2_plugins import AnnotationSession, ModelStore, SessionFolder, open_session

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
RESULTS = BENCHMARKS / "results" / "kills.md"
FRAMES = np.zeros((6, 48, 64), np.uint8)
ACTIONS, SNAPSHOT_EVERY, REOPEN_AFTER = 12, 5, 8
STORE = ModelStore("cpu")
NAME = "work.sam2"
ENDS = "ends before each file operation"
Result = tuple[str, int, bool]
OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.link")


def new_session() -> AnnotationSession:
    """Return a session on black frames."""
    return AnnotationSession(FRAMES, STORE, axes="TYX")


def actions(seed: int) -> Iterator[Callable[[AnnotationSession], object]]:
    """Yield what is done, the same for the same seed."""
    chance = np.random.default_rng(seed)
    yield lambda session: session.add_object("first")
    for number in range(1, ACTIONS):
        draw = chance.random(4)
        frame, object_id = int(draw[0] * len(FRAMES)), 1 + int(draw[1] * 3)
        mask = np.zeros(FRAMES.shape[1:], bool)
        top, left = int(draw[2] * 30), int(draw[3] * 40)
        mask[top : top + 15, left : left + 20] = chance.random((15, 20)) > 0.3
        kind = number % 6
        if kind in (0, 1, 3):
            yield lambda session, f=frame, i=object_id, m=mask: session.import_masks(f, {i: m})
        elif kind == 2:
            yield lambda session, n=number: session.edit_object(1, name=f"name {n}")
        elif kind == 4:
            yield lambda session: session.verify(1, session.frames_of(1)[:1])
        else:
            yield lambda session: session.undo()


def digest(session: AnnotationSession) -> str:
    """Return a checksum of all that a user could see."""
    seen = hashlib.sha256(repr(dict(session.objects)).encode())
    for object_id in session.objects:
        seen.update(repr(sorted(session.verified(object_id))).encode())
        for frame in session.frames_of(object_id):
            accepted = session.accepted(object_id, frame)
            assert accepted is not None
            mask = accepted.mask
            seen.update(repr((object_id, frame, mask.box, accepted.origin, mask.bits)).encode())
    return seen.hexdigest()


def work(folder: Path, seed: int, told: Callable[[], object]) -> None:
    """Make the folder and work in it; ``told`` is called after its creation and after every action."""
    session = new_session()
    saved = SessionFolder.create(folder / NAME, session)
    told()
    for number, do in enumerate(actions(seed), start=1):
        do(session)
        told()
        if number % SNAPSHOT_EVERY == 0:
            saved.snapshot()
        if number == REOPEN_AFTER:
            saved.close()
            session, saved = open_session(folder / NAME, STORE, FRAMES)
    saved.close()


def expected_states(seed: int) -> list[str]:
    """Return the checksum at the beginning and after each action."""
    session = new_session()
    states = [digest(session)]
    for number, do in enumerate(actions(seed), start=1):
        do(session)
        states.append(digest(session))
        if number == REOPEN_AFTER:  # undo ends where it was opened
            copy = new_session()
            with tempfile.TemporaryDirectory() as name:
                SessionFolder.create(Path(name) / NAME, session).close()
                copy, saved = open_session(Path(name) / NAME, STORE, FRAMES)
                saved.close()
            session = copy
    return states


def check(folder: Path, states: list[str], told: int) -> str:
    """Return what is wrong with a folder after ``told`` reports, in words; nothing if all is well."""
    path = folder / NAME
    if told == 0 and not path.exists():
        SessionFolder.create(path, new_session()).close()
    session, saved = open_session(path, STORE, FRAMES)
    found, allowed = digest(session), states[max(told - 1, 0) : told + 1]
    if found not in allowed:
        return (
            f"after {told} reports the state is that of {states.index(found) if found in states else 'none'}"
        )
    session.add_object("after")
    after = digest(session)
    sum(1 for _ in saved.calls())
    saved.close()
    again, saved = open_session(path, STORE, FRAMES)
    saved.close()
    if digest(again) != after:
        return "what was done afterwards is not there"
    beside = sorted({one.name for one in folder.iterdir()} - {NAME})
    within = sorted(
        one.name for one in path.iterdir() if one.name.startswith((".state", ".session", "found-"))
    )
    return f"left over: {beside + within}" if beside + within else ""


def in_child(do: Callable[[], object]) -> int:
    """Do something in a process of its own and return its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        warnings.simplefilter("error")
        do()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def killed(states: list[str], seed: int, after: float | None, operation: int | None) -> Result:
    """Run until a moment or a file operation; return what is wrong, the reports, and whether it broke off."""
    folder = Path(tempfile.mkdtemp())
    reading, writing = os.pipe()
    try:
        child = in_child(
            lambda: (
                None if operation is None else die_before(operation, str(folder)),
                work(folder, seed, lambda: os.write(writing, b".")),
            )
        )
        os.close(writing)
        if after is not None:
            time.sleep(after)
            os.kill(child, signal.SIGKILL)
        told = 0
        while chunk := os.read(reading, 4096):
            told += len(chunk)
        status = os.waitpid(child, 0)[1]
        problems_file = folder.with_suffix(".problem")
        checking = in_child(lambda: problems_file.write_text(check(folder, states, told)))
        failed = os.waitpid(checking, 0)[1] != 0
        problem = "it cannot be opened" if failed else problems_file.read_text()
        problems_file.unlink(missing_ok=True)
        return problem, told, status != 0
    finally:
        os.close(reading)
        shutil.rmtree(folder, ignore_errors=True)


def die_before(operation: int, folder: str) -> None:
    """End this process before its n-th file operation in a folder, counted from 1."""
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in OPERATIONS and str(arguments[0]).startswith(folder):
            count += 1
            if count == operation:
                os._exit(99)

    sys.addaudithook(hook)


def random_kills(
    states: list[str], seed: int, count: int, duration: float
) -> Iterator[tuple[str, int, bool]]:
    """Kill at random moments of a run, and of a bit more than that."""
    chance = random.Random(seed)
    for _ in range(count):
        yield killed(states, seed, chance.uniform(0, duration), None)


def every_operation(states: list[str], seed: int, step: int) -> Iterator[Result]:
    """End before each ``step``-th file operation, until a run has no more of them."""
    operation = 1
    while True:
        result = killed(states, seed, None, operation)
        yield result
        if not result[2]:
            return
        operation += step


def in_words(results: list[Result], what: str) -> list[str]:
    """Return what came of it."""
    cut = [result for result in results if result[2]]
    problems = [f"{problem} (after {told} reports)" for problem, told, _ in results if problem]
    lines = [
        f"- {what}: {len(cut)} ended before their end, {sum(told == 0 for _, told, _ in cut)} of them "
        f"while the folder was made; **{len(problems)} lost something**."
    ]
    return lines + [f"  - {problem}" for problem in sorted(set(problems))]


def main() -> int:
    """Kill, report, and return whether anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=300, help="at random moments")
    parser.add_argument("--every", type=int, default=1, help="file operations between two ends; 0: none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    sys.path.append(str(BENCHMARKS))
    import scenes

    torch.set_num_threads(1)
    provenance, lines = scenes.provenance(), []
    states_file = Path(tempfile.mkdtemp()) / "states"
    child = in_child(lambda: states_file.write_text("\n".join(expected_states(given.seed))))
    os.waitpid(child, 0)
    states = states_file.read_text().split()
    shutil.rmtree(states_file.parent)
    start = time.monotonic()
    problem, told, _ = killed(states, given.seed, None, 10**9)
    duration = (time.monotonic() - start) * 0.8
    if problem or told != len(states):
        sys.exit(f"undisturbed it does not work either: {problem or told}")
    lost = 0
    for what, results in (
        (f"{given.kills} kills at random moments", random_kills(states, given.seed, given.kills, duration)),
        (
            "ends before each file operation",
            every_operation(states, given.seed, given.every) if given.every else (),
        ),
    ):
        found = []
        for result in results:
            found.append(result)
            if result[0]:
                print(result, file=sys.stderr, flush=True)
        lines += in_words(found, what if found else "none")
        lost += sum(bool(problem) for problem, _, _ in found)
    lines = [
        f"{provenance}; {ACTIONS} actions, {ACTIONS // SNAPSHOT_EVERY} snapshots, one reopening.",
        "",
        *lines,
    ]
    scenes.write_section(given.output, "Sessions that are killed", "At any moment", lines)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
