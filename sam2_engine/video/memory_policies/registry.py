"""Memory policies by name, alone and combined."""

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource
from sam2_engine.video.memory_policies.distractors import DistractorAware
from sam2_engine.video.memory_policies.long_term import LongTerm
from sam2_engine.video.memory_policies.motion import Motion
from sam2_engine.video.memory_policies.policy import MemoryPolicy
from sam2_engine.wording import did_you_mean

__all__ = ["AUTO", "BY_KIND", "POLICIES", "kind_of", "memory_policy_of"]


class MotionLongTerm(Motion, LongTerm):
    """Choice and recent memories by motion, beside older frames on which the object looked different."""

    name = "motion+long_term"

    def __init__(self) -> None:
        Motion.__init__(self)
        LongTerm.__init__(self)


class MotionDistractorAware(Motion, DistractorAware):
    """Choice and recent memories by motion, beside anchors where the candidates disagreed."""

    name = "motion+distractor_aware"


POLICIES: dict[str, type[MemoryPolicy]] = {
    one.name: one
    for one in (MemoryPolicy, Motion, DistractorAware, LongTerm, MotionLongTerm, MotionDistractorAware)
}
"""What can be chosen by name."""


AUTO = "auto"
BY_KIND = {"time-lapse": "recent", "video": "recent", "volume": "recent"}
"""What ``auto`` takes for each kind of stack: what was best in ``benchmarks/results/memory_policies.md``."""


def kind_of(frames: FrameSource) -> str:
    """Return which kind of stack frames are: a volume has planes, a video colors, a time-lapse neither."""
    if frames.axis == "Z":
        return "volume"
    return "video" if frames.is_rgb else "time-lapse"


def memory_policy_of(policy: str | MemoryPolicy, frames: FrameSource | None = None) -> MemoryPolicy:
    """Return a policy from its name, or the given one.

    Parameters
    ----------
    policy
        One of ``POLICIES``, ``auto``, or an object of a subclass of ``MemoryPolicy``.
    frames
        For ``auto``: what is tracked in; without them it is ``recent``.

    Raises
    ------
    InputError
        If there is no such policy.

    Examples
    --------
    >>> memory_policy_of("motion")
    <Motion motion>
    """
    if isinstance(policy, MemoryPolicy):
        return policy
    if policy == AUTO:
        policy = "recent" if frames is None else BY_KIND[kind_of(frames)]
    if policy not in POLICIES:
        known = AUTO, *POLICIES
        guess = did_you_mean(str(policy), known)
        raise InputError(f"There is no memory policy {policy!r}{guess}: choose one of {', '.join(known)}.")
    return POLICIES[policy]()
