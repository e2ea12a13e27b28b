"""The folder of a data set of masklets: videos, their sessions, SA-V's JSON, and people's decisions.

::

    masklets.json        what kind of folder this is
    NAME.mp4             a video, copied
    NAME_auto.json       masklets on which nobody has decided, as SA-V has them
    NAME_manual.json     masklets that people verified
    NAME.sam2/           the session in which they are corrected
    found/NAME.json      all masklets as the model made them
    decisions.jsonl      who decided what, when, and how long it took
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from sam2_engine.datasets.masklet_folder import late_videos
from sam2_engine.datasets.segment_anything import is_masklet_dataset
from sam2_engine.disk import remove_abandoned, remove_folder
from sam2_engine.errors import InputError
from sam2_plugins.batch.naming import stem
from sam2_plugins.masklets.dataset_contents import FOUND, DatasetContents
from sam2_plugins.masklets.decisions import Decision, Status, newest_verdicts
from sam2_plugins.masklets.one_engine import LOCKS, alone_on
from sam2_plugins.masklets.sa_v import (
    AUTO,
    MANUAL,
    describe_masklets,
    joined,
    only_masklets,
)
from sam2_plugins.masklets.search_progress import SearchProgress
from sam2_plugins.masklets.selection import shown_mask
from sam2_plugins.masklets.summary import MaskletSummary
from sam2_plugins.masklets.taken_back import Verified, verdicts_by_session
from sam2_plugins.masklets.taken_videos import take_video
from sam2_plugins.masklets.verdict_marks import VerdictMarks
from sam2_plugins.runtime.atomic_files import os_error_sentence, write_json
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder, open_session, read_session
from sam2_plugins.storage.snapshot import read_json

__all__ = ["MaskletDataset", "raise_unsaved", "video_name"]

_MANIFEST = "masklets.json"
_FORMAT, _VERSION = "sam2-masklets", 1


class MaskletDataset(DatasetContents):
    """A data set of masklets in a folder; use :meth:`create` or :meth:`open`.

    Attributes
    ----------
    marks
        Whose annotations are out of date.

    Examples
    --------
    >>> import tempfile
    >>> dataset = MaskletDataset.create(Path(tempfile.mkdtemp()) / "cells")
    >>> dataset.videos()
    []
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.marks = VerdictMarks(path / FOUND)

    @staticmethod
    def is_there(path: str | Path) -> bool:
        """Return whether a folder is a data set; if it is not, one can be made in it.

        Raises
        ------
        InputError
            If the folder holds something else.
        """
        path = Path(path).absolute()
        if is_masklet_dataset(path):
            return True
        if path.exists() and not _may_become_one(path):
            raise InputError(f"{path} is no data set of masklets, and not empty; give a new folder.")
        return False

    @classmethod
    def create(cls, path: str | Path) -> Self:
        """Open the data set of a folder; make it if the folder is not there or empty.

        Raises
        ------
        InputError
            If the folder holds something else, or cannot be written.
        """
        path = Path(path).absolute()
        if cls.is_there(path):
            return cls.open(path)
        try:
            for part in (FOUND, LOCKS):
                (path / part).mkdir(parents=True, exist_ok=True)
            write_json(path / _MANIFEST, {"format": _FORMAT, "version": _VERSION})
        except OSError as error:
            raise InputError(os_error_sentence(error, path)) from None
        return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open the data set of a folder.

        Raises
        ------
        InputError
            If it is none, or of a newer version.
        """
        path = Path(path).absolute()
        if not is_masklet_dataset(path):
            raise InputError(
                f"{path} is no data set of masklets: it has no {_MANIFEST}. `sam2 masklets VIDEOS -o {path}` "
                "makes one."
            )
        manifest = read_json(path / _MANIFEST)
        if manifest.get("format") != _FORMAT or type(manifest.get("version")) is not int:
            raise InputError(f"{path / _MANIFEST} does not describe a data set of masklets.")
        if manifest["version"] > _VERSION:
            raise InputError(f"{path} was written by a newer version of sam2-plugins; update it.")
        if not (path / FOUND).is_dir():
            raise InputError(f"{path} lacks its folder {FOUND}: put it back, or copy the whole data set.")
        return cls(path)

    def working_on(self, name: str) -> AbstractContextManager[None]:
        """Keep other engines away from a video; see :func:`~sam2_plugins.masklets.one_engine.alone_on`."""
        return alone_on(name, self.path)

    def remove_abandoned(self, name: str) -> None:
        """Remove what a run that was killed has half written of a video, whose session is open."""
        found = (self._found(name), self._summary(name), self._unfinished(name))
        for path in (*found, *(self.annotations(name, kind) for kind in (AUTO, MANUAL))):
            remove_abandoned(path)

    def take_video(self, source: Path) -> Path:
        """Copy a video into the folder, without taking space where the disk can; return where it is there.

        Raises
        ------
        InputError
            If another video of its name is there, or it cannot be written.
        """
        return take_video(source, self.path)

    def search(self, name: str, description: Mapping[str, Any]) -> SearchProgress:
        """Return how far the search of a video is; as long as it is not finished, the video does not count.

        Raises
        ------
        InputError
            If nothing can be written.
        """
        progress = SearchProgress.read(self._unfinished(name), description)
        progress.save()
        return progress

    def finish_search(self, name: str) -> None:
        """Let a video count whose masklets are written."""
        self._unfinished(name).unlink(missing_ok=True)

    def give_up_search(self, name: str, store: ModelStore) -> None:
        """Take away what the search of a video has left that never came to its end.

        Raises
        ------
        InputError
            If people decided on its masklets, or verified some in its session.
        """
        if self.session(name).exists():
            with self.frames(name) as frames:
                session = read_session(self.session(name), store, frames)
            if self.decided(name) or any(session.verified(one) for one in session.objects):
                raise InputError(f"People verified masklets in {self.session(name)}; they are not given up.")
            remove_folder(self.session(name))
        for path in (self._unfinished(name), self._summary(name)):
            path.unlink(missing_ok=True)

    @contextmanager
    def opened(self, name: str, store: ModelStore) -> Iterator[tuple[AnnotationSession, SessionFolder]]:
        """Open the session of a video, saved as it changes, and its folder.

        Raises
        ------
        InputError
            If it is open elsewhere or damaged, or the frames are not there.
        """
        changed = self.marks.has_changed(name, self.session(name))
        if changed or (changed is None and self.decided(name)):  # an earlier version did not look
            self.marks.mark(name)
        frames = self.frames(name)
        try:
            session, folder = open_session(self.session(name), store, frames)
            try:
                yield session, folder
                raise_unsaved(folder)
            finally:
                folder.close()
                self.marks.remember(name, self.session(name))
        finally:
            frames.close()

    def write_found(self, name: str, content: Mapping[str, Any]) -> None:
        """Write masklets of a video as the model made them, and those on which nobody decided."""
        self.write_summary(name, MaskletSummary.of(content))
        write_json(self._found(name), content)
        self.write_open(name)

    def write_summary(self, name: str, summary: MaskletSummary) -> None:
        """Write what is known of a video's masklets without their masks; its session opens by it."""
        write_json(self._summary(name), asdict(summary))

    def write_open(self, name: str) -> None:
        """Write ``NAME_auto.json``: masklets on which nobody has decided."""
        content = self.found(name)
        undecided = {one for one, status in self.statuses(name).items() if status is Status.OPEN}
        write_json(self.annotations(name, AUTO), only_masklets(content, undecided))

    def settle(self, name: str, session: AnnotationSession) -> None:
        """Write a video's two JSON files by what people decided; the session is the video's, open.

        A masklet that was accepted and is being corrected again stays as it was accepted. One that nobody
        corrects, and of which nothing is verified in the session any more, is accepted no more: there, in
        whatever program, its verification was taken back. So is a rejection of what somebody had accepted.
        """
        verified = Verified.in_session(session, self.statuses(name))
        self._hear_session(name, verified)
        accepted = [one for one, status in self.statuses(name).items() if status is Status.ACCEPTED]
        settled = [one for one in accepted if one in verified and verified[one].wholly]
        content = self._describe_verified(name, session, settled)
        earlier = self.verified(name)
        if earlier is not None and (rest := set(accepted) - set(settled)):
            content = joined(only_masklets(earlier, rest), content)
        self.write_verified(name, content)
        self.write_open(name)
        self.marks.settle(name)

    def correct_again(self, name: str, masklet: int) -> None:
        """Let a masklet that was accepted stay so while it is corrected, until the next word on it.

        Raises
        ------
        InputError
            If that cannot be written.
        """
        self.marks.write_corrected(name, self.marks.corrected(name) | {masklet})

    def _hear_session(self, name: str, verified: Mapping[int, Verified]) -> None:
        """Withdraw the verdicts that were taken back in the session, and count those done again there."""
        corrected = self.marks.corrected(name) - {one for one in verified if verified[one].partly}
        said: dict[int, list[Decision]] = {}
        for decision in self.decisions.read():
            if decision.video == name:
                said.setdefault(decision.masklet, []).append(decision)
        for one in said.keys() & verified.keys() - corrected:
            for decision in verdicts_by_session(said[one], verified[one]):
                self.decisions.add(decision)
        self.marks.write_corrected(name, corrected)

    def _describe_verified(
        self, name: str, session: AnnotationSession, masklets: list[int]
    ) -> dict[str, Any]:
        summary, newest = self.summary(name), newest_verdicts(self.decisions.read())
        return describe_masklets(
            session,
            self.path / summary.video_file,
            masklets,
            MANUAL,
            lambda one, frame: shown_mask(session.accepted(one, frame), summary.min_area),
            qualities=dict.fromkeys(masklets, 1.0),
            edited={
                one: len({edit.frame for each in newest[name, one].values() for edit in each.edits})
                for one in masklets
            },
            opening=summary.opening,
            min_area=summary.min_area,
        )

    def decide(self, decision: Decision) -> None:
        """Add a decision; the video's JSON files are out of date until :meth:`settle`."""
        self.marks.mark(decision.video)
        self.decisions.add(decision)
        self.marks.write_corrected(decision.video, self.marks.corrected(decision.video) - {decision.masklet})

    def settle_all(self, store: ModelStore) -> list[str]:
        """Write what broken-off verifications left; return sentences on videos that are open elsewhere."""
        busy = []
        for name in self.unsettled():
            try:
                with self.opened(name, store) as (session, _):
                    self.settle(name, session)
            except InputError as error:
                busy.append(f"{name}: {error}")
        return busy

    def unsettled(self) -> list[str]:
        """Return the videos whose JSON files are out of date.

        A verifier is at work, or was broken off, or what is verified has changed in the session.
        """
        late = late_videos(self.path)
        return [name for name in self.videos() if name in late]

    def write_verified(self, name: str, content: Mapping[str, Any]) -> None:
        """Write ``NAME_manual.json``, or remove it if no masklet is verified any more."""
        path = self.annotations(name, MANUAL)
        if content["masklet_num"]:
            write_json(path, content)
        else:
            path.unlink(missing_ok=True)


def video_name(source: Path) -> str:
    """Return what a video is called in a data set."""
    return stem(source)


def raise_unsaved(folder: SessionFolder) -> None:
    """Refuse to go on if the last actions of a session could not be saved.

    Raises
    ------
    InputError
        Why they could not.
    """
    if folder.save_error is not None:
        raise InputError(folder.save_error)


def _may_become_one(path: Path) -> bool:
    """Whether a folder is empty, but for what another run that makes a data set of it has begun with."""
    if not path.is_dir():
        return False
    begun = (path / FOUND, path / LOCKS)
    others = [one for one in path.iterdir() if one not in begun and not one.name.startswith(".")]
    return not others and not (begun[0].is_dir() and any(begun[0].iterdir()))
