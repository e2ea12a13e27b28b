"""Finding and tracking of everything in a stack: looked at, linked, divided, stored in the session."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sam2_engine.errors import InputError
from sam2_engine.video.memory_policies.registry import kind_of
from sam2_engine.wording import counted, in_ranges
from sam2_plugins.everything.beginnings import begun_before
from sam2_plugins.everything.descent import may_be_linked, not_ruled_out, under_ids
from sam2_plugins.everything.divisions import (
    ASKED,
    LIKELY,
    ProposedDivision,
    divided,
    propose_divisions,
    under_parts,
)
from sam2_plugins.everything.estimate import Stopwatch
from sam2_plugins.everything.existing import Existing, beside
from sam2_plugins.everything.finding import find_sightings, frames_to_look_at
from sam2_plugins.everything.following import Followed, Follower
from sam2_plugins.everything.kept import KeptSightings, SightingsInMemory, complete, description_of
from sam2_plugins.everything.linking import Linker, Track
from sam2_plugins.everything.looking_back import begun_earlier, look_back
from sam2_plugins.everything.selecting import objects_among
from sam2_plugins.everything.settings import EverythingSettings
from sam2_plugins.everything.sharpness import sharpness
from sam2_plugins.everything.stillness import stillness
from sam2_plugins.everything.storing import ToStore, store
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.automatic_segmentation import shows_nothing
from sam2_plugins.session.readable import LongWork

__all__ = ["TrackedEverything", "track_everything"]

T = TypeVar("T")

FURTHER = 0.5
"""Objects are looked for down to this part of the model's confidence: more frames than one speak for each."""


@dataclass(frozen=True)
class TrackedEverything:
    """What was found and tracked.

    Attributes
    ----------
    object_ids
        The new objects.
    divisions
        Those that the lineage has now, the least probable first: the first to look at.
    unlikely
        Others that might be, the most probable first; the lineage does not have them.
    looked_at
        The frames on which objects were looked for.
    seen_beyond
        By objects that the session had before, the frames on which they were seen, too, and have no mask:
        they stay as they are, and may be tracked on.
    blank
        Frames that show nothing, as of a closed shutter: tracks go on over them.
    proposed
        Likely divisions of objects that stay as they are, as the session had them before, so that the lineage
        cannot have these: the most probable first.
    known
        How many objects the session had before.
    rejected
        How many tracks are of objects that were removed from the session: they do not come back.
    """

    object_ids: tuple[int, ...]
    divisions: tuple[ProposedDivision, ...] = ()
    unlikely: tuple[ProposedDivision, ...] = ()
    looked_at: tuple[int, ...] = ()
    seen_beyond: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    blank: tuple[int, ...] = ()
    proposed: tuple[ProposedDivision, ...] = ()
    known: int = 0
    rejected: int = 0

    def __str__(self) -> str:
        """Return one line for people: ``12 objects, 2 divisions, looked for on 20 frames``."""
        parts = [self._objects()]
        if self.divisions:
            parts.append(counted(len(self.divisions), "division"))
        on = "frames" if len(self.blank) > 1 else "frame"
        blank = f"; nothing is to be seen on {on} {in_ranges(self.blank)}" if self.blank else ""
        out = (
            f"; {counted(self.rejected, 'object')} that had been removed stayed out" if self.rejected else ""
        )
        return f"{', '.join(parts)}, looked for on {counted(len(self.looked_at), 'frame')}{out}{blank}"

    def _objects(self) -> str:
        """Say how many are new, and beside how many."""
        number = len(self.object_ids)
        return (
            f"{counted(number, 'new object')} beside {self.known}"
            if self.known
            else counted(number, "object")
        )


@LongWork
def track_everything(
    session: AnnotationSession,
    settings: EverythingSettings | None = None,
    kept: KeptSightings | None = None,
) -> Generator[tuple[int, int], None, TrackedEverything]:
    """Find all objects of a stack without a click, track them, and add them to the session.

    Objects are looked for on frames spread over the stack, and followed from each of these to the next by
    the model's memory; what is found and what was followed are linked. What the session has already stays as
    it is, and is not added again. All that was added is undone as one. Stopped, by closing the generator, it
    goes on with what was ``kept``.

    Parameters
    ----------
    session
        Of frames whose number is known.
    settings
        What to look for.
    kept
        Where what was seen is kept until all is done; None to keep it only for this run.

    Yields
    ------
    tuple of int
        Frames done and in all.

    Returns
    -------
    TrackedEverything
        The new objects and their divisions.

    Raises
    ------
    InputError
        If a frame cannot be read, or the stack is an endless live stream.
    """
    wanted = settings or EverythingSettings()
    if session.frames.length is None:
        raise InputError("A live stream has no end, so not everything in it can be found; record it first.")
    keeping = SightingsInMemory() if kept is None else kept
    keeping.begin(description_of(session, wanted))
    looked = frames_to_look_at(session.frames, wanted.every)
    follower = Follower(session, wanted.min_area)
    tracks, blank = yield from _seen(session, wanted, keeping, follower, looked)
    seen = tuple(frame for frame in looked if frame not in blank)
    added = yield from _stored(session, tracks, wanted, seen, follower)
    keeping.clear()
    return replace(added, blank=tuple(blank))


