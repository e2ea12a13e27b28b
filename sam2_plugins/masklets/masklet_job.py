"""The job of finding the masklets of one video, for a data set."""

from dataclasses import dataclass, field

from typing_extensions import override

from sam2_engine.errors import InputError
from sam2_plugins.batch.job import FileJob, JobHost, Reading
from sam2_plugins.masklets.dataset import MaskletDataset, video_name
from sam2_plugins.masklets.finding import FoundMasklets, find_masklets
from sam2_plugins.masklets.sa_v import AUTO, describe_masklets
from sam2_plugins.masklets.selection import found_in_words, masklet_qualities, shown_mask
from sam2_plugins.masklets.settings import MaskletSettings
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder, reading_of

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
        MaskletDataset.create(self.output)

    @override
    def run(self, host: JobHost) -> bool:
        dataset = MaskletDataset.create(self.output)
        if dataset.is_found(self.name) and not self.again:
            host.say(f"{self.source}: done before")
            return False
        with dataset.working_on(self.name):
            if dataset.is_found(self.name) and not self.again:
                host.say(f"{self.source}: done meanwhile by another run")
                return False
            if dataset.session(self.name).exists():
                return self._again(dataset, host)
            return self._anew(dataset, host)

    def _anew(self, dataset: MaskletDataset, host: JobHost) -> bool:
        """Find the masklets of a new video; until all are found the data set knows nothing of it."""
        self.reading.open(self.source).close()  # what cannot be read is not taken in
        frames = self.reading.open(dataset.take_video(self.source))
        try:
            if frames.note:
                host.note(f"Note: {self.source.name}: {frames.note}.")
            session = AnnotationSession(frames, host.store, self.model, contrast=self.reading.contrast)
            found = self._find(session, host)
            if found is None:
                return True
            source, opening = reading_of(frames)
            SessionFolder.create(dataset.session(self.name), session, source=source, opening=opening).close()
            self._write(dataset, session, found, host)
        finally:
            frames.close()
        return False

    def _again(self, dataset: MaskletDataset, host: JobHost) -> bool:
        """Find masklets beside those that people decided on; the others are given up."""
        with dataset.changing(self.name) as finish, dataset.opened(self.name, host.store) as session:
            for one in session.objects.keys() - dataset.decided(self.name):
                if not session.verified(one):  # by a person whose verdict was not written down any more
                    session.remove_object(one)
            session.use_model(self.model)
            found = self._find(session, host)
            if found is None:
                return True
            self._write(dataset, session, found, host)
            finish()
        return False

    def _find(self, session: AnnotationSession, host: JobHost) -> FoundMasklets | None:
        """Find masklets, shown by the host; None if the user stopped it."""
        with host.interruptible() as cancel, host.counting("masklets") as show:
            search = find_masklets(session, self.settings, cancel)
            while True:
                try:
                    show(*next(search))
                except StopIteration as end:
                    found: FoundMasklets | None = end.value
                    return found
                except KeyboardInterrupt:  # a second Ctrl-C breaks off the current step
                    return None

    def _write(
        self, dataset: MaskletDataset, session: AnnotationSession, found: FoundMasklets, host: JobHost
    ) -> None:
        """Write what was found, beside what was known of masklets that people decided on."""
        qualities, ids = masklet_qualities(session, found.seeds), [*found.seeds]
        source, opening = reading_of(session.frames)
        min_area = self.settings.min_area
        content = describe_masklets(
            session,
            source or self.source,
            ids,
            AUTO,
            lambda one, frame: shown_mask(session.accepted(one, frame), min_area),
            qualities=qualities,
            opening=opening,
            min_area=min_area,
        )
        dataset.write_found(self.name, content)
        host.say(f"{self.source}: {found_in_words([qualities[one] for one in ids], found.dropped)}")
        if not ids:
            host.note(
                f"Nothing was found in {self.source}; lower --confidence, or use more --points-per-side."
            )
