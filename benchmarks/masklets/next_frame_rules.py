"""Rules that say which frame of an object is corrected next: the one with the largest value."""

import math
from collections.abc import Callable
from functools import partial

from annotator import State

REACH = 8.0
"""Frames over which what a correction mends falls to a third, for the rules that ask."""
OURS = "most doubtful"

Rule = Callable[[State], dict[int, float]]


def uniform(state: State) -> dict[int, float]:
    return {frame: distance(state, frame) for frame in state.open_frames}


def least_confident(state: State) -> dict[int, float]:
    return {frame: -state.confidences[frame] for frame in state.open_frames}


def most_doubtful(state: State) -> dict[int, float]:
    return {frame: state.doubts[frame] for frame in state.open_frames}


def most_gain(state: State, reach: float = REACH) -> dict[int, float]:
    """Doubt times the doubts around it, which fade, up to the next settled frame."""
    return {
        frame: state.doubts[frame]
        * sum(
            doubt * math.exp(-abs(near - frame) / reach)
            for near, doubt in state.doubts.items()
            if near in gap(state, frame)
        )
        for frame in state.open_frames
    }


def doubt_and_distance(state: State, power: float) -> dict[int, float]:
    return {frame: state.doubts[frame] * distance(state, frame) ** power for frame in state.open_frames}


def doubt_and_gap(state: State, power: float) -> dict[int, float]:
    return {frame: state.doubts[frame] * len(gap(state, frame)) ** power for frame in state.open_frames}


def doubt_onward(state: State, power: float) -> dict[int, float]:
    """By how many frames lie between it and the next settled one, which are tracked from it."""
    return {
        frame: state.doubts[frame] * (gap(state, frame).stop - frame) ** power for frame in state.open_frames
    }


def doubt_around(state: State, share: float = 0.5) -> dict[int, float]:
    """Doubt, and a share of the doubts on both sides: a stretch before a single frame."""
    doubts = state.doubts
    return {
        frame: doubts[frame] + share * (doubts.get(frame - 1, 0) + doubts.get(frame + 1, 0)) / 2
        for frame in state.open_frames
    }


def doubt_and_confidence(state: State) -> dict[int, float]:
    """Mean of the two ranks."""
    ranks = [
        {frame: rank for rank, frame in enumerate(sorted(values, key=lambda one: values[one]))}
        for values in (most_doubtful(state), least_confident(state))
    ]
    return {frame: ranks[0][frame] + ranks[1][frame] for frame in state.open_frames}


def doubt_times_unsure(state: State) -> dict[int, float]:
    return {frame: state.doubts[frame] * (1 - state.confidences[frame]) for frame in state.open_frames}


def worst(state: State) -> dict[int, float]:
    """The frame that is worst in truth, which no rule can know."""
    return {frame: -state.ious[frame] for frame in state.open_frames}


def distance(state: State, frame: int) -> int:
    return min(abs(frame - other) for other in state.settled)


def gap(state: State, frame: int) -> range:
    """Return the frames around one up to the next settled ones."""
    low = max((one for one in state.settled if one < frame), default=-1)
    high = min((one for one in state.settled if one > frame), default=max(state.doubts) + 1)
    return range(low + 1, high)


RULES: dict[str, Rule] = {
    "uniform": uniform,
    "lowest confidence": least_confident,
    "most doubtful": most_doubtful,
}
TRIED: dict[str, Rule] = {
    "worst in truth": worst,
    "doubt x root of frames onward": partial(doubt_onward, power=0.5),
    "doubt and its neighbors": doubt_around,
    "doubt times doubts around": most_gain,
    "distance^0.25": partial(doubt_and_distance, power=0.25),
    "distance^0.5": partial(doubt_and_distance, power=0.5),
    "distance": partial(doubt_and_distance, power=1.0),
    "gap^0.5": partial(doubt_and_gap, power=0.5),
    "gain, reach 2": partial(most_gain, reach=2.0),
    "two ranks": doubt_and_confidence,
    "doubt x unsure": doubt_times_unsure,
}