def _seen(
    session: AnnotationSession,
    wanted: EverythingSettings,
    keeping: KeptSightings,
    follower: Follower,
    looked: Sequence[int],
) -> Generator[tuple[int, int], None, tuple[list[Track], list[int]]]:
    """Look at the frames one after the other, and return the tracks through them, and the blank ones."""
    confidence, least = wanted.confidence, wanted.confidence
    if confidence is None or least is None:
        confidence = session.store.load(session.model_name).confidence
        least = confidence * FURTHER
    linker, watch = Linker(), Stopwatch(session, wanted)
    before, blank = -1, list[int]()
    for number, frame in enumerate(looked):
        followed: Followed = {}
        if before >= 0:
            to_follow = linker.to_follow(before)
            steps = _kept(
                keeping, f"followed-{frame:06d}", len(to_follow), follower.on(to_follow, before, frame)
            )
            followed = yield from _telling(steps, number, len(looked))
        if shows_nothing(session.frames[frame]) or (before >= 0 and frame not in followed):
            blank.append(frame)
            yield number + 1, len(looked)
            continue
        found = keeping.get(f"found-{frame:06d}")
        if found is None:
            search = find_sightings(session, frame, wanted, least)
            found = {frame: [*(yield from _telling(search, number, len(looked)))]}
            keeping.put(f"found-{frame:06d}", found)
            watch.lap(counts=number > 0)  # models are loaded before the first one
        linker.advance(frame, followed, complete(found[frame]))
        if 0 <= before < frame - 1:  # since then something may have entered
            begun = [track.sightings[frame] for track in linker.begun]
            entering = follower.steps(frame, begun, before + 1)
            steps = _kept(keeping, f"entered-{frame:06d}", len(begun), entering)
            linker.extend_back((yield from _telling(steps, number, len(looked))))
        before = frame
        yield number + 1, len(looked)
    still = stillness(linker.tracks, session.frames) if kind_of(session.frames) == "time-lapse" else None
    sharp = sharpness(linker.tracks, session.frames)
    return objects_among(linker.tracks, len(looked) - len(blank), confidence, still, sharp), blank


def _kept(
    keeping: KeptSightings, name: str, count: int, steps: Generator[object, None, Followed]
) -> Generator[object, None, Followed]:
    """Return what became of so many sightings, as it is kept, or by steps that follow them."""
    kept = keeping.get(name)
    if kept is not None and all(len(ones) == count for ones in kept.values()):
        return kept
    followed = yield from steps
    keeping.put(name, followed)
    return followed


def _telling(steps: Generator[object, None, T], done: int, total: int) -> Generator[tuple[int, int], None, T]:
    """Do the steps of a part of the work, and yield how much of the whole was done before."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        yield done, total


def _stored(
    session: AnnotationSession,
    tracks: Sequence[Track],
    wanted: EverythingSettings,
    looked: Sequence[int],
    follower: Follower,
) -> Generator[tuple[int, int], None, TrackedEverything]:
    """Store what is new, with its divisions."""
    seen = {number: one.sightings for number, one in enumerate(tracks)}
    divides = session.frames.axis != "Z" if wanted.divisions is None else wanted.divisions
    proposed = propose_divisions(seen) if divides else []
    likely = [one for one in proposed if one.probability >= LIKELY]
    steps = look_back(seen, likely, follower.apart)
    begun = yield from _telling(steps, len(looked), len(looked))
    parts, divisions = divided(begun_earlier(seen, begun), [one.division for one in begun])
    less = list(under_parts([one for one in proposed if one.probability < LIKELY], seen, parts))
    perhaps = [*divisions, *(one for one in less if one.probability >= ASKED)]
    born = {daughter for one in perhaps for daughter in one.daughters}
    earlier = begun_before(parts, parts.keys() - born, looked, follower.steps)
    parts = yield from _telling(earlier, len(looked), len(looked))
    existing = Existing.of(session)
    found = beside(existing, parts, divisions)
    open_ones = list(not_ruled_out(session, existing, found, divisions))
    linked = [one for one in open_ones if may_be_linked(existing, found, one)]
    for_people = [one for one in open_ones if one not in linked]
    unlikely = list(not_ruled_out(session, existing, found, less))
    asked = [*for_people, *(one for one in unlikely if one.probability >= ASKED)]
    storing = store(session, ToStore(existing, found, linked, asked), object())
    stored = yield from _telling(storing, len(looked), len(looked))
    ids = {**stored, **found.known}
    return TrackedEverything(
        tuple(stored.values()),
        under_ids(sorted(linked, key=lambda one: one.probability), ids),
        under_ids(unlikely, ids),
        tuple(looked),
        {object_id: tuple(sorted(frames)) for object_id, frames in found.beyond.items()},
        proposed=under_ids(sorted(for_people, key=lambda one: -one.probability), ids),
        known=len(existing.objects),
        rejected=len(found.rejected),
    )
