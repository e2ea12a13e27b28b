"""The session that every host drives: objects, prompts and masks on one sequence of frames.

The session owns the annotations. The engine's session owns only what can be computed again, so it is dropped
whenever anything goes wrong in it, and rebuilt from frames, prompts and accepted masks.
"""

import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frames import FrameSource, open_frames
from sam2_engine.masks import CompressedMask, as_mask
from sam2_engine.preprocessing import IntensityWindow
from sam2_engine.prompts import Prompt, check_says_where
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.memory_policies.registry import memory_policy_of
from sam2_engine.video.tracking_session import TrackingSession, check_frame, frames_to_clear
from sam2_engine.weights.pixel_rules import window_of
from sam2_engine.wording import counted
from sam2_plugins.runtime.jobs import CancelToken
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.runtime.run_estimate import RunEstimate, RunSize
from sam2_plugins.session.annotations import AnnotatedObject, Annotations, Change, check_color, check_words
from sam2_plugins.session.engine_session import EngineSession, clear_prompts
from sam2_plugins.session.history import DEFAULT_UNDO_BYTES, Action, History
from sam2_plugins.session.label_image import compose_labels
from sam2_plugins.session.lineage import Lineage
from sam2_plugins.session.masks import AcceptedMask, MaskOrigin, MaskRemark, MaskScores
from sam2_plugins.session.memory_options import MemoryOptions
from sam2_plugins.session.prefetch import prefetch
from sam2_plugins.session.propagation import propagate, store_result
from sam2_plugins.session.propagation_plan import (
    Direction,
    PropagateArguments,
    PropagationPlan,
    count_frames,
    runs_in,
)
from sam2_plugins.session.session_state import SessionState
from sam2_plugins.session.tracked_frames import TrackedFrame, TrackedFrames

__all__ = ["AnnotationSession"]

DEFAULT_HISTORY = 256 * 2**20


