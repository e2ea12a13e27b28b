"""The jobs of finding and tracking everything in one stack, in a session or into a label stack alone."""

from dataclasses import dataclass, field

from typing_extensions import override

from sam2_engine.errors import InputError
from sam2_engine.wording import counted, in_ranges
from sam2_plugins.batch.job import JobHost, run_under_bar
from sam2_plugins.batch.session_job import TrackSessionJob
from sam2_plugins.batch.track_job import TrackJob
from sam2_plugins.everything.divisions import ProposedDivision
from sam2_plugins.everything.estimate import estimate_everything
from sam2_plugins.everything.kept import KeptSightings
from sam2_plugins.everything.run import TrackedEverything, track_everything
from sam2_plugins.everything.settings import EverythingSettings
from sam2_plugins.export.label_tiff import write_label_tiff
from sam2_plugins.measure import PhysicalScale, measure
from sam2_plugins.runtime.model_name import ModelName
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["EverythingJob", "EverythingSessionJob"]

_MOST_LINES = 5
"""Divisions that are named, the least probable ones; the others are in the session."""


@dataclass(frozen=True)
class EverythingSessionJob(TrackSessionJob):
    """Everything in one stack, in a session folder, which is gone on with where it was stopped.

    Attributes
    ----------
    settings
        What to look for.
    """

    settings: EverythingSettings = field(default_factory=EverythingSettings)

    @property
    @override
    def needs_start(self) -> bool:
        return False

    @override
    def run(self, host: JobHost) -> bool:
        self.check()
        with self._opened(host) as work:
            host.say(f"{self.source}: {work.annotation.frames.description}")
            stopped = find_and_track(host, work.annotation, self.settings, work.kept_sightings)
            host.say(f"{self.output}")
            if not stopped:
                self._write(work, host)
        return stopped


@dataclass(frozen=True)
class EverythingJob(TrackJob):
    """Everything in one stack, into a label stack.

    Attributes
    ----------
    settings
        What to look for.
    """

    settings: EverythingSettings = field(default_factory=EverythingSettings)

    @override
    def run(self, host: JobHost) -> bool:
        self.check()
        with self.reading.open(self.source) as frames:
            session = self.new_session(frames, host.store, history=None)
            host.say(f"{self.source}: {frames.description}")
            if find_and_track(host, session, self.settings, None):
                host.note("Nothing was written; with --session FOLDER a run goes on where it was stopped.")
                return True
            scale = PhysicalScale.of(frames)
            steps = write_label_tiff.steps(session, self.output, scale, overwrite=self.writing.overwrite)
            run_under_bar(host, steps, len(session), "exporting")
            host.say(f"{self.output}")
            if self.csv is not None:
                table = run_under_bar(host, measure.steps(session), len(session), "measuring")
                table.write_csv(self.csv, overwrite=True, bom=self.writing.bom)
        return False


def find_and_track(
    host: JobHost, session: AnnotationSession, settings: EverythingSettings, kept: KeptSightings | None
) -> bool:
    """Find and track everything, shown by a host, and say what was done; return whether it was stopped.

    Raises
    ------
    InputError
        If there is no object then.
    """
    host.note(f"{estimate_everything(session, settings)}")
    if (size := ModelName.parse(session.model_name).image_size) is not None:
        host.note(
            f"Note: with an input of {size} pixels noise is easily taken for objects; give the model without "
            f"@{size}, or a higher --confidence, if there are too many."
        )
    steps = track_everything.steps(session, settings, kept)
    with host.counting("frames") as on_progress, host.interruptible() as cancel:
        while not cancel.cancelled:
            try:
                on_progress(*next(steps))
            except StopIteration as end:
                _say(host, session, end.value)
                return False
    steps.close()
    return True


def _say(host: JobHost, session: AnnotationSession, done: TrackedEverything) -> None:
    """Say what was found, and which divisions to look at first."""
    if not session.objects:
        raise InputError(
            f"{session.frames.name}: nothing was found; lower --confidence, or use more --points-per-side."
        )
    host.say(f"{done}")
    for object_id, frames in [*done.seen_beyond.items()][:_MOST_LINES]:
        host.note(
            f"Note: {session.annotations.called(object_id)}, which was there before, stays as it is; it was "
            f"seen on {counted(len(frames), 'more frame')} ({in_ranges(frames)}), too, where it has no mask: "
            "track it on."
        )
    titles = "", "proposed: ", "perhaps, but not taken for one: "
    for title, divisions in zip(titles, (done.divisions, done.proposed, done.unlikely), strict=True):
        for division in divisions[:_MOST_LINES]:
            host.say(f"{title}{_in_words(session, division)}")


def _in_words(session: AnnotationSession, division: ProposedDivision) -> str:
    mother, *daughters = (session.annotations.called(one) for one in (division.mother, *division.daughters))
    when = f"before frame {division.frame}, {division.probability:.0%} sure"
    if division.mother in division.daughters:  # it was not cut in two
        (other,) = (one for one in daughters if one != mother)
        return f"{mother} divides {when}: it goes on as one of the two, the other is {other}"
    return f"{mother} divides into {' and '.join(daughters)} {when}"
