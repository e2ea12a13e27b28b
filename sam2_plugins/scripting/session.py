"""The session of a script or a notebook: one stack, and everything that one does with it."""

import base64
import copy
from collections.abc import Generator, Iterable, Iterator
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from sam2_engine.arguments import as_path
from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.progress import with_bar
from sam2_engine.prompts import Prompt
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.tracking_session import check_frame
from sam2_plugins.everything.accepting import came_from
from sam2_plugins.everything.divisions import ProposedDivision
from sam2_plugins.everything.estimate import EverythingEstimate, estimate_everything
from sam2_plugins.everything.kept import KeptSightings, SightingsInMemory, kept_beside
from sam2_plugins.everything.run import TrackedEverything, track_everything
from sam2_plugins.everything.settings import EverythingSettings
from sam2_plugins.everything.storing import divisions_of
from sam2_plugins.export.formats import format_for
from sam2_plugins.export.targets import ExportSummary
from sam2_plugins.importing.masks import ImportSummary, import_masks, open_masks
from sam2_plugins.measure import MeasurementTable, measure, measure_volumes
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.review import LiveReview
from sam2_plugins.runtime.garbage import older_objects_left_alone
from sam2_plugins.runtime.jobs import CancelToken
from sam2_plugins.runtime.stop_requests import stopped_by_ctrl_c
from sam2_plugins.scripting.lazy_labels import LazyLabels
from sam2_plugins.scripting.pictures import ObjectMask, frame_picture
from sam2_plugins.scripting.review_list import ReviewList
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.annotations import AnnotatedObject
from sam2_plugins.session.automatic_segmentation import AutomaticSettings, find_objects
from sam2_plugins.session.carrying import CarriedObjects, carry
from sam2_plugins.session.propagation_plan import Direction, PropagateArguments
from sam2_plugins.session.readable import ResultGenerator
from sam2_plugins.session.tracked_frames import TrackedFrame, TrackedFrames
from sam2_plugins.storage import SessionFolder, reading_of

__all__ = ["Session"]

T = TypeVar("T")


