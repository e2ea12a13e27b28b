"""The folder of a session: a snapshot, and a journal of what was done since.

::

    session.json     format version, which frames and their scale, intensity window and model at first
    state.json       the snapshot: objects, prompts, verified frames, which groups of masks.zarr count, and
                     intensity window and model of now
    masks.zarr/      masks and scores, one group per object and snapshot
    journal.jsonl    one line per action since the snapshot, with all that it changed
    actions.jsonl    what was asked, up to the snapshot; with the journal's, all that ``sam2 replay`` needs

An action is one line, so it is on disk whole or not at all. A snapshot counts from the moment at which
``state.json`` is renamed into place. What another program put into the place of these files is moved to
``found-1/`` and so on when that is noticed. ``docs/session-format.md`` describes everything.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any, Self

from filelock import FileLock

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.runtime.atomic_files import os_error_sentence
from sam2_plugins.runtime.garbage import making_what_stays
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.history import Action
from sam2_plugins.storage.creation import LOCK, TakenError, clear_leftovers, making
from sam2_plugins.storage.folder_lock import NotWritableError, acquire_lock
from sam2_plugins.storage.journal import Journal
from sam2_plugins.storage.known_files import KnownFiles
from sam2_plugins.storage.manifest import (
    describe_frames,
    read_manifest,
    scale_in,
    write_files,
    write_manifest,
    write_manifest_again,
    write_reading,
    write_scale,
)
from sam2_plugins.storage.migrations import migrate
from sam2_plugins.storage.model_files import with_model_file
from sam2_plugins.storage.serialization import call_to_json, change_to_json
from sam2_plugins.storage.set_aside import SetAside
from sam2_plugins.storage.snapshot import read_calls, read_state
from sam2_plugins.storage.snapshot_writer import SnapshotWriter
from sam2_plugins.storage.undo_file import read_undo, write_undo

__all__ = ["NotWritableError", "SessionFolder"]

_LONG_JOURNAL = 64 * 2**20
_FILES = ("session.json", "state.json", "journal.jsonl", "actions.jsonl")
_MASKS = "masks.zarr"


class SessionFolder:
    """Saves a session on disk, action by action, from its beginning to :meth:`close`.

    Use :meth:`create` or :func:`open_session`.

    Attributes
    ----------
    path
        The folder.
    save_error
        In one sentence, why the last actions are not on disk (a full disk, say); None if all are. They are
        written with the next action that can be.
    notice
        In one sentence, what was found in place of the folder's files and where it is now; None if nothing.

    See Also
    --------
    open_session : opens a session that was saved.
    read_session : reads one without changing or locking it.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sam2_plugins import AnnotationSession, ModelStore, SessionFolder, open_session
    >>> frames, store = np.zeros((3, 64, 80), np.uint8), ModelStore()
    >>> path = Path(tempfile.mkdtemp()) / "work.sam2"
    >>> session = AnnotationSession(frames, store)
    >>> folder = SessionFolder.create(path, session)
    >>> session.add_object("cell")  # is on disk as soon as it is done
    1
    >>> folder.close()
    >>> session, folder = open_session(path, store, frames)
    >>> session.objects[1].name
    'cell'
    >>> [call["do"] for call in folder.calls()]
    ['add_object']
    >>> folder.close()
    """

    def __init__(self, path: Path, session: AnnotationSession, lock: FileLock) -> None:
        self.path = path
        self.save_error: str | None = None
        self.notice: str | None = None
        self._session = session
        self._lock = lock
        self._own_frames: FrameSource | None = None
        self._journal = Journal(path / "journal.jsonl")
        self._actions = Journal(path / "actions.jsonl")
        self._number = 0
        self._pending: list[Mapping[str, Any]] = []
        self._groups: Mapping[int, str] = {}
        self._dirty: set[int] = set()
        self._known = KnownFiles(path, (*_FILES, _MASKS))
        self._manifest: Mapping[str, Any] = {}
        self._beside: Thread | None = None
        self._written_anew = 0
        self._untouched = False

    @classmethod
    def create(
        cls,
        path: str | Path,
        session: AnnotationSession,
        *,
        source: str | Path | None = None,
        opening: Mapping[str, Any] | None = None,
        scale: PhysicalScale | None = None,
        described: Mapping[str, Any] | None = None,
    ) -> Self:
        """Begin to save a session in a new folder.

        Parameters
        ----------
        path
            Must not exist, or be empty; folders above it are made.
        session
            What it holds already is written at once.
        source, opening
            The file that its frames come from and the options of ``open_frames`` for it, so that it opens by
            itself later; None where frames come from elsewhere.
        scale
            Sizes of pixels, planes and frames; what it does not say is taken from the file of the frames.
        described
            What ``describe_frames`` said of them before, so that no frame is read now.

        Raises
        ------
        InputError
            If the folder cannot be used or the frames have no end; ``TakenError`` if something is in it.
        """
        source = None if source is None else Path(source)
        if session.frames.length is None:
            raise InputError("A live stream without an end cannot be saved in a session folder.")
        path = Path(path).absolute()  # the process may go into another folder
        try:
            clear_leftovers(path)
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise TakenError(f"{path} exists and is not empty; choose another name for the session.")
            described = described or describe_frames(session.frames, source, opening or {})
            with making(path) as aside:
                (aside / _MASKS).mkdir()
                write_manifest(aside, session, described, scale)
                first = cls(aside, session, FileLock(aside / LOCK))
                first._dirty = set(session.objects)
                first.snapshot()
            folder = cls(path, session, acquire_lock(path))
        except OSError as error:
            raise InputError(os_error_sentence(error, path)) from None
        folder._groups = first._groups
        folder._manifest = read_manifest(path)
        session.history.subscribe(folder._on_action)
        return folder

    @classmethod
    def reopen(
        cls, path: str | Path, session: AnnotationSession, own_frames: FrameSource | None = None
    ) -> Self:
        """Bring an empty session to the state of the folder, and save it from now on.

        Parameters
        ----------
        path, session
            The folder, and a session of its frames.
        own_frames
            Frames that are closed with the folder.

        Raises
        ------
        InputError
            If the folder is damaged or open elsewhere; ``NotWritableError`` if nothing can be written in it.
        """
        path = Path(path).absolute()  # the process may go into another folder
        lock = acquire_lock(path)
        try:
            folder = cls(path, session, lock)
            folder._own_frames = own_frames
            folder._restore()
        except BaseException:
            lock.release()
            raise
        return folder

    def calls(self) -> Iterator[dict[str, Any]]:
        """Yield all that was asked of the session and is on disk, from its beginning.

        Raises
        ------
        InputError
            If some of it is missing.
        """
        yield from read_calls(self.path)

    def snapshot(self) -> None:
        """Write the whole state of the session, and begin a new journal.

        Raises
        ------
        OSError
            If it cannot be written; what was on disk is still valid then.
        """
        self._wait_for_snapshot()
        self._write_snapshot()

    def _wait_for_snapshot(self) -> None:
        """Wait for one that is being written; not while the lock is held, which it needs."""
        if self._beside is not None:
            self._beside.join()

    def _write_snapshot(self) -> None:
        if self._known.changed:
            self._write_anew()
        else:
            self._snapshot()

    def _snapshot(self) -> None:
        with self._session.annotations.lock:
            writer = self._writer()
            with self._unless_it_counts(writer):
                writer.write_masks(self._groups)
                self._finish(writer, writer.calls())
            writer.remove_groups_but(self._groups)

    def _snapshot_beside(self) -> None:
        """Begin a snapshot on a thread of its own, so that the action that made it due does not wait."""
        if self._beside is None or not self._beside.is_alive():
            self._beside = Thread(target=self._write_beside, args=(self._writer(),), name="snapshot")
            self._beside.start()

    def _write_beside(self, writer: SnapshotWriter) -> None:
        lock, before, written_anew = self._session.annotations.lock, self._groups, self._written_anew
        try:
            with self._unless_it_counts(writer):
                writer.write_masks(before)
                calls = writer.calls()
                with lock:
                    if written_anew == self._written_anew and not self._known.changed:
                        self._finish(writer, calls)
        except OSError as error:
            with lock:
                if written_anew == self._written_anew:
                    self.save_error = os_error_sentence(error, self.path)
        if self._groups is writer.groups:
            writer.remove_groups(set(before.values()) - set(writer.groups.values()))

    def _writer(self) -> SnapshotWriter:
        """Take the state as it is now; what changes from here on is the next snapshot's."""
        self._write_pending()
        self._dirty |= {i for i, group in self._groups.items() if not (self._masks / group).is_dir()}
        writer = SnapshotWriter.of(
            self.path, self._session, self._number, self._dirty, self._groups, self._journal.num_bytes
        )
        self._dirty = set()
        return writer

    @contextmanager
    def _unless_it_counts(self, writer: SnapshotWriter) -> Iterator[None]:
        """Leave to the next snapshot what this one should have written, unless it counts in the end."""
        try:
            yield
        finally:
            with self._session.annotations.lock:
                if self._groups is not writer.groups:
                    self._dirty |= writer.changed

    def _finish(self, writer: SnapshotWriter, calls: list[dict[str, Any]]) -> None:
        """Let a snapshot count whose masks are written."""
        try:
            writer.write_state()
            self._groups = writer.groups
            self._actions.add(calls)
            self._journal.drop(writer.journal_end)
        finally:  # also of a full disk: what was written until then is this program's
            self._known.remember()

    @property
    def scale(self) -> PhysicalScale:
        """Sizes of pixels, planes and frames: those written down, else the file's, else pixels and frames.

        Raises
        ------
        InputError
            If the folder has become unreadable.
        """
        return scale_in(read_manifest(self.path), self._session.frames)

    def set_scale(self, scale: PhysicalScale) -> None:
        """Write other sizes of pixels, planes and frames.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        self._save_manifest(lambda: write_scale(self.path, scale))

    def record(self, action: Action) -> None:
        """Write down what was asked before there was the folder, which has been made with what came of it."""
        self._on_action(Action(action.name, action.call, ()))

    def mark_used(self) -> None:
        """Let this be the session used last of those of its stack, even if nothing is done in it.

        Raises
        ------
        OSError
            If nothing can be written.
        """
        self._save_manifest((self.path / _FILES[0]).touch)

    def set_reading(self, opening: Mapping[str, Any]) -> None:
        """Write by which axes and options the frames are read now, perhaps others than before.

        Parameters
        ----------
        opening
            As for :meth:`create`.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        self._save_manifest(lambda: write_reading(self.path, self._session.frames.axes, opening))

    def close(self) -> None:
        """Write a snapshot, let others open the folder, and close frames that :func:`open_session` opened.

        If the snapshot cannot be written, the journal holds everything anyway. What is closed stays so.
        Where nothing was done since it was opened, nothing is written.
        """
        if not self._lock.is_locked:
            return
        self._session.history.unsubscribe(self._on_action)
        self._wait_for_snapshot()
        try:
            if not self._untouched:
                self._save(self._write_snapshot)
                self._save_undo()
        finally:
            self._lock.release()
            if self._own_frames is not None:
                self._own_frames.close()

    # ------------------------------------------------------------------ how

    @property
    def _masks(self) -> Path:
        return self.path / _MASKS

    def _restore(self) -> None:
        for leftover in (file for name in _FILES for file in self.path.glob(f".{Path(name).stem}-*")):
            leftover.unlink(missing_ok=True)  # of a snapshot that was killed; nobody else writes here
        with suppress(OSError):  # a full disk; it is tried again the next time
            migrate(self.path)
            write_files(self.path, self._session.frames)  # what may have changed in them has been said
        with suppress(OSError):  # what is in its place is damage
            self._masks.mkdir(exist_ok=True)
        self._manifest = read_manifest(self.path)
        with making_what_stays():
            state = read_state(self.path)
            state.apply_to(self._session, self.path)
        self._number, self._groups, self._dirty = state.number, dict(state.groups), set(state.unsaved)
        self._session.history.subscribe(self._on_action)
        self._known.remember()
        damaged = bool(state.lost) or self._actions.is_blocked
        if damaged:
            self._known.forget()  # what is there is moved aside, and all of the session written
        self._session.history.earlier = read_undo(self.path, state.number)
        self._note(Action("reopen", {"do": "drop_engine"}, ()))  # on disk with the first thing that is done
        self._untouched = not (damaged or state.has_tail)
        if not self._untouched:
            self._save(self._write_snapshot)

    def _save_undo(self) -> None:
        if self.save_error is None:
            with suppress(OSError):  # a full disk: what was done is saved, it can only not be undone
                write_undo(self.path, self._number, self._session.history)

    def _on_action(self, action: Action) -> None:
        self._untouched = False
        self._note(action)
        self._save(self._write_pending)
        if self.save_error is None and self._journal.num_bytes > _LONG_JOURNAL:
            self._save(self._snapshot_beside)

    def _note(self, action: Action) -> None:
        self._number += 1
        self._dirty |= {change.object_id for change in action.changes}
        self._pending.append(
            {
                "number": self._number,
                "name": action.name,
                "call": with_model_file(self.path, call_to_json(action.call)),
                "changes": [change_to_json(change) for change in action.changes],
            }
        )

    def _save(self, write: Callable[[], None]) -> None:
        """Write something, or everything if another program has changed the files; say it if that fails."""
        try:
            with self._session.annotations.lock:
                if self._known.changed:
                    self._write_anew()
                write()
            self.save_error = None
        except OSError as error:
            self.save_error = os_error_sentence(error, self.path)
        except InputError as error:  # the folder in its place is open elsewhere
            self.save_error = str(error)

    def _write_pending(self) -> None:
        try:
            self._journal.add(self._pending)
            self._pending = []
        finally:  # of a full disk, too: some of it may have been written
            self._known.remember()

    def _save_manifest(self, write: Callable[[], None]) -> None:
        if not self._known.changed:  # else the next action writes everything
            write()
            self._manifest = read_manifest(self.path)
            self._known.remember()

    def _write_anew(self) -> None:
        """Move aside what is in the place of the session's files, and write all of the session.

        Raises
        ------
        OSError
            If it cannot be written; what was there is in its place again.
        """
        if not self._known.is_same_folder:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = acquire_lock(self.path)
            self._lock.release()
            self._lock = lock
        aside, pending = SetAside(self.path), self._pending
        self._journal, self._actions = Journal(self._journal.path), Journal(self._actions.path)
        try:
            self._masks.mkdir()
            write_manifest_again(self.path, self._manifest)
            if calls := aside.calls():
                self._actions.add(calls)
            self._written_anew += 1
            self._groups, self._dirty = {}, set(self._session.objects)
            self._known.remember()
            self._snapshot()
        except OSError:
            aside.put_back((*_FILES, _MASKS))
            self._journal, self._actions = Journal(self._journal.path), Journal(self._actions.path)
            self._pending = pending
            self._known.forget()  # the next action tries again
            raise
        self.notice = (
            f"{self.path} was gone or empty; the session was written there anew."
            if aside.found is None
            else f"Files of {self.path} were damaged, or changed by another program; they are in "
            f"{aside.found.name} now, and the session was written anew."
        )
