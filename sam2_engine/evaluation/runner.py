"""Runs of a protocol with a model, and of the baselines beside it, over sequences."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from sam2_engine.errors import InputError, OptionError
from sam2_engine.evaluation.cell_tracking import cell_tracking_scores, ctc_metrics
from sam2_engine.evaluation.click_baselines import CLICK_BASELINES, segment_by_baseline
from sam2_engine.evaluation.image_protocol import objects_by_frame, segment_images
from sam2_engine.evaluation.interactive_protocol import (
    MAX_PROMPTED_FRAMES,
    InteractiveRound,
    offline_rounds,
    online_rounds,
    scored_frames,
)
from sam2_engine.evaluation.labeled_sequence import LabeledSequence, MasksByObject
from sam2_engine.evaluation.scores import MaskScore, MethodResult, score_masks
from sam2_engine.evaluation.tracking_baselines import copy_first_mask, opencv, propagate_by_flow
from sam2_engine.evaluation.video_protocol import (
    WithProgress,
    first_frames,
    frames_after,
    num_clicks,
    track_objects,
    without_progress,
)
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import Contrast

__all__ = ["PROTOCOLS", "check_installed", "default_prompt", "evaluate"]

PROTOCOLS = {"vos": "mask", "offline": "3-click", "online": "3-click", "image": "1-click"}
"""The protocols, and the prompt that each has by default."""

_CACHE = 512 * 2**20

Segment = Callable[[LabeledSequence], MasksByObject]
FramesOf = Callable[[LabeledSequence], dict[int, list[int]]]


def default_prompt(protocol: str) -> str:
    """Return the prompt that a protocol has by default.

    Raises
    ------
    InputError
        If there is no such protocol.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"There is no protocol {protocol!r}; the protocols are {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[protocol]


def evaluate(
    model: Sam2,
    sequences: Sequence[LabeledSequence],
    protocol: str = "vos",
    prompt: str | None = None,
    *,
    name: str = "model",
    baselines: bool = False,
    cell_tracking: bool = False,
    rounds: int = MAX_PROMPTED_FRAMES,
    contrast: Contrast = None,
    with_progress: WithProgress = without_progress,
) -> list[MethodResult]:
    """Evaluate a model, and baselines beside it.

    Parameters
    ----------
    model
        A loaded model.
    sequences
        Frames and ground truth.
    protocol, prompt
        A key of ``PROTOCOLS`` and one of ``PROMPTS``; the interactive protocols take ``3-click`` only.
    name
        The model's name in the results.
    baselines
        Add the baselines: for videos from the first mask, also beside interactive protocols; for images
        from one click.
    cell_tracking
        Add SEG, DET and TRA; not for images, as ids need not persist there.
    rounds
        Most frames that the interactive protocols prompt per object, 8 in the paper.
    contrast
        Intensity window for the model; by default its own rule.
    with_progress
        Wraps iterations, for a progress bar.

    Returns
    -------
    list of MethodResult
        The model's first.

    Raises
    ------
    InputError
        If protocol and prompt do not go together, ``rounds`` is below 1, nothing can be scored, or a
        baseline needs what is not installed.

    Examples
    --------
    >>> from sam2_engine import load_model, open_frames
    >>> from sam2_engine.evaluation.labeled_sequence import LabeledSequence, pack_labels
    >>> from sam2_engine.synthetic import moving_cells
    >>> frames, labels = moving_cells(num_frames=3, size=64, num_cells=2)
    >>> ground_truth = {}
    >>> for frame, image in enumerate(labels):
    ...     pack_labels(image, frame, ground_truth)
    >>> sequence = LabeledSequence("cells", open_frames(frames), ground_truth, (0, 1, 2))
    >>> nano = load_model("nano", device="cpu", image_size=128)
    >>> (result,) = evaluate(nano, [sequence], "vos", "mask")
    >>> result.method, 0.5 < result.j_and_f <= 1
    ('model, mask', True)
    """
    prompt = _checked_prompt(protocol, prompt)
    if rounds < 1:
        raise InputError(f"The user prompts {rounds} frames of an object; give 1 or more rounds.")
    check_installed(protocol, baselines, cell_tracking)
    frames_of = _FRAMES_OF[protocol]
    if not any(frames_of(sequence) for sequence in sequences):
        raise OptionError(
            "There is nothing to score: no object has a mask on any frame after the one it is prompted on; "
            "give masks of at least two frames, or take {protocol}.",
            protocol="image",
        )
    single = protocol == "image"
    if protocol in ("offline", "online"):
        results = [
            _interact(model, sequences, protocol, f"{name}, {protocol}", rounds, contrast, with_progress)
        ]
    else:
        run = segment_images if single else track_objects
        segment = partial(run, model, prompt=prompt, contrast=contrast, with_progress=with_progress)
        results = [_apply(f"{name}, {prompt}", segment, sequences, frames_of, single)]
    if baselines:
        methods = _click_methods(with_progress) if single else _tracking_methods(with_progress)
        results += [
            _apply(title, segment, sequences, frames_of, single) for title, segment in methods.items()
        ]
    if cell_tracking and not single:
        results = [_with_cell_tracking(result, sequences) for result in results]
    return results