class Session:
    """One stack with its objects, prompts, masks and undo; :func:`sam2_plugins.open` makes it.

    Frames count from 0, coordinates are ``x, y`` in pixels, boxes ``x0, y0, x1, y1``, masks (H, W) bool. What
    takes long is done when the call returns: it shows a bar where somebody looks (``progress``), Ctrl-C stops
    it after the frame in work and keeps what is finished, and its twin ``iter_...`` yields on the way.

    Parameters
    ----------
    annotation
        What a host would drive; everything here is done on it.
    folder
        Where it is saved as it happens; None for memory alone.
    scale
        Sizes of pixels, planes and frames, where no folder knows them.
    owns_frames
        Whether closing the session closes its frames.

    Examples
    --------
    A disc that moves to the right:

    >>> import numpy as np
    >>> import sam2_plugins
    >>> y, x = np.ogrid[:64, :80]
    >>> discs = np.uint8([200 * (np.hypot(x - 30 - 4 * t, y - 32) < 12) for t in range(3)])
    >>> work = sam2_plugins.open(discs, model="nano@256", device="cpu")
    >>> cell = work.add_object("cell")
    >>> mask = work.add_prompt(0, cell, points=[(30, 32)])
    >>> mask.shape, bool(mask[32, 30])
    ((64, 80), True)
    >>> work.propagate()
    <TrackedFrames: frames 0 to 2, 1 object>
    >>> work
    <Session array: T=3 Y=64 X=80, 1 object, 3 masks, 0 verified, model nano@256 on cpu, not saved>
    >>> work.labels()[:, 32, 38].tolist()
    [1, 1, 1]
    """

    def __init__(
        self,
        annotation: AnnotationSession,
        folder: SessionFolder | None = None,
        scale: PhysicalScale | None = None,
        *,
        owns_frames: bool = True,
    ) -> None:
        self._annotation = annotation
        self._folder = folder
        self._scale = scale or PhysicalScale.of(annotation.frames)
        self._owns_frames = owns_frames
        self._is_closed = False
        self._review: LiveReview | None = None
        self._seen = SightingsInMemory()

    # ------------------------------------------------------------------ what it is

    @property
    def annotation(self) -> AnnotationSession:
        """The session that a host would drive; everything here is done on it.

        Raises
        ------
        InputError
            If this one is closed: what is done then would be saved nowhere.
        """
        if self._is_closed:
            raise InputError("This session is closed; open it again with sam2_plugins.open().")
        return self._annotation

    @property
    def frames(self) -> FrameSource:
        """The pixels; ``frames[i]`` is one frame."""
        return self.annotation.frames

    @property
    def path(self) -> Path | None:
        """The folder in which everything is saved as it happens; None: in memory alone."""
        return None if self._folder is None else self._folder.path

    @property
    def objects(self) -> dict[int, AnnotatedObject]:
        """All objects by id: name, class (``label``), color, parents."""
        return dict(self.annotation.objects)

    @property
    def scale(self) -> PhysicalScale:
        """Sizes of pixels, planes and frames, in which is measured and exported; it can be set."""
        return self._scale if self._folder is None else self._folder.scale

    @scale.setter
    def scale(self, scale: PhysicalScale) -> None:
        if not isinstance(scale, PhysicalScale):
            raise InputError(f'A scale is PhysicalScale((0.65, 0.65), "µm"), for example, not {scale!r}.')
        self._scale = scale
        if self._folder is not None:
            self._folder.set_scale(scale)

    def __len__(self) -> int:
        return len(self.annotation)

    def __repr__(self) -> str:
        saved = "not saved" if self.path is None else f"saved in {self.path.name}"
        return f"<Session {self._annotation.description}, {'closed' if self._is_closed else saved}>"

    def _repr_html_(self) -> str:
        known = sorted({f for i in self.objects for f in self.annotation.frames_of(i)})
        frame = known[0] if known else 0
        png = base64.b64encode(frame_picture(self.annotation, frame)).decode()
        rows = "".join(
            f"<tr><td>{i}</td><td>{escape(one.name)}</td><td>{escape(one.label or '')}</td>"
            f"<td>{len(self.annotation.frames_of(i))}</td><td>{len(self.annotation.verified(i))}</td></tr>"
            for i, one in self.objects.items()
        )
        head = "<tr><th>object</th><th>name</th><th>class</th><th>masks</th><th>verified</th></tr>"
        return (
            f"<p>{escape(repr(self))}</p>"
            f'<img alt="frame {frame}" src="data:image/png;base64,{png}"><table>{head}{rows}</table>'
        )

    # ------------------------------------------------------------------ objects and prompts

    def add_object(
        self, name: str | None = None, label: str | None = None, *, object_id: int | None = None
    ) -> int:
        """Make an object, by its name and class if they are told, and return its id."""
        return self.annotation.add_object(name, label, object_id=object_id)

    def edit_object(
        self,
        object_id: int,
        *,
        name: str | None = None,
        label: str | None = None,
        color: tuple[int, int, int] | None = None,
    ) -> None:
        """Rename an object, or give it another class or RGB color (0..255)."""
        self.annotation.edit_object(object_id, name=name, label=label, color=color)

    def remove_object(self, object_id: int) -> None:
        """Remove an object with its prompts and masks."""
        self.annotation.remove_object(object_id)

    def add_prompt(
        self,
        frame: int,
        object_id: int,
        prompt: Prompt | None = None,
        *,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        replace: bool = False,
    ) -> ObjectMask:
        """Prompt an object on a frame and return its mask there; give points, a box, both, or a mask.

        Parameters
        ----------
        frame, object_id
            Any frame, tracked or not; a known object.
        prompt
            All of it as one value, instead of the following.
        points
            (N, 2) ``(x, y)`` in pixels, or one ``(x, y)``.
        labels
            (N,), 1 inside the object (unless told otherwise), 0 outside of it.
        box
            ``(x0, y0, x1, y1)``, the first and last column and row.
        mask
            (H, W), taken as it is.
        replace
            Drop the prompts that the object has on this frame.

        Raises
        ------
        InputError
            If the object or the frame is unknown, the mask there is verified, or the prompt is not valid.
        """
        given = prompt
        if given is None:
            given = Prompt.of(self.annotation.shape, points=points, labels=labels, box=box, mask=mask)
        self.annotation.add_prompt(frame, object_id, given, replace)
        found = ObjectMask.of(self.annotation, object_id, frame)
        assert found is not None  # it has just been stored
        return found

    def clear_prompts(self, object_id: int, frame: int | None = None) -> None:
        """Remove an object's prompts, and the masks made from them, from one frame or from all."""
        self.annotation.clear_prompts(object_id, frame)

    def find_objects(
        self,
        frame: int = 0,
        *,
        confidence: float | None = None,
        min_area: int = 20,
        max_objects: int = 200,
        points_per_side: int = 16,
        progress: bool | None = None,
    ) -> list[int]:
        """Find the objects of a frame without any prompt, and return the ids under which they are added.

        Parameters
        ----------
        frame
            Which one. What is found there can be tracked.
        confidence, min_area, max_objects, points_per_side
            As for :class:`sam2_plugins.session.automatic_segmentation.AutomaticSettings`.
        progress
            Whether to show a bar; None: where somebody looks.
        """
        annotation, frame = self.annotation, check_frame(self.frames, frame)
        settings = AutomaticSettings(confidence, min_area, max_objects, points_per_side)
        store, model = annotation.store, annotation.model_name
        search = find_objects.steps(store, model, annotation.frames[frame], annotation.window, settings)
        found = self._run(search, None, "searching", progress)
        masks = {annotation.annotations.next_id + n: one.mask for n, one in enumerate(found)}
        annotation.import_masks(frame, masks, as_prompts=True)
        return list(masks)

    # ------------------------------------------------------------------ tracking

    def propagate(
        self,
        object_ids: int | Iterable[int] | None = None,
        *,
        direction: str = "forward",
        start: int | None = None,
        stop: int | None = None,
        missing_only: bool = False,
        progress: bool | None = None,
    ) -> TrackedFrames:
        """Track objects from frame to frame, each from its own prompts; every frame is stored as it comes.

        Parameters
        ----------
        object_ids
            Which objects, or one; None for all.
        direction
            ``forward``, ``backward``, or ``both``: forwards from each object's first prompt, and backwards
            from there.
        start, stop
            First and last frame, both included, in the direction; None for the objects' prompts and the end
            of the stack.
        missing_only
            Pass over what has a mask already: to go on with what was stopped.
        progress
            Whether to show a bar; None: where somebody looks.

        Returns
        -------
        TrackedFrames
            What was tracked where; verified and prompted masks stay as they are.

        Raises
        ------
        InputError
            If an object or a frame is unknown, or there is nothing to track.
        KeyboardInterrupt
            After Ctrl-C; what is finished stays.
        """
        runs = self._runs(object_ids, direction, start, stop, missing_only)
        total = self.annotation.count_frames(runs)
        with stopped_by_ctrl_c() as cancel, older_objects_left_alone():
            steps = with_bar(self._propagate(runs, cancel), "tracking", total, progress)
            return TrackedFrames(map(TrackedFrame.of, steps))

    def iter_propagate(
        self,
        object_ids: int | Iterable[int] | None = None,
        *,
        direction: str = "forward",
        start: int | None = None,
        stop: int | None = None,
        missing_only: bool = False,
    ) -> Iterator[FrameResult]:
        """Track as :meth:`propagate` does, frame by frame: each is stored, then yielded.

        Prompts may be given between two frames; what is not asked for is not computed.
        """
        yield from self._propagate(self._runs(object_ids, direction, start, stop, missing_only), None)

    def _runs(
        self,
        object_ids: int | Iterable[int] | None,
        direction: str,
        start: int | None,
        stop: int | None,
        missing_only: bool,
    ) -> list[PropagateArguments]:
        wanted = Direction.of(direction)
        if wanted is Direction.BOTH and stop is not None:
            raise InputError("Both directions have no common last frame; leave stop out, or call it twice.")
        ids = (object_ids,) if isinstance(object_ids, int | np.integer) else object_ids
        chosen = None if ids is None else tuple(ids)
        options = {"stop": stop, "missing_only": missing_only}
        return self.annotation.runs(wanted, chosen, start, **options)

    def _propagate(
        self, runs: Iterable[PropagateArguments], cancel: CancelToken | None
    ) -> Iterator[FrameResult]:
        undo_group = object()
        for run in runs:
            yield from self.annotation.iter_propagate(**run, cancel=cancel, undo_group=undo_group)

    def track_everything(
        self, settings: EverythingSettings | None = None, *, progress: bool | None = None
    ) -> TrackedEverything:
        """Find all objects of the stack without a click, track them, and propose who divided into whom.

        What there is already stays as it is and is not found again; one undo takes back all that was added.
        What a stopped run has seen is kept, in the session's folder if it has one: called again, it goes on.

        Parameters
        ----------
        settings
            What to look for, and on how many frames; see :meth:`estimate_everything` for how long it takes.
        progress
            Whether to show a bar; None: where somebody looks.

        Returns
        -------
        TrackedEverything
            The new objects, and divisions with their probabilities.

        Raises
        ------
        InputError
            If a frame cannot be read, or the stack is an endless live stream.
        KeyboardInterrupt
            After Ctrl-C.
        """
        looked = self.estimate_everything(settings).looked_at
        steps = _frame_by_frame(track_everything.steps(self.annotation, settings, self.kept_sightings))
        return self._run(steps, looked, "finding and tracking", progress)

    @property
    def kept_sightings(self) -> KeptSightings:
        """Where :meth:`track_everything` keeps what it has seen: in the session's folder, if it has one."""
        return self._seen if self._folder is None else kept_beside(self._folder)

    def estimate_everything(self, settings: EverythingSettings | None = None) -> EverythingEstimate:
        """Say on how many frames :meth:`track_everything` would look, and how long that takes."""
        return estimate_everything(self.annotation, settings)

    def divisions(self) -> list[ProposedDivision]:
        """Return who divided into which two, with how probable that is by their masks, the least first."""
        return divisions_of(self.annotation)

    # ------------------------------------------------------------------ corrections

    def carry_to(
        self,
        later: "Session",
        object_ids: int | Iterable[int] | None = None,
        *,
        progress: bool | None = None,
    ) -> CarriedObjects:
        """Carry the objects of a volume at this time on to another time of it, under their ids.

        Each is tracked through time on the plane where it is largest, and from there through the planes.

        Parameters
        ----------
        later
            The session of the other time, earlier or later.
        object_ids
            Which objects, or one; None for all.
        progress
            Whether to show a bar; None: where somebody looks.

        Raises
        ------
        InputError
            If the volumes are not alike, or there is nothing to carry on.
        """
        if not isinstance(later, Session):
            raise InputError(f"Objects are carried to another session, as open() gives it, not to {later!r}.")
        ids = (object_ids,) if isinstance(object_ids, int | np.integer) else object_ids
        steps = carry.steps(self.annotation, later.annotation, ids)
        return self._run(steps, None, "carrying on", progress)

    def divide(self, object_id: int, frame: int, daughters: int = 2) -> tuple[int, ...]:
        """Let an object end before a frame and its daughters begin there; return their ids."""
        return self.annotation.lineage.divide(object_id, frame, daughters)

    def merge(self, object_id: int, other: int) -> None:
        """Make two objects one; ``other`` is removed."""
        self.annotation.lineage.merge(object_id, other)

    def split(self, object_id: int, frame: int) -> int:
        """Let what is known of an object from a frame on belong to a new one; return its id."""
        return self.annotation.lineage.split(object_id, frame)

    def swap(self, object_id: int, other: int, frame: int) -> None:
        """Exchange two objects from a frame on, as after an identity switch."""
        self.annotation.lineage.swap(object_id, other, frame)

    def delete_from(self, object_id: int, frame: int) -> None:
        """Let an object end before a frame; what was known of it from there on goes."""
        self.annotation.lineage.delete_from(object_id, frame)

    def mark_absent(self, object_id: int, frame: int, last: int | None = None) -> None:
        """Say that an object is not there on a frame, or from there to ``last``, inclusive."""
        self.annotation.lineage.mark_absent(object_id, frame, last)

    def set_parents(self, object_id: int, parents: int | Iterable[int]) -> None:
        """Say which objects, or which one, an object came from."""
        self.annotation.lineage.set_parents(object_id, parents)

    def came_from(self, daughter: int, mother: int) -> tuple[int, ...]:
        """Say that an object came from another one by a division; return all daughters of that one.

        A mother that goes on as the other daughter is cut in two, one whose masks hold both ends.
        """
        return came_from(self.annotation, daughter, mother)

    def undo(self) -> str | None:
        """Take the last action back, and return what it was in words; None if there is nothing."""
        name = self.annotation.undo_name
        return name if self.annotation.undo() else None

    def redo(self) -> str | None:
        """Do again what was undone last, and return what it is in words; None if there is nothing."""
        name = self.annotation.redo_name
        return name if self.annotation.redo() else None

    # ------------------------------------------------------------------ review

    def review(self) -> ReviewList:
        """Return the masks to look at, the most doubtful first, each with its reason in words."""
        if self._review is None:
            self._review = LiveReview(self.annotation)
        return ReviewList(self.annotation, self._review.queue())

    def verify(
        self, object_id: int, frames: int | Iterable[int] | None = None, *, verified: bool = True
    ) -> None:
        """Say that an object's masks are right on some frames: no prompt, tracking or import changes them.

        Parameters
        ----------
        object_id
            Which object.
        frames
            Which frames, or one; None for all on which it has a mask.
        verified
            False takes it back.

        Raises
        ------
        InputError
            If the object is unknown, or has no mask on one of the frames.
        """
        if frames is None:
            frames = self.annotation.frames_of(self.annotation.annotations.require(object_id))
            if not frames:
                called = self.annotation.annotations.called(int(object_id), begins=True)
                raise InputError(f"{called} has no mask to verify yet.")
        self.annotation.verify(object_id, [frames] if not isinstance(frames, Iterable) else frames, verified)

    # ------------------------------------------------------------------ results

    def mask(self, object_id: int, frame: int) -> ObjectMask | None:
        """Return an object's (H, W) bool mask, empty where it is absent, None where nothing is known yet."""
        self.annotation.annotations.require(object_id)
        check_frame(self.frames, frame)
        return ObjectMask.of(self.annotation, object_id, frame)

    def labels(self) -> LazyLabels:
        """Return the object ids of all pixels, (T, H, W), each frame made when it is read; 0: background."""
        return LazyLabels(self.annotation)

    def measure(
        self,
        object_ids: int | Iterable[int] | None = None,
        *,
        intensity: bool = True,
        progress: bool | None = None,
    ) -> MeasurementTable:
        """Measure every mask, in the units of ``scale``.

        Parameters
        ----------
        object_ids
            Which objects; None for all.
        intensity
            Whether to read the pixels as well.
        progress
            Whether to show a bar; None: where somebody looks.

        Returns
        -------
        MeasurementTable
            One row for each object and frame, a dict; ``pandas.DataFrame(table)`` takes it.
        """
        steps = measure.steps(self.annotation, self.scale, object_ids=object_ids, intensity=intensity)
        return self._run(steps, len(self), "measuring", progress)

    def measure_volumes(self, *, progress: bool | None = None) -> MeasurementTable:
        """Measure volume and surface of every object of a volume, in the units of ``scale``.

        Parameters
        ----------
        progress
            Whether to show a bar; None: where somebody looks.

        Returns
        -------
        MeasurementTable
            One row for each object.

        Raises
        ------
        InputError
            If the frames are times.
        """
        return self._run(measure_volumes.steps(self.annotation, self.scale), len(self), "measuring", progress)

    def export(
        self,
        path: str | Path,
        format: str | None = None,
        *,
        overwrite: bool = False,
        progress: bool | None = None,
    ) -> ExportSummary:
        """Write the session to a file or a folder.

        Parameters
        ----------
        path
            Where; what is there already is refused, unless it may be overwritten.
        format
            One of ``sam2_plugins.FORMATS``; None: what the ending says.
        overwrite
            Replace an earlier export.
        progress
            Whether to show a bar; None: where somebody looks.

        Raises
        ------
        InputError
            If the format is unknown, or it cannot be written there.
        """
        path = as_path(path, "What is written")
        steps = format_for(path, format).steps(self.annotation, path, self.scale, overwrite)
        return self._run(steps, len(self), "exporting", progress)

    def import_masks(
        self,
        masks: object,
        *,
        frame: int | None = None,
        as_prompts: bool = False,
        verified: bool = False,
        progress: bool | None = None,
    ) -> ImportSummary:
        """Take over the masks of another tool, in any of the formats of ``docs/export.md``.

        Parameters
        ----------
        masks
            A path, or a label image, (T, H, W) or (H, W).
        frame
            The frame of a single label image.
        as_prompts
            Whether objects are to be tracked from them.
        verified
            Whether they count as verified.
        progress
            Whether to show a bar; None: where somebody looks.

        Raises
        ------
        InputError
            If they cannot be read, or are of another size.
        """
        if frame is not None:
            frame = check_frame(self.frames, frame)
        with open_masks(masks, self.annotation.shape, len(self), frame=frame) as opened:
            steps = import_masks.steps(self.annotation, opened, verify=verified, as_prompts=as_prompts)
            return self._run(steps, 2 * len(opened), "importing", progress)

    # ------------------------------------------------------------------ how it is computed and kept

    def use_model(self, model: str | Path | Sam2) -> None:
        """Compute with another model from now on; what is there stays."""
        name = self.annotation.store.add(model) if isinstance(model, Sam2) else model
        self.annotation.use_model(name)

    def save(self, path: str | Path) -> None:
        """Save a session that was in memory in a folder, and from then on as it happens.

        Parameters
        ----------
        path
            A folder that does not exist yet; its name ends on ``.sam2``, for hosts to find it.

        Raises
        ------
        InputError
            If it is saved already, the folder exists, or it cannot be written.
        """
        if self._folder is not None:
            raise InputError(f"This session is saved in {self.path} as it happens.")
        source, opening = reading_of(self.frames)
        self._folder = SessionFolder.create(
            path, self.annotation, source=source, opening=opening, scale=self._scale
        )

    def close(self) -> None:
        """Let others open the session, and close its frames; all of it is saved, if it has a folder."""
        if self._review is not None:
            self._review.close()
            self._review = None
        if self._folder is not None:
            self._scale = self._folder.scale
            self._folder.close()
            self._folder = None
        self._is_closed = True
        if self._owns_frames:
            self._annotation.frames.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Session":
        """Return an independent session in memory."""
        return Session(copy.deepcopy(self.annotation, memo), None, self.scale)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the session as one in memory: its folder stays where it is, open here."""
        return Session, (self.annotation, None, self.scale)

    @staticmethod
    def _run(steps: Generator[object, None, T], total: int | None, title: str, progress: bool | None) -> T:
        work = ResultGenerator(steps)
        for _ in with_bar(work, title, total, progress):
            pass
        return work.result


def _frame_by_frame(steps: Generator[tuple[int, int], None, T]) -> Generator[int, None, T]:
    """Yield once for every frame that is done."""
    finished = 0
    while True:
        try:
            done, _ = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        if done > finished:
            finished = done
            yield done
