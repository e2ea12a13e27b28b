"""The job of finding the masklets of one video, for a data set."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from typing_extensions import override

from sam2_engine.errors import InputError
from sam2_engine.feature_cache import weights_fingerprint
from sam2_plugins.batch.job import FileJob, JobHost, Reading
from sam2_plugins.masklets.dataset import MaskletDataset, raise_unsaved, video_name
from sam2_plugins.masklets.finding import FoundMasklets, find_masklets
from sam2_plugins.masklets.sa_v import AUTO, describe_masklets, joined, only_masklets
from sam2_plugins.masklets.search_progress import SearchProgress
from sam2_plugins.masklets.selection import found_in_words, masklet_qualities, shown_mask
from sam2_plugins.masklets.settings import MaskletSettings
from sam2_plugins.masklets.summary import MaskletSummary
from sam2_plugins.masklets.taken_videos import check_video
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder, reading_of
from sam2_plugins.storage.manifest import read_manifest
from sam2_plugins.storage.serialization import window_from_json

__all__ = ["MaskletJob"]


@dataclass(frozen=True)
class MaskletJob(FileJob):
    """The masklets of one video: found on key frames, tracked both ways, the bad ones dropped.

    Attributes
    ----------
    output
        The data set's folder.
    settings
        What to look for.
    model, reading
        Which model, and how the video is read.
    again
        Whether a video that is done is searched again; what people decided on stays.
    """

    settings: MaskletSettings = field(default_factory=MaskletSettings)
    model: str = "nano"
    reading: Reading = field(default_factory=Reading)
    again: bool = False

    @property
    def name(self) -> str:
        """What the video is called in the data set."""
        return video_name(self.source)

    @override
    def check(self) -> None:
        if not self.source.exists():
            raise InputError(f"There is no video {self.source}.")
        is_there = MaskletDataset.is_there(self.output)
        target = check_video(self.source, self.output.absolute())
        if is_there and (dataset := MaskletDataset.open(self.output)).has_found(self.name):
            self._check_name(dataset, target.name)
            self._check_reading(dataset)
            self._check_whole(dataset)

    def _check_whole(self, dataset: MaskletDataset) -> None:
        """Refuse a video that was searched and whose own copy or session is gone."""
        video, session = dataset.path / dataset.summary(self.name).video_file, dataset.session(self.name)
        if not video.exists():
            raise InputError(f"{video} is gone, whose masklets were found: put it back into the data set.")
        if not session.exists() and not self.again:
            raise InputError(
                f"{session} is gone, in which masklets were found: put it back, or search the video --again."
            )

    def _check_name(self, dataset: MaskletDataset, file: str) -> None:
        """Refuse another video of the name."""
        there = dataset.summary(self.name)
        if there.video_file != file:
            raise InputError(
                f"{dataset.path} has another video called {self.name}: {there.video_file}; rename one of "
                "them."
            )

    def _check_reading(self, dataset: MaskletDataset) -> None:
        """Refuse the same video read in another way."""
        there = dataset.summary(self.name)
        session = dataset.session(self.name)
        if self.reading.contrast is not None and session.exists():
            window = window_from_json(read_manifest(session)["window"])
            if window is None or (window.low[0], window.high[0]) != self.reading.contrast:
                raise InputError(
                    f"{self.name} is in {dataset.path} already, seen with other gray levels: give the same "
                    "--contrast, or another data set."
                )
        if replace(self.reading, contrast=None) == Reading():
            return
        with self.reading.open(self.source) as frames:
            _, opening = reading_of(frames)
        if json.loads(json.dumps(opening)) != there.opening:
            raise InputError(
                f"{self.name} is in {dataset.path} already, read in another way: {_in_words(there.opening)}. "
                "Give it the same options, or another data set."
            )

    @override
    def run(self, host: JobHost) -> bool:
        self.check()
        if not MaskletDataset.is_there(self.output):  # none is begun before it is sure what goes into it
            host.store.load(self.model)
            self.reading.open(self.source).close()
        dataset = MaskletDataset.create(self.output)
        if dataset.is_found(self.name) and not self.again:
            host.say(f"{self.source}: done before")
            return False
        with dataset.working_on(self.name):
            if dataset.is_found(self.name) and not self.again:
                host.say(f"{self.source}: done meanwhile by another run")
                return False
            host.store.load(self.model)  # before anything is taken in, or given up
            if not dataset.has_found(self.name) or not dataset.session(self.name).exists():
                self._take_in(dataset, host)
            return self._search(dataset, host)

    def _description(self, store: ModelStore) -> dict[str, Any]:
        """Return all that decides what is found in the session of a video."""
        is_here = store.remote is None
        weights = weights_fingerprint(store.get(self.model)) if is_here else None
        return {"model": self.model, "weights": weights, **asdict(self.settings)}

    def _take_in(self, dataset: MaskletDataset, host: JobHost) -> None:
        """Make the session of a new video, in which its masklets are found."""
        there = dataset.session(self.name)
        if there.exists():  # of a run that was broken off
            self._check_name(dataset, check_video(self.source, dataset.path).name)
            try:
                self._check_reading(dataset)
                return
            except InputError:
                dataset.give_up_search(self.name, host.store)
        if dataset.decided(self.name):  # its ids would be those of other objects
            raise InputError(
                f"{there} is gone, but people decided on its masklets: put it back, or give the video "
                "another name."
            )
        self.reading.open(self.source).close()  # what cannot be read is not taken in
        video = dataset.take_video(self.source)
        with self.reading.open(video) as frames:
            if frames.note:
                host.note(f"Note: {self.source.name}: {frames.note}.")
            session = AnnotationSession(frames, host.store, self.model, contrast=self.reading.contrast)
            source, opening = reading_of(frames)
            dataset.write_summary(
                self.name, MaskletSummary({}, video.name, opening, len(frames), self.settings.min_area)
            )
            SessionFolder.create(there, session, source=source, opening=opening).close()

    def _search(self, dataset: MaskletDataset, host: JobHost) -> bool:
        """Find masklets beside those that people decided on; the others are given up."""
        with dataset.opened(self.name, host.store) as (session, folder):
            dataset.remove_abandoned(self.name)
            progress = dataset.search(self.name, self._description(host.store))
            progress.before_saving = lambda: raise_unsaved(folder)
            if progress.is_begun:
                frames = self.settings.key_frames
                host.say(f"{self.source}: goes on after {len(progress.tracked)} of {frames} key frames")
            # Also what a person verified whose verdict was not written down any more.
            kept = {one for one in session.objects if session.verified(one)} | dataset.decided(self.name)
            earlier = None
            if kept and dataset.has_found(self.name):
                earlier = only_masklets(dataset.found(self.name), kept)
            for one in session.objects.keys() - kept - progress.scores.keys():
                session.remove_object(one)
            session.use_model(self.model)
            found = self._find(session, progress, host)
            if found is None:
                return True
            raise_unsaved(folder)
            content = self._describe(session, found)
            dataset.write_found(self.name, content if earlier is None else joined(earlier, content))
            if dataset.marks.needs_settling(self.name):  # by a run that was killed, or by another program
                dataset.settle(self.name, session)
            dataset.finish_search(self.name)
        self._say(content, found, host, len(kept))
        return False

    def _find(
        self, session: AnnotationSession, progress: SearchProgress, host: JobHost
    ) -> FoundMasklets | None:
        """Find masklets, shown by the host; None if the user stopped it."""
        with host.interruptible() as cancel, host.counting("masklets") as show:
            search = find_masklets(session, self.settings, cancel, progress)
            while True:
                try:
                    show(*next(search))
                except StopIteration as end:
                    found: FoundMasklets | None = end.value
                    return found
                except KeyboardInterrupt:  # a second Ctrl-C breaks off the current step
                    return None

    def _describe(self, session: AnnotationSession, found: FoundMasklets) -> dict[str, Any]:
        """Return what was found, in SA-V's form."""
        source, opening = reading_of(session.frames)
        min_area = self.settings.min_area
        return describe_masklets(
            session,
            source or self.source,
            [*found.seeds],
            AUTO,
            lambda one, frame: shown_mask(session.accepted(one, frame), min_area),
            qualities=masklet_qualities(session, found.seeds),
            opening=opening,
            min_area=min_area,
        )

    def _say(
        self, content: Mapping[str, Any], found: FoundMasklets, host: JobHost, num_kept: int = 0
    ) -> None:
        qualities = [content["masklet_quality"][content["masklet_id"].index(one)] for one in found.seeds]
        beside = f"; {num_kept} decided on before stay" if num_kept else ""
        host.say(f"{self.source}: {found_in_words(qualities, found.dropped)}{beside}")
        if not qualities and not num_kept:
            host.note(f"Nothing was found in {self.source}; lower --confidence, or raise --points-per-side.")


def _in_words(opening: Mapping[str, Any]) -> str:
    """Return how a video is read."""
    given = {name: value for name, value in opening.items() if value not in (None, {}, [])}
    return ", ".join(f"{name} {value}" for name, value in given.items()) or "as its file says"