class AnnotationSession:
    """Objects, prompts and masks on one sequence of frames.

    Methods may be called from any thread. Those that compute wait for the device, clicks ahead of the next
    frame of a propagation; those that read never wait.

    Parameters
    ----------
    frames
        Whatever :func:`sam2_engine.open_frames` takes: a path, an array, a ``FrameSource``, a live stream.
    store
        The host's models and its device's lock.
    model
        A variant's name or a checkpoint's path.
    axes, channel
        As for ``open_frames``, where the frames do not tell.
    contrast
        Intensity window ``(low, high)``; None: as the model expects, once for all
        frames. ``set_window`` changes it.
    max_conditioning_frames
        How many prompted frames, the nearest ones, a frame attends to; None for all.
    history
        Bytes for checkpoints of tracked frames, so that corrections in the middle carry on exactly;
        None for work without corrections.
    cache
        Of encoded frames, shared with other sessions of the same store; None for one of its own.
    undo_bytes
        Cap of what undo stores.
    cleans_clicked_frames
        Whether clicks and boxes on frames of videos give masks without small components, whichever model it
        is, as they do on images; False: as the model was published.
    memory_policy
        What is remembered of tracked frames: a name of ``POLICIES`` in
        ``sam2_engine.video.memory_policies.registry``, or ``auto``, which chooses for the kind of stack.
    overlapping
        Whether tracked objects may share pixels: True, False, pairs that may; None: as the policy says.

    Attributes
    ----------
    frames
        What is annotated.
    store
        As given.
    model_name
        Which model predicts now.
    memory
        What is remembered of tracked frames, and whether objects may overlap.
    annotations
        Objects, prompts, accepted masks, which of them are verified, and the intensity window.
    history
        What was done to them, for undo and for listeners (``history.subscribe``).
    engine
        The engine's session on the same frames, made again from the annotations whenever it must be.

    Raises
    ------
    InputError
        If the frames, the model or an option cannot be used.

    See Also
    --------
    sam2_plugins.storage.SessionFolder : saves a session as it is annotated.
    sam2_plugins.storage.open_session : opens a saved one.
    sam2_engine.VideoSession : predictions only, without objects, undo or storage.

    Examples
    --------
    >>> from sam2_plugins import AnnotationSession, ModelStore
    >>> y, x = np.ogrid[:64, :80]
    >>> frames = np.uint8([200 * (np.hypot(x - 30 - 4 * t, y - 32) < 12) for t in range(3)])
    >>> session = AnnotationSession(frames, ModelStore(), "nano@256")
    >>> cell = session.add_object("cell")
    >>> clicked = session.add_points(0, cell, (30, 32))
    >>> session.propagate()
    <TrackedFrames: frames 0 to 2, 1 object>
    >>> session.label_image(2)[32, [38, 70]].tolist()
    [1, 0]

    Verified masks stay whatever is tracked later, and every action can be undone:

    >>> session.verify(cell, frames=[0, 1])
    >>> session.propagate()
    <TrackedFrames: frame 2, 1 object>
    >>> session.undo_name
    'tracking'
    >>> changes = session.undo()
    """

    def __init__(
        self,
        frames: object,
        store: ModelStore,
        model: str | Path = "nano",
        *,
        axes: str | None = None,
        channel: int | None = None,
        contrast: tuple[float, float] | IntensityWindow | None = None,
        max_conditioning_frames: int | None = 8,
        history: int | None = DEFAULT_HISTORY,
        cache: FeatureCache | None = None,
        undo_bytes: int = DEFAULT_UNDO_BYTES,
        cleans_clicked_frames: bool = True,
        memory_policy: str = "recent",
        overlapping: bool | Iterable[tuple[int, int]] | None = None,
    ) -> None:
        pairs = MemoryOptions.check(memory_policy, overlapping)
        self.frames: FrameSource = open_frames(frames, axes=axes, channel=channel)
        try:
            window = _first_window(self.frames, contrast, store, model)
        except BaseException:
            if self.frames is not frames:
                self.frames.close()
            raise
        self.model_name = str(model)
        self.store = store
        self._max_conditioning_frames = max_conditioning_frames
        self._checkpoint_bytes = history
        self.cleans_clicked_frames = cleans_clicked_frames
        self.memory = MemoryOptions(memory_policy_of(memory_policy, self.frames).name, pairs)
        self._cache = FeatureCache(store.encoded_bytes) if cache is None else cache
        self._device_lock = store.lock
        self.annotations = Annotations(window)
        self.history = History(self.annotations, undo_bytes)
        session = weakref.proxy(self)  # a session that nobody uses is freed at once, with its frames
        self.engine = EngineSession(lambda: session._make_engine(session.window), self.annotations)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of every frame in pixels."""
        return self.frames.shape

    @property
    def description(self) -> str:
        """One line for users: the stack and its size, what is annotated, and by which model."""
        frames, annotations = self.frames, self.annotations
        length = "?" if frames.length is None else frames.length
        size = f"{frames.axis}={length} Y={self.shape[0]} X={self.shape[1]}"
        objects, masks = counted(len(self.objects), "object"), counted(annotations.num_masks, "mask")
        work = f"{objects}, {masks}, {annotations.num_verified} verified"
        name = frames.name.removeprefix("The ")  # as in "The array has ..."
        return f"{name}: {size}, {work}, model {self.model_name} on {self.store.device_name}"

    def __repr__(self) -> str:
        return f"<AnnotationSession {self.description}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> "AnnotationSession":
        """Return an independent session on the same models; nobody listens to it, and it is saved nowhere."""
        return SessionState.of(self, deepcopy(self.frames, memo)).restored(self.store)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle all but the models, which are loaded again by their names, and who listens."""
        return SessionState.restored, (SessionState.of(self, self.frames),)

    @property
    def lineage(self) -> Lineage:
        """Divisions and fusions, and changes of identity."""
        # Made anew: a stored one would refer back, and sessions that nobody uses are to be freed at once.
        return Lineage(self.annotations, self._edit, self.frames)

    # ------------------------------------------------------------------ objects

    @property
    def objects(self) -> Mapping[int, AnnotatedObject]:
        """All objects of now, sorted by id."""
        return self.annotations.objects()

    def add_object(
        self,
        name: str | None = None,
        label: str | None = None,
        *,
        object_id: int | None = None,
        undo_group: object = None,
    ) -> int:
        """Make an object and return its id.

        Parameters
        ----------
        name
            What people call it; None for "object 3".
        label
            Its class.
        object_id
            An id that was never used in this session; None for the next one.
        undo_group
            Actions one after the other with the same token are undone as one.

        Raises
        ------
        InputError
            If the id was used before or is no positive whole number of 32 bits.
        """
        call: dict[str, Any] = {"do": "add_object", "name": name, "label": label}
        with self.annotations.lock:
            with self.history.action("new object", call, undo_group):
                call["object_id"] = self.annotations.new_object(name, label, object_id).id
            return int(call["object_id"])

    def edit_object(
        self,
        object_id: int,
        *,
        name: str | None = None,
        label: str | None = None,
        color: tuple[int, int, int] | None = None,
        undo_group: object = None,
    ) -> None:
        """Rename an object, or give it another class or RGB color (0..255); None leaves each as it is.

        Calls one after the other with the same ``undo_group`` are undone as one.

        Raises
        ------
        InputError
            If there is no such object, or what is given is no text or no color.
        """
        check_words(name, label)
        check_color(color)
        object_id = self.annotations.require(object_id)
        changed: dict[str, Any] = {"name": name, "label": label, "color": color}
        given = {key: value for key, value in changed.items() if value is not None}
        if color is not None:
            given["color"] = tuple(map(int, color))
        call = {"do": "edit_object", "object_id": object_id, **given}
        with (
            self.annotations.lock,
            self.history.action(f"edit {self.annotations.called(object_id)}", call, undo_group),
        ):
            before = self.annotations.objects()[self.annotations.require(object_id)]
            self.annotations.set_object(object_id, replaced(before, **given))

    def remove_object(self, object_id: int) -> None:
        """Remove an object with its prompts and masks; its id is not used again.

        Raises
        ------
        InputError
            If there is no such object.
        """
        call = {"do": "remove_object", "object_id": object_id}
        with self._edit(f"remove {self.annotations.called(object_id)}", call):
            self.annotations.require(object_id)
            self.annotations.set_object(object_id, None)

    # ------------------------------------------------------------------ prompts

    def add_points(
        self,
        frame: int,
        object_id: int,
        points: ArrayLike,
        labels: ArrayLike | None = None,
        replace: bool = False,
        *,
        box: ArrayLike | None = None,
    ) -> FrameResult:
        """Add clicks, perhaps with a box, to an object on a frame and return its mask there.

        Parameters
        ----------
        frame
            Any frame, tracked or not.
        object_id
            A known object.
        points
            (N, 2) ``(x, y)`` in pixels, or one ``(x, y)``.
        labels
            (N,), 1 inside (default), 0 outside.
        replace
            Drop the prompts that the object has on this frame.
        box
            As for :meth:`add_box`; predicted together with the clicks.

        Raises
        ------
        InputError
            If the object or the frame is unknown, or a point is not valid on the frame.
        """
        prompt = Prompt.of(self.shape, points=points, labels=labels, box=box)
        return self.add_prompt(frame, object_id, prompt, replace)

    def add_box(self, frame: int, object_id: int, box: ArrayLike, replace: bool = False) -> FrameResult:
        """Place a box ``(x0, y0, x1, y1)`` (inclusive pixels) around an object and return its mask.

        It takes the place of an earlier box or mask on the frame; with ``replace``, of its clicks as well.

        Raises
        ------
        InputError
            If the object or the frame is unknown, or the box ends before it begins or lies outside.
        """
        return self.add_prompt(frame, object_id, Prompt.of(self.shape, box=box), replace)

    def add_mask(self, frame: int, object_id: int, mask: ArrayLike, undo_group: object = None) -> FrameResult:
        """Give an object's (H, W) mask on a frame; it is taken as it is, instead of other prompts there.

        Calls one after the other with the same ``undo_group`` are undone as one.

        Raises
        ------
        InputError
            If the object or the frame is unknown, or the mask has another size.
        """
        return self.add_prompt(frame, object_id, Prompt.of(self.shape, mask=mask), undo_group=undo_group)

    def add_prompt(
        self, frame: int, object_id: int, prompt: Prompt, replace: bool = False, undo_group: object = None
    ) -> FrameResult:
        """Prompt an object on a frame and return its mask there; the methods above are short for this one.

        Parameters
        ----------
        frame, object_id
            Any frame, tracked or not; a known object.
        prompt
            Clicks, a box, both, or a mask.
        replace
            Drop the prompts that the object has on this frame.
        undo_group
            Actions one after the other with the same token are undone as one.

        Raises
        ------
        InputError
            If the object or the frame is unknown, its mask is verified, or the prompt is not valid there;
            or if the object has divided before that frame or begins after it.
        """
        if not isinstance(prompt, Prompt):
            raise InputError(f"What is given is a Prompt, not {prompt!r}; add_points() takes clicks.")
        prompt = prompt.on(self.shape)
        with self._device_lock:
            frame, object_id = self._check_place(frame, object_id)
            call = {"do": "add_prompt", "frame": frame, "object_id": object_id, "prompt": prompt}
            if self.annotations.is_verified(object_id, frame):
                raise InputError(
                    f"{self.annotations.called(object_id, begins=True)} "
                    f"is verified on frame {frame}; unverify it there to change its mask."
                )
            present = prompt.mask is None or not prompt.mask.is_empty
            if present:
                self.lineage.check_place(object_id, frame)
            earlier = () if replace else self.annotations.prompts_of(object_id).get(frame, ())
            accepted = self.annotations.mask(object_id, frame)
            known = self.annotations.prompts_of(object_id) or self.annotations.frames_of(object_id)
            check_says_where(prompt.says_where, annotated=bool(known))
            with self.engine.acquire() as engine:
                self.engine.remove_temporary_prompt(object_id, frame)
                if replace:  # as in an engine session that is rebuilt and never had the earlier prompts
                    clear_prompts(engine, object_id, frame)
                # A new engine session does not know the mask that clicks outside take away from.
                unknown = not (prompt.says_where or engine.has_mask(frame, object_id))
                if accepted and not earlier and (unknown or not replace):
                    before = Prompt(mask=accepted.mask)
                    if accepted.origin is MaskOrigin.PAINTED:
                        earlier = (before,)  # another tool's mask is what is being corrected
                    # Tiles have no memories of frames far behind, so there a mask stands for them.
                    remembers = engine.remembers_tracked_frames or accepted.mask.is_empty
                    if earlier or unknown or not remembers:
                        engine.add_prompt(frame, object_id, before)
                result = engine.add_prompt(frame, object_id, prompt)
            kind = "mask" if prompt.mask is not None else "box" if prompt.points is None else "click"
            with self.history.action(
                f"{kind} on {self.annotations.called(object_id)}", {**call, "replace": replace}, undo_group
            ):
                if object_id in self.annotations.objects():  # its creation may have been undone meanwhile
                    if present:
                        self.lineage.admit(object_id, frame)
                    self.annotations.set_prompts(object_id, frame, prompt.after(earlier))
                    store_result(self.annotations, result, prompted=True)
            return result

    def prompts_of(self, object_id: int) -> dict[int, tuple[Prompt, ...]]:
        """Return an object's prompts by frame, each in the order in which they were given."""
        self.annotations.require(object_id)
        return self.annotations.prompts_of(object_id)

    def clear_prompts(self, object_id: int, frame: int | None = None) -> None:
        """Remove an object's prompts, and the masks made from them, from one frame or from all.

        Masks that were tracked from them on other frames stay until the next propagation.

        Raises
        ------
        InputError
            If the object is unknown or has no prompt on the frame.
        """
        call = {"do": "clear_prompts", "object_id": object_id, "frame": frame}
        with self._edit(f"clear prompts of {self.annotations.called(object_id)}", call):
            self.annotations.require(object_id)
            for cleared in frames_to_clear(object_id, self.annotations.prompts_of(object_id), frame):
                self.annotations.set_verified(object_id, cleared, False)
                self.annotations.set_prompts(object_id, cleared, ())
                self.annotations.set_mask(object_id, cleared, None)

    def single_frame_prompts(self) -> list[tuple[int, int]]:
        """Return the (object id, frame) whose masks come from clicks or a box alone, without memories.

        Those are objects that were prompted on one frame and verified on no other. Where an object was
        corrected on further frames, a click there says only what was wrong.
        """
        places = []
        for object_id in self.annotations.objects():
            prompted, verified = self.annotations.prompts_of(object_id), self.annotations.verified(object_id)
            if len(prompted) == 1 and not verified:
                places += [(object_id, frame) for frame, given in prompted.items() if given[-1].mask is None]
        return places

    # ------------------------------------------------------------------ masks

    def mask(self, object_id: int, frame: int) -> NDArray[np.bool_] | None:
        """Return an object's (H, W) mask, empty where it is absent, None where nothing is known yet."""
        accepted = self.annotations.mask(object_id, frame)
        return None if accepted is None else accepted.mask.to_array()

    def accepted(self, object_id: int, frame: int) -> AcceptedMask | None:
        """Return an object's mask as it is stored: compressed, with its origin and scores."""
        return self.annotations.mask(object_id, frame)

    def score(self, object_id: int, frame: int) -> MaskScores | None:
        """Return what the model said of an object's mask, or None where nothing is known yet."""
        accepted = self.annotations.mask(object_id, frame)
        return None if accepted is None else accepted.scores

    def frames_of(self, object_id: int) -> list[int]:
        """Return the frames on which something is known of an object, sorted; it may be absent there."""
        return self.annotations.frames_of(object_id)

    def label_image(self, frame: int) -> NDArray[Any]:
        """Return the (H, W) label image of a frame: object ids, 0 is background.

        Where masks overlap, painted ones win over those from clicks, and these over tracked ones; among
        equals the higher logit wins, and last the newer object. uint16, or uint32 if an id needs it.
        """
        return compose_labels(
            self.shape, self.annotations.masks_on(frame), max(self.annotations.objects(), default=0)
        )

    def import_masks(
        self,
        frame: int,
        masks: Mapping[int, NDArray[np.bool_] | CompressedMask],
        undo_group: object = None,
        *,
        as_prompts: bool = False,
    ) -> None:
        """Take over masks that another tool made on a frame, as if they had been painted.

        They are taken as they are, but are no prompts unless asked for: objects are tracked from them once
        they are verified or corrected. What a person prompted or verified there stays.

        Parameters
        ----------
        frame
            Which frame.
        masks
            (H, W) by object id; ids that are not known become objects, also those of removed ones.
        undo_group
            Calls one after the other with the same token are undone as one; see also ``UndoGroup``.
        as_prompts
            Whether these masks are prompts, from which objects are tracked.

        Raises
        ------
        InputError
            If a mask has another size or holds more than one value beside 0, or an id is no positive whole
            number of 32 bits.
        """
        packed = {
            int(object_id): mask
            if isinstance(mask, CompressedMask)
            else CompressedMask.from_array(
                as_mask(mask, f"The mask of {self.annotations.called(int(object_id))}")
            )
            for object_id, mask in masks.items()
        }
        for object_id, mask in packed.items():
            if mask.shape != self.shape:
                raise InputError(
                    f"The mask of {self.annotations.called(object_id)} is {mask.shape}, the frames are "
                    f"{self.shape}."
                )
        frame = check_frame(self.frames, frame)
        call = {"do": "take_masks", "frame": frame, "masks": packed, "as_prompts": as_prompts}
        with self._edit("import masks", call, undo_group):
            for object_id, mask in packed.items():
                if object_id not in self.annotations.objects():
                    self.annotations.new_object(None, None, object_id, again=True)
                prompted = frame in self.annotations.prompts_of(object_id)
                if not prompted and not self.annotations.is_verified(object_id, frame):
                    if not mask.is_empty:
                        self.lineage.admit(object_id, frame)
                    if as_prompts:
                        self.annotations.set_prompts(object_id, frame, (Prompt(mask=mask),))
                    self.annotations.set_mask(object_id, frame, AcceptedMask.painted(mask))

    def import_track(
        self,
        masks: Mapping[int, CompressedMask],
        scores: Mapping[int, MaskScores],
        *,
        parents: Iterable[int] = (),
        remark: MaskRemark = MaskRemark.NONE,
        object_id: int | None = None,
        undo_group: object = None,
        action: str = "import track",
    ) -> int:
        """Make an object of masks that a model made, all in one action, and return its id.

        They count as tracked: the review looks at them, and tracking may change them once one of them is
        verified or corrected.

        Parameters
        ----------
        masks
            Its mask by frame.
        scores
            What the model said of each.
        parents
            Whom it came from; they end before it begins.
        remark
            What was noticed of the first mask.
        object_id
            An id that was never used in this session; None for the next one.
        undo_group
            Calls one after the other with the same token are undone as one.
        action
            What undo calls it.

        Raises
        ------
        InputError
            If there is no mask, one has another size, a frame or a parent is unknown, or the id was used.
        """
        packed = {check_frame(self.frames, frame): mask for frame, mask in masks.items()}
        if not packed:
            raise InputError("A track has at least one mask.")
        for frame, mask in packed.items():
            if mask.shape != self.shape:
                raise InputError(f"The mask on frame {frame} is {mask.shape}, the frames are {self.shape}.")
        parents, scores = sorted(parents), {frame: scores[frame] for frame in packed}
        call: dict[str, Any] = {"do": "take_track", "masks": packed, "scores": scores, "parents": parents}
        if remark:
            call["remark"] = remark.name
        with self._edit(action, call, undo_group):
            made = call["object_id"] = self.annotations.new_object(None, None, object_id).id
            for frame, mask in packed.items():
                noticed = remark if frame == min(packed) else MaskRemark.NONE
                accepted = AcceptedMask(mask, MaskOrigin.TRACKED, scores[frame], remark=noticed)
                self.annotations.set_mask(made, frame, accepted)
            if parents:
                self.lineage.set_parents(made, parents)
        return made

    # ------------------------------------------------------------------ verified masks

    def verified(self, object_id: int) -> frozenset[int]:
        """Return the frames on which an object's mask is verified: no propagation changes it."""
        return self.annotations.verified(self.annotations.require(object_id))

    def verify(
        self, object_id: int, frames: Iterable[int], verified: bool = True, undo_group: object = None
    ) -> None:
        """Verify (or unverify) an object's masks on some frames.

        Calls one after the other with the same ``undo_group`` are undone as one.

        Raises
        ------
        InputError
            If the object is unknown or has no mask on one of the frames.
        """
        chosen = sorted({check_frame(self.frames, frame) for frame in frames})
        call = {"do": "verify", "object_id": object_id, "frames": chosen, "verified": verified}
        with self._edit(
            f"{'verify' if verified else 'unverify'} {self.annotations.called(object_id)}", call, undo_group
        ):
            self.annotations.require(object_id)
            for frame in chosen:
                if self.annotations.mask(object_id, frame) is None:
                    raise InputError(
                        f"{self.annotations.called(object_id, begins=True)} "
                        f"has no mask on frame {frame} to verify."
                    )
                self.annotations.set_verified(object_id, frame, verified)

    # ------------------------------------------------------------------ undo

    @property
    def undo_name(self) -> str | None:
        """What :meth:`undo` would take back, in words; None if there is nothing."""
        return self.history.undo_name

    @property
    def redo_name(self) -> str | None:
        """What :meth:`redo` would do again, in words; None if there is nothing."""
        return self.history.redo_name

    def undo(self) -> tuple[Change, ...]:
        """Take the last action back, whatever it was; a running propagation ends first.

        Returns
        -------
        changes
            What has changed by that; none if there was nothing to undo.
        """
        with self._device_lock:
            changes = self.history.undo()
            self.engine.reconcile(changes)
            return changes

    def redo(self) -> tuple[Change, ...]:
        """Do again what was undone last; returns as :meth:`undo`."""
        with self._device_lock:
            changes = self.history.redo()
            self.engine.reconcile(changes)
            return changes

    # ------------------------------------------------------------------ propagation

    def frames_to_visit(
        self,
        object_ids: Iterable[int] | None = None,
        start: int | None = None,
        stop: int | None = None,
        reverse: bool = False,
        missing_only: bool = False,
        from_first: bool = False,
    ) -> list[int] | None:
        """Return the frames that :meth:`propagate` would track on, in order; None for an endless live stream.

        Raises
        ------
        InputError
            If an object or a frame is unknown, or there is nothing to track from ``start`` to ``stop``.
        """
        return self._plan(object_ids, start, stop, reverse, missing_only, from_first).frames()

    def count_frames(self, runs: Iterable[Mapping[str, Any]]) -> int | None:
        """Return how many frames runs one after the other take, each the arguments of :meth:`propagate`.

        Raises
        ------
        InputError
            As :meth:`frames_to_visit`.
        """
        return count_frames([self._plan(**run) for run in runs])

    def runs(
        self,
        direction: Direction,
        object_ids: tuple[int, ...] | None = None,
        start: int | None = None,
        **options: Any,
    ) -> list[PropagateArguments]:
        """Return the propagations in a direction that have anything to track; all, if none has."""
        runs = [{**run, **options} for run in runs_in(direction, object_ids, start)]
        return [run for run in runs if self.has_frames(**run)] or runs

    def has_frames(self, **run: Any) -> bool:
        """Whether a run, the arguments of :meth:`propagate`, has anything to track: an object may be gone.

        Examples
        --------
        >>> from sam2_plugins import AnnotationSession, ModelStore
        >>> session = AnnotationSession(np.zeros((3, 64, 80), np.uint8), ModelStore(), "nano@256")
        >>> session.has_frames(missing_only=True)
        False
        """
        try:
            return self._plan(**run).has_frames()
        except InputError:  # its objects have been removed
            return False

    def left_out(self, runs: Iterable[Mapping[str, Any]]) -> str:
        """Say where objects are not tracked by some runs, each the arguments of :meth:`propagate`.

        That is after an object divided or was deleted, before it was born, and where it is absent.

        Returns
        -------
        str
            A sentence; empty if nothing is left out.

        Raises
        ------
        InputError
            If an object or a frame is unknown.
        """
        sentences = dict.fromkeys(self._plan(**run).left_out() for run in runs)
        return " ".join(filter(None, sentences))

    def propagate(
        self,
        object_ids: Iterable[int] | None = None,
        start: int | None = None,
        stop: int | None = None,
        reverse: bool = False,
        cancel: CancelToken | None = None,
        missing_only: bool = False,
        from_first: bool = False,
    ) -> TrackedFrames:
        """Track objects from frame to frame, and return when it is done; all is stored as it comes.

        Parameters
        ----------
        object_ids
            Which objects; None for all, including those added meanwhile.
        start
            First frame; None for the earliest prompted one (reverse: the latest).
        stop
            Last frame, inclusive, in the direction of the propagation; None for the end or, if ``start`` is
            given, for the next verified frame of each object.
        reverse
            Go backwards.
        cancel
            Checked before every frame.
        missing_only
            Pass over what has a mask already: to continue what was stopped.
        from_first
            Backwards, from each object's first prompted frame, after a propagation forwards.

        Returns
        -------
        TrackedFrames
            Which objects were tracked on which frame; their masks are the session's.

        Raises
        ------
        InputError
            As :meth:`frames_to_visit`; or if a frame cannot be read.

        See Also
        --------
        iter_propagate : yields after every frame, for a host that shows them.
        """
        run = (object_ids, start, stop, reverse, cancel, missing_only, from_first)
        return TrackedFrames(map(TrackedFrame.of, self.iter_propagate(*run)))

    def iter_propagate(
        self,
        object_ids: Iterable[int] | None = None,
        start: int | None = None,
        stop: int | None = None,
        reverse: bool = False,
        cancel: CancelToken | None = None,
        missing_only: bool = False,
        from_first: bool = False,
        undo_group: object = None,
    ) -> Iterator[FrameResult]:
        """Track objects as :meth:`propagate` does, and yield every frame as soon as it is stored.

        The device is held for one frame at a time. Finished frames stay when it is canceled or the iterator
        closed; prompts may be given between two frames. Masks of prompted and of verified frames stay as they
        are. Undo ends it. Calls one after the other with the same ``undo_group``, such as those of both
        directions, are undone as one.

        Yields
        ------
        FrameResult
            One per frame on which an object is tracked.

        Raises
        ------
        InputError
            As :meth:`propagate`, at the first frame.
        """
        plan = self._plan(object_ids, start, stop, reverse, missing_only, from_first)
        steps = propagate(plan, self._device_lock, self.engine, self.history, cancel, undo_group)
        yield from self.store.measurements.measured(self._measured_with, steps, lambda: self.engine.num_bytes)

    def estimate(self, runs: Iterable[Mapping[str, Any]]) -> RunEstimate:
        """Estimate time and memory of some runs, each the arguments of :meth:`propagate`.

        Raises
        ------
        InputError
            As :meth:`frames_to_visit`.
        """
        size = sum((self._plan(**run).size() for run in runs), RunSize(0, 0))
        masks = self.annotations.mean_mask_bytes()
        return self.store.measurements.estimate(self._measured_with, size, masks, self._checkpoint_bytes)

    @property
    def compute_dtype(self) -> str:
        """Type in which masks are computed, ``bfloat16`` for one: in another they differ by some pixels."""
        return self.store.compute_dtype

    @property
    def _measured_with(self) -> tuple[str, str]:
        return self.model_name, self.store.device_name

    def _plan(
        self,
        object_ids: Iterable[int] | None = None,
        start: int | None = None,
        stop: int | None = None,
        reverse: bool = False,
        missing_only: bool = False,
        from_first: bool = False,
    ) -> PropagationPlan:
        chosen = None if object_ids is None else tuple(self.annotations.require(i) for i in object_ids)
        if chosen == ():
            raise InputError("No object was chosen; name some, or None for all.")
        start = None if start is None else check_frame(self.frames, start)
        stop = None if stop is None else check_frame(self.frames, stop)
        return PropagationPlan(
            self.annotations, self.frames.length, chosen, start, stop, reverse, missing_only, from_first
        )

    # ------------------------------------------------------------------ the model

    @property
    def window(self) -> IntensityWindow | None:
        """The intensities that the model sees, one window for all frames; None: 8 bits as they are."""
        return self.annotations.window

    def iter_prefetch(self, frames: Iterable[int]) -> Iterator[int]:
        """Make frames ready for prompts, as many as the cache holds at once; yield each when it is ready."""
        return prefetch(lambda: self._make_engine(self.window), self._device_lock, frames)

    def use_model(self, model: str | Path) -> None:
        """Compute with another model from now on; objects, prompts, masks and undo stay as they are.

        Masks of the earlier model stay until something predicts them again: :meth:`repredict`, a prompt,
        a propagation. The change is recorded, but undo does not take it back. A model that expects other
        intensities gets them by :meth:`set_window`, unless somebody has chosen the contrast.

        Parameters
        ----------
        model
            A variant's name or a checkpoint's path.

        Raises
        ------
        InputError
            If it cannot be loaded; the session then goes on with the earlier one.
        """
        self.store.load(model)
        expected = self._expected_window(model)
        with self._device_lock, self.annotations.lock:
            self.model_name = str(model)
            self.engine.drop()
            self.history.notify(Action(f"model {model}", {"do": "use_model", "model": str(model)}, ()))
        if expected is not self.window:
            self.set_window(expected)

    def _expected_window(self, model: str | Path) -> IntensityWindow | None:
        """Return the window for another model: the one of now, unless that was the earlier model's own."""
        rules = [self.store.intensities(name) for name in (self.model_name, model)]
        if rules[0] == rules[1]:
            return self.window
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)  # it was said when the frames were opened
            is_own = self.window in (None, window_of(self.frames, None, rules[0]))
        return window_of(self.frames, None, rules[1]) if is_own else self.window

    def set_window(self, window: IntensityWindow | tuple[float, float] | None) -> None:
        """Let the model see other intensities from now on, undone as one action.

        Masks that come from clicks or a box alone (:meth:`single_frame_prompts`) are predicted anew. All
        others stay as they are until they are corrected or tracked again.

        Raises
        ------
        InputError
            If it is no window.
        """
        given = None if window is None else window_of(self.frames, window)
        with self._device_lock:
            places = [] if given == self.window else self.single_frame_prompts()
            results = self.engine.predict_prompts_with(places, lambda: self._make_engine(given))
            with self._edit("contrast", {"do": "set_window", "window": given}):
                self.annotations.set_window(given)
                for result in results:
                    store_result(self.annotations, result, prompted=True)

    def repredict(self, places: Iterable[tuple[int, int]]) -> TrackedFrames:
        """Predict masks from their prompts anew, as after a change of model; all are undone as one.

        Parameters
        ----------
        places
            (object id, frame), for example :meth:`single_frame_prompts`. Whatever is verified or no longer
            prompted when its turn comes is passed over.

        See Also
        --------
        iter_repredict : yields after every place, for a host that shows them.
        """
        return TrackedFrames(map(TrackedFrame.of, self.iter_repredict(places)))

    def iter_repredict(self, places: Iterable[tuple[int, int]]) -> Iterator[FrameResult]:
        """Predict masks as :meth:`repredict` does, and yield each; the device is held for one at a time."""
        undo_group = object()
        for object_id, frame in places:
            with self._device_lock:
                verified = self.annotations.is_verified(object_id, frame)
                if verified or frame not in self.annotations.prompts_of(object_id):
                    continue
                result = self.engine.predict_prompts(object_id, frame)
                call = {"do": "answer_again", "places": [[object_id, frame]]}
                with self.history.action(f"masks by {self.model_name}", call, undo_group):
                    store_result(self.annotations, result, prompted=True)
            yield result

    def drop_engine(self) -> None:
        """Free the engine's memories and all of the cache; they are computed again when they are needed."""
        with self._device_lock, self.annotations.lock:
            self.engine.drop()
            self._cache.clear()
            self.history.notify(Action("drop engine", {"do": "drop_engine"}, ()))

    def _make_engine(self, window: IntensityWindow | None) -> TrackingSession:
        cleans = self.cleans_clicked_frames or self.frames.length == 1
        return self.store.open_session(
            self.model_name,
            self.frames,
            window,
            self._cache,
            history=self._checkpoint_bytes,
            max_conditioning_frames=self._max_conditioning_frames,
            remove_small_components=True if cleans else None,
            **self.memory.given,
        )

    # ------------------------------------------------------------------ how

    @property
    def options(self) -> dict[str, Any]:
        """How it was made, beside frames and model, to make another one like it."""
        return {
            "max_conditioning_frames": self._max_conditioning_frames,
            "history": self._checkpoint_bytes,
            "undo_bytes": self.history.max_bytes,
            "cleans_clicked_frames": self.cleans_clicked_frames,
            **self.memory.given,
        }

    def restore(
        self, changes: Iterable[Change], highest_used_id: int, removed_ids: Iterable[int] | None = None
    ) -> None:
        """Bring an empty session to a stored state; it cannot be undone."""
        self.history.make(changes)
        self.history.make(self.lineage.births())
        self.annotations.use_ids(highest_used_id, removed_ids)

    def _check_place(self, frame: int, object_id: int) -> tuple[int, int]:
        """Return a known object and a frame; where each is the other's, say so."""
        try:
            known = self.annotations.require(object_id)
            return check_frame(self.frames, frame), known
        except InputError as error:
            try:
                self.annotations.require(frame)
                check_frame(self.frames, object_id)
            except InputError:
                raise error from None
            raise InputError(f"{error} The frame comes first, then the object.") from None

    @contextmanager
    def _edit(self, name: str, call: Mapping[str, Any], undo_group: object = None) -> Iterator[None]:
        """Change the annotations as one action, and the engine's session with them."""
        with self._device_lock:
            with self.history.action(name, call, undo_group) as changes:
                yield
            self.engine.reconcile(changes)


def _first_window(
    frames: FrameSource,
    contrast: tuple[float, float] | IntensityWindow | None,
    store: ModelStore,
    model: str | Path,
) -> IntensityWindow | None:
    """Return the window that a session begins with: the given one, else what the model expects."""
    if contrast is not None:
        return window_of(frames, contrast)
    try:
        return window_of(frames, None, store.intensities(model))
    except InputError:
        if frames.dtype != np.uint8:
            raise
    return window_of(frames)  # of a model that cannot be used: whoever uses it says why