def check_installed(protocol: str, baselines: bool, cell_tracking: bool) -> None:
    """Ask for the packages of :func:`evaluate` before any work; none is missed after an hour of it.

    Raises
    ------
    InputError
        If one is not installed.
    """
    if baselines and protocol != "image":
        opencv()
    if cell_tracking and protocol != "image":
        ctc_metrics()


def _checked_prompt(protocol: str, prompt: str | None) -> str:
    default = default_prompt(protocol)
    prompt = default if prompt is None else prompt
    num_clicks(prompt)
    if protocol in ("offline", "online") and prompt != default:
        raise OptionError(
            f"The {protocol} protocol makes {default}s on every frame it prompts; leave {{prompt}} out.",
            prompt=None,
        )
    if protocol == "image" and prompt == "mask":
        raise OptionError(
            "On single images the mask is what is predicted; take {prompt} or clicks.", prompt="box"
        )
    return prompt


def _interactive_frames(sequence: LabeledSequence) -> dict[int, list[int]]:
    return {object_id: scored_frames(sequence, object_id) for object_id in sequence.ground_truth}


def _image_frames(sequence: LabeledSequence) -> dict[int, list[int]]:
    by_frame = objects_by_frame(sequence)
    return {i: [frame for frame, ids in by_frame.items() if i in ids] for i in sequence.ground_truth}


def _video_frames(sequence: LabeledSequence) -> dict[int, list[int]]:
    return frames_after(sequence, first_frames(sequence))


_FRAMES_OF: dict[str, FramesOf] = {
    "vos": _video_frames,
    "offline": _interactive_frames,
    "online": _interactive_frames,
    "image": _image_frames,
}


def _apply(
    title: str, segment: Segment, sequences: Sequence[LabeledSequence], frames_of: FramesOf, single: bool
) -> MethodResult:
    masks = tuple(segment(sequence) for sequence in sequences)
    scores: tuple[MaskScore, ...] = ()
    for number, (sequence, predicted) in enumerate(zip(sequences, masks, strict=True)):
        scores += score_masks(sequence, predicted, frames_of(sequence), number)
    return MethodResult(title, (scores,), masks, per_object=not single)


def _tracking_methods(with_progress: WithProgress) -> dict[str, Segment]:
    return {
        "copy of the first mask": lambda sequence: copy_first_mask(sequence, first_frames(sequence)),
        "optical flow (DIS)": lambda sequence: propagate_by_flow(
            sequence, first_frames(sequence), with_progress=with_progress
        ),
    }


def _click_methods(with_progress: WithProgress) -> dict[str, Segment]:
    return {
        f"{name}, 1-click": partial(segment_by_baseline, name=name, with_progress=with_progress)
        for name in CLICK_BASELINES
    }


def _interact(
    model: Sam2,
    sequences: Sequence[LabeledSequence],
    protocol: str,
    title: str,
    max_frames: int,
    contrast: Contrast,
    with_progress: WithProgress,
) -> MethodResult:
    """Run an interactive protocol for every object; once nothing is left to correct, scores stay."""
    run = offline_rounds if protocol == "offline" else online_rounds
    scores: list[tuple[MaskScore, ...]] = [()] * max_frames
    seconds: list[list[float]] = [[] for _ in scores]
    masks: list[MasksByObject] = []
    for number, sequence in enumerate(sequences):
        cache, last = FeatureCache(_CACHE), MasksByObject()
        for object_id in with_progress(
            list(sequence.ground_truth), len(sequence.ground_truth), f"{sequence.name}, {protocol}"
        ):
            frames = {object_id: scored_frames(sequence, object_id)}
            rounds: list[tuple[InteractiveRound, tuple[MaskScore, ...]]] = [
                (done, score_masks(sequence, {object_id: done.masks}, frames, number))
                for done in run(
                    model, sequence, object_id, max_frames=max_frames, contrast=contrast, cache=cache
                )
            ]
            rounds += rounds[-1:] * (max_frames - len(rounds))
            for index, (done, round_scores) in enumerate(rounds):
                scores[index] += round_scores
                seconds[index].append(done.seconds)
            last[object_id] = rounds[-1][0].masks
        masks.append(last)
    return MethodResult(
        title, tuple(scores), tuple(masks), seconds=tuple(float(np.mean(each)) for each in seconds)
    )


def _with_cell_tracking(result: MethodResult, sequences: Sequence[LabeledSequence]) -> MethodResult:
    """Add SEG, DET and TRA, the mean over sequences."""
    by_sequence = [
        cell_tracking_scores(sequence, masks, list(sequence.ground_truth))
        for sequence, masks in zip(sequences, result.masks, strict=True)
    ]
    return replace(
        result,
        cell_tracking={name: float(np.mean([each[name] for each in by_sequence])) for name in by_sequence[0]},
    )
